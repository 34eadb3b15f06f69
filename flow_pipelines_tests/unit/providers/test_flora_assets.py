"""FLORA's assets: what is sent where, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.model.errors import (
    ConfigurationError,
    NotFound,
    ProviderUnavailable,
    RequestRejected,
    UnexpectedAnswer,
)
from flow_pipelines.provider import InputFile, SubmitRequest
from flow_pipelines.providers.flora import PROFILE, FloraClient
from flow_pipelines.providers.flora.assets import AssetFile
from flow_pipelines.providers.flora.records import Upload
from flow_pipelines.redaction import Secret
from flow_pipelines.transport import HttpTransport, MemoryPaceStore
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.providers.flora_harness import adapter, order, recorded, sample
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

KEY = "Bearer sk_live_test_key_0001"
LARGE = b"\x89PNG\r\n\x1a\n" + bytes(4_000_000)
SMALL = AssetFile(content=b"cat", file_name="cat.png", media_type="image/png")


def reserved(store: Wire, case: str = "asset_reserved", **changes: Any) -> Step:
    """A recorded reservation, with the link leading to `store`."""
    upload = {**recorded(case)["body"]["upload"], "url": f"{store.url}/bucket", **changes}
    return sample(case, upload=upload)


@pytest.mark.parametrize("case", ["asset_reserved", "asset_reserved_camel"])
def test_a_large_file_goes_to_the_link_without_the_key_its_fields_first(case: str) -> None:
    with Wire(answer(204, "")) as store, Wire() as api:
        api._steps = [reserved(store, case), sample("asset_completed")]
        asset = adapter(api).client.upload_asset(LARGE, "cat.png", "image/png", "ws_1")
    assert asset.status == "ready"
    reserve, complete = api.requests
    assert reserve.json() == {
        "source": "signed-url",
        "workspace_id": "ws_1",
        "content_type": "image/png",
        "file_name": "cat.png",
    }
    assert (complete.method, complete.target) == ("POST", "/api/assets/asset_abc123/complete")
    assert {seen.headers["authorization"] for seen in api.requests} == {KEY}
    [posted] = store.requests
    assert (posted.method, posted.target) == ("POST", "/bucket")
    assert "authorization" not in posted.headers
    upload = recorded(case)["body"]["upload"]
    fields = upload.get("form_fields") or upload["formFields"]
    places = [posted.body.index(f'name="{name}"'.encode()) for name in fields]
    assert places == sorted(places)
    assert max(places) < posted.body.index(b'name="file"; filename="cat.png"')
    assert all(value.encode() in posted.body for value in fields.values())
    assert LARGE in posted.body


def test_a_small_file_is_sent_at_once_its_workspace_first() -> None:
    with Wire(sample("asset_created")) as api:
        adapter(api).client.upload_asset(b"cat", "cat.png", "image/png", "ws_1")
    [posted] = api.requests
    assert posted.target == "/api/assets"
    assert posted.body.index(b'name="workspace_id"') < posted.body.index(b'name="file"')
    assert b"Content-Type: image/png" in posted.body


@pytest.mark.parametrize(
    "url",
    [
        "http://storage.googleapis.com/x",
        "https://169.254.169.254/latest",
        "https://127.0.0.1/x",
        "https://uploads.example.org/x",
        "file:///etc/passwd",
        "",
    ],
)
def test_a_link_that_leads_elsewhere_gets_no_file(url: str) -> None:
    clock = ManualClock()
    transport = HttpTransport(
        "flora",
        origins=list(PROFILE.urls.values()),
        secret=Secret("sk_live_test_key_0001"),
        clock=clock,
        pace=MemoryPaceStore(clock),
        pace_key="flora",
        allowed_output_hosts=PROFILE.output_hosts,
    )
    client = FloraClient(transport, PROFILE.urls["base_url"])
    with pytest.raises(RequestRejected) as caught:
        client.upload_file(Upload(url=url), SMALL)
    assert caught.value.status is None


@pytest.mark.parametrize(
    "upload",
    [None, {}, {"url": ""}, {"url": 7}, {"url": "https://storage.googleapis.com", "method": "PUT"}],
    ids=str,
)
def test_a_reservation_that_says_not_where_to_post_is_unexpected(upload: object) -> None:
    with (
        Wire(sample("asset_reserved", upload=upload)) as wire,
        pytest.raises(UnexpectedAnswer, match="not where to post"),
    ):
        adapter(wire).client.reserve_asset(SMALL, "ws_1")


def test_an_asset_that_was_completed_by_a_lost_request_is_looked_at() -> None:
    with Wire(answer(204, "")) as store, Wire() as api:
        api._steps = [reserved(store), sample("conflict"), sample("asset")]
        asset = adapter(api).client.upload_asset(LARGE, "cat.png", "image/png", "ws_1")
    assert asset.status == "ready"
    assert [seen.method for seen in api.requests] == ["POST", "POST", "GET"]


def test_a_link_that_ran_out_is_renewed_once() -> None:
    with Wire(answer(403, "<Error/>"), answer(204, "")) as store, Wire() as api:
        api._steps = [reserved(store), reserved(store), sample("asset_completed")]
        adapter(api).client.upload_asset(LARGE, "cat.png", "image/png", "ws_1")
    assert api.requests[1].target == "/api/assets/asset_abc123/retry"
    assert len(store.requests) == 2


def test_assets_without_an_id_are_left_out_of_a_list() -> None:
    with Wire(sample("assets")) as wire:
        [found] = adapter(wire).client.list_assets()
    assert (found.asset_id, found.size_bytes, found.width) == ("asset_abc123", 34567, 1024)


def test_both_spellings_of_a_time_are_read() -> None:
    with Wire(sample("asset"), sample("assets")) as wire:
        client = adapter(wire).client
        one, [other] = client.retrieve_asset("asset_abc123"), client.list_assets()
    assert one.created_at == other.created_at
    assert one.created_at is not None


# ---- the adapter ----------------------------------------------------------------------------


def picture() -> InputFile:
    return InputFile(content=b"cat", file_name="c.png", media_type="image/png", sha256="0" * 64)


def test_an_asset_that_is_ready_at_once_needs_no_further_request() -> None:
    with Wire(sample("asset_created")) as wire:
        provider = adapter(wire)
        name = provider.upload_input(picture())
        assert name == "asset_abc123"
        assert provider.input_value(name) == "https://media.flora.ai/assets/asset_abc123.png"
    assert len(wire.requests) == 1


def test_a_key_of_many_workspaces_has_to_be_told_which_one_keeps_pictures() -> None:
    many = [{"workspace_id": f"ws_{number}"} for number in range(2)]
    with (
        Wire(sample("workspaces", workspaces=many)) as wire,
        pytest.raises(ConfigurationError, match="FLORA_WORKSPACE_ID"),
    ):
        adapter(wire, None).upload_input(picture())


def test_the_only_workspace_keeps_pictures() -> None:
    with Wire(sample("workspaces"), sample("asset_created")) as wire:
        adapter(wire, None).upload_input(picture())
    assert b"ws_abc123" in wire.requests[1].body


def test_a_picture_that_fails_at_flora_is_refused_in_its_words() -> None:
    with (
        Wire(sample("asset_created", status="failed", failure_message="Not an image.")) as wire,
        pytest.raises(RequestRejected, match=r"Not an image\."),
    ):
        adapter(wire).upload_input(picture())


@pytest.mark.parametrize(
    ("case", "changes", "error"),
    [
        ("asset_pending", {}, ProviderUnavailable),
        ("asset", {"url": None}, ProviderUnavailable),
        ("asset", {"status": "hibernating"}, ProviderUnavailable),
        ("asset", {"status": "failed"}, NotFound),
        ("not_found", {}, NotFound),
    ],
)
def test_an_asset_that_cannot_be_used_says_what_may_be_done(
    case: str, changes: dict[str, Any], error: type[Exception]
) -> None:
    with Wire(sample(case, **changes), sample("asset")) as wire:
        provider = adapter(wire)
        with pytest.raises(error) as caught:
            provider.input_value("asset_abc123")
        assert type(caught.value) is error
        assert provider.input_value("asset_abc123").startswith("https://")


def test_a_run_is_told_where_to_call_back_and_its_copy_is_the_same_bytes() -> None:
    url = "https://hooks.example.org/callbacks/flora/0f0f/token"
    plain = order()
    asked = SubmitRequest(
        submission_key=plain.submission_key,
        workflow=plain.workflow,
        parameters=plain.parameters,
        label=plain.label,
        idempotency_key=plain.idempotency_key,
        callback_url=url,
    )
    with Wire(*[sample("create_run")] * 3) as wire:
        for one in (asked, asked, plain):
            adapter(wire).submit(one)
    first, copy, without = wire.requests
    assert first.json()["callback_url"] == url
    assert first.body == copy.body
    assert "callback_url" not in without.json()
