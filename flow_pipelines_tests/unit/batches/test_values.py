from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.batches.values import WrongType, typed_value
from flow_pipelines.model import ParameterType


@pytest.mark.parametrize(
    ("kind", "value", "typed"),
    [
        ("text", "x", "x"),
        ("text", "", ""),
        ("text", None, ""),
        ("text", 768, "768"),
        ("text", True, "true"),
        ("text", 0.5, "0.5"),
        ("integer", "768", 768),
        ("integer", " -3 ", -3),
        ("integer", 768.0, 768),
        ("integer", "7.5", 7.5),
        ("integer", 7.5, 7.5),
        ("integer", "18446744073709551615", 2**64 - 1),
        ("integer", "1e3", 1000),
        ("seed", "18446744073709551615", 2**64 - 1),
        ("seed", 0, 0),
        ("number", "0.35", 0.35),
        ("number", ".5", 0.5),
        ("number", 3, 3),
        ("number", 2.0**60, 2.0**60),
        ("integer", 2**53 + 1, 2**53 + 1),
        ("seed", float(2**53), 2**53),
        ("number", "1E-3", 0.001),
        ("boolean", "TRUE", True),
        ("boolean", " no ", False),
        ("boolean", 1, True),
        ("boolean", 0.0, False),
        ("boolean", False, False),
        ("any", {"a": 1}, {"a": 1}),
        ("any", "", ""),
        ("any", None, None),
    ],
)
def test_a_value_takes_the_parameters_type(kind: ParameterType, value: Any, typed: Any) -> None:
    result = typed_value(value, kind)
    assert result == typed
    assert type(result) is type(typed)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("text", [1]),
        ("integer", "abc"),
        ("integer", True),
        ("integer", "1_000"),
        ("integer", "١٢"),
        ("integer", "0x10"),
        ("integer", 2**64),
        ("integer", "9" * 5000),
        ("seed", -1),
        ("seed", 2**64),
        ("seed", "1.5"),
        ("seed", True),
        ("seed", float(2**60)),
        ("seed", "1e17"),
        ("integer", float(2**60)),
        ("integer", -1e300),
        ("number", "nan"),
        ("number", "Infinity"),
        ("number", "1e999"),
        ("number", float("inf")),
        ("number", "1,5"),
        ("number", [1]),
        ("boolean", "maybe"),
        ("boolean", 2),
        ("boolean", []),
    ],
)
def test_a_value_that_cannot_is_refused(kind: ParameterType, value: Any) -> None:
    with pytest.raises(WrongType, match="has to be"):
        typed_value(value, kind)


@pytest.mark.parametrize("kind", ["integer", "seed", "number", "boolean"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_empty_value_is_told_as_empty(kind: ParameterType, value: Any) -> None:
    with pytest.raises(WrongType, match="is empty"):
        typed_value(value, kind)


def test_a_refused_value_is_shown_short_and_without_secrets() -> None:
    with pytest.raises(WrongType) as caught:
        typed_value("https://x/y?token=abcdefgh" + "z" * 500, "number")
    assert "abcdefgh" not in str(caught.value)
    assert len(str(caught.value)) < 150
