"""Several processes at one piece of work, which they share among themselves by locks."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ftx_edge.errors import FtxError
from ftx_edge.locks import has_locks

if TYPE_CHECKING:
    from ftx_edge.distillation.progress import Progress


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def more_processes(
    count: int, arguments: Sequence[str], *, logs: Path, progress: Progress
) -> Iterator[list[str]]:
    """Have so many more processes at the work of this one, and wait for them at the end.

    They and this one divide the cores among themselves, unless ``OMP_NUM_THREADS`` says how many threads a
    process has.

    Args:
        count: how many; with 0 nothing happens.
        arguments: of ``ftx-edge``, for each of them.
        logs: folder for what they print.
        progress: is told where that is.

    Yields:
        A list; at the end it names the processes that failed: log, and the last line of it.

    Raises:
        FtxError: the system has no file locks, so that all of them would do the same.
    """
    failed: list[str] = []
    if count < 1:
        yield failed
        return
    if not has_locks():
        raise FtxError("this system has no file locks for several processes to share work by: use one job")
    threads = max(1, cores() // (count + 1))
    env = {"OMP_NUM_THREADS": str(threads), **os.environ}
    command = [sys.executable, "-P", "-m", "ftx_edge.cli", *arguments]
    processes: list[tuple[subprocess.Popen[bytes], Path]] = []
    logs.mkdir(parents=True, exist_ok=True)
    try:
        with torch_threads(None if "OMP_NUM_THREADS" in os.environ else threads):
            for number in range(2, count + 2):
                log = logs / f"job{number}.log"
                with log.open("w", encoding="utf-8") as stream:
                    process = subprocess.Popen(command, env=env, stdout=stream, stderr=stream)
                processes.append((process, log))
                progress.note(f"another process is at it too: {log}")
            yield failed
        for process, log in processes:
            if process.wait() != 0:
                last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
                failed.append(f"{log}: {last or f'exit code {process.returncode}'}")
    except BaseException:
        for process, _ in processes:
            process.terminate()
        raise


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """torch, where it is installed, with so many threads; afterwards as before. None leaves it alone."""
    if count is None or importlib.util.find_spec("torch") is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
