"""Prompt tables: whole ones, and those that a person has to mend in the middle of their night."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path

REFUSED = "unheard-of"
"""In a row's prompt: the stand-in refuses it, with the same 400 for every such row."""
EARLY = "early"
"""In the prompt of a row that is accepted before the others of its table are refused."""
_EARLY_ROWS = 5
_ROW = "city "

Words = Callable[[int], str]
"""What comes before a row's own text, by its number. No one of them is part of another."""


def _whole(_row: int) -> str:
    return "a"


def _all_refused(_row: int) -> str:
    return f"an {REFUSED}"


def _half_refused(row: int) -> str:
    return f"an {EARLY}" if row < _EARLY_ROWS else f"an {REFUSED}"


KINDS: Sequence[Words] = (_all_refused, _half_refused, _whole)
"""Nights take turns at them, over all providers."""


def write_tables(paths: Sequence[tuple[Path, int]]) -> None:
    """Write tables of so many rows each."""
    for (path, rows), words in zip(paths, cycle(KINDS), strict=False):
        write(path, [f"{words(row)} {_ROW}{row} on {path.stem}" for row in range(rows)])


def write(path: Path, prompts: Sequence[str]) -> None:
    """Write a table of these prompts; who reads it meanwhile reads the old one or this."""
    lines = [f"p{number},{prompt}" for number, prompt in enumerate(prompts)]
    anew = path.with_suffix(f".{os.getpid()}")
    anew.write_text("\n".join(["prompt_id,prompt", *lines]) + "\n")
    anew.replace(path)


def prompt_ids(path: Path) -> Sequence[str]:
    """Return the names of a table's rows."""
    return [line.partition(",")[0] for line in path.read_text().splitlines()[1:]]


def is_flawed(path: Path) -> bool:
    """Return whether rows of a table are refused as long as nobody mends it."""
    return REFUSED in path.read_text()


def mend(path: Path) -> None:
    """Write every row anew, those too that the ledger has frozen by now."""
    rows = len(prompt_ids(path))
    write(path, [f"{_whole(row)} {_ROW}{row} on {path.stem}" for row in range(rows)])


def row_of(prompt: str) -> str:
    """Return the part of a prompt that names its row, whatever was mended."""
    return prompt[prompt.index(_ROW) :]
