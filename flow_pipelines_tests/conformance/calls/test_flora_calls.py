"""Every call that FLORA documents, by its typed client against the sandbox."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from decimal import Decimal

import pytest
from PIL import Image

from flow_pipelines.model.errors import (
    AccountRejected,
    KeyAlreadyKnown,
    NotFound,
    ProviderError,
    RateLimited,
    RequestRejected,
    SubmitOutcomeUnknown,
)
from flow_pipelines.providers import profile
from flow_pipelines.providers.flora import FloraClient
from flow_pipelines.providers.flora.assets import AssetFile
from flow_pipelines_tests.conformance.providers.account import Account

SPACE, TECHNIQUE = "ws_sandbox0001", "city-poster"
PROMPT = {"id": "prompt", "type": "text", "value": "a city"}


def png(color: str = "red") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(target, "PNG")
    return target.getvalue()


PICTURE = AssetFile(content=png(), file_name="cat.png", media_type="image/png")


@pytest.fixture
def account(connect: Callable[[str], Account]) -> Account:
    return connect("flora")


@pytest.fixture
def client(account: Account) -> FloraClient:
    found = account.provider.client  # type: ignore[attr-defined]
    assert isinstance(found, FloraClient)
    return found


@pytest.fixture
def duplicates_are_409(account: Account) -> Iterator[None]:
    account.control.configure(flora_idempotency="duplicate_409")
    yield
    account.control.configure(flora_idempotency="replay_stored")


# ---- workspaces, projects, models -----------------------------------------------------------


@pytest.mark.call("flora", "list_workspaces")
def test_the_workspaces_of_a_key_are_told(client: FloraClient) -> None:
    [own] = client.list_workspaces()
    assert (own.workspace_id, own.name, own.role, own.created_at) == (
        SPACE, "Sandbox", "owner", None,
    )  # fmt: skip


@pytest.mark.call("flora", "list_projects")
def test_projects_are_listed_newest_first_and_found_by_words(
    account: Account, client: FloraClient
) -> None:
    for name in ("Spring", "Autumn"):
        account.clock.advance(1)
        client.create_project(name, SPACE)
    assert [one.name for one in client.list_projects(SPACE)] == ["Autumn", "Spring", "Sandbox"]
    assert [one.name for one in client.list_projects(SPACE, query="spri")] == ["Spring"]
    with pytest.raises(AccountRejected) as caught:
        list(client.list_projects("ws_other"))
    assert caught.value.code == "forbidden"


@pytest.mark.call("flora", "create_project")
def test_a_project_is_created_once_even_when_its_answer_is_lost(
    account: Account, client: FloraClient
) -> None:
    made = client.create_project("Spring", SPACE)
    assert (made.name, made.workspace_id, made.origin) == ("Spring", SPACE, "api")
    assert made.created_at is not None
    account.fault("create_project", "drop_after_accept", count=None)
    with pytest.raises(SubmitOutcomeUnknown):
        client.create_project("Lost", SPACE)
    assert sorted(one.name or "" for one in client.list_projects(SPACE)) == [
        "Lost", "Sandbox", "Spring",
    ]  # fmt: skip


@pytest.mark.call("flora", "create_project")
def test_a_project_without_a_name_is_refused_by_field(client: FloraClient) -> None:
    with pytest.raises(RequestRejected) as caught:
        client.create_project("", SPACE)
    assert caught.value.code == "input_validation_error"
    assert [one["field"] for one in caught.value.fields] == ["name"]


@pytest.mark.call("flora", "retrieve_project")
def test_a_project_is_given_by_its_id(client: FloraClient) -> None:
    made = client.create_project("Spring", SPACE)
    assert client.retrieve_project(made.project_id) == made
    with pytest.raises(NotFound):
        client.retrieve_project("prj_none")


@pytest.mark.call("flora", "list_models")
def test_models_tell_their_parameters_and_cost_credits(client: FloraClient) -> None:
    image, video = client.list_models()
    assert [one.model_id for one in client.list_models(type="video")] == [video.model_id]
    assert (image.type, image.estimated_credits, image.estimated_seconds) == ("image", 4, 8)
    assert [(one.name, one.type, one.required) for one in image.params] == [
        ("aspect_ratio", "string", False),
        ("seed", "seed", False),
    ]
    assert (image.params[0].model_extra or {})["options"][0]["value"] == "1:1"
    assert (image.beta, video.beta) == (None, True)
    with pytest.raises(RequestRejected) as caught:
        client.list_models(type="smell")  # type: ignore[arg-type]
    assert caught.value.fields[0]["field"] == "type"


# ---- techniques and their runs --------------------------------------------------------------


@pytest.mark.call("flora", "list_techniques")
def test_techniques_are_listed_as_far_as_somebody_asks(
    account: Account, client: FloraClient
) -> None:
    listing = client.list_techniques(workspace_id=SPACE)
    assert account.requests(0) == []
    first = next(listing)
    assert (first.slug, first.run_cost) == (TECHNIQUE, Decimal("0.04"))
    assert len(list(listing)) == 3
    assert [one.slug for one in client.list_techniques("pair")] == ["postcard-pair"]


@pytest.mark.call("flora", "retrieve_technique")
@pytest.mark.parametrize("reference", [TECHNIQUE, "tech_CityPoster0001"])
def test_a_technique_is_given_by_slug_or_id_with_its_inputs(
    client: FloraClient, reference: str
) -> None:
    found = client.retrieve_technique(reference)
    assert [(one.id, one.type, one.optional) for one in found.inputs] == [
        ("prompt", "text", False),
        ("style", "text", True),
        ("reference", "imageUrl", True),
    ]
    assert [(one.id, one.type) for one in found.outputs] == [("poster", "imageUrl")]
    with pytest.raises(NotFound) as caught:
        client.retrieve_technique("no-such-thing")
    assert caught.value.code == "not_found"


@pytest.mark.call("flora", "create_technique_run")
def test_a_run_is_created_and_its_copy_is_the_same_run(
    account: Account, client: FloraClient
) -> None:
    first = client.create_technique_run(TECHNIQUE, [PROMPT], "key-1")
    again = client.create_technique_run(TECHNIQUE, [PROMPT], "key-1")
    assert first.run_id == again.run_id
    assert first.status in {"pending", "running"}
    assert first.charged_cost is None
    assert account.meter().runs_billed == 1
    with pytest.raises(KeyAlreadyKnown) as caught:
        client.create_technique_run(TECHNIQUE, [{**PROMPT, "value": "a dog"}], "key-1")
    assert caught.value.code == "idempotency_conflict"


@pytest.mark.call("flora", "create_technique_run")
@pytest.mark.usefixtures("duplicates_are_409")
def test_where_copies_are_refused_the_key_is_known(account: Account, client: FloraClient) -> None:
    client.create_technique_run(TECHNIQUE, [PROMPT], "key-1")
    with pytest.raises(KeyAlreadyKnown) as caught:
        client.create_technique_run(TECHNIQUE, [PROMPT], "key-1")
    assert (caught.value.status, caught.value.code) == (409, "idempotency_duplicate")
    assert account.meter().runs_billed == 1


@pytest.mark.call("flora", "create_technique_run")
@pytest.mark.parametrize(
    ("inputs", "field"),
    [
        ([], "inputs"),
        ([{**PROMPT, "type": "imageUrl"}], "inputs[0]"),
        ([PROMPT, {"id": "reference", "type": "imageUrl", "value": "https://x.org"}], "inputs[1]"),
    ],
    ids=["none", "type", "host"],
)
def test_a_run_at_fault_is_refused_by_field_and_costs_nothing(
    account: Account, client: FloraClient, inputs: list[dict[str, str]], field: str
) -> None:
    with pytest.raises(RequestRejected) as caught:
        client.create_technique_run(TECHNIQUE, inputs, "key-1")
    assert caught.value.fields[0]["field"] == field
    assert caught.value.request_id
    assert account.meter().runs_billed == 0


@pytest.mark.call("flora", "create_technique_run")
@pytest.mark.parametrize("key", ["key-1", None])
def test_a_run_whose_answer_is_lost_is_never_sent_again(
    account: Account, client: FloraClient, key: str | None
) -> None:
    account.fault("create_technique_run", "drop_after_accept", count=None)
    with pytest.raises(SubmitOutcomeUnknown):
        client.create_technique_run(TECHNIQUE, [PROMPT], key)
    assert account.meter().runs_billed == 1


@pytest.mark.call("flora", "retrieve_technique_run")
def test_a_completed_run_tells_times_charge_and_outputs(
    account: Account, client: FloraClient
) -> None:
    run_id = client.create_technique_run("captioned-art", [PROMPT], "key-1").run_id
    account.clock.advance(600)
    found = client.retrieve_technique_run("captioned-art", run_id)
    assert (found.status, found.progress, found.charged_cost) == ("completed", 100, Decimal("0.05"))
    assert found.created_at is not None
    assert found.started_at is not None
    assert found.completed_at is not None
    assert found.created_at <= found.started_at < found.completed_at
    picture, caption = found.outputs
    assert (picture.output_id, caption.type) == ("picture", "text")
    assert caption.url == "What this shows: a city"
    assert str(picture.url) not in repr(found)


@pytest.mark.call("flora", "retrieve_technique_run")
def test_a_failed_run_says_why_and_one_that_nobody_made_is_not_found(
    account: Account, client: FloraClient
) -> None:
    account.fault("create_technique_run", "run_fails", error="safety_blocked")
    run_id = client.create_technique_run(TECHNIQUE, [PROMPT]).run_id
    account.clock.advance(600)
    found = client.retrieve_technique_run(TECHNIQUE, run_id)
    assert (found.status, found.error_code, found.charged_cost) == (
        "failed", "safety_blocked", None,
    )  # fmt: skip
    with pytest.raises(NotFound) as caught:
        client.retrieve_technique_run(TECHNIQUE, "run_none")
    assert caught.value.provider_run_id == "run_none"


@pytest.mark.call("flora", "list_technique_runs")
def test_runs_are_listed_newest_first_over_pages_and_by_what_they_are(
    account: Account, client: FloraClient
) -> None:
    account.control.configure(requests_per_window=500)
    try:
        made = [client.create_technique_run(TECHNIQUE, [PROMPT]).run_id for _ in range(101)]
        other = client.create_technique_run("postcard-pair", [PROMPT]).run_id
        before = len(account.requests(102))
        listed = [one.run_id for one in client.list_technique_runs("tech_CityPoster0001", SPACE)]
        assert len(account.requests(before + 2)) == before + 2
        [found] = client.list_technique_runs("tech_PostcardPair02", status="pending")
        assert list(client.list_technique_runs(project_id="prj_none")) == []
    finally:
        account.control.configure(requests_per_window=None)
    assert listed == made[::-1]
    assert (found.run_id, found.workspace_id) == (other, SPACE)
    assert found.technique.name == "Postcard pair"


@pytest.mark.call("flora", "download_output")
def test_outputs_and_assets_are_opened_by_their_links_without_the_key(
    account: Account, client: FloraClient
) -> None:
    run_id = client.create_technique_run(TECHNIQUE, [PROMPT]).run_id
    asset = client.create_asset(PICTURE, SPACE)
    account.clock.advance(600)
    [output] = client.retrieve_technique_run(TECHNIQUE, run_id).outputs
    for link in (output.url, asset.url):
        assert link is not None
        with client.download_output(link, max_bytes=10**6) as download:
            assert download.media_type == "image/png"
            assert download.read().startswith(b"\x89PNG")
    noted = [one for one in account.requests(5) if one.operation == "download_output"]
    assert [one.key for one in noted] == ["", ""]


# ---- keys and limits ------------------------------------------------------------------------

CALLS: dict[str, Callable[[FloraClient], object]] = {
    "list_workspaces": lambda it: it.list_workspaces(),
    "list_projects": lambda it: list(it.list_projects(SPACE)),
    "create_project": lambda it: it.create_project("Spring", SPACE),
    "retrieve_project": lambda it: it.retrieve_project("prj_1"),
    "list_models": lambda it: it.list_models(),
    "list_techniques": lambda it: list(it.list_techniques()),
    "retrieve_technique": lambda it: it.retrieve_technique(TECHNIQUE),
    "create_technique_run": lambda it: it.create_technique_run(TECHNIQUE, [PROMPT]),
    "retrieve_technique_run": lambda it: it.retrieve_technique_run(TECHNIQUE, "run_1"),
    "list_technique_runs": lambda it: list(it.list_technique_runs()),
    "create_asset": lambda it: it.create_asset(PICTURE, SPACE),
    "complete_asset": lambda it: it.complete_asset("asset_1"),
    "retry_asset": lambda it: it.retry_asset("asset_1"),
    "list_assets": lambda it: list(it.list_assets()),
    "retrieve_asset": lambda it: it.retrieve_asset("asset_1"),
}


def test_every_documented_call_is_spoken_and_shown() -> None:
    told = {one.operation for one in profile("flora").calls}
    assert told == {*CALLS, "upload_file", "download_output"}


@pytest.mark.parametrize("operation", CALLS)
def test_an_unknown_key_is_the_accounts_fault_at_every_call(
    account: Account, operation: str
) -> None:
    stranger = Account("flora", account.sandbox, account.clock, key="sk_live_of_nobody")
    with pytest.raises(AccountRejected) as caught:
        CALLS[operation](stranger.provider.client)  # type: ignore[attr-defined]
    assert (caught.value.code, caught.value.operation) == ("invalid_api_key", operation)
    assert caught.value.request_id


ERRORS: dict[int, tuple[type[ProviderError], str]] = {
    402: (AccountRejected, "insufficient_credits"),
    403: (AccountRejected, "forbidden"),
    404: (NotFound, "not_found"),
    429: (RateLimited, "rate_limited"),
}


@pytest.mark.parametrize("status", ERRORS)
@pytest.mark.parametrize("operation", CALLS)
def test_documented_errors_keep_floras_own_words_at_every_call(
    account: Account, client: FloraClient, operation: str, status: int
) -> None:
    account.fault(operation, "status", status=status, word="FLORA's own words", count=None)
    kind, code = ERRORS[status]
    with pytest.raises(kind) as caught:
        CALLS[operation](client)
    assert (caught.value.code, caught.value.operation) == (code, operation)
    assert caught.value.vendor_message == "FLORA's own words"
