"""The naive loop and ours, on models of a few numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytest.importorskip("accelerate", reason="needs the train extra")

from ftx_edge.benchmarks.naive import PADDED_TO, benchmark_naive  # noqa: E402
from ftx_edge.errors import UsageError  # noqa: E402
from ftx_edge.recipe import Recipe  # noqa: E402

WORDS = ("turn", "on", "off", "the", "light", "acenda", "apaga", "a", "luz")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import (
        BertConfig,
        BertModel,
        DistilBertConfig,
        DistilBertForSequenceClassification,
        PreTrainedTokenizerFast,
    )

    folder = tmp_path_factory.mktemp("naive")
    pieces = ["[PAD]", "[UNK]", "[CLS]", *WORDS]
    raw = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    raw.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]"
    )
    source = DistilBertConfig(
        vocab_size=len(pieces), dim=8, n_layers=1, n_heads=2, hidden_dim=8, max_position_embeddings=PADDED_TO
    )
    mplm = BertConfig(
        vocab_size=len(pieces),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        max_position_embeddings=PADDED_TO,
    )
    DistilBertForSequenceClassification(source).save_pretrained(folder / "source")
    BertModel(mplm).save_pretrained(folder / "mplm")
    tokenizer.save_pretrained(folder / "source")
    tokenizer.save_pretrained(folder / "mplm")
    (folder / "en.txt").write_text(
        "".join(f"turn {w} the light {w}\n" for w in ("on", "off", "a", "luz", "the")), encoding="utf-8"
    )
    (folder / "pt.txt").write_text(
        "".join(f"acenda a luz {w}\n" for w in ("a", "luz", "on", "off", "the")), encoding="utf-8"
    )
    changes = {
        "device": "cpu",
        "teacher.label": f"hf:{folder / 'source'}",
        "data.source": str(folder / "en.txt"),
        "data.targets": {"pt": str(folder / "pt.txt")},
        "mplm.name": str(folder / "mplm"),
        "student.architecture": "static",
        "student.embedding_size": 8,
        "student.init": "random",
        "balance.method": "none",
    }
    return Recipe().override(changes)


def test_both_loops_train_the_same_texts_and_epochs(recipe: Recipe) -> None:
    threads = torch.get_num_threads()
    report = benchmark_naive(recipe, utterances=4, epochs=2)
    assert [(step.name, step.texts, step.epochs) for step in report.steps] == [
        ("step 1", 4, 2),
        ("step 2", 4, 2),
    ]
    assert all(step.naive > 0 and step.ours > step.soft_labels > 0 for step in report.steps)
    naive, ours = sum(s.naive for s in report.steps), sum(s.ours for s in report.steps)
    assert report.ratio == pytest.approx(naive / ours)
    assert json.loads(json.dumps(report.to_dict()))["ratio"] == report.ratio
    assert torch.get_num_threads() == threads


def test_a_recording_cannot_be_run_again(recipe: Recipe, tmp_path: Path) -> None:
    recording = tmp_path / "recorded.jsonl"
    recording.write_text(json.dumps({"text": "a", "probs": {"on": 0.5, "off": 0.5}}) + "\n", encoding="utf-8")
    with pytest.raises(UsageError, match="needs a classifier with weights"):
        benchmark_naive(recipe.override({"teacher.label": f"recorded:{recording}"}))
