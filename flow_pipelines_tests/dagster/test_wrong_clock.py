"""A host whose clock is off that of the ledger's database is named, by sensors and by doctor."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial

import dagster as dg
import pytest

from flow_pipelines.cli import environment
from flow_pipelines.cli.doctor import check_all
from flow_pipelines.cli.findings import Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.resources import RunLedgerResource
from flow_pipelines_tests.dagster.conftest import Project, World, tick
from flow_pipelines_tests.databases import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]


class HostClock(SystemClock):
    """This machine's clock, set wrong."""

    def __init__(self, ahead_seconds: float) -> None:
        self._ahead = timedelta(seconds=ahead_seconds)

    def now(self) -> datetime:
        return super().now() + self._ahead


class LedgerOfHost(RunLedgerResource):
    """The ledger as a host with such a clock opens it."""

    ahead_seconds: float

    def _open(self, url: str) -> RunLedger:
        return open_ledger(url, host=HostClock(self.ahead_seconds))


@pytest.mark.parametrize(("ahead", "told"), [(120, "+120 s off"), (-120, "-120 s off"), (0, "")])
def test_a_sensor_names_a_host_whose_clock_is_off(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    postgres_url: str,
    ahead: float,
    told: str,
) -> None:
    project.add("harbor")
    ledger = LedgerOfHost(url=postgres_url, ahead_seconds=ahead)
    with project.load() as defs:
        said = tick(defs, instance, run_ledger=ledger).skip_message or ""

    assert ("This host's clock is" in said) == bool(told)
    assert told in said


@pytest.mark.parametrize(("ahead", "mark"), [(120, Mark.YELLOW), (0, Mark.GREEN)])
def test_doctor_names_it_too(
    monkeypatch: pytest.MonkeyPatch, postgres_url: str, ahead: float, mark: Mark
) -> None:
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", postgres_url)
    open_ledger(postgres_url).close()
    opened = partial(open_ledger, host=HostClock(ahead))
    monkeypatch.setattr(environment, "open_ledger", opened)

    found = next(
        finding
        for finding in check_all(Accounts({}), SystemClock())
        if finding.check == "clock" and "the ledger's database" in finding.says
    )
    assert found.mark is mark
    assert bool(found.do) == (mark is Mark.YELLOW)
