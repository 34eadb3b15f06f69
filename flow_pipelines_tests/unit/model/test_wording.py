"""What people read of money, time, and rows without a picture."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.wording import duration, money, reported_problem, why_no_picture
from flow_pipelines_tests.unit.storage.samples import output, submission

_NOTHING = "the provider run ended without an output"


@pytest.mark.parametrize(
    ("amount", "exact", "rounded"),
    [
        ("0", "$0.00", "$0.00"),
        ("0.000001", "$0.000001", "$0.00"),
        ("0.012500", "$0.0125", "$0.0125"),
        ("0.013333", "$0.013333", "$0.0133"),
        ("0.240000", "$0.24", "$0.24"),
        ("1.234567", "$1.234567", "$1.23"),
        ("1E+1", "$10.00", "$10.00"),
        ("1200", "$1,200.00", "$1,200.00"),
    ],
)
def test_money_has_cents_and_smaller_parts_where_there_are_any(
    amount: str, exact: str, rounded: str
) -> None:
    assert money(Decimal(amount)) == exact
    assert money(Decimal(amount), rounded=True) == rounded
    assert money(Decimal(amount), estimated=True) == f"≈ {exact}"


def test_what_is_not_known_has_no_words() -> None:
    assert (money(None, estimated=True), duration(None)) == ("", "")


def test_durations_are_in_the_unit_that_people_would_use() -> None:
    times = [duration(ms) for ms in (0, 999, 1_000, 59_900, 65_400, 3_600_000)]
    assert times == ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min 05 s", "60 min 00 s"]
    assert duration(65_400, at_most=True) == "≤ 1 min 05 s"


@pytest.mark.case(
    "the time until our poll stood as the time that a run took (Floyo: 344 s for 6.7 s)",
    "where the provider tells no times, it is shown as at most that",
)
@pytest.mark.parametrize(("run_ms", "is_bound"), [(4500, True), (1200, False), (None, False)])
def test_a_time_from_submission_to_end_is_an_upper_bound(
    run_ms: int | None, is_bound: bool
) -> None:
    at = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
    ended = at + timedelta(milliseconds=4500, microseconds=7)
    row = submission(submitted_at=at, finished_at=ended, run_ms=run_ms)
    assert row.run_ms_is_bound is is_bound


def test_the_providers_words_come_before_ours() -> None:
    failed = submission(state=SubmissionState.FAILED, error_message="out of memory", reason="x")
    assert why_no_picture(failed) == reported_problem(failed) == "out of memory"


def test_a_run_that_ended_well_says_which_outputs_failed_or_that_none_is_there_yet() -> None:
    row, problem = submission(), output(1, stored=None, problem="cut")
    assert why_no_picture(row, [output(0), problem]) == reported_problem(row, [problem]) == "cut"
    assert why_no_picture(row, [output(0, stored=None)]) == "not collected yet"
    assert why_no_picture(row) == why_no_picture(row, [output(0)]) == _NOTHING


def test_an_output_that_is_larger_than_is_stored_says_so() -> None:
    left_out = output(0, stored=None, problem="has 9 GB", settled_above=1)
    assert why_no_picture(submission(), [left_out]) == "has 9 GB"


def test_a_run_that_has_not_ended_has_no_reason_yet() -> None:
    assert why_no_picture(submission(state=SubmissionState.RUNNING)) == ""
