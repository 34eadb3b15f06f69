"""What is slow to import is imported where it is used, and Dagster on its own floors only."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SLOW = ("pandas", "boto3", "PIL", "matplotlib", "cryptography")
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
    assert loaded.isdisjoint(SLOW)


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
