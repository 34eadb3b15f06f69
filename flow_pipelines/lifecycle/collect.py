"""From finished provider runs to verified objects in the bucket, and the night's two tables.

Nothing here costs money, and everything can be repeated: an object is never overwritten, and what
the ledger knows to be stored is not fetched again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import NamedTuple

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.ledger.night_pages import PAGE
from flow_pipelines.lifecycle.accounts import by_account
from flow_pipelines.lifecycle.links import needs_links, unsealed_links
from flow_pipelines.lifecycle.noting import Carried, Carrier, note_as_they_end, note_problem
from flow_pipelines.lifecycle.ownership import refuse_old_tables
from flow_pipelines.lifecycle.places import pages_with_places
from flow_pipelines.lifecycle.poll import record_report
from flow_pipelines.lifecycle.ports import Ports, Workplace, collect_lease, held_lease
from flow_pipelines.lifecycle.summary import NightSummary, summarize_night
from flow_pipelines.model import (
    Night,
    Output,
    OutputRef,
    StoredFacts,
    Submission,
    SubmissionState,
)
from flow_pipelines.model.errors import (
    ConfigurationError,
    LedgerError,
    ObjectDiffers,
    OutputRefused,
    ProviderError,
    StorageError,
    TransferError,
)
from flow_pipelines.provider import Download
from flow_pipelines.storage.images import store_name
from flow_pipelines.storage.tables import (
    MANIFEST_SCHEMA,
    RUNS_SCHEMA,
    ParquetFile,
    manifest_table,
    runs_table,
)
from flow_pipelines.storage.transfer import TextDownload, TransferLimits, store_output

TRANSFERS = 6
"""Outputs in transfer at a time: each holds a few MB of memory, or a temporary file."""
TABLE_TRIES = 3
"""Writings of the tables in one collection, where somebody else writes them, too."""
TRIES = 3
"""Downloads of one output in one collection; later collections try again."""
LONGEST_WAIT_SECONDS = 60.0
"""Whoever is told to come back later than this leaves the output to a later collection."""
LIMITS = TransferLimits()
LEASE_WAIT_SECONDS = 300.0
PARQUET = "application/vnd.apache.parquet"
_OF_ONE_OUTPUT = (TransferError, ProviderError, LedgerError, ObjectDiffers)
"""Errors that stop no other output; what else a bucket refuses stops everything."""


class Links(NamedTuple):
    """What opens a run's outputs now, by their id."""

    refs: Mapping[str, OutputRef] = MappingProxyType({})
    why_none: str = "the provider gives no link to it any more"
    """What to say of an output that is not among them."""


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
    """Store what is missing, a page at a time, each with the account that it was bought with."""
    pages = ports.ledger.submission_pages(night, states={SubmissionState.SUCCEEDED}, size=PAGE)
    with ThreadPoolExecutor(TRANSFERS, thread_name_prefix="collect") as pool:
        for page in pages:
            todo = [submission for submission in page if submission.collected_at is None]
            outputs = ports.ledger.outputs_of([one.submission_key for one in todo])
            futures = [
                pool.submit(
                    _collect, account, submission, outputs.get(submission.submission_key, ())
                )
                for account, mine in by_account(ports, todo, ports.log)
                for submission in mine
            ]
            note_as_they_end(ports, night, futures)


def _collect(ports: Ports, submission: Submission, outputs: Sequence[Output]) -> Carried | None:
    """Store one run's outputs; None: not all of them could be, and the ledger knows the others."""
    carrier = Carrier(ports, submission.submission_key)
    try:
        if _carry(ports, submission, outputs, carrier):
            return carrier.whole()
    except BaseException:
        carrier.note_latest()
        raise
    carrier.note_latest()
    return None


def _carry(
    ports: Ports, submission: Submission, outputs: Sequence[Output], carrier: Carrier
) -> bool:
    """Store what is missing of one run; False: something still is.

    A run that ended without any output is asked once more, now and at every later collection: its
    list may have been empty only because we asked early.
    """
    missing = [output for output in outputs if output.stored is None]
    ask = not outputs
    if missing and needs_links(ports):
        missing = _store_by_links_at_hand(ports, submission, missing, carrier)
        ask = bool(missing)
    fresh = _fresh_links(ports, submission) if ask else Links()
    if fresh.refs and not outputs:
        key = submission.submission_key
        missing = list(ports.ledger.outputs_of([key]).get(key, ()))
    stored = [_store(ports, submission, output, fresh, carrier) for output in missing]
    return bool(outputs or stored) and all(stored)


def _store_by_links_at_hand(
    ports: Ports, submission: Submission, missing: Sequence[Output], carrier: Carrier
) -> list[Output]:
    """Store what a poll of before gave links to; give what has to be asked for."""
    recent = _recent_links(ports, submission, missing)
    if recent.refs:
        return [o for o in missing if not _store(ports, submission, o, recent, carrier)]
    kept = unsealed_links(ports, missing)
    return [o for o in missing if not _store_by_kept(ports, submission, o, kept, carrier)]


def _recent_links(ports: Ports, submission: Submission, missing: Sequence[Output]) -> Links:
    """Give the links of a poll of a moment ago, where it gave one for all that is missing."""
    refs = ports.memory.links.get(submission.submission_key, ports.clock.monotonic())
    found = {ref.output_id: ref for ref in refs or ()}
    return Links(found if all(output.output_id in found for output in missing) else {})


def _store_by_kept(
    ports: Ports,
    submission: Submission,
    output: Output,
    kept: dict[str, OutputRef],
    carrier: Carrier,
) -> bool:
    """Try a link that the ledger kept, once; that it has expired is no problem worth a note."""
    ref = kept.get(output.output_id)
    if ref is None:
        return False
    try:
        facts = _transfer(ports, submission, output, ref)
    except _OF_ONE_OUTPUT:
        return False
    return carrier.stored(output, facts)


def _fresh_links(ports: Ports, submission: Submission) -> Links:
    """Poll an ended run once more: no link to what is missing is at hand that opens."""
    if submission.provider_run_id is None:
        return Links()
    workflow = ports.ledger.workflow(submission.workflow_version)
    try:
        report = ports.provider.poll(submission.provider_run_id, workflow)
    except ProviderError as error:
        ports.log(f"{submission.submission_key}: no fresh links: {error}")
        return Links(why_none=f"no fresh link to it: {error}")
    record_report(ports, submission, report, 0.0)
    return Links({ref.output_id: ref for ref in report.outputs})


def _store(
    ports: Ports,
    submission: Submission,
    output: Output,
    links: Links,
    carrier: Carrier,
) -> bool:
    """Store one output; False: it, or the one before it, could not be, and the ledger knows why."""
    ref = links.refs.get(output.output_id)
    if ref is None:
        if needs_links(ports):
            note_problem(ports, output, links.why_none)
            return False
        ref = OutputRef(output_id=output.output_id, kind=output.kind, file_name=output.file_name)
    try:
        facts = _transfer_with_tries(ports, submission, output, ref)
    except _OF_ONE_OUTPUT as error:
        note_problem(ports, output, str(error))
        return False
    return carrier.stored(output, facts)


def _transfer_with_tries(
    ports: Ports, submission: Submission, output: Output, ref: OutputRef
) -> StoredFacts:
    for attempt in range(1, TRIES + 1):
        try:
            return _transfer(ports, submission, output, ref)
        except (OutputRefused, ConfigurationError, StorageError):
            raise
        except (TransferError, ProviderError) as error:
            wait = max(float(attempt), getattr(error, "retry_after_seconds", None) or 0.0)
            if attempt == TRIES or wait > LONGEST_WAIT_SECONDS:
                raise
            ports.clock.sleep(wait)
    raise AssertionError


def _transfer(ports: Ports, submission: Submission, output: Output, ref: OutputRef) -> StoredFacts:
    night = submission.night

    def key(extension: str) -> str:
        name = store_name(
            path_safe(submission.prompt_id),
            submission.copy,
            submission.submission_key,
            output.output_index,
            extension,
        )
        return ports.store.key(night.batch, path_safe(night.partition_key), "images", name)

    with _open(ports, ref) as download:
        return store_output(
            download,
            ports.store,
            key,
            kind=output.kind,
            limits=LIMITS,
        )


def _open(ports: Ports, ref: OutputRef) -> AbstractContextManager[Download]:
    if ref.text is not None:
        return contextlib.nullcontext(TextDownload(ref.text))
    return ports.provider.fetch(ref, max_bytes=LIMITS.max_bytes)


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
    """Give the revision, read before the rows: a change in between is collected again."""
    record = ports.ledger.night(night)
    if record is None:
        message = f"{night} is not in this ledger"
        raise ConfigurationError(message)
    folder = (night.batch, path_safe(night.partition_key))
    store = ports.store
    runs, manifest = ParquetFile(RUNS_SCHEMA), ParquetFile(MANIFEST_SCHEMA)
    for page, outputs in pages_with_places(ports.ledger, store, night):
        runs.add(runs_table(page, outputs))
        manifest.add(manifest_table(page, outputs))
    store.put(store.key(*folder, "runs.parquet"), runs.content(), media_type=PARQUET)
    store.put(store.key(*folder, "manifest.parquet"), manifest.content(), media_type=PARQUET)
    ports.ledger.night_collected(night, record.revision)
    return record.revision
