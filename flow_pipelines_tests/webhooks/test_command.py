"""`flow-pipelines webhooks` as a process: its start, its end, what it says and what it lacks."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests
from click.testing import CliRunner

from flow_pipelines.cli import main
from flow_pipelines.ledger import open_ledger
from flow_pipelines.webhooks import listen, make_app, make_server
from flow_pipelines.webhooks.serving import BoundedProtocol
from flow_pipelines_tests.webhooks.conftest import OURS, Post
from flow_pipelines_tests.webhooks.webhook_harness import eventually


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    open_ledger(url).close()
    return {
        "FLOW_PIPELINES_LEDGER_URL": url,
        "FLOW_PIPELINES_WEBHOOK_SECRET": OURS.reveal(),
        "FLORA_WEBHOOK_SECRET": "whsec_0123456789",
    }


@pytest.fixture
def receiver(variables: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "flow_pipelines.cli", "webhooks", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    assert process.stderr is not None
    first = process.stderr.readline()
    found = re.search(r"listening on 127\.0\.0\.1 port (\d+) for .*flora", first)
    try:
        assert found is not None, first + process.stderr.read()
        yield process, f"http://127.0.0.1:{found[1]}"
    finally:
        process.kill()
        process.wait(10)
        process.stderr.close()


def test_it_answers_until_it_is_told_to_end_and_logs_no_address(
    receiver: tuple[subprocess.Popen[str], str],
) -> None:
    process, url = receiver
    assert eventually(lambda: requests.get(f"{url}/health", timeout=10).status_code == 200)
    token = "a-token-that-somebody-guessed-0123456789"
    answer = requests.post(f"{url}/callbacks/flora/key/{token}", data=b"{}", timeout=10)
    assert (answer.status_code, answer.text) == (403, "refused\n")

    process.send_signal(signal.SIGTERM)

    assert process.wait(20) == 0
    assert process.stderr is not None
    said = process.stderr.read()
    assert "stopped" in said
    assert "FLOW_PIPELINES_WEBHOOK_URL is not set" in said
    assert token not in said
    assert OURS.reveal() not in said


def test_it_does_not_take_dagster_to_receive(variables: dict[str, str]) -> None:
    code = (
        "import sys; from flow_pipelines.cli import receiver, environment;"
        "receiver.read_senders({}); environment.open_existing_ledger().close();"
        "print([name for name in sys.modules if name.startswith('dagster')])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert answer.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("secret", "message"),
    [(None, "FLOW_PIPELINES_WEBHOOK_SECRET is not set"), ("short", "needs 32 characters")],
)
def test_it_does_not_start_without_a_secret_that_nobody_guesses(
    variables: dict[str, str], secret: str | None, message: str
) -> None:
    environment = {**variables, "FLOW_PIPELINES_WEBHOOK_SECRET": secret}
    answer = CliRunner(env=environment).invoke(main, ["webhooks", "--port", "0"])
    assert answer.exit_code == 1
    assert message in answer.output
    assert "Traceback" not in answer.output


def test_it_does_not_start_on_a_ledger_that_is_not_there(
    variables: dict[str, str], tmp_path: Path
) -> None:
    environment = {**variables, "FLOW_PIPELINES_LEDGER_URL": f"sqlite:///{tmp_path}/none.db"}
    answer = CliRunner(env=environment).invoke(main, ["webhooks", "--port", "0"])
    assert (answer.exit_code, "There is no ledger" in answer.output) == (1, True)
    assert not (tmp_path / "none.db").exists()


def test_it_says_so_when_its_port_is_taken(variables: dict[str, str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = str(other.getsockname()[1])
        answer = CliRunner(env=variables).invoke(main, ["webhooks", "--port", port])
    assert answer.exit_code == 1
    assert f"port {port}: something else listens there" in answer.output


@pytest.fixture
def port(post: Post) -> Iterator[int]:
    """A receiver that serves in a thread of this process."""
    server = make_server(make_app(post.handler))
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert eventually(lambda: server.started)
        yield listener.getsockname()[1]
        server.should_exit = True
        thread.join(15)
    assert not thread.is_alive()


HALF = b"POST /callbacks/flora/key/tok"
IDLE = b"GET /health HTTP/1.1\r\nHost: us\r\n\r\n"


@pytest.mark.case(
    "150 connections without whole headers made /health fail for 30 s",
    "connections that wait are bounded, for each peer and in all; a new one ends the oldest",
)
@pytest.mark.parametrize("said", [b"", HALF, IDLE], ids=["silent", "half a head", "idle"])
@pytest.mark.parametrize("peers", [1, 30], ids=["one peer", "thirty peers"])
def test_connections_that_only_wait_do_not_shut_others_out(
    port: int, said: bytes, peers: int
) -> None:
    with ExitStack() as stack:
        for number in range(150):
            source = (f"127.0.1.{1 + number % peers}", 0)
            waiting = socket.create_connection(
                ("127.0.0.1", port), timeout=10, source_address=source
            )
            stack.enter_context(waiting).sendall(said)
            if said == IDLE:
                assert waiting.recv(1000).startswith(b"HTTP/1.1 200")
        answers = [requests.get(f"http://127.0.0.1:{port}/health", timeout=10) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3


@pytest.mark.parametrize("said", [b"", HALF, IDLE + HALF], ids=["silent", "half", "second half"])
def test_headers_that_do_not_come_end_their_connection_and_no_other(
    post: Post, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, said: bytes
) -> None:
    monkeypatch.setattr(BoundedProtocol, "head_seconds", 0.2)
    port = request.getfixturevalue("port")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        slow.sendall(said)
        with contextlib.suppress(ConnectionResetError):
            while slow.recv(1000):
                pass


def test_a_connection_that_dribbles_ends(
    monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.setattr(BoundedProtocol, "lives_seconds", 0.2)
    port = request.getfixturevalue("port")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
        slow.sendall(HALF)
        assert slow.recv(100) == b""
