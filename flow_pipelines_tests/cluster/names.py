"""What harness, workers and code location agree on."""

from __future__ import annotations

import os
from typing import Any

RUN_QUEUE, STEP_QUEUE = "dagster", "steps"
REDIS = "CLUSTER_REDIS"
"""Names of the harness's own variables, as are the next."""
HOST = "CLUSTER_HOST"
QUEUE = "CLUSTER_QUEUE"
NOTES = "CLUSTER_NOTES"
AHEAD = "CLUSTER_AHEAD_SECONDS"
HANDED_ON_SECONDS = 75
"""After so long a step that no worker has called ended goes to another one. A step that takes
longer is worked on twice, which buys nothing twice; a run would be called failed for it."""
_DATABASES = {RUN_QUEUE: 0, STEP_QUEUE: 2}
"""Of Redis: what was not called ended is looked through by all workers of one of them."""


def addresses(queue: str, redis: str | None = None) -> dict[str, str]:
    """Return where a queue's tasks and their results go."""
    redis = redis or os.environ[REDIS]
    return {"broker": f"{redis}/{_DATABASES[queue]}", "backend": f"{redis}/1"}


def step_settings() -> dict[str, Any]:
    """Return Celery's settings for steps: one that its host took along is not lost."""
    options = {"visibility_timeout": HANDED_ON_SECONDS}
    return {"task_default_queue": STEP_QUEUE, "broker_transport_options": options}
