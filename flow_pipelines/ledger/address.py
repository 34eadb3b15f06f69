"""Where a ledger is: its URL, and what of that URL is ours rather than the driver's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from flow_pipelines.model.errors import ConfigurationError

_OURS = ("schema", "upgrade")
_SWITCH: Mapping[object, bool] = {"true": True, "false": False}


@dataclass(frozen=True, kw_only=True)
class Address:
    """A ledger's URL, taken apart."""

    url: URL
    """As SQLAlchemy and the driver take it."""
    schema: str | None = None
    """PostgreSQL's, in which all tables are; None: what the role's search path leads to."""
    upgrade: bool = True
    """Whether opening it may create or upgrade its tables."""

    @property
    def is_postgres(self) -> bool:
        """Return whether it is PostgreSQL's; else it is SQLite's."""
        return self.url.get_backend_name() == "postgresql"

    @property
    def quoted_schema(self) -> str:
        """Return `schema` as SQL writes a name."""
        return '"' + (self.schema or "").replace('"', '""') + '"'


def read_address(text: str, *, schema: str | None = None, upgrade: bool | None = None) -> Address:
    """Read a ledger's URL; `?schema=` and `?upgrade=false` are ours, other options the driver's.

    `schema` and `upgrade` go before the URL's, where they are given. Raises: ConfigurationError.
    """
    try:
        url = make_url(text)
    except ArgumentError:
        # The text is not repeated: it may hold a password.
        raise ConfigurationError(
            "the ledger's address is not a URL such as sqlite:////path/ledger.db or "
            "postgresql://user@host/database"
        ) from None
    given = url.query
    url = url.difference_update_query(_OURS)
    if url.drivername in {"postgresql", "postgres"}:
        url = url.set(drivername="postgresql+psycopg")
    written = given.get("schema")
    schema = schema or (written if isinstance(written, str) else None)
    _refuse(url, schema)
    switch = given.get("upgrade", "true")
    if switch not in _SWITCH:
        raise ConfigurationError("the ledger's address says upgrade=true or upgrade=false")
    switched = _SWITCH[switch] if upgrade is None else upgrade
    return Address(url=url, schema=schema, upgrade=switched)


def shown(url: URL) -> str:
    """Return a URL for people: without its password, and without options, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


def _refuse(url: URL, schema: str | None) -> None:
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if url.database in {None, "", ":memory:"}:
            raise ConfigurationError("a ledger in memory would forget what was bought: name a file")
        if schema:
            raise ConfigurationError("a ledger in a file has no schemas: leave `schema` out")
    elif url.drivername != "postgresql+psycopg":
        raise ConfigurationError(
            f"the ledger is kept in SQLite or PostgreSQL, not in {url.drivername}"
        )
