"""Students that start as the first layers of the mPLM."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch

from ftx_edge.distillation import distill
from ftx_edge.distillation.first_layers import start_from_layers, with_layers_of
from ftx_edge.errors import UsageError
from ftx_edge.mplm.model import MultilingualModel, load_encoder, load_tokenizer
from ftx_edge.students import StudentConfig, build_student
from ftx_edge.tokenization import encode
from ftx_edge.trimming import trimmed_tokenizer


@pytest.fixture
def mplm(unigram_world):
    model = MultilingualModel(load_encoder(str(unigram_world)), labels=("a", "b"), tags=()).eval()
    return model, load_tokenizer(str(unigram_world))


@pytest.fixture
def texts(tiny_world):
    return tiny_world.target.read_text(encoding="utf-8").splitlines()


@pytest.fixture
def recipe(starting, unigram_world):
    sizes = {"student.architecture": "transformer", "student.layers": 1, "student.max_length": 40}
    return starting(unigram_world, "mplm-layers").override({**sizes, "step2.learning_rate": 1e-3})


@pytest.mark.train
@pytest.mark.parametrize("layers", [1, 2])
def test_the_student_computes_what_those_layers_do(mplm, texts, layers):
    model, theirs = mplm
    own = trimmed_tokenizer(theirs.backend, texts, lang="pt")
    sizes = StudentConfig("transformer", own.get_vocab_size(), ("a", "b"), layers=layers, max_length=40)
    student = build_student(with_layers_of(sizes, model.encoder.config)).eval()
    assert (student.config.embedding_size, student.config.heads) == (32, 2)
    known = start_from_layers(student, own, model, theirs)
    assert known == own.get_vocab_size() - 3

    ours = encode(own, texts[:1])
    names = {place: piece for piece, place in own.get_vocab().items()}
    vocab = theirs.backend.get_vocab()
    ids = [vocab["<s>"], *(vocab[names[int(i)]] for i in ours.ids[1:])]
    with torch.inference_mode():
        states = student.encoder(
            student.embedding(torch.from_numpy(ours.ids[None].astype(np.int64))),
            torch.ones(1, len(ids), dtype=torch.bool),
        )
        expected = model.encoder(
            torch.tensor([ids]), torch.ones(1, len(ids), dtype=torch.int64), output_hidden_states=True
        ).hidden_states[layers]
    torch.testing.assert_close(states, expected, atol=1e-5, rtol=1e-4)


def test_sizes_that_the_mplm_lacks_are_refused(unigram_world, mplm):
    config = mplm[0].encoder.config
    with pytest.raises(UsageError, match=r"student.layers 3: the mPLM has 2"):
        with_layers_of(StudentConfig(layers=3, max_length=40), config)
    with pytest.raises(UsageError, match=r"student.max_length 128: the mPLM has 64 positions"):
        with_layers_of(StudentConfig(layers=1), config)
    config.model_type = "modernbert"
    with pytest.raises(UsageError, match='is modernbert: use "mplm"'):
        with_layers_of(StudentConfig(layers=1, max_length=40), config)


def test_only_a_transformer_starts_from_layers(recipe):
    with pytest.raises(UsageError, match='a cnn can start with "mplm"'):
        recipe.override({"student.architecture": "cnn"}).check()


@pytest.mark.train
def test_a_run_exports_and_predicts(recipe, tmp_path):
    from ftx_edge import export, load

    distill(recipe, tmp_path / "run")
    (result,) = export(tmp_path / "run", max_drop=1.0)
    assert load(result.folder).predict("acenda a luz").label
    with pytest.raises(UsageError, match="the mPLM has 2"):
        distill(recipe.override({"student.layers": 3}), tmp_path / "other")
    assert not (tmp_path / "other").exists()
