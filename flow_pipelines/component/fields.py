"""Types of the fields of a `defs.yaml`; raw where a person's text must arrive as written."""

from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Any, Literal

import dagster as dg
from dagster.components.resolved.core_models import (
    DailyPartitionsDefinitionModel,
    HourlyPartitionsDefinitionModel,
    StaticPartitionsDefinitionModel,
    TimeWindowPartitionsDefinitionModel,
    WeeklyPartitionsDefinitionModel,
    resolve_partitions_def,
)

if TYPE_CHECKING:
    from flow_pipelines.model import TableFormat


class UpstreamTable(dg.Model):
    """A prompt table that an asset gives."""

    asset: str
    """Its key, parts separated by slashes."""


class TableFile(dg.Model):
    """A prompt table in a file, with what the file itself does not tell."""

    path: str
    """Relative to this file, or s3://; may contain {partition_key}."""
    delimiter: str | None = None
    """Between cells; default: told from the header line."""
    encoding: str | None = None
    """Default: utf-8."""
    comment: str | None = None
    """Lines that begin so are left out."""


def table_of(
    written: "str | UpstreamTable | TableFile",
) -> "tuple[str | None, str | None, TableFormat]":
    """Return the file, or else the asset, that a prompt table comes from, and its format."""
    from flow_pipelines.model import TableFormat

    if isinstance(written, UpstreamTable):
        return None, written.asset, TableFormat()
    if isinstance(written, str):
        return written, None, TableFormat()
    told = TableFormat(
        delimiter=written.delimiter, encoding=written.encoding, comment=written.comment
    )
    return written.path, None, told


def _raw(_context: dg.ResolutionContext, value: Any) -> Any:
    return value


def columns_that_may_be_empty(written: str | Sequence[str]) -> Collection[str] | None:
    """Return what `empty_cells` means for a batch's settings; None: every column may be."""
    if isinstance(written, str):
        return None if written == "allow" else ()
    return tuple(written)


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
    str | UpstreamTable | TableFile,
    dg.Resolver(
        _raw,
        model_field_type=str | UpstreamTable | TableFile,
        description=(
            "Prompt table: .csv, .tsv, .txt (a prompt a line), .jsonl, .parquet or .xlsx, relative "
            "to this file or s3://; may contain {partition_key}, and end in .gz. Where the file "
            "does not tell: {path, delimiter, encoding, comment}. Or {asset: some/key}. Taken as "
            "written."
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

EmptyCells = Annotated[
    Literal["refuse", "allow"] | Sequence[str],
    dg.Resolver(
        _raw,
        model_field_type=Literal["refuse", "allow"] | list[str],
        description=(
            "Whether a parameter may use an empty cell: refuse, allow, or the columns that may be "
            "empty."
        ),
        examples=["refuse", ["negative_prompt"]],
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
