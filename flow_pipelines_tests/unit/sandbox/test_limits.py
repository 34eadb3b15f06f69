from __future__ import annotations

from flow_pipelines.sandbox.limits import Limits

WHO = ("floyo", "key")


def test_a_window_is_of_the_wall_clock_and_not_of_the_first_request() -> None:
    limits = Limits()
    assert [limits.take(WHO, 59.9, limit=2, window=60).allowed for _ in range(3)] == [1, 1, 0]
    assert [limits.take(WHO, 60.0, limit=2, window=60).allowed for _ in range(3)] == [1, 1, 0]


def test_a_standing_says_what_is_left_and_when_it_begins_anew() -> None:
    standing = Limits().take(WHO, 61.0, limit=5, window=60)
    assert (standing.limit, standing.remaining, standing.resets_at) == (5, 4, 120)


def test_keys_are_counted_apart() -> None:
    limits = Limits()
    assert limits.take(WHO, 0, limit=1, window=60).allowed
    assert limits.take(("floyo", "other"), 0, limit=1, window=60).allowed
    assert not limits.take(WHO, 0, limit=1, window=60).allowed
