"""Write docs/commands.md and the fields in docs/recipe.md from the program, or check that they are current.

Usage: python tools/command_reference.py [--write]
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
COMMANDS = (
    "distill", "export", "predict", "inspect", "evaluate", "benchmark latency", "benchmark accuracy",
    "translate", "data check", "train-source", "init",
)  # fmt: skip
HEAD = """# Commands

What `ftx-edge COMMAND --help` prints. `make docs` checks that this page is what the program says.
Results go to standard output, progress and messages to standard error; `--json` prints the same numbers for
machines.
Exit codes: 0 done, 1 it could not be done, 2 it was asked wrongly, 130 interrupted.
"""
START, END = "<!-- fields:start -->", "<!-- fields:end -->"


def help_of(command: str) -> str:
    """The help of a command without colours or boxes, 90 characters wide."""
    env = {**os.environ, "TYPER_USE_RICH": "0", "COLUMNS": "92", "PYTHONUTF8": "1"}
    arguments = [sys.executable, "-P", "-m", "ftx_edge.cli", *command.split(), "--help"]
    done = subprocess.run(arguments, env=env, capture_output=True, text=True, check=True)
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


def commands_page() -> str:
    """docs/commands.md."""
    parts = [HEAD]
    for command in COMMANDS:
        parts.append(f"\n## ftx-edge {command}\n\n```text\n{help_of(command)}\n```\n")
    return "".join(parts)


def recipe_fields() -> str:
    """A table for each part of a recipe: field, default, meaning."""
    from ftx_edge.cli.init import descriptions
    from ftx_edge.recipe import Recipe

    recipe = Recipe()
    tables = [("", recipe)] + [
        (f.name, getattr(recipe, f.name))
        for f in dataclasses.fields(recipe)
        if dataclasses.is_dataclass(getattr(recipe, f.name))
    ]
    parts = []
    for name, table in tables:
        meanings = descriptions(type(table))
        lines = [
            f"\n### {f'[{name}]' if name else 'At the top'}\n",
            "| field | default | meaning |",
            "|---|---|---|",
        ]
        for field in dataclasses.fields(table):
            value = getattr(table, field.name)
            if dataclasses.is_dataclass(value):
                continue
            default = "none" if value in ({}, "") else f"`{json.dumps(value)}`"
            lines.append(f"| `{field.name}` | {default} | {_markdown(meanings.get(field.name, ''))} |")
        parts.append("\n".join(lines) + "\n")
    return "".join(parts)


def _markdown(text: str) -> str:
    return re.sub(r"``(.+?)``", r"`\1`", text).replace("|", "\\|")


def recipe_page(current: str) -> str:
    """docs/recipe.md with the field lists of the program between its two marks."""
    before, rest = current.split(START)
    _, after = rest.split(END)
    return f"{before}{START}\n{recipe_fields()}\n{END}{after}"


def main() -> int:
    """Write the pages, or say which one is not current."""
    write = "--write" in sys.argv[1:]
    recipe = DOCS / "recipe.md"
    pages = {DOCS / "commands.md": commands_page(), recipe: recipe_page(recipe.read_text(encoding="utf-8"))}
    stale = [p for p, text in pages.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    for page in stale:
        if write:
            page.write_text(pages[page], encoding="utf-8")
            print(f"written: {page}")
        else:
            print(f"error: {page} is not what the program says: make docs WRITE=1", file=sys.stderr)
    return int(bool(stale) and not write)


if __name__ == "__main__":
    sys.exit(main())
