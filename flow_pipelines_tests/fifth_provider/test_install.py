"""What CONTRIBUTING says of a further provider, done to a copy of the registries."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from flow_pipelines_tests.fifth_provider.install import install

ROOT = Path(__file__).resolve().parents[2]
REGISTRIES = ("flow_pipelines/providers/__init__.py", "flow_pipelines/sandbox/dialects.py")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    here = "flow_pipelines_tests/fifth_provider"
    shutil.copytree(ROOT / here, tmp_path / here)
    (tmp_path / "flow_pipelines_tests/conformance/calls").mkdir(parents=True)
    for name in REGISTRIES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(_without_lumen((ROOT / name).read_text()))
    return tmp_path


def _without_lumen(registry: str) -> str:
    """Return a registry as it is before Lumen comes, also where this repository has it."""
    lines = [line for line in registry.splitlines(keepends=True) if "lumen" not in line]
    return "".join(lines).replace(", Lumen)", ")")


def test_two_lines_are_all_that_is_edited(copy: Path) -> None:
    before = {name: (copy / name).read_text() for name in REGISTRIES}
    install(copy)
    added = {
        name: set((copy / name).read_text().splitlines()) - set(before[name].splitlines())
        for name in REGISTRIES
    }
    providers, dialects = (added[name] for name in REGISTRIES)
    assert providers == {'        "lumen": "flow_pipelines.providers.lumen:PROFILE",'}
    assert "from flow_pipelines.sandbox.lumen import Lumen" in dialects
    assert len(dialects) == 2
    assert any("Flora, Lumen)" in line for line in dialects)


def test_it_is_not_installed_over_itself(copy: Path) -> None:
    install(copy)
    installed = {path: path.read_text() for path in copy.rglob("*.py")}
    with pytest.raises(SystemExit, match="has Lumen already"):
        install(copy)
    assert {path: path.read_text() for path in copy.rglob("*.py")} == installed
