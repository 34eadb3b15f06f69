"""Whether Dagster's instance opens and its daemon is alive."""

from __future__ import annotations

import os
from collections.abc import Iterator

import dagster as dg

from flow_pipelines.cli.findings import Finding, Mark
from flow_pipelines.resources.environment import setting
from flow_pipelines.resources.run_ledger import VARIABLE as LEDGER_URL
from flow_pipelines.resources.run_ledger import is_file, leaves_this_host

_BACKFILL = "dagster/backfill"
_START = "Start `dagster-daemon run`, or `dg dev` while developing, with this DAGSTER_HOME."


def check_dagster() -> Iterator[Finding]:
    """Open the instance, read its storage, and listen for the daemon's heartbeats."""
    home = os.environ.get("DAGSTER_HOME")
    if not home:
        says = "DAGSTER_HOME is not set: Dagster would forget everything with its process"
        do = "Set DAGSTER_HOME to an absolute folder that stays, for every Dagster process."
        yield Finding("dagster", Mark.RED, says, do)
        return
    try:
        with dg.DagsterInstance.get() as instance:
            yield _storage(instance, home)
            yield from _launcher(instance)
            yield check_queue(instance)
            yield from _daemon(instance)
    except Exception as error:  # noqa: BLE001 - storages of any kind, with errors of their own
        says = f"the instance at {home} does not open: {type(error).__name__}: {_line(error)}"
        do = "Is the folder there and writable, its dagster.yaml right, the database up?"
        yield Finding("dagster", Mark.RED, says, do)


def _storage(instance: dg.DagsterInstance, home: str) -> Finding:
    runs = instance.get_runs_count()
    says = f"the instance at {home} opens and knows {runs} runs"
    return Finding("dagster", Mark.GREEN, says)


def _launcher(instance: dg.DagsterInstance) -> Iterator[Finding]:
    if not is_file(setting(None, LEDGER_URL)):
        return
    do = f"Set {LEDGER_URL} to a PostgreSQL database that every host reaches."
    if leaves_this_host(instance):
        launcher = type(instance.run_launcher).__name__
        says = f"{launcher} may start runs elsewhere, where a ledger in a file is another one"
        yield Finding("launcher", Mark.RED, says, do)
    elif "Sqlite" not in type(instance.run_storage).__name__:
        says = "Dagster's own storage is not a file, and the ledger is: that is for one host only"
        yield Finding("ledger", Mark.YELLOW, says, do)


def check_queue(instance: dg.DagsterInstance) -> Finding:
    """Return whether a long backfill, or runs whose host died, can keep tonight from starting."""
    queue = instance.get_concurrency_config().run_queue_config
    problems = []
    if queue is None:
        problems.append("runs are not queued: a backfill starts a process for each of its nights")
    elif not any(limit.get("key") == _BACKFILL for limit in queue.tag_concurrency_limits):
        problems.append(f"no limit on {_BACKFILL}: a backfill may take every place in the queue")
    if not (instance.run_monitoring_enabled and instance.run_monitoring_max_runtime_seconds):
        problems.append(
            "no max_runtime_seconds: a run whose host died where no sensor can tell, between two "
            "steps or with others' assets to do, keeps its place for ever"
        )
    if problems:
        do = "See docs/DEPLOYING.md for a dagster.yaml."
        return Finding("queue", Mark.YELLOW, "; ".join(problems), do)
    says = "backfills leave places for tonight, and runs that died give theirs back"
    return Finding("queue", Mark.GREEN, says)


def _daemon(instance: dg.DagsterInstance) -> Iterator[Finding]:
    statuses = instance.get_daemon_statuses().values()
    silent = sorted(one.daemon_type for one in statuses if one.required and not one.healthy)
    if not silent:
        says = "every part has been heard of within the last minutes"
        yield Finding("daemon", Mark.GREEN, says)
        return
    errors = {
        one.daemon_type: one.last_heartbeat.errors[0].message.strip().splitlines()[0]
        for one in statuses
        if one.last_heartbeat and one.last_heartbeat.errors
    }
    if errors:
        says = "; ".join(f"{part} fails: {message}" for part, message in sorted(errors.items()))
        do = "See the daemon's log."
    else:
        says = f"not running: nothing was heard of {', '.join(silent).lower()}"
        do = _START
    yield Finding("daemon", Mark.RED, says, do)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0][:300]
