"""A sandbox for other machines: https, by a certificate of its own or a given one."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import requests

from flow_pipelines.clock import SystemClock
from flow_pipelines.resources import FloyoResource
from flow_pipelines.sandbox.certificate import own_certificate
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings
from flow_pipelines.transport import MemoryPaceStore

STATE = "/_sandbox/state"


def settings(**rest: object) -> SandboxSettings:
    return SandboxSettings(port=0, bucket_port=0, https=True, **rest)  # type: ignore[arg-type]


def test_its_own_certificate_is_trusted_by_whoever_is_told_of_it_and_by_nobody_else() -> None:
    with Sandbox(settings()) as sandbox:
        told = sandbox.environment()["REQUESTS_CA_BUNDLE"]
        assert sandbox.url.startswith("https://")
        assert requests.get(sandbox.url + STATE, verify=told, timeout=10).ok
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(sandbox.url + STATE, timeout=10)
    assert not Path(told).exists()


def test_its_key_is_read_by_its_owner_only_and_gone_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "tls" / "certificate.pem"
    with Sandbox(settings(certificate=file)) as sandbox:
        assert sandbox.certificate is not None
        key = sandbox.certificate.key
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert [path.name for path in file.parent.iterdir()] == [file.name]
        assert b"PRIVATE" not in file.read_bytes()
        assert sandbox.environment()["REQUESTS_CA_BUNDLE"] == str(file)
    assert not key.exists()


def test_a_given_certificate_is_served_and_nobody_is_told_what_to_trust(tmp_path: Path) -> None:
    mine = own_certificate(tmp_path / "mine.pem", tmp_path / "mine.key", ["127.0.0.1"])
    with Sandbox(settings(certificate=mine.file, key=mine.key)) as sandbox:
        assert "REQUESTS_CA_BUNDLE" not in sandbox.environment()
        assert requests.get(sandbox.url + STATE, verify=str(mine.file), timeout=10).ok


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_our_clients_reach_it_by_the_variables_that_it_tells(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    with Sandbox(settings(host=host)) as sandbox:
        for name, value in sandbox.environment().items():
            monkeypatch.setenv(name, value)
        clock = SystemClock()
        report = FloyoResource().check_account(MemoryPaceStore(clock), clock)
        assert report.server_time is not None
        assert FloyoResource().base_url_in_use().startswith(f"https://{host}:")


def announced(folder: Path, *words: str) -> Mapping[str, str]:
    """Return the variables that the command tells, once it answers."""
    told = folder / "told.json"
    command = [sys.executable, "-m", "flow_pipelines.cli", "sandbox", "--tell", str(told)]
    command += ["--port", "0", "--bucket-port", "0", *words]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stdout is not None
        process.stdout.readline()  # written after the file
        environment: dict[str, str] = json.loads(told.read_text())["environment"]
    finally:
        process.terminate()
        process.communicate(timeout=20)
    return environment


def test_for_this_machine_only_it_speaks_http(tmp_path: Path) -> None:
    told = announced(tmp_path)
    assert told["FLOYO_BASE_URL"].startswith("http://127.0.0.1:")
    assert "REQUESTS_CA_BUNDLE" not in told


@pytest.mark.parametrize(("words", "scheme"), [((), "https"), (("--http",), "http")], ids=str)
def test_for_other_machines_it_speaks_https_unless_told_otherwise(
    tmp_path: Path, words: tuple[str, ...], scheme: str
) -> None:
    told = announced(tmp_path, "--host", "0.0.0.0", *words)
    assert told["FLOYO_BASE_URL"].startswith(f"{scheme}://")
    assert "0.0.0.0" not in " ".join(told.values())
    assert ("REQUESTS_CA_BUNDLE" in told) is (scheme == "https")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--http", "--certificate", "a.pem"), "are for https"),
        (("--key", __file__), "--key needs the --certificate"),
    ],
    ids=["a certificate and http", "a key alone"],
)
def test_options_that_contradict_each_other_are_refused(words: tuple[str, ...], says: str) -> None:
    command = [sys.executable, "-m", "flow_pipelines.cli", "sandbox", *words]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 1
    assert says in ended.stderr
