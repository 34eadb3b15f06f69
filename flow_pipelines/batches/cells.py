"""Cells of prompt tables: which values are valid, and how messages show them."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from decimal import Decimal

from flow_pipelines.model import Value
from flow_pipelines.redaction import redact

INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1
"""Integers between these survive every format that they pass through: JSON, Parquet, SQL."""

EXACT_IN_A_FLOAT = 2**53
"""Up to this a float holds every integer; above it, which one was meant cannot be known."""

_SHOWN_CHARACTERS = 60


def cell_text(value: object) -> str:
    """Return a value as it appears inside a text; nothing for None, JSON's words for booleans."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def shown(value: object) -> str:
    """Return a value for a message: quoted, redacted and short."""
    text = redact(value) if isinstance(value, str) else redact(str(value))
    if len(text) > _SHOWN_CHARACTERS:
        text = text[: _SHOWN_CHARACTERS - 1] + "…"
    return repr(text) if isinstance(value, str) else text


def same_cell(value: Value) -> Value:
    """Return a value in the form in which it is compared: `7.0` is `7`.

    One missing cell is enough for pandas to make a whole column of integers float; the other
    rows are no others for that.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) <= EXACT_IN_A_FLOAT:
        return int(value)
    return value


def text_fault(text: str) -> str | None:
    """Return why a text cannot be stored and sent as it is, or None."""
    if "\0" in text:
        return "holds a NUL character, which no database and no service takes"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "holds half of a surrogate pair, which is no character"
    return None


def cell_fault(value: Value) -> str | None:
    """Return why a value cannot be in a prompt table, or None."""
    if isinstance(value, str):
        return text_fault(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "is not a finite number"
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        return "is an integer outside −2^63 … 2^64−1"
    return None


def plain_cell(value: object) -> Value:
    """Turn a cell of Parquet or pandas into a plain value; NaN becomes None.

    Dates, times and exact decimals become their text, which loses nothing.

    Raises: ValueError, saying what is wrong with the value.
    """
    if hasattr(value, "item") and not hasattr(value, "__len__"):
        value = value.item()  # a NumPy scalar: the Python value of the same type
    if value is None or value != value:  # noqa: PLR0124 - only NaN differs from itself
        return None
    if isinstance(value, Decimal | date | datetime | time):
        value = value.isoformat() if not isinstance(value, Decimal) else str(value)
    if not isinstance(value, str | int | float):
        raise ValueError(f"is {_kind(value)}; a cell holds a text, a number or a boolean")  # noqa: TRY004 - a fault of the data
    fault = cell_fault(value)
    if fault:
        raise ValueError(fault)
    return value


def _kind(value: object) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return "binary data"
    return "nested" if hasattr(value, "__len__") else f"a {type(value).__name__}"
