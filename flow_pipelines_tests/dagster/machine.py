"""A whole machine for tests: sandbox, bucket, code server, webserver and daemon as processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq

from flow_pipelines.cli.demo_nights import open_demo_ledger
from flow_pipelines.cli.home import Home
from flow_pipelines.cli.processes import Child, Children, ended_by_signals
from flow_pipelines.cli.services import (
    DagsterServices,
    RunningSandbox,
    clean_environment,
    start_sandbox,
)
from flow_pipelines.cli.webserver import Schedule, Webserver
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines.sandbox.meter import Reading

BATCH = "night_market"
ROWS = 12
PATIENCE_SECONDS = 300.0


@dataclass
class Machine:
    """Everything that runs, and what a person would look at."""

    home: Home
    children: Children
    sandbox: RunningSandbox
    services: DagsterServices
    webserver: Webserver
    ledger: RunLedger
    code_server: Child
    daemon: Child
    due_at_start: Night | None = None
    """The night that the schedule had asked for last when everything had started."""

    def scheduled_meanwhile(self) -> Sequence[Night]:
        """Return the night that the schedule bought since then, once it is stored.

        There is one only where the schedule's hour came while a test was running.
        """
        due = self.requested(self.schedule())
        if due == self.due_at_start or self.ledger.night(due) is None:
            return []
        self.wait_until(lambda: self.is_collected(due), str(due))
        return [due]

    def schedule(self, *, nights_ago: int = 0) -> Schedule:
        """The batch's schedule, as if it had been due last so many nights earlier."""
        (found,) = [one for one in self.webserver.schedules() if one.name == f"{BATCH}_schedule"]
        return replace(found, last_tick_at=found.last_tick_at - timedelta(days=nights_ago))

    def requested(self, schedule: Schedule) -> Night:
        """The night that the schedule asks for."""
        (request,) = self.webserver.evaluate(schedule)
        assert request.partition_key
        return Night(BATCH, request.partition_key)

    def launch(self, schedule: Schedule) -> Night:
        """Start the run that the schedule asks for."""
        (request,) = self.webserver.evaluate(schedule)
        self.webserver.launch(schedule, request)
        return self.requested(schedule)

    def wait_until(self, true: Callable[[], object], what: str) -> None:
        self.children.wait_for(lambda: bool(true()), what, seconds=PATIENCE_SECONDS)

    def is_collected(self, night: Night) -> bool:
        record = self.ledger.night(night)
        if record is None or record.counts.get(SubmissionState.SUCCEEDED, 0) != ROWS:
            return False
        return record.uncollected == 0 and record.revision == record.collected_revision

    def images(self, night: Night) -> Sequence[Path]:
        folder = self.folder(night) / "images"
        return sorted(path for path in folder.rglob("*") if path.is_file())

    def manifest_rows(self, night: Night) -> int:
        return int(pq.read_table(self.folder(night) / "manifest.parquet").num_rows)

    def folder(self, night: Night) -> Path:
        bucket = self.sandbox.environment["FLOW_PIPELINES_BUCKET"]
        return self.home.bucket / bucket / "flow" / night.batch / night.partition_key

    def meter(self) -> Reading:
        return self.sandbox.control.state()["floyo"]

    def flotime_ms(self, nights: Sequence[Night]) -> int:
        lines = self.ledger.cost_lines([BATCH])
        return sum(line.flotime_ms for line in lines if line.night in nights)

    def kill_dagster(self) -> None:
        """Cut the power of code server, run workers and daemon."""
        for child in (self.daemon, self.code_server):
            self.children.kill(child)

    def restart_dagster(self) -> None:
        self.code_server = self.services.start_code_server()
        self.daemon = self.services.start_daemon()


@contextmanager
def running_machine(
    folder: Path, rewire: Callable[[RunningSandbox], Mapping[str, str]] | None = None
) -> Iterator[Machine]:
    """Start everything in `folder`, and leave no process behind.

    `rewire` gives the variables by which Dagster finds the sandbox; None: the sandbox's own.
    """
    clock = SystemClock()
    home = Home(folder)
    home.prepare()
    with ended_by_signals(), Children(home.logs, clock) as children:
        environment = clean_environment(home, {})
        sandbox = start_sandbox(home, children, environment, "--median-seconds", "1")
        found = sandbox.environment if rewire is None else rewire(sandbox)
        services = DagsterServices(home, children, found)
        code_server, daemon = services.start_code_server(), services.start_daemon()
        webserver = services.start_webserver()
        ledger = open_demo_ledger(home, clock)
        machine = Machine(home, children, sandbox, services, webserver, ledger, code_server, daemon)
        machine.due_at_start = machine.requested(machine.schedule())
        yield machine
