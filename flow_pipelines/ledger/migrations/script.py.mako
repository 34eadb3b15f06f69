"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
# True: tables, indexes and columns that may be left out; a release without them works on.
additive = False


def upgrade() -> None:
    """Take the schema to this revision."""
    ${upgrades if upgrades else "pass"}
