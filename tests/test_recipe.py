"""A recipe is one TOML file: what it may hold, what overrides it, what it refuses."""

from __future__ import annotations

import dataclasses

import pytest

from ftx_edge.errors import DataError, UsageError
from ftx_edge.recipe import Recipe

WHOLE = Recipe().override(
    {
        "teacher.label": "recorded:t.jsonl",
        "data.source": "en.txt",
        "data.targets": {"pt": "pt.txt"},
        "balance.method": "none",
    }
)


def written(tmp_path, text):
    path = tmp_path / "recipe.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_what_is_written_reads_back_the_same(tmp_path):
    recipe = WHOLE.override(
        {
            "teacher.tag": 'hf:C:\\models\\"mine"',
            "data.targets": {"pt": "dados/ação.txt", "zh-Hant": "a b\tc.txt"},
            "data.segmenters": {"zh-Hant": "jieba"},
            "step1.learning_rate": 3e-5,
            "mplm.prefix": "",
            "mplm.freeze_embeddings": False,
            "student.kernels": (2, 3),
        }
    )
    recipe.write(tmp_path / "recipe.toml")
    assert Recipe.read(tmp_path / "recipe.toml") == recipe


def test_left_out_fields_have_their_defaults(tmp_path):
    recipe = Recipe.read(written(tmp_path, '[student]\narchitecture = "cnn"\n'))
    assert recipe == Recipe().override({"student.architecture": "cnn"})
    assert recipe.step1.epochs == Recipe().step1.epochs


def test_whole_numbers_do_for_fractions():
    recipe = Recipe().override({"step1.epochs": 3, "step2.learning_rate": 1})
    assert isinstance(recipe.step1.epochs, float)
    assert isinstance(recipe.step2.learning_rate, float)


def test_override_replaces_what_it_names_and_nothing_else():
    recipe = WHOLE.override({"step1.epochs": 2.0, "seed": 7, "student.architecture": None})
    assert (recipe.step1.epochs, recipe.seed) == (2.0, 7)
    assert recipe.override({"step1.epochs": WHOLE.step1.epochs, "seed": 0}) == WHOLE


def test_override_replaces_the_target_languages_together():
    assert WHOLE.override({"data.targets": {"de": "de.txt"}}).data.targets == {"de": "de.txt"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed = 'a'", "'seed' must be int, not 'a'"),
        ("seed = true", "'seed' must be int, not True"),
        ("[step1]\nepoch = 3", "unknown field 'step1.epoch': one of batch_size"),
        ("[step1]\nepochs = '3'", "'step1.epochs' must be float, not '3'"),
        ("[step1]\nlearning_rate = true", "'step1.learning_rate' must be float or str, not True"),
        ("step1 = 3", "'step1' is a table, not 3"),
        ("[data.targets]\npt = 3", "'data.targets.pt' must be str, not 3"),
        ("[data]\ntargets = 'pt.txt'", "'data.targets' must be"),
        ("[student]\nkernels = [3, 'a']", "'student.kernels' must be int, not 'a'"),
        ("seed = ", "not a TOML file"),
    ],
)
def test_a_file_that_is_no_recipe_is_refused_by_file_and_field(tmp_path, text, message):
    path = written(tmp_path, text)
    with pytest.raises(DataError) as caught:
        Recipe.read(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_a_missing_recipe_and_a_folder_are_refused(tmp_path):
    with pytest.raises(DataError, match="no such recipe"):
        Recipe.read(tmp_path / "none.toml")
    with pytest.raises(DataError):
        Recipe.read(tmp_path)


def test_a_whole_recipe_passes_its_check():
    WHOLE.check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"teacher.label": ""}, "no teacher"),
        ({"data.source": ""}, "no English text"),
        ({"data.targets": {}}, "no target language"),
        ({"data.targets": {"../pt": "pt.txt"}}, "unknown language '../pt'"),
        ({"data.targets": {"Portuguese": "pt.txt"}}, "unknown language 'Portuguese'"),
        ({"student.architecture": "gru"}, "unknown student 'gru': one of transformer, bilstm, cnn, static"),
        ({"student.init": "zeros"}, "unknown student.init 'zeros'"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"precision": "int8"}, "unknown precision 'int8'"),
        ({"alignment": "words"}, "unknown alignment 'words'"),
        ({"data.held_out": 0.0}, "data.held_out 0.0"),
        ({"data.held_out": 0.95}, "data.held_out 0.95"),
        ({"step1.loss": "ce"}, "unknown step1.loss 'ce'"),
        ({"step2.learning_rate": "auto"}, "unknown step2.learning_rate 'auto': one of range-test"),
        ({"step1.epochs": 0}, "step1.epochs must be above 0"),
        ({"step2.batch_size": 0}, "step2.batch_size must be above 0"),
        ({"step2.temperature": -1}, "step2.temperature must be above 0"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_read(changes, message):
    with pytest.raises(UsageError) as caught:
        WHOLE.override(changes).check()
    assert message in str(caught.value)


def test_every_field_but_device_and_target_languages_changes_the_fingerprint():
    assert WHOLE.override({"device": "cuda"}).fingerprint == WHOLE.fingerprint
    other = {"data.targets": {"de": "de.txt"}}
    assert WHOLE.override(other).fingerprint == WHOLE.fingerprint
    balanced = WHOLE.override({"balance.method": "neighbours"})
    assert balanced.override(other).fingerprint != balanced.fingerprint, "step 1 reads their text"
    seen = {WHOLE.fingerprint}
    for place, value in {
        "seed": 1,
        "precision": "bf16",
        "alignment": "first-subword",
        "teacher.label": "recorded:other.jsonl",
        "data.source": "other.txt",
        "step1.temperature": 2,
        "step2.temperature": 2,
        "student.dropout": 0.2,
        "mplm.layers": 3,
    }.items():
        seen.add(WHOLE.override({place: value}).fingerprint)
    assert len(seen) == 10


def test_a_recipe_cannot_be_changed_behind_ones_back():
    with pytest.raises(dataclasses.FrozenInstanceError):
        WHOLE.seed = 1  # type: ignore[misc]


def test_the_fingerprint_of_a_part_is_blind_to_the_rest():
    part = ("teacher", "step1", "seed")
    for place, value in {"step2.epochs": 77.0, "student.dropout": 0.4, "augment.share": 1.0}.items():
        assert WHOLE.override({place: value}).fingerprint_of(*part) == WHOLE.fingerprint_of(*part), place
    for place, value in {"step1.epochs": 77.0, "seed": 5, "teacher.label": "hf:other"}.items():
        assert WHOLE.override({place: value}).fingerprint_of(*part) != WHOLE.fingerprint_of(*part), place


@pytest.mark.parametrize("idle", ["context", "tag_propagation", "tag_weight"])
def test_what_is_read_for_tags_alone_changes_nothing_without_them(idle):
    labels = Recipe().override({"teacher.label": "package:en"})
    assert labels.override({f"balance.{idle}": 0.9}).fingerprint == labels.fingerprint
    tags = labels.override({"teacher.tag": "package:en"})
    assert tags.override({f"balance.{idle}": 0.9}).fingerprint != tags.fingerprint


@pytest.mark.parametrize("idle", ["step1.tag_weight", "step2.label_weight"])
def test_the_weights_of_losses_change_nothing_where_there_is_one(idle):
    for head in ("label", "tag"):
        alone = Recipe().override({f"teacher.{head}": "package:en"})
        assert alone.override({idle: 0.9}).fingerprint == alone.fingerprint
    both = Recipe().override({"teacher.label": "package:en", "teacher.tag": "package:en"})
    assert both.override({idle: 0.9}).fingerprint != both.fingerprint


def test_hints_change_nothing_without_tags():
    labels = Recipe().override({"teacher.label": "package:en"})
    assert labels.override({"step2.hint_weight": 0.5}).fingerprint == labels.fingerprint
    tags = Recipe().override({"teacher.tag": "package:en"})
    assert tags.override({"step2.hint_weight": 0.5}).fingerprint != tags.fingerprint


@pytest.mark.parametrize(("layers", "meaning"), [(0, "heads"), (-1, "whole"), (2, "whole")])
def test_the_mplm_that_is_asked_first_learns_as_much_as_step_1_does(layers, meaning):
    recipe = Recipe().override({"teacher.label": "package:en", "mplm.train_layers": layers})
    said = recipe.override({"balance.naive": meaning})
    assert (recipe.naive, said.naive) == (meaning, meaning)
    assert recipe.fingerprint == said.fingerprint
    translated = recipe.override({"balance.method": "translations"})
    for idle in (
        {"balance.naive": "none"},
        {"balance.priors": 0.9},
        {"balance.neighbours": 9},
        {"balance.similarity": "cosine"},
    ):
        assert translated.override(idle).fingerprint == translated.fingerprint
        assert recipe.override(idle).fingerprint != recipe.fingerprint
    other = recipe.override({"balance.naive": "none"})
    assert other.naive == "none"
