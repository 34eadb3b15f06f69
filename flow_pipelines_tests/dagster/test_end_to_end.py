"""Nights in a real Dagster: daemon, webserver, run workers, and a sandbox with a meter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from flow_pipelines.model import Night
from flow_pipelines_tests.dagster.backfills import backfill_status, start_backfill
from flow_pipelines_tests.dagster.machine import (
    BATCH,
    PATIENCE_SECONDS,
    ROWS,
    Machine,
    running_machine,
)

pytestmark = pytest.mark.end_to_end

EVERYTHING = [(BATCH, name) for name in ("prompts", "provider_runs", "images", "contact_sheet")]
DEMO = [sys.executable, "-m", "flow_pipelines.cli", "demo"]


@dataclass(frozen=True)
class EndedDemo:
    home: Path
    code: int
    said: str


def demo(home: Path) -> EndedDemo:
    ended = subprocess.run(
        [*DEMO, "--exit", "--home", str(home)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * PATIENCE_SECONDS,
        env={**os.environ, "COLUMNS": "200"},
    )
    return EndedDemo(home, ended.returncode, ended.stdout + ended.stderr)


@pytest.fixture(scope="module")
def first_demo(tmp_path_factory: pytest.TempPathFactory) -> EndedDemo:
    """Last night, launched as its schedule does, and collected at a sensor's request."""
    return demo(tmp_path_factory.mktemp("machine"))


def assert_whole(machine: Machine, nights: Sequence[Night]) -> None:
    """Every image of these nights is in the bucket and in the tables."""
    for night in nights:
        assert len(machine.images(night)) == ROWS
        assert machine.manifest_rows(night) == ROWS


def assert_billed_once(machine: Machine, nights: Sequence[Night]) -> None:
    """The provider's meter agrees with the ledger, and nobody asked too fast."""
    nights = [*nights, *(night for night in machine.scheduled_meanwhile() if night not in nights)]
    meter = machine.meter()
    assert meter.runs_billed == ROWS * len(nights)
    assert meter.duplicate_bills == 0
    assert meter.rate_limited == 0
    assert meter.flotime_ms == machine.flotime_ms(nights)


def processes_of(home: Path) -> Sequence[str]:
    """Return the command lines of living processes that work in `home`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = process.joinpath("cmdline").read_bytes()
            environment = process.joinpath("environ").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if str(home).encode() in command + environment and command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


def test_the_demo_ends_with_last_night_in_the_bucket_and_equal_meters(
    first_demo: EndedDemo,
) -> None:
    assert first_demo.code == 0, first_demo.said
    assert "Meters and ledger agree." in first_demo.said
    assert len([*first_demo.home.glob(f"bucket/*/flow/{BATCH}/*/images/*")]) == ROWS
    assert processes_of(first_demo.home) == []


def test_a_second_demo_finds_the_night_and_buys_nothing(first_demo: EndedDemo) -> None:
    second = demo(first_demo.home)
    assert second.code == 0, second.said
    assert "already bought" in second.said
    assert "Meters and ledger agree." in second.said


def test_a_backfill_of_three_nights_is_bought_once_and_stored_whole(
    first_demo: EndedDemo,
) -> None:
    with running_machine(first_demo.home) as machine:
        earlier = [machine.requested(machine.schedule(nights_ago=days)) for days in (3, 2, 1)]

        backfill = start_backfill(machine.webserver, EVERYTHING, [key for _, key in earlier])
        machine.wait_until(
            lambda: backfill_status(machine.webserver, backfill).startswith("COMPLETED"), backfill
        )

        assert backfill_status(machine.webserver, backfill) == "COMPLETED_SUCCESS"
        assert_whole(machine, earlier)
        assert_billed_once(machine, earlier)
        assert all((machine.folder(night) / "contact_sheet.jpg").exists() for night in earlier)
        runs = machine.webserver.runs(tags={"dagster/backfill": backfill})
        assert len(runs) >= len(earlier)
        assert {run.status for run in runs} == {"SUCCESS"}
