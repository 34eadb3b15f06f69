"""Planning 10,000 submissions: read, render, check, freeze."""

from __future__ import annotations

import itertools
import tempfile
import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.past import empty_databases, servers
from benchmarks.ratios import cpu_of, medians
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import Ports, plan_night
from flow_pipelines.model import BatchSettings
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore
from flow_pipelines_tests.faults.crash.harness import connect, sample_parameters, sample_workflow

ROWS = 10_000
ROUNDS = 3
AT_MOST_SECONDS = 2.0
NOBODY = "http://127.0.0.1:9"
NOWHERE = {"FLOYO_API_KEY": "flo_nobody", "FLOYO_BASE_URL": NOBODY, "FLOYO_CDN_URL": NOBODY}


def measure() -> list[Figure]:
    """Return the seconds on each database."""
    return [figure for database in ("SQLite", "PostgreSQL") for figure in _on(database)]


def _on(database: str) -> list[Figure]:
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        empty_databases(database, 1) as (url,),
    ):
        ports, settings = _ports(url), _settings(Path(folder))
        nights = itertools.count()

        def plan() -> None:
            plan_night(settings, f"night {next(nights)}", ports)

        busy = medians({"plan": plan}, ROUNDS, cpu_of(*servers(ports.ledger)))["plan"]
        lasted = medians({"plan": plan}, 1, time.perf_counter)["plan"]
        return [
            Figure(
                part=f"planning {ROWS:,} submissions, {database}",
                name="seconds on a CPU",
                ours=busy,
                unit="s",
                opponent=f"{lasted:.1f} s by the clock on the wall, beside all else that runs here",
                at_most=AT_MOST_SECONDS,
            )
        ]


def _ports(url: str) -> Ports:
    clock = ManualClock()
    ledger = open_ledger(url, clock)
    return Ports(
        ledger=ledger,
        provider=connect("floyo", NOWHERE, clock, ledger.pace, lambda it: it),
        resource="floyo",
        store=MemoryImageStore("bench", "flow"),
        clock=clock,
        log=lambda _line: None,
    )


def _settings(folder: Path) -> BatchSettings:
    for file in (SAMPLES / "floyo").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    lines = ["prompt_id,prompt", *(f"p{row},a poster of city {row}" for row in range(ROWS))]
    (folder / "prompts.csv").write_text("\n".join(lines) + "\n")
    return BatchSettings(
        name="posters",
        provider="floyo",
        resource="floyo",
        workflow=sample_workflow("floyo"),
        base_dir=str(folder),
        prompts="prompts.csv",
        parameters=sample_parameters("floyo", {}),
        allow_identical=True,
    )
