"""A night of twenty batches over four providers, on a virtual clock: hours, requests, memory, size.

Real: planning, submitting, the sensor's tick (recover, poll, agenda), collecting, the turns under
each provider's documented limit, and the SQLite ledger, in memory: one for each account while its
night lasts, put together into one that holds all of it. Simulated: time, which passes only while
everybody waits; the providers, which live in the process of their account (`night_provider`: no
HTTP, no errors, runs with a median of 30 s and σ = 0.6, answers after 0.3 s); the bucket, which
takes pictures and keeps none; Dagster, whose runs and sensor are threads here. The five batches of
a provider begin at once, and pictures are collected when their night has ended, by a run that the
sensor asks for: the one way of a scheduled night.

20 × 150 prompts; 20 × 5,000 with BENCH_FULL=1, which takes 20 minutes and more on two cores.
"""

from __future__ import annotations

import ctypes
import os
import sqlite3
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.night_account import AccountNight, Played
from benchmarks.place import MEDIAN_SECONDS, SPAWN
from flow_pipelines.ledger import open_ledger
from flow_pipelines.ledger.contract import PAGE
from flow_pipelines.ledger.schema import metadata
from flow_pipelines.providers import profile, provider_names

BATCHES = 5
"""At each provider."""
ROWS = 5_000 if os.environ.get("BENCH_FULL") else 150
WARM_UP_ROWS = 8
LEDGER = "ledger.db"
AT_MOST = 1.25
"""Of the hours that two requests a run take at the limit; as in `floyo_batch`."""
MOST_GROWTH = 1.3
_MB = 1024 * 1024
_M_ARENA_MAX = -8
_MEMORY = "/dev/shm" if Path("/dev/shm").is_dir() else None


@dataclass(frozen=True, kw_only=True)
class Simulated:
    """A night of so many prompts a batch."""

    rows: int
    accounts: Sequence[Played]
    ledger_bytes: int

    @property
    def submissions(self) -> int:
        return sum(one.rows for one in self.accounts)

    @property
    def cpu_ms(self) -> float:
        """Of a submission."""
        return 1000 * sum(one.cpu_seconds for one in self.accounts) / self.submissions

    @property
    def planning_mb(self) -> float:
        """Of the batch that took the most."""
        return max(one.planning_bytes for one in self.accounts) / _MB

    @property
    def peak_mb(self) -> float:
        """Of the account that took the most."""
        return max(one.peak_bytes for one in self.accounts) / _MB


def measure() -> list[Figure]:
    """Simulate a night, and one a tenth the size to compare with."""
    tenth, night = simulate(ROWS // 10), simulate(ROWS)
    accounts = [figure for one in night.accounts for figure in _of_account(one, night.rows)]
    return [*accounts, *_in_all(night, tenth)]


def simulate(rows: int) -> Simulated:
    """Let one night pass, an account to a process, as many at a time as there are cores."""
    with tempfile.TemporaryDirectory(prefix="bench-night-", dir=_MEMORY) as name:
        folder = Path(name)
        with ProcessPoolExecutor(os.cpu_count(), SPAWN, max_tasks_per_child=1) as pool:
            played = [pool.submit(_play, folder / one, one, rows) for one in provider_names()]
            accounts = [one.result() for one in played]
        size = _put_together(folder, [folder / one.provider for one in accounts])
        return Simulated(rows=rows, accounts=accounts, ledger_bytes=size)


def _play(folder: Path, provider: str, rows: int) -> Played:
    """Play an account's night in a ledger of its own.

    In one, processes that live a thousand times too fast would mostly wait for each other.
    """
    # Threads play processes here: what one gives back, the next may have, as from the system.
    ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    warm = folder / "warm"
    warm.mkdir(parents=True)
    # What a process loads at its first use is not the night's.
    AccountNight(warm, _url(warm), provider, 1, WARM_UP_ROWS).play()
    played = AccountNight(folder, _url(folder), provider, BATCHES, rows).play()
    assert played.stored == played.rows, played
    return played


def _put_together(folder: Path, accounts: Sequence[Path]) -> int:
    """Put the accounts' ledgers into one, as it would be; give its bytes."""
    open_ledger(_url(folder)).close()
    with closing(sqlite3.connect(folder / LEDGER, isolation_level=None)) as connection:
        for account in accounts:
            connection.execute("ATTACH ? AS one", (str(account / LEDGER),))
            connection.execute("BEGIN")
            for table in metadata.sorted_tables:
                connection.execute(f"INSERT OR IGNORE INTO {table} SELECT * FROM one.{table}")
            connection.execute("COMMIT")
            connection.execute("DETACH one")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        found = connection.execute("SELECT count(*) FROM outputs WHERE stored_at > 0").fetchone()
    print(f"simulated_night: {found[0]:,} pictures in one ledger", flush=True)
    return (folder / LEDGER).stat().st_size


def _url(folder: Path) -> str:
    return f"sqlite:///{folder / LEDGER}"


def _of_account(one: Played, rows: int) -> list[Figure]:
    known = profile(one.provider)
    assert known.rate_limit is not None
    a_minute = known.rate_limit.requests * 60 / known.rate_limit.per_seconds
    bound = (2 * one.rows / a_minute + MEDIAN_SECONDS / 60) / 60
    part = f"{BATCHES} × {rows:,} runs at {known.title}, {a_minute:g}/min"
    links = one.requests.get("link", 0)
    ended, stored = max(one.ended_hours.values()), max(one.stored_hours.values())
    return [
        Figure(
            part=part,
            name="until all have ended",
            ours=ended,
            unit="h",
            opponent=f"{bound:.2f} h: 2 × {one.rows:,} / limit + median; {ended / bound:.2f} ×",
            at_most=round(AT_MOST * bound, 2),
        ),
        Figure(part=part, name="until all pictures are stored", ours=stored, unit="h"),
        Figure(
            part=part,
            name="requests per run, submit and polls",
            ours=(one.requests["submit"] + one.requests["poll"]) / one.rows,
            opponent=f"and {links / one.rows:.2f} for links, to collect" if links else "",
            at_most=2.3,
        ),
        Figure(part=part, name="latest poll", ours=one.late_seconds / 60, unit="min late"),
        Figure(part=part, name="beyond the limit (429)", ours=one.too_many, at_most=0),
    ]


def _in_all(night: Simulated, tenth: Simulated) -> list[Figure]:
    part = f"{night.submissions:,} submissions in one ledger"
    smaller = f"at {tenth.submissions:,}"
    each = night.ledger_bytes / night.submissions
    return [
        Figure(
            part=part,
            name="CPU of a submission",
            ours=night.cpu_ms,
            unit="ms",
            opponent=f"{tenth.cpu_ms:.1f} ms {smaller}; both with the stand-in's",
            at_most=round(MOST_GROWTH * tenth.cpu_ms, 1),
        ),
        Figure(
            part=part,
            name="memory to plan a batch",
            ours=night.planning_mb,
            unit="MB",
            opponent=f"{tenth.planning_mb:.1f} MB {smaller}; a batch has {night.rows:,} rows",
        ),
        Figure(
            part=part,
            name="memory after planning",
            ours=night.peak_mb,
            unit="MB",
            opponent=f"{tenth.peak_mb:.0f} MB {smaller}; {2 * BATCHES} Dagster runs and a sensor",
            # Below a page of rows it grows with them, and is to.
            at_most=round(MOST_GROWTH * tenth.peak_mb, 1) if tenth.rows >= PAGE else None,
        ),
        Figure(part=part, name="ledger", ours=night.ledger_bytes / _MB, unit="MB"),
        Figure(
            part=part,
            name="ledger of a submission",
            ours=each,
            unit="B",
            opponent=f"{tenth.ledger_bytes / tenth.submissions:.0f} B {smaller}",
        ),
    ]
