from __future__ import annotations

import re
from datetime import datetime

import pytest

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines_tests.unit.sandbox.probe import LONG_ENOUGH, FloyoProbe, HandClock, graph

EXPAND = "outputs.presigned_url"


def test_creating_a_run_answers_with_id_object_and_name_and_no_status(floyo: FloyoProbe) -> None:
    answer = floyo.post("/runs", workflow=graph(), name="night one")
    assert answer.status_code == 200
    assert set(answer.json()) == {"id", "object", "name"}
    assert re.fullmatch(r"run_[A-Za-z0-9]{16}", answer.json()["id"])
    assert answer.json()["name"] == "night one"


def test_a_run_without_a_name_is_named_after_the_time(floyo: FloyoProbe) -> None:
    name = floyo.post("/runs", workflow=graph()).json()["name"]
    assert re.fullmatch(r"API Run \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", name)


def test_a_run_is_processing_and_then_done_with_one_picture(
    floyo: FloyoProbe, hand_clock: HandClock
) -> None:
    run_id = floyo.create()
    early = floyo.get(f"/runs/{run_id}").json()
    assert early["status"] == "processing"
    assert "outputs" not in early
    assert "flotime_ms" not in early
    assert datetime.fromisoformat(early["requested_at"]).timestamp() == hand_clock.at
    done = floyo.finished(run_id)
    assert done["status"] == "done"
    assert done["flotime_ms"] > 0
    (output,) = done["outputs"]
    assert output["file_name"] == "ComfyUI_00001_.png"
    assert output["mime_type"] == "image/png"
    assert output["size_bytes"] == len(floyo.download(output["id"]).content)
    assert "presigned_url" not in output


def test_runs_beyond_the_slots_wait_in_the_queue(floyo: FloyoProbe, control: ControlClient) -> None:
    control.configure(slots=2)
    ids = [floyo.create(seed=seed) for seed in range(3)]
    statuses = [floyo.get(f"/runs/{run_id}").json()["status"] for run_id in ids]
    assert statuses == ["processing", "processing", "queued"]


def test_a_batch_size_gives_that_many_distinct_pictures(floyo: FloyoProbe) -> None:
    outputs = floyo.finished(floyo.create(batch_size=3))["outputs"]
    assert len({floyo.download(output["id"]).content for output in outputs}) == 3


def test_an_identical_graph_is_answered_from_the_cache_without_outputs(floyo: FloyoProbe) -> None:
    floyo.finished(floyo.create("first"))
    again = floyo.finished(floyo.create("second"))
    assert (again["status"], again["flotime_ms"], again["outputs"]) == ("done", 0, [])


def test_the_cache_can_be_told_to_give_the_same_picture(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    control.configure(cached_outputs="same")
    first = floyo.finished(floyo.create())["outputs"][0]
    second = floyo.finished(floyo.create())["outputs"][0]
    assert first["id"] != second["id"]
    assert floyo.download(first["id"]).content == floyo.download(second["id"]).content


def test_a_graph_whose_only_run_was_canceled_is_run_again(floyo: FloyoProbe) -> None:
    floyo.post(f"/runs/{floyo.create()}/cancel")
    assert floyo.finished(floyo.create())["outputs"]


def test_canceling_answers_200_and_then_409_with_the_final_status(floyo: FloyoProbe) -> None:
    run_id = floyo.create()
    first, second = (floyo.post(f"/runs/{run_id}/cancel") for _ in range(2))
    assert first.status_code == 200
    assert first.json() == {"id": run_id, "object": "run", "message": "run cancelled"}
    assert second.status_code == 409
    assert second.json()["status"] == "cancelled"
    assert second.json()["error"] == "run is already finished"


def test_canceling_a_finished_run_answers_409_and_leaves_it_done(floyo: FloyoProbe) -> None:
    run_id = floyo.create()
    floyo.finished(run_id)
    assert floyo.post(f"/runs/{run_id}/cancel").json()["status"] == "done"
    assert floyo.get(f"/runs/{run_id}").json()["outputs"]


def test_a_run_nobody_created_is_not_found_and_has_no_message(floyo: FloyoProbe) -> None:
    for answer in (floyo.get("/runs/run_none"), floyo.post("/runs/run_none/cancel")):
        assert answer.status_code == 404
        assert answer.json() == {"error": "run not found"}


def test_ids_are_case_sensitive(floyo: FloyoProbe) -> None:
    run_id = floyo.create()
    assert floyo.get(f"/runs/{run_id.swapcase()}").status_code == 404


def test_a_run_belongs_to_the_key_that_created_it(floyo: FloyoProbe) -> None:
    run_id = floyo.create("mine")
    floyo.session.headers["Authorization"] = "Bearer flo_sandbox_key_0002"
    assert floyo.get(f"/runs/{run_id}").status_code == 404
    assert floyo.get("/runs", search="mine").json()["data"] == []


@pytest.mark.parametrize("header", ["", "Bearer flo_unknown", "flo_sandbox_key_0001"])
def test_a_request_without_a_known_bearer_key_is_unauthorized(
    floyo: FloyoProbe, control: ControlClient, header: str
) -> None:
    floyo.session.headers["Authorization"] = header
    answer = floyo.post("/runs", workflow=graph())
    assert answer.status_code == 401
    assert answer.json()["error"] == "unauthorized"
    assert control.state()["floyo"].runs_billed == 0


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"expand": EXPAND}, 200),
        ({"expand": EXPAND, "presigned_url_expires_in": "604800"}, 200),
        ({"expand": EXPAND, "presigned_url_expires_in": "29"}, 400),
        ({"expand": EXPAND, "presigned_url_expires_in": "604801"}, 400),
        ({"expand": EXPAND, "presigned_url_expires_in": "soon"}, 400),
        ({"presigned_url_expires_in": "600"}, 400),
        ({"expand": "outputs"}, 400),
    ],
)
def test_link_parameters_are_checked(floyo: FloyoProbe, query: dict[str, str], status: int) -> None:
    assert floyo.get(f"/runs/{floyo.create()}", **query).status_code == status


@pytest.mark.parametrize(
    "body",
    [{}, {"workflow": {}}, {"workflow": []}, {"workflow": graph(), "name": 7}],
    ids=["no workflow", "empty workflow", "workflow is a list", "name is a number"],
)
def test_a_malformed_request_is_a_flat_400_and_costs_nothing(
    floyo: FloyoProbe, control: ControlClient, body: dict[str, object]
) -> None:
    answer = floyo.post("/runs", **body)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "message"}
    assert control.state()["floyo"].runs_billed == 0


def test_an_address_floyo_does_not_have_is_a_404_in_its_own_words(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    answer = floyo.get("/v2/runs")
    assert answer.status_code == 404
    assert answer.json()["error"] == "not found"
    assert control.state()["floyo"].requests == {"unknown": 1}


def test_the_run_list_finds_by_name_newest_first_and_can_be_switched_off(
    floyo: FloyoProbe, control: ControlClient
) -> None:
    for number in range(3):
        floyo.create(f"night {number}", seed=number)
    names = [run["name"] for run in floyo.get("/runs", search="night", limit=2).json()["data"]]
    assert names == ["night 2", "night 1"]
    assert floyo.get("/runs", search="day").json()["data"] == []
    control.configure(undocumented_run_list=False)
    assert floyo.get("/runs", search="night").status_code == 404


def test_the_hundred_and_first_request_of_a_minute_is_refused_until_the_next(
    floyo: FloyoProbe, hand_clock: HandClock, control: ControlClient
) -> None:
    statuses = [floyo.get("/runs/run_none").status_code for _ in range(101)]
    assert statuses == [404] * 100 + [429]
    refused = floyo.post("/runs", workflow=graph())
    assert refused.status_code == 429
    assert set(refused.json()) == {"error", "message"}
    assert "retry-after" not in {name.lower() for name in refused.headers}
    assert control.state()["floyo"].rate_limited == 2
    hand_clock.advance(60)
    assert floyo.get("/runs/run_none").status_code == 404


def test_the_cdn_is_not_rate_limited(floyo: FloyoProbe, control: ControlClient) -> None:
    file_id = floyo.finished(floyo.create())["outputs"][0]["id"]
    control.configure(requests_per_window=0)
    assert floyo.get("/runs/run_none").status_code == 429
    assert floyo.download(file_id).status_code == 200


def test_a_twenty_run_batch_ends_within_what_it_was_told(
    floyo: FloyoProbe, control: ControlClient, hand_clock: HandClock
) -> None:
    control.configure(time_scale=100, slots=4)
    ids = [floyo.create(seed=seed) for seed in range(20)]
    hand_clock.advance(2)
    done = [floyo.get(f"/runs/{run_id}").json() for run_id in ids]
    assert {run["status"] for run in done} == {"done"}
    assert sum(run["flotime_ms"] for run in done) == control.state()["floyo"].flotime_ms
    assert LONG_ENOUGH > sum(run["flotime_ms"] for run in done) / 1000 > 20
