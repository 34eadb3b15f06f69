"""FloImg's typed client on the wire: lists over pages, uploads, and what is left of the limit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from flow_pipelines.model.errors import NotFound, RateLimited, UnexpectedAnswer
from flow_pipelines.provider import InputFile, Quota
from flow_pipelines.providers.floimg import listings
from flow_pipelines_tests.unit.providers.floimg_harness import WORKFLOW, adapter, body, sample
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

IMAGE = "img_abc123"
LINK = "https://storage.floimg.com/images/abc123.png"
FILE = InputFile(content=b"cat", file_name="ab12.png", media_type="image/png", sha256="ab12")


def page(*ids: Any, **changes: Any) -> Step:
    return sample("images", images=[{"id": one} for one in ids], **changes)


def listed(*pages: Step) -> tuple[list[str], list[str]]:
    """The ids that a loop sees, and the offsets that it asked for."""
    with Wire(*pages) as wire:
        found = [one.id for one in adapter(wire).client.list_images(limit=2)]
    return found, [seen.target.partition("offset=")[2] for seen in wire.requests]


def test_a_page_that_is_cut_shorter_than_asked_for_loses_no_entry() -> None:
    found, offsets = listed(page("a", hasMore=True), page("b", "c", hasMore=True), page("d"))
    assert (found, offsets) == (["a", "b", "c", "d"], ["0", "1", "3"])


def test_an_entry_that_moved_on_to_the_next_page_is_given_once() -> None:
    found, _ = listed(page("a", "b", hasMore=True), page("b", "c"))
    assert found == ["a", "b", "c"]


def test_entries_without_a_usable_id_are_left_out_and_counted_for_the_next_offset() -> None:
    found, offsets = listed(page(None, "../x", hasMore=True), page("a"))
    assert (found, offsets) == (["a"], ["0", "2"])


@pytest.mark.parametrize("again", [page("a", hasMore=True), page(hasMore=True)])
def test_a_list_that_brings_nothing_new_has_ended(again: Step) -> None:
    found, offsets = listed(page("a", hasMore=True), again)
    assert (found, len(offsets)) == (["a"], 2)


def test_a_list_without_hasmore_goes_on_as_long_as_its_total_says() -> None:
    found, _ = listed(page("a", hasMore=None, total=2), page("b", hasMore=None, total=2))
    assert found == ["a", "b"]


def test_a_list_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "MOST_PAGES", 3)
    pages = [page(f"img_{number}", hasMore=True) for number in range(5)]
    with Wire(*pages) as wire:
        found = iter(adapter(wire).client.list_images())
        assert [next(found).id for _ in range(3)] == ["img_0", "img_1", "img_2"]
        with pytest.raises(UnexpectedAnswer, match="does not end") as caught:
            next(found)
    assert caught.value.operation == "list_images"
    assert len(wire.requests) == 3


def test_a_list_is_asked_for_when_somebody_looks_and_anew_each_time() -> None:
    with Wire(page("a")) as wire:
        images = adapter(wire).client.list_images()
        assert wire.connections == 0
        assert len(list(images)) == len(list(images)) == 1
    assert len(wire.requests) == 2


@pytest.mark.parametrize("step", [sample("projects"), answer(200, [body("project")])])
def test_projects_may_come_bare_or_in_a_page(step: Step) -> None:
    with Wire(step) as wire:
        (project,) = adapter(wire).client.list_projects()
    assert (project.id, project.name) == ("proj_abc123", "Marketing Assets")
    assert wire.requests[0].target == "/v1/projects"


def test_fields_go_before_the_file_in_an_upload() -> None:
    with Wire(sample("image")) as wire:
        image = adapter(wire).client.upload_image(
            b"\x89PNG", "a.png", "image/png", project_id="proj_1", name="b.png"
        )
    (seen,) = wire.requests
    assert (seen.method, seen.target) == ("POST", "/v1/storage/upload")
    assert seen.headers["content-type"].startswith("multipart/form-data; boundary=")
    places = [seen.body.index(b'name="%b"' % name) for name in (b"projectId", b"name", b"file")]
    assert places == sorted(places)
    assert b'filename="a.png"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n' in seen.body
    assert (image.id, image.width, image.created_at) == (
        IMAGE,
        1200,
        datetime(2026, 1, 15, 10, tzinfo=UTC),
    )


def test_what_floimg_adds_is_kept_and_not_printed() -> None:
    with Wire(sample("image", signedLink=f"{LINK}?sig=1")) as wire:
        image = adapter(wire).client.get_image(IMAGE)
    assert image.model_extra == {"signedLink": f"{LINK}?sig=1"}
    assert "storage.floimg.com" not in repr(image)


def test_an_input_is_uploaded_and_its_link_known_without_asking_again() -> None:
    with Wire(sample("image")) as wire:
        provider = adapter(wire)
        assert provider.upload_input(FILE) == IMAGE
        assert provider.input_value(IMAGE) == LINK
    assert len(wire.requests) == 1


def test_an_upload_that_tells_no_link_is_asked_for_it_once() -> None:
    with Wire(sample("image", url=None), sample("image")) as wire:
        provider = adapter(wire)
        name = provider.upload_input(FILE)
        assert [provider.input_value(name) for _ in range(3)] == [LINK] * 3
    assert [seen.method for seen in wire.requests] == ["POST", "GET"]


@pytest.mark.parametrize(
    ("step", "error"),
    [
        (sample("not_found"), NotFound),
        (sample("image", url=None), UnexpectedAnswer),
        (sample("image", id="img_other"), UnexpectedAnswer),
    ],
)
def test_an_input_without_a_link_is_no_value(step: Step, error: type[Exception]) -> None:
    with Wire(step) as wire, pytest.raises(error):
        adapter(wire).input_value(IMAGE)


def test_what_is_left_of_the_limit_is_told_by_errors_too_and_outlives_silence() -> None:
    with Wire(sample("rate_limited"), sample("workflow")) as wire:
        client = adapter(wire).client
        with pytest.raises(RateLimited):
            client.execute_workflow(WORKFLOW, {})
        told = client.rate_limit()
        client.get_workflow(WORKFLOW)
        assert client.rate_limit() == told
    resets_at = datetime.fromtimestamp(1795312860, UTC)
    assert told == Quota(limit=60, remaining=0, resets_at=resets_at)


def test_a_synchronous_execute_says_so_and_by_itself_it_is_asynchronous() -> None:
    with Wire(sample("execute_completed")) as wire:
        client = adapter(wire).client
        for wait_seconds in (None, 300.0):
            client.execute_workflow(WORKFLOW, {}, wait_seconds=wait_seconds)
    assert [seen.json()["async"] for seen in wire.requests] == [True, False]
