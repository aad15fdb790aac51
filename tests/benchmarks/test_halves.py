"""The paper's protocol for a corpus as it was published: who may see which rows."""

from __future__ import annotations

import pytest

from ftx_edge.benchmarks.halves import write_halves
from ftx_edge.data import Utterance, read_texts, read_utterances, write_jsonl
from ftx_edge.errors import UsageError


def _corpus(path, language, count, *, ids):
    rows = [Utterance(f"{language} {n}", f"label{n % 2}", (), ids.format(n)) for n in range(count)]
    write_jsonl(path, rows)
    return path


@pytest.fixture
def files(tmp_path):
    train = {
        "en": _corpus(tmp_path / "en.jsonl", "en", 20, ids="{}"),
        "de": _corpus(tmp_path / "de.jsonl", "de", 20, ids="{}"),
        "th": _corpus(tmp_path / "th.jsonl", "th", 12, ids="th-{}"),
    }
    return train, {lang: path for lang, path in train.items() if lang != "th"}


def _numbers(path):
    return {int(text.split()[1]) for text in read_texts(path)}


def test_no_target_text_translates_the_unlabelled_english(files, tmp_path):
    counts = write_halves(*files, tmp_path / "out")
    assert counts["en.labelled.jsonl"] == counts["en.unlabelled.txt"] == 10
    unlabelled = _numbers(tmp_path / "out" / "en.unlabelled.txt")
    labelled = _numbers(tmp_path / "out" / "en.labelled.jsonl")
    assert not unlabelled & labelled
    assert _numbers(tmp_path / "out" / "de.unlabelled.txt") == labelled


def test_a_corpus_that_is_not_parallel_is_taken_whole(files, tmp_path):
    assert write_halves(*files, tmp_path / "out")["th.unlabelled.txt"] == 12


def test_gold_is_the_same_text_with_labels_and_only_on_demand(files, tmp_path):
    assert "de.gold.jsonl" not in write_halves(*files, tmp_path / "out")
    write_halves(*files, tmp_path / "gold", gold=True)
    rows = read_utterances(tmp_path / "gold" / "de.gold.jsonl")
    assert [row.text for row in rows] == read_texts(tmp_path / "gold" / "de.unlabelled.txt")
    assert all(row.label for row in rows)


def test_without_english_nothing_can_be_cut(files, tmp_path):
    with pytest.raises(UsageError, match="no English"):
        write_halves({"de": files[0]["de"]}, files[1], tmp_path / "out")
