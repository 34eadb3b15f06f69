"""The latest submissions in one state are asked for by batch, partition and provider."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the three indexes."""
    for name, column in (
        ("ix_submissions_batch_state", "batch"),
        ("ix_submissions_partition_state", "partition_key"),
        ("ix_submissions_provider_state", "provider"),
    ):
        op.create_index(name, "submissions", [column, "state", "planned_at"])
