from __future__ import annotations

import re
from typing import Any

import pytest
import requests

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.unit.sandbox.probe import LONG_ENOUGH, HandClock

WORKFLOW = "wf_city_poster"
CITY = {"prompt": "a city", "width": 64, "height": 64}


class FloImgProbe:
    """Sends what it is told, once, and judges nothing."""

    def __init__(self, sandbox: Sandbox, clock: HandClock) -> None:
        environment = sandbox.environment()
        self.api, self.clock = environment["FLOIMG_BASE_URL"], clock
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {environment['FLOIMG_API_KEY']}"

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(f"{self.api}{path}", params=query, timeout=10)

    def execute(self, **body: Any) -> requests.Response:
        order = {"workflowId": WORKFLOW, "parameters": CITY, **body}
        return self.session.post(f"{self.api}/workflows/execute", json=order, timeout=10)

    def pending(self, **parameters: Any) -> str:
        answer = self.execute(**{"async": True, "parameters": {**CITY, **parameters}})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["executionId"])

    def execution(self, execution_id: str) -> requests.Response:
        return self.get(f"/workflows/executions/{execution_id}")

    def ended(self, execution_id: str) -> requests.Response:
        self.clock.advance(LONG_ENOUGH)
        return self.execution(execution_id)


@pytest.fixture
def floimg(sandbox: Sandbox, hand_clock: HandClock) -> FloImgProbe:
    return FloImgProbe(sandbox, hand_clock)


def test_an_asynchronous_execute_answers_with_an_id_and_pending(floimg: FloImgProbe) -> None:
    answer = floimg.execute(**{"async": True})
    assert set(answer.json()) == {"executionId", "status"}
    assert re.fullmatch(r"exec_[A-Za-z0-9]{16}", answer.json()["executionId"])
    assert answer.json()["status"] == "pending"


def test_a_synchronous_execute_answers_with_the_output_and_the_milliseconds(
    floimg: FloImgProbe, control: ControlClient
) -> None:
    control.configure(time_scale=1e12)
    answer = floimg.execute()
    assert answer.status_code == 200
    assert set(answer.json()) == {"executionId", "status", "output", "duration"}
    assert set(answer.json()["output"]) == {"url", "width", "height", "format"}
    assert answer.json()["duration"] > 100


def test_an_execution_is_running_and_then_completed_with_one_output(floimg: FloImgProbe) -> None:
    execution_id = floimg.pending()
    early = floimg.execution(execution_id).json()
    assert set(early) == {"executionId", "workflowId", "status", "startedAt"}
    assert early["status"] == "running"
    done = floimg.ended(execution_id).json()
    assert done["status"] == "completed"
    assert done["startedAt"].endswith("Z")
    assert done["startedAt"] < done["completedAt"]
    assert set(done["output"]) == {"url"}
    picture = requests.get(done["output"]["url"], timeout=10)
    assert picture.headers["content-type"] == "image/png"
    assert picture.content.startswith(b"\x89PNG")


def test_executions_beyond_the_slots_are_pending_and_have_not_started(
    floimg: FloImgProbe, control: ControlClient
) -> None:
    control.configure(slots=1)
    ids = [floimg.pending(seed=seed) for seed in range(2)]
    assert floimg.execution(ids[0]).json()["status"] == "running"
    waiting = floimg.execution(ids[1]).json()
    assert (waiting["status"], "startedAt" in waiting) == ("pending", False)


def test_a_failure_is_a_status_or_by_its_code_an_error(
    floimg: FloImgProbe, control: ControlClient
) -> None:
    control.add_fault("floimg", "execute_workflow", "run_fails")
    failed = floimg.ended(floimg.pending())
    assert (failed.status_code, failed.json()["status"]) == (200, "failed")
    control.add_fault("floimg", "execute_workflow", "run_fails", error="workflow_failed")
    failed = floimg.ended(floimg.pending(seed=1))
    assert failed.status_code == 500
    assert failed.json()["error"]["code"] == "workflow_failed"
    assert control.state()["floimg"].runs_billed == 2


def test_a_synchronous_failure_takes_the_same_two_ways(
    floimg: FloImgProbe, control: ControlClient
) -> None:
    control.configure(time_scale=1e12)
    for error, status in (("out_of_memory", 200), ("workflow_failed", 500)):
        control.add_fault("floimg", "execute_workflow", "run_fails", error=error)
        assert floimg.execute().status_code == status


def test_the_same_request_is_run_and_billed_again(
    floimg: FloImgProbe, control: ControlClient
) -> None:
    for _ in range(2):
        floimg.pending()
    reading = control.state()["floimg"]
    assert (reading.runs_billed, reading.duplicate_bills) == (2, 1)


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        ({"workflowId": None}, 400, "invalid_request"),
        ({"workflowId": "wf_none"}, 404, "not_found"),
        ({"parameters": []}, 400, "invalid_request"),
        ({"parameters": {}}, 400, "invalid_request"),
        ({"parameters": {**CITY, "width": "64"}}, 400, "invalid_request"),
        ({"parameters": {**CITY, "prompt": 64}}, 400, "invalid_request"),
        ({"parameters": {**CITY, "size": 64}}, 400, "invalid_request"),
    ],
    ids=str,
)
def test_a_request_at_fault_is_refused_in_the_envelope_and_costs_nothing(
    floimg: FloImgProbe, control: ControlClient, order: dict[str, Any], status: int, code: str
) -> None:
    answer = floimg.execute(**{"async": True, **order})
    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"code", "message"}
    assert answer.json()["error"]["code"] == code
    assert control.state()["floimg"].runs_billed == 0


def test_an_execution_nobody_made_is_not_found(floimg: FloImgProbe) -> None:
    answer = floimg.execution("exec_none")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")


def test_a_link_opens_nothing_before_the_execution_has_completed(
    floimg: FloImgProbe, control: ControlClient, sandbox: Sandbox
) -> None:
    floimg.pending()
    (name,) = control.runs("floimg")[0].outputs
    assert requests.get(f"{sandbox.url}/floimg-storage/{name}", timeout=10).status_code == 404


def test_a_workflow_tells_its_parameters_and_only_the_list_its_last_update(
    floimg: FloImgProbe,
) -> None:
    one = floimg.get(f"/workflows/{WORKFLOW}").json()
    assert set(one) == {"id", "name", "description", "projectId", "parameters", "createdAt"}
    assert one["parameters"][0] == {"name": "prompt", "type": "string", "required": True}
    listed = floimg.get("/workflows").json()
    assert set(listed["workflows"][0]) == {"id", "name", "projectId", "createdAt", "updatedAt"}
    assert (listed["total"], listed["hasMore"]) == (3, False)
    assert floimg.get("/workflows/wf_none").status_code == 404


def test_the_list_has_pages_and_can_be_of_one_project(floimg: FloImgProbe) -> None:
    first, second = (floimg.get("/workflows", limit=1, offset=page).json() for page in (1, 2))
    assert (first["hasMore"], second["hasMore"]) == (True, False)
    assert first["workflows"] != second["workflows"]
    project = floimg.get("/workflows", projectId="proj_books", limit=1000).json()
    assert [one["id"] for one in project["workflows"]] == ["wf_book_cover"]


def test_every_answer_tells_of_the_rate_limit_and_a_429_when_to_come_back(
    floimg: FloImgProbe, hand_clock: HandClock
) -> None:
    hand_clock.advance(20)
    answers = [floimg.execution("exec_none") for _ in range(61)]
    assert [one.status_code for one in answers] == [404] * 60 + [429]
    left = [int(one.headers["X-RateLimit-Remaining"]) for one in answers]
    assert left == [*range(59, -1, -1), 0]
    assert {one.headers["X-RateLimit-Limit"] for one in answers} == {"60"}
    assert {float(one.headers["X-RateLimit-Reset"]) for one in answers} == {hand_clock.at + 40}
    refused = answers[-1]
    assert refused.headers["Retry-After"] == "40"
    assert refused.json()["error"]["code"] == "rate_limited"
    assert refused.json()["error"]["retryAfter"] == 40


def test_a_request_without_a_known_key_is_unauthorized(floimg: FloImgProbe) -> None:
    floimg.session.headers["Authorization"] = "Bearer fsk_live_unknown"
    answer = floimg.execute()
    assert answer.status_code == 401
    error = {"code": "unauthorized", "message": "Invalid or missing API key"}
    assert answer.json() == {"error": error}
