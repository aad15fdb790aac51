"""The mPLM: any Hugging Face encoder, heads of ours, its own tokenizer with a prefix."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from ftx_edge.errors import FtxError, UsageError

torch = pytest.importorskip("torch")

from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402

from ftx_edge.mplm.model import (  # noqa: E402
    MultilingualModel,
    MultilingualTokenizer,
    default_prefix,
    load_encoder,
    load_mplm,
    load_tokenizer,
    mplm_folder,
    save_mplm,
)

LABELS, TAGS = ("light_off", "light_on"), ("O", "B-room", "I-room")


def xlmr_like() -> Tokenizer:
    """A Unigram with a metaspace, ``<s> text </s>``, as XLM-R's: small pieces, and every letter by itself."""
    letters = "abcdefghijklmnopqrstuvwxyz:灯厨房的打开"
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(p, -3.0) for p in ("▁query", "▁light", "▁kit", "chen", "厨房", "▁the")]
    pieces += [(c, -8.0) for c in letters]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def covered(text, encoded, row=0):
    """The text under each subword of a row that covers any."""
    part = slice(encoded.splits[row], encoded.splits[row + 1])
    return [text[a:b].strip() for a, b in encoded.offsets[part] if b > a]


@pytest.fixture
def model(tiny_world):
    torch.manual_seed(0)
    return MultilingualModel(load_encoder(str(tiny_world.mplm)), labels=LABELS, tags=TAGS)


@pytest.mark.parametrize("prefix", ["", "query: "])
def test_offsets_of_raw_text_leave_the_prefix_out(prefix):
    text = "light the kitchen"
    encoded = MultilingualTokenizer(xlmr_like(), prefix=prefix).encode([text])
    assert covered(text, encoded) == ["light", "the", "kit", "chen"]


@pytest.mark.parametrize("prefix", ["", "query: "])
def test_offsets_of_words_count_in_the_untouched_text(prefix):
    text = "light   thekitchen"
    words = [(0, 5), (8, 11), (11, 18)]
    encoded = MultilingualTokenizer(xlmr_like(), prefix=prefix).encode([text], [words])
    assert covered(text, encoded) == ["light", "the", "kit", "chen"]


def test_the_metaspace_that_starts_an_unspaced_word_covers_nothing():
    text = "打开厨房的灯"
    words = [(0, 2), (2, 4), (4, 5), (5, 6)]
    encoded = MultilingualTokenizer(xlmr_like()).encode([text], [words])
    assert covered(text, encoded) == ["打", "开", "厨房", "的", "灯"]
    assert encoded.ids[1] == 4  # the metaspace itself


def test_long_texts_are_cut():
    tokenizer = MultilingualTokenizer(xlmr_like(), max_length=5)
    assert tokenizer.encode(["light " * 20]).lengths.tolist() == [5]
    assert tokenizer.encode(["light light light"], [[(0, 5), (6, 11), (12, 17)]]).lengths.tolist() == [5]


def test_texts_of_a_batch_are_not_padded():
    encoded = MultilingualTokenizer(xlmr_like()).encode(["light", "light the kitchen", ""])
    assert encoded.lengths.tolist() == [3, 6, 2]


def test_frozen_embeddings_do_not_learn_and_the_rest_does(model):
    model.freeze_embeddings()
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert frozen == ["encoder.embeddings.word_embeddings.weight"]


def test_layers_can_be_left_out(model, tmp_path, tiny_world):
    model.keep_layers(1)
    assert len(model.encoder.encoder.layer) == 1
    save_mplm(model, load_tokenizer(str(tiny_world.mplm)), tmp_path / "mplm")
    assert load_mplm(tmp_path / "mplm")[0].encoder.config.num_hidden_layers == 1


def test_what_is_saved_gives_the_same_when_loaded(model, tmp_path, tiny_world):
    tokenizer = load_tokenizer(str(tiny_world.mplm), prefix="query: ", max_length=17)
    save_mplm(model, tokenizer, tmp_path / "mplm")
    loaded, loaded_tokenizer = load_mplm(tmp_path / "mplm")
    assert (loaded.labels, loaded.tags) == (LABELS, TAGS)
    assert (loaded_tokenizer.prefix, loaded_tokenizer.max_length) == ("query: ", 17)
    ids, mask = torch.tensor([[2, 9, 30, 3]]), torch.ones(1, 4, dtype=torch.int64)
    for one, two in zip(model.eval()(ids, mask), loaded(ids, mask), strict=True):
        assert (one is None and two is None) or torch.equal(one, two)


def test_a_saved_mplm_opens_in_transformers(model, tmp_path, tiny_world):
    import transformers

    save_mplm(model, load_tokenizer(str(tiny_world.mplm)), tmp_path / "mplm")
    encoder = transformers.AutoModel.from_pretrained(tmp_path / "mplm")
    assert encoder.config.hidden_size == 32


def test_damaged_heads_are_an_error_that_names_the_folder(model, tmp_path, tiny_world):
    save_mplm(model, load_tokenizer(str(tiny_world.mplm)), tmp_path / "mplm")
    heads = tmp_path / "mplm" / "heads.safetensors"
    heads.write_bytes(heads.read_bytes()[:-10])
    with pytest.raises(FtxError, match="mplm"):
        load_mplm(tmp_path / "mplm")


def test_a_folder_without_heads_is_no_distilled_mplm(tiny_world):
    with pytest.raises(FtxError, match=r"heads\.json is missing"):
        load_mplm(tiny_world.mplm)


def test_predictions_do_not_depend_on_the_batch(model):
    model.eval()
    rows = [[2, 9, 3], [2, 9, 30, 31, 32, 3]]
    ids = torch.tensor([rows[0] + [0] * 3, rows[1]])
    together = model(ids, (ids != 0).long())
    alone = model(torch.tensor([rows[0]]), torch.ones(1, 3, dtype=torch.int64))
    torch.testing.assert_close(alone.logits[0], together.logits[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(alone.tag_logits[0], together.tag_logits[0, :3], atol=1e-5, rtol=1e-4)


def test_pickled_weights_are_not_read(tiny_world, tmp_path):
    folder = shutil.copytree(tiny_world.mplm, tmp_path / "mplm")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    with pytest.raises(FtxError, match=r"cannot be loaded: .*safetensors"):
        load_encoder(str(folder))


def test_damaged_weights_are_an_error_of_one_line(tiny_world, tmp_path):
    folder = shutil.copytree(tiny_world.mplm, tmp_path / "mplm")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(FtxError, match="cannot be loaded"):
        load_encoder(str(folder))


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FtxError, match="mPLM"):
        load_encoder(str(tmp_path / "none"))
    with pytest.raises(UsageError, match="unknown offline mPLM 'offline:big'"):
        mplm_folder("offline:big")


@pytest.mark.parametrize(
    ("name", "prefix"),
    [("offline:e5-small", "query: "), ("intfloat/multilingual-E5-base", "query: "), ("xlm-roberta-base", "")],
)
def test_the_prefix_is_what_the_encoder_expects(name, prefix):
    assert default_prefix(name) == prefix


def test_a_tokenizer_that_padded_and_cut_otherwise_is_set_right(tmp_path, tiny_world):
    folder = shutil.copytree(tiny_world.mplm, tmp_path / "mplm")
    spec = json.loads((folder / "tokenizer.json").read_text())
    spec["padding"] = {
        "strategy": {"Fixed": 20}, "direction": "Right", "pad_to_multiple_of": None,
        "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]",
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    encoded = load_tokenizer(str(folder)).encode(["acenda a luz"])
    assert np.count_nonzero(encoded.ids == 0) == 0
