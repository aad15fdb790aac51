"""``--dry-run`` counts what ``distill`` then does, and stops at what would stop it."""

from __future__ import annotations

import pytest

from ftx_edge.errors import DataError, FtxError, UsageError

torch = pytest.importorskip("torch")

from ftx_edge.distillation import distill, plan  # noqa: E402
from ftx_edge.distillation.precision import resolve_precision  # noqa: E402

pytestmark = pytest.mark.train


def test_the_numbers_are_those_of_the_run(recipe, tmp_path):
    made = recipe(**{"step1.epochs": 1.5, "step2.epochs": 3, "step2.max_steps": 20})
    planned = plan(made)
    result = distill(made, tmp_path / "run")
    assert [stage.name for stage in planned.stages] == ["mplm", "students/pt"]
    assert [stage.utterances for stage in planned.stages] == [58, 58]
    assert [stage.steps for stage in planned.stages] == [12, 20]
    assert [result.mplm.steps, result.students["pt"].steps] == [12, 20]
    assert (planned.labels, planned.tags) == (3, 0)
    assert (planned.device, planned.precision) == ("cpu", "fp32")
    assert 0 < planned.seconds < 60


def test_translations_count_in_every_stage_of_step_1(recipe):
    balance = {"balance.method": "neighbours", "balance.translators": {"pt": "table:en-pt.tsv"}}
    planned = plan(recipe(**balance))
    texts = {stage.name: stage.utterances for stage in planned.stages}
    assert texts == {"mplm-naive": 2 * 58, "mplm": 3 * 58, "students/pt": 58}


def test_a_joint_run_says_so(recipe):
    planned = plan(recipe("joint"))
    assert (planned.labels, planned.tags) == (3, 3)
    assert " + " in planned.teacher


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"student.architecture": "gru"}, UsageError),
        ({"teacher.label": "recorded:/none.jsonl"}, DataError),
        ({"data.source": "/none.txt"}, DataError),
        ({"mplm.name": "/none/at/all"}, FtxError),
        ({"data.segmenters": {"pt": "jiebba"}}, UsageError),
    ],
)
def test_it_stops_at_what_would_stop_the_run(recipe, changes, kind):
    with pytest.raises(kind):
        plan(recipe("joint", **changes))


def test_the_precision_that_auto_means():
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert resolve_precision("fp16", cpu) == "fp16"
    assert resolve_precision("fp32", cuda) == "fp32"
    assert resolve_precision("auto", torch.device("mps")) == "fp32"


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_processor_depends_on_what_it_computes_natively(monkeypatch, native, precision):
    from ftx_edge.distillation import precision as module

    monkeypatch.setattr(module, "_cpu_computes_bf16", lambda: native)
    assert resolve_precision("auto", torch.device("cpu")) == precision


@pytest.mark.parametrize(("native", "precision"), [(True, "bf16"), (False, "fp16")])
def test_auto_on_a_gpu_is_bf16_where_it_can(monkeypatch, native, precision):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: native)
    assert resolve_precision("auto", torch.device("cuda")) == precision
