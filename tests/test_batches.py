"""Batches by length, padded to their longest member, in an order that (seed, epoch) decides."""

from __future__ import annotations

import numpy as np
import pytest

from ftx_edge.errors import FtxError

torch = pytest.importorskip("torch")

from ftx_edge.batches import (  # noqa: E402
    TrainingSet,
    batch_rows,
    collate,
    epoch_batches,
    evaluation_batches,
)
from ftx_edge.forward import distributions  # noqa: E402
from ftx_edge.students.model import Outputs  # noqa: E402
from ftx_edge.tokenization import Encoded  # noqa: E402


def encoded(lengths) -> Encoded:
    """Text i has ``lengths[i]`` subwords; they are numbered from 1 over all texts."""
    splits = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.arange(1, splits[-1] + 1, dtype=np.int32)
    return Encoded(ids, np.zeros((len(ids), 2), dtype=np.int32), splits)


LENGTHS = np.random.default_rng(0).integers(2, 60, size=203)


def rows_of(batches):
    return sorted(int(row) for batch in batches for row in batch)


@pytest.mark.parametrize("rng", [None, np.random.default_rng(1)], ids=["evaluation", "training"])
@pytest.mark.parametrize(("size", "tokens"), [(32, 4096), (32, 200), (1, 4096), (1000, 64)])
def test_every_row_is_in_one_batch_within_size_and_budget(rng, size, tokens):
    batches = batch_rows(LENGTHS, batch_size=size, batch_tokens=tokens, rng=rng)
    assert rows_of(batches) == list(range(203))
    for batch in batches:
        assert len(batch) <= size
        assert len(batch) * LENGTHS[batch].max() <= tokens


def test_a_text_longer_than_the_budget_is_a_batch_by_itself():
    batches = batch_rows(np.array([5, 90, 5]), batch_size=8, batch_tokens=64, rng=None)
    assert [b.tolist() for b in batches] == [[1], [0, 2]]


def test_rows_of_about_one_length_share_a_batch():
    data = TrainingSet(encoded(LENGTHS))
    batches = epoch_batches(data, batch_size=16, batch_tokens=4096, seed=0, epoch=0)
    padded = sum(len(b) * LENGTHS[b].max() for b in batches)
    assert padded < 1.15 * LENGTHS.sum()


def test_evaluation_goes_from_the_longest_to_the_shortest():
    longest = [LENGTHS[b].max() for b in evaluation_batches(LENGTHS, batch_tokens=300)]
    assert longest == sorted(longest, reverse=True)


def test_the_order_depends_on_seed_and_epoch_alone():
    data = TrainingSet(encoded(LENGTHS))

    def order(seed, epoch):
        np.random.default_rng().random()
        batches = epoch_batches(data, batch_size=16, batch_tokens=999, seed=seed, epoch=epoch)
        return [b.tolist() for b in batches]

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
    assert rows_of(order(0, 2)) == list(range(203))


def test_every_process_gets_as_many_batches():
    data = TrainingSet(encoded(LENGTHS))
    batches = epoch_batches(data, batch_size=16, batch_tokens=4096, seed=0, epoch=0, shards=4)
    assert len(batches) % 4 == 0


def test_fewer_batches_than_processes_are_refused():
    with pytest.raises(FtxError, match="3 utterances are fewer than a batch for each of 2 processes"):
        epoch_batches(
            TrainingSet(encoded([3, 3, 3])), batch_size=8, batch_tokens=99, seed=0, epoch=0, shards=2
        )


def test_a_batch_is_padded_to_its_longest_member():
    data = TrainingSet(encoded([2, 4, 1]), label_targets=np.eye(3, dtype=np.float32))
    batch = collate(data, np.array([2, 0]), pad_id=99)
    assert batch.input_ids.tolist() == [[7, 99], [1, 2]]
    assert batch.attention_mask.tolist() == [[1, 0], [1, 1]]
    assert batch.label_targets.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert batch.tag_targets is None
    assert batch.size == 2


def test_padding_has_no_tag_target():
    probs = np.arange(6, dtype=np.float32).reshape(3, 2)
    data = TrainingSet(encoded([2, 1]), tag_targets=probs, tag_weights=np.array([1, 0.5, 1], np.float32))
    batch = collate(data, np.array([0, 1]), pad_id=0)
    assert batch.tag_targets.tolist() == [[[0, 1], [2, 3]], [[4, 5], [0, 0]]]
    assert batch.tag_weights.tolist() == [[1, 0.5], [1, 0]]


def test_distributions_come_back_in_the_order_of_the_texts():
    class Echo(torch.nn.Module):
        """Is sure of label ``first subword modulo 3`` and of tag ``subword modulo 2``."""

        def forward(self, input_ids, attention_mask):
            one_hot = torch.nn.functional.one_hot
            begins = 20.0 * (input_ids % 5 == 0) - 10.0
            labels, tags = one_hot(input_ids[:, 0] % 3, 3), one_hot(input_ids % 2, 2)
            return Outputs(20.0 * labels, 20.0 * tags, begins)

    texts = encoded([3, 60, 1, 7])
    labels, tags, words = distributions(Echo(), texts, pad_id=0, device=torch.device("cpu"))
    assert labels.argmax(1).tolist() == [int(texts.ids[s]) % 3 for s in texts.splits[:-1]]
    assert tags.argmax(1).tolist() == [int(i) % 2 for i in texts.ids]
    assert (words > 0.5).tolist() == [int(i) % 5 == 0 for i in texts.ids]
    np.testing.assert_allclose(labels.sum(1), 1, atol=1e-6)
