"""What is done to the cluster; each of it leaves it whole for the next."""

from __future__ import annotations

from collections.abc import Callable

from flow_pipelines_tests.cluster import services
from flow_pipelines_tests.cluster.holders import Part
from flow_pipelines_tests.cluster.hosts import HOSTS, LEDGER, Cluster
from flow_pipelines_tests.cluster.trial import Trial

CUT_SECONDS = 75.0
AWAY_SECONDS = 3.0
AHEAD_SECONDS = 120.0


class CannotRun(Exception):
    """Something that the scenario needs is not installed here."""


def _launch(trial: Trial) -> None:
    for night in trial.nights:
        trial.cluster.launch(night)


def four_nights(trial: Trial) -> None:
    """Buy a night at each provider at once."""
    _launch(trial)
    trial.wait_until_whole()


def one_kill(trial: Trial) -> None:
    """Buy one night, and kill the host that submits it."""
    slow_submits(trial.cluster)
    _launch(trial)
    host = trial.wait_for_holder("submitting", after_rows=1)
    trial.wait_for_open_answer(host)
    kill(trial, host)
    trial.wait_until_whole()


def killed_while(part: Part) -> Callable[[Trial], None]:
    """Return a backfill of which a host dies in the middle of this part."""

    def run(trial: Trial) -> None:
        slow = slow_submits if part == "submitting" else slow_downloads
        slow(trial.cluster)
        backfill = trial.cluster.backfill(trial.nights)
        host = trial.wait_for_holder(part, after_rows=2)
        if part == "submitting":
            trial.wait_for_open_answer(host)
        kill(trial, host)
        trial.wait_until_whole()
        trial.wait_for_backfill(backfill)
        trial.cluster.start_host(host)

    return run


def link_cut(trial: Trial) -> None:
    """Cut the cable of the host that submits, and mend it later."""
    slow_submits(trial.cluster)
    _launch(trial)
    host = trial.wait_for_holder("submitting", after_rows=3)
    trial.wait_for_open_answer(host)
    trial.cluster.network.cut(host)
    trial.interrupted(host)
    trial.cluster.control.clear_faults()
    mended_at = trial.clock.monotonic() + CUT_SECONDS
    trial.wait_for("the cable", lambda: trial.clock.monotonic() >= mended_at)
    trial.cluster.network.mend(host)
    trial.wait_until_whole()


def database_restarted(trial: Trial) -> None:
    """Restart PostgreSQL, which has Dagster's storage too, while nights are submitted."""
    slow_submits(trial.cluster)
    _launch(trial)
    trial.wait_for_holder("submitting", after_rows=3)
    trial.interrupted_everywhere()
    trial.cluster.postgres.restart(AWAY_SECONDS)
    trial.cluster.control.clear_faults()
    trial.wait_until_whole()


def clocks_apart(trial: Trial) -> None:
    """Let one host be two minutes ahead and the other two minutes behind."""
    for host, ahead in zip(HOSTS, (AHEAD_SECONDS, -AHEAD_SECONDS), strict=True):
        trial.cluster.stop_host(host)
        trial.cluster.start_host(host, ahead_seconds=ahead)
    _launch(trial)
    trial.wait_until_whole()
    _restart_hosts(trial.cluster)


def ledger_restored(trial: Trial) -> None:
    """Put a copy of the ledger of before the night in its place, and buy the night again."""
    cluster = trial.cluster
    cluster.postgres.copy(LEDGER, "older")
    _launch(trial)
    trial.wait_until_whole()
    cluster.postgres.put_in_place_of(LEDGER, "older")
    _launch(trial)
    trial.wait_until_whole()


def behind_a_bouncer(trial: Trial) -> None:
    """Let everybody reach the ledger through pgbouncer, in transaction mode."""
    cluster = trial.cluster
    if services.start_bouncer(cluster.folder, cluster.children) is None:
        raise CannotRun("pgbouncer is not installed")
    direct = cluster.ledger_url
    cluster.ledger_url = services.url_of(LEDGER, services.BOUNCER_PORT)
    cluster.restart_code_server()
    _restart_hosts(cluster)
    try:
        _launch(trial)
        trial.wait_until_whole()
    finally:
        cluster.ledger_url = direct


def slow_submits(cluster: Cluster) -> None:
    cluster.control.add_fault("floyo", "create_run", "slow_answer", seconds=2.0, count=None)


def slow_downloads(cluster: Cluster) -> None:
    cluster.control.add_fault("floyo", "download_file", "slow_answer", seconds=1.5, count=None)


def kill(trial: Trial, host: str) -> None:
    trial.cluster.kill_host(host)
    trial.interrupted(host)
    trial.cluster.control.clear_faults()


def _restart_hosts(cluster: Cluster) -> None:
    for host in HOSTS:
        cluster.stop_host(host)
        cluster.start_host(host)
