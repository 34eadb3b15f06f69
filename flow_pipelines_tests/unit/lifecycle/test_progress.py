"""How far a night has come, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.ledger.records import Tally
from flow_pipelines.lifecycle import collect_night, night_progress, wait_for_night
from flow_pipelines.lifecycle.progress import night_status
from flow_pipelines.model import Night, RunReport, Submission, SubmissionState
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

NIGHT = Night("harbor", "2026-11-02")
NOW = datetime(2026, 11, 3, 2, 10, tzinfo=UTC)


def row(number: int, state: str, **more: Any) -> Submission:
    told = {
        "submission_key": f"k{number}-{more.get('generation', 0)}",
        "night": NIGHT,
        "prompt_id": f"p{number}",
        "row_number": number,
        "copy": 0,
        "generation": 0,
        "prompt": "",
        "seed": None,
        "provider": "floyo",
        "resource": "floyo",
        "workflow": "w",
        "workflow_version": "v",
        "parameters": {},
        "content_hash": "",
        "request_hash": "",
        "state": SubmissionState(state),
        "planned_at": NOW,
    }
    return Submission(**(told | more))


def ended(number: int, seconds_ago: float, state: str = "succeeded", **more: Any) -> Submission:
    at = NOW - timedelta(seconds=seconds_ago)
    return row(number, state, finished_at=at, provider_run_id=f"r{number}", **more)


def tallied(rows: Sequence[Submission]) -> Sequence[Tally]:
    """Return each row as a tally of its own: how they are grouped must not matter."""
    return [
        Tally(
            generation=one.generation,
            state=one.state,
            rows=1,
            cost_usd=one.cost_usd or Decimal(0),
            ends=1 if one.finished_at else 0,
            first_end_at=one.finished_at,
            last_end_at=one.finished_at,
        )
        for one in rows
    ]


def test_the_line_leaves_out_what_there_is_none_of() -> None:
    rows = [
        ended(0, 30, cost_usd=Decimal("0.02")),
        ended(1, 20, "failed"),
        row(2, "running"),
        row(3, "submitting"),
        row(4, "planned"),
        row(5, "unresolved"),
    ]
    progress = night_progress(NIGHT, tallied(rows), NOW)
    assert progress.in_words() == (
        "harbor/2026-11-02: 1 of 6 done, 1 failed, 1 unresolved, 1 in flight, 1 being sent, "
        "1 planned, $0.02 so far"
    )
    assert (progress.percent, progress.under_way) == (33, True)


def test_the_end_is_expected_at_the_pace_of_the_ends_so_far() -> None:
    rows = [ended(n, 60 - 10 * n) for n in range(4)] + [row(n, "running") for n in range(4, 16)]
    progress = night_progress(NIGHT, tallied(rows), NOW)
    assert progress.expected_end_at == NOW + timedelta(seconds=120)
    assert progress.in_words().endswith("ends about 02:12 UTC")


@pytest.mark.parametrize(
    "rows",
    [
        [ended(0, 30), ended(1, 20), row(2, "running")],
        [ended(0, 30), ended(1, 30), ended(2, 30), row(3, "running")],
        [ended(0, 30), ended(1, 20), ended(2, 10)],
        [ended(0, 3e6), ended(1, 2e6), ended(2, 10), row(3, "running")],
    ],
    ids=["too few ended", "all at once", "nothing is left", "in a week or later"],
)
def test_no_end_is_promised_where_nobody_can_tell(rows: list[Submission]) -> None:
    assert night_progress(NIGHT, tallied(rows), NOW).expected_end_at is None


def test_a_regeneration_is_counted_by_what_it_buys_and_what_is_still_under_way() -> None:
    before = [ended(n, 900, cost_usd=Decimal("0.10")) for n in range(8)] + [row(8, "running")]
    again = [row(0, "running", generation=1), row(1, "planned", generation=1)]
    progress = night_progress(NIGHT, tallied(before + again), NOW)
    assert (progress.generation, progress.rows, progress.succeeded) == (1, 3, 0)
    assert progress.cost_usd == Decimal("0.80")


def test_a_night_without_rows_has_come_nowhere() -> None:
    progress = night_progress(NIGHT, [], NOW)
    assert (progress.percent, progress.under_way) == (0, False)


def test_a_waiting_run_logs_about_ten_lines_however_many_rows_there_are(
    harness: LifecycleHarness,
) -> None:
    harness.plan(*(f"prompt {number}" for number in range(60)))
    harness.submit()
    turns: Counter[str] = Counter()

    def ends_at_its_own_time(run: str) -> RunReport | None:
        turns[run] += 1
        if turns[run] > int(run.removeprefix("run_")) // 6:
            return None
        return RunReport(
            provider_run_id=run, state=SubmissionState.RUNNING, provider_status="running"
        )

    harness.provider.on_poll = ends_at_its_own_time
    harness.lines.clear()
    assert wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=3600) == 0
    assert 5 <= len(harness.lines) <= 11
    assert len(set(harness.lines)) == len(harness.lines)
    assert harness.lines[-1] == f"{harness.night}: 60 of 60 done, $0.60"


def there(harness: LifecycleHarness) -> tuple[bool, str]:
    found = night_status(harness.ledger.night(harness.night), harness.night, harness.ledger)
    return found.is_complete, found.describe()


def test_a_night_is_there_once_it_is_in_the_bucket_and_says_before_what_it_lacks(
    harness: LifecycleHarness,
) -> None:
    assert there(harness) == (False, f"{harness.night} was not bought: no run ever planned it")
    harness.plan("a cat", "a dog")
    assert there(harness) == (False, f"{harness.night} was planned, and nothing of it was sent")
    harness.submit()
    assert there(harness)[0] is False
    assert there(harness)[1].endswith("0 of 2 done, 2 in flight, $0.00 so far: not ended yet")
    harness.clock.advance(60)
    wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=60)
    assert there(harness)[0] is False
    assert there(harness)[1].endswith("2 of 2 done, $0.02: ended, and not in the bucket yet")
    collect_night(harness.night, harness.ports, owner="run-1")
    assert there(harness) == (True, f"{harness.night}: 2 of 2 done, $0.02, in the bucket")


def test_failures_do_not_make_a_night_absent(harness: LifecycleHarness) -> None:
    harness.provider.on_poll = lambda run: RunReport(
        provider_run_id=run, state=SubmissionState.FAILED, provider_status="error"
    )
    harness.plan("a cat")
    harness.submit()
    harness.clock.advance(60)
    wait_for_night(harness.ports, harness.night, owner="run-1", wait_seconds=60)
    collect_night(harness.night, harness.ports, owner="run-1")
    assert there(harness)[0] is True


def test_an_absent_night_names_the_stop_switch(harness: LifecycleHarness) -> None:
    harness.ledger.pause("ana", "invoices first")
    assert "Submitting is paused by ana: invoices first" in there(harness)[1]
