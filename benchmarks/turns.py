"""Ways to answer the same texts, timed in turns: what else the machine does falls on all of them alike."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from ftx_edge.benchmarks.latency import Latency
from ftx_edge.data import read_texts


def take_turns(
    ways: Mapping[str, Callable[[str], object]], texts: Sequence[str], *, rounds: int, warmup: int
) -> dict[str, Latency]:
    """Answer every text in every way, each way first in every other turn.

    Args:
        ways: by name.
        texts: what to answer.
        rounds: how often each text is answered.
        warmup: calls of each way before the first that counts.
    """
    for i in range(warmup):
        for answer in ways.values():
            answer(texts[i % len(texts)])
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    order = list(ways.items())
    gc.collect()
    gc.disable()
    try:
        for turn in range(rounds):
            for number, text in enumerate(texts):
                for name, answer in order if (turn + number) % 2 else reversed(order):
                    start = time.perf_counter()
                    answer(text)
                    seconds[name].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return {name: Latency.of(values) for name, values in seconds.items()}


def texts_to_time(test: Path | str, partition: str | None, limit: int) -> list[str]:
    """At most ``limit`` texts of a test set, evenly spaced."""
    texts = read_texts(test, partition)
    return [texts[i * len(texts) // limit] for i in range(limit)] if len(texts) > limit else list(texts)


def package_size(package: Path) -> int:
    """Bytes of all files of a package, a folder or one file."""
    files = [package] if package.is_file() else [path for path in package.rglob("*") if path.is_file()]
    return sum(path.stat().st_size for path in files)
