"""Archive a night in the bucket, and read closed nights from there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.archived_rows import (
    ARCHIVED,
    Digest,
    Row,
    as_json,
    from_json,
    incoming,
    kinds_of,
)
from flow_pipelines.ledger.closed_records import NightArchive
from flow_pipelines.ledger.closed_schema import closed_sums
from flow_pipelines.ledger.database import chunks
from flow_pipelines.ledger.rows import to_output, to_submission
from flow_pipelines.ledger.schema import nights, outputs, submissions
from flow_pipelines.lifecycle.ports import LedgerAndStore
from flow_pipelines.model import Night, Output, Submission
from flow_pipelines.model.errors import StorageError, WrongLedger
from flow_pipelines.storage.archive import (
    ArchivedFile,
    NightFolder,
    files_in,
    files_out,
    folder_of,
)
from flow_pipelines.storage.contract import ImageStore

_PAGE = 500


class NightRows(Protocol):
    """A night's rows: the ledger's, or those of an archive."""

    def submissions(self, night: Night) -> Sequence[Submission]:
        """Return them by row, copy and generation."""

    def outputs(self, night: Night) -> Mapping[str, Sequence[Output]]:
        """Return outputs by submission key, in their order."""

    def each_submission(self, night: Night) -> Iterator[Submission]:
        """Return `submissions` one by one."""

    def each_with_outputs(self, night: Night) -> Iterator[tuple[Submission, Sequence[Output]]]:
        """Return each submission with its outputs."""

    def pages_with_outputs(
        self, night: Night
    ) -> Iterator[tuple[Sequence[Submission], Mapping[str, Sequence[Output]]]]:
        """Return some hundred submissions at a time, with their outputs."""


@dataclass(frozen=True)
class ArchivedNight:
    """A night as its archive has it; read when it is first needed, and held in memory whole."""

    place: NightFolder
    name: str
    """Of the document that says that the night is closed."""

    @cached_property
    def document(self) -> Mapping[str, Any]:
        """Return what it says. Raises: StorageError, WrongLedger."""
        return self.place.read(self.name)

    @cached_property
    def archive(self) -> NightArchive:
        """Return what closes the night in a ledger. Raises: StorageError, WrongLedger."""
        document = self.document
        try:
            return NightArchive(
                night=Night(document["batch"], document["partition_key"]),
                place=self.uri,
                digest=document["digest"],
                ledger_ids=tuple(document["ledger_ids"]),
                row=from_json(nights, document["night"]),
                sums=[from_json(closed_sums, part) for part in document["sums"]],
            )
        except (KeyError, TypeError, ValueError, ArithmeticError) as error:
            raise WrongLedger(
                f"{self.uri} says that a night is closed, and not how ({error}). Nothing was "
                "submitted."
            ) from error

    @property
    def uri(self) -> str:
        """Return where the document is."""
        return self.place.store.uri(self.place.journal.key(self.name))

    @cached_property
    def rows(self) -> Mapping[str, Sequence[Row]]:
        """Return all rows by table. Raises: StorageError, unless they are those of the digest."""
        files = files_in(self.document)
        return {
            name: self.place.read_rows(files[name]) if name in files else () for name in ARCHIVED
        }

    def check(self) -> None:
        """Raise StorageError unless all rows are there, as they were."""
        digest = Digest(self.archive.row)
        for name, rows in self.rows.items():
            for _ in digest.add(name, rows):
                pass
        if digest.text() != self.archive.digest:
            raise StorageError(f"{self.uri} and its files do not belong together")

    @cached_property
    def intents(self) -> Mapping[str, int]:
        """Return how many intents each submission had, by key."""
        return {row["submission_key"]: row["intents"] for row in self.rows[submissions.name]}

    @cached_property
    def _submissions(self) -> Sequence[Submission]:
        read: list[Any] = [incoming(submissions, row) for row in self.rows[submissions.name]]
        ordered = [to_submission(row) for row in read]
        return sorted(ordered, key=lambda row: (row.row_number, row.copy, row.generation))

    @cached_property
    def _outputs(self) -> Mapping[str, Sequence[Output]]:
        found: dict[str, list[Output]] = {}
        for row in self.rows[outputs.name]:
            read: Any = incoming(outputs, row)
            found.setdefault(row["submission_key"], []).append(to_output(read))
        return {
            key: sorted(each, key=lambda output: output.output_index) for key, each in found.items()
        }

    def submissions(self, _night: Night | None = None) -> Sequence[Submission]:
        """Return the night's submissions; see `NightRows`."""
        return self._submissions

    def outputs(self, _night: Night | None = None) -> Mapping[str, Sequence[Output]]:
        """Return the night's outputs; see `NightRows`."""
        return self._outputs

    def each_submission(self, _night: Night | None = None) -> Iterator[Submission]:
        """Return its submissions; see `NightRows`."""
        return iter(self._submissions)

    def each_with_outputs(
        self, _night: Night | None = None
    ) -> Iterator[tuple[Submission, Sequence[Output]]]:
        """Return its submissions with their outputs; see `NightRows`."""
        return ((row, self._outputs.get(row.submission_key, ())) for row in self._submissions)

    def pages_with_outputs(
        self, _night: Night | None = None
    ) -> Iterator[tuple[Sequence[Submission], Mapping[str, Sequence[Output]]]]:
        """Return its pages; see `NightRows`."""
        for page in chunks(self._submissions, _PAGE):
            keys = [row.submission_key for row in page]
            yield page, {key: self._outputs[key] for key in keys if key in self._outputs}


def archive_night(night: Night, books: LedgerAndStore) -> ArchivedNight:
    """Write a night's rows into the bucket, then the document that closes it; read them back.

    Nothing of the ledger is changed, and what was in the bucket stays: it can be repeated.
    Raises: StorageError, LedgerError.
    """
    place = NightFolder(books.store, night.batch, path_safe(night.partition_key))
    files: dict[str, ArchivedFile] = {}
    contents: dict[str, bytes] = {}

    def write(name: str, rows: Iterable[Row]) -> None:
        files[name], contents[name] = place.write_rows(name, kinds_of(ARCHIVED[name]), rows)

    archive = books.ledger.archive_rows(night, write)
    for name, file in files.items():
        place.keep(file, contents[name])
    name = place.close(night, _document(archive, files, books))
    written = ArchivedNight(place, name)
    written.check()
    return written


def _document(
    archive: NightArchive, files: Mapping[str, ArchivedFile], books: LedgerAndStore
) -> Mapping[str, Any]:
    return {
        "ledger_id": books.ledger.ledger_id,
        "archived_at": books.clock.now().isoformat(),
        "digest": archive.digest,
        "ledger_ids": list(archive.ledger_ids),
        "night": as_json(archive.row),
        "sums": [as_json(part) for part in archive.sums],
        "files": files_out(files),
    }


def archived_night(night: Night, ledger: RunLedger, store: ImageStore) -> ArchivedNight | None:
    """Return the archive of a night that the ledger calls closed; None: it does not.

    The archive is read from where it was written. Raises: LedgerError, StorageError.
    """
    closed = ledger.closed_night(night)
    if closed is None:
        return None
    place, name = folder_of(store, night.batch, closed.archive)
    return ArchivedNight(place, name)


def rows_of(night: Night, ledger: RunLedger, store: ImageStore) -> NightRows:
    """Return what a night's rows are read from: its archive, once it is closed."""
    return archived_night(night, ledger, store) or ledger
