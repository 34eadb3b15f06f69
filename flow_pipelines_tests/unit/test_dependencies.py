"""What the package imports is declared, and pinned as declared."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from flow_pipelines_tests.syntax_trees import syntax_tree

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "flow_pipelines"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DECLARED = [
    Requirement(line)
    for lines in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for line in lines
]
BROUGHT = {
    "botocore": "boto3",
    "dagster-shared": "dagster",
    "mypy-boto3-s3": "boto3-stubs",
}
"""Parts of a declared distribution that come under a name of their own."""


def imported(source: Path) -> set[str]:
    """Return the top-level modules that a file imports, wherever in it."""
    found = set[str]()
    for node in ast.walk(syntax_tree(source.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_the_lock_has_every_dependency_in_a_version_that_is_declared() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pinned = dict(re.findall(r"^([\w.-]+)(?:\[[\w,-]+\])?==([^ ]+)", lock, re.MULTILINE))
    outside = [
        str(one)
        for one in DECLARED
        if not one.specifier.contains(pinned.get(canonicalize_name(one.name), "0"))
    ]
    assert outside == []


def test_dagster_on_postgresql_gets_the_sqlalchemy_that_it_is_made_for() -> None:
    cluster = map(Requirement, PROJECT["optional-dependencies"]["cluster"])
    [sqlalchemy] = [one for one in cluster if one.name == "sqlalchemy"]
    assert not sqlalchemy.specifier.contains("2.1.0", prereleases=True)
    assert not sqlalchemy.specifier.contains("2.1.5")
    assert sqlalchemy.specifier.contains("2.0.40")


def test_every_package_that_is_imported_is_declared() -> None:
    distributions = packages_distributions()
    modules = set[str]().union(*(imported(source) for source in PACKAGE.rglob("*.py")))
    foreign = modules - set(sys.stdlib_module_names) - {"flow_pipelines", "__future__"}
    declared = {canonicalize_name(one.name) for one in DECLARED}
    undeclared = {
        module
        for module in foreign
        if declared.isdisjoint(
            BROUGHT.get(name, name)
            for name in map(canonicalize_name, distributions.get(module, [module]))
        )
    }
    assert undeclared == set()


def test_every_file_that_pages_are_made_from_is_in_the_package() -> None:
    """Setuptools packs what a pattern names; anything else would be missing once installed."""
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    page = PACKAGE / "reports" / "page"
    packed = {path for pattern in patterns["package-data"]["*"] for path in page.glob(pattern)}
    assert {path for path in page.iterdir() if path.suffix not in {".py", ""}} <= packed
