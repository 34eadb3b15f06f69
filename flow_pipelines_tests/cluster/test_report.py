"""The harness itself: it calls a promise broken where one is, and only there."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines_tests.cluster.report import Outcome, broken_promises


@pytest.mark.parametrize(
    "counts",
    [
        {},
        {"unresolved": 1},
        {"unresolved": 1, "bills": 11},
    ],
)
def test_no_promise_is_broken_where_each_row_is_billed_once_or_waits_for_a_person(
    counts: dict[str, Any],
) -> None:
    outcome = Outcome(scenario="a night", **{"rows": 12, "bills": 12, **counts})
    assert broken_promises(outcome, 12) == []


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ({"bills": 13}, "13 bills for 12 rows"),
        ({"bills": 11}, "11 bills for 12 rows"),
        ({"bills": 10, "unresolved": 1}, "10 bills for 12 rows"),
        ({"rows": 11, "bills": 11}, "11 rows of 12"),
        ({"duplicates": 1}, "1 bought twice"),
        ({"lost": 2}, "2 paid without a stored picture"),
        ({"rate_limited": 3}, "3 requests too fast"),
    ],
)
def test_a_broken_promise_is_named(counts: dict[str, Any], says: str) -> None:
    outcome = Outcome(scenario="a night", **{"rows": 12, "bills": 12, **counts})
    assert broken_promises(outcome, 12) == [says]
