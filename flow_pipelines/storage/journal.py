"""The journal of a night in the bucket: one small object an intent, written before its POST.

`<batch>/_journal/<partition folder>/<submission_key>.<intent number>.json`, never rewritten; the
names alone tell how many intents there were of each submission. Each workflow version lies beside
the folders, whole. `complete.json` says that every intent of before the journal is in it, too;
`closed.<digest>.json` that the night was pruned (`storage.archive`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from flow_pipelines.model import JournalEntry, Night, Workflow
from flow_pipelines.model.errors import StorageError, WrongLedger
from flow_pipelines.storage.contract import ImageStore

WRITE_SECONDS = 10.0
"""For one entry, retries included: nothing is sent when it is over."""
_FOLDER = "_journal"
_COMPLETE = "complete.json"
_ENTRY = re.compile(r"([0-9a-f]{32})\.([1-9][0-9]*)\.json")
_CLOSED = re.compile(r"closed\.[0-9a-f]{16}\.json")
_MOST_CLOSED = 100


@dataclass(frozen=True)
class Listed:
    """What the names in a night's journal tell."""

    intents: Mapping[str, int] = field(default_factory=dict)
    """Submission key → the highest number of an intent of it."""
    complete: bool = False
    closed: tuple[str, ...] = ()
    """Documents that say that the night was closed; more than one where a process died over it."""


@dataclass(frozen=True)
class NightJournal:
    """One night's journal at one place; `folder` is its partition, safe in a path."""

    store: ImageStore
    batch: str
    folder: str

    def listed(self) -> Listed:
        """List the journal to its end. Raises: StorageError."""
        prefix = self.key("")
        intents: dict[str, int] = {}
        closed: list[str] = []
        complete = False
        for key in self.store.list_keys(prefix):
            name = key.removeprefix(prefix)
            complete = complete or name == _COMPLETE
            closed += [name] if _CLOSED.fullmatch(name) else []
            match = _ENTRY.fullmatch(name)
            if match is not None:
                intents[match[1]] = max(int(match[2]), intents.get(match[1], 0))
        return Listed(intents, complete, tuple(closed))

    def is_closed(self) -> bool:
        """Return whether a document says that the night was closed. Raises: StorageError."""
        begins = self.key("closed.")
        keys = self.store.list_keys(begins, limit=_MOST_CLOSED)
        return any(_CLOSED.fullmatch(f"closed.{key.removeprefix(begins)}") for key in keys)

    def write(self, entry: JournalEntry) -> bool:
        """Write an entry; False: another one has its name. Raises: StorageError, in time."""
        key = self.key(f"{entry.sent.submission_key}.{entry.sent.intents}.json")
        return self.store.put_once(key, entry.to_json().encode(), seconds=WRITE_SECONDS)

    def read(self, submission_key: str, intent: int) -> JournalEntry:
        """Read an entry that a listing named.

        Raises: StorageError; WrongLedger, when it cannot be understood: nobody may buy then.
        """
        key = self.key(f"{submission_key}.{intent}.json")
        content = self.store.get(key)
        if content is None:
            raise StorageError(f"{self.store.uri(key)} was listed, and is gone")
        try:
            entry = JournalEntry.from_json(content)
        except (ValueError, KeyError, TypeError) as error:
            raise WrongLedger(
                f"{self.store.uri(key)} names a submission that this ledger does not know, and "
                f"cannot be read ({type(error).__name__}: {error}). Nothing was submitted."
            ) from error
        if (entry.sent.submission_key, entry.sent.intents) != (submission_key, intent):
            raise WrongLedger(f"{self.store.uri(key)} is of another submission than its name says")
        return entry

    def complete(self, night: Night) -> None:
        """Mark the journal as complete: it has all earlier intents. Raises: StorageError."""
        document = json.dumps({"partition_key": night.partition_key}) + "\n"
        self.store.put_once(self.key(_COMPLETE), document.encode(), seconds=WRITE_SECONDS)

    def night(self) -> Night | None:
        """Return whose journal this is, by its first object; None: it has none."""
        for key in self.store.list_keys(self.key(""), limit=1):
            content = self.store.get(key) or b""
            try:
                return Night(self.batch, str(json.loads(content)["partition_key"]))
            except (ValueError, KeyError, TypeError) as error:
                raise WrongLedger(f"{self.store.uri(key)} does not say of which night it is") from (
                    error
                )
        return None

    def key(self, name: str) -> str:
        """Return the full key of an object of the journal."""
        return f"{self.store.key(self.batch, _FOLDER, self.folder)}/{name}"


def keep_workflow(store: ImageStore, batch: str, workflow: Workflow, version_path: str) -> None:
    """Keep a workflow version whole, once. Raises: StorageError, in time."""
    key = _workflow_key(store, batch, version_path)
    store.put_once(key, workflow.to_json().encode(), seconds=WRITE_SECONDS)


def kept_workflow(store: ImageStore, batch: str, version_path: str) -> Workflow | None:
    """Return a workflow version that the journal keeps. Raises: StorageError."""
    key = _workflow_key(store, batch, version_path)
    content = store.get(key)
    if content is None:
        return None
    try:
        return Workflow.from_json(content.decode())
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{store.uri(key)} is no workflow ({type(error).__name__})") from error


def journal_folders(store: ImageStore, batch: str) -> Iterator[str]:
    """Return the folders of a batch's journals, in order; costs a request a thousand."""
    return store.list_folders(store.key(batch, _FOLDER) + "/")


def _workflow_key(store: ImageStore, batch: str, version_path: str) -> str:
    return store.key(batch, _FOLDER, f"workflow.{version_path}.json")
