"""What workers do: the work of Dagster's runs and sensors, each in a process of its own.

Every job opens what it needs, waits at the gate until all are there, and then works.
"""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from dataclasses import asdict
from datetime import datetime
from threading import Barrier, Event
from typing import Any

import pandas as pd  # noqa: F401 - imported once, before workers are forked
import pyarrow.compute  # noqa: F401 - likewise
from PIL import Image

from flow_pipelines.lifecycle import (
    Todo,
    agenda,
    collect_lease,
    collect_night,
    held_lease,
    poll_due,
    recover,
    regenerate,
    submit_night,
    wait_for_night,
)
from flow_pipelines.lifecycle import ports as lifecycle_ports
from flow_pipelines.lifecycle import submit as lifecycle_submit
from flow_pipelines.model import ENDED, Night
from flow_pipelines.model.errors import LeaseLost
from flow_pipelines_tests.faults.processes.host_clock import SCALE
from flow_pipelines_tests.faults.processes.shared_setup import (
    LEASE_SECONDS,
    NIGHT,
    Host,
    SharedSetup,
    s3_client,
)

GATE_SECONDS = 30
TICK_SECONDS = 2.0
TICKS = 300

# What every worker would do for itself.
Image.init()
s3_client("http://127.0.0.1:1")


def _open(setup: SharedSetup, gate: Barrier | None, **how: Any) -> Host:
    # Only ever in a worker's own process: renewal waits for real seconds.
    lifecycle_ports.LEASE_SECONDS = lifecycle_submit.LEASE_SECONDS = LEASE_SECONDS / SCALE
    host = Host(setup, **how)
    if gate is not None:
        gate.wait(GATE_SECONDS)
    return host


def buy(
    setup: SharedSetup, gate: Barrier | None, owner: str, night: Night = NIGHT, ahead: float = 0.0
) -> dict[str, Any]:
    """Submit what is planned, as `provider_runs` does."""
    host = _open(setup, gate, ahead_seconds=ahead)
    return asdict(submit_night(setup.settings, night, host.ports, owner=owner))


def buy_when_told(setup: SharedSetup, gate: Barrier, owner: str) -> dict[str, Any]:
    """Open everything, say so at the gate, and submit when it opens a second time."""
    host = _open(setup, gate)
    gate.wait(GATE_SECONDS)
    return asdict(submit_night(setup.settings, NIGHT, host.ports, owner=owner))


def go_on_buying(setup: SharedSetup, gate: Barrier | None, owner: str, ahead: float) -> int:
    """Try again and again, as retries and sensors do, until nothing is planned or in doubt."""
    host = _open(setup, gate, ahead_seconds=ahead)
    submitted = 0
    for attempt in range(TICKS):
        recover(host.ports)
        record = host.ledger.night(NIGHT)
        assert record is not None
        if not {"planned", "submitting", "unresolved"} & {s.value for s in record.counts}:
            break
        try:
            name = f"{owner}-{attempt}"
            submitted += submit_night(setup.settings, NIGHT, host.ports, owner=name).submitted
        except LeaseLost:
            host.clock.sleep(TICK_SECONDS)
    return submitted


def recover_and_buy(setup: SharedSetup, owner: str, ahead: float) -> dict[str, Any]:
    """Look after what a dead process left, then submit the rest."""
    host = _open(setup, None, ahead_seconds=ahead)
    found = recover(host.ports)
    summary = submit_night(setup.settings, NIGHT, host.ports, owner=owner)
    return {**asdict(summary), "parked": found.parked, "found": found.found}


def regenerate_and_buy(
    setup: SharedSetup, gate: Barrier | None, requested_by: str, owner: str
) -> int:
    """Do what a backfill with `regenerate: failed` does; give how many rows it planned."""
    host = _open(setup, gate)
    made = regenerate(setup.settings, NIGHT, host.ports, requested_by=requested_by, scope="failed")
    submit_night(setup.settings, NIGHT, host.ports, owner=owner)
    return made.rows


def run_whole(setup: SharedSetup, gate: Barrier | None, owner: str) -> int:
    """Buy, wait and collect, as one Dagster run over a night's assets does; give the images."""
    host = _open(setup, gate)
    ports, lease = host.ports, collect_lease(NIGHT)
    submit_night(setup.settings, NIGHT, ports, owner=owner, hold_for_collection=True)
    with held_lease(ports, lease, owner, wait_seconds=300):
        wait_for_night(ports, NIGHT, owner=owner, wait_seconds=600)
        return collect_night(NIGHT, ports, owner=owner).images


def collect(setup: SharedSetup, gate: Barrier | None, owner: str, ahead: float = 0.0) -> int:
    """Store what there is; give the images of the night."""
    host = _open(setup, gate, ahead_seconds=ahead)
    return collect_night(NIGHT, host.ports, owner=owner).images


def tick(setup: SharedSetup, gate: Barrier | None, name: str) -> list[str]:
    """Tick as a sensor does until every run has ended and is collected; give what it asked for."""
    return _tick_on(setup, gate, name, carry_out=False)


def tick_and_carry_out(setup: SharedSetup, gate: Barrier | None, name: str) -> list[str]:
    """Tick as a sensor does, and start what it asks for."""
    return _tick_on(setup, gate, name, carry_out=True)


def _tick_on(setup: SharedSetup, gate: Barrier | None, name: str, *, carry_out: bool) -> list[str]:
    host = _open(setup, gate)
    asked: list[str] = []
    for _ in range(TICKS):
        for todo in _tick(host, name):
            asked.append(f"{todo.kind} {todo.night}")
            if carry_out:
                collect_night(todo.night, host.ports, owner=f"{name} {todo.attempt}")
        if _is_collected(host):
            break
        host.clock.sleep(TICK_SECONDS)
    return asked + [f"{todo.kind} again" for _ in range(3) for todo in _tick(host, name)]


def _tick(host: Host, name: str) -> tuple[Todo, ...]:
    recover(host.ports)
    owner = f"{name}/{uuid.uuid4().hex[:8]}"
    poll_due(host.ports, owner=owner, budget_seconds=30)
    return agenda(host.ports.ledger, host.clock, batches=[NIGHT.batch]).todos


def _is_collected(host: Host) -> bool:
    record = host.ledger.night(NIGHT)
    assert record is not None
    ended = bool(record.counts) and set(record.counts) <= ENDED
    return ended and record.revision == record.collected_revision


def press_pause(setup: SharedSetup, gate: Barrier) -> datetime:
    """Turn the stop switch on; give a moment from which on it surely holds."""
    host = _open(setup, gate)
    host.ledger.pause("somebody", "the bill looks wrong")
    return host.clock.now()


def lock_ledger(path: str, locked: Event, release: Event) -> None:
    """Hold SQLite's write lock from now on, until told to let go."""
    with closing(sqlite3.connect(path, timeout=GATE_SECONDS, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        locked.set()
        release.wait(GATE_SECONDS)
        connection.execute("ROLLBACK")
