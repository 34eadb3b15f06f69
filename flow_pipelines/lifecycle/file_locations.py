"""Fill in the bucket of stored outputs that older releases recorded without one.

Such a file is in the configured bucket if the night's marker in its folder is older than the file:
the marker is written before the first POST, and again at each new location. Without that evidence
the bucket stays empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from flow_pipelines.ledger import RunLedger
from flow_pipelines.model import Night, Output, Submission
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.receipts import marked_at

Outputs = Mapping[str, Sequence[Output]]
"""By submission key."""


def pages_with_locations(
    ledger: RunLedger, store: ImageStore, night: Night
) -> Iterator[tuple[Sequence[Submission], Outputs]]:
    """Return a night's pages with their outputs, after noting the bucket of those without one."""
    locations = FileLocations(ledger, store, night)
    for submissions, outputs in ledger.pages_with_outputs(night):
        yield submissions, locations.noted(outputs)


class FileLocations:
    """Notes where a night's files are."""

    def __init__(self, ledger: RunLedger, store: ImageStore, night: Night) -> None:
        """Read nothing yet."""
        self._ledger, self._store, self._night = ledger, store, night
        self._marks: dict[str, datetime | None] = {}

    def noted(self, outputs: Outputs) -> Outputs:
        """Return `outputs` with their bucket, noted in the ledger, where it can be told."""
        placed = {key: [self._placed(output) for output in each] for key, each in outputs.items()}
        here = {key: _changed(outputs[key], each) for key, each in placed.items()}
        here = {key: indexes for key, indexes in here.items() if indexes}
        if here:
            self._ledger.note_bucket(self._night, here, self._store.bucket)
        return placed

    def _placed(self, output: Output) -> Output:
        stored = output.stored
        if stored is None or stored.bucket is not None or output.stored_at is None:
            return output
        folder = stored.s3_key.rpartition("/images/")[0]
        if folder not in self._marks:
            self._marks[folder] = marked_at(self._store, folder)
        marked = self._marks[folder]
        if marked is None or marked > output.stored_at:
            return output
        return replace(output, stored=replace(stored, bucket=self._store.bucket))


def _changed(before: Sequence[Output], after: Sequence[Output]) -> Sequence[int]:
    return [now.output_index for was, now in zip(before, after, strict=True) if now is not was]
