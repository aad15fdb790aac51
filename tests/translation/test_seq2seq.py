"""Models of transformers, as torch modules and as ONNX graphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ftx_edge.errors import UsageError
from ftx_edge.translation import open_translator

pytest.importorskip("transformers", reason="needs the train extra")

TEXTS = ["acende a luz", "a luz da cozinha acende a luz da cozinha", "", "luz"]


def test_a_translation_does_not_depend_on_its_batch(tiny_seq2seq: Path) -> None:
    translator = open_translator(f"seq2seq:{tiny_seq2seq}#pt-en", max_length=8)
    together = translator.translate(TEXTS)
    assert together == [translator.translate([text])[0] for text in TEXTS]
    assert together[2] == ""
    assert together[0]
    assert "__" not in together[0]


def test_a_translation_is_in_the_language_that_was_asked_for(tiny_seq2seq: Path) -> None:
    english = open_translator(f"m2m100:{tiny_seq2seq}#pt-en", max_length=8)
    portuguese = open_translator(f"m2m100:{tiny_seq2seq}", source="en", target="pt", max_length=8)
    assert english.fingerprint != portuguese.fingerprint
    # The first token is forced, and no other test could tell the languages of random weights apart.
    assert (english._first_token, portuguese._first_token) == (4, 5)


def test_length_is_limited(tiny_seq2seq: Path) -> None:
    translator = open_translator(f"seq2seq:{tiny_seq2seq}#pt-en", max_length=3)
    assert len(translator.translate(["acende a luz da cozinha"])[0].split()) <= 3


def test_beams_and_length_are_part_of_the_fingerprint(tiny_seq2seq: Path) -> None:
    spec = f"seq2seq:{tiny_seq2seq}#pt-en"
    settings = [{}, {"beams": 3}, {"max_length": 9}]
    assert len({open_translator(spec, **setting).fingerprint for setting in settings}) == 3  # type: ignore[arg-type]
    assert open_translator(spec, beams=3, max_length=4).translate(["luz"])


def test_what_is_drawn_differs_from_what_is_found_and_depends_on_the_seed_alone(tiny_seq2seq: Path) -> None:
    import torch

    spec, text = f"seq2seq:{tiny_seq2seq}#pt-pt", ["a luz da cozinha"]
    drawn = {
        seed: open_translator(spec, max_length=8, temperature=2.0, seed=seed).translate(text)[0]
        for seed in range(4)
    }
    assert len(set(drawn.values())) > 1
    torch.manual_seed(99)
    again = open_translator(spec, max_length=8, temperature=2.0, seed=2)
    assert again.translate(text) == [drawn[2]]
    assert again.fingerprint != open_translator(spec, max_length=8, temperature=2.0, seed=1).fingerprint
    assert torch.initial_seed() == 99


def test_what_cannot_draw_says_so(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="gives one translation, whatever the temperature: use m2m100:"):
        open_translator(f"table:{tmp_path / 'x.tsv'}", temperature=1.0)


@pytest.mark.parametrize(
    ("languages", "message"), [("", "say which"), ("#pt-xx", "'xx'"), ("#pt", "two languages")]
)
def test_languages_must_be_known(tiny_seq2seq: Path, languages: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        open_translator(f"seq2seq:{tiny_seq2seq}{languages}")


def test_a_folder_without_a_model_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be opened") as caught:
        open_translator(f"seq2seq:{tmp_path}")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_onnx_graphs_translate_as_the_torch_module_does(tiny_seq2seq: Path, tmp_path: Path) -> None:
    pytest.importorskip("optimum.onnxruntime", reason="needs the export extra")
    from ftx_edge.translation.onnx_export import export_translator

    expected = open_translator(f"seq2seq:{tiny_seq2seq}#pt-en", max_length=8).translate(TEXTS)
    folder = export_translator(str(tiny_seq2seq), tmp_path / "onnx")
    assert open_translator(f"onnx:{folder}#pt-en", max_length=8).translate(TEXTS) == expected

    quantised = export_translator(str(tiny_seq2seq), tmp_path / "int8", int8=True)
    assert {path.name for path in quantised.glob("*.onnx")} >= {"encoder_model_quantized.onnx"}
    assert len(open_translator(f"onnx:{quantised}#pt-en", max_length=8).translate(TEXTS)) == len(TEXTS)
