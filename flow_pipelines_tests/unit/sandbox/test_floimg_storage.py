from __future__ import annotations

import io
import re
from typing import Any

import pytest
import requests
from PIL import Image

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.unit.sandbox.probe import HandClock
from flow_pipelines_tests.unit.sandbox.test_floimg import FloImgProbe


def picture(kind: str = "PNG") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (30, 20), "teal").save(target, kind)
    return target.getvalue()


@pytest.fixture
def floimg(sandbox: Sandbox, hand_clock: HandClock) -> FloImgProbe:
    return FloImgProbe(sandbox, hand_clock)


def upload(floimg: FloImgProbe, content: bytes | None = None, **fields: str) -> requests.Response:
    file = ("a.png", picture() if content is None else content, "image/png")
    address = f"{floimg.api}/storage/upload"
    return floimg.session.post(address, data=fields, files={"file": file}, timeout=10)


def delete(floimg: FloImgProbe, image_id: str) -> requests.Response:
    return floimg.session.delete(f"{floimg.api}/storage/images/{image_id}", timeout=10)


def create(floimg: FloImgProbe, body: Any) -> requests.Response:
    return floimg.session.post(f"{floimg.api}/projects", json=body, timeout=10)


def test_an_upload_is_described_by_what_the_image_is(floimg: FloImgProbe) -> None:
    answer = upload(floimg, picture("JPEG"), name="b.jpg")
    told = answer.json()
    assert answer.status_code == 201
    assert set(told) == {"id", "url", "name", "size", "format", "width", "height", "createdAt"}
    assert re.fullmatch(r"img_[A-Za-z0-9]{16}", told["id"])
    assert (told["name"], told["format"], told["width"]) == ("b.jpg", "jpeg", 30)
    assert requests.get(told["url"], timeout=10).content == picture("JPEG")
    assert floimg.get(f"/storage/images/{told['id']}").json() == told


@pytest.mark.parametrize(
    ("content", "fields", "status"),
    [(b"no image", {}, 400), (None, {"projectId": "proj_none"}, 404)],
)
def test_an_upload_at_fault_keeps_nothing(
    floimg: FloImgProbe, content: bytes | None, fields: dict[str, str], status: int
) -> None:
    assert upload(floimg, content, **fields).status_code == status
    assert floimg.get("/storage/images").json() == {"images": [], "total": 0, "hasMore": False}


def test_an_upload_without_a_file_is_an_invalid_request(floimg: FloImgProbe) -> None:
    answer = floimg.session.post(f"{floimg.api}/storage/upload", json={"file": "x"}, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_request")


def test_images_are_listed_in_pages_of_a_project_or_of_all(floimg: FloImgProbe) -> None:
    for project in ("proj_books", "proj_posters", "proj_books"):
        upload(floimg, projectId=project)
    first = floimg.get("/storage/images", limit=2).json()
    assert (len(first["images"]), first["total"], first["hasMore"]) == (2, 3, True)
    assert set(first["images"][0]) == {"id", "url", "name", "size", "createdAt"}
    rest = floimg.get("/storage/images", limit=500, offset=2).json()
    assert (len(rest["images"]), rest["hasMore"]) == (1, False)
    assert floimg.get("/storage/images", projectId="proj_books").json()["total"] == 2


def test_a_deleted_image_is_gone_with_its_link(floimg: FloImgProbe) -> None:
    told = upload(floimg).json()
    assert delete(floimg, told["id"]).json() == {"deleted": True}
    assert delete(floimg, told["id"]).status_code == 404
    assert requests.get(told["url"], timeout=10).status_code == 404


def test_projects_are_listed_and_created_until_the_reset(
    floimg: FloImgProbe, control: ControlClient
) -> None:
    before = floimg.get("/projects").json()["total"]
    made = create(floimg, {"name": "Cups", "description": "Of tea"})
    assert made.status_code == 201
    assert set(made.json()) == {"id", "name", "description", "createdAt"}
    assert floimg.get("/projects").json()["projects"][-1] == made.json()
    assert upload(floimg, projectId=made.json()["id"]).status_code == 201
    control.reset()
    assert floimg.get("/projects").json()["total"] == before
    assert floimg.get("/storage/images").json()["total"] == 0


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 7}, {"name": "a", "description": 7}])
def test_a_project_without_a_name_is_refused(floimg: FloImgProbe, body: dict[str, Any]) -> None:
    assert create(floimg, body).status_code == 400


def test_a_photo_is_painted_over_only_if_it_is_stored(
    floimg: FloImgProbe, control: ControlClient
) -> None:
    link = upload(floimg).json()["url"]
    order = {"workflowId": "wf_painted_photo", "async": True}
    for image, status in ((link, 202), (f"{link}x", 400), ("https://example.com/a.png", 400)):
        answer = floimg.execute(**order, parameters={"prompt": "in oil", "image": image})
        assert answer.status_code == status
    assert control.state()["floimg"].runs_billed == 1


def test_storage_is_open_to_no_unknown_key(floimg: FloImgProbe) -> None:
    image_id = upload(floimg).json()["id"]
    floimg.session.headers["Authorization"] = "Bearer fsk_test_of_nobody"
    assert floimg.get(f"/storage/images/{image_id}").status_code == 401
    assert floimg.get("/storage/images").status_code == 401
