"""Convert a value to the type of a provider's parameter, and check its bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from flow_pipelines.batches.cells import (
    EXACT_IN_A_FLOAT,
    INTEGER_MAX,
    INTEGER_MIN,
    cell_text,
    shown,
)
from flow_pipelines.batches.keys import MAX_SEED
from flow_pipelines.model import ParameterSpec, ParameterType

_INTEGER = re.compile(r"[+-]?[0-9]+")
_MOST_DIGITS = 40  # more than any number in range has; Python is slow at thousands of them
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class WrongType(ValueError):
    """A value cannot take the type it has to; the message says which, and shows the value."""


def typed_value(value: Any, kind: ParameterType) -> Any:
    """Return `value` in the type of a parameter. Nothing is rounded.

    Raises: WrongType, also for an empty value of anything but text (`any` takes everything).
    """
    if kind not in {"any", "text"} and (value is None or value == ""):
        raise WrongType(f"is empty, but has to be {_EXPECTED[kind]}")
    return _CONVERTERS[kind](value)


def check_bounds(value: Any, spec: ParameterSpec) -> None:
    """Raise WrongType for a number that is out of bounds, or not whole where it has to be."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return
    if spec.whole and isinstance(value, float) and not value.is_integer():
        raise WrongType(f"has to be a whole number, not {shown(value)}")
    low, high = spec.minimum, spec.maximum
    if low is not None and value < low:
        raise WrongType(f"has to be {_bound(low)} or more, not {shown(value)}")
    if high is not None and value > high:
        raise WrongType(f"has to be {_bound(high)} or less, not {shown(value)}")


def _bound(number: float) -> str:
    return "2^64−1" if number == MAX_SEED else f"{number}"


def seed_value(value: Any) -> int:
    """Return a seed: an integer 0 … 2^64−1, exactly. Raises: WrongType."""
    number = _exact(value)
    if isinstance(number, int) and 0 <= number <= MAX_SEED:
        return number
    raise _wrong(value, "seed")


def _integer(value: Any) -> int | float:
    # A graph's `8` may be the literal of a float field, so 7.5 has to pass.
    number = _exact(value)
    if number is None:
        raise _wrong(value, "integer")
    return number


def _exact(value: Any) -> int | float | None:
    number = _number(value)
    if isinstance(number, float) and abs(number) > EXACT_IN_A_FLOAT:
        raise WrongType(
            f"has to be exact, but {shown(value)} is a float above 2^53, which has lost its last "
            "digits (keep the column as integers or as text)"
        )
    return number


def _any_number(value: Any) -> int | float:
    number = _number(value)
    if number is None:
        raise _wrong(value, "number")
    return number


def _number(value: Any) -> int | float | None:
    """Read a number: whole ones as exact integers, others as finite floats, None for no number.

    A float above 2^53 stays one: which integer it once was cannot be known.
    """
    if isinstance(value, str):
        value = _number_in(value.strip())
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if INTEGER_MIN <= value <= INTEGER_MAX else None
    if not isinstance(value, float) or not math.isfinite(value):
        return None
    return int(value) if value.is_integer() and abs(value) <= EXACT_IN_A_FLOAT else value


def _number_in(text: str) -> int | float | None:
    # Not int() and float() alone: they also take `1_000`, `nan` and digits of other scripts.
    if _INTEGER.fullmatch(text):
        return int(text) if len(text) <= _MOST_DIGITS else None
    return float(text) if _DECIMAL.fullmatch(text) else None


def _boolean(value: Any) -> bool:
    if isinstance(value, str):
        word = _WORDS.get(value.strip().lower())
        if word is not None:
            return word
    elif isinstance(value, int | float) and value in {0, 1}:
        return bool(value)
    raise _wrong(value, "boolean")


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str | int | float):
        raise _wrong(value, "text")
    return cell_text(value)


def _as_it_is(value: Any) -> Any:
    return value


def _wrong(value: Any, kind: ParameterType) -> WrongType:
    return WrongType(f"has to be {_EXPECTED[kind]}, not {shown(value)}")


_EXPECTED: Mapping[ParameterType, str] = {
    "text": "text",
    "integer": "a whole or decimal number",
    "seed": "an integer from 0 to 2^64−1",
    "number": "a finite number",
    "boolean": "true or false",
}

_CONVERTERS: Mapping[ParameterType, Callable[[Any], Any]] = {
    "text": _text,
    "integer": _integer,
    "seed": seed_value,
    "number": _any_number,
    "boolean": _boolean,
    "any": _as_it_is,
}
