"""Students that start from the mPLM: which state each piece gets, and how it is projected."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from tokenizers import Tokenizer

from ftx_edge.distillation import distill, start, text_states
from ftx_edge.distillation.start import piece_vectors, project, start_from_mplm
from ftx_edge.distillation.text_states import TextStates, overlap
from ftx_edge.mplm.model import MultilingualModel, load_encoder, load_tokenizer
from ftx_edge.students import ARCHITECTURES, StudentConfig, build_student
from ftx_edge.tokenization import encode, train_tokenizer

CPU = torch.device("cpu")


def test_stretches_share_characters():
    one, two = np.array([[0, 0], [0, 3], [3, 6]]), np.array([[0, 2], [2, 5], [6, 6]])
    assert overlap(one, two).tolist() == [[0, 0, 0], [2, 1, 0], [0, 2, 0]]


def test_the_projection_has_the_scale_asked_for_and_keeps_distances():
    vectors = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    counts = np.ones(50, dtype=np.int64)
    whole = project(vectors, counts, size=8, scale=0.1)
    assert whole.std() == pytest.approx(0.1)
    ratio = np.linalg.norm(whole[0] - whole[1]) / np.linalg.norm(vectors[0] - vectors[1])
    assert np.linalg.norm(whole[2] - whole[9]) == pytest.approx(
        ratio * np.linalg.norm(vectors[2] - vectors[9]), rel=1e-4
    )
    assert project(vectors, counts, size=3, scale=0.1).shape == (50, 3)
    assert project(vectors, counts, size=20, scale=0.1).shape == (50, 8)


def test_frequent_pieces_decide_the_directions():
    vectors = np.zeros((40, 2), dtype=np.float32)
    vectors[:2, 0] = (1, -1)
    vectors[2:, 1] = np.tile((1, -1), 19)
    counts = np.ones(40, dtype=np.int64)
    assert np.abs(project(vectors, counts, size=1, scale=1)[:2]).max() < 1e-6
    counts[:2] = 1000
    assert np.abs(project(vectors, counts, size=1, scale=1)[2:]).max() < 1e-6


@pytest.fixture(scope="module")
def mplm(tiny_world):
    model = MultilingualModel(load_encoder(str(tiny_world.mplm)), labels=("a", "b"), tags=())
    return model, load_tokenizer(str(tiny_world.mplm))


def states_of(mplm, texts):
    return TextStates(*mplm, texts, None, device=CPU, precision="fp32")


@pytest.fixture(scope="module")
def texts(tiny_world):
    return tiny_world.target.read_text(encoding="utf-8").splitlines()


@pytest.mark.train
def test_a_piece_gets_the_mean_of_the_states_over_its_characters(mplm, texts):
    model, tokenizer = mplm
    own = train_tokenizer(texts, lang="pt", vocab_size=90)
    _, counts = piece_vectors(own, states_of(mplm, texts))
    ids = encode(own, texts).ids
    np.testing.assert_array_equal(counts[3:], np.bincount(ids, minlength=len(counts))[3:])
    assert counts[:3].sum() == 0
    (one,) = piece_vectors(own, states_of(mplm, texts[:1]))[:1]
    encoded = encode(own, texts[:1])
    theirs = tokenizer.encode(texts[:1])
    with torch.inference_mode():
        states = model.eval().encoder(
            input_ids=torch.from_numpy(theirs.ids[None].astype(np.int64)),
            attention_mask=torch.ones(1, len(theirs.ids), dtype=torch.int64),
        ).last_hidden_state[0].numpy()  # fmt: skip
    start, end = encoded.offsets[-1]
    assert (encoded.ids == encoded.ids[-1]).sum() == 1
    share = np.array([[max(0, min(end, b) - max(start, a)) for a, b in theirs.offsets]])
    np.testing.assert_allclose(one[encoded.ids[-1]], (share @ states / share.sum())[0], atol=1e-5)


@pytest.mark.train
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_starts_with_projected_embeddings(mplm, texts, architecture):
    own = train_tokenizer(texts, lang="pt", vocab_size=90)
    config = StudentConfig(architecture, own.get_vocab_size(), ("a", "b"), embedding_size=16, heads=2)
    student, plain = build_student(config), build_student(config)
    found = start_from_mplm(student, own, states_of(mplm, texts))
    assert 10 < found <= own.get_vocab_size() - 3
    new, old = student.embedding.weight.detach(), plain.embedding.weight.detach()
    assert torch.equal(new[:3], old[:3])
    assert not torch.equal(new[3:], old[3:])
    assert float(new[3:].std()) == pytest.approx(0.1, rel=0.2)


@pytest.mark.train
def test_texts_of_pieces_that_were_read_often_enough_are_counted_alone(mplm, texts, monkeypatch):
    own = train_tokenizer(texts, lang="pt", vocab_size=90)
    read, last_states = [], text_states.last_states

    def recorded(encoder, encoded, **settings):
        read.append(len(encoded))
        return last_states(encoder, encoded, **settings)

    monkeypatch.setattr(text_states, "last_states", recorded)
    once, many = (piece_vectors(own, states_of(mplm, texts[:1] * times)) for times in (1, 50))
    assert read == [1, start.ENOUGH]
    np.testing.assert_allclose(many[0], once[0], atol=1e-5)
    np.testing.assert_array_equal(many[1], 50 * once[1])


@pytest.mark.train
def test_the_vectors_of_pieces_are_computed_once(mplm, texts, tmp_path, monkeypatch):
    own = train_tokenizer(texts, lang="pt", vocab_size=90)
    kept = tmp_path / "cache" / "pieces.safetensors"

    def started():
        student = build_student(StudentConfig("cnn", own.get_vocab_size(), ("a", "b"), embedding_size=16))
        start_from_mplm(student, own, states_of(mplm, texts), kept=kept)
        return student.embedding.weight.detach()[3:]

    first = started()
    whole = kept.read_bytes()
    kept.write_bytes(whole[:50])
    damaged = started()
    monkeypatch.setattr(start, "piece_vectors", None)
    assert torch.equal(first, damaged)
    assert kept.read_bytes() == whole
    assert torch.equal(first, started())


@pytest.mark.train
def test_a_run_with_the_mplms_pieces_exports_and_predicts(starting, unigram_world, tmp_path):
    from ftx_edge import export, load

    distill(starting(unigram_world, "mplm"), tmp_path / "run")
    saved = Tokenizer.from_file(str(tmp_path / "run" / "students" / "pt" / "tokenizer.json"))
    assert "▁acenda" in saved.get_vocab()
    assert "▁kitchen" not in saved.get_vocab()
    (result,) = export(tmp_path / "run", max_drop=1.0)
    assert load(result.folder).predict("acenda a luz").label
    assert json.loads(saved.to_str())["model"]["type"] == "Unigram"


@pytest.mark.train
def test_a_student_knows_words_that_took_the_place_of_others(starting, unigram_world, tmp_path):
    more = {"augment.share": 1.0, "augment.methods": ("replace",)}
    distill(starting(unigram_world, "mplm").override(more), tmp_path / "run")
    folder = tmp_path / "run" / "students" / "pt"
    assert "▁kitchen" in Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    held_out = [json.loads(line)["text"] for line in (folder / "heldout.jsonl").read_text().splitlines()]
    assert not any("kitchen" in text for text in held_out)


@pytest.mark.train
def test_pieces_of_its_own_may_start_from_the_mplm_as_well(starting, tiny_world, tmp_path):
    distill(starting(tiny_world.mplm, "mplm-embeddings"), tmp_path / "run")
    assert (tmp_path / "run" / "students" / "pt" / "model.safetensors").is_file()


@pytest.mark.train
def test_an_mplm_without_such_pieces_is_refused_before_anything_is_done(starting, tiny_world, tmp_path):
    from ftx_edge.errors import UsageError

    with pytest.raises(UsageError, match='has BPE: use "mplm-embeddings"'):
        distill(starting(tiny_world.mplm, "mplm"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
