"""Copy the ledger of the environment, and put a copy in its place."""

from __future__ import annotations

import os
from pathlib import Path

import click
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from flow_pipelines.cli.environment import VARIABLE, ledger_url, missing_file
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import schema_facts
from flow_pipelines.ledger.file_copies import CopyFacts, copy_file, put_in_place
from flow_pipelines.model.errors import ConfigurationError


def back_up(copy: Path) -> str:
    """Copy the ledger to a new file while it is in use; say what was copied.

    Raises: ConfigurationError, where a file is there, or no ledger; LedgerError.
    """
    url = ledger_url()
    missing = missing_file(url)
    if missing is not None:
        raise ConfigurationError(f"there is no ledger at {missing}")
    file = _file(url)
    _known_revision(url, "the ledger")
    if file is None:
        from flow_pipelines.ledger.postgres_copies import dump

        facts = dump(url, copy, os.environ)
    else:
        facts = copy_file(file, copy)
    return f"{_described(facts)} is copied to {copy} ({copy.stat().st_size:,} bytes)."


def put_back(copy: Path, *, replace: bool, clock: Clock) -> str:
    """Make a copy the ledger; say so. What it lacks is not taken in yet.

    Raises: ConfigurationError, for what is no copy, and where a ledger is, unless a file's owner
        says `replace`; LedgerError.
    """
    url = ledger_url()
    file = _file(url)
    if file is None:
        if replace:
            raise click.UsageError("--replace is for a ledger that is a file.")
        from flow_pipelines.ledger.postgres_copies import load

        return f"{_described(load(url, copy, os.environ))} is there again, from {copy}."
    if not copy.is_file():
        raise ConfigurationError(f"there is no file {copy}")
    _known_revision(f"sqlite:///{copy}", str(copy))
    kept = file.with_name(f"{file.name}.before-{clock.now():%Y%m%dT%H%M%SZ}")
    was_there = file.exists()
    facts = put_in_place(copy, file, kept if replace else None)
    beside = f" The one of before is kept as {kept}." if was_there else ""
    return f"{_described(facts)} is there again, from {copy}.{beside}"


def _file(url: str) -> Path | None:
    """Return the file that a ledger is; None: it is in PostgreSQL."""
    try:
        address = make_url(url)
    except ArgumentError:
        raise ConfigurationError(f"{VARIABLE} is no URL") from None
    is_file = address.get_backend_name() == "sqlite"
    return Path(address.database or "") if is_file else None


def _known_revision(url: str, name: str) -> None:
    facts = schema_facts(url)
    if facts.current is None:
        raise ConfigurationError(f"{name} is no ledger")
    if facts.is_newer:
        raise ConfigurationError(
            f"{name} has a schema ({facts.current}) that is newer than this flow-pipelines"
        )


def _described(facts: CopyFacts) -> str:
    return f"Ledger {facts.ledger_id} (schema {facts.revision})"
