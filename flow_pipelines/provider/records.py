"""Typed results of a provider's calls, lenient where nothing depends on a value.

A provider that adds or changes a field must not cost a picture that was paid for. So a field that
only informs is None where it cannot be read, a field that everything depends on fails the whole
answer as `unexpected`, and fields that we do not know are kept in `model_extra`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError

from flow_pipelines.model import json_values
from flow_pipelines.provider.answers import unexpected
from flow_pipelines.provider.calls import ApiAnswer, ApiRequest


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _number(value: Any) -> float | None:
    found = json_values.amount(value)
    return None if found is None else float(found)


def _listed(value: Any) -> tuple[Mapping[str, Any], ...]:
    found = value if isinstance(value, list) else []
    return tuple(item for item in found if isinstance(item, dict))


def _texts(value: Any) -> tuple[str, ...]:
    found = value if isinstance(value, list) else []
    return tuple(item for item in found if isinstance(item, str))


def _is_identifier(value: str) -> str:
    if json_values.identifier(value) is None:
        raise ValueError("no usable id")
    return value


Identifier = Annotated[str, AfterValidator(_is_identifier)]
"""Required: letters, digits, `_` and `-` only, so that it can be a part of a path."""
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
Objects = Annotated[tuple[Mapping[str, Any], ...], BeforeValidator(_listed)]
"""The objects of a list, as they are; whatever else is in it is left out."""


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


R = TypeVar("R", bound=Record)


def read_record(
    kind: type[R],
    provider: str,
    request: ApiRequest,
    answer: ApiAnswer,
    document: Mapping[str, Any],
) -> R:
    """Read `document`, which came in `answer`, as a `kind`.

    Raises: UnexpectedAnswer, naming the field that everything depends on and that is missing or
    unusable; SubmitOutcomeUnknown instead where `request` may have bought something.
    """
    try:
        return kind.model_validate(document)
    except (ValidationError, RecursionError) as error:
        fields = _fields(error)
    # Outside the `except`: pydantic's own error holds the values, links among them.
    raise unexpected(
        provider, request, answer, f"a {kind.__name__} with missing or unusable {fields}"
    )


def _fields(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "contents"
    found = error.errors(include_url=False, include_context=False, include_input=False)
    names = dict.fromkeys(".".join(str(part) for part in one["loc"]) for one in found)
    return ", ".join(list(names)[:5])[:200]
