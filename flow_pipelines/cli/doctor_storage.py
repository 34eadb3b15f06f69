"""Whether bucket and ledger do what a night asks of them, and the ledger is no older copy."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from sqlalchemy import make_url

from flow_pipelines.cli.doctor_accounts import Skews
from flow_pipelines.cli.environment import (
    LedgerAndBucket,
    ledger_url,
    missing_file,
    open_existing_ledger,
)
from flow_pipelines.cli.findings import Finding, Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger, schema_facts
from flow_pipelines.ledger.address import shown
from flow_pipelines.lifecycle.journal_scan import RECENT, find_behind
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import ConfigurationError, FlowPipelinesError, StorageError
from flow_pipelines.resources import ImageStoreResource
from flow_pipelines.resources.image_store import BUCKET
from flow_pipelines.resources.run_ledger import VARIABLE as LEDGER_URL
from flow_pipelines.storage.contract import ImageStore

_CONTENT = b"Written by `flow-pipelines doctor` to see whether it can be; may be deleted.\n"
_COUNTED = 1000
_JOURNAL_SECONDS = 20.0
"""Longest comparison: a night takes a few requests, and is compared anyway before work on it."""
_PATIENCE_SECONDS = 3.0
"""Wait for a database that is away: a person is looking on."""
_UPGRADE = "`flow-pipelines ledger upgrade`"


def check_bucket(accounts: Accounts, skews: Skews, clock: Clock) -> Iterator[Finding]:
    """Write, read and delete a small object under the prefix."""
    try:
        store = accounts.get("image_store", ImageStoreResource).get_store()
        yield _write_and_read(store)
        skews.note(f"the bucket {store.bucket}", store.server_time(), clock.now())
    except ConfigurationError as error:
        do = f"Set {BUCKET} to a bucket that exists and that this machine's credentials open."
        yield Finding("bucket", Mark.RED, str(error), do)
    except StorageError as error:
        do = "Does the role or key of this machine have s3:ListBucket, GetObject and PutObject?"
        yield Finding("bucket", Mark.RED, str(error), do)


def _write_and_read(store: ImageStore) -> Finding:
    key = store.key("_doctor", f"{uuid.uuid4().hex}.txt")
    store.check()
    store.put(key, _CONTENT, media_type="text/plain")
    if store.get(key) != _CONTENT:
        says = f"{store.uri(key)} does not read back as it was written"
        do = "Is AWS_ENDPOINT_URL_S3 a store that gives back what it took?"
        return Finding("bucket", Mark.RED, says, do)
    place = store.uri(store.key("")).rstrip("/") + "/"
    try:
        store.delete(key)
    except (StorageError, ConfigurationError):
        says = f"{place} can be written and read; nothing may be deleted, which no night does"
        do = f"Nothing, or delete {store.uri(key)} yourself."
        return Finding("bucket", Mark.YELLOW, says, do)
    return Finding("bucket", Mark.GREEN, f"{place} was written, read and cleared")


def check_ledger() -> Iterator[Finding]:
    """Check the ledger: it opens, has this schema, is not paused, has nothing left to a person."""
    try:
        url = ledger_url()
        problem = _schema_problem(url)
        if problem is not None:
            yield problem
            return
        with open_existing_ledger() as ledger:
            yield from _contents(url, ledger)
    except ConfigurationError as error:
        do = f"Set DAGSTER_HOME, or {LEDGER_URL}, to what the machine that runs Dagster has."
        yield Finding("ledger", Mark.RED, str(error), do)
    except FlowPipelinesError as error:
        do = f"Does {LEDGER_URL} lead to the database, and does it let this machine in?"
        yield Finding("ledger", Mark.RED, str(error), do)


def _schema_problem(url: str) -> Finding | None:
    missing = missing_file(url)
    if missing is not None:
        says = f"there is none yet at {missing}"
        do = f"Nothing: the first night makes it; {_UPGRADE} does it now."
        return Finding("ledger", Mark.YELLOW, says, do)
    facts = schema_facts(url, busy_seconds=_PATIENCE_SECONDS)
    if facts.serves:
        return None
    if facts.is_newer:
        says = f"its schema {facts.current} is newer than this release's, {facts.newest}"
        do = "Install the release here that the others use."
        return Finding("ledger", Mark.RED, says, do)
    says = f"its schema is {facts.current or 'empty'}; this release has {facts.newest}"
    says += ", which only adds to it" if facts.only_adds else ""
    do = f"Nothing: the next night upgrades it; {_UPGRADE} does it now."
    return Finding("ledger", Mark.YELLOW, says, do)


def _contents(url: str, ledger: RunLedger) -> Iterator[Finding]:
    says = f"{ledger.ledger_id} at {shown(make_url(url))}, schema current"
    yield Finding("ledger", Mark.GREEN, says)
    pause = ledger.paused()
    if pause is None:
        yield Finding("submitting", Mark.GREEN, "not paused")
    else:
        says = f"paused by {pause.who} since {pause.at:%Y-%m-%d %H:%M} UTC: {pause.why}"
        do = "`flow-pipelines resume`, once that is over."
        yield Finding("submitting", Mark.YELLOW, says, do)
    yield from _second_runs(ledger)
    unresolved = len(ledger.search(state=SubmissionState.UNRESOLVED, limit=_COUNTED))
    if unresolved:
        many = f"{unresolved} or more" if unresolved == _COUNTED else unresolved
        says = f"{many} of unknown outcome, perhaps bought"
        do = "`flow-pipelines runs --state unresolved`, then `flow-pipelines resolve` each."
        yield Finding("submissions", Mark.YELLOW, says, do)


def _second_runs(ledger: RunLedger) -> Iterator[Finding]:
    """Name submissions that have two provider runs until a person has looked into each."""
    second_runs = ledger.unsettled_second_runs(limit=_COUNTED)
    if second_runs:
        first = second_runs[0]
        key, run_id = first.submission_key, first.provider_run_id
        says = (
            f"{len(second_runs)} with a second provider run, such as {key} with {run_id}: "
            "both may be billed"
        )
        do = f"`flow-pipelines resolve {key}` shows it; --settle-second {run_id} says what it was."
        yield Finding("second runs", Mark.RED, says, do)


def check_journal(accounts: Accounts, ledger: RunLedger) -> Iterator[Finding]:
    """Compare the nights of the last days, changing nothing.

    A bucket that cannot be opened is reported by `check_bucket`.
    """
    try:
        store = accounts.get("image_store", ImageStoreResource).get_store()
        store.check()
    except FlowPipelinesError:
        return
    both = LedgerAndBucket(ledger=ledger, store=store, log=lambda _line: None)
    try:
        behind, whole = find_behind(both, seconds=_JOURNAL_SECONDS)
    except FlowPipelinesError as error:
        do = "`flow-pipelines ledger restore` compares all nights, and says which it cannot read."
        yield Finding("journal", Mark.RED, str(error), do)
        return
    for night, count in behind.items():
        says = f"{night}: it names {count} submission(s) that this ledger lacks, an older copy"
        do = "`flow-pipelines ledger restore` takes them in; none of them is bought again."
        yield Finding("journal", Mark.RED, says, do)
    if not behind:
        says = f"the ledger has all that it names of the last {RECENT.days} days"
        if not whole:
            says += f", as far as {_JOURNAL_SECONDS:g} s went"
        yield Finding("journal", Mark.GREEN, says)
