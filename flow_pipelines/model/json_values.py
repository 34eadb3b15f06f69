"""Values of JSON that somebody else wrote: what they are, or None where they are something else.

Imported as `read`, so that a provider's file says `read.text(document.get("name"))`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.redaction import redact

_IDENTIFIER = re.compile(r"[A-Za-z0-9_-]{1,200}")
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,99}")
_COUNTLESS = 2**63
_LIST_NAMES = ("data", "items")
_MESSAGES = ("message", "error_message", "detail")
_CODES = ("error", "code", "type")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOO_MUCH = Decimal(10) ** 12
"""Of money: what ledger and tables keep as `Decimal(18, 6)` ends here."""


def text(value: Any) -> str | None:
    """Return a text that is not empty."""
    return value if isinstance(value, str) and value else None


def code(value: Any) -> str | None:
    """Return a text that looks like a machine's word, not like a sentence."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def identifier(value: Any) -> str | None:
    """Return an id that is safe as one part of a path: letters, digits, `_` and `-`."""
    return value if isinstance(value, str) and _IDENTIFIER.fullmatch(value) else None


def path_part(value: Any) -> str:
    """Return an id as a part of a path. Raises: ConfigurationError, for what could be two parts."""
    part = identifier(value)
    if part is None:
        raise ConfigurationError(f"{value!r} is not an id: letters, digits, - and _ only")
    return part


def count(value: Any) -> int | None:
    """Return a whole number from 0 on, as far as databases count; true is none."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value < _COUNTLESS else None


def amount(value: Any) -> Decimal | None:
    """Return an amount of money from 0 on, as written in JSON (exact up to 15 digits)."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        parsed = Decimal(str(value))
    except (InvalidOperation, ValueError):
        return None
    return parsed if parsed.is_finite() and 0 <= parsed < _TOO_MUCH else None


def epoch_ms(value: Any) -> datetime | None:
    """Read milliseconds since 1970."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return _EPOCH + timedelta(milliseconds=value)
    except (OverflowError, ValueError):
        return None


def moment(value: Any) -> datetime | None:
    """Read ISO 8601 with an offset; without one it could be any moment of a day."""
    try:
        parsed = datetime.fromisoformat(value)
    except (ValueError, TypeError):
        return None
    return parsed if parsed.tzinfo else None


def members(value: Any) -> Mapping[str, Any]:
    """Return an object's members; anything but an object has none."""
    return value if isinstance(value, dict) else {}


def objects(document: Any, *names: str) -> Sequence[Mapping[str, Any]] | None:
    """Find a list of objects: bare, or under one of `names`, `data` or `items`."""
    if isinstance(document, dict):
        lists = (document.get(name) for name in (*names, *_LIST_NAMES))
        document = next((found for found in lists if isinstance(found, list)), None)
    if not isinstance(document, list):
        return None
    return [item for item in document if isinstance(item, dict)]


def prose(value: Any, characters: int = 2000) -> str | None:
    """Return a value of unknown shape as text for people: shortened, secrets masked.

    What is not plainly a message, with its code, stays as JSON: nothing that was said is left out.
    """
    if not value:
        return None
    parts = value if isinstance(value, list) else [value]
    return redact("; ".join(_said(part) for part in parts))[:characters]


def _said(part: Any) -> str:
    if isinstance(part, str):
        return part
    named = {name: part.get(name) for name in _MESSAGES + _CODES} if isinstance(part, dict) else {}
    words = [word for word in named.values() if isinstance(word, str) and word]
    if not words or len(words) < len(part):
        return json.dumps(part)
    message, *codes = words
    return f"{message} ({', '.join(codes)})" if codes else message
