from __future__ import annotations

import io
import time
from collections.abc import Callable

import pytest
import requests
from PIL import Image

from flow_pipelines.sandbox.control_client import ControlClient, ControlError
from flow_pipelines.sandbox.meter import Reading
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.unit.sandbox.probe import FloyoProbe, HandClock, graph


@pytest.mark.parametrize(
    ("action", "billed"),
    [("refuse", 0), ("drop_before_accept", 0), ("drop_after_accept", 1)],
)
def test_a_dropped_connection_has_no_answer_at_all_and_bills_as_told(
    floyo: FloyoProbe, control: ControlClient, action: str, billed: int
) -> None:
    control.add_fault("floyo", "create_run", action)
    with pytest.raises(requests.ConnectionError):
        floyo.post("/runs", workflow=graph(), name="n")
    assert control.state()["floyo"].runs_billed == billed
    assert control.state()["floyo"].dropped == 1
    assert control.requests()[-1].fault == action
    assert floyo.post("/runs", workflow=graph()).status_code == 200


def test_a_run_whose_answer_was_lost_can_be_found_by_its_name(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.add_fault("floyo", "create_run", "drop_after_accept")
    with pytest.raises(requests.ConnectionError):
        floyo.post("/runs", workflow=graph(), name="lost one")
    (found,) = floyo.get("/runs", search="lost one").json()["data"]
    assert floyo.finished(found["id"])["outputs"]


def test_sending_again_after_a_lost_answer_shows_as_a_duplicate_bill(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.add_fault("floyo", "create_run", "drop_after_accept")
    with pytest.raises(requests.ConnectionError):
        floyo.post("/runs", workflow=graph(), name="lost one")
    floyo.post("/runs", workflow=graph(), name="lost one")
    meter = control.state()["floyo"]
    assert (meter.runs_billed, meter.distinct_submissions, meter.duplicate_bills) == (2, 1, 1)
    assert meter.duplicates == ["lost one"]


@pytest.mark.parametrize("action", ["slow_accept", "slow_answer"])
def test_a_slow_create_is_billed_though_the_client_has_left(
    floyo: FloyoProbe, control: ControlClient, action: str
) -> None:
    control.add_fault("floyo", "create_run", action, seconds=2.0)
    with pytest.raises(requests.ReadTimeout):
        floyo.session.post(f"{floyo.api}/runs", json={"workflow": graph()}, timeout=0.1)
    if action == "slow_answer":
        reading = wait_for(control, lambda reading: reading.runs_billed == 1)
        assert not reading.requests, "billed before it was answered"
    else:
        assert control.state()["floyo"].runs_billed == 0
    assert wait_for(control, lambda reading: reading.requests).runs_billed == 1


def wait_for(control: ControlClient, true: Callable[[Reading], object]) -> Reading:
    deadline = time.monotonic() + 30
    while not true(reading := control.state()["floyo"]) and time.monotonic() < deadline:
        time.sleep(0.02)  # noqa: TID251 - the slowness under test is the server's own
    return reading


def test_a_status_comes_in_the_providers_shape_or_as_told(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.add_fault("floyo", "create_run", "status", status=402)
    control.add_fault(
        "floyo", "create_run", "status", status=429, headers={"Retry-After": "7"}, body={"a": 1}
    )
    control.add_fault("floyo", "create_run", "status", status=500, body="<h1>oops</h1>")
    first, second, third = (floyo.post("/runs", workflow=graph()) for _ in range(3))
    assert (first.status_code, set(first.json())) == (402, {"error", "message"})
    assert (second.status_code, second.json()) == (429, {"a": 1})
    assert second.headers["retry-after"] == "7"
    assert (third.status_code, third.text) == (500, "<h1>oops</h1>")
    assert control.state()["floyo"].runs_billed == 0


def test_a_web_page_under_200_accepts_nothing(floyo: FloyoProbe, control: ControlClient) -> None:
    control.add_fault("floyo", "create_run", "html_200")
    answer = floyo.post("/runs", workflow=graph())
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert control.state()["floyo"].runs_billed == 0


def test_bad_json_is_an_accepted_run_with_an_unreadable_receipt(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.add_fault("floyo", "create_run", "bad_json")
    answer = floyo.post("/runs", workflow=graph())
    with pytest.raises(requests.JSONDecodeError):
        answer.json()
    assert control.state()["floyo"].runs_billed == 1


def test_a_run_may_say_a_word_nobody_documented(floyo: FloyoProbe, control: ControlClient) -> None:
    run_id = floyo.create()
    control.add_fault("floyo", "retrieve_run", "unknown_status", word="complete")
    assert floyo.finished(run_id)["status"] == "complete"
    assert floyo.finished(run_id)["status"] == "done"


def test_a_status_may_go_back(floyo: FloyoProbe, control: ControlClient) -> None:
    run_id = floyo.create()
    control.add_fault("floyo", "retrieve_run", "status_goes_back", count=2)
    assert floyo.get(f"/runs/{run_id}").json()["status"] == "queued"
    assert floyo.finished(run_id)["status"] == "processing"
    assert floyo.finished(run_id)["status"] == "done"


def test_a_run_that_never_ends_stops_no_other_and_can_be_canceled(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.configure(slots=1)
    control.add_fault("floyo", "create_run", "never_ends")
    stuck, other = floyo.create(), floyo.create(seed=8)
    assert floyo.finished(other)["status"] == "done"
    assert floyo.get(f"/runs/{stuck}").json()["status"] == "processing"
    assert floyo.post(f"/runs/{stuck}/cancel").status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "billed"),
    [
        ("out_of_memory", "failed", 1),
        ("insufficient_balance", "insufficient_balance", 0),
        ("insufficient_api_credits", "insufficient_api_credits", 0),
    ],
)
def test_a_run_fails_with_the_code_it_was_told(
    floyo: FloyoProbe, control: ControlClient, error: str, status: str, billed: int
) -> None:
    control.add_fault("floyo", "create_run", "run_fails", error=error)
    run = floyo.finished(floyo.create())
    assert run["status"] == status
    assert run["outputs"] == []
    assert run["errors"][0]["error"] == error
    assert control.state()["floyo"].runs_billed == billed
    assert (run["flotime_ms"] > 0) == bool(billed)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        ("empty_outputs", []),
        ("duplicate_outputs", [0, 1, 2, 0, 1, 2]),
        ("shuffled_outputs", [1, 2, 0]),
    ],
)
def test_a_list_of_outputs_may_be_wrong_once(
    floyo: FloyoProbe, control: ControlClient, action: str, expected: list[int]
) -> None:
    run_id = floyo.create(batch_size=3)
    ids = [output["id"] for output in floyo.finished(run_id)["outputs"]]
    control.add_fault("floyo", "retrieve_run", action)
    assert [output["id"] for output in floyo.finished(run_id)["outputs"]] == [
        ids[index] for index in expected
    ]
    assert [output["id"] for output in floyo.finished(run_id)["outputs"]] == ids


def test_a_truncated_output_ends_before_its_content_length(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    file_id = floyo.finished(floyo.create())["outputs"][0]["id"]
    control.add_fault("floyo", "download_file", "truncate_output")
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        floyo.download(file_id)
    assert floyo.download(file_id).status_code == 200


def test_an_output_of_the_wrong_length_agrees_with_itself_but_not_with_its_file(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    output = floyo.finished(floyo.create())["outputs"][0]
    control.add_fault("floyo", "download_file", "wrong_length")
    answer = floyo.download(output["id"])
    assert int(answer.headers["content-length"]) == len(answer.content) < output["size_bytes"]


def test_an_output_of_the_wrong_media_type_keeps_its_bytes(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    output = floyo.finished(floyo.create())["outputs"][0]
    control.add_fault("floyo", "download_file", "wrong_media_type")
    answer = floyo.download(output["id"])
    assert answer.headers["content-type"] == "text/html"
    assert len(answer.content) == output["size_bytes"]


def test_a_download_may_have_a_path_for_a_name_and_more_pixels_than_memory(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    file_id = floyo.finished(floyo.create())["outputs"][0]["id"]
    control.add_fault("floyo", "download_file", "path_like_names")
    control.add_fault("floyo", "download_file", "huge_picture")
    named, huge = floyo.download(file_id), floyo.download(file_id)
    assert "../../" in named.headers["content-disposition"]
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(huge.content))


def test_outputs_may_have_paths_for_names(floyo: FloyoProbe, control: ControlClient) -> None:
    run_id = floyo.create()
    control.add_fault("floyo", "retrieve_run", "path_like_names", word="../a.png")
    assert floyo.finished(run_id)["outputs"][0]["file_name"] == "../a.png"


def test_a_redirect_keeps_path_and_query(floyo: FloyoProbe, control: ControlClient) -> None:
    control.add_fault("floyo", "retrieve_run", "redirect", word="https://elsewhere.example")
    url = f"{floyo.api}/runs/run_x?expand=a%2Cb"
    answer = floyo.session.get(url, timeout=10, allow_redirects=False)
    assert answer.status_code == 302
    location = answer.headers["location"]
    assert location == "https://elsewhere.example/floyo/runs/run_x?expand=a%2Cb"


def test_an_answer_may_go_on_for_ever(floyo: FloyoProbe, control: ControlClient) -> None:
    control.add_fault("floyo", "create_run", "endless_body")
    with floyo.session.post(
        f"{floyo.api}/runs", json={"workflow": graph()}, timeout=10, stream=True
    ) as answer:
        assert "content-length" not in answer.headers
        assert len(answer.raw.read(2_000_000)) == 2_000_000
    assert control.state()["floyo"].runs_billed == 1
    assert floyo.post("/runs", workflow=graph()).status_code == 200


def test_a_small_answer_may_unpack_to_a_large_one(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.add_fault("floyo", "create_run", "inflating_body")
    answer = floyo.post("/runs", workflow=graph())
    assert int(answer.headers["content-length"]) < 100_000 < len(answer.content)


def test_a_fault_hits_only_the_request_it_names_after_letting_some_pass(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.add_fault("floyo", "create_run", "status", status=503, contains="blue", after=1)
    prompts = ["red", "blue", "blue", "blue"]
    statuses = [floyo.post("/runs", workflow=graph(prompt)).status_code for prompt in prompts]
    assert statuses == [200, 200, 503, 200]


def test_a_fault_without_a_count_stays_until_it_is_cleared(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.add_fault("*", "*", "status", status=503, count=None)
    assert {floyo.get("/runs/run_x").status_code for _ in range(3)} == {503}
    control.clear_faults()
    assert floyo.get("/runs/run_x").status_code == 404


def test_a_fault_with_a_probability_happens_to_some(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.add_fault("floyo", "retrieve_run", "status", status=503, count=None, probability=0.5)
    statuses = {floyo.get("/runs/run_x").status_code for _ in range(40)}
    assert statuses == {404, 503}


@pytest.mark.parametrize(
    "fault", [{"action": "explode"}, {"action": "status", "colour": "red"}], ids=str
)
def test_a_fault_that_means_nothing_is_refused(
    control: ControlClient, fault: dict[str, str]
) -> None:
    with pytest.raises(ControlError):
        control.add_fault("floyo", "create_run", **fault)


def test_in_an_outage_connections_are_refused_and_runs_go_on(
    floyo: FloyoProbe, control: ControlClient, sandbox: Sandbox, hand_clock: HandClock
) -> None:
    run_id = floyo.create()
    with sandbox.outage():
        hand_clock.advance(1000)
        with pytest.raises(requests.ConnectionError, match=r"(?i)refused"):
            requests.get(f"{floyo.api}/runs/{run_id}", timeout=10)
    assert floyo.get(f"/runs/{run_id}").json()["status"] == "done"
    assert control.state()["floyo"].runs_billed == 1
