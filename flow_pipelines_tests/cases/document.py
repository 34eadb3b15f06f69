"""Writes docs/CASES.md from the tests' `case` marks."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from flow_pipelines_tests.syntax_trees import syntax_tree

TESTS = Path(__file__).parents[1]
FILE = TESTS.parent / "docs" / "CASES.md"

AREAS = {
    "whose run": "Whose run it is",
    "which account": "Which account it was bought with",
    "which bucket": "Which bucket it is in",
    "nobody polls": "Runs that nobody polls",
    "old ledger": "A ledger that is an older copy, and the release before",
    "pruning": "Nights that were pruned",
    "shared faults": "A fault that all rows share",
    "inputs": "What goes in: graphs, tables, parameters",
    "files": "What comes out: files",
    "costs": "Money and time",
    "": "Others",
}
"""What a mark's `area` may be, in the page's order, and its heading."""

_HEAD = """\
# Faults as found, and what happens now

Each line is a fault that somebody ran into, the outcome that is right, and the test that fails
without it. `make docs` writes this page from the tests' `case` marks.
"""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One mark of one test."""

    fault: str
    outcome: str
    area: str
    test: str
    """`folder/file.py::name`, below the tests' folder."""


def page() -> str:
    """Return the whole page."""
    found = cases()
    sections = (
        _section(title, [case for case in found if case.area == area])
        for area, title in AREAS.items()
    )
    return "\n".join([_HEAD, *("\n".join(section) for section in sections if section)])


def cases(folder: Path = TESTS) -> Sequence[Case]:
    """Return every case, in the order of files and tests."""
    return [
        case
        for path in sorted(folder.rglob("test_*.py"))
        for case in _cases_of(path.read_text(encoding="utf-8"), path.relative_to(folder).as_posix())
    ]


def _cases_of(source: str, name: str) -> Iterator[Case]:
    if "mark.case" not in source:
        return
    for node in ast.walk(syntax_tree(source)):
        if isinstance(node, ast.FunctionDef):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.case":
                    yield _case(mark, f"{name}::{node.name}")


def _case(mark: ast.Call, test: str) -> Case:
    fault, outcome = (ast.literal_eval(argument) for argument in mark.args)
    named = {keyword.arg: ast.literal_eval(keyword.value) for keyword in mark.keywords}
    return Case(fault=fault, outcome=outcome, area=named.get("area", ""), test=test)


def _section(title: str, found: Sequence[Case]) -> list[str]:
    if not found:
        return []
    lines = [f"## {title}\n", "| fault | what happens now | test |", "|---|---|---|"]
    lines += [f"| {one.fault} | {one.outcome} | `{one.test}` |" for one in found]
    return [*lines, ""]


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
