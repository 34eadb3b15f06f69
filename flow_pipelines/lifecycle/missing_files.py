"""Compare stored files with bucket listings, by name and size only: one request per 1,000 files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.file_locations import pages_with_locations
from flow_pipelines.model import Night, StoredFacts
from flow_pipelines.model.errors import ConfigurationError, StorageError
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.places import store_of


@dataclass(frozen=True, kw_only=True)
class MissingFiles:
    """Stored files that the listings do not have."""

    files: int = 0
    """Not there, or of another size."""
    unseen: int = 0
    """In folders that could not be listed."""
    why_unseen: str = ""


def missing_files(night: Night, ledger: RunLedger, store: ImageStore) -> MissingFiles:
    """Compare what the ledger calls stored with listings of the folders that it names.

    Names and sizes are compared, no contents: `verify` does that. Free of charge.
    """
    folders = _Folders(store)
    files = unseen = 0
    for _, outputs in pages_with_locations(ledger, store, night):
        for facts in (one.stored for each in outputs.values() for one in each if one.stored):
            sizes = folders.sizes(facts)
            if sizes is None:
                unseen += 1
            elif sizes.get(facts.s3_key) != facts.size_bytes:
                files += 1
    return MissingFiles(files=files, unseen=unseen, why_unseen=folders.why_unseen)


class _Folders:
    """Lists each folder once, when the first file in it is met."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._listed: dict[tuple[str | None, str], Mapping[str, int] | None] = {}
        self.why_unseen = ""

    def sizes(self, facts: StoredFacts) -> Mapping[str, int] | None:
        """Return the sizes of the files beside this one, by key; None: they cannot be listed."""
        folder = facts.s3_key.rpartition("/")[0] + "/"
        place = (facts.bucket, folder)
        if place not in self._listed:
            self._listed[place] = self._list(store_of(self._store, facts), folder)
        return self._listed[place]

    def _list(self, store: ImageStore, folder: str) -> Mapping[str, int] | None:
        try:
            return {found.key: found.size_bytes for found in store.list_objects(folder)}
        except (StorageError, ConfigurationError) as error:
            self.why_unseen = str(error)
            return None
