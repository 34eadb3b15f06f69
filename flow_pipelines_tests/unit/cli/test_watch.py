"""`flow-pipelines runs --watch`: what it draws, and when it ends."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console

from flow_pipelines.cli.show import REDRAW_SECONDS, watch
from flow_pipelines.lifecycle import wait_for_night
from flow_pipelines.model import RunReport, SubmissionState
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness, harness

__all__ = ["harness"]


class Meanwhile(ManualClock):
    """A clock on which something happens each time that somebody sleeps."""

    def __init__(self, happens: Callable[[int], None]) -> None:
        super().__init__()
        self._happens = happens

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self._happens(len(self.slept))


def watched(
    harness: LifecycleHarness, happens: Callable[[int], None], **filters: str
) -> tuple[str, Meanwhile]:
    stream, clock = io.StringIO(), Meanwhile(happens)
    watch(harness.ledger, clock, Console(file=stream, width=120), **filters)
    return stream.getvalue(), clock


def poll(harness: LifecycleHarness) -> None:
    harness.clock.advance(300)
    wait_for_night(harness.ports, harness.night, owner="other", wait_seconds=0)


def test_it_draws_until_the_night_has_ended(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog", "a hen")
    harness.submit()
    harness.provider.on_poll = lambda run: (
        RunReport(provider_run_id=run, state=SubmissionState.FAILED, provider_status="error")
        if run == "run_0002"
        else None
    )
    said, clock = watched(harness, lambda turn: poll(harness) if turn == 3 else None)

    assert clock.slept == [REDRAW_SECONDS] * 3
    [line] = said.splitlines()
    assert line.startswith(f"{harness.night} ━")
    assert line.rstrip().endswith("3/3 1 failed, $0.03")


def test_a_night_that_begins_meanwhile_is_drawn_too(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    harness.submit()
    other = LifecycleHarness(
        **{**vars(harness), "night": harness.night._replace(partition_key="2026-11-20")}
    )

    def happens(turn: int) -> None:
        if turn == 1:
            other.plan()
            other.submit(owner="run-2")
        if turn == 9:
            poll(harness)
            poll(other)

    said, _ = watched(harness, happens)
    assert [line.split()[0] for line in said.splitlines()] == [str(harness.night), str(other.night)]


def test_with_nothing_under_way_it_says_so_and_ends(harness: LifecycleHarness) -> None:
    harness.plan("a cat")  # planned only: nobody asked to buy it
    said, clock = watched(harness, lambda _turn: None)
    assert "No night is under way." in said
    assert clock.slept == []


def test_a_night_of_another_batch_is_left_out(harness: LifecycleHarness) -> None:
    harness.plan("a cat")
    harness.submit()
    said, _ = watched(harness, lambda _turn: None, batch="harbor")
    assert "No night is under way." in said
