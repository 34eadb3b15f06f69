"""Types of the fields of a `defs.yaml`; raw where a person's text must arrive as written."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

import dagster as dg
from dagster.components.resolved.core_models import (
    DailyPartitionsDefinitionModel,
    HourlyPartitionsDefinitionModel,
    StaticPartitionsDefinitionModel,
    TimeWindowPartitionsDefinitionModel,
    WeeklyPartitionsDefinitionModel,
    resolve_partitions_def,
)


class UpstreamTable(dg.Model):
    """A prompt table that an asset gives."""

    asset: str
    """Its key, parts separated by slashes."""


def _raw(_context: dg.ResolutionContext, value: Any) -> Any:
    return value


def _amount(context: dg.ResolutionContext, value: Any) -> Decimal:
    """Read an amount that is written. Raises: ValueError, for nothing: it would mean "no cap"."""
    resolved = context.resolve_value(value)
    if resolved is None or str(resolved).strip() == "":
        raise ValueError(
            f"{value!r} is written and resolves to nothing; give an amount, or leave the line out "
            "if there is to be none. Is an environment variable unset?"
        )
    try:
        # Through the shortest text of the float: 0.1 is meant to be a tenth.
        return Decimal(str(resolved))
    except InvalidOperation:
        raise ValueError(f"{resolved!r} is no amount of USD such as 5.00") from None


RawTable = Annotated[
    str | UpstreamTable,
    dg.Resolver(
        _raw,
        model_field_type=str | UpstreamTable,
        description=(
            "Prompt table: .csv, .jsonl or .parquet, relative to this file or s3://; may contain "
            "{partition_key}. Or {asset: some/key}. Taken as written."
        ),
        examples=["prompts.csv", "s3://bucket/prompts/{partition_key}.jsonl"],
    ),
]

RawParameters = Annotated[
    Mapping[str, Any],
    dg.Resolver(
        _raw,
        model_field_type=dict[str, Any],
        description=(
            "Provider parameter: template over the table's columns, or a literal. {column} is a "
            "column's value, {{ and }} are braces, {file: template} a picture to read. Taken as "
            "written, without Jinja."
        ),
        examples=[{"6::text": "{prompt}", "3::seed": "{seed}", "5::width": 768}],
    ),
]

Amount = Annotated[
    Decimal | None,
    # Dagster keeps what its own injection makes of a template, None as well, from the resolver.
    dg.Resolver(_amount, model_field_type=float | str | None, inject_before_resolve=False),
]

Partitions = Annotated[
    dg.PartitionsDefinition[str] | None,
    dg.Resolver(
        resolve_partitions_def,
        model_field_type=HourlyPartitionsDefinitionModel
        | DailyPartitionsDefinitionModel
        | WeeklyPartitionsDefinitionModel
        | TimeWindowPartitionsDefinitionModel
        | StaticPartitionsDefinitionModel
        | None,
        description="Dagster's own model of partitions; left out: no partitions.",
        examples=[{"type": "daily", "start_date": "2026-11-01", "timezone": "UTC"}],
    ),
]
