"""Tags of subwords to spans of characters."""

from __future__ import annotations

import itertools
import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from ftx_edge.runtime import decode
from ftx_edge.runtime.spans import LATER, SpanDecoder
from ftx_edge.runtime.units import units_of_words

TAGS = ("O", "B-x", "I-x", "B-y", "I-y")


def probs_of(*tags: str, sure: float = 0.8) -> np.ndarray:
    rows = np.full((len(tags), len(TAGS)), (1 - sure) / (len(TAGS) - 1), dtype=np.float32)
    for row, tag in enumerate(tags):
        rows[row, TAGS.index(tag)] = sure
    return rows


def found(offsets, probs, text=None, boundaries="token"):
    return [(s.start, s.end, s.label) for s in decode(offsets, probs, TAGS, text, boundaries=boundaries)]


def test_neighbours_of_one_label_are_told_apart_by_begin():
    offsets = [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert found(offsets, probs_of("B-x", "B-x", "I-x", "B-y")) == [(0, 1, "x"), (1, 3, "x"), (3, 4, "y")]


def test_the_score_is_the_mean_probability_of_the_label():
    (span,) = decode([(0, 1), (1, 2)], probs_of("B-x", "I-x", sure=0.8), TAGS)
    assert span.score == pytest.approx(0.8 + 0.05)


@pytest.mark.parametrize("constant", [-5000, -650, 0, 650, 5000])
def test_a_constant_added_to_a_row_changes_no_score(constant):
    logits = np.log(probs_of("B-x", "I-x", "B-y").astype(np.float64))
    expected = SpanDecoder(TAGS)([(0, 1), (1, 2), (2, 3)], logits, None, whole_words=False)
    logits[1:] += constant
    spans = SpanDecoder(TAGS)([(0, 1), (1, 2), (2, 3)], logits, None, whole_words=False)
    assert [(s.start, s.end, s.label) for s in spans] == [(s.start, s.end, s.label) for s in expected]
    assert [s.score for s in spans] == pytest.approx([s.score for s in expected])


def test_special_tokens_are_passed_over():
    assert found([(0, 0), (0, 2), (0, 0)], probs_of("B-y", "B-x", "I-x")) == [(0, 2, "x")]
    assert found([], np.empty((0, 5))) == []


def test_each_token_has_one_distribution():
    with pytest.raises(ValueError, match="2 tag distributions for 1 tokens"):
        decode([(0, 1)], probs_of("O", "O"), TAGS)


def log_score(probs, path):
    return float(np.log(probs[np.arange(len(path)), path]).sum())


def is_valid(path):
    before = "O"
    for tag in (TAGS[i] for i in path):
        if tag[0] == "I" and before[2:] != tag[2:]:
            return False
        before = tag
    return True


@given(st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_path_is_the_best_of_all_that_are_valid(length, seed):
    probs = np.random.default_rng(seed).dirichlet(np.full(5, 0.5), size=length).astype(np.float32) + 1e-6
    offsets = [(i, i + 1) for i in range(length)]
    paths = [p for p in itertools.product(range(5), repeat=length) if is_valid(p)]
    best = max(paths, key=lambda path: log_score(probs, list(path)))
    # With one certain path the decoder has no choice left.
    certain = probs_of(*(TAGS[i] for i in best), sure=0.99)
    assert found(offsets, probs) == found(offsets, certain)


@given(st.integers(1, 5), st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.0, 4.0]))
def test_subwords_of_one_word_choose_its_tag_together(words, seed, spread):
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 4, size=words)
    logits = rng.normal(scale=spread, size=(counts.sum(), len(TAGS))).astype(np.float32)
    onward = [0, 2, 2, 4, 4]  # B-x and I-x go on as I-x
    first = np.cumsum(counts) - counts
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    means = probs[first].astype(np.float64)
    for word, count in enumerate(counts):
        if count > 1:
            means[word] += LATER * probs[first[word] + 1 : first[word] + count][:, onward].mean(axis=0)
    scores = np.log(means)
    valid = [p for p in itertools.product(range(5), repeat=words) if is_valid(p)]
    best = max(valid, key=lambda path: scores[np.arange(words), list(path)].sum())
    text = " ".join("ab" if n == 2 else "a" if n == 1 else "abc" for n in counts)
    offsets = [m.span() for m in re.finditer("[a-z]", text)]
    places = [m.span() for m in re.finditer("[a-z]+", text)]
    certain = SpanDecoder(TAGS)(places, np.eye(5)[list(best)] * 9, text, whole_words=True)
    mine = SpanDecoder(TAGS)(offsets, logits, text, whole_words=True)
    assert [(s.start, s.end, s.label) for s in mine] == [(s.start, s.end, s.label) for s in certain]


def test_the_first_subword_of_a_word_counts_more_than_the_others_together():
    sure, other = [0.1, 0.6, 0.1, 0.1, 0.1], [0.7, 0.05, 0.15, 0.05, 0.05]
    probs = np.array([sure, other, other], dtype=np.float32)
    places = [(0, 2), (2, 4), (4, 6)]
    (span,) = decode(places, probs, TAGS, "evlere", boundaries="word")
    assert (span.start, span.end, span.label) == (0, 6, "x")
    assert decode(places, probs[[1, 0, 0]], TAGS, "evlere", boundaries="word") == []


@given(st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_a_tag_set_without_begin_finds_only_what_can_begin(length, seed):
    tags = ("O", "B-x", "I-x", "I-y")
    logits = np.random.default_rng(seed).normal(size=(length, 4)).astype(np.float32)
    spans = SpanDecoder(tags)([(i, i + 1) for i in range(length)], logits, None, whole_words=False)
    assert {span.label for span in spans} <= {"x"}


def test_inside_a_word_no_span_begins_or_ends():
    text, offsets = "nova york", [(0, 4), (4, 7), (7, 9)]
    split = np.concatenate([probs_of("O"), probs_of("B-x", sure=0.9), probs_of("O", sure=0.5)])
    assert found(offsets, split, text, "token") == [(5, 7, "x")]
    assert found(offsets, split, text, "word") == [(5, 9, "x")]


def test_a_word_may_hold_an_apostrophe_and_an_elided_one_ends_with_it():
    text, offsets = "l'aujourd'hui", [(0, 1), (1, 2), (2, 9), (9, 10), (10, 13)]
    split = np.concatenate(
        [probs_of("O"), probs_of("O"), probs_of("B-x", sure=0.9), probs_of("O", "O", sure=0.5)]
    )
    assert found(offsets, split, text, "token") == [(2, 9, "x")]
    assert found(offsets, split, text, "word") == [(2, 13, "x")]


def test_what_separates_unseen_separates_words():
    offsets = [(0, 1), (1, 2), (2, 3)]
    assert found(offsets, probs_of("O", "O", "B-x"), "a\u200bb", "word") == [(2, 3, "x")]


def test_where_first_subwords_were_trained_the_others_are_not_heard():
    text, offsets = "nova york já", [(0, 4), (4, 7), (7, 9), (9, 12)]
    logits = np.log(probs_of("O", "B-x", "B-y", "O"))
    (span,) = SpanDecoder(TAGS)(offsets, logits, text, whole_words=True, first_subword=True)
    assert (span.start, span.end, span.label) == (5, 9, "x")
    assert span.score == pytest.approx(0.8 + 0.05)


def test_where_words_begin_a_model_may_say():
    text, offsets = "東京都に", [(0, 0), (0, 1), (1, 2), (2, 3), (3, 4)]
    probs = probs_of("O", "B-x", "O", "B-y", "B-y")
    words = decode(offsets, probs, TAGS, text, begins=[False, True, False, False, True])
    assert [(s.start, s.end, s.label) for s in words] == [(0, 3, "x"), (3, 4, "y")]
    assert found(offsets, probs, text) == [(0, 1, "x"), (2, 3, "y"), (3, 4, "y")]
    # The first subword begins a word, whatever is said; what lies apart is not one word.
    apart = decode([(0, 1), (2, 3)], probs_of("B-x", "O"), TAGS, "東 京", begins=[False, False])
    assert [(s.start, s.end) for s in apart] == [(0, 1)]
    with pytest.raises(ValueError, match="1 beginnings of words for 5 tokens"):
        decode(offsets, probs, TAGS, text, begins=[True])


def test_words_of_a_segmenter_are_kept_whole():
    text, offsets = "東京都に", [(0, 1), (1, 2), (2, 3), (3, 4)]
    logits = np.log(probs_of("B-x", "B-y", "I-x", "O"))
    (span,) = SpanDecoder(TAGS)(offsets, logits, text, whole_words=False, words=[(0, 3), (3, 4)])
    assert (span.start, span.end) == (0, 3)


def test_a_word_whose_first_subword_lies_in_the_word_before_goes_with_it():
    # 京都 | に | 行く, where one subword covers the end of the first word and the second.
    words, offsets = [(0, 2), (2, 3), (3, 5)], [(0, 0), (0, 1), (1, 3), (3, 5)]
    assert units_of_words(offsets, words, first_subword=True) == ([[1, 2], [3]], [(0, 3), (3, 5)])
    longer = [*offsets[:2], (1, 3), (3, 4), (4, 5)]
    assert units_of_words(longer, [(0, 2), (2, 4), (4, 5)], first_subword=True)[0] == [[1, 2, 3], [4]]
    # A student that learned every subword has heard the second one too.
    assert units_of_words(longer, [(0, 2), (2, 4), (4, 5)], first_subword=False)[0] == [[1, 2], [3], [4]]


def test_words_beyond_the_last_subword_are_left_out():
    assert units_of_words([(0, 0), (0, 2)], [(0, 2), (2, 4)], first_subword=False) == ([[1]], [(0, 2)])
    assert units_of_words([(0, 0)], [(0, 2)], first_subword=True) == ([], [])


def test_white_space_at_the_ends_is_not_part_of_a_span():
    assert found([(0, 4), (4, 8), (8, 9)], probs_of("O", "B-x", "I-x"), "liga luz ") == [(5, 8, "x")]


def test_a_lone_word_start_piece_bears_no_label():
    # The piece that marks the beginning of a word lies on the first character of the next piece.
    assert found([(0, 1), (0, 2), (2, 3)], probs_of("B-y", "B-x", "O"), "ab c") == [(0, 2, "x")]


def test_marks_stay_with_their_character():
    text = "cafe\u0301 x"
    assert found([(0, 4), (6, 7)], probs_of("B-x", "O"), text) == [(0, 5, "x")]
    assert found([(0, 4), (4, 5), (6, 7)], probs_of("B-x", "B-y", "O"), text) in (
        [(0, 5, "x")],
        [(0, 5, "y")],
    )


def make_tokenizer() -> Tokenizer:
    alphabet = {c: i for i, c in enumerate(["[UNK]", *"abcdefghijklmnopqrstuvwxyzé", "ab", "ca"])}
    tokenizer = Tokenizer(models.BPE(alphabet, [("a", "b"), ("c", "a")], unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Metaspace(prepend_scheme="always"), pre_tokenizers.Punctuation()]
    )
    return tokenizer


TOKENIZER = make_tokenizer()
ODD = st.text(alphabet="abcé ﬁＦ１한カﾞ家क्षि\u0301\u0323\u200d\ufe0f👩🏽👧İß.,'", max_size=20)


@given(ODD, st.integers(0, 2**32 - 1), st.sampled_from(["token", "word"]))
def test_spans_of_any_text_are_in_order_disjoint_and_cut_no_character(text, seed, boundaries):
    offsets = TOKENIZER.encode(text).offsets
    probs = np.random.default_rng(seed).dirichlet(np.full(5, 0.5), size=len(offsets)).reshape(-1, 5)
    before = 0
    for span in decode(offsets, probs, TAGS, text, boundaries=boundaries):
        assert before <= span.start < span.end <= len(text)
        assert span.text == text[span.start : span.end]
        assert not span.text[0].isspace()
        assert not span.text[-1].isspace()
        assert 0 <= span.score <= 1
        if span.end < len(text):
            assert unicodedata.category(text[span.end])[0] != "M"
        before = span.end
