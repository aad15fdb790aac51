"""Locks among processes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ftx_edge.locks import has_locks, one_at_a_time, try_lock

pytestmark = pytest.mark.skipif(not has_locks(), reason="this system has no file locks")


def test_a_lock_ends_with_its_process(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from ftx_edge.locks import try_lock\n"
        "with try_lock(Path(sys.argv[1]), 'cell') as mine: print(mine, flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"True\n"
        with try_lock(tmp_path, "cell") as mine, try_lock(tmp_path, "another") as free:
            assert (mine, free) == (False, True)
        other.kill()
    with try_lock(tmp_path, "cell") as mine:
        assert mine


def test_one_waits_for_the_other(tmp_path):
    """What two processes add to a file, one line at a time, is all there."""
    file = tmp_path / "lines"
    file.write_text("")
    children = []
    for _ in range(4):
        if (child := os.fork()) == 0:
            for _ in range(50):
                with one_at_a_time(tmp_path / "file.lock"):
                    file.write_text(file.read_text() + "line\n")
            os._exit(0)
        children.append(child)
    assert {os.waitpid(child, 0)[1] for child in children} == {0}
    assert len(file.read_text().splitlines()) == 200
