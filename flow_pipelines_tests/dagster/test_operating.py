"""docs/OPERATING.md is true: the drill is run as it stands; table and alarms name what there is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from flow_pipelines.cli.metrics import LedgerCollector
from flow_pipelines.ledger import open_ledger
from flow_pipelines.model import Night
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning

PAGE = (Path(__file__).parents[2] / "docs" / "OPERATING.md").read_text(encoding="utf-8")
BATCH, ROWS, NIGHTS = "night_market", 12, ("2026-11-20", "2026-11-21")
METRIC = re.compile(r"flow_pipelines_\w+")


def fenced(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    tuning = Tuning(median_seconds=0.2, slots=ROWS, max_picture_side=64)
    settings = SandboxSettings(
        port=0, bucket_port=0, bucket_folder=tmp_path / "bucket", tuning=tuning
    )
    with Sandbox(settings) as running:
        yield running


@pytest.mark.case(
    "a backup is made, more is bought, the ledger is lost, and the copy is put back",
    "done as the page on operating says: every picture is stored and was paid for once",
    area="old ledger",
)
@pytest.mark.exhaustive
def test_the_drill_ends_as_the_page_says(sandbox: Sandbox, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    programs = Path(sys.executable).parent
    environment = {
        **os.environ,
        **sandbox.environment(),
        "DAGSTER_HOME": str(home),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
    }

    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", fenced("sh")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "journal names 12 submission(s) of this night that were sent since" in done.stdout
    meter = ControlClient(sandbox.url).state()["floyo"]
    assert (meter.runs_billed, meter.duplicate_bills) == (ROWS * len(NIGHTS), 0)
    with open_ledger(f"sqlite:///{home / 'flow_pipelines_ledger.sqlite'}") as ledger:
        for key in NIGHTS:
            night = Night(BATCH, key)
            assert {one.state.value for one in ledger.submissions(night)} == {"succeeded"}
            stored = [*tmp_path.glob(f"bucket/*/*/{BATCH}/{key}/images/*")]
            assert len(stored) == ROWS


def test_the_table_has_every_metric_with_its_labels(tmp_path: Path) -> None:
    rows = re.findall(r"^\| `(flow_pipelines_\w+)` \| ([\w, ]+) \|", PAGE, re.MULTILINE)
    with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}") as ledger:
        families = {one.name: one for one in LedgerCollector(ledger).collect()}
    assert dict(rows) == {name: ", ".join(one._labelnames) for name, one in families.items()}


def test_the_alarms_are_about_metrics_that_there_are() -> None:
    (group,) = yaml.safe_load(fenced("yaml"))["groups"]
    assert len(group["rules"]) == 2
    named = {name for rule in group["rules"] for name in METRIC.findall(rule["expr"])}
    assert named <= set(METRIC.findall(PAGE.split("```yaml")[0]))
    assert len(named) == 2
