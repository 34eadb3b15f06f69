"""The same batch on a virtual clock: what the schedule is worth, whatever the machine does."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from benchmarks.demo_loop import PARALLEL, loop
from benchmarks.figures import Figure
from benchmarks.floyo_batch import (
    BATCH,
    BOUND_MINUTES,
    ROWS,
    figures_of,
    submit,
    tick,
    wait,
)
from benchmarks.place import Place, virtual_place
from flow_pipelines.lifecycle import plan_night
from flow_pipelines.model import UNPARTITIONED


def measure() -> list[Figure]:
    """Let all of them act at once, each as a thread."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name, virtual_place(Path(name)) as here:
        settings = here.settings(BATCH, ROWS)
        plan_night(settings, UNPARTITIONED, here.ports())
        took: list[float] = []
        ended: list[float] = []

        def watch() -> None:
            took.append(wait(here, here.ports(), 0.0))
            (here.folder / "done").touch()

        def oppose(number: int) -> None:
            ended.extend(loop(here, number, BOUND_MINUTES * 60))

        loops = [partial(oppose, number) for number in range(PARALLEL)]
        actions = [partial(submit, here, settings), partial(tick, here), watch, *loops]
        _run(here, actions)
        (here.folder / "opponent").write_text(f"{BOUND_MINUTES * 60} {len(ended)}")
        return figures_of(here, took[0], "virtual clock")


def _run(here: Place, actions: list[partial[None]]) -> None:
    here.clock.run(actions)  # type: ignore[attr-defined]
