"""The whole cluster: a control host with Dagster's services, and hosts with Celery workers."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import yaml

from flow_pipelines.cli.processes import Child, Children
from flow_pipelines.cli.webserver import RunRequest, Schedule, UnexpectedReply, Webserver
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import open_ledger
from flow_pipelines.model import Night
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.settings import DEFAULT_BUCKET_PORT, DEFAULT_PORT
from flow_pipelines_tests.cluster import services
from flow_pipelines_tests.cluster.homes import environment_of, home_of, write_home
from flow_pipelines_tests.cluster.names import (
    AHEAD,
    HOST,
    NOTES,
    QUEUE,
    REDIS,
    RUN_QUEUE,
    STEP_QUEUE,
)
from flow_pipelines_tests.cluster.namespaces import CONTROL, Network
from flow_pipelines_tests.dagster.backfills import start_backfill

MODULE = "flow_pipelines_tests.cluster.location"
LOCATION = "flow_pipelines"
HOSTS = ("east", "west")
STARTS_SECONDS = 120.0
ASSETS = ("prompts", "provider_runs", "images", "contact_sheet")
RUNS_AT_ONCE, STEPS_AT_ONCE = 3, 4
"""Of one host; a run only waits for its steps."""
_CODE_PORT, _WEB_PORT = 4000, 3000
_CLICKS = 12
LEDGER, DAGSTER = "ledger", "dagster"


class Cluster:
    """Everything that runs, and what is done to it from outside."""

    def __init__(self, network: Network, folder: Path, children: Children) -> None:
        self.network, self.folder, self.children = network, folder, children
        self.postgres = services.Postgres(folder, children)
        self.notes = folder / "steps.jsonl"
        self.webserver = Webserver(f"http://127.0.0.1:{_WEB_PORT}")
        self.ledger_url = services.url_of(LEDGER)
        self._workers: dict[str, list[Child]] = {host: [] for host in HOSTS}
        self._services: dict[str, Child] = {}
        self._shared: dict[str, str] = {}

    def start(self) -> None:
        """Start everything, and wait until Dagster answers."""
        self.notes.touch()
        self.postgres.prepare()
        self._serve_stand_ins()
        self._redis = services.start_redis(self.folder, self.children)
        self.postgres.start()
        self.postgres.execute(f"CREATE DATABASE {LEDGER}", f"CREATE DATABASE {DAGSTER}")
        self.ledger = open_ledger(self.ledger_url)
        self.children.wait_for(self._told.exists, "the stand-ins", seconds=STARTS_SECONDS)
        told = json.loads(self._told.read_text())
        found = told["environment"]
        self.control = ControlClient(told["url"], found["REQUESTS_CA_BUNDLE"])
        self.control.configure(max_picture_side=64, slots=8)
        self.bucket = self.folder / "buckets" / found["FLOW_PIPELINES_BUCKET"]
        self._shared = {
            **found,
            REDIS: self._redis,
            NOTES: str(self.notes),
        }
        storage = services.url_of(DAGSTER)
        for host in ("control", *HOSTS):
            write_home(home_of(self.folder, host), storage, self._redis)
        server = {"host": CONTROL, "port": _CODE_PORT, "location_name": LOCATION}
        workspace = {"load_from": [{"grpc_server": server}]}
        (self.folder / "workspace.yaml").write_text(yaml.safe_dump(workspace))
        self._start_service("code-server")
        for host in HOSTS:
            self.start_host(host)
        self._wait_for_code_server()
        for name in ("daemon", "webserver"):
            self._start_service(name)
        self._wait_until_loaded()

    def start_host(self, host: str, *, ahead_seconds: float = 0.0) -> None:
        """Start a host's workers, behind a cable that is whole."""
        self.network.mend(host)
        environment = self._environment(host)
        environment |= {HOST: host, AHEAD: str(ahead_seconds)}
        for queue, places in ((RUN_QUEUE, RUNS_AT_ONCE), (STEP_QUEUE, STEPS_AT_ONCE)):
            command = [
                *(sys.executable, "-m", "celery", "-A", "flow_pipelines_tests.cluster.celery_app"),
                *("worker", "-Q", queue, "-c", str(places), "-n", f"{queue}@{host}"),
                *("--prefetch-multiplier=1", "--without-gossip", "--without-mingle"),
                *("--loglevel", "INFO"),
            ]
            command = self.network.command(host, command)
            told = {**environment, QUEUE: queue}
            child = self.children.start(f"{host}-{queue}", command, told)
            self._workers[host].append(child)

    def kill_host(self, host: str) -> None:
        """Let a host vanish: no process says goodbye, and no packet either."""
        self.network.cut(host)
        for child in self._workers[host]:
            self.children.kill(child)
        for pid in self.network.processes(host):
            os.kill(pid, signal.SIGKILL)
        self._workers[host] = []

    def stop_host(self, host: str) -> None:
        """Shut a host down as a person does."""
        self.children.stop(*self._workers[host])
        self._workers[host] = []

    def stop(self) -> None:
        """Stop what works before what it works with."""
        for workers in self._workers.values():
            for child in workers:
                self.children.kill(child)
        self.children.stop(*self._services.values())

    def restart_code_server(self) -> None:
        """Let ticks begin anew, with a ledger address that may have changed."""
        self.children.stop(self._services["code-server"])
        self._start_service("code-server")
        self._wait_for_code_server()
        self._wait_until_loaded()

    def keep_services_up(self) -> None:
        """Start again what ended by itself, as whatever keeps services running would."""
        for name, child in list(self._services.items()):
            if child.process.poll() is not None:
                self.children.stop(child)
                self._start_service(name)

    def launch(self, night: Night) -> None:
        """Buy a night as its schedule would: only `images` is left to the sensor."""
        batch, key = night
        now = SystemClock().now()
        schedule = Schedule(
            f"{batch}_schedule", f"{batch}_generation", "__repository__", LOCATION, now
        )
        tags = {"dagster/partition": key}
        request = RunRequest(schedule.job, None, "", tags)
        _again_if_refused(lambda: self.webserver.launch(schedule, request))

    def backfill(self, nights: Sequence[Night]) -> str:
        """Buy and store nights of one batch as a person does in the dialog; return its id."""
        batch = nights[0].batch
        keys = [night.partition_key for night in nights]
        assets = [(batch, asset) for asset in ASSETS]
        return _again_if_refused(lambda: start_backfill(self.webserver, assets, keys))

    def _wait_for_code_server(self) -> None:
        def answers() -> bool:
            with suppress(OSError), socket.create_connection((CONTROL, _CODE_PORT), timeout=1.0):
                return True
            return False

        self.children.wait_for(answers, "the code server", seconds=STARTS_SECONDS)

    def _wait_until_loaded(self) -> None:
        def loaded() -> bool:
            with suppress(UnexpectedReply):  # it has not noticed yet that the code server is back
                return self.webserver.loaded()
            return False

        self.children.wait_for(loaded, "Dagster", seconds=STARTS_SECONDS)

    def _serve_stand_ins(self) -> None:
        self._told = self.folder / "stand-ins.json"
        command = [
            *(sys.executable, "-m", "flow_pipelines.cli", "sandbox", "--host", CONTROL, "--https"),
            *("--port", str(DEFAULT_PORT), "--bucket-port", str(DEFAULT_BUCKET_PORT)),
            *("--folder", str(self.folder / "buckets"), "--tell", str(self._told)),
            *("--median-seconds", "1"),
        ]
        self.children.start("stand-ins", command, self._environment("control"))

    def _start_service(self, name: str) -> None:
        workspace = str(self.folder / "workspace.yaml")
        serve = ("-h", CONTROL, "-p", str(_CODE_PORT), "-m", MODULE, "--location-name", LOCATION)
        show = ("-h", "127.0.0.1", "-p", str(_WEB_PORT))
        arguments = {
            "code-server": ("dagster", "api", "grpc", *serve),
            "daemon": ("dagster._daemon", "run", "-w", workspace),
            "webserver": ("dagster_webserver", "-w", workspace, *show),
        }
        command = [sys.executable, "-m", *arguments[name]]
        self._services[name] = self.children.start(name, command, self._environment("control"))

    def _environment(self, host: str) -> dict[str, str]:
        found = {**self._shared, "FLOW_PIPELINES_LEDGER_URL": self.ledger_url}
        return environment_of(home_of(self.folder, host), found)


def _again_if_refused(ask: Callable[[], str]) -> str:
    """Click again: after a restart of PostgreSQL the webserver still has old connections."""
    for _ in range(_CLICKS - 1):
        with suppress(UnexpectedReply):
            return ask()
    return ask()


@contextmanager
def running_cluster(network: Network, folder: Path, logs: Path) -> Iterator[Cluster]:
    """Start a cluster in `folder`, and leave no process behind."""
    with Children(logs, SystemClock()) as children:
        cluster = Cluster(network, folder, children)
        cluster.start()
        with closing(cluster.ledger):
            yield cluster
            cluster.stop()
