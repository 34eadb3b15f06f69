"""Copy a ledger that is a SQLite file while others write to it; put such a copy in its place.

Each step leaves either what was there or what was to come, whole, whenever the process dies.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from flow_pipelines.ledger.database import is_busy
from flow_pipelines.model.errors import ConfigurationError, LedgerBusy

_BUSY_SECONDS = 30.0
_HELD_SECONDS = 2.0
"""Wait for others to let go of a file that is to be replaced."""
_LEFT_BEHIND = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file. Left beside another, it would be played into that."""

_FACTS = """SELECT (SELECT value FROM ledger_meta WHERE name = 'ledger_id'),
    (SELECT version_num FROM alembic_version)"""


@dataclass(frozen=True, kw_only=True)
class CopyFacts:
    """What a copy says of itself."""

    ledger_id: str
    revision: str


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """Yield an empty file beside `file`, which becomes `file` when it was written whole.

    Raises: ConfigurationError, when there is one already; nothing is ever overwritten.
    """
    _refuse_existing(file)
    with _draft_beside(file) as draft:
        yield draft
        _sync(draft)
        _link(draft, file)
        _sync(file.parent)


def copy_file(ledger: Path, copy: Path) -> CopyFacts:
    """Write what the ledger holds at this moment to a new file; nobody waits for it.

    Raises: ConfigurationError, LedgerBusy.
    """
    with new_file(copy) as draft:
        facts = _copy(ledger, draft)
        shutil.copymode(ledger, draft)
    return facts


def put_in_place(copy: Path, ledger: Path, kept: Path | None) -> CopyFacts:
    """Make a copy the ledger. One that is there is kept as `kept`; without that, it is refused.

    Raises: ConfigurationError, also for what is no ledger; LedgerBusy, while somebody has it open.
    """
    if kept is None:
        _refuse_existing(ledger)
    if not copy.is_file():
        raise ConfigurationError(f"there is no file {copy}")
    if not ledger.exists():
        _set_aside(ledger)
        with new_file(ledger) as draft:
            return _copy(copy, draft)
    assert kept is not None
    return _replace(copy, ledger, kept)


def _replace(copy: Path, ledger: Path, kept: Path) -> CopyFacts:
    with _draft_beside(ledger) as draft:
        facts = _copy(copy, draft)
        shutil.copymode(ledger, draft)
        _sync(draft)
        _fold(ledger)
        _link(ledger, kept)
        _set_aside(ledger, kept)
        draft.replace(ledger)
        _sync(ledger.parent)
    return facts


@contextmanager
def _draft_beside(file: Path) -> Iterator[Path]:
    try:
        handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    except OSError as error:
        raise ConfigurationError(f"nothing can be written to {file.parent}: {error}") from error
    os.close(handle)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _copy(source: Path, draft: Path) -> CopyFacts:
    address = f"{source.absolute().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as connection:
            connection.execute("VACUUM INTO ?", (str(draft),))
        with closing(sqlite3.connect(draft)) as connection:
            return _facts(connection)
    except sqlite3.Error as error:
        if is_busy(error):
            raise LedgerBusy(f"{source} stayed locked past its deadline; try again") from error
        raise ConfigurationError(f"{source} is no whole ledger: {error}") from error


def _facts(connection: sqlite3.Connection) -> CopyFacts:
    ledger_id, revision = connection.execute(_FACTS).fetchone()
    if not (ledger_id and revision):
        raise sqlite3.DatabaseError("it has no id, or no schema")
    return CopyFacts(ledger_id=ledger_id, revision=revision)


def _fold(ledger: Path) -> None:
    """Bring all of a ledger into its one file, which works only while nobody else has it open.

    One that cannot be read stays as it is: that is why it is replaced.
    """
    with closing(sqlite3.connect(ledger, timeout=_HELD_SECONDS, isolation_level=None)) as alone:
        try:
            alone.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.Error as error:
            if is_busy(error):
                raise LedgerBusy(
                    f"another process has {ledger} open: stop the daemon, code locations and "
                    "receivers first, then repeat this"
                ) from error


def _set_aside(ledger: Path, kept: Path | None = None) -> None:
    """Take what SQLite left beside a file away from it."""
    kept = kept or ledger.with_name(f"{ledger.name}.lost")
    for ending in _LEFT_BEHIND:
        with suppress(FileNotFoundError):
            ledger.with_name(ledger.name + ending).rename(kept.with_name(kept.name + ending))


def _refuse_existing(file: Path) -> None:
    if file.exists():
        raise ConfigurationError(f"there is a file {file} already; nothing was changed")


def _link(file: Path, name: Path) -> None:
    """Let a file have a name that no other file has."""
    try:
        os.link(file, name)
    except FileExistsError:
        _refuse_existing(name)
        raise
    except OSError:  # there are no such links on some network drives
        _refuse_existing(name)
        file.rename(name)


def _sync(place: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(place, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
