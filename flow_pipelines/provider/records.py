"""Typed results of a provider's calls, lenient where nothing depends on a value.

A provider that adds or changes a field must not cost a picture that was paid for. So a field that
only informs is None where it cannot be read, a field that everything depends on fails the whole
answer as `unexpected`, and fields that we do not know are kept in `model_extra`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

from flow_pipelines.model import json_values

_LONGEST_STATUS = 100


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    amount = json_values.amount(value)
    return None if amount is None else float(amount)


def _texts(value: Any) -> tuple[str, ...]:
    items = value if isinstance(value, list) else []
    return tuple(item for item in items if isinstance(item, str))


def every_object(value: Any) -> tuple[Mapping[str, Any], ...]:
    """Return the objects of a list, with an empty one in the place of whatever is none.

    Left out, an output that cannot be read would be lost without a word. None and empty
    values count as an empty list. Raises: ValueError, for anything else.
    """
    if value and not isinstance(value, list):
        raise ValueError("not a list")
    return tuple(json_values.members(item) for item in value or ())


def _short(value: str) -> str:
    if not value:
        raise ValueError("empty")
    return value[:_LONGEST_STATUS]


def _is_identifier(value: str) -> str:
    if json_values.identifier(value) is None:
        raise ValueError("no usable id")
    return value


Identifier = Annotated[str, AfterValidator(_is_identifier)]
"""Required: letters, digits, `_` and `-` only, so that it can be a part of a path."""
MaybeIdentifier = Annotated[str | None, BeforeValidator(json_values.identifier)]
Status = Annotated[str, AfterValidator(_short)]
"""Required: a provider's word for the state of a run, shortened."""
MaybeProse = Annotated[str | None, BeforeValidator(json_values.prose)]
"""A value of unknown shape as text for people: shortened, secrets masked."""
MaybeText = Annotated[str | None, BeforeValidator(json_values.text)]
MaybeFlag = Annotated[bool | None, BeforeValidator(_flag)]
MaybeCount = Annotated[int | None, BeforeValidator(json_values.count)]
"""A whole number from 0 on."""
MaybeNumber = Annotated[float | None, BeforeValidator(_number)]
MaybeAmount = Annotated[Decimal | None, BeforeValidator(json_values.amount)]
"""Money from 0 on, exact as written."""
MaybeMoment = Annotated[datetime | None, BeforeValidator(json_values.moment)]
"""ISO 8601 with an offset."""
MaybeEpochMs = Annotated[datetime | None, BeforeValidator(json_values.epoch_ms)]
"""Milliseconds since 1970."""
Texts = Annotated[tuple[str, ...], BeforeValidator(_texts)]
"""The texts of a list; whatever else is in it is left out."""


class Record(BaseModel):
    """What a provider tells of one thing; its fields that we do not know are in `model_extra`."""

    # Strict: a type that only looks convertible is not what the provider documents.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True, populate_by_name=True)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Show known fields only: what we do not know may be a link or a secret."""
        known = type(self).model_fields
        for name, field in known.items():
            if field.repr:
                yield name, getattr(self, name)
