"""A ledger that is a file is copied while others write, and put back whole or not at all."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.ledger.file_copies import copy_file, put_in_place
from flow_pipelines.model.errors import ConfigurationError, LedgerBusy

KILLED = 86
MANY = 40
_DYING = """
import os, sys
from pathlib import Path
from flow_pipelines.ledger import file_copies

copy, ledger, kept, death = *map(Path, sys.argv[1:4]), int(sys.argv[4])
left = death

def watch(event, arguments):
    global left
    if event in {"os.link", "os.rename", "os.remove", "sqlite3.connect"} or (
        event == "open" and arguments[2] & os.O_CREAT
    ):
        left -= 1
        if left == 0:
            os._exit(86)

sys.addaudithook(watch)
file_copies.put_in_place(copy, ledger, kept)
"""


@contextmanager
def opened(file: Path) -> Iterator[RunLedger]:
    with open_ledger(f"sqlite:///{file}") as ledger:
        yield ledger


def paused_by(file: Path) -> str | None:
    with opened(file) as ledger:
        pause = ledger.paused()
    return pause and pause.why


def make(file: Path, template: Path, why: str) -> Path:
    shutil.copy(template, file)
    with opened(file) as ledger:
        ledger.pause("ann", why)
    return file


@pytest.fixture
def ledger_file(tmp_path: Path, migrated_sqlite: Path) -> Path:
    return make(tmp_path / "ledger.sqlite", migrated_sqlite, "now")


def test_a_copy_has_all_that_was_committed_while_somebody_writes_on(
    ledger_file: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    with opened(ledger_file) as ledger:
        ledger.pause("ann", "in the log only")
        writing = sqlite3.connect(ledger_file, isolation_level=None)
        writing.execute("BEGIN IMMEDIATE")
        writing.execute("DELETE FROM switches")

        facts = copy_file(ledger_file, copy)
        writing.close()

        assert facts.ledger_id == ledger.ledger_id
    assert copy.stat().st_mode == ledger_file.stat().st_mode
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "ledger.sqlite"]
    assert paused_by(copy) == "in the log only"


def test_no_copy_takes_the_place_of_a_file(ledger_file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.write_text("something else")
    with pytest.raises(ConfigurationError, match="already; nothing was changed"):
        copy_file(ledger_file, copy)
    assert copy.read_text() == "something else"


def test_a_file_that_appears_while_the_copy_is_made_is_not_replaced(
    ledger_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    real = shutil.copymode

    def meanwhile(source: Path, target: Path) -> None:
        copy.write_text("somebody else's")
        real(source, target)

    monkeypatch.setattr(shutil, "copymode", meanwhile)
    with pytest.raises(ConfigurationError, match="already"):
        copy_file(ledger_file, copy)
    assert copy.read_text() == "somebody else's"


def test_where_a_drive_knows_no_links_a_copy_is_made_all_the_same(
    ledger_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_names: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    copy_file(ledger_file, tmp_path / "copy")
    put_in_place(tmp_path / "copy", ledger_file, tmp_path / "kept")
    assert paused_by(tmp_path / "copy") == paused_by(ledger_file) == "now"
    assert paused_by(tmp_path / "kept") == "now"


@pytest.mark.case(
    "a ledger is put back over one that a process has open",
    "it is refused, and both stay as they are",
    area="old ledger",
)
def test_a_ledger_that_somebody_has_open_is_not_replaced(ledger_file: Path, tmp_path: Path) -> None:
    copy_file(ledger_file, tmp_path / "copy")
    with opened(ledger_file) as ledger:
        ledger.pause("ann", "later")
        with pytest.raises(LedgerBusy, match="another process has"):
            put_in_place(tmp_path / "copy", ledger_file, tmp_path / "kept")
    assert paused_by(ledger_file) == "later"
    assert not (tmp_path / "kept").exists()

    put_in_place(tmp_path / "copy", ledger_file, tmp_path / "kept")
    assert paused_by(ledger_file) == "now"
    assert paused_by(tmp_path / "kept") == "later"


def test_a_ledger_is_not_replaced_unasked(ledger_file: Path, tmp_path: Path) -> None:
    copy_file(ledger_file, tmp_path / "copy")
    with pytest.raises(ConfigurationError, match="already"):
        put_in_place(tmp_path / "copy", ledger_file, None)


@pytest.mark.case(
    "only the file of a ledger is gone, and a copy takes its place",
    "what SQLite left beside the lost file is taken away: it is not played into the copy",
    area="old ledger",
)
def test_what_is_left_of_a_lost_file_does_not_get_into_the_copy(
    ledger_file: Path, tmp_path: Path
) -> None:
    copy_file(ledger_file, tmp_path / "copy")
    with opened(ledger_file) as ledger:
        ledger.pause("ann", "never copied")
        left = {
            name: ledger_file.with_name(name).read_bytes()
            for name in ("ledger.sqlite-wal", "ledger.sqlite-shm")
        }
    ledger_file.unlink()
    for name, content in left.items():
        ledger_file.with_name(name).write_bytes(content)

    put_in_place(tmp_path / "copy", ledger_file, None)

    assert paused_by(ledger_file) == "now"
    with sqlite3.connect(ledger_file) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("content", [b"", b"not a database" * 999])
def test_what_is_no_ledger_is_not_put_in_place(
    ledger_file: Path, tmp_path: Path, content: bytes
) -> None:
    copy = tmp_path / "copy"
    copy.write_bytes(content)
    with pytest.raises(ConfigurationError, match="is no whole ledger"):
        put_in_place(copy, ledger_file, tmp_path / "kept")
    assert paused_by(ledger_file) == "now"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "ledger.sqlite"]


def test_a_ledger_that_cannot_be_read_any_more_is_replaced(
    ledger_file: Path, tmp_path: Path
) -> None:
    copy_file(ledger_file, tmp_path / "copy")
    ledger_file.write_bytes(b"torn" * 9999)
    put_in_place(tmp_path / "copy", ledger_file, tmp_path / "kept")
    assert paused_by(ledger_file) == "now"
    assert (tmp_path / "kept").read_bytes() == b"torn" * 9999


@pytest.mark.case(
    "the process that puts a copy in a ledger's place is killed, at any step",
    "there is a whole ledger, the one of before or the copy, and none is lost",
    area="old ledger",
)
def test_a_death_at_any_step_leaves_one_or_the_other(
    ledger_file: Path, tmp_path: Path, migrated_sqlite: Path
) -> None:
    copy = make(tmp_path / "copy", migrated_sqlite, "then")
    seen = set()
    for death in range(1, MANY):
        folder = tmp_path / str(death)
        folder.mkdir()
        ledger = Path(shutil.copy(ledger_file, folder))
        words = [str(copy), str(ledger), str(folder / "kept"), str(death)]
        ended = subprocess.run([sys.executable, "-c", _DYING, *words], check=False)
        seen.add(paused_by(ledger))
        if ended.returncode != KILLED:
            break
        if (folder / "kept").exists():
            assert paused_by(folder / "kept") == "now"
    assert ended.returncode == 0
    assert paused_by(folder / "kept") == "now"
    assert seen == {"now", "then"}
