"""`ftx-edge init`: a recipe to start from, every field explained."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ftx_edge.cli.output import say
from ftx_edge.errors import UsageError

if TYPE_CHECKING:
    from ftx_edge.recipe import Recipe


def init_cli(
    file: Annotated[Path, typer.Argument(help="The recipe to write; - prints it.")] = Path("recipe.toml"),
) -> None:
    """Write a recipe with every field, its default, and what it means.

    \b
    Examples:
        ftx-edge init recipe.toml
        ftx-edge init - | less
    """
    from ftx_edge import Recipe

    text = explained(Recipe())
    if str(file) == "-":
        print(text, end="")
        return
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except FileExistsError:
        raise UsageError(f"{file} exists: choose another name") from None
    say(f"{file} written: set teacher.label, data.source and data.targets, then ftx-edge distill {file}")


def explained(recipe: Recipe) -> str:
    """The TOML of a recipe with a comment above each field."""
    lines: list[str] = []
    table = recipe
    for line in recipe.to_toml().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\]", line):
            table = getattr(recipe, heading[1])
            lines += [line, *_comment(_summary(type(table)))]
            continue
        name = line.partition(" = ")[0]
        if name in (meanings := descriptions(type(table))):
            lines += _comment(meanings[name])
        lines.append(line)
        if name == "source":
            lines.append("# file of utterances of each target language, such as")
            lines.append('# targets = { pt = "pt.txt", de = "de.txt" }')
    return "\n".join(lines) + "\n"


def descriptions(kind: type) -> dict[str, str]:
    """What the docstring of a dataclass says of its fields, under ``Args:`` or ``Attributes:``."""
    found: dict[str, str] = {}
    for base in kind.__bases__:
        found |= descriptions(base) if dataclasses.is_dataclass(base) else {}
    _, _, block = inspect.cleandoc(kind.__doc__ or "").partition("Args:\n")
    for entry in re.split(r"\n(?=    \w)", block):
        names, colon, meaning = entry.partition(":")
        if colon and names.startswith("    "):
            for name in names.split(","):
                found[name.strip()] = " ".join(meaning.split())
    known = {field.name for field in dataclasses.fields(kind)}
    return {name: meaning for name, meaning in found.items() if name in known}


def _summary(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n")[0].replace("``", "")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text.replace("``", ""), 100, initial_indent="# ", subsequent_indent="# ")
