"""Store the outputs of finished provider runs in the bucket, and write the night's two tables.

Nothing here costs money, and everything can be repeated: an object is never overwritten, and what
the ledger knows to be stored is not fetched again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.ledger.contract import PAGE
from flow_pipelines.lifecycle.accounts import by_account
from flow_pipelines.lifecycle.closed_nights import refuse_closed
from flow_pipelines.lifecycle.file_locations import pages_with_locations
from flow_pipelines.lifecycle.links import as_known, needs_links, unsealed_links
from flow_pipelines.lifecycle.output_records import CompletedRun, PendingWrite, record_completed
from flow_pipelines.lifecycle.ownership import refuse_old_tables
from flow_pipelines.lifecycle.poll import record_report
from flow_pipelines.lifecycle.ports import Workplace, collect_lease, held_lease
from flow_pipelines.lifecycle.summary import NightSummary, summarize_night
from flow_pipelines.lifecycle.transfers import (
    CollectedRun,
    Links,
    replace_damaged,
    store_once,
    store_one,
)
from flow_pipelines.model import Night, Output, Submission, SubmissionState
from flow_pipelines.model.errors import ConfigurationError, ProviderError
from flow_pipelines.model.output import names_nothing_else
from flow_pipelines.storage.tables import (
    MANIFEST_SCHEMA,
    PARQUET,
    RUNS_SCHEMA,
    ParquetFile,
    manifest_table,
    runs_table,
)

TRANSFERS = 6
"""Outputs in transfer at a time: each holds a few MB of memory, or a temporary file."""
TABLE_TRIES = 3
"""Writings of the tables in one collection, where somebody else writes them, too."""
LEASE_WAIT_SECONDS = 300.0


def collect_night(night: Night, ports: Workplace, *, owner: str) -> NightSummary:
    """Store every output of a night's finished runs and write `runs.parquet`, `manifest.parquet`.

    An output that cannot be stored is noted with its reason and does not stop the others; a
    bucket that refuses stops everything, after which the next collection goes on from there.

    Raises: LeaseLost, when another run keeps collecting this night; StorageError,
    ConfigurationError; TransferError only ever lands in the ledger.
    """
    with held_lease(ports, collect_lease(night), owner, wait_seconds=LEASE_WAIT_SECONDS):
        refuse_old_tables(night, ports)
        _store_outputs(night, ports)
        return write_tables(night, ports)


def _store_outputs(night: Night, ports: Workplace) -> None:
    """Store what is missing, and better copies of what is damaged, page by page.

    Each run's outputs are fetched with the account that it was bought with.
    """
    pages = ports.ledger.submission_pages(night, states={SubmissionState.SUCCEEDED}, size=PAGE)
    with ThreadPoolExecutor(TRANSFERS, thread_name_prefix="collect") as pool:
        for page in pages:
            futures = [pool.submit(_collect, run) for run in _runs_to_collect(ports, page)]
            record_completed(ports, night, futures)


def _runs_to_collect(ports: Workplace, page: Sequence[Submission]) -> Iterator[CollectedRun]:
    outputs = ports.ledger.outputs_of([submission.submission_key for submission in page])
    unfinished = [row for row in page if _is_open(row, outputs.get(row.submission_key, ()))]
    for account, submissions in by_account(ports, unfinished, ports.log):
        for submission in submissions:
            key = submission.submission_key
            pending = PendingWrite(account, key)
            run = CollectedRun(account, submission, outputs.get(key, ()), pending)
            if submission.collected_at is None or run.missing() or run.damaged():
                yield run


def _is_open(submission: Submission, outputs: Sequence[Output]) -> bool:
    """Return whether anything of a run may be fetched: what is not stored, or damaged."""
    return submission.collected_at is None or any(
        output.stored is None or output.stored.is_damaged for output in outputs
    )


def _collect(run: CollectedRun) -> CompletedRun | None:
    """Store one run's outputs; None: not all of them could be, and the ledger knows the others."""
    try:
        if _store_run(run):
            return run.pending.completed_run()
    except BaseException:
        run.pending.write_latest()
        raise
    run.pending.write_latest()
    return None


def _store_run(run: CollectedRun) -> bool:
    """Store what is missing of one run, and better copies of what is damaged.

    Outputs with lasting ids are fetched by them. Where links open them, those at hand are tried
    first, and the run is polled for fresh ones only for what these leave. False: some output is
    still missing.
    """
    if not run.outputs:
        return _store_late_outputs(run)
    missing, links = run.missing(), Links()
    if needs_links(run.ports):
        missing = _store_by_links_at_hand(run, missing)
        if missing or run.damaged():
            links = _fresh_links(run)
    return _store_all(run, missing, links)


def _store_late_outputs(run: CollectedRun) -> bool:
    """Poll a run that ended without any output once more, now and at every later collection.

    Its list may have been empty only because it was polled early.
    """
    links = _fresh_links(run)
    run = run._replace(outputs=_known(run))
    return bool(run.outputs) and _store_all(run, run.missing(), links)


def _store_all(run: CollectedRun, missing: Sequence[Output], links: Links) -> bool:
    stored = [store_one(run, output, links) for output in missing]
    replace_damaged(run, links)
    return all(stored)


def _store_by_links_at_hand(run: CollectedRun, missing: Sequence[Output]) -> list[Output]:
    """Store what links from earlier polls open; return the outputs that are left.

    Links that a poll gave a moment ago are in memory; older ones are sealed in the ledger.
    """
    recent = _recent_links(run, missing)
    if recent.refs:
        return [output for output in missing if not store_one(run, output, recent)]
    sealed = unsealed_links(run.ports, missing)
    return [
        output for output in missing if not store_once(run, output, sealed.get(output.output_index))
    ]


def _recent_links(run: CollectedRun, missing: Sequence[Output]) -> Links:
    """Return the links of a poll of a moment ago, where it gave one for all that is missing."""
    ports = run.ports
    refs = ports.caches.links.get(run.submission.submission_key, ports.clock.monotonic())
    links = as_known(refs or (), run.outputs)
    return Links(links if all(output.output_index in links for output in missing) else {})


def _fresh_links(run: CollectedRun) -> Links:
    """Poll an ended run for new links: none at hand opens what is missing."""
    ports, submission = run.ports, run.submission
    if submission.provider_run_id is None:
        return Links()
    workflow = ports.workflow(submission.workflow_version)
    try:
        report = ports.provider.poll(submission.provider_run_id, workflow)
    except ProviderError as error:
        ports.log(f"{submission.submission_key}: no fresh links: {error}")
        return Links(why_none=f"no fresh link to it: {error}")
    record_report(ports, submission, report, 0.0)
    links = as_known(report.outputs, _known(run))
    return Links(links, name_all=names_nothing_else(report.outputs, run.outputs))


def _known(run: CollectedRun) -> Sequence[Output]:
    key = run.submission.submission_key
    return run.ports.ledger.outputs_of([key]).get(key, ())


def write_tables(night: Night, ports: Workplace) -> NightSummary:
    """Write the night's two tables from the ledger, and note how far they reach.

    A process that slept past its lease may have put older tables over newer ones, which the
    ledger calls done: it writes them again.
    """
    for _ in range(TABLE_TRIES):
        written = _write_tables_once(night, ports)
        record = ports.ledger.night(night)
        if record is None or record.collected_revision <= written:
            break
    return summarize_night(ports.ledger, night)


def _write_tables_once(night: Night, ports: Workplace) -> int:
    """Return the revision, read before the rows: a change in between is collected again."""
    record = ports.ledger.night(night)
    if record is None:
        message = f"{night} is not in this ledger"
        raise ConfigurationError(message)
    folder = (night.batch, path_safe(night.partition_key))
    store = ports.store
    runs, manifest = ParquetFile(RUNS_SCHEMA), ParquetFile(MANIFEST_SCHEMA)
    for page, outputs in pages_with_locations(ports.ledger, store, night):
        runs.add(runs_table(page, outputs))
        manifest.add(manifest_table(page, outputs))
    refuse_closed(night, ports.ledger)
    store.put(store.key(*folder, "runs.parquet"), runs.content(), media_type=PARQUET)
    store.put(store.key(*folder, "manifest.parquet"), manifest.content(), media_type=PARQUET)
    ports.ledger.night_collected(night, record.revision)
    return record.revision
