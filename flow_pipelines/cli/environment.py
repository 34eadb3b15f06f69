"""The ledger and the bucket that a command works with: the environment's, as in Dagster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger, open_ledger, schema_facts, upgrade
from flow_pipelines.ledger.address import shown
from flow_pipelines.ledger.connect import BUSY_SECONDS
from flow_pipelines.ledger.upgrading import oldest_code
from flow_pipelines.model import Night, NightRecord, Submission
from flow_pipelines.model.errors import (
    ConfigurationError,
    FlowPipelinesError,
    SubmissionNotFound,
    WrongLedger,
)
from flow_pipelines.storage.contract import ImageStore

VARIABLE = "FLOW_PIPELINES_LEDGER_URL"
SHORT_KEY = 8
"""Characters of a submission key that are shown where space is short."""
SHORTEST_KEY = 6
"""Characters that a beginning of one needs: fewer are a slip."""
_SEARCHED = 10_000
"""Submissions, the latest first, among which a shortened key is looked for."""


def ledger_url() -> str:
    """Return the URL that the resources would use; where it is set, Dagster is not imported.

    Raises: ConfigurationError.
    """
    url = os.environ.get(VARIABLE)
    if url:
        return url
    from flow_pipelines.resources.run_ledger import default_ledger_url

    return default_ledger_url()


def open_existing_ledger(
    *, busy_seconds: float = BUSY_SECONDS, upgrade: bool | None = None
) -> RunLedger:
    """Open the ledger. Raises: ConfigurationError, rather than create one where none is."""
    url = ledger_url()
    missing = missing_file(url)
    if missing is not None:
        message = f"There is no ledger at {missing} (from {VARIABLE} or DAGSTER_HOME)."
        raise ConfigurationError(message)
    return open_ledger(url, busy_seconds=busy_seconds, upgrade=upgrade)


@contextmanager
def ledger_as_it_is() -> Iterator[RunLedger | None]:
    """Open the ledger for a look, which neither makes nor upgrades it; None where it cannot be."""
    with ExitStack() as stack:
        ledger: RunLedger | None = None
        with suppress(FlowPipelinesError):
            if _is_current(ledger_url()):
                ledger = stack.enter_context(open_existing_ledger())
        yield ledger


def _is_current(url: str) -> bool:
    if missing_file(url) is not None:
        return False
    return schema_facts(url).serves


def missing_file(url: str) -> Path | None:
    """Return the file of a SQLite URL if it is not there; None for all that may be opened."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    file = Path(parsed.database)
    return None if file.exists() else file


def upgrade_ledger() -> str:
    """Create or upgrade the ledger; say what it is now."""
    url = ledger_url()
    revision = upgrade(url)
    ledger_id = open_ledger(url).ledger_id
    return (
        f"Ledger {ledger_id} at {shown(make_url(url))} has schema {revision}. Releases from schema "
        f"{oldest_code()} on work with it."
    )


@dataclass(frozen=True, kw_only=True)
class LedgerAndBucket:
    """The ledger and the bucket of the environment, for comparing one with the other."""

    ledger: RunLedger
    store: ImageStore
    log: Callable[[str], None]

    @property
    def clock(self) -> Clock:
        """Return the ledger's clock."""
        return self.ledger.clock


def open_bucket() -> ImageStore:
    """Open the bucket, which answers. Raises: ConfigurationError, StorageError."""
    from flow_pipelines.resources.image_store import ImageStoreResource

    store = ImageStoreResource().get_store()
    store.check()
    return store


def open_ledger_and_bucket(log: Callable[[str], None]) -> LedgerAndBucket:
    """Open the ledger, and the bucket. Raises: ConfigurationError, StorageError."""
    store = open_bucket()
    return LedgerAndBucket(ledger=open_existing_ledger(), store=store, log=log)


def restore_batches(batches: Sequence[str], log: Callable[[str], None]) -> Iterator[str]:
    """Take in what the journals of `batches`, or of all of this ledger, know and it does not.

    Returns a line for each night and batch. Raises: WrongLedger, for another ledger's batch.
    """
    from flow_pipelines.lifecycle.journal_comparison import in_words
    from flow_pipelines.lifecycle.journal_scan import compare_batch, own_batches
    from flow_pipelines.storage.receipts import claim_owner

    opened = open_ledger_and_bucket(log)
    notes = [(name, claim_owner(opened.store, name, opened.ledger.ledger_id)) for name in batches]
    for batch, note in notes or own_batches(opened):
        nights = list(compare_batch(opened, batch, note))
        behind = [(night, taken) for night, taken in nights if taken]
        yield from (in_words(night, taken, opened.ledger) for night, taken in behind)
        counts = f"{len(nights)} journal(s) compared, {len(behind)} knew more than the ledger."
        yield f"{batch}: {counts}"


def adopt_batch(batch: str, *, sure: bool) -> str:
    """Make this ledger the owner of a batch in the bucket; say what was done.

    Raises: ConfigurationError, WrongLedger unless `sure`.
    """
    from flow_pipelines.storage.receipts import adopt_owner, read_owner

    opened = open_ledger_and_bucket(lambda _line: None)
    ledger, store = opened.ledger, opened.store
    place = store.uri(store.key(batch, ""))
    try:
        note = read_owner(store, batch)
        owner = None if note is None else note.ledger_id
    except WrongLedger as unreadable:
        owner = str(unreadable)
    if owner == ledger.ledger_id:
        return f"{place} is this ledger's already."
    if not sure:
        message = (
            f"{place} belongs to {owner or 'no ledger yet'}; this ledger is {ledger.ledger_id}. "
            "If that ledger still buys for this batch, nights will be paid twice. "
            "Give --yes to adopt the batch."
        )
        raise WrongLedger(message)
    adopt_owner(store, batch, ledger.ledger_id)
    return f"{place} now belongs to this ledger, {ledger.ledger_id}."


def move_batch(batch: str, location: str) -> str:
    """Make a code location the one that works on a batch; say what was done."""
    ledger = open_existing_ledger()
    before = ledger.batch_locations([batch]).get(batch)
    ledger.move_batch(batch, location)
    return f"Batch {batch} belongs to the code location {location}; before: {before or 'none'}."


def night_record(ledger: RunLedger, night: Night) -> NightRecord:
    """Return what the ledger has of a night. Raises: ConfigurationError, where it has nothing."""
    record = ledger.night(night)
    if record is None:
        raise ConfigurationError(f"{night} is not in this ledger")
    return record


def find_submission(ledger: RunLedger, key: str) -> Submission:
    """Return the submission of a key, or of a beginning of it that fits only one.

    Raises: SubmissionNotFound; ConfigurationError, where several fit.
    """
    try:
        return ledger.submission(key)
    except SubmissionNotFound:
        if len(key) < SHORTEST_KEY:
            raise
    fitting = [one for one in ledger.search(limit=_SEARCHED) if one.submission_key.startswith(key)]
    if len(fitting) > 1:
        raise ConfigurationError(f"{len(fitting)} submissions begin with {key}; give more of it")
    if not fitting:
        raise SubmissionNotFound(
            f"no submission {key} in this ledger; none of its latest {_SEARCHED} begins so"
        )
    return fitting[0]
