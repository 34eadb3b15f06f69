"""A guard that is taken out of the code, by replacing its exact text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

PACKAGE = "flow_pipelines"
ROOT = Path(__file__).parents[3]


class OutOfDate(AssertionError):
    """The code no longer has the text that a mutant replaces, or has it more than once."""


@dataclass(frozen=True)
class Edit:
    """One replacement in one file."""

    file: str
    """Below the package."""
    old: str
    new: str = ""

    def path(self, root: Path) -> Path:
        return root / PACKAGE / self.file

    def applied(self, text: str) -> str:
        """Return `text` without the guard. Raises: OutOfDate."""
        found = text.count(self.old)
        if found != 1:
            raise OutOfDate(f"{self.file} has this {found} times, not once:\n{self.old}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True, kw_only=True)
class Mutant:
    """The code without one guard."""

    guard: str
    """The promise that it keeps; several mutants may be of one."""
    removed: str
    """What is taken out, for the page."""
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """Below the tests' folder: what of the suite is run against it."""

    def files(self, root: Path) -> dict[Path, str]:
        """Return the new text of each file that it changes. Raises: OutOfDate."""
        texts: dict[Path, str] = {}
        for edit in self.edits:
            path = edit.path(root)
            texts[path] = edit.applied(texts.get(path) or path.read_text())
        return texts
