"""`<name>/images`: every output of a partition in the bucket, and the two tables that say so."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import dagster as dg

from flow_pipelines.asset_checks import check_results
from flow_pipelines.assets.batch import (
    Batch,
    closed_metadata,
    night_of,
    place_of,
    ports_of,
    row_count,
    selected_with,
)
from flow_pipelines.assets.cancellation import canceled_with_run
from flow_pipelines.assets.columns import shown_table
from flow_pipelines.assets.heartbeat import heartbeat
from flow_pipelines.assets.preview import preview
from flow_pipelines.assets.versions import stored_version
from flow_pipelines.batches.keys import path_safe
from flow_pipelines.lifecycle import (
    NightSummary,
    Ports,
    collect_lease,
    collect_night,
    held_lease,
    open_night,
    serve_night,
    summarize_night,
    wait_for_night,
)
from flow_pipelines.lifecycle.archive import ArchivedNight
from flow_pipelines.lifecycle.closed_nights import closed_night
from flow_pipelines.lifecycle.verify import MissingFiles, missing_files
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.resources.failures import failures

SHOWN_FAILURES = 50
SHOWN_CHARACTERS = 300
"""Of a cell: prompts and errors may be long, and every materialization keeps its copy."""
LEASE_WAIT_SECONDS = 300.0
# What a person looks for comes first: on a narrow screen the rest is cut off.
_FAILURE_COLUMNS = (
    "prompt_id",
    "error_message",
    "prompt",
    "state",
    "error_code",
    "copy",
    "provider_run_id",
    "submission_key",
)


# Dagster refuses the generic form beside checks.
def collect(batch: Batch, context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Wait for what is in flight, or poll what is due, then store what there is of a night."""
    with failures(), heartbeat(context, night := night_of(batch, context)):
        ports = ports_of(batch, context)
        closed = closed_night(night, ports)
        if closed is not None:
            return _result(batch, summarize_night(ports.ledger, night, closed), closed, ports)
        wait = selected_with(context, batch.key("provider_runs"))
        seconds = batch.settings.inline_wait_seconds if wait else 0.0
        with canceled_with_run(context, night, ports) if wait else nullcontext():
            open_night(night, ports, owner=context.run.run_id)
            _refuse_unsent(night, ports)
            summary = _collect(night, ports, context.run.run_id, seconds)
        return _result(batch, summary, None, ports)


def _result(
    batch: Batch, summary: NightSummary, closed: ArchivedNight | None, ports: Ports
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """Report a night as it is stored; nothing of a closed one was done, and nothing changed."""
    night, without = summary.night, failures_table(summary.failures)
    absent = MissingFiles() if closed else missing_files(night, ports.ledger, ports.store)
    rows = closed or ports.ledger
    return dg.MaterializeResult(
        metadata={
            **_metadata(summary, ports, without),
            **row_count(batch, summary.stored),
            **place_of(batch, ports.store),
            **closed_metadata(closed),
        },
        data_version=stored_version(rows.each_with_outputs(night)),
        check_results=check_results(batch.key("images"), batch.settings, summary, without, absent),
    )


def _refuse_unsent(night: Night, ports: Ports) -> None:
    """Raise ConfigurationError for a night that nobody asked to buy: there is no picture.

    Another host's ledger, or a step that was left out, would else end green and without images. Of
    a night that was stopped before its first row was accepted, the checks say why.
    """
    record = ports.ledger.night(night)
    if record is not None and (record.asks or set(record.counts) != {SubmissionState.PLANNED}):
        return
    known = "this ledger knows nothing of it" if record is None else "nothing of it was sent yet"
    raise ConfigurationError(
        f"{night}: {known}, so there is nothing to collect. Materialize {night.batch}/prompts and "
        f"{night.batch}/provider_runs first"
    )


def _collect(night: Night, ports: Ports, owner: str, wait_seconds: float) -> NightSummary:
    """Wait for what is in flight, or poll what is due, then store.

    While it waits, it holds the night's collect lease.
    """
    if wait_seconds <= 0:
        for problem in serve_night(ports, night, owner=owner).errors:
            ports.log(f"{night}: {problem}")
        return collect_night(night, ports, owner=owner)
    lease = collect_lease(night)
    with held_lease(ports, lease, owner, wait_seconds=LEASE_WAIT_SECONDS):
        wait_for_night(ports, night, owner=owner, wait_seconds=wait_seconds)
        return collect_night(night, ports, owner=owner)


def _metadata(
    summary: NightSummary, ports: Ports, without: dg.TableMetadataValue
) -> dict[str, Any]:
    """Return what the UI lists in this order: what is looked at first, then the numbers."""
    night, store = summary.night, ports.store
    folder = store.key(night.batch, path_safe(night.partition_key))
    return {
        "preview": dg.MetadataValue.md(preview(summary, store)),
        "failures": without,
        **summary.metadata(),
        "manifest": dg.MetadataValue.path(store.uri(f"{folder}/manifest.parquet")),
    }


def failures_table(failures: Sequence[Mapping[str, str]]) -> dg.TableMetadataValue:
    """Return the first rows without a picture; `failed` and its kin have the counts."""
    rows = [
        {name: str(row.get(name, ""))[:SHOWN_CHARACTERS] for name in _FAILURE_COLUMNS}
        for row in failures[:SHOWN_FAILURES]
    ]
    return shown_table(dict.fromkeys(_FAILURE_COLUMNS, "string"), rows)
