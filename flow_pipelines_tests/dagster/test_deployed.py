"""The image's commands in a plain virtual environment, and a night in what compose.yaml starts."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import requests
from sqlalchemy import make_url

from flow_pipelines.cli.processes import Children, ended_by_signals, free_port
from flow_pipelines.cli.webserver import Webserver
from flow_pipelines.clock import SystemClock
from flow_pipelines_tests.dagster.machine import BATCH, PATIENCE_SECONDS, ROWS
from flow_pipelines_tests.databases import PostgresServer, postgres_server
from flow_pipelines_tests.deploy.compose import example
from flow_pipelines_tests.deploy.dockerfile import Image
from flow_pipelines_tests.deploy.postgres import deployed
from flow_pipelines_tests.deploy.running import HERE, Containers, Ports

__all__ = ["postgres_server"]

pytestmark = [pytest.mark.end_to_end, pytest.mark.exhaustive]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """All that the Dockerfile does; needs a package index, as the first `make` does."""
    made = Image(tmp_path_factory.mktemp("image"))
    made.build()
    return made


@dataclass
class Deployment:
    containers: Containers
    children: Children
    ports: Ports
    bucket: Path
    certificate: Path

    def wait_until_there(self, pattern: str, number: int = 1) -> list[Path]:
        """Wait for objects in the bucket."""
        self.children.wait_for(
            lambda: len([*self.bucket.glob(pattern)]) >= number, pattern, seconds=PATIENCE_SECONDS
        )
        return [*self.bucket.glob(pattern)]

    def stand_in(self, method: str, name: str, **rest: object) -> requests.Response:
        url = f"https://{HERE}:{self.ports.sandbox}/_sandbox/{name}"
        answer = requests.request(method, url, verify=str(self.certificate), timeout=10, **rest)  # type: ignore[arg-type]
        answer.raise_for_status()
        return answer


@pytest.fixture(scope="module")
def deployment(
    image: Image, postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """Every service, started as compose.yaml does, one after the other as it has them wait."""
    passwords = {name: f"{name}0".lower().replace("_", "") for name in example() if "PASSW" in name}
    values = {**example(), **passwords}
    logs = tmp_path_factory.mktemp("logs")
    with (
        deployed(postgres_server, values) as port,
        ended_by_signals(),
        Children(logs, SystemClock()) as children,
    ):
        ports = Ports(free_port(), free_port(), free_port(), free_port(), port)
        containers = Containers(image, values, ports, children)
        containers.start("sandbox")
        containers.run("ledger")
        for name in ("code", "daemon", "webserver"):
            containers.start(name)
        bucket = Path(image.place("/srv/sandbox/bucket"), values["FLOW_PIPELINES_BUCKET"])
        certificate = Path(image.place(values["REQUESTS_CA_BUNDLE"]))
        yield Deployment(containers, children, ports, bucket, certificate)


def test_the_image_has_what_it_needs_and_nothing_for_tests(image: Image) -> None:
    programs = {path.name for path in (image.python / "bin").iterdir()}
    assert {"dagster", "dagster-daemon", "dagster-webserver", "flow-pipelines"} <= programs
    assert "pytest" not in programs
    broken = subprocess.run(
        [image.python / "bin" / "python", "-m", "pip", "check"],
        env=image.variables({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert broken.returncode == 0, broken.stdout


@pytest.mark.case(
    "A copy installed beside other packages did not load: Dagster looks for a pyproject.toml",
    "The image keeps the project in place, and its code server answers",
)
def test_a_night_is_bought_once_stored_and_its_steps_are_told_in_the_bucket(
    deployment: Deployment,
) -> None:
    deployment.stand_in("POST", "settings", json={"median_seconds": 1})
    webserver = Webserver(f"http://{HERE}:{deployment.ports.webserver}")
    deployment.children.wait_for(webserver.loaded, "the code location", seconds=60)
    [schedule] = [one for one in webserver.schedules() if one.name == f"{BATCH}_schedule"]
    [request] = webserver.evaluate(schedule)
    webserver.launch(schedule, request)

    pictures = deployment.wait_until_there(f"flow/{BATCH}/*/images/*", ROWS)
    deployment.wait_until_there(f"flow/{BATCH}/*/contact_sheet.jpg")
    deployment.wait_until_there("step_logs/storage/*/compute_logs/*.err")

    assert len(pictures) == ROWS
    meter = deployment.stand_in("GET", "state").json()["providers"]["floyo"]
    assert (meter["runs_billed"], meter["duplicate_bills"]) == (ROWS, 0)
    code = deployment.containers.environment(deployment.containers.services["code"])
    ledger = make_url(code["FLOW_PIPELINES_LEDGER_URL"]).set(query={})
    with psycopg.connect(ledger.render_as_string(hide_password=False)) as connection:
        [row] = connection.execute("SELECT current_user, count(*) FROM submissions").fetchall()
    assert row == ("ledger_writer", ROWS)
