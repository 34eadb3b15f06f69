"""What daily work on the ledger costs with many years behind it, beside with one night.

Costs are seconds on a CPU, of this process and of the database's, the databases in memory: what
other programs of the machine do is not told apart from a wait for a disk.

200,000 past submissions; a million with BENCH_FULL=1, which takes some minutes to fill.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import Any

from benchmarks.figures import Figure
from benchmarks.past import NAMES, Estate, ledgers, servers
from benchmarks.ratios import cpu_of, medians
from flow_pipelines.lifecycle import Ports, agenda, poll_due, recover
from flow_pipelines.model import SubmissionState
from flow_pipelines_tests.conformance.ledger.ledger_driver import PROVIDER
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore

FEW = 10_000
MANY = 1_000_000 if os.environ.get("BENCH_FULL") else 200_000
AT_MOST = 1.3

_S = SubmissionState
_FILTERS: dict[str, dict[str, Any]] = {
    "": {},
    "--batch": {"batch": NAMES[7]},
    "--partition": {"partition_key": "tonight"},
    "--provider": {"provider": PROVIDER},
    "--state failed": {"state": _S.FAILED},
    "--state unresolved": {"state": _S.UNRESOLVED},
    "--batch --state succeeded": {"batch": NAMES[7], "state": _S.SUCCEEDED},
    "--provider --state failed": {"provider": PROVIDER, "state": _S.FAILED},
    "--batch --state unresolved": {"batch": NAMES[7], "state": _S.UNRESOLVED},
    "--provider --state unresolved": {"provider": PROVIDER, "state": _S.UNRESOLVED},
    "--provider --batch": {"provider": PROVIDER, "batch": NAMES[7]},
    "--batch --partition": {"batch": NAMES[7], "partition_key": "tonight"},
    "--partition --state submitted": {"partition_key": "tonight", "state": _S.SUBMITTED},
}


def measure() -> list[Figure]:
    """Return the ratios on each database."""
    return [figure for database in ("SQLite", "PostgreSQL") for figure in _on(database)]


def _on(database: str) -> list[Figure]:
    with ledgers(database, (FEW, MANY)) as (few, many):
        part = f"{MANY:,} past submissions, 10,000 in flight, {database}"
        found = [_ratio(part, name, work, few, many, rounds) for name, work, rounds in _WORK]
        runs = [
            _ratio(part, f"runs {name}".strip(), _search(wanted), few, many, 15)
            for name, wanted in _FILTERS.items()
        ]
        return [*found, *runs]


def _ratio(
    part: str,
    name: str,
    work: Callable[[Estate], object],
    few: Estate,
    many: Estate,
    rounds: int,
) -> Figure:
    sides = {"few": lambda: work(few), "many": lambda: work(many)}
    took = medians(sides, rounds, cpu_of(*servers(few.driver.ledger), *servers(many.driver.ledger)))
    return Figure(
        part=part,
        name=name,
        ours=took["many"] / took["few"],
        unit=f"× ({took['many'] * 1000:.1f} ms)",
        opponent=f"{took['few'] * 1000:.1f} ms with {FEW:,} past ones",
        at_most=AT_MOST,
    )


def _claim(estate: Estate) -> None:
    """Claim what a poller claims at a time, and give it back."""
    ledger, owner = estate.driver.ledger, uuid.uuid4().hex
    estate.driver.clock.advance(700)
    claimed = ledger.claim_due(owner, provider=PROVIDER, resource=PROVIDER, limit=5)
    estate.driver.clock.advance(-700)
    assert claimed
    ledger.release_claims(owner)


def _tick(estate: Estate) -> None:
    """Do what a sensor's tick asks of the ledger while nothing is due."""
    ledger, clock = estate.driver.ledger, estate.driver.clock
    provider = FakeProvider()
    ports = Ports(
        ledger=ledger,
        provider=provider,
        resource=PROVIDER,
        store=MemoryImageStore("bench", "flow"),
        clock=clock,
        log=lambda _line: None,
    )
    ledger.batch_locations(NAMES)
    recover(ports)
    poll_due(ports, owner=uuid.uuid4().hex, budget_seconds=30)
    ledger.paused()
    agenda(ledger, clock, batches=NAMES)
    ledger.nights_to_do(NAMES)
    assert not provider.polls


def _search(wanted: dict[str, Any]) -> Callable[[Estate], object]:
    return lambda estate: estate.driver.ledger.search(limit=50, **wanted)


_WORK: tuple[tuple[str, Callable[[Estate], object], int], ...] = (
    ("claiming due runs", _claim, 15),
    ("a sensor's tick, nothing due", _tick, 5),
)
