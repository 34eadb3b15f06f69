from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from flow_pipelines.sandbox.control_client import ControlClient, ControlError
from flow_pipelines.sandbox.server import PortTaken, Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings
from flow_pipelines_tests.unit.sandbox.probe import FloyoProbe, graph

FREE = SandboxSettings(port=0, bucket_port=0)


def test_a_sandbox_starts_with_half_a_second_of_work_and_names_all_a_client_needs() -> None:
    with Sandbox(FREE):
        pass  # what the first one imports is not what a start takes
    began, worked = time.monotonic(), time.process_time()  # a busy machine takes its time
    with Sandbox(FREE) as sandbox:
        assert time.process_time() - worked < 0.5
        assert time.monotonic() - began < 5.0
        environment = sandbox.environment()
    assert environment["FLOYO_BASE_URL"].endswith("/floyo")
    assert environment["FLOYO_CDN_URL"].endswith("/floyo-cdn")
    assert environment["FLOYO_API_KEY"] == "flo_sandbox_key_0001"
    assert environment["AWS_ENDPOINT_URL_S3"].startswith("http://127.0.0.1:")


@pytest.mark.parametrize("which", ["port", "bucket_port"])
def test_a_taken_port_is_named_in_the_error(sandbox: Sandbox, which: str) -> None:
    taken = int((sandbox.url if which == "port" else sandbox.bucket.url).rsplit(":", 1)[1])
    ports = {"port": 0, "bucket_port": 0} | {which: taken}
    with (
        pytest.raises(PortTaken, match=f"port {taken} is in use"),
        Sandbox(SandboxSettings(**ports)),
    ):
        pass


def test_a_stopped_sandbox_frees_its_port_and_keeps_the_given_folder(tmp_path: Path) -> None:
    with Sandbox(SandboxSettings(port=0, bucket_port=0, bucket_folder=tmp_path)) as first:
        port = int(first.url.rsplit(":", 1)[1])
        environment = first.environment()
        url = f"{environment['AWS_ENDPOINT_URL_S3']}/{environment['FLOW_PIPELINES_BUCKET']}/a"
        assert requests.put(url, data=b"kept", timeout=10).ok
    again = SandboxSettings(port=port, bucket_port=0, bucket_folder=tmp_path)
    with Sandbox(again) as second:
        variables = second.environment()
        url = f"{variables['AWS_ENDPOINT_URL_S3']}/{variables['FLOW_PIPELINES_BUCKET']}/a"
        assert requests.get(url, timeout=10).content == b"kept"


def test_state_runs_and_requests_are_told_over_http(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    run_id = floyo.create("one")
    floyo.post(f"/runs/{run_id}/cancel")
    (run,) = control.runs("floyo")
    assert (run.id, run.label, run.state) == (run_id, "one", "canceled")
    assert [record.operation for record in control.requests()] == ["create_run", "cancel_run"]
    assert [record.operation for record in control.requests(after=1)] == ["cancel_run"]
    assert control.state()["floyo"].requests == {"create_run": 1, "cancel_run": 1}
    control.reset()
    assert control.runs() == []
    assert control.state()["floyo"].runs_billed == 0


@pytest.mark.parametrize("bad", [{"slots": 0}, {"gravity": 9.81}, {"time_scale": "fast"}], ids=str)
def test_a_setting_that_cannot_be_is_refused(
    control: ControlClient, sandbox: Sandbox, bad: dict[str, object]
) -> None:
    before = sandbox.world.tuning
    with pytest.raises(ControlError):
        control.configure(**bad)
    assert sandbox.world.tuning == before


def test_the_key_is_nowhere_in_what_the_control_api_tells(
    floyo: FloyoProbe, sandbox: Sandbox
) -> None:
    floyo.post("/runs", workflow=graph())
    for page in ("state", "requests", "runs", "faults", "deliveries"):
        text = requests.get(f"{sandbox.url}/_sandbox/{page}", timeout=10).text
        assert "flo_sandbox_key" not in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_served_in_the_foreground_it_stops_cleanly_on_a_signal(number: signal.Signals) -> None:
    script = (
        "from flow_pipelines.sandbox.server import serve\n"
        "from flow_pipelines.sandbox.settings import SandboxSettings\n"
        "serve(SandboxSettings(port=0, bucket_port=0), lambda s: print(s.url, flush=True))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=os.environ
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert ControlClient(url).state()["floyo"].runs_billed == 0
        process.send_signal(number)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
