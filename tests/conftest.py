"""What the tests of every room share: corpora, tiny packages, a runner of the command line."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# Before anything imports torch or ONNX Runtime: two tests side by side on two cores, not eight threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No hub is asked, whatever a test does.
os.environ["HF_HUB_OFFLINE"] = "1"


_FTX_DATA = Path(os.environ.get("FTX_DATA") or Path(__file__).parents[2] / "shared" / "data")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the experiment corpora are skipped where these are not at hand."""
    if (_FTX_DATA / "massive").is_dir():
        return
    skip = pytest.mark.skip(reason=f"no experiment corpora in {_FTX_DATA}: FTX_DATA names their folder")
    for item in items:
        if item.get_closest_marker("data"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def ftx_data() -> Path:
    """The folder of the experiment corpora (``massive/``, ``mtop/``), for tests marked ``data``."""
    return _FTX_DATA


@dataclass(frozen=True)
class Outcome:
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of the error; fails where there is more, or a traceback."""
        lines = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        return lines[0].removeprefix("error: ")


@pytest.fixture
def ftx(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``ftx("predict", package, stdin="...")``: the command line in this process."""
    from ftx_edge.cli import main

    def run(*arguments: object, stdin: str | bytes = "") -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ftx-edge", *map(str, arguments)])
        content = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content), encoding="utf-8"))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main()
        captured = capsys.readouterr()
        assert isinstance(exit_.value.code, int)
        return Outcome(exit_.value.code, captured.out, captured.err)

    return run


# A student small enough to read: every word votes for labels (and has a tag), the label with most votes wins.
_LABELS = ("light_on", "light_off", "play_music")
_TAGS = ("O", "B-room", "I-room")
_VOTES: dict[str, tuple[int, int]] = {  # word -> label it votes for (-1: none), its tag
    "acenda": (0, 0), "apaga": (1, 0), "toca": (2, 0), "música": (2, 0), "a": (-1, 0), "luz": (-1, 0),
    "da": (-1, 0), "cozinha": (-1, 1), "sala": (-1, 1), "de": (-1, 0), "jantar": (-1, 2),
}  # fmt: skip


def _write_tiny_package(folder: Path, *, joint: bool) -> Path:
    import hashlib

    import numpy as np
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from ftx_edge.runtime import Manifest
    from ftx_edge.runtime.manifest import FileEntry

    vocabulary = {word: i for i, word in enumerate(("[PAD]", "[UNK]", "[CLS]", *_VOTES))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=[("[CLS]", 2)])
    tokenizer.enable_truncation(32)

    labels = np.zeros((len(vocabulary), len(_LABELS)), dtype=np.float32)
    tags = np.zeros((len(vocabulary), len(_TAGS)), dtype=np.float32)
    tags[:3, 0] = 4
    for word, (label, tag) in _VOTES.items():
        tags[vocabulary[word], tag] = 4
        if label >= 0:
            labels[vocabulary[word], label] = 3
    nodes = [
        helper.make_node("Gather", ["labels", "input_ids"], ["votes"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["votes", "column"], ["counted"]),
        helper.make_node("ReduceSum", ["counted", "one"], ["logits"], keepdims=0),
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", len(_LABELS)])]
    if joint:
        nodes.append(helper.make_node("Gather", ["tags", "input_ids"], ["tag_logits"]))
        outputs.append(
            helper.make_tensor_value_info("tag_logits", TensorProto.FLOAT, ["batch", "sequence", len(_TAGS)])
        )
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
            for name in ("input_ids", "attention_mask")
        ],
        outputs,
        [
            numpy_helper.from_array(labels, "labels"),
            numpy_helper.from_array(np.array([2], dtype=np.int64), "last"),
            numpy_helper.from_array(np.array([1], dtype=np.int64), "one"),
            *([numpy_helper.from_array(tags, "tags")] if joint else []),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    files = {
        "tokenizer.json": tokenizer.to_str().encode(),
        "onnx/model_quantized.onnx": model.SerializeToString(),
        "config.json": b"{}\n",
    }
    onnx.checker.check_model(model)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    manifest = Manifest(
        task="joint" if joint else "classification",
        language="pt",
        architecture="static",
        labels=_LABELS,
        tags=_TAGS if joint else (),
        max_length=32,
        files={n: FileEntry(hashlib.sha256(c).hexdigest(), len(c)) for n, c in files.items()},
        provenance={"seed": 0},
        measured={"agreement": 1.0},
    )
    (folder / "ftx.json").write_text(manifest.to_json(), encoding="utf-8")
    (folder / "README.md").write_text("# tiny\n", encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def tiny_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classification package of a few kB: every known word votes for a label. Do not change it; copy it."""
    return _write_tiny_package(tmp_path_factory.mktemp("packages") / "tiny", joint=False)


@pytest.fixture(scope="session")
def tiny_joint_package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with tags: ``cozinha``, ``sala`` and ``jantar`` (as continuation) are a room."""
    return _write_tiny_package(tmp_path_factory.mktemp("packages") / "tiny-joint", joint=True)


@dataclass(frozen=True)
class TinyWorld:
    """All that a distillation of a few seconds needs.

    Args:
        source: English texts; target: Portuguese texts; test: Portuguese texts with labels.
        teacher: specification of the English model, recorded predictions of every source text.
        mplm: folder of an encoder, 32 wide, 2 layers, random weights.
    """

    source: Path
    target: Path
    test: Path
    teacher: str
    mplm: Path

    @property
    def changes(self) -> dict[str, object]:
        """Of a recipe, as ``options`` of the command."""
        return {
            "teacher.label": self.teacher,
            "data.source": str(self.source),
            "data.targets": {"pt": str(self.target)},
            "balance.method": "none",
            "student.init": "random",
            "mplm.name": str(self.mplm),
            "device": "cpu",
            "precision": "fp32",
        }

    @property
    def options(self) -> tuple[str, ...]:
        """Of ``ftx-edge distill``, for the smallest run."""
        return (
            "--teacher", self.teacher, "--source", str(self.source), "--target", f"pt={self.target}",
            "--mplm", str(self.mplm), "--device", "cpu", "--precision", "fp32",
        )  # fmt: skip


def _sentences(
    verbs: dict[str, str], things: tuple[str, ...], places: tuple[str, ...]
) -> list[tuple[str, str]]:
    return [(f"{v} {t} {p}", label) for v, label in verbs.items() for t in things for p in places]


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> TinyWorld:
    """Corpora, a recorded teacher and an untrained mPLM. Read only."""
    import json

    pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("tiny-world")
    english = _sentences(
        {"turn on": "light_on", "switch off": "light_off", "play": "play_music", "start": "light_on"},
        ("the light", "the lamp", "a song", "the fan"),
        ("in the kitchen", "in the hall", "now", "please"),
    )
    portuguese = _sentences(
        {"acenda": "light_on", "apague": "light_off", "toque": "play_music", "ligue": "light_on"},
        ("a luz", "o abajur", "uma música", "o ventilador"),
        ("da cozinha", "da sala", "agora", "por favor"),
    )
    (folder / "en.txt").write_text("".join(f"{text}\n" for text, _ in english), encoding="utf-8")
    (folder / "pt.txt").write_text("".join(f"{text}\n" for text, _ in portuguese), encoding="utf-8")
    rows = [{"text": f"{text} já", "label": label} for text, label in portuguese[::3]]
    (folder / "pt.test.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    predictions = [
        {"text": text, "probs": {name: 0.9 if name == label else 0.05 for name in _LABELS}}
        for text, label in english
    ]
    recorded = folder / "teacher.jsonl"
    recorded.write_text("".join(json.dumps(row) + "\n" for row in predictions), encoding="utf-8")

    tokenizer = Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        [text for text, _ in english + portuguese], trainers.BpeTrainer(vocab_size=300, special_tokens=names)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64,
        pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]",
    ).save_pretrained(folder / "mplm")  # fmt: skip
    torch.manual_seed(0)
    BertModel(
        BertConfig(
            vocab_size=tokenizer.get_vocab_size(), hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=64, max_position_embeddings=64, pad_token_id=0,
        )
    ).save_pretrained(folder / "mplm")  # fmt: skip
    return TinyWorld(
        folder / "en.txt",
        folder / "pt.txt",
        folder / "pt.test.jsonl",
        f"recorded:{recorded}",
        folder / "mplm",
    )
