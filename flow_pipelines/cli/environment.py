"""The ledger and the bucket that a command works with: the environment's, as in Dagster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import SqlRunLedger, open_ledger, schema_facts, upgrade
from flow_pipelines.ledger.connect import BUSY_SECONDS
from flow_pipelines.model.errors import ConfigurationError, FlowPipelinesError, WrongLedger

VARIABLE = "FLOW_PIPELINES_LEDGER_URL"


def ledger_url() -> str:
    """Give the URL that the resources would use; where it is set, Dagster is not imported.

    Raises: ConfigurationError.
    """
    url = os.environ.get(VARIABLE)
    if url:
        return url
    from flow_pipelines.resources.run_ledger import default_ledger_url

    return default_ledger_url()


def open_existing_ledger(*, busy_seconds: float = BUSY_SECONDS) -> SqlRunLedger:
    """Open the ledger. Raises: ConfigurationError, rather than create one where none is."""
    url = ledger_url()
    file = sqlite_file(url)
    if file is not None and not file.exists():
        message = f"There is no ledger at {file} (from {VARIABLE} or DAGSTER_HOME)."
        raise ConfigurationError(message)
    return open_ledger(url, SystemClock(), busy_seconds=busy_seconds)


@contextmanager
def ledger_as_it_is() -> Iterator[SqlRunLedger | None]:
    """Open the ledger for a look, which neither makes nor upgrades it; None where it cannot be."""
    ledger: SqlRunLedger | None = None
    with suppress(FlowPipelinesError):
        if _is_current(ledger_url()):
            ledger = open_existing_ledger()
    try:
        yield ledger
    finally:
        if ledger is not None:
            ledger.close()


def _is_current(url: str) -> bool:
    file = sqlite_file(url)
    if file is not None and not file.exists():
        return False
    facts = schema_facts(url)
    return facts.current == facts.newest


def sqlite_file(url: str) -> Path | None:
    """Give the file of a SQLite URL; None for another database, or for what is no URL."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        return None
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database)


def upgrade_ledger() -> str:
    """Create or upgrade the ledger; say what it is now."""
    url = ledger_url()
    revision = upgrade(url)
    ledger_id = open_ledger(url, SystemClock()).ledger_id
    return f"Ledger {ledger_id} at {make_url(url)!r} has schema {revision}."


def adopt_batch(batch: str, *, sure: bool) -> str:
    """Make this ledger the owner of a batch in the bucket; say what was done.

    Raises: ConfigurationError, WrongLedger unless `sure`.
    """
    from flow_pipelines.resources.image_store import ImageStoreResource
    from flow_pipelines.storage.receipts import adopt_owner, read_owner

    ledger = open_existing_ledger()
    store = ImageStoreResource().get_store()
    store.check()
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
