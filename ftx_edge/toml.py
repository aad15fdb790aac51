"""A tree of frozen dataclasses, one level of tables deep, and the TOML file that says the same."""

from __future__ import annotations

import dataclasses
import functools
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from ftx_edge.errors import DataError, UsageError

T = TypeVar("T")


def read(path: Path, *, base: T, what: str) -> T:
    """``base`` with the fields that a file names replaced.

    Raises:
        DataError: there is no such file (``what`` says what it should be), it is no TOML, or it has fields
            that are unknown or of another type.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"no such {what}", path=path) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, IsADirectoryError) as error:
        raise DataError(f"not a TOML file: {error}", path=path) from error
    try:
        return replaced(base, table)
    except UsageError as error:
        raise DataError(str(error), path=path) from error


def dumps(tree: Any) -> str:
    """Every field of a dataclass, in order: plain ones first, then a table for each dataclass in it."""
    tables = {f.name: getattr(tree, f.name) for f in fields(tree)}
    lines = [f"{k} = {_toml(v)}" for k, v in tables.items() if not is_dataclass(v)]
    for name, table in tables.items():
        if not is_dataclass(table):
            continue
        values = {f.name: getattr(table, f.name) for f in fields(table)}
        lines += ["", f"[{name}]"]
        lines += [f"{k} = {_toml(v)}" for k, v in values.items() if not isinstance(v, dict)]
        for key, mapping in values.items():
            if isinstance(mapping, dict) and mapping:
                lines += ["", f"[{name}.{key}]"]
                lines += [f"{_toml_key(k)} = {_toml(v)}" for k, v in mapping.items()]
    return "\n".join(lines) + "\n"


def replaced(base: T, table: Mapping[str, Any], *, where: str = "") -> T:
    """``base`` with the fields of ``table`` replaced, at any depth; raises UsageError by field name."""
    hints = _hints(type(base))  # type: ignore[arg-type]
    known = {f.name for f in fields(base)}  # type: ignore[arg-type]
    changes: dict[str, Any] = {}
    for name, value in table.items():
        place = f"{where}{name}"
        if name not in known:
            raise UsageError(f"unknown field {place!r}: one of {', '.join(sorted(known))}")
        current = getattr(base, name)
        if is_dataclass(current) and not isinstance(current, type):
            if not isinstance(value, Mapping):
                raise UsageError(f"{place!r} is a table, not {value!r}")
            changes[name] = replaced(current, value, where=f"{place}.")
        else:
            changes[name] = _typed(value, hints[name], place)
    return dataclasses.replace(base, **changes)  # type: ignore[type-var]


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The types of a dataclass's fields. Slow to resolve, and a suite asks for thousands of recipes."""
    return typing.get_type_hints(kind)


def _typed(value: Any, hint: Any, place: str) -> Any:
    """``value`` as the type that the field has, or UsageError."""
    origin = typing.get_origin(hint)
    if origin is types.UnionType:
        kinds: tuple[type, ...] = typing.get_args(hint)
    elif origin is tuple and isinstance(value, list | tuple):
        return tuple(_typed(v, typing.get_args(hint)[0], place) for v in value)
    elif origin is dict and isinstance(value, Mapping):
        return {str(k): _typed(v, typing.get_args(hint)[1], f"{place}.{k}") for k, v in value.items()}
    else:
        kinds = (hint,) if origin is None else ()
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not kinds or not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        wanted = " or ".join(k.__name__ for k in kinds) or str(hint)
        raise UsageError(f"{place!r} must be {wanted}, not {value!r}")
    return value


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(_toml(v) for v in value) + "]"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'
    return repr(value)


def _toml_key(key: str) -> str:
    return key if key.replace("-", "").replace("_", "").isalnum() and key.isascii() else _toml(key)
