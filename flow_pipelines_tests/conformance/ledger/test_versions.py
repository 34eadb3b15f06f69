"""Releases that meet tables of another: which upgrades, which goes on, which refuses."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url

from flow_pipelines.ledger import RunLedger, open_ledger, schema_facts, upgrade, upgrading
from flow_pipelines.ledger.address import read_address
from flow_pipelines.ledger.schema import ledger_meta
from flow_pipelines.model.errors import ConfigurationError, LedgerError
from flow_pipelines_tests.before_0008 import SAMPLES

FIRST_THAT_SAYS = "0010"
"""Those before it were out when releases did not work with each other's tables."""
LATER = "9999"


@pytest.fixture
def engine(empty_url: str) -> Iterator[sa.Engine]:
    engine = sa.create_engine(read_address(empty_url).url)
    yield engine
    engine.dispose()


def set_revision(engine: sa.Engine, revision: str, oldest_code: str | None = None) -> None:
    """Let the tables be of a later release, which may say who can work with them."""
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE alembic_version SET version_num = '{revision}'"))
        if oldest_code is not None:
            note = ledger_meta.insert()
            connection.execute(note.values(name=f"oldest_code of {revision}", value=oldest_code))


def revision_of(url: str) -> str | None:
    return schema_facts(url).current


@pytest.mark.case(
    "after an additive upgrade each worker of the release before refused the ledger",
    "the upgrader leaves the oldest release that may work with it, which others go by",
)
def test_a_release_goes_on_with_what_a_later_one_only_added(
    empty_url: str, engine: sa.Engine
) -> None:
    upgrade(empty_url)
    head = revision_of(empty_url)
    set_revision(engine, LATER, oldest_code=head)

    for may_upgrade in (None, False):
        with open_ledger(empty_url, upgrade=may_upgrade) as ledger:
            assert ledger.acquire_lease("a", "somebody", 60)
    assert upgrade(empty_url) == LATER


@pytest.mark.parametrize("oldest", [LATER, "9998", None])
def test_a_release_refuses_what_a_later_one_changed(
    empty_url: str, engine: sa.Engine, oldest: str | None
) -> None:
    upgrade(empty_url)
    set_revision(engine, LATER, oldest_code=oldest)

    for may_upgrade in (None, False):
        with pytest.raises(LedgerError, match=rf"{LATER}.*newer than this flow-pipelines"):
            open_ledger(empty_url, upgrade=may_upgrade)
    assert revision_of(empty_url) == LATER


def test_an_upgrade_leaves_the_oldest_release_that_may_go_on(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = upgrading._scripts()
    head = scripts.get_revision("head")
    assert head is not None
    monkeypatch.setattr(head.module, "additive", True, raising=False)
    before = str(head.down_revision)
    expected = upgrading.oldest_code()
    upgrade(empty_url)

    assert expected <= before
    assert schema_facts(empty_url).oldest_code == expected
    assert schema_facts(empty_url).only_adds
    monkeypatch.setattr(head.module, "additive", False)
    assert upgrading.oldest_code() == head.revision


def test_every_revision_says_whether_it_only_adds() -> None:
    for script in upgrading._scripts().walk_revisions():
        said = getattr(script.module, "additive", None)
        assert isinstance(said, bool) or script.revision < FIRST_THAT_SAYS, script.revision


@pytest.mark.case(
    "whichever process of a new release came first changed the tables, under the feet of others",
    "with upgrade=False only `flow-pipelines ledger upgrade` does; until then others say so",
)
@pytest.mark.parametrize("by_url", [True, False], ids=["in the URL", "as an argument"])
def test_tables_that_are_not_there_are_left_to_the_upgrade(
    empty_url: str, engine: sa.Engine, *, by_url: bool
) -> None:
    url = make_url(empty_url).update_query_dict({"upgrade": "false"})
    address = url.render_as_string(hide_password=False)

    def open_it() -> RunLedger:
        return open_ledger(address) if by_url else open_ledger(empty_url, upgrade=False)

    with pytest.raises(ConfigurationError, match=r"not there.*flow-pipelines ledger upgrade"):
        open_it()
    assert sa.inspect(engine).get_table_names() == []

    upgrade(address)
    with open_it() as ledger:
        assert ledger.acquire_lease("a", "somebody", 60)


def test_older_tables_are_left_to_the_upgrade(before_tables: str) -> None:
    before = revision_of(before_tables)
    assert not schema_facts(before_tables).only_adds
    with pytest.raises(ConfigurationError, match=rf"{before}.*flow-pipelines ledger upgrade"):
        open_ledger(before_tables, upgrade=False)
    assert revision_of(before_tables) == before
    upgrade(before_tables)
    open_ledger(before_tables, upgrade=False).close()


def test_an_upgrade_keeps_out_who_knows_no_closed_nights_once_there_is_one(
    before_tables: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrading, "oldest_code", lambda: "0009")
    engine = sa.create_engine(before_tables)
    with engine.begin() as connection:
        note = {"name": upgrading.ONCE_PRUNED, "value": "0010"}
        connection.execute(ledger_meta.insert().values(note))
    engine.dispose()
    upgrade(before_tables)
    assert schema_facts(before_tables).oldest_code == "0010"


@pytest.fixture
def before_tables(tmp_path: Path) -> str:
    """Return the URL of a ledger that an earlier release made."""
    file = tmp_path / "before.db"
    with closing(sqlite3.connect(file)) as database:
        database.executescript((SAMPLES / "ledger.sql").read_text(encoding="utf-8"))
    return f"sqlite:///{file}"


def test_an_unknown_switch_is_refused(sqlite_url: str) -> None:
    with pytest.raises(ConfigurationError, match="upgrade=true or upgrade=false"):
        open_ledger(f"{sqlite_url}?upgrade=perhaps")
