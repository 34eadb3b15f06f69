"""What providers say of a failure, as people read it."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.model.json_values import prose


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("out of memory", "out of memory"),
        ({"message": "the run failed"}, "the run failed"),
        ({"error": "out_of_memory", "message": "it failed"}, "it failed (out_of_memory)"),
        ([{"error": "out_of_memory", "message": "it failed"}], "it failed (out_of_memory)"),
        ([{"code": "a", "message": "one"}, "two"], "one (a); two"),
        ({"message": "failed", "node": "6"}, '{"message": "failed", "node": "6"}'),
        ([{"6": {"errors": []}}], '{"6": {"errors": []}}'),
        ([7], "7"),
        ({}, None),
        (None, None),
    ],
)
def test_a_message_is_shown_plainly_and_nothing_is_left_out(said: Any, shown: str | None) -> None:
    assert prose(said) == shown


def test_what_is_said_at_length_is_cut_and_holds_no_key() -> None:
    long = "the graphics card has no memory left, " * 100
    said = prose([{"message": long}, {"message": "Bearer flo_Secret0123456789"}])
    assert said == long[:2000]
    masked = prose({"message": "Bearer flo_Secret0123456789"})
    assert masked
    assert "Secret" not in masked
