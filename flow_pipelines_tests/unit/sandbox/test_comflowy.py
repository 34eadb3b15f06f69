"""The stand-in of Comflowy: the token, runs, links and callbacks, as its page has them."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
import requests

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.unit.sandbox.probe import LONG_ENOUGH, HandClock

PARAMS = {"6::text": "a tiger", "3::seed": 7, "5::width": 64, "5::height": 80}


class ComflowyProbe:
    """Sends what it is told, once, and judges nothing."""

    def __init__(self, environment: Mapping[str, str], clock: HandClock) -> None:
        self.api, self.key = environment["COMFLOWY_BASE_URL"], environment["COMFLOWY_API_KEY"]
        self.clock = clock
        self.session = requests.Session()
        self.session.trust_env = False

    def sign_in(self, key: str | None = None) -> requests.Response:
        found = self.session.get(
            f"{self.api}/auth/token", params={"ppt": key or self.key}, timeout=10
        )
        if found.ok:
            self.use(found.json()["access_token"])
        return found

    def use(self, token: str) -> None:
        self.session.headers["Authorization"] = f"Bearer {token}"

    def send(self, method: str, path: str, **rest: Any) -> requests.Response:
        return self.session.request(method, f"{self.api}{path}", timeout=10, **rest)

    def run(self, workflow_id: Any = "w1", params: Any = PARAMS, **more: Any) -> requests.Response:
        body = {"workflow_id": workflow_id, "params": params, **more}
        return self.send("POST", "/run", json=body)

    def create(self, params: Any = PARAMS, **more: Any) -> str:
        answer = self.run("w1", params, **more).json()
        assert answer["success"] is True
        return str(answer["data"]["run_id"])

    def check(self, run_id: str, method: str = "POST") -> dict[str, Any]:
        document: dict[str, Any] = self.send(method, "/check", params={"id": run_id}).json()
        return document

    def finished(self, run_id: str) -> dict[str, Any]:
        self.clock.advance(LONG_ENOUGH)
        data: dict[str, Any] = self.check(run_id)["data"]
        return data

    def download(self, url: str) -> requests.Response:
        return requests.get(url, timeout=10)


@pytest.fixture
def comflowy(sandbox: Sandbox, hand_clock: HandClock) -> ComflowyProbe:
    probe = ComflowyProbe(sandbox.environment(), hand_clock)
    probe.sign_in()
    return probe


def test_a_key_in_the_query_becomes_a_token_and_nothing_else_is_told(
    comflowy: ComflowyProbe,
) -> None:
    answer = comflowy.sign_in()
    assert set(answer.json()) == {"access_token"}
    assert comflowy.sign_in().json() != answer.json()


def test_an_unknown_key_gets_no_token(comflowy: ComflowyProbe) -> None:
    answer = comflowy.sign_in("wrong_key")
    assert answer.status_code == 401
    assert answer.json()["success"] is False


@pytest.mark.parametrize("bearer", [None, "nonsense"])
def test_the_key_itself_opens_nothing_but_the_token_call(
    comflowy: ComflowyProbe, control: ControlClient, bearer: str | None
) -> None:
    comflowy.use(bearer or comflowy.key)
    for answer in (comflowy.run(), comflowy.send("POST", "/check", params={"id": "x"})):
        assert answer.status_code == 401
    assert control.state()["comflowy"].runs_billed == 0


def test_a_token_is_good_for_as_long_as_the_sandbox_is_told(
    comflowy: ComflowyProbe, control: ControlClient, hand_clock: HandClock
) -> None:
    control.configure(comflowy_token_seconds=20)
    comflowy.sign_in()
    hand_clock.advance(19)
    assert comflowy.run().status_code == 200
    hand_clock.advance(1)
    assert comflowy.run().status_code == 401
    assert comflowy.sign_in().status_code == 200
    assert comflowy.run().status_code == 200


def test_a_token_can_be_a_jwt_that_says_when_it_ends(
    comflowy: ComflowyProbe, control: ControlClient, hand_clock: HandClock
) -> None:
    control.configure(comflowy_token_is_jwt=True, comflowy_token_seconds=90)
    payload = comflowy.sign_in().json()["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    assert claims["exp"] == hand_clock.at + 90
    assert comflowy.run().status_code == 200


def test_the_request_log_has_no_key(comflowy: ComflowyProbe, control: ControlClient) -> None:
    comflowy.sign_in()
    shown = [one for one in control.requests() if one.operation == "get_token"]
    assert shown[-1].path.endswith("/auth/token?ppt=[redacted]")
    assert shown[-1].key == "comflowy-key-1"


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_run_is_asked_for_by_the_id_in_the_query(comflowy: ComflowyProbe, method: str) -> None:
    document = comflowy.check(comflowy.create(), method)
    assert document["success"] is True
    assert document["data"] == {"status": "running", "output_images": [], "full_outputs": {}}


def test_a_run_waits_is_pending_runs_and_succeeds(
    comflowy: ComflowyProbe, control: ControlClient, hand_clock: HandClock
) -> None:
    control.configure(slots=1, sigma=0.0)
    first, second = (comflowy.create({**PARAMS, "3::seed": seed}) for seed in (1, 2))
    seen: list[str] = []
    for _ in range(40):
        word = comflowy.check(second)["data"]["status"]
        seen += [word] if seen[-1:] != [word] else []
        hand_clock.advance(0.5)
    assert seen == ["waiting", "pending", "running", "success"]
    assert comflowy.check(first)["data"]["status"] == "success"


def test_pictures_are_links_in_order_and_named_again_under_their_nodes(
    comflowy: ComflowyProbe,
) -> None:
    data = comflowy.finished(comflowy.create({**PARAMS, "5::batch_size": 2}))
    assert list(data["full_outputs"]) == ["9"]
    assert data["full_outputs"]["9"]["images"] == data["output_images"]
    contents = {comflowy.download(url).content for url in data["output_images"]}
    assert len(contents) == 2
    assert all(content.startswith(b"\x89PNG") for content in contents)


def test_every_node_with_a_file_name_prefix_saves_a_picture(comflowy: ComflowyProbe) -> None:
    params = {**PARAMS, "12::filename_prefix": "big", "57:3::filename_prefix": "small"}
    data = comflowy.finished(comflowy.create(params))
    assert list(data["full_outputs"]) == ["12", "57:3"]
    assert [url.split("/")[-1].split("?")[0] for url in data["output_images"]] == [
        "big_00001_.png",
        "small_00001_.png",
    ]


def test_a_link_is_signed_anew_at_every_check_and_ends(
    comflowy: ComflowyProbe, hand_clock: HandClock
) -> None:
    run_id = comflowy.create()
    (first,) = comflowy.finished(run_id)["output_images"]
    hand_clock.advance(3600)
    comflowy.sign_in()
    (second,) = comflowy.finished(run_id)["output_images"]
    assert first.partition("?")[0] == second.partition("?")[0]
    assert first != second
    assert comflowy.download(first).status_code == 403
    assert comflowy.download(second).status_code == 200
    assert comflowy.download(second[:-1] + "x").status_code == 403


@pytest.mark.parametrize(
    ("workflow_id", "params", "status"),
    [
        ("missing-one", PARAMS, 200),
        ("", PARAMS, 200),
        ("w", {"3::seed": -1}, 200),
        ("w", {"text": "x"}, 200),
        ("w", None, 400),
        (7, PARAMS, 400),
    ],
)
def test_what_cannot_be_run_is_refused_and_costs_nothing(
    comflowy: ComflowyProbe,
    control: ControlClient,
    workflow_id: Any,
    params: Any,
    status: int,
) -> None:
    answer = comflowy.run(workflow_id, params)
    assert answer.status_code == status
    assert answer.json()["success"] is False
    assert answer.json()["error"]
    assert "data" not in answer.json()
    assert control.state()["comflowy"].runs_billed == 0


def test_a_run_of_somebody_else_or_of_nobody_is_not_found(comflowy: ComflowyProbe) -> None:
    assert comflowy.check("nobody") == {"success": False, "error": "run not found"}


def test_a_failed_run_says_why(comflowy: ComflowyProbe, control: ControlClient) -> None:
    control.add_fault("comflowy", "run", "run_fails", error="out_of_memory")
    data = comflowy.finished(comflowy.create())
    assert (data["status"], data["error"]) == ("failed", "out of memory")
    assert (data["output_images"], data["full_outputs"]) == ([], {})


def test_bills_are_told_apart_by_workflow_and_values(
    comflowy: ComflowyProbe, control: ControlClient
) -> None:
    for seed in (1, 2, 2):
        comflowy.create({**PARAMS, "3::seed": seed})
    meter = control.state()["comflowy"]
    assert (meter.runs_billed, meter.distinct_submissions, meter.duplicate_bills) == (3, 2, 1)


def test_the_same_request_is_answered_from_the_cache_without_pictures(
    comflowy: ComflowyProbe,
) -> None:
    assert comflowy.finished(comflowy.create())["output_images"]
    assert comflowy.finished(comflowy.create())["output_images"] == []


def test_an_address_comflowy_does_not_have_is_a_404_in_its_shape(comflowy: ComflowyProbe) -> None:
    answer = comflowy.send("GET", "/runs")
    assert answer.status_code == 404
    assert answer.json()["success"] is False


# ---- callbacks ------------------------------------------------------------------------------


@pytest.fixture
def received() -> Iterator[tuple[str, list[tuple[str, dict[str, Any]]]]]:
    """An address to be called back at, and what came: path and JSON."""
    bodies: list[tuple[str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            bodies.append((self.path, json.loads(content)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", bodies
    server.shutdown()
    server.server_close()


def _until(bodies: list[tuple[str, dict[str, Any]]], count: int) -> None:
    deadline = time.monotonic() + 10
    while len(bodies) < count and time.monotonic() < deadline:
        time.sleep(0.01)  # noqa: TID251 - another thread's post is on its way


def test_callbacks_are_unsigned_and_only_the_result_names_its_run(
    comflowy: ComflowyProbe, received: tuple[str, list[tuple[str, dict[str, Any]]]]
) -> None:
    url, bodies = received
    urls = {"on_result_url": f"{url}/result", "on_progress_event_url": f"{url}/progress"}
    run_id = comflowy.create(callback_urls=urls)
    _until(bodies, 2)
    assert {path for path, _ in bodies} == {"/progress"}
    assert {told["type"] for _, told in bodies} == {"waiting", "running"}
    assert all(set(told) == {"type", "payload"} for _, told in bodies)
    data = comflowy.finished(run_id)
    _until(bodies, 4)
    rest = dict(bodies[2:])
    assert rest["/progress"] == {"type": "message", "payload": {"progress": 0.5}}
    told = rest["/result"]
    assert (told["type"], told["run_id"]) == ("success", run_id)
    assert len(told["output_images"]) == len(data["output_images"]) == 1
    assert list(told["full_outputs"]) == list(data["full_outputs"])


def test_a_run_that_waits_tells_that_it_is_pending_before_it_runs(
    comflowy: ComflowyProbe,
    control: ControlClient,
    received: tuple[str, list[tuple[str, dict[str, Any]]]],
) -> None:
    url, bodies = received
    control.configure(slots=1)
    comflowy.create()
    run_id = comflowy.create(
        params={"6::text": "another cat"}, callback_urls={"on_progress_event_url": url}
    )
    comflowy.finished(run_id)
    _until(bodies, 4)
    assert sorted(told["type"] for _, told in bodies) == [
        "message",
        "pending",
        "running",
        "waiting",
    ]


@pytest.mark.parametrize("urls", [[], {"on_result_url": 7}, {"else": "http://x"}, "http://x"])
def test_callbacks_of_another_shape_are_refused(comflowy: ComflowyProbe, urls: Any) -> None:
    assert comflowy.run(callback_urls=urls).status_code == 400
