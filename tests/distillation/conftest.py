"""Tiny recipes of every task: a run takes about a second."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ftx_edge.recipe import Recipe

ROOMS = {"in the kitchen": "B-room", "in the hall": "B-room"}


@dataclass(frozen=True)
class World:
    """Files of a tiny distillation: unlabelled text, recorded predictions of labels and tags, an mPLM."""

    folder: Path
    source: Path
    target: Path
    teacher: str
    mplm: Path


@pytest.fixture(scope="session")
def world(tiny_world, tmp_path_factory) -> World:
    """``tiny_world`` with rooms as spans in the recorded predictions. Read only."""
    folder = tmp_path_factory.mktemp("world")
    rows = []
    for line in Path(tiny_world.teacher.removeprefix("recorded:")).read_text().splitlines():
        row = json.loads(line)
        row["words"] = row["text"].split()
        row["tag_probs"] = [
            {"B-room": 0.9, "O": 0.1} if word in ("kitchen", "hall") else {"O": 0.95, "B-room": 0.05}
            for word in row["words"]
        ]
        rows.append(row)
    (folder / "teacher.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return World(
        folder, tiny_world.source, tiny_world.target, f"recorded:{folder / 'teacher.jsonl'}", tiny_world.mplm
    )


@pytest.fixture(scope="session")
def recipe(world) -> Callable[..., Recipe]:
    """``recipe("joint", **{"step1.epochs": 3})``: the smallest recipe of a task, changed."""

    def make(task: str = "classification", **changes: Any) -> Recipe:
        values = {
            "teacher.label": world.teacher if task != "tagging" else "",
            "teacher.tag": world.teacher if task != "classification" else "",
            "data.source": str(world.source),
            "data.targets": {"pt": str(world.target)},
            "mplm.name": str(world.mplm),
            "mplm.max_length": 32,
            "mplm.freeze_embeddings": False,
            "step1.epochs": 2,
            "step2.epochs": 2,
            "step1.learning_rate": 0.005,
            "step2.learning_rate": 0.01,
            "step1.batch_size": 8,
            "step2.batch_size": 8,
            "balance.method": "none",
            "augment.share": 0,
            "student.architecture": "cnn",
            "student.init": "random",
            "student.vocab_size": 150,
            "student.max_length": 32,
            "student.embedding_size": 16,
            "student.channels": 8,
            "student.layers": 1,
            "device": "cpu",
            "precision": "fp32",
        }
        return Recipe().override({**values, **changes})

    return make


class Recorder:
    """A Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, int]] = []
        self.notes: list[str] = []

    def start(self, stage: str, total: int, done: int = 0, unit: str = "steps") -> None:
        self.stages.append((stage, total, done))

    def update(self, done: int, figures: Any) -> None: ...

    def finish(self, summary: str) -> None: ...

    def note(self, message: str) -> None:
        self.notes.append(message)


@pytest.fixture
def progress() -> Recorder:
    """What a run told of itself: ``stages`` and ``notes``."""
    return Recorder()


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """``contents(folder)``: every file below it, by its place."""
    return lambda folder: {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="session")
def unigram_world(tiny_world, tmp_path_factory) -> Path:
    """The tiny mPLM with a Unigram vocabulary: its texts' words and letters."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("unigram")
    text = tiny_world.source.read_text(encoding="utf-8") + tiny_world.target.read_text(encoding="utf-8")
    pieces = sorted({f"▁{word}" for word in text.split()}) + sorted({*text.replace("\n", ""), "▁"} - {" "})
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    vocabulary = [(s, 0.0) for s in specials] + [(p, -8.0 if len(p) > 1 else -12.0) for p in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(specials)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=64, pad_token_id=1,
        )
    ).save_pretrained(folder)  # fmt: skip
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture
def starting(tiny_world) -> Callable[..., Recipe]:
    """A recipe of three updates a step whose students start in one of the ways of ``student.init``."""

    def build(mplm: Path, init: str) -> Recipe:
        return Recipe().override(
            {
                "teacher.label": tiny_world.teacher,
                "data.source": str(tiny_world.source),
                "data.targets": {"pt": str(tiny_world.target)},
                "mplm.name": str(mplm),
                "device": "cpu",
                "precision": "fp32",
                "step1.learning_rate": 1e-3,
                "step2.learning_rate": 1e-2,
                "step1.max_steps": 3,
                "step2.max_steps": 3,
                "student.architecture": "static",
                "student.embedding_size": 16,
                "student.init": init,
                "augment.share": 0,
            }
        )

    return build
