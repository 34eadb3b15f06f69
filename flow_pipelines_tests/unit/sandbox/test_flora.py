"""The stand-in of FLORA, asked as its documentation says."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.unit.sandbox.probe import LONG_ENOUGH, HandClock

PROMPT = {"id": "prompt", "type": "text", "value": "a tiger"}
RUNS = "/techniques/city-poster/runs"
ACCOUNTS = ("replay_current", "replay_stored", "duplicate_409")


class FloraProbe:
    """Sends what it is told, once, and judges nothing."""

    def __init__(self, sandbox: Sandbox, clock: HandClock) -> None:
        environment = sandbox.environment()
        self.api, self.clock = environment["FLORA_BASE_URL"], clock
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {environment['FLORA_API_KEY']}"

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(f"{self.api}{path}", params=query, timeout=10)

    def post(self, path: str = RUNS, header: str = "", **body: Any) -> requests.Response:
        headers = {"Idempotency-Key": header} if header else {}
        whole = {"inputs": [PROMPT], "mode": "async", **body}
        return self.session.post(f"{self.api}{path}", json=whole, headers=headers, timeout=10)

    def keyed(self, key: str = "k1", **body: Any) -> requests.Response:
        return self.post(header=key, idempotency_key=key, **body)

    def finished(self, run_id: str, path: str = RUNS) -> dict[str, Any]:
        self.clock.advance(LONG_ENOUGH)
        run: dict[str, Any] = self.get(f"{path}/{run_id}").json()
        return run


@pytest.fixture
def flora(sandbox: Sandbox, hand_clock: HandClock) -> FloraProbe:
    return FloraProbe(sandbox, hand_clock)


def test_a_run_is_created_with_201_and_told_with_times_in_milliseconds(
    flora: FloraProbe, hand_clock: HandClock
) -> None:
    answer = flora.post()
    assert answer.status_code == 201
    run = answer.json()
    assert re.fullmatch(r"run_\w+", run["run_id"])
    assert run["created_at"] == int(hand_clock.at * 1000)
    assert run["status"] in {"pending", "running"}
    assert not {"outputs", "charged_cost", "completed_at", "error_code"} & set(run)
    assert flora.session.get(run["poll_url"], timeout=10).json()["run_id"] == run["run_id"]


def test_runs_beyond_the_slots_are_pending_and_then_all_complete(
    flora: FloraProbe, control: ControlClient
) -> None:
    control.configure(slots=1)
    first, second = (flora.post().json()["run_id"] for _ in range(2))
    assert flora.get(f"{RUNS}/{first}").json()["status"] == "running"
    waiting = flora.get(f"{RUNS}/{second}").json()
    assert (waiting["status"], waiting["progress"]) == ("pending", 0)
    assert "started_at" not in waiting
    assert flora.finished(second)["status"] == "completed"


def test_a_completed_run_has_its_charge_and_links_that_need_no_key(flora: FloraProbe) -> None:
    run = flora.finished(flora.post().json()["run_id"])
    assert (run["progress"], run["charged_cost"]) == (100, 0.04)
    (output,) = run["outputs"]
    assert (output["output_id"], output["type"]) == ("poster", "imageUrl")
    picture = requests.get(output["url"], timeout=10)
    assert picture.content.startswith(b"\x89PNG")
    assert run["completed_at"] > run["started_at"] >= run["created_at"]


def test_the_url_of_a_text_is_the_text(flora: FloraProbe) -> None:
    path = "/techniques/captioned-art/runs"
    run = flora.finished(flora.post(path).json()["run_id"], path)
    assert [(one["output_id"], one["type"]) for one in run["outputs"]] == [
        ("picture", "imageUrl"),
        ("caption", "text"),
    ]
    assert run["outputs"][1]["url"] == "What this shows: a tiger"


def test_a_run_that_failed_is_told_with_200_and_charged_nothing(
    flora: FloraProbe, control: ControlClient
) -> None:
    control.add_fault("flora", "create_technique_run", "run_fails", error="model_timeout")
    run = flora.finished(flora.post().json()["run_id"])
    assert (run["status"], run["error_code"]) == ("failed", "model_timeout")
    assert run["error_message"]
    assert not {"charged_cost", "outputs"} & set(run)
    assert control.state()["flora"].charged_usd == "0"


def test_the_same_inputs_give_another_picture_for_there_is_no_seed(flora: FloraProbe) -> None:
    links = [flora.finished(flora.post().json()["run_id"])["outputs"][0]["url"] for _ in range(2)]
    assert len({requests.get(link, timeout=10).content for link in links}) == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"seed": 1}, "seed"),
        ({"mode": "stream"}, "mode"),
        ({"mode": None}, "mode"),
        ({"inputs": []}, "inputs"),
        ({"inputs": {"prompt": "x"}}, "inputs"),
        ({"inputs": [{**PROMPT, "extra": 1}]}, "inputs[0]"),
        ({"inputs": [{**PROMPT, "value": 7}]}, "inputs[0]"),
        ({"inputs": [{**PROMPT, "id": "size"}]}, "inputs[0]"),
        ({"inputs": [PROMPT, PROMPT]}, "inputs[1]"),
        ({"inputs": [{"id": "style", "type": "text", "value": "x"}]}, "inputs"),
        ({"inputs": [PROMPT, {"id": "reference", "type": "imageUrl", "value": "http://x.flora.ai"}]},
         "inputs[1]"),
        ({"inputs": [PROMPT, {"id": "reference", "type": "imageUrl", "value": "https://x.org/1"}]},
         "inputs[1]"),
        ({"idempotency_key": 7}, "idempotency_key"),
    ],
    ids=str,
)  # fmt: skip
def test_a_request_that_is_not_as_documented_is_refused_by_field_and_costs_nothing(
    flora: FloraProbe, control: ControlClient, body: dict[str, Any], field: str
) -> None:
    answer = flora.post(**body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "input_validation_error")
    assert error["fields"][0]["field"] == field
    assert control.state()["flora"].runs_billed == 0


def test_a_body_that_is_no_json_has_a_code_of_its_own(flora: FloraProbe) -> None:
    answer = flora.session.post(f"{flora.api}{RUNS}", data=b"{", timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")


def test_errors_have_code_and_message_and_every_answer_a_name(
    flora: FloraProbe, control: ControlClient
) -> None:
    control.configure(requests_per_window=4)
    told = [flora.get("/workspaces"), flora.get("/techniques/none"), flora.get(f"{RUNS}/run_none")]
    flora.session.headers["Authorization"] = "Bearer sk_live_wrong"
    told.append(flora.get("/workspaces"))
    flora.session.headers["Authorization"] = "Bearer sk_live_sandbox_key_0001"
    told += [flora.get("/workspaces"), flora.get("/workspaces"), flora.get("/nowhere")]
    codes = [answer.json().get("error", {}).get("code") for answer in told]
    assert codes == [
        None, "not_found", "not_found", "invalid_api_key", None, "rate_limited", "not_found",
    ]  # fmt: skip
    names = [answer.headers.get("request-id", "") for answer in told]
    assert all(re.fullmatch(r"req_\w+", name) for name in names)
    assert len(set(names)) == len(names)


def test_a_run_belongs_to_its_technique(flora: FloraProbe) -> None:
    run_id = flora.post().json()["run_id"]
    assert flora.get(f"/techniques/postcard-pair/runs/{run_id}").status_code == 404
    assert flora.get(f"/techniques/tech_CityPoster0001/runs/{run_id}").status_code == 200


# ---- idempotency -----------------------------------------------------------------------------


def billed(control: ControlClient) -> tuple[int, int]:
    meter = control.state()["flora"]
    return meter.runs_billed, meter.duplicate_bills


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_key_in_both_places_is_billed_once_under_every_account(
    flora: FloraProbe, control: ControlClient, account: str
) -> None:
    control.configure(flora_idempotency=account)
    for _ in range(3):
        flora.keyed()
    assert billed(control) == (1, 0)
    flora.keyed("k2")
    assert billed(control) == (2, 0)


@pytest.mark.parametrize("account", ACCOUNTS)
def test_a_key_in_one_place_only_is_not_enough_under_every_account(
    flora: FloraProbe, control: ControlClient, account: str
) -> None:
    control.configure(flora_idempotency=account)
    by_body = [flora.post(idempotency_key="b").status_code for _ in range(2)]
    by_header = [flora.post(header="h").status_code for _ in range(2)]
    expected = ([201, 201], [201, 409]) if account == "duplicate_409" else ([201, 200], [201, 201])
    if account == "replay_stored":
        expected = ([201, 201], [201, 201])
    assert (by_body, by_header) == expected
    assert billed(control) == (3, 1)


def test_the_older_account_gives_the_run_as_it_is_now(
    flora: FloraProbe, control: ControlClient, hand_clock: HandClock
) -> None:
    control.configure(flora_idempotency="replay_current")
    run_id = flora.keyed().json()["run_id"]
    hand_clock.advance(LONG_ENOUGH)
    again = flora.keyed()
    assert again.status_code == 200
    assert (again.json()["run_id"], again.json()["status"]) == (run_id, "completed")


def test_the_published_account_gives_the_first_answer_again_and_says_so(
    flora: FloraProbe, control: ControlClient, hand_clock: HandClock
) -> None:
    control.configure(flora_idempotency="replay_stored")
    first = flora.keyed()
    hand_clock.advance(LONG_ENOUGH)
    again = flora.keyed()
    assert again.content == first.content
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["request-id"] == first.headers["request-id"]
    other = flora.keyed(inputs=[{**PROMPT, "value": "a lion"}])
    assert (other.status_code, other.json()["error"]["code"]) == (422, "idempotency_conflict")
    assert billed(control) == (1, 0)


def test_the_third_account_only_says_that_the_key_is_known(
    flora: FloraProbe, control: ControlClient
) -> None:
    control.configure(flora_idempotency="duplicate_409")
    flora.keyed()
    again = flora.keyed()
    assert (again.status_code, again.json()["error"]["code"]) == (409, "idempotency_duplicate")
    assert "run_id" not in again.text


@pytest.mark.parametrize(
    ("account", "hours"), [("replay_stored", 24), ("duplicate_409", 2)], ids=str
)
def test_a_key_is_forgotten_after_its_window(
    flora: FloraProbe, control: ControlClient, hand_clock: HandClock, account: str, hours: int
) -> None:
    control.configure(flora_idempotency=account)
    flora.keyed()
    hand_clock.advance(hours * 3600 - 1)
    flora.keyed()
    assert billed(control) == (1, 0)
    hand_clock.advance(1)
    flora.keyed()
    assert billed(control) == (2, 1)


def test_copies_that_come_too_close_both_run(flora: FloraProbe, control: ControlClient) -> None:
    control.configure(flora_idempotency_lag_seconds=5.0)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: flora.keyed(), range(2)))
    assert len({answer.json()["run_id"] for answer in answers}) == 2
    assert billed(control) == (2, 1)


def test_keys_of_a_refused_request_are_not_remembered(
    flora: FloraProbe, control: ControlClient
) -> None:
    assert flora.keyed(mode="stream").status_code == 400
    assert flora.keyed().status_code == 201
    assert billed(control) == (1, 0)


# ---- lists -----------------------------------------------------------------------------------


def test_techniques_are_found_by_slug_id_and_words(flora: FloraProbe) -> None:
    by_slug = flora.get("/techniques/city-poster").json()
    assert by_slug == flora.get("/techniques/tech_CityPoster0001").json()
    assert by_slug["run_cost"] == 0.04
    listed = flora.get("/techniques", query="postcard").json()
    assert [one["slug"] for one in listed["techniques"]] == ["postcard-pair"]
    assert listed["meta"] == {"next_cursor": None}


def test_there_is_one_workspace(flora: FloraProbe) -> None:
    (own,) = flora.get("/workspaces").json()["workspaces"]
    assert flora.get("/technique-runs", workspace_id=own["workspace_id"]).status_code == 200
    assert flora.get("/technique-runs", workspace_id="ws_other").status_code == 403


def test_runs_are_listed_newest_first_page_by_page_as_new_ones_come(flora: FloraProbe) -> None:
    made = [flora.post().json()["run_id"] for _ in range(3)]
    flora.post("/techniques/postcard-pair/runs")
    query = {"technique_id": "tech_CityPoster0001", "limit": 2}
    first = flora.get("/technique-runs", **query).json()
    flora.post()
    second = flora.get("/technique-runs", **query, cursor=first["meta"]["next_cursor"]).json()
    seen = [one["run_id"] for one in (*first["technique_runs"], *second["technique_runs"])]
    assert seen == list(reversed(made))
    assert second["meta"]["next_cursor"] is None
    item = first["technique_runs"][0]
    assert item["technique_run_id"] == item["run_id"]
    assert item["technique"]["technique_id"] == "tech_CityPoster0001"
    assert item["workspace_id"].startswith("ws_")
    assert "inputs" not in item


@pytest.mark.parametrize("query", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "?"}])
def test_pages_that_cannot_be_are_refused(flora: FloraProbe, query: dict[str, Any]) -> None:
    assert flora.get("/technique-runs", **query).status_code == 400
