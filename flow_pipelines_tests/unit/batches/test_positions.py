from __future__ import annotations

from collections.abc import Sequence

import pytest

from flow_pipelines.batches.positions import compose, find_position

TEXT = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: posters
  parameters:
    "6::text": "{prompt}"
    3::seed: 7
  tags: [a,
    b]
---
attributes: {name: other, only_here: 1}
"""


@pytest.mark.parametrize(
    ("path", "position"),
    [
        (["type"], (1, 1)),
        (["attributes", "parameters"], (4, 3)),
        (["attributes", "parameters", "6::text"], (5, 5)),
        (["attributes", "parameters", "3::seed"], (6, 5)),
        (["attributes", "tags", 1], (8, 5)),
        (["attributes", "tags", 2], None),
        (["attributes", "tags", "a"], None),
        (["attributes", "only_here"], None),
        (["type", "x"], None),
        ([], None),
    ],
)
def test_a_key_or_an_item_is_found_where_it_stands(
    path: Sequence[str | int], position: tuple[int, int] | None
) -> None:
    assert find_position(compose(TEXT), path) == position


@pytest.mark.parametrize(
    "text", ["", "a: [", "a: *nowhere", "\t", "\0", "- " * 5000, "x" * 2_000_000]
)
def test_what_cannot_be_read_has_no_positions(text: str) -> None:
    assert find_position(compose(text), ["a"]) is None
