"""Pictures that runs take: kept when planned, uploaded once, never forgotten."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from flow_pipelines.lifecycle import Ports, plan_night, regenerate
from flow_pipelines.lifecycle.inputs import MAX_INPUT_BYTES
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    AccountRejected,
    InvalidBatch,
    NotFound,
    ProviderUnavailable,
    RequestRejected,
    StorageError,
)
from flow_pipelines.provider import InputFile
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

IMAGE = "10::image"


class Keeper(FakeProvider):
    """Keeps uploaded pictures, under names that tell the order of their uploads."""

    def __init__(self) -> None:
        super().__init__()
        self.uploads: list[InputFile] = []
        self.gone: set[str] = set()
        self.refuse: Exception | None = None

    def upload_input(self, file: InputFile) -> str:
        if self.refuse is not None:
            raise self.refuse
        self.uploads.append(file)
        return f"upload_{len(self.uploads)}"

    def input_value(self, uploaded: str) -> str:
        if uploaded in self.gone:
            raise NotFound("no such file", provider=self.name, operation="retrieve_file")
        return f"inputs/{uploaded}"


def png(shade: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (4, 4), (shade, 0, 0)).save(content, "PNG")
    return content.getvalue()


@pytest.fixture
def keeper(harness: LifecycleHarness) -> Keeper:
    harness.provider = Keeper()
    parameters = {**harness.settings.parameters, IMAGE: {"file": "{picture}"}}
    harness.with_settings(parameters=parameters)
    return harness.provider


def write(folder: Path, pictures: Sequence[str]) -> None:
    rows = [f"p{number},a cat,{picture}" for number, picture in enumerate(pictures)]
    text = "\n".join(["prompt_id,prompt,picture", *rows]) + "\n"
    (folder / "prompts.csv").write_text(text)


def paint(folder: Path, *names: str) -> None:
    for shade, name in enumerate(names):
        (folder / name).write_bytes(png(shade))


def sent(provider: FakeProvider) -> list[object]:
    return [post.parameters[IMAGE] for post in provider.posts]


def test_rows_that_share_pictures_upload_each_once(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    names = ["red.png", "green.png", "blue.png"]
    paint(harness.folder, *names)
    write(harness.folder, [names[number % 3] for number in range(50)])
    harness.plan()

    assert harness.submit().submitted == 50
    assert len(keeper.uploads) == 3
    assert sorted(set(map(str, sent(keeper)))) == [f"inputs/upload_{n}" for n in (1, 2, 3)]
    assert {file.media_type for file in keeper.uploads} == {"image/png"}


def test_two_names_of_one_content_are_one_upload(harness: LifecycleHarness, keeper: Keeper) -> None:
    for name in ("a.png", "b.png"):
        (harness.folder / name).write_bytes(png(7))
    write(harness.folder, ["a.png", "b.png"])
    harness.plan()
    harness.submit()

    assert len(keeper.uploads) == 1


def test_the_next_night_uploads_nothing_again(harness: LifecycleHarness, keeper: Keeper) -> None:
    paint(harness.folder, "red.png")
    write(harness.folder, ["red.png"])
    harness.plan()
    harness.submit()
    harness.night = type(harness.night)(harness.night.batch, "2026-11-22")
    harness.plan()
    harness.submit("run-2")

    assert len(keeper.uploads) == 1
    assert len(keeper.posts) == 2


def test_what_was_planned_is_bought_though_the_file_is_gone(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    paint(harness.folder, "red.png")
    write(harness.folder, ["red.png"])
    harness.plan()
    (harness.folder / "red.png").unlink()
    harness.submit()

    assert keeper.uploads[0].content == png(0)


def test_a_picture_that_the_provider_lost_is_uploaded_again(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    paint(harness.folder, "red.png")
    write(harness.folder, ["red.png", "red.png"])
    harness.plan()
    harness.submit(limit=1)
    keeper.gone.add("upload_1")
    harness.submit("run-2")

    assert sent(keeper) == ["inputs/upload_1", "inputs/upload_2"]


def reading(harness: LifecycleHarness, read: Callable[[str], bytes]) -> Ports:
    return replace(harness.ports, read_uri=read, read_input=read)


def refuse(uri: str) -> bytes:
    raise AssertionError(f"{uri} was read")


@pytest.mark.case(
    "a text column's s3://hr-private/badge.png was read with our credentials and sent out",
    "only {file: …} in parameters reads a picture; any other text stays the text it is",
    area="inputs",
)
def test_a_uri_in_a_text_column_stays_text(harness: LifecycleHarness) -> None:
    harness.provider = Keeper()
    harness.with_settings(parameters={**harness.settings.parameters, IMAGE: "{picture}"})
    write(harness.folder, ["s3://hr-private/badge.png"])
    plan_night(harness.settings, harness.night.partition_key, reading(harness, refuse))
    harness.submit()

    assert sent(harness.provider) == ["s3://hr-private/badge.png"]
    assert harness.provider.uploads == []


def test_a_row_names_a_picture_by_its_uri_and_each_is_read_once(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    read: list[str] = []

    def picture(uri: str) -> bytes:
        read.append(uri)
        return png(len(uri))

    write(
        harness.folder, ["s3://shelf/red.png", "https://shelf.example/b.png", "s3://shelf/red.png"]
    )
    plan_night(harness.settings, harness.night.partition_key, reading(harness, picture))
    harness.submit()

    assert read == ["s3://shelf/red.png", "https://shelf.example/b.png"]
    assert sorted(map(str, sent(keeper))) == [f"inputs/upload_{n}" for n in (1, 1, 2)]


def test_what_was_planned_with_a_picture_is_sent_with_it_whatever_parameters_say_now(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    paint(harness.folder, "red.png")
    write(harness.folder, ["red.png"])
    harness.plan()
    harness.with_settings(parameters={**harness.settings.parameters, IMAGE: "{picture}"})
    harness.submit()

    assert sent(keeper) == ["inputs/upload_1"]


@pytest.mark.case(
    '`{file: "{picture}"}` took ../../../secret/x.png and links that lead out of the folder',
    "a local picture lies below the batch's folder once links are resolved; the error names row, "
    "column and the setting",
    area="inputs",
)
@pytest.mark.parametrize("way", ["up", "file link", "folder link", "absolute", "folder", "device"])
def test_no_row_reads_out_of_the_batchs_folder(
    harness: LifecycleHarness, keeper: Keeper, way: str
) -> None:
    secret = harness.folder / "secret"
    secret.mkdir()
    paint(secret, "x.png")
    harness.folder = harness.folder / "batch"
    harness.folder.mkdir()
    harness.with_settings(base_dir=str(harness.folder), prompts="prompts.csv")
    (harness.folder / "link.png").symlink_to(secret / "x.png")
    (harness.folder / "out").symlink_to(secret)
    (harness.folder / "within").mkdir()
    (harness.folder / "device.png").symlink_to("/dev/zero")
    names = {
        "up": "../secret/x.png",
        "file link": "link.png",
        "folder link": "out/x.png",
        "absolute": str(secret / "x.png"),
        "folder": "within",
        "device": "device.png",
    }
    write(harness.folder, [names[way]])

    with pytest.raises(InvalidBatch) as raised:
        harness.plan()

    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (2, "picture")
    assert names[way] in problem.message
    assert ("image_store.input_uris" in problem.message) == (way != "folder")
    assert keeper.uploads == []


def test_a_link_within_the_folder_is_followed(harness: LifecycleHarness, keeper: Keeper) -> None:
    paint(harness.folder, "red.png")
    (harness.folder / "link.png").symlink_to("red.png")
    write(harness.folder, ["link.png"])
    harness.plan()
    harness.submit()

    assert keeper.uploads[0].content == png(0)


@pytest.mark.case(
    "a picture that `parameters` named for all rows and that was not there was left out in silence",
    "it is a problem of the batch, told with the place in its defs.yaml",
    area="inputs",
)
def test_a_picture_for_all_rows_that_is_not_there_is_told_once(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    harness.with_settings(parameters={**harness.settings.parameters, IMAGE: {"file": "gone.png"}})
    write(harness.folder, ["", ""])

    with pytest.raises(InvalidBatch, match=r"gone\.png") as raised:
        harness.plan()

    assert len(raised.value.problems) == 1
    assert keeper.posts == []


def test_a_provider_without_uploads_gets_a_link_that_nobody_keeps(
    harness: LifecycleHarness,
) -> None:
    harness.with_settings(parameters={**harness.settings.parameters, IMAGE: {"file": "{picture}"}})
    paint(harness.folder, "red.png")
    write(harness.folder, ["red.png"])
    harness.plan()
    harness.submit()

    (link,) = sent(harness.provider)
    assert isinstance(link, str)
    assert "_inputs/" in link
    assert "Signature" in link
    kept = "".join(path.read_text("latin-1") for path in harness.folder.glob("ledger.db*"))
    assert "Signature" not in kept
    assert "Signature" not in "".join(harness.lines)


def test_every_fault_of_every_picture_is_told_before_anything_is_stored(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    (harness.folder / "page.png").write_bytes(b"<html>not found</html>")
    (harness.folder / "huge.png").write_bytes(b"\0" * (MAX_INPUT_BYTES + 1))
    write(harness.folder, ["gone.png", "page.png", "huge.png", "", "/etc/passwd"])

    with pytest.raises(InvalidBatch) as raised:
        harness.plan()

    text = str(raised.value)
    assert len(raised.value.problems) == 5
    for said in ("gone.png", "no picture", "at most", "uses an empty cell", "relative to"):
        assert said in text
    assert list(harness.store.list_keys(harness.store.key(harness.night.batch, "_inputs"))) == []
    assert keeper.posts == []


def test_a_repainted_file_makes_its_rows_stale_and_can_be_bought_anew(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    paint(harness.folder, "red.png", "green.png")
    write(harness.folder, ["red.png", "green.png"])
    harness.plan()
    harness.submit()
    (harness.folder / "red.png").write_bytes(png(99))
    harness.plan()

    assert [one.stale for one in harness.ledger.submissions(harness.night)] == [True, False]
    regenerate(harness.settings, harness.night, harness.ports, requested_by="r1", scope="changed")
    harness.submit("run-2")
    assert len(keeper.posts) == 3
    assert keeper.uploads[2].content == png(99)


def test_a_picture_that_the_provider_refuses_fails_its_row_only(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    paint(harness.folder, "red.png")
    write(harness.folder, ["red.png"])
    harness.plan()
    keeper.refuse = RequestRejected("too many pixels", provider="floyo", operation="upload_file")

    assert harness.submit().failed == 1
    assert harness.states() == [SubmissionState.FAILED]
    assert keeper.posts == []


@pytest.mark.parametrize("kind", [ProviderUnavailable, AccountRejected])
def test_an_upload_that_does_not_go_leaves_the_night_planned(
    harness: LifecycleHarness, keeper: Keeper, kind: type[ProviderUnavailable | AccountRejected]
) -> None:
    paint(harness.folder, "red.png")
    write(harness.folder, ["red.png", "red.png"])
    harness.plan()
    keeper.refuse = kind("not now", provider="floyo", operation="upload_file")

    assert harness.submit().stopped is not None
    assert harness.states() == [SubmissionState.PLANNED] * 2


def test_a_picture_gone_from_the_bucket_stops_before_anything_is_bought(
    harness: LifecycleHarness, keeper: Keeper
) -> None:
    paint(harness.folder, "red.png")
    write(harness.folder, ["red.png"])
    harness.plan()
    (key,) = harness.store.list_keys(harness.store.key(harness.night.batch, "_inputs"))
    harness.store.delete(key)

    with pytest.raises(StorageError, match="materialize posters/prompts"):
        harness.submit()
    assert harness.states() == [SubmissionState.PLANNED]
    harness.plan()
    assert harness.submit().submitted == 1
