"""The files of a package, and how they get on the disk: whole or not at all, the same bytes every time."""

from __future__ import annotations

import errno
import hashlib
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ftx_edge.errors import FtxError, GateError, UsageError
from ftx_edge.files import write_atomically
from ftx_edge.runtime.manifest import MANIFEST, FileEntry
from ftx_edge.students import StudentConfig

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
# Zip files hold dates; this is the earliest that they can.
_DATE = (1980, 1, 1, 0, 0, 0)


def compatibility_files(config: StudentConfig, tokenizer_json: str) -> dict[str, bytes]:
    """What transformers, optimum and transformers.js read: ``config.json`` and the tokenizer's files.

    Args:
        config: of the student.
        tokenizer_json: the content of its ``tokenizer.json``.
    """
    names = config.tags if config.task == "tagging" else config.labels
    head = "TokenClassification" if config.task == "tagging" else "SequenceClassification"
    model = {
        # A name that those libraries know; none of them reads the sizes of an ONNX graph from here.
        "model_type": "distilbert",
        "architectures": [f"DistilBertFor{head}"],
        "vocab_size": config.vocab_size,
        "max_position_embeddings": config.max_length,
        "dim": config.embedding_size,
        "hidden_dim": config.feed_forward,
        "n_layers": config.layers,
        "n_heads": config.heads,
        "pad_token_id": 0,
        "id2label": {str(number): name for number, name in enumerate(names)},
        "label2id": {name: number for number, name in enumerate(names)},
    }
    tokenizer = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": config.max_length,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "padding_side": "right",
        "truncation_side": "right",
        "clean_up_tokenization_spaces": False,
    }
    return {
        "config.json": _json(model),
        # Without indentation: a third of the size.
        "tokenizer.json": json.dumps(
            json.loads(tokenizer_json), ensure_ascii=False, separators=(",", ":")
        ).encode(),
        "tokenizer_config.json": _json(tokenizer),
    }


def entries(files: Mapping[str, bytes]) -> dict[str, FileEntry]:
    """Hash and size of each file, for the manifest."""
    return {
        name: FileEntry(hashlib.sha256(content).hexdigest(), len(content)) for name, content in files.items()
    }


def check_size(files: Mapping[str, bytes], max_size: int | str | None, reason: str = "") -> None:
    """Raise GateError, with the largest files, where they are together above ``max_size``.

    ``reason`` says what made them larger than usual.
    """
    if max_size is None:
        return
    limit = parse_size(max_size)
    total = sum(map(len, files.values()))
    if total > limit:
        largest = sorted(files.items(), key=lambda item: -len(item[1]))[:3]
        parts = ", ".join(f"{name} {len(content) / 1e6:.2f} MB" for name, content in largest)
        raise GateError(
            f"the package would have {total / 1e6:.2f} MB{reason and f' {reason}'}, above the limit of "
            f"{limit / 1e6:g} MB ({parts}): nothing was written"
        )


def parse_size(size: int | str) -> int:
    """Bytes: a number, or a text as ``6MB``, ``500 KB``, ``5.5MiB``; raises UsageError."""
    text = str(size).strip().upper()
    number = text.rstrip("BIGKM").strip()
    unit = text[len(number) :].strip()
    try:
        found = int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        found = 0
    if found < 1:
        raise UsageError(f"{size!r} is no size: write it as 6MB or 5500000")
    return found


def check_target(folder: Path, archive: bool) -> None:
    """Raise UsageError where a package, and its archive, cannot take the place of what is there.

    Without ``archive``, no older one may be left to be taken for the same.
    """
    if not folder.name:
        raise UsageError(f"{folder} is not a name for a package: choose another")
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UsageError(f"{folder} is not a folder: choose another")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} holds something else than a package, which would be lost: choose another")
    packed = archive_of(folder)
    if archive and packed.exists() and not _is_archive(packed):
        raise UsageError(f"{packed} is something else than a package, which would be lost: move it away")
    if not archive and packed.exists() and _is_archive(packed):
        raise UsageError(f"{packed} is of an earlier export: remove it, or leave --no-archive out")


def archive_of(folder: Path) -> Path:
    """Where a package lies as one file."""
    return folder.with_name(f"{folder.name}.ftx")


def _is_archive(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return MANIFEST in archive.namelist()


def write_package(files: Mapping[str, bytes], folder: Path, archive: Path | None) -> None:
    """Write a package as a folder and, if asked for, as one file.

    Both are written aside and renamed: what was there stays as it was until the new one is complete.

    Raises:
        FtxError: the disk is full or does not let itself be written to; nothing is left behind.
    """
    try:
        with write_atomically(folder) as aside:
            for name, content in files.items():
                path = aside / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            # Inside, so that a disk too small for both gets neither.
            if archive is not None:
                with write_atomically(archive) as packed:
                    _write_archive(files, packed)
    except OSError as error:
        cure = "free some space" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "choose another place"
        raise FtxError(f"{folder} cannot be written: {error.strerror or error}: {cure}") from error


def _write_archive(files: Mapping[str, bytes], path: Path) -> None:
    """One zip, not compressed: int8 weights hardly shrink, and zlib's output differs between its versions."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system = 3
            info.external_attr = 0o100644 << 16
            archive.writestr(info, files[name])


def _json(values: dict[str, Any]) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()
