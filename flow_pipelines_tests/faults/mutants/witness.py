"""A pytest plugin: sees to it that the copy is what is tested, and notes which tests fail.

Tells a line of JSON a test, so that nothing is lost where the run has to be ended.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import flow_pipelines
import flow_pipelines_tests

_STARTED_BY = os.getppid()
TREE, NOTES = "MUTANT_TREE", "MUTANT_NOTES"
"""Variables with the copy's folder and the file to write to."""


def pytest_configure() -> None:
    tree = Path(os.environ[TREE]).resolve()
    for package in (flow_pipelines, flow_pipelines_tests):
        where = Path(str(package.__file__)).resolve()
        if not where.is_relative_to(tree):
            raise pytest.UsageError(f"{where} is imported, which is not the copy in {tree}")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if os.getppid() != _STARTED_BY:
        pytest.exit("whoever started this run is gone")
    if report.failed:
        _note(failed=report.nodeid)
    elif report.when == "call" and report.passed:
        _note(passed=report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _note(broken=report.nodeid)


def pytest_sessionfinish() -> None:
    _note(ended=True)


def _note(**line: object) -> None:
    with Path(os.environ[NOTES]).open("a") as notes:
        notes.write(json.dumps(line) + "\n")
