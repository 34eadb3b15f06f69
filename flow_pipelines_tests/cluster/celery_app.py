"""What a Celery worker of a host runs: Dagster's runs in one queue, their steps in another.

With one queue, runs that wait for their steps could hold every place that a step needs. A run that
the Celery launcher started is a task, and Celery lets no task wait for another's result, as
Dagster's Celery executor does there: it has to be told that this is meant.
"""

from __future__ import annotations

import os

from celery import signals
from celery._state import _set_task_join_will_block
from dagster_celery.config import DEFAULT_CONFIG
from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task, create_task

from flow_pipelines_tests.cluster import location  # noqa: F401 - once, for all that is forked
from flow_pipelines_tests.cluster.names import QUEUE, STEP_QUEUE, addresses, step_settings

_QUEUE = os.environ[QUEUE]
_SETTINGS = {**DEFAULT_CONFIG, **(step_settings() if _QUEUE == STEP_QUEUE else {})}
app = make_app({**addresses(_QUEUE), "config_source": _SETTINGS})
execute_plan = create_task(app, acks_late=True)
execute_job = create_execute_job_task(app)
resume_job = create_resume_job_task(app)


@signals.worker_process_init.connect(weak=False)
def let_runs_wait_for_their_steps(**_: object) -> None:
    _set_task_join_will_block(False)
