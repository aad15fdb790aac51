"""``hf:``: an off-the-shelf model from a folder; no pickle is read, none of its code is run."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from ftx_edge.errors import FtxError, UsageError
from ftx_edge.teachers import open_teacher

torch = pytest.importorskip("torch")
TEXTS = ["turn on the light in the kitchen", "lights out", "play a song in the living room please", ""]


@pytest.fixture
def copied(hf_model, tmp_path):
    """``copied("classifier")``: a copy that a test may damage."""
    return lambda kind: shutil.copytree(hf_model(kind), tmp_path / kind)


def test_a_classifier_gives_what_the_model_gives(hf_model):
    import transformers

    folder = hf_model("classifier")
    teacher = open_teacher(f"hf:{folder}")
    assert teacher.labels == ("light_off", "light_on", "play_music")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        expected = [
            model(
                **{k: v for k, v in tokenizer(t, return_tensors="pt").items() if k != "token_type_ids"}
            ).logits.softmax(-1)[0]
            for t in TEXTS
        ]
    np.testing.assert_allclose(teacher.ask(TEXTS).labels, torch.stack(expected), atol=1e-5)


def test_a_texts_answer_does_not_depend_on_its_batch(hf_model):
    teacher = open_teacher(f"hf:{hf_model('classifier')}")
    together = teacher.ask(TEXTS).labels
    alone = np.concatenate([teacher.ask([text]).labels for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_a_tagger_gives_each_word_what_its_first_subword_says(hf_model):
    teacher = open_teacher(f"hf:{hf_model('tagger')}", tagging=True)
    assert teacher.tags == ("O", "B-room", "I-room")
    words = [[(0, 4), (5, 7)], [(0, 6), (7, 10)]]
    found = teacher.ask(["turn on the light", "lights out"], words).tags
    assert found.offsets.tolist() == [[0, 4], [5, 7], [0, 6], [7, 10]]
    np.testing.assert_allclose(found.probs.sum(1), 1, atol=1e-5)


def test_words_beyond_the_models_maximum_have_no_unit(hf_model):
    teacher = open_teacher(f"hf:{hf_model('tagger')}", tagging=True)
    text = " ".join(["light"] * 60)
    words = [(6 * i, 6 * i + 5) for i in range(60)]
    assert 0 < len(teacher.ask([text], [words]).tags.offsets) < 60


def test_long_texts_are_cut_to_the_models_maximum(hf_model):
    assert open_teacher(f"hf:{hf_model('classifier')}").ask(["light " * 500]).labels.shape == (1, 3)


@pytest.mark.parametrize("kind", ["tagger", "encoder"])
def test_a_model_without_a_trained_head_is_no_classifier(hf_model, kind):
    with pytest.raises(UsageError, match="is no classifier: its weights lack"):
        open_teacher(f"hf:{hf_model(kind)}")


@pytest.mark.parametrize("kind", ["classifier", "encoder"])
def test_a_model_without_a_trained_head_is_no_tagger(hf_model, kind):
    with pytest.raises(UsageError, match=r"is no (BIO )?tagger"):
        open_teacher(f"hf:{hf_model(kind)}", tagging=True)


def test_pickled_weights_are_not_read(copied):
    folder = copied("classifier")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(FtxError, match="safetensors"):
        open_teacher(f"hf:{folder}")


def test_code_in_the_folder_is_not_run(copied, tmp_path):
    folder = copied("classifier")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "mine"
    config["auto_map"] = {
        "AutoConfig": "mine.Config",
        "AutoModelForSequenceClassification": "mine.Model",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'was here')!r}, 'w')")
    with pytest.raises(FtxError, match="cannot be loaded"):
        open_teacher(f"hf:{folder}")
    assert not (tmp_path / "was here").exists()


def test_damaged_weights_are_an_error_of_one_line(copied):
    folder = copied("classifier")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(FtxError, match="cannot be loaded"):
        open_teacher(f"hf:{folder}")


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FtxError, match="no such folder"):
        open_teacher(f"hf:{tmp_path / 'none' / 'here'}")


def test_other_weights_have_another_fingerprint(hf_model, copied):
    folder = copied("classifier")
    first = open_teacher(f"hf:{hf_model('classifier')}").fingerprint
    assert open_teacher(f"hf:{folder}").fingerprint == first
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (folder / "model.safetensors").write_bytes(weights)
    assert open_teacher(f"hf:{folder}").fingerprint != first
