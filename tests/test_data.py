"""Reading and writing utterances: every format, and what is said of files that cannot be used."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftx_edge.data import Span, Utterance, read_numbered, read_texts, read_utterances, write_jsonl
from ftx_edge.errors import DataError, UsageError
from ftx_edge.utterance import cuts_character

# The same examples each time, however slow the machine.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

MASSIVE = [
    {"id": "0", "locale": "en-US", "partition": "train", "intent": "light_on", "utt": "lamp in the hall on",
     "annot_utt": "lamp in the [place : hall] on"},
    {"id": "1", "locale": "en-US", "partition": "test", "intent": "light_off", "utt": "lamp off",
     "annot_utt": "lamp off"},
]  # fmt: skip
MTOP = "7\tIN:LIGHT_ON\t4:8:SL:PLACE,9:17:SL:TIME\tthe hall at seven\thome\ten_XX\t[IN:LIGHT_ON ]\t{}\n"


def write(path: Path, content: str | bytes) -> Path:
    raw = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(raw) if path.name.lower().endswith(".gz") else raw)
    return path


def jsonl(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


# Formats


@pytest.mark.parametrize("name", ["a.txt", "a.txt.gz", "A.TXT"])
def test_txt_is_one_text_a_line_kept_as_it_is(tmp_path, name):
    path = write(tmp_path / name, "lamp on\r\n  two  spaces \nline\u2028separator\n")
    assert read_texts(path) == ["lamp on", "  two  spaces ", "line\u2028separator"]


def test_a_byte_order_mark_and_blank_lines_at_the_end_are_no_part_of_the_text(tmp_path):
    assert read_texts(write(tmp_path / "a.txt", b"\xef\xbb\xbflamp on\nlamp off\n\n  \n")) == [
        "lamp on",
        "lamp off",
    ]


def test_jsonl_carries_label_spans_and_id_and_ignores_what_it_does_not_know(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        jsonl(
            {
                "text": "lamp on",
                "label": "on",
                "id": 3,
                "spans": [{"start": 0, "end": 4, "label": "what"}],
                "x": 1,
            },
            {"text": "lamp off", "spans": []},
            {"text": "lamp"},
        ),
    )
    assert read_utterances(path) == [
        Utterance("lamp on", "on", (Span(0, 4, "what"),), "3"),
        Utterance("lamp off", spans=()),
        Utterance("lamp"),
    ]


def test_spans_are_given_in_order_of_their_start(tmp_path):
    spans = [{"start": 5, "end": 7, "label": "b"}, {"start": 0, "end": 4, "label": "a"}]
    [utterance] = read_utterances(write(tmp_path / "a.jsonl", jsonl({"text": "lamp on", "spans": spans})))
    assert utterance.spans == (Span(0, 4, "a"), Span(5, 7, "b"))


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.csv.gz", "A.csv.GZ"])
def test_csv_knows_quotes_and_line_breaks_in_a_value(tmp_path, name):
    path = write(tmp_path / name, 'id,text,label\n1,"lamp, on",on\n2,"two\nlines ""x""",\n3,lamp,off\n')
    assert read_numbered(path) == [
        (2, Utterance("lamp, on", "on", id="1")),
        (3, Utterance('two\nlines "x"', id="2")),
        (5, Utterance("lamp", "off", id="3")),
    ]


def test_tsv_knows_no_quotes(tmp_path):
    path = write(tmp_path / "a.tsv.gz", 'text\tlabel\n"lamp on\ton\n')
    assert read_utterances(path) == [Utterance('"lamp on', "on")]


def test_massive_rows_are_recognised_by_their_keys_and_hold_partitions(tmp_path):
    path = write(tmp_path / "en-US.jsonl.gz", jsonl(*MASSIVE))
    first, second = read_utterances(path)
    assert first == Utterance("lamp in the hall on", "light_on", (Span(12, 16, "place"),), "0")
    assert second == Utterance("lamp off", "light_off", (), "1")
    assert read_utterances(path, partition="test") == [second]


@pytest.mark.parametrize(
    ("text", "annotated", "covered"),
    [
        ("明日の朝七時に", "[date : 明日] の [time : 朝七時] に", ["明日", "朝七時"]),
        ("打开客厅 的灯", "打开 [place : 客厅 的] 灯", ["客厅 的"]),
        ("พรุ่งนี้ ตอนเช้า", "[date : พรุ่งนี้] [time : ตอนเช้า]", ["พรุ่งนี้", "ตอนเช้า"]),
        ("at 7:30  sharp", "at [time : 7:30] sharp", ["7:30"]),
        ("hall", "[place:hall]", ["hall"]),
    ],
)
def test_massive_slots_are_found_with_white_space_ignored(tmp_path, text, annotated, covered):
    row = {"utt": text, "intent": "x", "annot_utt": annotated, "partition": "train"}
    [utterance] = read_utterances(write(tmp_path / "a.jsonl", jsonl(row)))
    assert [utterance.text[span.start : span.end] for span in utterance.spans or ()] == covered


@pytest.mark.parametrize("name", ["eval.txt", "eval.tsv"])
def test_mtop_is_read_as_published(tmp_path, name):
    path = write(tmp_path / name, MTOP + MTOP.replace("4:8:SL:PLACE,9:17:SL:TIME", ""))
    first, second = read_utterances(path)
    assert first == Utterance(
        "the hall at seven", "LIGHT_ON", (Span(4, 8, "PLACE"), Span(9, 17, "TIME")), "7"
    )
    assert second.spans == ()


def test_multiatis_is_read_as_published(tmp_path):
    path = write(
        tmp_path / "train_XX.tsv",
        "id\tutterance\tslot_labels\tintent\n5\tfrom the  old town\tO O B-city I-city\tflight#fare\n",
    )
    assert read_utterances(path) == [
        Utterance("from the  old town", "flight#fare", (Span(10, 18, "city"),), "5")
    ]


def test_conll_columns_with_and_without_the_text_they_stand_in(tmp_path):
    path = write(
        tmp_path / "a.conll",
        "-DOCSTART- -X- O\n\nold NN B-city\ntown NN I-city\n\n\n"
        "# id = 9\n# intent: on\n# text = 明日、点灯\n明日\tB-date\n、\tO\n点灯\tO\n# O\n",
    )
    with pytest.raises(DataError, match=r"a\.conll:7: word 4, '#', is not in the text"):
        read_utterances(path)
    path.write_text(path.read_text(encoding="utf-8").removesuffix("# O\n"), encoding="utf-8")
    assert read_utterances(path) == [
        Utterance("old town", None, (Span(0, 8, "city"),)),
        Utterance("明日、点灯", "on", (Span(0, 2, "date"),), "9"),
    ]


# Writing

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip)


@st.composite
def utterances(draw):
    text = draw(words)
    cuts = [at for at in range(len(text) + 1) if not cuts_character(text, at)]
    edges = sorted(draw(st.sets(st.sampled_from(cuts), max_size=6)))
    pairs = [(s, e) for s, e in zip(edges[::2], edges[1::2], strict=False) if text[s:e].strip()]
    spans = tuple(Span(start, end, draw(st.sampled_from(["a", "b c"]))) for start, end in pairs)
    return Utterance(
        text,
        draw(st.none() | st.just("on")),
        draw(st.sampled_from([None, spans])),
        draw(st.none() | st.just("7")),
    )


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz"])
@given(written=st.lists(utterances(), min_size=1, max_size=4))
def test_what_is_written_is_read_back(tmp_path_factory, name, written):
    path = tmp_path_factory.mktemp("round") / "new" / name
    write_jsonl(path, written)
    assert read_utterances(path) == written


def test_the_same_utterances_give_the_same_bytes_and_leave_nothing_beside_them(tmp_path):
    rows = [Utterance("lamp on", "on", (Span(0, 4, "what"),))]
    write_jsonl(tmp_path / "a.jsonl.gz", rows)
    write_jsonl(tmp_path / "b.jsonl.gz", rows)
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.jsonl.gz", "b.jsonl.gz"]


def test_what_could_not_be_read_back_is_not_written_and_the_old_file_stays(tmp_path):
    path = write(tmp_path / "a.jsonl", jsonl({"text": "old"}))
    with pytest.raises(DataError, match=r"a\.jsonl:2: span 0:9 'x' does not fit"):
        write_jsonl(path, [Utterance("lamp"), Utterance("lamp", spans=(Span(0, 9, "x"),))])
    assert read_texts(path) == ["old"]


# What cannot be used

BAD = {
    "missing.txt": (None, r"missing\.txt: no such file"),
    "empty.jsonl": ("", r"empty\.jsonl: the file is empty"),
    "blank.txt": ("\n \n", r"blank\.txt: no utterances"),
    "hole.txt": ("lamp\n\nlamp\n", r"hole\.txt:2: the text is blank"),
    "latin1.txt": (b"lamp\nl\xe4mp\n", r"latin1\.txt:2: not UTF-8 \(byte 0xe4 at 1\)"),
    "utf16.txt": ("lamp".encode("utf-16"), r"utf16\.txt:1: UTF-16"),
    "nul.txt": ("lamp\0on\n", r"nul\.txt:1: .*NUL"),
    "torn.txt.gz": (b"lamp", r"torn\.txt\.gz: not a whole gzip"),
    "a.jsonl": (jsonl({"text": "lamp"}) + "{text}\n", r"a\.jsonl:2: not JSON"),
    "deep.jsonl": ("[" * 100_000 + "\n", r"deep\.jsonl:1: not JSON"),
    "list.jsonl": ("[1]\n", r"list\.jsonl:1: not a JSON object"),
    "none.jsonl": (jsonl({"label": "on"}), r'none\.jsonl:1: no "text"'),
    "number.jsonl": (jsonl({"text": 3}), r'number\.jsonl:1: "text" must be a string'),
    "space.jsonl": (jsonl({"text": " \t"}), r"space\.jsonl:1: the text is blank"),
    "half.jsonl": ('{"text": "lamp \\ud83d"}\n', r"half\.jsonl:1: .*lone surrogate U\+D83D"),
    "label.jsonl": (jsonl({"text": "lamp", "label": 3}), r'label\.jsonl:1: "label" must be a string, not 3'),
    "nolabel.jsonl": (jsonl({"text": "lamp", "label": " "}), r"nolabel\.jsonl:1: the label is blank"),
    "id.jsonl": (jsonl({"text": "lamp", "id": [1]}), r'id\.jsonl:1: "id" must be'),
    "spans.jsonl": (jsonl({"text": "lamp", "spans": {}}), r'spans\.jsonl:1: "spans" must be a list'),
    "span.jsonl": (jsonl({"text": "lamp", "spans": [{"start": 0}]}), r"span\.jsonl:1: a span must be"),
    "nohead.csv": ("lamp on,on\n", r"nohead\.csv:1: no column 'text' in the header"),
    "twice.csv": ("text,text\n", r"twice\.csv:1: a column twice"),
    "quote.csv": ('text\n"lamp" on\n', r"quote\.csv:2: not CSV"),
    "wide.csv": ("text,label\nlamp,on,off\n", r"wide\.csv:2: 3 columns, but the header has 2"),
    "onlyhead.tsv": ("text\tlabel\n", r"onlyhead\.tsv: no utterances"),
    "massive.jsonl": (
        jsonl(MASSIVE[0] | {"annot_utt": "lamp in the [place : wall] on"}),
        r"massive\.jsonl:1: 'annot_utt' without its brackets is not 'utt'",
    ),
    "slot.jsonl": (jsonl({"utt": "a", "annot_utt": "[x : ] a"}), r"slot\.jsonl:1: slot 'x' .* is empty"),
    "mtop.txt": (MTOP + "lamp\n", r"mtop\.txt:2: not a row of MTOP: 1 columns"),
    "mtop2.txt": (MTOP.replace("4:8:SL:PLACE", "4-8"), r"mtop2\.txt:1: slot '4-8' is not"),
    "atis.tsv": ("utterance\tslot_labels\nold town\tO\n", r"atis\.tsv:2: 2 words in 'utterance' but 1 tags"),
    "tags.conll": ("old S-city\n", r"tags\.conll:1: tag 'S-city' is not BIO"),
    "one.conll": ("old\n", r"one\.conll:1: 'old' has one column"),
    "words.conll": ("# text = old town\nnew O\n", r"words\.conll:1: word 1, 'new', is not in the text at 0"),
    "short.conll": ("# text = old town\nold O\n", r"short\.conll:1: the words end before the text"),
    "comment.conll": ("old O\n\n# id = 2\n\n", r"comment\.conll:3: a comment without a sentence"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_cannot_be_used_is_one_line_with_file_line_and_cause(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / name
    if name == "torn.txt.gz":
        path.write_bytes(gzip.compress(b"lamp on\n" * 99)[:-9])
    elif content is not None:
        write(path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_utterances(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "spans", "message"),
    [
        ("lamp on", [(0, 8)], "does not fit a text of 7 characters"),
        ("lamp on", [(-1, 2)], "does not fit"),
        ("lamp on", [(3, 3)], "does not fit"),
        ("lamp on", [(0, 4), (3, 7)], r"span 3:7 'x' overlaps 0:4 'x'"),
        ("lamp on", [(4, 5)], "covers only white space"),
        ("cafe\u0301 on", [(0, 4)], "cuts a character in two at 4"),
        ("कमरे", [(0, 3)], "cuts a character in two at 3"),
        ("👩\u200d🍳 on", [(0, 1)], "cuts a character in two at 1"),
        ("🇵🇹🇩🇪", [(0, 3)], "cuts a character in two at 3"),
    ],
)
def test_spans_must_fit_the_text_and_each_other(tmp_path, text, spans, message):
    rows = [{"start": start, "end": end, "label": "x"} for start, end in spans]
    path = write(tmp_path / "a.jsonl", jsonl({"text": "lamp"}, {"text": text, "spans": rows}))
    with pytest.raises(DataError, match=rf"a\.jsonl:2: .*{message}"):
        read_utterances(path)


def test_whole_characters_are_not_cut():
    for text, cuts in {
        "👩\u200d🍳on": [3, 4],
        "🇵🇹🇩🇪": [2],
        "e\u0301a": [2],
        " \u0301a": [1, 2],
        "ab": [1],
    }.items():
        assert [at for at in range(1, len(text)) if not cuts_character(text, at)] == cuts


def test_partitions_belong_to_massive(tmp_path):
    with pytest.raises(UsageError, match="that is not MASSIVE"):
        read_utterances(write(tmp_path / "a.jsonl", jsonl({"text": "lamp"})), partition="train")
    massive = write(tmp_path / "b.jsonl", jsonl(*MASSIVE))
    with pytest.raises(UsageError, match="choose from train, dev, test"):
        read_utterances(massive, partition="tset")
    with pytest.raises(DataError, match="no utterances of partition 'dev'"):
        read_utterances(massive, partition="dev")


def test_an_unknown_format_is_named(tmp_path):
    (tmp_path / "a.docx").touch()
    with pytest.raises(UsageError, match=r"unknown format; name it \.txt, \.jsonl"):
        read_texts(tmp_path / "a.docx")
    with pytest.raises(DataError, match="no such file"):
        read_texts(tmp_path / "b.docx")
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(DataError, match="a folder, not a file"):
        read_texts(tmp_path / "a.txt")


# The licensed corpora themselves, where they are at hand

LOCALES = ["en-US", "de-DE", "es-ES", "fr-FR", "hi-IN", "ja-JP", "pt-PT", "th-TH", "tr-TR", "zh-CN"]


@pytest.mark.data
@pytest.mark.parametrize("locale", LOCALES)
def test_every_massive_row_maps_to_offsets(ftx_data, tmp_path, locale):
    """A sixteenth of the rows; ``ftx-edge data check`` reads them all."""
    path = ftx_data / "massive" / f"{locale}.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = [line for number, line in enumerate(file) if number % 16 == 0]
    sample = read_utterances(write(tmp_path / "sample.jsonl", "".join(rows)))
    assert len(sample) == len(rows)
    for row, utterance in zip(map(json.loads, rows), sample, strict=True):
        assert utterance.text == row["utt"]
        assert row["annot_utt"].count("[") == len(utterance.spans)
        for span in utterance.spans:
            assert f"[{span.label} : {utterance.text[span.start : span.end]}]".replace(" ", "") in row[
                "annot_utt"
            ].replace(" ", "")
