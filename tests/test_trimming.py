"""The student's tokenizer out of the mPLM's: what is kept, what rare and new words fall back to."""

from __future__ import annotations

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from ftx_edge.errors import UsageError
from ftx_edge.tokenization import CLS, PAD, UNK, encode
from ftx_edge.trimming import scored_pieces, trimmed_tokenizer

PIECES = {
    "▁acenda": -5.0, "▁a": -2.0, "▁luz": -6.0, "▁da": -3.0, "▁co": -5.0, "zinha": -6.0, "▁sala": -7.0,
    "▁the": -1.0, "▁light": -4.0, "sa": -6.0, "la": -5.0, "▁": -4.0, "a": -5.0, "s": -5.0, "l": -5.5,
    "灯": -7.0, "打开": -8.0, "厨房": -8.0, "开厨": -3.0, "打": -5.0, "开": -9.0, "厨": -9.0, "房": -5.0,
    "▁Luz": -3.0,
}  # fmt: skip


@pytest.fixture
def mplm() -> Tokenizer:
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(models.Unigram([*((s, 0.0) for s in specials), *PIECES.items()], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(specials)
    return tokenizer


TEXTS = ("acenda a luz da cozinha", "acenda a luz da sala", "ACENDA a luz?")


def test_the_pieces_that_the_text_uses_are_kept_and_no_others(mplm):
    tokenizer = trimmed_tokenizer(mplm, TEXTS, lang="pt")
    vocabulary = tokenizer.get_vocab()
    assert {"▁acenda", "▁luz", "zinha", "▁sala"} <= vocabulary.keys()
    assert not {"▁the", "▁light", "▁Luz", "灯", "<s>"} & vocabulary.keys()


def near(mplm, *pieces):
    """Embeddings in which those pieces are like the ones that the texts use, and no others."""
    counts = {piece for text in TEXTS for piece in trimmed_tokenizer(mplm, [text], lang="pt").get_vocab()}
    rows = np.zeros((mplm.get_vocab_size(), 2), np.float32)
    for piece, row in mplm.get_vocab().items():
        rows[row, 0] = 1.0 if piece in counts | set(pieces) else -1.0
    return rows


def test_spare_pieces_are_those_most_like_the_ones_that_the_text_uses(mplm):
    plain = trimmed_tokenizer(mplm, TEXTS, lang="pt")
    embeddings = near(mplm, "▁the", "▁light")
    spared = trimmed_tokenizer(mplm, TEXTS, lang="pt", spare_pieces=2, embeddings=embeddings)
    assert spared.get_vocab_size() == plain.get_vocab_size() + 2
    assert spared.get_vocab().keys() - plain.get_vocab().keys() == {"▁the", "▁light"}
    for text in TEXTS:
        assert spared.encode(text).tokens == plain.encode(text).tokens
    assert spared.encode("the light").tokens == [CLS, "▁the", "▁light"]


def test_pieces_of_made_texts_are_left_out_that_the_segmenter_cuts_in_two(mplm):
    texts, words = ["打开厨房", "开厨"], [[(0, 2), (2, 4)], [(0, 2)]]

    def tokens(**options):
        return trimmed_tokenizer(mplm, texts, lang="zh", words=words, **options).get_vocab()

    def cut(piece):
        return [(0, 1), (1, 2)] if piece == "开厨" else [(0, len(piece))]

    assert "开厨" in tokens()
    assert "开厨" in tokens(own=2, cut=cut)
    assert "开厨" not in tokens(own=1, cut=cut)
    assert {"打开", "厨房", "开", "厨"} <= tokens(own=1, cut=cut).keys()


def test_spare_pieces_are_as_many_as_there_are(mplm):
    spared = trimmed_tokenizer(mplm, TEXTS, lang="pt", spare_pieces=1000, embeddings=near(mplm))
    tokens = spared.get_vocab()
    assert {"▁the", "▁light", "sa", "la"} <= tokens.keys()
    assert not {"灯", "打开", "▁Luz"} & tokens.keys()  # another script, upper case


def test_spare_pieces_of_an_unspaced_language_do_not_begin_words(mplm):
    texts, embeddings = ("打开厨房",), near(mplm)
    spared = trimmed_tokenizer(mplm, texts, lang="zh", spare_pieces=1000, embeddings=embeddings)
    tokens = spared.get_vocab()
    assert {"灯", "厨"} <= tokens.keys()
    assert "▁the" not in tokens


def test_special_tokens_have_the_numbers_that_packages_rely_on(mplm):
    tokenizer = trimmed_tokenizer(mplm, TEXTS, lang="pt", max_length=5)
    assert [tokenizer.token_to_id(name) for name in (PAD, UNK, CLS)] == [0, 1, 2]
    assert tokenizer.encode("").ids == [2]
    assert tokenizer.encode("acenda").tokens == [CLS, "▁acenda"]
    assert len(tokenizer.encode("acenda a luz da sala").ids) == 5
    assert tokenizer.encode("日本").ids[-1] == 1


def test_frequent_pieces_come_first_and_rare_ones_fall_apart(mplm):
    whole = trimmed_tokenizer(mplm, TEXTS, lang="pt")
    assert whole.get_vocab()["▁acenda"] < whole.get_vocab()["▁sala"]
    assert whole.encode("a sala").tokens == [CLS, "▁a", "▁sala"]
    characters = {c for text in TEXTS for c in text.lower() if c != " "} | {"▁"}
    small = trimmed_tokenizer(mplm, TEXTS, lang="pt", vocab_size=3 + len(characters) + 4)
    tokens = small.encode("a sala").tokens
    assert "▁sala" not in tokens
    assert UNK not in tokens
    assert "".join(tokens[1:]) == "▁a▁sala"


def test_words_never_seen_are_spelt_with_known_characters(mplm):
    tokens = trimmed_tokenizer(mplm, TEXTS, lang="pt").encode("saca").tokens
    assert UNK not in tokens
    assert "".join(tokens[1:]) == "▁saca"


def test_characters_that_the_mplm_does_not_know_are_pieces_too(mplm):
    assert "?" not in PIECES
    assert trimmed_tokenizer(mplm, TEXTS, lang="pt").encode("luz?").tokens[-1] == "?"


def test_no_piece_is_counted_across_two_words_that_no_space_parts(mplm):
    text, words = "打开厨房灯", [(0, 2), (2, 4), (4, 5)]
    assert "开厨" in trimmed_tokenizer(mplm, [text], lang="zh").get_vocab()
    tokenizer = trimmed_tokenizer(mplm, [text], lang="zh", words=[words])
    assert tokenizer.encode(text).tokens == [CLS, "打开", "厨房", "灯"]
    assert "▁" not in tokenizer.get_vocab()


def test_offsets_count_in_the_text_as_it_is(mplm):
    tokenizer = trimmed_tokenizer(mplm, TEXTS, lang="pt")
    offsets = encode(tokenizer, ["ACENDA a luz"]).offsets.tolist()
    assert offsets[1] == [0, 6]
    assert offsets[-1][1] == 12


def test_the_same_texts_give_the_same_bytes(mplm):
    assert trimmed_tokenizer(mplm, TEXTS, lang="pt").to_str() == (
        trimmed_tokenizer(mplm, TEXTS, lang="pt").to_str()
    )


def test_it_reads_back_as_it_was(mplm):
    tokenizer = trimmed_tokenizer(mplm, TEXTS, lang="pt")
    again = Tokenizer.from_str(tokenizer.to_str())
    assert again.encode("acenda a [CLS] cozinha").ids == tokenizer.encode("acenda a [CLS] cozinha").ids


def test_other_kinds_of_vocabulary_are_refused():
    with pytest.raises(UsageError, match='has BPE: use "mplm-embeddings"'):
        scored_pieces(Tokenizer(models.BPE()))


def test_a_vocabulary_smaller_than_the_alphabet_is_refused(mplm):
    with pytest.raises(UsageError, match="different characters"):
        trimmed_tokenizer(mplm, TEXTS, lang="pt", vocab_size=8)


@pytest.mark.train
def test_transformers_opens_it_as_it_is(mplm, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = trimmed_tokenizer(mplm, TEXTS, lang="pt")
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    opened = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(tmp_path / "tokenizer.json"), pad_token=PAD, unk_token=UNK, cls_token=CLS
    )
    for text in ("Acenda a luz da cozinha!", "saca 日", ""):
        assert opened(text)["input_ids"] == tokenizer.encode(text).ids
