"""A package is opened: verified, and made ready to run."""

from __future__ import annotations

import mmap
import os

import onnxruntime
from tokenizers import Tokenizer

from ftx_edge.errors import PackageError
from ftx_edge.runtime.contents import Contents, open_contents
from ftx_edge.runtime.graph import stored_tensors
from ftx_edge.runtime.package import Package
from ftx_edge.runtime.segmenter import load_segmenter


def load(path: str | os.PathLike[str], *, intra_op_num_threads: int = 1) -> Package:
    """Open a package, a folder or a ``.ftx`` file, read in memory; nothing is unpacked to the disk.

    Every file is compared with its SHA-256; nothing in a package is executed.

    Args:
        path: the folder or file.
        intra_op_num_threads: threads of ONNX Runtime; one is fastest for students of a few MB.

    Raises:
        PackageError: it does not exist, is incomplete, damaged, changed, or from a newer version.
        MissingExtraError: it needs a word segmenter that is not installed.
    """
    with open_contents(path) as contents:
        return _open(contents, intra_op_num_threads)


def _open(contents: Contents, intra_op_num_threads: int) -> Package:
    manifest, where = contents.manifest, contents.where
    segmenter = load_segmenter(manifest, where) if manifest.segmenter else None
    for name in manifest.files:
        if name not in ("tokenizer.json", manifest.model_file):
            contents.verify(name)
    # Before the tokenizer: what opening the graph takes and gives back, the tokenizer can have.
    session = _open_graph(contents, manifest.model_file, intra_op_num_threads)
    content = contents.read("tokenizer.json")
    try:
        tokenizer = Tokenizer.from_buffer(content)
    # The tokenizers library raises plain Exception.
    except Exception as error:
        raise PackageError(f"{where}: tokenizer.json cannot be used: {error}") from None
    if {i.name for i in session.get_inputs()} != {"input_ids", "attention_mask"} or not {
        *manifest.outputs
    } <= {o.name for o in session.get_outputs()}:
        raise PackageError(f"{where}: {manifest.model_file} has other inputs or outputs than a student")
    return Package(manifest, tokenizer, session, fingerprint=contents.fingerprint, segmenter=segmenter)


def _open_graph(contents: Contents, name: str, intra_op_num_threads: int) -> onnxruntime.InferenceSession:
    where = f"{contents.where}: {name}"
    path = contents.local_path(name)
    if path is None:
        model = contents.read(name)
        _refuse_external_data(model, where)
        return open_session(model, where, intra_op_num_threads)
    # From the file itself ONNX Runtime needs one copy less in memory.
    contents.verify(name)
    if contents.sizes[name]:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            _refuse_external_data(mapped, where)
    return open_session(str(path), where, intra_op_num_threads)


def _refuse_external_data(model: bytes | mmap.mmap, where: str) -> None:
    try:
        is_external = any(tensor.is_external for tensor in stored_tensors(model))
    except (ValueError, RecursionError) as error:
        raise PackageError(f"{where}: {error}") from None
    if is_external:
        raise PackageError(f"{where}: refused: it takes data from other files")


def open_session(
    model: str | bytes, where: str, intra_op_num_threads: int = 1
) -> onnxruntime.InferenceSession:
    """An ONNX file, or its bytes, ready to run on the CPU; PackageError, beginning with ``where``, if not."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = intra_op_num_threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    # ONNX Runtime raises many kinds, all derived from Exception alone.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise PackageError(
            f"{where}: ONNX Runtime {onnxruntime.__version__} cannot open it: {reason}"
        ) from None
    # Kept by ONNX Runtime's wrapper for a change of providers: as much memory as the package again.
    session._model_bytes = None
    return session
