"""`flow-pipelines doctor`: check everything that a night needs. Spends nothing."""

from __future__ import annotations

from collections.abc import Iterator

from flow_pipelines.cli.doctor_accounts import AccountsDoctor, Skews, check_runs
from flow_pipelines.cli.doctor_dagster import check_dagster
from flow_pipelines.cli.doctor_storage import check_bucket, check_journal, check_ledger
from flow_pipelines.cli.environment import ledger_as_it_is
from flow_pipelines.cli.findings import (
    Finding,
    has_red,
    print_findings,
    print_findings_json,
)
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import Clock, SystemClock
from flow_pipelines.ledger.contract import LARGEST_SKEW
from flow_pipelines.transport import MemoryPaceStore


def run_doctor(*, module: str | None, as_json: bool) -> int:
    """Check everything, print it, and return the exit code; 1: something is red.

    Raises: ConfigurationError, where `module` cannot be loaded.
    """
    findings = list(check_all(Accounts.of(module), SystemClock()))
    (print_findings_json if as_json else print_findings)(findings)
    return int(has_red(findings))


def check_all(accounts: Accounts, clock: Clock) -> Iterator[Finding]:
    """Return every finding, in the order in which a night needs what is checked."""
    with ledger_as_it_is() as ledger:
        # Turns are shared with whatever works on this ledger, where there is one.
        pace = MemoryPaceStore(clock) if ledger is None else ledger.pace
        doctor = AccountsDoctor(accounts, pace, clock)
        yield from doctor.check_accounts()
        yield from check_bucket(accounts, doctor.skews, clock)
        yield doctor.skews.finding()
        if ledger is not None and (skew := ledger.skew()) is not None:
            yield Skews({"the ledger's database": skew}, largest=LARGEST_SKEW).finding()
        if ledger is not None:
            yield from check_runs(ledger, accounts, ledger.now())
            yield from check_journal(accounts, ledger)
    yield from check_ledger()
    yield from check_dagster()
