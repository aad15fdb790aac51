"""A joint package beside two single ones: the same texts, what each way costs, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from ftx_edge.benchmarks.joint import JOINT, PAIR, JointReport, benchmark_joint
from ftx_edge.benchmarks.program import write_report
from ftx_edge.errors import DataError, UsageError
from ftx_edge.exporters import export_student
from ftx_edge.runtime import load
from ftx_edge.students import StudentConfig, build_student, save_student
from ftx_edge.tokenization import train_tokenizer

TEXTS = ["acenda a luz da cozinha", "apague a luz da sala", "toque uma música", "acenda a luz do quarto"]
HEADS = {
    "joint": {"labels": ("on", "off", "play"), "tags": ("O", "B-room", "I-room")},
    "classifier": {"labels": ("on", "off", "play")},
    "tagger": {"tags": ("O", "B-room", "I-room")},
}


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("packages")
    tokenizer = train_tokenizer(TEXTS, lang="pt", vocab_size=60, max_length=16)
    made = {}
    for name, heads in HEADS.items():
        config = StudentConfig(
            "static",
            tokenizer.get_vocab_size(),
            heads.get("labels", ()),
            heads.get("tags", ()),
            max_length=16,
            embedding_size=16,
        )
        save_student(build_student(config), tokenizer, folder / f"{name}-student")
        made[name] = export_student(
            folder / f"{name}-student", TEXTS, folder / name, language="pt", max_drop=1, archive=False
        ).folder
    return made


def write_test(packages: dict[str, Path], path: Path) -> Path:
    """What the joint package says of two texts, as if it were right, and a text on which it is wrong."""
    joint, rows = load(packages["joint"]), []
    for text in TEXTS[:2]:
        said = joint.predict(text)
        spans = [{"start": s.start, "end": s.end, "label": s.label} for s in said.spans or ()]
        rows.append({"text": text, "label": said.label, "spans": spans})
    wrong = next(label for label in HEADS["joint"]["labels"] if label != joint.predict(TEXTS[2]).label)
    rows.append({"text": TEXTS[2], "label": wrong, "spans": []})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def report(packages: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> JointReport:
    test = write_test(packages, tmp_path_factory.mktemp("test") / "pt.test.jsonl")
    return benchmark_joint(
        packages["joint"], packages["classifier"], packages["tagger"], test, rounds=2, command="measure it"
    )


def test_both_ways_answer_the_same_texts(report: JointReport, packages: dict[str, Path]) -> None:
    joint, pair = report.settings
    assert (joint.name, pair.name) == (JOINT, PAIR)
    assert joint.latency.n == pair.latency.n == 2 * 3
    assert joint.accuracy == joint.exact == pytest.approx(2 / 3)
    sizes = {
        name: sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) for name, path in packages.items()
    }
    assert (joint.size, pair.size) == (sizes["joint"], sizes["classifier"] + sizes["tagger"])
    assert report.size_share == pytest.approx(joint.size / pair.size)


def test_the_table_says_what_the_json_says(report: JointReport, tmp_path: Path) -> None:
    write_report(report, tmp_path / "joint.json")
    values, table = json.loads((tmp_path / "joint.json").read_text()), (tmp_path / "joint.md").read_text()
    assert f"{values['latency_share']:.0%} of the time" in table
    assert "66.7 %" in table
    assert "`measure it`" in table


def test_packages_of_other_tasks_are_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    test = write_test(packages, tmp_path / "pt.test.jsonl")
    with pytest.raises(UsageError, match="is a package for tagging, not for classification"):
        benchmark_joint(packages["joint"], packages["tagger"], packages["classifier"], test)


def test_a_test_set_without_spans_is_refused(packages: dict[str, Path], tmp_path: Path) -> None:
    test = tmp_path / "pt.test.jsonl"
    test.write_text(json.dumps({"text": TEXTS[0], "label": "on"}) + "\n")
    with pytest.raises((DataError, UsageError), match=r"spans|labels"):
        benchmark_joint(*(packages[name] for name in ("joint", "classifier", "tagger")), test)
