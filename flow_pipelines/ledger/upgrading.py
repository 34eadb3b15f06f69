"""Bring a ledger's tables up to date; tell which releases may work with them meanwhile."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, select, text, update

from flow_pipelines.ledger.address import Address
from flow_pipelines.ledger.database import Database
from flow_pipelines.ledger.schema import ledger_meta
from flow_pipelines.model.errors import ConfigurationError, LedgerError

_UPGRADE_LOCK = 0x666C6F77
"""Number of the advisory lock under which PostgreSQL's schema is upgraded."""
_LEDGER_ID, _OLDEST = "ledger_id", "oldest_code"
ONCE_PRUNED = "oldest_code once pruned"
_KNOWS_CLOSED_NIGHTS = "0010"
# Alembic's environment is one per process.
_alembic = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class SchemaFacts:
    """Which schema a database has, and which this release works with."""

    current: str | None
    """None: it holds no ledger yet."""
    newest: str
    known: frozenset[str]
    """Every revision that this release can upgrade from, `newest` among them."""
    oldest_code: str | None = None
    """The oldest revision whose release may work with it, as its upgrader left it there."""

    @property
    def serves(self) -> bool:
        """Return whether this release works with it as it is, however much newer it may be."""
        return self.current == self.newest or (self.is_newer and self.oldest_code in self.known)

    @property
    def only_adds(self) -> bool:
        """Return whether releases that work with it go on when this one has upgraded it."""
        return self.current in self.known and oldest_code() <= str(self.current)

    @property
    def is_newer(self) -> bool:
        """Return whether a later release upgraded it."""
        return self.current is not None and self.current not in self.known


def prepare(database: Database, address: Address) -> str:
    """Return the ledger's id, once its tables are there and as new as this release needs them.

    Changes nothing where they are. Raises: ConfigurationError, where they are not and `address`
    leaves that to `ledger upgrade`; LedgerError, for those that only a later release knows.
    """
    with database.read() as connection:
        facts, ledger_id = look(connection)
    if ledger_id is not None and facts.serves:
        return ledger_id
    _refuse_newer(facts)
    if not address.upgrade:
        raise ConfigurationError(
            f"the ledger's schema is {facts.current or 'not there'}, and this flow-pipelines needs "
            f"{facts.newest}: run `flow-pipelines ledger upgrade`, as a role that owns its tables"
        )
    with database.write() as connection:
        return _upgrade(database, connection, address)


def look(connection: Connection) -> tuple[SchemaFacts, str | None]:
    """Return what schema there is, and the ledger's id; None: it has none yet."""
    scripts = _scripts()
    current = MigrationContext.configure(connection).get_current_revision()
    notes = _notes(connection) if current is not None else {}
    facts = SchemaFacts(
        current=current,
        newest=scripts.get_current_head() or "",
        known=frozenset(script.revision for script in scripts.walk_revisions()),
        oldest_code=notes.get(f"{_OLDEST} of {current}"),
    )
    return facts, notes.get(_LEDGER_ID)


def oldest_code() -> str:
    """Return the oldest revision whose release may work with the schema of this one.

    Each revision after 0009 says whether it is `additive`: tables, indexes, and columns that may
    be left out; what a release without it reads and writes stays true.
    """
    scripts = _scripts()
    oldest = scripts.get_current_head() or ""
    while getattr(scripts.get_revision(oldest).module, "additive", False):
        oldest = str(scripts.get_revision(oldest).down_revision)
    return oldest


def require_closed_nights(database: Database, connection: Connection) -> None:
    """Keep releases out that know nothing of closed nights, from the first one on, for good."""
    name, value = ledger_meta.c.name, ledger_meta.c.value
    older = (name >= f"{_OLDEST} of ", name < f"{_OLDEST} of ~", value < _KNOWS_CLOSED_NIGHTS)
    connection.execute(update(ledger_meta).where(*older).values(value=_KNOWS_CLOSED_NIGHTS))
    _note(database, connection, ONCE_PRUNED, _KNOWS_CLOSED_NIGHTS)


def _upgrade(database: Database, connection: Connection, address: Address) -> str:
    if address.is_postgres:
        _take_turn(connection, address)
    facts, ledger_id = look(connection)
    _refuse_newer(facts)
    if not facts.serves:
        config = _config()
        config.attributes["connection"] = connection
        with _alembic:
            command.upgrade(config, "head")
        oldest = max(oldest_code(), _notes(connection).get(ONCE_PRUNED, ""))
        _note(database, connection, f"{_OLDEST} of {facts.newest}", oldest)
    if ledger_id is None:
        ledger_id = uuid.uuid4().hex
        _note(database, connection, _LEDGER_ID, ledger_id)
    return ledger_id


def _take_turn(connection: Connection, address: Address) -> None:
    """Wait for others who upgrade; make the schema. What is rewritten may take its time."""
    lock = text("SELECT pg_advisory_xact_lock(:number), set_config('statement_timeout', '0', true)")
    connection.execute(lock, {"number": _UPGRADE_LOCK})
    if address.schema:
        name = address.quoted_schema
        known = text("SELECT to_regnamespace(:name) IS NOT NULL")
        # IF NOT EXISTS would ask for the right to make it even where it is there.
        if not connection.execute(known, {"name": name}).scalar_one():
            connection.exec_driver_sql(f"CREATE SCHEMA {name}")


def _refuse_newer(facts: SchemaFacts) -> None:
    if facts.is_newer and not facts.serves:
        raise LedgerError(
            f"the ledger's schema ({facts.current}) is newer than this flow-pipelines; "
            "use the release that upgraded it, or a later one"
        )


def _notes(connection: Connection) -> Mapping[str, str]:
    query = select(ledger_meta.c.name, ledger_meta.c.value)
    return {row.name: row.value for row in connection.execute(query)}


def _note(database: Database, connection: Connection, name: str, value: str) -> None:
    query = database.upsert(ledger_meta).values(name=name, value=value)
    connection.execute(query.on_conflict_do_update(index_elements=["name"], set_={"value": value}))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", "flow_pipelines.ledger:migrations")
    return config


@cache
def _scripts() -> ScriptDirectory:
    """Read the migrations, once a process: they are a file each."""
    return ScriptDirectory.from_config(_config())
