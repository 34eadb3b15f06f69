"""Four processes on one key: how much of the limit they use, who gets it, and what is refused.

One submits tonight's batch, one a backfill's, two poll without end: all want more than there is.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import Any

from benchmarks.actors import ActorClock
from benchmarks.figures import Figure
from benchmarks.place import LIMIT, SPAWN, Place, place, virtual_place
from flow_pipelines.lifecycle import plan_night, submit_night
from flow_pipelines.model import UNPARTITIONED, Night
from flow_pipelines.sandbox.meter import RequestRecord

SCALE = 8.0
WINDOWS = 3
"""Minutes that count, after one to warm up."""
ROWS = LIMIT * (WINDOWS + 2)


def measure() -> list[Figure]:
    """Let them work for some minutes, in processes by a fast clock and as threads by a virtual one.

    Either way they have nothing in common but the ledger's file.
    """
    return _virtual() + _in_processes()


def _virtual() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, virtual_place(Path(name)) as here:
        works = _works(here)
        clock = here.clock
        assert isinstance(clock, ActorClock)

        def end() -> None:
            clock.sleep(60.0 * (WINDOWS + 1))
            (here.folder / "done").touch()
            here.ports().ledger.pause("benchmark", "it is over")

        clock.run([*works, end])
        log = here.control.requests()
        return _figures(here, log, range(1, WINDOWS + 1), "virtual clock")


def _in_processes() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="bench-") as name, place(Path(name), SCALE) as here:
        workers = [SPAWN.Process(target=work, daemon=True) for work in _works(here)]
        for worker in workers:
            worker.start()
        while not (log := here.control.requests()):
            here.clock.sleep(1.0)
        first = int(here.minutes(log[0].at)) + 2
        here.clock.sleep((first + WINDOWS + 0.1) * 60 - here.clock.monotonic())
        for worker in workers:
            worker.terminate()
            worker.join(20)
        minutes = range(first, first + WINDOWS)
        return _figures(here, here.control.requests(), minutes, f"time × {SCALE:g}")


def _works(here: Place) -> list[partial[None]]:
    nights = {name: here.settings(name, ROWS) for name in ("tonight", "backfill")}
    for settings in nights.values():
        plan_night(settings, UNPARTITIONED, here.ports())
    return [
        partial(_submit, here, nights["tonight"], None),
        partial(_submit, here, nights["backfill"], "abcdefgh"),
        partial(_poll, here, 0),
        partial(_poll, here, 1),
    ]


def _submit(here: Place, settings: Any, backfill: str | None) -> None:
    night = Night(settings.name, UNPARTITIONED)
    submit_night(settings, night, here.ports(), owner=night.batch, backfill_id=backfill)


def _poll(here: Place, number: int) -> None:
    """Ask after whatever is there, again and again: there is always more to ask than turns."""
    ports = here.ports()
    while not (here.folder / "done").exists():
        runs = ports.ledger.in_flight(provider="floyo", resource="floyo", limit=20 * (number + 1))[
            20 * number :
        ]
        for run in runs:
            workflow = ports.ledger.workflow(run.workflow_version)
            ports.provider.poll(run.provider_run_id or "", workflow)
        if not runs:
            ports.clock.sleep(1.0)


def _figures(here: Place, log: Sequence[RequestRecord], minutes: range, how: str) -> list[Figure]:
    steady = [one for one in log if int(here.minutes(one.at)) in minutes]
    counted = Counter(one.operation for one in steady if one.status != HTTPStatus.TOO_MANY_REQUESTS)
    label = {run.id: run.label for run in here.control.runs("floyo")}
    nights = Counter(name.split("/")[0] for name in label.values())
    part = f"4 processes, one key, {LIMIT}/min, {how}"
    used = sum(counted.values()) / (LIMIT * WINDOWS)
    return [
        Figure(part=part, name="part of the limit used", ours=used, at_least=0.95),
        Figure(
            part=part,
            name="refused with 429",
            ours=sum(one.status == HTTPStatus.TOO_MANY_REQUESTS for one in steady),
            at_most=0,
        ),
        Figure(
            part=part,
            name="submits' part of the turns",
            ours=counted["create_run"] / max(counted.total(), 1),
            opponent="polls have the rest",
            at_least=0.4,
            at_most=0.6,
        ),
        Figure(
            part=part,
            name="tonight's part of the submits",
            ours=nights["tonight"] / max(nights.total(), 1),
            opponent="a backfill has the rest",
            at_least=0.6,
        ),
    ]
