"""What is slow to import is imported where it is used, and Dagster on its own floors only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("pandas", "boto3", "PIL", "matplotlib", "cryptography")
ONLY_STEPS_NEED = (*SLOW, "pyarrow", "numpy", "sqlalchemy", "alembic", "requests")
LOWER = (
    "flow_pipelines.clock",
    "flow_pipelines.redaction",
    "flow_pipelines.model",
    "flow_pipelines.provider",
    "flow_pipelines.batches",
    "flow_pipelines.ledger",
    "flow_pipelines.transport",
    "flow_pipelines.storage",
    "flow_pipelines.lifecycle",
    "flow_pipelines.reports",
    "flow_pipelines.providers",
)


def modules_after(code: str) -> set[str]:
    """Return the names of all modules that a fresh process has after `code`."""
    script = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return set(json.loads(told.stdout.splitlines()[-1]))


def test_a_loaded_location_has_imported_nothing_that_only_steps_need() -> None:
    loaded = modules_after(
        "from flow_pipelines.definitions import defs\n"
        "assert len(defs().get_repository_def().get_all_jobs()) > 1"
    )

    assert "dagster" in loaded
    assert loaded.isdisjoint(ONLY_STEPS_NEED)
    ours = {name.split(".")[1] for name in loaded if name.startswith("flow_pipelines.")}
    assert ours.isdisjoint({"lifecycle", "ledger", "transport", "storage", "reports", "sensors"})


@pytest.mark.case(
    "a project that merely had this package installed imported all of it: 0.7 s and 79 MB",
    "Dagster's registry finds the components in modules that import nothing but Dagster",
)
def test_being_installed_costs_a_project_two_components_and_no_more() -> None:
    before = modules_after("import dagster, dagster.components, dagster.components.core.load_defs")
    found = (
        "from dagster.components.core.package_entry import discover_package_objects\n"
        "from dagster.components.core.snapshot import get_package_entry_snap\n"
        "import dagster.components.core.load_defs\n"
        "found = discover_package_objects(['flow_pipelines'])\n"
        "[get_package_entry_snap(*entry) for entry in found.items()]\n"
        "names = sorted(key.to_typename() for key in found)\n"
        "expected = ['PromptBatchComponent', 'PromptComparisonComponent']\n"
        "assert names == [f'flow_pipelines.{name}' for name in expected], names\n"
    )
    ours = {name for name in modules_after(found) - before if name.startswith("flow_pipelines")}
    assert ours == {
        "flow_pipelines",
        "flow_pipelines.component",
        "flow_pipelines.component.comparison",
        "flow_pipelines.component.fields",
        "flow_pipelines.component.location",
        "flow_pipelines.component.prompt_batch",
        "flow_pipelines.component.scaffolder",
        "flow_pipelines.component.shared",
        "flow_pipelines.providers",
    }
    assert modules_after(found).isdisjoint(ONLY_STEPS_NEED)


@pytest.mark.parametrize("floor", LOWER)
def test_the_lower_floors_work_without_dagster(floor: str) -> None:
    loaded = modules_after(f"import {floor}")

    assert floor in loaded
    assert loaded.isdisjoint({"dagster", *SLOW})


def test_every_benchmark_can_be_imported() -> None:
    code = (
        "import importlib, pkgutil, benchmarks\n"
        "names = [one.name for one in pkgutil.iter_modules(benchmarks.__path__)]\n"
        "for name in names:\n"
        "    name == '__main__' or importlib.import_module(f'benchmarks.{name}')\n"
        "print(len(names))"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=Path(__file__).resolve().parents[2],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert int(answer.stdout) > 10
