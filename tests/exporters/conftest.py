"""Tiny students of every architecture and task, and packages made of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

LABELS = ("light_on", "light_off", "play_music", "set_alarm")
TAGS = ("O", "B-room", "I-room", "B-time", "I-time")
TEXTS = [
    f"{verb} {thing} {place}"
    for verb in ("acenda", "apague", "toque", "ligue")
    for thing in ("a luz", "o abajur", "uma música")
    for place in ("da cozinha", "da sala de jantar", "às cinco da manhã", "agora", "")
]


@pytest.fixture(scope="session")
def held_out() -> list[str]:
    """The texts that the gate reads when ``exported`` makes a package."""
    return TEXTS


@pytest.fixture(scope="session")
def make_student(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``make_student("cnn", "joint")``: the folder of a student. Read only.

    With ``word_starts=True`` it also says where words begin. Its weights are random; its heads are scaled up,
    so that it is as sure as a trained one.
    """
    pytest.importorskip("torch")
    import torch

    from ftx_edge.students import StudentConfig, build_student, save_student
    from ftx_edge.tokenization import train_tokenizer

    root = tmp_path_factory.mktemp("students")
    tokenizer = train_tokenizer(TEXTS, lang="pt", vocab_size=120, max_length=24)

    @cache
    def make(architecture: str, task: str, word_starts: bool = False) -> Path:
        config = StudentConfig(
            architecture=architecture,
            vocab_size=tokenizer.get_vocab_size(),
            labels=LABELS if task != "tagging" else (),
            tags=TAGS if task != "classification" else (),
            max_length=24,
            embedding_size=32,
            layers=2,
            feed_forward=48,
            lstm_size=16,
            channels=16,
            word_starts=word_starts,
        )
        student = build_student(config, seed=1)
        with torch.no_grad():
            student.embedding.weight.mul_(5)
            for head in (student.label_head, student.tag_head, student.word_head):
                if head is not None:
                    head.weight.mul_(20)
        folder = root / f"{architecture}-{task}{'-words' * word_starts}"
        save_student(student, tokenizer, folder)
        return folder

    return make


@pytest.fixture(scope="session")
def exported(make_student, tmp_path_factory: pytest.TempPathFactory):
    """``exported("cnn", "joint")``: the result of its export, both graphs in the package. Read only."""
    from ftx_edge.exporters import ExportResult, export_student

    root = tmp_path_factory.mktemp("packages")

    @cache
    def make(architecture: str, task: str) -> ExportResult:
        return export_student(
            make_student(architecture, task),
            TEXTS,
            root / f"{architecture}-{task}",
            language="pt",
            fp32=True,
            max_drop=0.2,
            provenance={"seed": 1},
        )

    return make
