"""Decode text and JSON that people wrote, strictly and without losing a digit."""

from __future__ import annotations

import codecs
import json
from collections.abc import Sequence
from typing import Any, TypeVar

from flow_pipelines.batches.cells import cell_fault, shown
from flow_pipelines.model.errors import InvalidBatch, Problem

N = TypeVar("N", int, float)


class JsonFault(ValueError):
    """A text is not JSON as we take it; `line` and `column` are 1-based, None if not known."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        self.message, self.line, self.column = message, line, column
        super().__init__(message)

    def problem(self, file: str, line: int | None = None) -> Problem:
        """Return the fault as one of `file`; `line` is where the text begins, if not with it."""
        column = None if self.column is None else str(self.column)
        return Problem(self.message, file, line or self.line, column)


def text_of(name: str, content: bytes) -> str:
    """Decode UTF-8, with or without a byte order mark. Raises: InvalidBatch, naming the line."""
    content = content.removeprefix(codecs.BOM_UTF8)
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        message = f"is not UTF-8 text (byte 0x{byte:02x}); save the file as UTF-8"
        raise InvalidBatch(name, [Problem(message, name, line)]) from None


def exact_json(text: str) -> Any:
    """Parse JSON strictly: no NaN, no infinity, no key twice, integers exact or refused.

    Raises: JsonFault.
    """
    try:
        return json.loads(
            text,
            parse_int=_integer,
            parse_float=_finite,
            parse_constant=_refuse,
            object_pairs_hook=_no_key_twice,
        )
    except json.JSONDecodeError as error:
        raise JsonFault(f"is not JSON: {error.msg}", error.lineno, error.colno) from None
    except RecursionError:
        raise JsonFault("is nested too deeply") from None


def raise_if_any(batch: str, problems: Sequence[Problem]) -> None:
    """Raise `InvalidBatch` with all `problems`, if there are any."""
    if problems:
        raise InvalidBatch(batch, problems)


def _integer(digits: str) -> int:
    # Python refuses to convert integers of thousands of digits, with a ValueError of its own.
    return _sound(digits, int(digits) if len(digits) <= len(str(-(2**64))) else 2**64)


def _finite(digits: str) -> float:
    return _sound(digits, float(digits))


def _sound(digits: str, number: N) -> N:
    fault = cell_fault(number)
    if fault:
        raise JsonFault(f"{shown(digits)} {fault}")
    return number


def _refuse(word: str) -> float:
    raise JsonFault(f"{word} is not JSON")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise JsonFault(f"the key {shown(key)} stands twice in one object")
            seen.add(key)
    return result
