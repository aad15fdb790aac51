"""Words as character spans over the untouched text."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ftx_edge.errors import MissingExtraError, UsageError
from ftx_edge.runtime.units import units_of_tokens
from ftx_edge.utterance import INVISIBLE, cuts_character
from ftx_edge.words import segmented, segmenter

# The same examples each time, however slow the machine.
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")

NAMES = {"whitespace": "pt", "characters": "km", "jieba": "zh", "fugashi": "ja", "pythainlp": "th"}
LIBRARIES = {"jieba": "jieba", "fugashi": "fugashi", "pythainlp": "pythainlp"}

# Letters, marks, joiners, emoji, full-width forms, unspaced scripts and white space of several kinds.
texts = st.text(
    st.sampled_from(
        "aé e\u0301\u0327 \t\n\u3000\u200b\u200d\ufe0f👩🍳🏽🇵🇹ｆ１２3.,:'-_/() "
        "明日の朝七时半给妈妈打电话พรุ่งนี้ตอนเช้าकमरेकी"
    )
    | st.characters(exclude_categories=["Cs", "Cc"]),
    max_size=30,
)


@pytest.fixture(scope="module", params=NAMES)
def segment(request):
    library = LIBRARIES.get(request.param)
    if library and importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    return segmenter(NAMES[request.param], request.param)


def cut(lang: str, text: str, name: str | None = None) -> list[str]:
    return [text[start:end] for start, end in segmenter(lang, name)(text)]


@given(text=texts)
def test_words_are_in_order_and_cover_all_but_white_space(segment, text):
    at = 0
    for start, end in segment(text):
        assert at <= start < end <= len(text)
        assert not "".join(c for c in text[at:start] if c not in INVISIBLE).strip()
        assert not any(c.isspace() or c in INVISIBLE for c in text[start:end])
        at = end
    assert not "".join(c for c in text[at:] if c not in INVISIBLE).strip()


@given(text=texts)
def test_no_edge_of_a_word_cuts_a_character(segment, text):
    assert not any(cuts_character(text, at) for word in segment(text) for at in word)


@pytest.mark.parametrize(
    ("lang", "text", "words"),
    [
        ("pt", "toca  a música, já!", "toca|a|música|,|já|!"),
        ("pt", "na terça-feira - às 7:30, 2.5 h; 3,", "na|terça-feira|-|às|7:30|,|2.5|h|;|3|,"),
        ("fr", "l'heure d\u2019aujourd\u2019hui", "l'|heure|d\u2019|aujourd\u2019hui"),
        ("fr", "qu'est-ce jusqu'à l'après-midi", "qu'|est-ce|jusqu'|à|l'|après-midi"),
        ("fr", "donne-m'en presqu'île", "donne-m'|en|presqu'île"),
        ("it", "un'ora dell'orologio, dov'è", "un'|ora|dell'|orologio|,|dov'|è"),
        ("tr", "istanbul'daki saat", "istanbul|'daki|saat"),
        ("en", "'mum's' o'clock rock 'n' roll", "'|mum|'s|'|o'clock|rock|'|n|'|roll"),
        ("uk", "о п'ятій", "о|п'ятій"),
        (
            "en",
            "week's-end covid-19 2-3 a--b -a b- 'c d'",
            "week|'s-end|covid-19|2|-|3|a|-|-|b|-|a|b|-|'|c|d|'",
        ),
        ("fr", "cafe\u0301-bar e\u0301' '", "cafe\u0301-bar|e\u0301|'|'"),
        ("pt", "cafe\u0301 agora", "cafe\u0301|agora"),
        ("hi", "कमरे की बत्ती", "कमरे|की|बत्ती"),
        ("en", "hi 👩🏽\u200d🍳🇵🇹!", "hi|👩🏽\u200d🍳|🇵🇹|!"),
        ("en", "", ""),
        ("en", " \n", ""),
    ],
)
def test_between_spaces_with_punctuation_marks_apart(lang, text, words):
    assert cut(lang, text) == (words.split("|") if words else [])


@pytest.mark.parametrize(
    ("lang", "library", "text", "words"),
    [
        ("zh", "jieba", "明天早上打开客厅的灯", "明天|早上|打开|客厅|的|灯"),
        ("zh-CN", "jieba", "打开 灯", "打开|灯"),
        ("ja", "fugashi", "明日の朝に起こして", "明日|の|朝|に|起こし|て"),
        ("th", "pythainlp", "เปิดไฟห้องครัว ตอนเช้า", "เปิดไฟ|ห้องครัว|ตอนเช้า"),
    ],
)
def test_languages_without_spaces_take_their_own_segmenter(lang, library, text, words):
    pytest.importorskip(library)
    assert segmenter(lang).name == library
    assert segmenter(lang).version
    assert cut(lang, text) == words.split("|")


@given(text=texts)
def test_the_device_joins_the_tokens_of_a_word(text):
    # A token for each character.
    words = segmenter("pt")(text)
    offsets = [(at, at + 1) for at, char in enumerate(text) if not char.isspace() and char not in INVISIBLE]
    units = units_of_tokens(offsets, text, whole_words=True)
    assert [(offsets[unit[0]][0], offsets[unit[-1]][1]) for unit in units] == words


def test_characters_are_words_where_nothing_better_is_known():
    assert cut("zh", "开灯 a\u0301b", "characters") == ["开", "灯", "a\u0301", "b"]


def test_a_missing_library_names_its_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for lang, extra in {"zh": "zh", "ja": "ja", "th": "th"}.items():
        with pytest.raises(MissingExtraError, match=rf"pip install 'ftx-edge\[{extra}\]'"):
            segmenter(lang)


def test_an_unknown_name_is_refused_with_the_choice():
    with pytest.raises(
        UsageError, match="'mecab' is not a segmenter: choose from whitespace, characters, jieba"
    ):
        segmenter("ja", "mecab")
    with pytest.raises(UsageError, match="'portuguese!' is not a language code"):
        segmenter("portuguese!")


def test_segmented_text_has_one_space_between_words_and_remembers_where_they_were():
    text = "开灯,  now"
    shown = segmented(text, [(0, 1), (1, 2), (2, 3), (5, 8)])
    assert shown.text == "开 灯 , now"
    assert shown.origin.tolist() == [0, -1, 1, -1, 2, -1, 5, 6, 7]
    # With the space before a word, without it, over two words, only the space, nothing.
    offsets = [(5, 9), (6, 9), (0, 3), (1, 2), (0, 0)]
    assert shown.back(offsets).tolist() == [[5, 8], [5, 8], [0, 2], [0, 0], [0, 0]]


@given(text=texts)
def test_every_word_of_segmented_text_leads_back_to_its_place(segment, text):
    words = segment(text)
    shown = segmented(text, words)
    assert shown.text == " ".join(text[start:end] for start, end in words)
    ends = np.cumsum([end - start + 1 for start, end in words]) - 1
    there = [(int(end) - (word[1] - word[0]), int(end)) for end, word in zip(ends, words, strict=True)]
    assert [tuple(pair) for pair in shown.back(there).tolist()] == words
