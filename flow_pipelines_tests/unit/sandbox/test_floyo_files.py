from __future__ import annotations

import io
import re

import pytest
import requests
from PIL import Image

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines_tests.unit.sandbox.probe import FloyoProbe, HandClock


@pytest.fixture
def output(floyo: FloyoProbe) -> dict[str, str]:
    run = floyo.finished(floyo.create(), expand="outputs.presigned_url")
    found: dict[str, str] = run["outputs"][0]
    return found


def test_a_download_is_a_png_of_the_workflows_size_with_its_name(
    floyo: FloyoProbe, output: dict[str, str]
) -> None:
    answer = floyo.download(output["id"])
    assert Image.open(io.BytesIO(answer.content)).size == (64, 80)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-disposition"].endswith("filename*=UTF-8''ComfyUI_00001_.png")


def test_a_download_needs_the_key_of_the_owner(floyo: FloyoProbe, output: dict[str, str]) -> None:
    floyo.session.headers["Authorization"] = "Bearer flo_sandbox_key_0002"
    assert floyo.download(output["id"]).status_code == 404
    del floyo.session.headers["Authorization"]
    assert floyo.download(output["id"]).status_code == 401


def test_a_presigned_link_opens_without_a_key_until_it_expires(
    floyo: FloyoProbe, output: dict[str, str], hand_clock: HandClock
) -> None:
    url = output["presigned_url"]
    assert requests.get(url, timeout=10).content == floyo.download(output["id"]).content
    hand_clock.advance(301)
    assert requests.get(url, timeout=10).status_code == 401


def test_a_presigned_link_lives_as_long_as_was_asked(
    floyo: FloyoProbe, output: dict[str, str], hand_clock: HandClock
) -> None:
    query = {"expand": "presigned_url", "presigned_url_expires_in": 30}
    file = floyo.get(f"/files/{output['id']}", **query).json()
    hand_clock.advance(29)
    assert requests.get(file["presigned_url"], timeout=10).status_code == 200
    hand_clock.advance(1)
    assert requests.get(file["presigned_url"], timeout=10).status_code == 401


def test_a_token_opens_one_file_and_no_other(floyo: FloyoProbe, output: dict[str, str]) -> None:
    other = floyo.finished(floyo.create(seed=8))["outputs"][0]
    url = output["presigned_url"].replace(output["id"], other["id"])
    assert requests.get(url, timeout=10).status_code == 401
    assert requests.get(f"{floyo.cdn}/{output['id']}?token=a.b.c", timeout=10).status_code == 401


def test_a_token_is_not_in_the_request_log(output: dict[str, str], control: ControlClient) -> None:
    requests.get(output["presigned_url"], timeout=10)
    record = control.requests()[-1]
    assert record.operation == "open_presigned_url"
    assert record.path.endswith("?token=[redacted]")


def test_a_file_describes_itself(floyo: FloyoProbe, output: dict[str, str]) -> None:
    file = floyo.get(f"/files/{output['id']}").json()
    assert file["object"] == "file"
    assert {**file, "presigned_url": 0} == {**output, "object": "file", "presigned_url": 0}
    assert re.search(r"\.\d{6}\+00:00$", file["created_at"])
    assert floyo.get("/files/file_none").status_code == 404
    wrong = {"expand": "outputs.presigned_url"}
    assert floyo.get(f"/files/{output['id']}", **wrong).status_code == 400


def test_an_upload_can_be_fetched_again_and_used_as_input(floyo: FloyoProbe) -> None:
    answer = floyo.upload(b"some bytes", path="cats")
    assert answer.status_code == 200
    assert answer.json()["input_path"] == "cats/cat.png"
    download = floyo.download(answer.json()["id"])
    assert download.content == b"some bytes"
    assert download.headers["content-disposition"] == 'attachment; filename="cat.png"'


def test_a_name_that_a_header_cannot_hold_is_written_in_the_longer_form(floyo: FloyoProbe) -> None:
    kept = floyo.upload(b"x", filename="gå.png").json()
    header = floyo.download(kept["id"]).headers["content-disposition"]
    assert header == "attachment; filename*=UTF-8''g%C3%A5.png"


def test_an_upload_under_a_taken_name_fails_or_is_renamed(floyo: FloyoProbe) -> None:
    floyo.upload(b"one")
    refused = floyo.upload(b"two")
    assert refused.status_code == 409
    assert refused.json()["suggestion"] == "cat (1).png"
    assert floyo.upload(b"two", on_conflict="rename").json()["file_name"] == "cat (1).png"
    assert floyo.upload(b"three", filename="dog.png").json()["file_name"] == "dog.png"
    assert floyo.session.post(f"{floyo.cdn}/upload", timeout=10).status_code == 400


def test_an_upload_needs_a_key(floyo: FloyoProbe, control: ControlClient) -> None:
    del floyo.session.headers["Authorization"]
    assert floyo.upload(b"one").status_code == 401
    assert control.requests()[-1].key == ""
