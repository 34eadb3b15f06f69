"""The archive of closed nights: their rows as Parquet, and a document that names the files.

`<batch>/_archive/<partition folder>/<table>.<digest>.parquet`, a file a table, and, written last,
`<batch>/_journal/<partition folder>/closed.<digest>.json`: whoever lists a night's journal sees
that it is closed. Names have the digest of the content, so nothing is ever written over.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from flow_pipelines.model import Night
from flow_pipelines.model.errors import StorageError, WrongLedger
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.journal import NightJournal
from flow_pipelines.storage.tables import PARQUET, ParquetFile

FORMAT = 1
_FOLDER = "_archive"
_DIGITS = 16
_ROWS = 500
_TYPES: Mapping[str, pa.DataType] = {
    "text": pa.string(),
    "whole": pa.int64(),
    "float": pa.float64(),
    "boolean": pa.bool_(),
    "time": pa.timestamp("us", tz="UTC"),
    "money": pa.decimal128(18, 6),
}


@dataclass(frozen=True)
class ArchivedFile:
    """One table's rows of a night, in the bucket."""

    name: str
    sha256: str
    rows: int


@dataclass(frozen=True)
class NightFolder:
    """Where a night's archive is at one place; `folder` is its partition, safe in a path."""

    store: ImageStore
    batch: str
    folder: str

    def write_rows(
        self, table: str, kinds: Mapping[str, str], rows: Iterable[Mapping[str, Any]]
    ) -> tuple[ArchivedFile, bytes]:
        """Make a table's file; `keep` puts it into the bucket."""
        schema = pa.schema([(name, _TYPES[kind]) for name, kind in kinds.items()])
        file, count = ParquetFile(schema), 0
        for page in _pages(rows):
            file.add(pa.Table.from_pylist(page, schema=schema))
            count += len(page)
        content = file.content()
        sha256 = hashlib.sha256(content).hexdigest()
        return ArchivedFile(f"{table}.{sha256[:_DIGITS]}.parquet", sha256, count), content

    def keep(self, file: ArchivedFile, content: bytes) -> None:
        """Put a file into the bucket, where nothing else has its name. Raises: StorageError."""
        self._put(self._key(file.name), content, PARQUET, file.sha256)

    def read_rows(self, file: ArchivedFile) -> Sequence[dict[str, Any]]:
        """Read a table's rows. Raises: StorageError, unless they are the ones that were written."""
        key = self._key(file.name)
        content = self.store.get(key)
        if content is None or hashlib.sha256(content).hexdigest() != file.sha256:
            raise StorageError(
                f"{self.store.uri(key)} is {'gone' if content is None else 'another file'}: the "
                "archive of a closed night is not whole. Restore it from the bucket's versions"
            )
        rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(content)).to_pylist()
        return [{name: _in_utc(value) for name, value in row.items()} for row in rows]

    def close(self, night: Night, document: Mapping[str, Any]) -> str:
        """Write the document that says that the night is closed; return its file name."""
        written = {"format": FORMAT, **night._asdict(), **document}
        content = (json.dumps(written, sort_keys=True, indent=1) + "\n").encode()
        sha256 = hashlib.sha256(content).hexdigest()
        name = f"closed.{sha256[:_DIGITS]}.json"
        self._put(self.journal.key(name), content, "application/json", sha256)
        return name

    def read(self, name: str) -> Mapping[str, Any]:
        """Read such a document.

        Raises: StorageError; WrongLedger, when it cannot be understood: nobody may buy then.
        """
        key = self.journal.key(name)
        content = self.store.get(key)
        try:
            document = _understood(json.loads(content or b""))
        except (ValueError, KeyError, TypeError) as error:
            raise WrongLedger(
                f"{self.store.uri(key)} says that a night is closed, and cannot be read "
                f"({type(error).__name__}: {error}). Nothing was submitted."
            ) from error
        return document

    @property
    def journal(self) -> NightJournal:
        """Return the night's journal there."""
        return NightJournal(self.store, self.batch, self.folder)

    def _key(self, name: str) -> str:
        return self.store.key(self.batch, _FOLDER, self.folder, name)

    def _put(self, key: str, content: bytes, media_type: str, sha256: str) -> None:
        self.store.put_new(
            key,
            io.BytesIO(content),
            media_type=media_type,
            sha256=sha256,
            size_bytes=len(content),
        )


def _understood(document: Mapping[str, Any]) -> Mapping[str, Any]:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']} is of another version of flow-pipelines")
    return document


def files_in(document: Mapping[str, Any]) -> Mapping[str, ArchivedFile]:
    """Return the files that a document names, by table."""
    return {table: ArchivedFile(**file) for table, file in document["files"].items()}


def files_out(files: Mapping[str, ArchivedFile]) -> dict[str, Any]:
    """Return files as a document names them."""
    return {table: asdict(file) for table, file in files.items()}


def folder_of(store: ImageStore, batch: str, place: str) -> tuple[NightFolder, str]:
    """Return the folder and the name of a document at `s3://bucket/key`.

    Raises: StorageError, where that is no such place.
    """
    bucket, _, key = place.removeprefix("s3://").partition("/")
    above, _, below = key.rpartition(f"{batch}/_journal/")
    folder, _, name = below.partition("/")
    if not bucket or not name:
        raise StorageError(f"{place!r} is no place of an archive")
    there = store.at(bucket, above.rstrip("/"))
    return NightFolder(there, batch, folder), name


def _pages(rows: Iterable[Mapping[str, Any]]) -> Iterable[list[Mapping[str, Any]]]:
    page: list[Mapping[str, Any]] = []
    for row in rows:
        page.append(row)
        if len(page) == _ROWS:
            yield page
            page = []
    if page:
        yield page


def _in_utc(value: Any) -> Any:
    return value.astimezone(UTC) if isinstance(value, datetime) else value
