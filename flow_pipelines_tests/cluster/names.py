"""What harness, workers and code location agree on."""

from __future__ import annotations

import os

RUN_QUEUE, STEP_QUEUE = "dagster", "steps"
REDIS = "CLUSTER_REDIS"
"""Names of the harness's own variables, as are the next."""
HOST = "CLUSTER_HOST"
NOTES = "CLUSTER_NOTES"
AHEAD = "CLUSTER_AHEAD_SECONDS"


def addresses(redis: str | None = None) -> dict[str, str]:
    """Return where Celery's tasks and their results go."""
    redis = redis or os.environ[REDIS]
    return {"broker": f"{redis}/0", "backend": f"{redis}/1"}
