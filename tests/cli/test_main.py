"""The command line as a whole: exit codes, one clean line for what went wrong, help that people can read."""

from __future__ import annotations

import errno
import subprocess
import sys

import pytest

import ftx_edge

COMMANDS = (
    ("init",), ("distill",), ("export",), ("train-source",), ("translate",), ("data", "check"),
    ("predict",), ("inspect",), ("evaluate",), ("benchmark", "latency"), ("benchmark", "accuracy"),
)  # fmt: skip


def test_the_version_is_the_packages(ftx):
    assert ftx("--version").out == f"ftx-edge {ftx_edge.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(ftx, command):
    outcome = ftx(*command, "--help")
    assert outcome.code == 0
    assert f"ftx-edge {' '.join(command)} " in outcome.out.replace("\n", " ")
    assert "Examples:" in outcome.out


def test_help_is_what_a_bare_command_prints(ftx):
    assert "distill" in ftx("--help").out
    assert ftx("--help").code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fly"], "No such command 'fly'."),
        (["predict"], "PACKAGE"),
        (["predict", "x", "--top-k", "many"], "--top-k"),
        (["distill", "--student", "gru"], "--student"),
        (["predict", "x", "--colour"], "--colour"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_code_2(ftx, arguments, says):
    outcome = ftx(*arguments)
    assert outcome.code == 2
    assert says in outcome.error
    assert outcome.out == ""


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "run"), 1, "run: No space left on device: free"),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), 1, "runs: Permission denied"),
        (IsADirectoryError(errno.EISDIR, "Is a directory", "x.txt"), 1, "x.txt: Is a directory"),
        (RuntimeError("No space left on device (os error 28)"), 1, "No space left on device: free"),
        (ftx_edge.FtxError("two\nlines"), 1, "two lines"),
    ],
)  # fmt: skip
def test_what_a_person_can_cure_is_one_line(ftx, monkeypatch, tiny_package, error, code, says):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(ftx_edge, "load", fails)
    outcome = ftx("predict", tiny_package, "text")
    assert outcome.code == code
    assert outcome.error.startswith(says)


@pytest.mark.parametrize(("module", "extra"), [("torch", "train"), ("onnx.helper", "export")])
def test_an_extra_that_is_not_installed_is_named(ftx, monkeypatch, tiny_package, module, extra):
    def fails(*_, **__):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    monkeypatch.setattr(ftx_edge, "load", fails)
    outcome = ftx("predict", tiny_package, "text")
    assert outcome.code == 1
    assert outcome.error.endswith(f"is not installed: pip install 'ftx-edge[{extra}]'")


def test_a_bug_is_shown_whole(ftx, monkeypatch, tiny_package):
    def fails(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(ftx_edge, "load", fails)
    with pytest.raises(ZeroDivisionError):
        ftx("predict", tiny_package, "text")


def test_interrupted_is_130_and_one_word(ftx, monkeypatch, tiny_package):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(ftx_edge, "load", interrupted)
    outcome = ftx("predict", tiny_package, "text")
    assert outcome.code == 130
    assert outcome.err.strip() == "interrupted"


def _imported(code: str) -> set[str]:
    code += "; import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    return set(
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.split()
    )


def test_importing_the_library_imports_no_dependency():
    heavy = {"torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy", "typer", "rich"}
    assert not _imported("import ftx_edge") & heavy


def test_the_runtime_imports_nothing_but_the_core():
    allowed = {"numpy", "onnxruntime", "tokenizers", "ftx_edge"}
    before = _imported("pass")
    third_party = {
        name
        for name in _imported("import ftx_edge.runtime") - before - allowed
        if name not in sys.stdlib_module_names and not name.startswith("_")
    }
    # What ONNX Runtime and tokenizers themselves bring.
    assert third_party <= {"coloredlogs", "flatbuffers", "google", "packaging", "numexpr"}


def test_the_command_line_starts_without_rich_or_the_runtime():
    heavy = {"torch", "transformers", "onnx", "onnxruntime", "tokenizers", "numpy", "rich"}
    assert not _imported("import ftx_edge.cli") & heavy


def test_every_public_name_is_there():
    for name in ftx_edge.__all__:
        assert getattr(ftx_edge, name) is not None
    assert set(ftx_edge.__all__) <= set(dir(ftx_edge))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ftx_edge.nothing
