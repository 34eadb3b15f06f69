"""Refuse to buy, or write tables, where bucket or code location says the batch is not ours.

A ledger that was lost, replaced or restored from an old copy does not know what the bucket knows;
buying that again would pay twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.journal import place_of
from flow_pipelines.lifecycle.journal_comparison import refuse_behind
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.model import Night, NightRecord, SubmissionState
from flow_pipelines.model.errors import ConfigurationError, WrongLedger
from flow_pipelines.storage.receipts import (
    bought_runs,
    claim_owner,
    mark_night,
    night_has_receipts,
    read_owner,
)

_SHOWN = 5


def tell_bucket(night: Night, record: NightRecord, ports: Ports) -> bool:
    """Compare the ledger with the bucket's journal; leave its id there.

    Returns whether the night has a complete journal there. Safe to repeat.

    Raises: WrongLedger, when another ledger owns the batch, or this one does not
    know that the night was bought; LedgerBehind; ConfigurationError, StorageError.
    """
    ports.store.check()
    ledger = ports.ledger
    here = place_of(ports.store)
    elsewhere = [place for place in ledger.places(night.batch) if place != here]
    note = claim_owner(ports.store, night.batch, ledger.ledger_id, elsewhere)
    journaled = refuse_behind(night, ports, note)
    if record.marked_at is None and not journaled:
        _refuse_unknown(night, ports)
    ledger.mark_night(night)
    return journaled


def mark_bucket(night: Night, ports: Ports) -> None:
    """Leave the night's mark in the bucket, once its journal is there: a mark without one would
    bar the night to a copy of the ledger of before, though nothing was bought.

    Raises: StorageError.
    """
    mark_night(
        ports.store,
        night,
        partition_path=path_safe(night.partition_key),
        ledger_id=ports.ledger.ledger_id,
        at=ports.clock.now(),
    )


def refuse_old_tables(night: Night, ports: Workplace) -> None:
    """Refuse to write a night's tables from a ledger that knows less of it than the bucket does.

    The tables would be written over the very evidence. Where another ledger owns the batch, or
    none, the journal says nothing to this one.
    Raises: LedgerBehind, after the import; WrongLedger; StorageError, ConfigurationError.
    """
    note = read_owner(ports.store, night.batch)
    if note is None or note.ledger_id != ports.ledger.ledger_id:
        return
    if refuse_behind(night, ports, note):
        return
    record = ports.ledger.night(night)
    if record is None or record.marked_at is None:
        _refuse_unknown(night, ports)
    else:
        refuse_forgotten(record, ports)


def _refuse_unknown(night: Night, ports: Workplace) -> None:
    """Refuse a night that was bought, says the bucket, and of which this ledger knows nothing."""
    folder = path_safe(night.partition_key)
    if night_has_receipts(ports.store, night.batch, folder) and _forgot(night, ports):
        message = (
            f"{night} was bought before: the bucket has its receipts at "
            f"{ports.store.uri(ports.store.key(night.batch, folder))}, but this "
            "ledger has no submission of it, and no whole journal is there to take it from. Point "
            "FLOW_PIPELINES_LEDGER_URL at the ledger that bought it. Nothing was submitted."
        )
        raise WrongLedger(message)


def _forgot(night: Night, ports: Workplace) -> bool:
    """Check again: somebody may have begun the night since, in this ledger first."""
    record = ports.ledger.night(night)
    return record is None or record.marked_at is None


def refuse_forgotten(record: NightRecord, ports: Workplace) -> None:
    """Refuse to buy what the night's table in the bucket says was bought, though it is planned.

    That is a ledger restored from a copy made in the middle of a night that a version without a
    journal bought: it can only be told for what was collected since.

    Raises: WrongLedger; StorageError.
    """
    if not record.counts.get(SubmissionState.PLANNED):
        return
    night = record.night
    folder = path_safe(night.partition_key)
    bought = bought_runs(ports.store, night.batch, folder).keys()
    forgotten = _planned_of(ports, night, bought) if bought else ()
    if forgotten:
        keys = " ".join(forgotten[:_SHOWN]) + (" …" if len(forgotten) > _SHOWN else "")
        message = (
            f"{night}: {len(forgotten)} of its planned submissions were bought before, says "
            f"{ports.store.uri(ports.store.key(night.batch, folder, 'runs.parquet'))}: this ledger "
            "is an old copy of itself. Nothing was submitted. Point FLOW_PIPELINES_LEDGER_URL at "
            f"the newer one; if it is lost, `flow-pipelines cancel {keys}` leaves them as they are."
        )
        raise WrongLedger(message)


def _planned_of(ports: Workplace, night: Night, keys: AbstractSet[str]) -> Sequence[str]:
    planned = ports.ledger.each_submission(night, states={SubmissionState.PLANNED})
    return [row.submission_key for row in planned if row.submission_key in keys]


def claim_batch(ledger: RunLedger, batch: str, location: str) -> None:
    """Take a batch that no code location has. Safe to repeat; nothing happens without a name.

    Two locations with a batch of one name would buy each other's rows with their own settings and
    poll each other's runs with their own keys. The first that works on it keeps it, until a
    person moves it.

    Raises: ConfigurationError, when the batch belongs to another location.
    """
    if not location:
        return
    owner = ledger.claim_batch(batch, location)
    if owner != location:
        raise ConfigurationError(f"{batch_owner_message(batch, owner, location)}. Nothing was done")


def batch_owner_message(batch: str, owner: str, location: str) -> str:
    """Return whose a batch is and the two ways out."""
    return (
        f"batch {batch!r} belongs to the code location {owner!r} of this ledger, and this is "
        f"{location!r}: rename the batch here, or, if {owner!r} was renamed or no longer has it, "
        f"run `flow-pipelines ledger adopt {batch} --location {location}`"
    )
