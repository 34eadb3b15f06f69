"""Column types, alike on every database: money, times, seeds, JSON, redacted messages."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import BigInteger, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator

from flow_pipelines.redaction import redact

MICRO = Decimal("0.000001")
WORDS_LIMIT = 4000
_COMPACT = json.JSONEncoder(separators=(",", ":"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Return microseconds since 1970, exactly. Raises: ValueError, for a time without a zone."""
    if moment.tzinfo is None:
        raise ValueError("the ledger keeps times with a zone only")
    return (moment - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the UTC-aware time that `to_micros` was given."""
    return _EPOCH + micros * _MICROSECOND


def usd(amount: Decimal) -> Decimal:
    """Return `amount` as the ledger keeps it: micro-USD, half a micro-USD rounded up."""
    return amount.quantize(MICRO, rounding=ROUND_HALF_UP)


class MicroUsd(TypeDecorator[Decimal]):
    """Money as whole micro-USD, so that sums are exact on every database."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, _dialect: Dialect) -> int | None:
        """Write whole micro-USD."""
        return None if value is None else int(usd(value).scaleb(6))

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> Decimal | None:
        """Read USD; a sum may arrive as an integer or as a decimal."""
        return None if value is None else Decimal(value).scaleb(-6)


class Instant(TypeDecorator[datetime]):
    """A time as microseconds since 1970: exact, sortable, never without a zone."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, _dialect: Dialect) -> int | None:
        """Write microseconds since 1970."""
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> datetime | None:
        """Read a UTC-aware time."""
        return None if value is None else from_micros(int(value))


class WholeNumber(TypeDecorator[int]):
    """An integer of any size as text: seeds go up to 2^64−1, beyond a signed BIGINT."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: int | None, _dialect: Dialect) -> str | None:
        """Write the digits."""
        return None if value is None else str(value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> int | None:
        """Read the digits."""
        return None if value is None else int(value)


class JsonText(TypeDecorator[Any]):
    """JSON as ASCII text: integers stay exact and keys keep their order, which JSONB would not."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, _dialect: Dialect) -> str | None:
        """Write JSON."""
        return None if value is None else _COMPACT.encode(value)

    def process_result_value(self, value: Any | None, _dialect: Dialect) -> Any | None:
        """Read JSON."""
        return None if value is None else json.loads(value)


def storable(text: str) -> str:
    """Return `text` without what a database refuses: NUL (PostgreSQL) and lone surrogates."""
    return text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class PlainText(TypeDecorator[str]):
    """Text from outside, kept as it is as far as every database can."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Write storable text."""
        return None if value is None else storable(value)


class Words(TypeDecorator[str]):
    """Text column: truncated, secrets redacted. May contain a provider's message."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, _dialect: Dialect) -> str | None:
        """Write at most `WORDS_LIMIT` characters, redacted before they are cut."""
        return None if value is None else storable(redact(value))[:WORDS_LIMIT]
