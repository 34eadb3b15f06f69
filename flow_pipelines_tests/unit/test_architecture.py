"""What keeps the house in order, beside the import contracts of setup.cfg."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from flow_pipelines_tests.syntax_trees import syntax_tree

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGE = REPOSITORY / "flow_pipelines"
TESTS = REPOSITORY / "flow_pipelines_tests"

MAX_LINES = 400

READ_BY_DAGSTER = {"component", "assets", "asset_checks", "sensors", "schedules", "resources"}
"""Dagster looks at these floors' annotations, and does not understand postponed ones."""

READ_THE_ENVIRONMENT = {"resources", "cli"}


def modules(*folders: Path) -> Sequence[Path]:
    return [path for folder in folders for path in sorted(folder.rglob("*.py"))]


def floor_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def names_of(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def reads_environment(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        and node.attr in {"environ", "environb", "getenv"}
        for node in ast.walk(tree)
    )


def postpones_annotations(tree: ast.AST) -> bool:
    return any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in ast.walk(tree)
    )


def test_every_file_can_be_read_in_one_sitting() -> None:
    lines = {
        names_of(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in modules(PACKAGE, TESTS)
    }
    assert len(lines) > 600  # else it looked at something else
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_import_contracts_hold() -> None:
    # In a process of its own: it would switch off the loggers that other tests read.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    answer = subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )
    assert answer.returncode == 0, answer.stdout


def test_annotations_are_postponed_exactly_where_dagster_does_not_read_them() -> None:
    wrong = []
    for path in modules(PACKAGE):
        tree = syntax_tree(path.read_text(encoding="utf-8"))
        has_code = any(not isinstance(node, ast.Expr) for node in tree.body)
        expected = has_code and floor_of(path) not in READ_BY_DAGSTER
        if has_code and postpones_annotations(tree) is not expected:
            wrong.append(names_of(path))
    assert wrong == []


def test_only_resources_and_the_command_line_read_the_environment() -> None:
    readers = {
        floor_of(path)
        for path in modules(PACKAGE)
        if reads_environment(syntax_tree(path.read_text(encoding="utf-8")))
    }
    assert readers <= READ_THE_ENVIRONMENT


@pytest.mark.parametrize("module", ["flow_pipelines", "flow_pipelines.cli", "flow_pipelines.model"])
def test_importing_a_lower_floor_does_not_import_dagster(module: str) -> None:
    heavy = "('boto3', 'dagster', 'pandas', 'sqlalchemy')"
    code = f"import sys, {module}; print([one for one in {heavy} if one in sys.modules])"
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "[]"


def test_every_suppressed_warning_says_why() -> None:
    silent = []
    for path in modules(PACKAGE, TESTS):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            _, marker, rest = line.partition("# " + "noqa")
            if marker and " - " not in rest:
                silent.append(f"{names_of(path)}:{number}")
    assert silent == []


def test_what_starts_a_whole_dagster_lies_where_make_test_looks_for_it() -> None:
    mark = "pytest.mark." + "end_to_end"
    marked = [path for path in modules(TESTS) if mark in path.read_text(encoding="utf-8")]
    assert marked
    assert {path.parent for path in marked} == {TESTS / "dagster"}
