"""The stand-in of FLORA keeps assets as its documentation says."""

from __future__ import annotations

import struct
from typing import Any

import pytest
import requests

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.unit.sandbox.probe import LONG_ENOUGH, HandClock

SPACE = "ws_sandbox0001"
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 8, 8) + bytes(9)
HUGE = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 20_000, 20_000) + bytes(9)


class AssetProbe:
    """Sends what it is told, once, and judges nothing."""

    def __init__(self, sandbox: Sandbox) -> None:
        environment = sandbox.environment()
        self.api = environment["FLORA_BASE_URL"]
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {environment['FLORA_API_KEY']}"

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(f"{self.api}{path}", params=query, timeout=10)

    def post(self, path: str = "/assets", **body: Any) -> requests.Response:
        return self.session.post(f"{self.api}{path}", json=body or None, timeout=10)

    def direct(self, content: bytes, kind: str = "image/png", **form: str) -> requests.Response:
        files = {"file": ("cat.png", content, kind)}
        data = {"workspace_id": SPACE, **form}
        return self.session.post(f"{self.api}/assets", files=files, data=data, timeout=10)

    def reserve(self, **body: Any) -> dict[str, Any]:
        answer = self.post(source="signed-url", workspace_id=SPACE, **body)
        found: dict[str, Any] = answer.json()
        return found

    def upload(self, asset: dict[str, Any], content: bytes = PNG, **changes: Any) -> int:
        fields = asset["upload"]["form_fields"] | changes
        files = {"file": ("cat.png", content, "image/png")}
        return requests.post(
            asset["upload"]["url"], data=fields, files=files, timeout=10
        ).status_code


@pytest.fixture
def flora(sandbox: Sandbox) -> AssetProbe:
    return AssetProbe(sandbox)


def test_a_reservation_has_everything_that_an_upload_needs(flora: AssetProbe) -> None:
    asset = flora.reserve(content_type="image/png", file_name="cat.png")
    assert (asset["status"], asset["uploaded_via"]) == ("pending_upload", "signed_url")
    upload = asset["upload"]
    assert (upload["method"], upload["file_field"]) == ("POST", "file")
    assert upload["content_type"] == "multipart/form-data"
    assert asset["upload_url"] == upload["url"]
    assert flora.upload(asset) == 204
    assert flora.post(f"/assets/{asset['asset_id']}/complete").json()["status"] == "ready"
    assert requests.get(asset["url"], timeout=10).content == PNG


def test_an_upload_is_refused_unless_it_is_as_it_was_signed(
    flora: AssetProbe, hand_clock: HandClock
) -> None:
    asset = flora.reserve()
    url, fields = asset["upload"]["url"], asset["upload"]["form_fields"]
    files = {"file": ("cat.png", PNG, "image/png")}
    with_key = flora.session.post(url, data=fields, files=files, timeout=10)
    late = requests.Request(
        "POST", url, files={**files, **{k: (None, v) for k, v in fields.items()}}
    )
    assert with_key.status_code == 400
    assert requests.Session().send(late.prepare(), timeout=10).status_code == 400
    assert flora.upload(asset, **{"x-goog-signature": "another"}) == 403
    assert flora.upload({"upload": {**asset["upload"], "form_fields": {}}}) == 403
    hand_clock.advance(900)
    assert flora.upload(asset) == 403
    assert flora.post(f"/assets/{asset['asset_id']}/complete").status_code == 409


def test_only_an_asset_that_failed_or_ran_out_gets_a_fresh_link(
    flora: AssetProbe, hand_clock: HandClock
) -> None:
    asset = flora.reserve(content_type="image/png")
    retry = f"/assets/{asset['asset_id']}/retry"
    assert flora.post(retry).json()["error"]["code"] == "conflict"
    hand_clock.advance(900)
    fresh = flora.post(retry).json()
    assert fresh["upload"]["form_fields"] != asset["upload"]["form_fields"]
    assert flora.upload(asset) == 403
    assert flora.upload(fresh, b"GIF89a") == 204
    failed = flora.post(f"/assets/{asset['asset_id']}/complete").json()
    assert (failed["status"], failed["failure_message"]) == ("failed", "The file is not image/png.")
    assert flora.upload(flora.post(retry).json()) == 204
    assert flora.post(f"/assets/{asset['asset_id']}/complete").json()["status"] == "ready"
    assert flora.post(retry).status_code == 409


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "image/png"),
        (PNG, "image/bmp"),
        (b"GIF89a", "image/png"),
        (PNG, "image/webm"),
        (HUGE, "image/png"),
        (PNG + bytes(4_000_000), "image/png"),
    ],
    ids=["empty", "type", "not what it says", "unknown", "pixels", "size"],
)
def test_a_file_that_is_not_taken_is_refused_by_field(
    flora: AssetProbe, content: bytes, kind: str
) -> None:
    answer = flora.direct(content, kind)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "input_validation_error")
    assert error["fields"][0]["field"] == "file"
    assert flora.get("/assets").json()["assets"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"source": "signed-url"}, "workspace_id"),
        ({"workspace_id": SPACE}, "source"),
        ({"source": "http://example.org/a.png", "workspace_id": SPACE}, "source"),
        ({"source": "https://localhost/a.png", "workspace_id": SPACE}, "source"),
        ({"source": "https://127.0.0.1/a.png", "workspace_id": SPACE}, "source"),
        ({"source": 7, "workspace_id": SPACE}, "source"),
        ({"source": "signed-url", "workspace_id": SPACE, "colour": "red"}, "colour"),
        ({"source": "signed-url", "workspace_id": SPACE, "content_type": "x/y"}, "content_type"),
    ],
    ids=str,
)
def test_a_request_at_fault_is_refused_by_field(
    flora: AssetProbe, body: dict[str, Any], field: str
) -> None:
    assert flora.post(**body).json()["error"]["fields"][0]["field"] == field


def test_places_that_are_not_the_keys_are_refused(flora: AssetProbe) -> None:
    assert flora.post(source="signed-url", workspace_id="ws_other").status_code == 403
    assert flora.get("/assets", workspace_id="ws_other").status_code == 403
    assert flora.direct(PNG, project_id="prj_none").status_code == 404
    assert flora.get("/assets/asset_none").status_code == 404


def test_a_run_with_an_asset_that_is_not_ready_fails(
    flora: AssetProbe, hand_clock: HandClock, control: ControlClient
) -> None:
    ready, waiting = flora.direct(PNG).json(), flora.reserve()
    path, ended = "/techniques/painted-over/runs", []
    for asset in (ready, waiting):
        inputs = [
            {"id": "picture", "type": "imageUrl", "value": asset["url"]},
            {"id": "prompt", "type": "text", "value": "in oil"},
        ]
        run_id = flora.post(path, inputs=inputs, mode="async").json()["run_id"]
        hand_clock.advance(LONG_ENOUGH)
        run = flora.get(f"{path}/{run_id}").json()
        ended.append((run["status"], run.get("error_code")))
    assert ended == [("completed", None), ("failed", "input_unreachable")]
    assert control.state()["flora"].charged_usd == "0.03"


def test_a_reset_forgets_assets_and_projects(flora: AssetProbe, control: ControlClient) -> None:
    flora.direct(PNG)
    flora.post("/projects", name="Spring", workspace_id=SPACE)
    control.reset()
    assert flora.get("/assets").json()["assets"] == []
    projects = flora.get("/projects", workspace_id=SPACE).json()["projects"]
    assert [one["name"] for one in projects] == ["Sandbox"]
    assert flora.get("/projects").json()["error"]["fields"][0]["field"] == "workspace_id"
