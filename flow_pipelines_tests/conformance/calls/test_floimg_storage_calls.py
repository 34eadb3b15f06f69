"""FloImg's storage and projects, by the typed client against the sandbox; pictures as inputs."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    ConfigurationError,
    NotFound,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.provider import InputFile, ListsWorkflows, SubmitRequest, TakesFiles
from flow_pipelines.providers.floimg import FloImgClient, FloImgProvider
from flow_pipelines_tests.conformance.calls.floimg_account import (
    CITY,
    WORKFLOW,
    client_of,
    ended,
    png,
)
from flow_pipelines_tests.conformance.providers.account import Account


@pytest.fixture
def account(connect: Callable[[str], Account]) -> Account:
    return connect("floimg")


@pytest.fixture
def client(account: Account) -> FloImgClient:
    return client_of(account)


@pytest.mark.call("floimg", "upload_image")
def test_an_image_is_uploaded_and_described(account: Account, client: FloImgClient) -> None:
    image = client.upload_image(
        png(), "a.png", "image/png", project_id="proj_photos", name="harbour.png"
    )
    assert (image.name, image.format, image.width, image.height) == ("harbour.png", "png", 40, 30)
    assert image.size == len(png())
    assert image.created_at is not None
    assert account.meter().runs_billed == 0
    assert str(image.url) not in repr(image)


@pytest.mark.call("floimg", "upload_image")
def test_an_upload_without_a_name_keeps_that_of_its_file(client: FloImgClient) -> None:
    assert client.upload_image(png(), "a.png", "image/png").name == "a.png"


@pytest.mark.call("floimg", "upload_image")
def test_an_upload_that_is_no_image_or_of_no_project_is_refused(client: FloImgClient) -> None:
    with pytest.raises(RequestRejected) as caught:
        client.upload_image(b"words", "a.png", "image/png")
    assert caught.value.code == "invalid_request"
    with pytest.raises(NotFound):
        client.upload_image(png(), "a.png", "image/png", project_id="proj_none")


@pytest.mark.call("floimg", "upload_image")
def test_an_upload_whose_answer_is_lost_is_made_again(
    account: Account, client: FloImgClient
) -> None:
    account.fault("upload_image", "drop_after_accept")
    image = client.upload_image(png(), "a.png", "image/png")
    assert image.id in {one.id for one in client.list_images()}


@pytest.mark.call("floimg", "list_images")
def test_images_are_listed_over_pages_and_by_project(client: FloImgClient) -> None:
    kept = [
        client.upload_image(png(), f"{n}.png", "image/png", project_id=project).id
        for n, project in enumerate([None, "proj_books", None])
    ]
    listed = list(client.list_images(limit=2))
    assert [one.id for one in listed] == kept
    assert {(one.format, one.width) for one in listed} == {(None, None)}
    assert [one.id for one in client.list_images(project_id="proj_books")] == kept[1:2]
    page = next(client.list_images(limit=2, offset=2).pages())
    assert (page.total, page.has_more, page.length) == (3, False, 1)


@pytest.mark.call("floimg", "get_image")
def test_a_stored_image_is_given_by_its_id(client: FloImgClient) -> None:
    image = client.upload_image(png(), "a.png", "image/png")
    assert client.get_image(image.id) == image
    with pytest.raises(NotFound) as caught:
        client.get_image("img_none")
    assert caught.value.code == "not_found"
    with pytest.raises(ConfigurationError):
        client.get_image("../projects")


@pytest.mark.call("floimg", "delete_image")
def test_a_deleted_image_is_gone(client: FloImgClient) -> None:
    image = client.upload_image(png(), "a.png", "image/png")
    assert client.delete_image(image.id).deleted
    with pytest.raises(NotFound):
        client.delete_image(image.id)
    assert list(client.list_images()) == []


@pytest.mark.call("floimg", "open_output")
def test_outputs_and_stored_images_are_opened_by_their_links(
    account: Account, client: FloImgClient
) -> None:
    image = client.upload_image(png(), "a.png", "image/png")
    made = ended(account, client, client.execute_workflow(WORKFLOW, CITY).execution_id)
    for link in (image.url, made.output.url):
        with client.open_output(link, max_bytes=10**6) as download:
            assert download.media_type == "image/png"
            assert download.read().startswith(b"\x89PNG")


@pytest.mark.call("floimg", "list_projects")
def test_projects_are_listed_over_all_pages(account: Account, client: FloImgClient) -> None:
    made = [client.create_project(f"Project {n}").id for n in range(20)]
    listed = [one.id for one in client.list_projects()]
    assert len(listed) == 23
    assert listed[3:] == made
    assert [one.operation for one in account.requests(22)][-2:] == ["list_projects"] * 2


@pytest.mark.call("floimg", "create_project")
def test_a_project_is_created_once_even_when_its_answer_is_lost(
    account: Account, client: FloImgClient
) -> None:
    project = client.create_project("Marketing", "For campaigns")
    assert (project.name, project.description) == ("Marketing", "For campaigns")
    account.fault("create_project", "drop_after_accept", count=None)
    with pytest.raises(SubmitOutcomeUnknown):
        client.create_project("Lost")
    assert [one.name for one in client.list_projects()][3:] == ["Marketing", "Lost"]


@pytest.mark.call("floimg", "create_project")
def test_a_project_without_a_name_is_refused(client: FloImgClient) -> None:
    with pytest.raises(RequestRejected) as caught:
        client.create_project("")
    assert caught.value.code == "invalid_request"


def test_the_adapter_lists_workflows_and_takes_files(account: Account) -> None:
    provider = account.provider
    assert isinstance(provider, ListsWorkflows)
    assert isinstance(provider, TakesFiles)
    listed = [(one.reference, one.name) for one in provider.list_workflows()]
    assert listed[0] == (WORKFLOW, "City poster")
    assert len(listed) == 3


def test_a_picture_becomes_an_input_whose_link_is_asked_for_once(account: Account) -> None:
    provider = account.provider
    assert isinstance(provider, FloImgProvider)
    name = provider.upload_input(
        InputFile(content=png(), file_name="ab12.png", media_type="image/png", sha256="ab12")
    )
    another = Account("floimg", account.sandbox, account.clock).provider
    assert isinstance(another, FloImgProvider)
    before = len(account.requests(1))
    link = another.input_value(name)
    assert [another.input_value(name), provider.input_value(name)] == [link, link]
    assert len(account.requests(before + 1)) == before + 1
    order = SubmitRequest(
        submission_key="0f" * 16,
        workflow=provider.read_workflow("wf_painted_photo", lambda _: b""),
        parameters={"prompt": "in oil", "image": link},
        label="posters/2026-11-21/cat #0 · 0f0f",
        idempotency_key="0f" * 16,
    )
    run_id = provider.submit(order).provider_run_id
    assert account.wait_for(run_id, SubmissionState.SUCCEEDED).outputs


def test_a_picture_that_floimg_does_not_keep_any_more_is_not_found(account: Account) -> None:
    provider = account.provider
    assert isinstance(provider, FloImgProvider)
    image = provider.client.upload_image(png(), "a.png", "image/png")
    provider.client.delete_image(image.id)
    with pytest.raises(NotFound):
        provider.input_value(image.id)
