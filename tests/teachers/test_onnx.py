"""``package:`` of somebody else's ONNX model: the graph, its tokenizer and its configuration."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from ftx_edge.errors import FtxError
from ftx_edge.teachers import open_teacher

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

TEXTS = ["turn on the light in the kitchen", "lights out", ""]
WORDS = [[(0, 4), (5, 7), (8, 11), (12, 17)], [(0, 6), (7, 10)], []]


@pytest.fixture(scope="module")
def exported(hf_model, tmp_path_factory):
    """``exported("classifier" | "tagger")``: what an ONNX export of the Hugging Face model leaves."""
    import transformers

    kinds = {
        "classifier": transformers.AutoModelForSequenceClassification,
        "tagger": transformers.AutoModelForTokenClassification,
    }

    def make(kind):
        folder = tmp_path_factory.mktemp(kind)
        for name in ("tokenizer.json", "config.json"):
            shutil.copy(hf_model(kind) / name, folder / name)
        model = kinds[kind].from_pretrained(hf_model(kind), attn_implementation="eager").eval()
        model.config.return_dict = False
        axes = {0: "batch", 1: "sequence"}
        torch.onnx.export(
            model,
            (torch.ones(2, 5, dtype=torch.int64), torch.ones(2, 5, dtype=torch.int64)),
            str(folder / "model.onnx"),
            input_names=["input_ids", "attention_mask"],
            output_names=["logits"],
            dynamic_axes={"input_ids": axes, "attention_mask": axes, "logits": axes},
            dynamo=False,
        )
        return folder

    return make


def test_an_onnx_classifier_says_what_its_torch_model_says(exported, hf_model):
    teacher = open_teacher(f"package:{exported('classifier')}")
    origin = open_teacher(f"hf:{hf_model('classifier')}")
    assert teacher.labels == origin.labels
    np.testing.assert_allclose(teacher.ask(TEXTS).labels, origin.ask(TEXTS).labels, atol=1e-4)


def test_an_onnx_tagger_says_what_its_torch_model_says(exported, hf_model):
    teacher = open_teacher(f"package:{exported('tagger')}", tagging=True)
    found = teacher.ask(TEXTS, WORDS).tags
    wanted = open_teacher(f"hf:{hf_model('tagger')}", tagging=True).ask(TEXTS, WORDS).tags
    np.testing.assert_array_equal(found.offsets, wanted.offsets)
    np.testing.assert_allclose(found.probs, wanted.probs, atol=1e-4)


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json", "config.json"])
def test_what_is_missing_is_named(exported, missing):
    folder = exported("classifier")
    (folder / missing).unlink()
    with pytest.raises(FtxError, match=f"it lacks .*{missing}"):
        open_teacher(f"package:{folder}")


def test_a_damaged_graph_is_one_line(exported):
    folder = exported("classifier")
    (folder / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(FtxError, match=str(folder)):
        open_teacher(f"package:{folder}")
