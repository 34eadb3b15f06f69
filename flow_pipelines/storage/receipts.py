"""The bucket's side of the rule that one ledger buys for a batch: who owns it, what was begun.

A lost or wrong ledger knows of no purchase and would make them all again. The bucket remembers
the owner of each batch, and each night that somebody began to buy; `storage.journal` has the rest.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipelines.model.errors import StorageError, WrongLedger
from flow_pipelines.model.submission import Night
from flow_pipelines.storage.contract import ImageStore

_OWNER = "_ledger.json"
_MARKER = "_receipts.json"
_MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class OwnerNote:
    """Who buys for a batch, says its folder."""

    ledger_id: str
    earlier_places: tuple[str, ...] = ()
    """`s3://bucket/prefix` of where it was bought before, or in between."""


def read_owner(store: ImageStore, batch: str) -> OwnerNote | None:
    """Return which ledger owns a batch; None: nobody ever bought for it.

    Raises: WrongLedger, when the note is there and cannot be read: nobody may buy then.
    """
    key = store.key(batch, _OWNER)
    content = store.get(key, max_bytes=_MAX_BYTES)
    if content is None:
        return None
    try:
        document = json.loads(content)
        ledger_id, places = document["ledger_id"], document.get("earlier_places", [])
    except (ValueError, KeyError, TypeError, AttributeError):
        ledger_id, places = None, []
    if not isinstance(ledger_id, str) or not ledger_id or not isinstance(places, list):
        raise WrongLedger(
            f"{store.uri(key)} does not say which ledger owns batch {batch!r}. If this ledger "
            f"is the right one, `flow-pipelines ledger adopt` writes it anew."
        )
    return OwnerNote(ledger_id, tuple(str(place) for place in places))


def claim_owner(
    store: ImageStore, batch: str, ledger_id: str, places: Sequence[str] = ()
) -> OwnerNote:
    """Make a ledger the owner of a batch that has none. Safe to repeat.

    `places` are others where this ledger bought for it: the note names them from now on.
    Raises: WrongLedger, when another ledger owns it.
    """
    note = read_owner(store, batch)
    if note is None:
        # Of two ledgers at the same instant one gets through; both read which one it was.
        store.create_json(store.key(batch, _OWNER), _document(OwnerNote(ledger_id, tuple(places))))
        note = read_owner(store, batch)
    if note is None or note.ledger_id != ledger_id:
        raise _wrong_ledger(store, batch, note, ledger_id)
    if set(places) <= set(note.earlier_places):
        return note
    return adopt_owner(store, batch, ledger_id, places)


def refuse_other_ledger(store: ImageStore, batch: str, ledger_id: str) -> None:
    """Raise WrongLedger for a batch that another ledger owns; one without an owner passes."""
    note = read_owner(store, batch)
    if note is not None and note.ledger_id != ledger_id:
        raise _wrong_ledger(store, batch, note, ledger_id)


def _wrong_ledger(
    store: ImageStore, batch: str, note: OwnerNote | None, ledger_id: str
) -> WrongLedger:
    return WrongLedger(
        f"Batch {batch!r} in {store.uri(store.key(batch, ''))} belongs to ledger {_short(note)}; "
        f"the ledger at hand is {ledger_id[:8]} and does not know what was bought. Nothing was "
        "done. Point FLOW_PIPELINES_LEDGER_URL to the batch's ledger. If that one is lost, "
        "`flow-pipelines ledger adopt` hands the batch over."
    )


def adopt_owner(
    store: ImageStore, batch: str, ledger_id: str, places: Sequence[str] = ()
) -> OwnerNote:
    """Make a ledger the owner of a batch, whoever owned it: a person's decision.

    The places that the note names stay, and `places` are added.
    """
    try:
        before = read_owner(store, batch)
    except WrongLedger:
        before = None
    known = before.earlier_places if before is not None else ()
    note = OwnerNote(ledger_id, tuple(dict.fromkeys([*known, *places])))
    content = json.dumps(_document(note)).encode()
    store.put(store.key(batch, _OWNER), content, media_type="application/json")
    return note


def _document(note: OwnerNote) -> dict[str, object]:
    places = {"earlier_places": list(note.earlier_places)} if note.earlier_places else {}
    return {"ledger_id": note.ledger_id, **places}


def mark_night(
    store: ImageStore, night: Night, *, partition_path: str, ledger_id: str, at: datetime
) -> None:
    """Note that a night is being bought, before its first POST. Safe to repeat.

    `partition_path` is the partition's folder, already safe in a path; `at` is UTC.

    Raises: StorageError, when the note is not there afterwards.
    """
    key = store.key(night.batch, partition_path, _MARKER)
    document = {
        "partition_key": night.partition_key,
        "ledger_id": ledger_id,
        "marked_at": at.isoformat(),
    }
    if not store.create_json(key, document) and store.head(key) is None:
        raise StorageError(f"{store.uri(key)} could not be kept; nothing was submitted.")


def marked_at(store: ImageStore, folder: str) -> datetime | None:
    """Return when the night of this folder, a full key, was first marked there; None: never."""
    content = store.get(f"{folder}/{_MARKER}", max_bytes=_MAX_BYTES)
    try:
        return None if content is None else datetime.fromisoformat(json.loads(content)["marked_at"])
    except (ValueError, KeyError, TypeError):
        return None


def night_has_receipts(store: ImageStore, batch: str, partition_path: str) -> bool:
    """Return whether anything in the bucket shows that a night was bought, or begun."""
    folder = store.key(batch, partition_path)
    if any(store.list_keys(f"{folder}/images/", limit=1)):
        return True
    return any(store.head(f"{folder}/{name}") is not None for name in (_MARKER, "runs.parquet"))


@dataclass(frozen=True)
class BoughtRun:
    """A provider run, says a night's `runs.parquet`."""

    provider_run_id: str
    submitted_at: datetime | None
    """When it was accepted; of one attached later, as the provider tells, else when it was sent."""


def bought_runs(store: ImageStore, batch: str, partition_path: str) -> Mapping[str, BoughtRun]:
    """Return the provider run of each submission that has one, says the night's `runs.parquet`.

    Raises: StorageError, also when the table is there and cannot be read.
    """
    key = store.key(batch, partition_path, "runs.parquet")
    content = store.get(key)
    if content is None:
        return {}
    try:
        columns = ["submission_key", "provider_run_id", "submitted_at"]
        rows = pq.read_table(io.BytesIO(content), columns=columns).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StorageError(
            f"{store.uri(key)} cannot be read ({type(error).__name__}), so nobody knows what was "
            "bought; nothing was submitted. Move it away to have it written anew."
        ) from error
    return {
        row["submission_key"]: BoughtRun(row["provider_run_id"], row["submitted_at"])
        for row in rows
        if row["provider_run_id"] is not None
    }


def _short(note: OwnerNote | None) -> str:
    return "nobody" if note is None else note.ledger_id[:8]
