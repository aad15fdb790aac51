"""`ftx-edge predict`: what it prints, and what it does with what it cannot use."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def test_texts_given_as_arguments_are_answered_one_line_each(ftx, tiny_package):
    outcome = ftx("predict", tiny_package, "acenda a luz", "toca música")
    assert outcome.code == 0
    assert outcome.out.splitlines() == ["acenda a luz\tlight_on 0.909", "toca música\tplay_music 0.995"]
    assert outcome.err == ""


def test_json_is_one_object_a_line(ftx, tiny_package):
    outcome = ftx("predict", tiny_package, "--json", "acenda a luz", "toca música")
    first, second = map(json.loads, outcome.out.splitlines())
    assert set(first) == {"text", "label", "score"}
    assert (first["text"], first["label"]) == ("acenda a luz", "light_on")
    assert second["label"] == "play_music"
    assert 0 < first["score"] < second["score"] < 1


def test_top_k_adds_the_best_scores_in_order(ftx, tiny_package):
    outcome = ftx("predict", tiny_package, "--json", "--top-k", 2, "toca a música")
    scores = json.loads(outcome.out)["scores"]
    assert next(iter(scores)) == "play_music"
    assert len(scores) == 2


def test_below_the_minimum_score_there_is_no_label(ftx, tiny_package):
    outcome = ftx("predict", tiny_package, "--json", "--min-score", 0.99, "acenda a luz")
    assert json.loads(outcome.out)["label"] is None
    assert "not sure" in ftx("predict", tiny_package, "--min-score", 0.99, "acenda a luz").out


def test_a_joint_package_gives_spans_that_index_the_text(ftx, tiny_joint_package):
    text = "acenda a luz da sala de jantar"
    values = json.loads(ftx("predict", tiny_joint_package, "--json", text).out)
    assert values["label"] == "light_on"
    for span in values["spans"]:
        assert text[span["start"] : span["end"]] == span["text"]
    assert values["spans"][0]["text"] == "sala"
    assert values["spans"][0]["label"] == "room"
    assert "room='sala'" in ftx("predict", tiny_joint_package, text).out


def test_standard_input_is_read_line_by_line(ftx, tiny_package):
    outcome = ftx("predict", tiny_package, stdin="acenda a luz\r\n\ntoca música")
    assert [line.split("\t")[0] for line in outcome.out.splitlines()] == ["acenda a luz", "", "toca música"]


def test_a_blank_line_has_an_answer_and_no_label(ftx, tiny_joint_package):
    lines = ftx("predict", tiny_joint_package, "--json", "--top-k", 2, stdin="acenda\n \n\n").out.splitlines()
    assert json.loads(lines[1]) == {"text": " ", "label": None, "score": 0.0, "scores": {}, "spans": []}
    assert json.loads(lines[2])["label"] is None
    assert ftx("predict", tiny_joint_package, stdin="\nacenda\n").out.startswith("\nacenda\t")


def test_a_byte_order_mark_is_no_part_of_the_first_text(ftx, tiny_package):
    outcome = ftx("predict", tiny_package, "--json", stdin="\ufeffacenda a luz\n")
    assert json.loads(outcome.out)["text"] == "acenda a luz"
    assert json.loads(outcome.out) == json.loads(ftx("predict", tiny_package, "--json", "acenda a luz").out)


def test_an_answer_comes_before_the_next_text_is_given(tiny_package):
    command = [sys.executable, "-m", "ftx_edge.cli", "predict", str(tiny_package)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for text, label in (("acenda a luz", "light_on"), ("apaga a luz", "light_off")):
            process.stdin.write(f"{text}\n")
            process.stdin.flush()
            assert label in process.stdout.readline()
        process.stdin.close()
        assert process.wait() == 0


def test_a_reader_that_leaves_ends_it_quietly(tiny_package):
    command = [sys.executable, "-m", "ftx_edge.cli", "predict", str(tiny_package)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"acenda a luz\n")
        process.stdin.flush()
        process.stdout.readline()
        process.stdout.close()
        process.stdin.write(b"toca\n" * 10)
        process.stdin.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 141


@pytest.mark.skipif(sys.platform == "win32", reason="closes streams by the shell")
def test_a_closed_standard_stream_is_no_bug(tiny_package):
    command = f"{sys.executable} -m ftx_edge.cli predict {tiny_package}"

    def run(words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(f"{command} {words}", shell=True, capture_output=True, text=True, check=False)

    assert (run("<&-").returncode, run("<&-").stderr) == (0, "")
    assert run("luz >&-").returncode == 1
    assert run("luz >&-").stderr.startswith("error: standard output is closed")
    assert "light" in run("luz 2>&-").stdout


@pytest.mark.parametrize("text", ["\x00", "a\x00b", "palavra " * 12_500, "👩‍👩‍👧 luz", "\u200b"])
def test_odd_texts_are_answered(ftx, tiny_package, text):
    outcome = ftx("predict", tiny_package, "--json", stdin=text.replace("\n", " ") + "\n")
    assert outcome.code == 0
    assert json.loads(outcome.out)["label"] in ("light_on", "light_off", "play_music")


def test_bytes_that_are_not_utf8_are_named_with_their_line(ftx, tiny_package):
    outcome = ftx("predict", tiny_package, stdin=b"acenda a luz\ncaf\xe9\n")
    assert outcome.code == 1
    assert outcome.error.startswith("standard input:2: not UTF-8")
    assert "light_on" in outcome.out


def test_a_lone_surrogate_is_refused(ftx, tiny_package):
    outcome = ftx("predict", tiny_package, "a\ud800b")
    assert outcome.code == 1
    assert "surrogate" in outcome.error
    assert outcome.out == ""


def test_no_such_package(ftx, tmp_path):
    outcome = ftx("predict", tmp_path / "none", "text")
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.error.endswith("none: no such package")


def test_a_tampered_package_is_refused(ftx, tiny_package, tmp_path):
    copy = Path(shutil.copytree(tiny_package, tmp_path / "copy"))
    model = copy / "onnx" / "model_quantized.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    outcome = ftx("predict", copy, "text")
    assert (outcome.code, outcome.out) == (1, "")
    assert "SHA-256" in outcome.error


def test_a_truncated_package_is_refused(ftx, tiny_package, tmp_path):
    copy = Path(shutil.copytree(tiny_package, tmp_path / "copy"))
    model = copy / "onnx" / "model_quantized.onnx"
    model.write_bytes(model.read_bytes()[:-10])
    outcome = ftx("predict", copy, "text")
    assert outcome.code == 1
    assert "damaged" in outcome.error


def test_a_truncated_archive_is_refused(ftx, tmp_path):
    (tmp_path / "pt.ftx").write_bytes(b"PK\x03\x04 not whole")
    outcome = ftx("predict", tmp_path / "pt.ftx", "text")
    assert outcome.code == 1
    assert "pt.ftx" in outcome.error
