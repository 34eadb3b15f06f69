"""Validate a batch before anything runs; problems come with file, line and column."""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import dagster as dg

from flow_pipelines.batches.checks import check_parameters
from flow_pipelines.batches.positions import DefsPath, placed
from flow_pipelines.batches.table_files import KINDS, kind_of
from flow_pipelines.model import BatchSettings, TableFormat, Workflow
from flow_pipelines.model.errors import ConfigurationError, InvalidBatch
from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Download,
    Provider,
    ProviderProfile,
    Purpose,
)
from flow_pipelines.providers import profile, provider_names

NAME = re.compile(r"[a-z0-9_]{1,63}")
RESERVED = frozenset({"cost_report"})
Fault = tuple[DefsPath, str]
"""Path of keys below `attributes`, and what is wrong there."""


def check_batch(
    settings: BatchSettings,
    *,
    partitions_def: dg.PartitionsDefinition[str] | None,
    schedule: str | None,
    owners: Sequence[str] = (),
) -> Workflow | None:
    """Check all that needs neither network nor prompt table. Spends nothing, reads local files.

    Return the workflow, where it is a file here. Raises: InvalidBatch with every problem at once.
    """
    faults = [
        *name_faults(settings.name),
        *_provider_faults(settings),
        *_schedule_faults(schedule, partitions_def),
        *_prompts_faults(settings),
        *_amounts_faults(settings),
        *_owners_faults(owners),
    ]
    problems = placed(settings, faults)
    workflow: Workflow | None = None
    if settings.provider in provider_names():
        try:
            workflow = _local_workflow(settings, profile(settings.provider))
        except InvalidBatch as error:
            problems += error.problems
    if problems:
        raise InvalidBatch(settings.name, problems)
    return workflow


def name_faults(name: str) -> Iterator[Fault]:
    """Return what is wrong with the name of a batch, or of what stands beside batches."""
    if not NAME.fullmatch(name):
        yield ("name",), f"{name!r} is no name of a batch: use a-z, 0-9 and _, 63 at most"
    elif name in provider_names():
        yield ("name",), f"{name!r} is a provider's name; the pool and the folder need another"
    elif name in RESERVED:
        yield ("name",), f"{name!r} is the name of an asset that spans batches"


def _provider_faults(settings: BatchSettings) -> Iterator[Fault]:
    known = provider_names()
    if settings.provider not in known:
        yield ("provider",), f"unknown provider {settings.provider!r}; known: {', '.join(known)}"


def _schedule_faults(
    schedule: str | None, partitions_def: dg.PartitionsDefinition[str] | None
) -> Iterator[Fault]:
    if schedule is None:
        return
    if not isinstance(partitions_def, dg.TimeWindowPartitionsDefinition):
        message = (
            "a schedule needs time partitions (partitions_def: {type: daily, …}): without them "
            "it would buy nothing from the second night on"
        )
        yield ("schedule",), message
    if not _is_cron(schedule):
        yield ("schedule",), f'{schedule!r} is no cron expression such as "0 2 * * *"'


def _is_cron(text: str) -> bool:
    from dagster._utils.schedules import is_valid_cron_schedule

    return is_valid_cron_schedule(text)


def _prompts_faults(settings: BatchSettings) -> Iterator[Fault]:
    if settings.prompts is None:
        key = settings.prompts_asset or ""
        if not all(re.fullmatch(r"[A-Za-z0-9_]+", part) for part in key.split("/")):
            yield ("prompts", "asset"), f"{key!r} is no asset key such as marketing/captions"
        return
    yield from _format_faults(settings.table_format)
    if kind_of(settings.prompts) is None:
        yield ("prompts",), f"{settings.prompts!r} is no {', '.join(KINDS)} file"
    elif _is_local(settings.prompts) and "{partition_key}" not in settings.prompts:
        path = Path(settings.base_dir) / settings.prompts
        if not path.is_file():
            yield ("prompts",), f"{settings.prompts} does not exist beside this file"


def _format_faults(written: TableFormat) -> Iterator[Fault]:
    delimiter = written.delimiter
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n'):
        yield ("prompts", "delimiter"), f"{delimiter!r} is not one character between cells"
    if written.comment is not None and not written.comment.strip():
        yield ("prompts", "comment"), "every line begins so; give a text such as '#'"
    try:
        "".encode(written.encoding or "utf-8")
    except LookupError:
        yield ("prompts", "encoding"), f"{written.encoding!r} is no encoding such as cp1252"


def _amounts_faults(settings: BatchSettings) -> Iterator[Fault]:
    for field in ("budget_usd", "price_usd_per_run"):
        value = getattr(settings, field)
        if value is not None and (not value.is_finite() or value < 0):
            yield (field,), f"must be an amount of USD, not {value}"


def _owners_faults(owners: Sequence[str]) -> Iterator[Fault]:
    from dagster._core.definitions.utils import is_valid_owner

    for owner in owners:
        if not is_valid_owner(owner):
            yield ("owners",), f"{owner!r} is neither an e-mail address nor team:name"


def _local_workflow(settings: BatchSettings, provider: ProviderProfile) -> Workflow | None:
    """Read a workflow that is a file here; others are read when the batch runs.

    Check the parameters against it, or as far as they can be without it. Raises: InvalidBatch.
    """
    workflow: Workflow | None = None
    if provider.capabilities.workflow_is_file and _is_local(settings.workflow):
        try:
            workflow = _offline(provider).read_workflow(settings.workflow, _reader(settings))
        except ConfigurationError as error:
            problem = placed(settings, [(("workflow",), str(error))])
            raise InvalidBatch(settings.name, problem) from None
    cached = provider.capabilities.cached_when_identical and workflow is not None
    problems = check_parameters(
        settings, workflow or unknown_workflow(settings), cached_when_identical=cached
    )
    if problems:
        raise InvalidBatch(settings.name, problems)
    return workflow


def unknown_workflow(settings: BatchSettings) -> Workflow:
    """Stand in for a workflow that only the provider knows: it takes any parameter."""
    return Workflow(reference=settings.workflow, version="", body={}, closed=False)


def _offline(provider: ProviderProfile) -> Provider:
    return provider.connect(_NoTransport(), **provider.urls)


class _NoTransport:
    """A transport for what needs none: reading a file's graph."""

    def send(self, request: ApiRequest) -> ApiAnswer:
        """Refuse. Raises: ConfigurationError."""
        raise ConfigurationError(f"{request.operation} needs the provider, at run time only")

    def take_turn(self, purpose: Purpose) -> None:
        """Refuse. Raises: ConfigurationError."""
        raise ConfigurationError(f"a turn to {purpose} needs the provider, at run time only")

    def open(self, request: ApiRequest, *, max_bytes: int) -> AbstractContextManager[Download]:
        """Refuse. Raises: ConfigurationError."""
        del max_bytes
        raise ConfigurationError(f"{request.operation} needs the provider, at run time only")


def _reader(settings: BatchSettings) -> Callable[[str], bytes]:
    def read(reference: str) -> bytes:
        try:
            return (Path(settings.base_dir) / reference).read_bytes()
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigurationError(f"the workflow {reference} cannot be read: {why}") from error

    return read


def _is_local(reference: str) -> bool:
    return not reference.startswith("s3://")
