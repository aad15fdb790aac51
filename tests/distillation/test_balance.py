"""What a balanced step 1 trains on: which texts, with which weight."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")


from ftx_edge.batches import TrainingSet, collate
from ftx_edge.distillation.balance import Labelled, aligned_tags, join_sets, translated
from ftx_edge.distillation.progress import Silent
from ftx_edge.errors import FtxError
from ftx_edge.mplm.space import WordVectors
from ftx_edge.soft_labels import SoftLabels, SoftTags
from ftx_edge.tokenization import Encoded
from ftx_edge.translation import TranslationCache

pytestmark = pytest.mark.train
TAGS = ("O", "B-room", "I-room")


def training_set(texts: int, *, tagged: bool = False) -> TrainingSet:
    splits = np.arange(texts + 1, dtype=np.int64) * 3
    ids = np.arange(3 * texts, dtype=np.int32)
    encoded = Encoded(ids, np.zeros((3 * texts, 2), np.int32), splits)
    labels = np.full((texts, 2), 0.5, np.float32)
    if not tagged:
        return TrainingSet(encoded, labels)
    weights = np.tile(np.array([0, 1, 1], np.float32), texts)
    return TrainingSet(encoded, None, np.full((3 * texts, 3), 1 / 3, np.float32), weights)


def test_every_language_weighs_the_same():
    joined = join_sets([("en", training_set(6)), ("pt", training_set(2)), ("pt", training_set(1))])
    assert len(joined) == 9
    weights = joined.label_weights
    assert weights.mean() == pytest.approx(1)
    assert weights[:6].sum() == pytest.approx(weights[6:].sum())
    batch = collate(joined, np.array([0, 8]), pad_id=0)
    np.testing.assert_allclose(batch.label_weights.numpy(), weights[[0, 8]])
    assert joined.encoded.ids[joined.encoded.splits[6]] == 0  # the first subword of the first text in pt


def test_for_tags_it_is_the_words_that_weigh_the_same():
    joined = join_sets([("en", training_set(6, tagged=True)), ("pt", training_set(2, tagged=True))])
    assert joined.label_weights is None
    assert joined.tag_weights[:18].sum() == pytest.approx(joined.tag_weights[18:].sum())
    assert joined.tag_weights[0] == 0


def test_one_language_alone_keeps_its_weights():
    joined = join_sets([("en", training_set(4, tagged=True))])
    np.testing.assert_array_equal(joined.tag_weights, training_set(4, tagged=True).tag_weights)


class Backwards:
    """Translates by turning words round; has no translation of ``now`` and breaks on ``please``."""

    name, fingerprint = "backwards", "1"

    def translate(self, texts):
        if any(t.endswith("please") for t in texts):
            raise RuntimeError("too polite")
        return ["" if t.endswith("now") else " ".join(reversed(t.split())) for t in texts]


LABELS = SoftLabels(("a", "b"), np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5], [0.6, 0.4]], np.float32))
TEXTS = ("turn on", "play now", "stop please", "on turn")


def translate(source, tmp_path, **changes):
    options = {"cut": None, "space": None, "temperature": 0.1, "progress": Silent()} | changes
    cache = TranslationCache(tmp_path / "translations.sqlite")
    return translated(source, "pt", Backwards(), cache=cache, **options)


def test_translations_keep_the_english_labels_and_failures_are_left_out_and_counted(tmp_path):
    found = translate(Labelled("en", TEXTS, None, LABELS, None), tmp_path)
    assert found.labelled.texts == ("on turn", "turn on")
    assert found.labelled.lang == "pt"
    np.testing.assert_array_equal(found.labelled.labels.probs, LABELS.probs[[0, 3]])
    assert found.left_out == 2


def test_where_nothing_can_be_translated_the_reason_is_said(tmp_path):
    source = Labelled("en", TEXTS[2:3], None, LABELS.take(np.array([2])), None)
    with pytest.raises(FtxError, match="nothing could be translated into pt: RuntimeError: too polite"):
        translate(source, tmp_path)


class OneHotSpace:
    """A word is its first letter."""

    def words(self, texts, words):
        rows = [np.eye(26)[ord(t[a]) - 97] for t, own in zip(texts, words, strict=True) for a, b in own]
        offsets = np.array([s for own in words for s in own], np.int32)
        splits = np.cumsum([0, *map(len, words)])
        return WordVectors(np.array(rows, np.float32), offsets, splits, np.ones(len(rows), bool))


def test_tags_follow_their_words_into_the_translation():
    english, other = ("light kitchen", "all"), ("kuche licht", "alles")
    words, theirs = (((0, 5), (6, 13)), ((0, 3),)), (((0, 5), (6, 11)), ((0, 5),))
    probs = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
    tags = SoftTags.join(TAGS, [(np.array(words[0]), probs), (np.array(words[1]), probs[:1])])
    found = aligned_tags(OneHotSpace(), english, words, tags, other, theirs, temperature=0.05)
    assert found.probs.argmax(axis=1).tolist() == [1, 0, 0]
    assert found.splits.tolist() == [0, 2, 3]
    np.testing.assert_allclose(found.probs.sum(axis=1), 1, rtol=1e-5)
