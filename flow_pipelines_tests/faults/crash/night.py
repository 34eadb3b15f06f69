"""A night as Dagster's runs and sensors work on it: the first time, and after a death."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

from flow_pipelines.lifecycle import (
    Ports,
    Todo,
    agenda,
    claim_batch,
    collect,
    collect_lease,
    collect_night,
    held_lease,
    output_records,
    plan_night,
    poll_due,
    recover,
    submit_night,
    wait_for_night,
)
from flow_pipelines.lifecycle import ports as lifecycle_ports
from flow_pipelines.model import ENDED, BatchSettings
from flow_pipelines.model import SubmissionState as S
from flow_pipelines.model.errors import LeaseLost
from flow_pipelines_tests.faults.crash.harness import NIGHT, CrashHarness

TICKS = 400
TICK_SECONDS = 15.0
QUIET_SECONDS = 300.0
QUIET_TICKS = 6
"""So often a night is looked at again when all that is left may need a person."""
_FOR_PEOPLE = {S.UNRESOLVED, S.PLANNED, "outputs"}
LOCATION = "a_code_location"
ROWS = 3
TROUBLED_ROWS = 6
TROUBLED_BUDGET_RUNS = 4
REFUSED = "unheard-of city"
REFUSED_ROWS = 4
"""One more than it takes to stop the night."""


def _until_it_ends(_ports: Any, _name: str, _owner: str, ended: threading.Event) -> None:
    ended.wait()


# Effects of one process follow one upon another: threads would shuffle them.
collect.TRANSFERS = 1
output_records.RECORD_SECONDS = 3600.0
# A renewal waits by the real clock: a slow process would have effects that a fast one has not.
lifecycle_ports._renew = _until_it_ends


class Known(NamedTuple):
    """What making trouble takes: the stand-in's names of three requests, and a run's price."""

    submit: str
    poll: str
    fetch: str
    price_usd: str


def one_run(settings: BatchSettings, ports: Ports, owner: str) -> None:
    """Plan, buy, wait and collect, as one Dagster run over a night's assets does."""
    buy(settings, ports, owner)
    with held_lease(ports, collect_lease(NIGHT), owner, wait_seconds=300):
        wait_for_night(ports, NIGHT, owner=owner, wait_seconds=600)
        collect_night(NIGHT, ports, owner=owner)


def buy(settings: BatchSettings, ports: Ports, owner: str) -> None:
    """Plan and submit, as somebody who asks for it does."""
    claim_batch(ports.ledger, settings.name, LOCATION)
    plan_night(settings, NIGHT.partition_key, ports, location=LOCATION)
    submit_night(settings, NIGHT, ports, owner=owner, asked_by=owner, hold_for_collection=True)


def by_sensors(settings: BatchSettings, ports: Ports, owner: str) -> None:
    """Tick until nothing is left to do, carrying out at once what each tick asks for."""
    quiet = 0
    for tick in range(TICKS):
        recover(ports)
        poll_due(ports, owner=f"{owner}/{tick}", budget_seconds=30)
        todos = agenda(ports.ledger, ports.clock, batches=[NIGHT.batch]).todos
        for todo in todos:
            _carry_out(settings, ports, todo, f"{owner}-{tick}")
        left = _left(ports)
        quiet = 0 if todos or left - _FOR_PEOPLE else quiet + 1
        if not left or quiet > QUIET_TICKS:
            return
        ports.clock.sleep(QUIET_SECONDS if quiet else TICK_SECONDS)


def _carry_out(settings: BatchSettings, ports: Ports, todo: Todo, owner: str) -> None:
    try:
        claim_batch(ports.ledger, settings.name, LOCATION)
        if todo.kind == "submit":
            submit_night(settings, NIGHT, ports, owner=owner, asked_by=None, limit=todo.limit)
        else:
            collect_night(NIGHT, ports, owner=owner)
    except LeaseLost:
        pass  # that run fails, and the sensor asks again


def _left(ports: Ports) -> set[str]:
    """Return the states of submissions, and what else, may still change by itself."""
    record = ports.ledger.night(NIGHT)
    if record is None or record.marked_at is None:
        return set()
    left: set[str] = set(record.counts) - ENDED
    if record.uncollected:
        left.add("outputs")
    if record.revision != record.collected_revision:
        left.add("tables")
    return left


def restart(settings: BatchSettings, ports: Ports, owner: str) -> bool:
    """Let the sensors finish what a dead process left; True: nobody had asked for it yet.

    Until the night is marked nothing was bought, and whoever asked has to ask once more.
    """
    by_sensors(settings, ports, owner)
    record = ports.ledger.night(NIGHT)
    unasked = record is None or record.marked_at is None
    if unasked:
        one_run(settings, ports, f"{owner}-again")
        by_sensors(settings, ports, f"{owner}-after")
    return unasked


def mend(harness: CrashHarness, settings: BatchSettings, ports: Ports, owner: str) -> None:
    """Let a person mend the prompts of a night that was refused, and ask for it once more."""
    record = ports.ledger.night(NIGHT)
    if record is None or not set(record.counts) & {S.PLANNED, S.FAILED}:
        return
    harness.lay_out(REFUSED_ROWS)
    one_run(settings, ports, owner)
    by_sensors(settings, ports, f"{owner}-after")


def refuse_all(harness: CrashHarness, known: Known) -> None:
    """Let the stand-in refuse every row of the night alike, until its prompts are mended."""
    harness.lay_out(REFUSED_ROWS, REFUSED)
    harness.control.add_fault(
        harness.provider, known.submit, "status", status=400, contains=REFUSED, count=None
    )


def make_trouble(harness: CrashHarness, known: Known) -> None:
    """Let the stand-in refuse, forget and cut what the night is about to ask of it."""
    control, name = harness.control, harness.provider

    def fault(operation: str, action: str, **details: Any) -> None:
        control.add_fault(name, operation, action, **details)

    fault(known.submit, "drop_after_accept")
    fault(known.submit, "status", status=429, headers={"retry-after": "7"})
    fault(known.submit, "status", status=400)
    fault(known.submit, "run_fails", error="out_of_memory")
    fault(known.poll, "status", status=503, count=4)
    fault(known.fetch, "truncate_output", count=4)
