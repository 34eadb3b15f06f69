"""The bucket's side of the rule that one ledger buys for a batch: who owns it, what was begun.

A lost or wrong ledger knows of no purchase and would make them all again. The bucket remembers
the owner of each batch, and each night that somebody began to buy.
"""

from __future__ import annotations

import io
import json
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipelines.model.errors import StorageError, WrongLedger
from flow_pipelines.model.submission import Night
from flow_pipelines.storage.contract import ImageStore

_OWNER = "_ledger.json"
_MARKER = "_receipts.json"
_MAX_BYTES = 64 * 1024


def read_owner(store: ImageStore, batch: str) -> str | None:
    """Give the id of the ledger that owns a batch; None: nobody ever bought for it.

    Raises: WrongLedger, when the note is there and cannot be read: nobody may buy then.
    """
    key = store.key(batch, _OWNER)
    content = store.get(key, max_bytes=_MAX_BYTES)
    if content is None:
        return None
    try:
        ledger_id = json.loads(content)["ledger_id"]
    except (ValueError, KeyError, TypeError):
        ledger_id = None
    if not isinstance(ledger_id, str) or not ledger_id:
        raise WrongLedger(
            f"{store.uri(key)} does not say which ledger owns batch {batch!r}. If this ledger "
            f"is the right one, `flow-pipelines ledger adopt` writes it anew."
        )
    return ledger_id


def claim_owner(store: ImageStore, batch: str, ledger_id: str) -> None:
    """Make a ledger the owner of a batch that has none. Safe to repeat.

    Raises: WrongLedger, when another ledger owns it.
    """
    owner = read_owner(store, batch)
    if owner is None:
        # Of two ledgers at the same instant one gets through; both read which one it was.
        store.create_json(store.key(batch, _OWNER), {"ledger_id": ledger_id})
        owner = read_owner(store, batch)
    if owner != ledger_id:
        place = store.uri(store.key(batch, ""))
        raise WrongLedger(
            f"Batch {batch!r} in {place} belongs to ledger {_short(owner)}; the ledger at hand is "
            f"{_short(ledger_id)} and does not know what was bought. Nothing was submitted. Point "
            "FLOW_PIPELINES_LEDGER_URL to the batch's ledger. If that one is lost, or this one is "
            f"its restored copy, `flow-pipelines ledger adopt` hands the batch over."
        )


def adopt_owner(store: ImageStore, batch: str, ledger_id: str) -> None:
    """Make a ledger the owner of a batch, whoever owned it: a person's decision."""
    document = json.dumps({"ledger_id": ledger_id}).encode()
    store.put(store.key(batch, _OWNER), document, media_type="application/json")


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
    """Tell whether anything in the bucket shows that a night was bought, or begun."""
    folder = store.key(batch, partition_path)
    if any(store.list_keys(f"{folder}/images/", limit=1)):
        return True
    return any(store.head(f"{folder}/{name}") is not None for name in (_MARKER, "runs.parquet"))


def bought_submissions(store: ImageStore, batch: str, partition_path: str) -> frozenset[str]:
    """Give the submissions that have a provider run, says the night's `runs.parquet`, by key.

    Raises: StorageError, also when the table is there and cannot be read.
    """
    key = store.key(batch, partition_path, "runs.parquet")
    content = store.get(key)
    if content is None:
        return frozenset()
    try:
        columns = ["submission_key", "provider_run_id"]
        rows = pq.read_table(io.BytesIO(content), columns=columns).to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StorageError(
            f"{store.uri(key)} cannot be read ({type(error).__name__}), so nobody knows what was "
            "bought; nothing was submitted. Move it away to have it written anew."
        ) from error
    return frozenset(row["submission_key"] for row in rows if row["provider_run_id"] is not None)


def _short(ledger_id: str | None) -> str:
    return str(ledger_id)[:8]
