"""Whatever FLORA answers or posts, only our errors come out, and links are never printed."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipelines.model import Receipt, RunReport, Workflow
from flow_pipelines.model.errors import FlowPipelinesError, SubmitOutcomeUnknown
from flow_pipelines.provider import InputFile, SubmitRequest
from flow_pipelines.provider.callbacks import CallbackRefused, CallbackRequest
from flow_pipelines.providers import profile
from flow_pipelines.providers.flora import FloraProvider
from flow_pipelines.providers.flora.assets import AssetFile
from flow_pipelines.providers.flora.callbacks import read_callback, sign
from flow_pipelines.providers.flora.records import TechniqueRun
from flow_pipelines.redaction import Secret
from flow_pipelines_tests.properties.bent_answers import NOW, ODD, Scripted, bent, recorded

RUN, SLUG, ASSET, SPACE = "run_abc123", "city-poster", "asset_abc123", "ws_abc123"
KEPT = Workflow(
    reference=SLUG,
    version="1",
    body={
        "slug": SLUG,
        "technique_id": "tech_abc123",
        "inputs": [{"id": "prompt", "type": "text", "optional": False}],
    },
)
ORDER = SubmitRequest(
    submission_key="0f" * 16,
    workflow=KEPT,
    parameters={"prompt": "a cat"},
    label="x",
    idempotency_key="0f" * 16,
)
SINCE = datetime(2024, 1, 1, tzinfo=UTC)
UNTIL = datetime(2025, 1, 1, tzinfo=UTC)
FILE = InputFile(content=b"cat", file_name="cat.png", media_type="image/png", sha256="0" * 64)
PICTURE = AssetFile(content=b"cat", file_name="cat.png", media_type="image/png")
LARGE = bytes(4_000_001)
PROMPT = {"id": "prompt", "type": "text", "value": "a cat"}
ERRORS = ("input_validation_error", "rate_limited", "not_found", "conflict", "unknown_error")
RUNS = ("run_completed", "run_running", "run_failed")

CALLS: dict[str, tuple[Callable[[FloraProvider], object], tuple[str, ...]]] = {
    "list_workspaces": (lambda it: it.client.list_workspaces(), ("workspaces",)),
    "list_projects": (lambda it: list(it.client.list_projects(SPACE)), ("projects",)),
    "create_project": (lambda it: it.client.create_project("Spring", SPACE), ("project",)),
    "retrieve_project": (lambda it: it.client.retrieve_project("prj_abc123"), ("project",)),
    "list_models": (lambda it: it.client.list_models(), ("models",)),
    "list_techniques": (lambda it: list(it.client.list_techniques()), ("techniques",)),
    "retrieve_technique": (lambda it: it.client.retrieve_technique(SLUG), ("technique",)),
    "create_technique_run": (
        lambda it: it.client.create_technique_run(SLUG, [PROMPT], "0f" * 16),
        ("create_run", "create_run_replayed"),
    ),
    "retrieve_technique_run": (lambda it: it.client.retrieve_technique_run(SLUG, RUN), RUNS),
    "list_technique_runs": (
        lambda it: list(it.client.list_technique_runs("tech_abc123")),
        ("technique_runs_end",),
    ),
    "create_asset": (lambda it: it.client.create_asset(PICTURE, SPACE), ("asset_created",)),
    "reserve_asset": (
        lambda it: it.client.reserve_asset(PICTURE, SPACE),
        ("asset_reserved", "asset_reserved_camel"),
    ),
    "complete_asset": (
        lambda it: it.client.complete_asset(ASSET),
        ("asset_completed", "asset_failed"),
    ),
    "retry_asset": (lambda it: it.client.retry_asset(ASSET), ("asset_reserved",)),
    "list_assets": (lambda it: list(it.client.list_assets()), ("assets",)),
    "retrieve_asset": (lambda it: it.client.retrieve_asset(ASSET), ("asset", "asset_pending")),
    "upload_asset": (
        lambda it: it.client.upload_asset(LARGE, "a.png", "image/png", SPACE),
        ("asset_reserved",),
    ),
    "read_workflow": (lambda it: it.read_workflow(SLUG, lambda _: b""), ("technique",)),
    "submit": (lambda it: it.submit(ORDER), ("create_run", "create_run_replayed")),
    "poll": (lambda it: it.poll(RUN, KEPT), RUNS),
    "candidates": (lambda it: it.candidates(ORDER, SINCE, UNTIL), ("technique_runs_end",)),
    "list_workflows": (lambda it: list(it.list_workflows()), ("techniques",)),
    "upload_input": (lambda it: it.upload_input(FILE), ("asset_created", "asset")),
    "input_value": (lambda it: it.input_value(ASSET), ("asset",)),
}
CASES = [(name, case) for name, (_, good) in CALLS.items() for case in (*good, *ERRORS)]
NEVER_TWICE = {"create_technique_run", "submit", "create_project"}
GIVES_A_LINK = {"input_value"}
NO_RECORD = {"upload_file", "download_output"}
"""Their answers are not read."""
LINKS = ("media.flora.ai/", "storage.googleapis", "imagekit.io/", "0a1b2c")


def connected(*cases: str) -> FloraProvider:
    return FloraProvider(
        Scripted("flora", *(recorded("flora", case) for case in cases)),
        "https://a.example",
        workspace_id=SPACE,
    )


def test_every_documented_call_is_bent() -> None:
    assert {one.operation for one in profile("flora").calls} - NO_RECORD <= CALLS.keys()


@pytest.mark.parametrize(("name", "case"), CASES)
def test_an_answer_as_recorded_is_read_or_is_an_error_of_ours(name: str, case: str) -> None:
    call, good = CALLS[name]
    if case in good:
        assert call(connected(case))
        return
    with pytest.raises(FlowPipelinesError) as caught:
        call(connected(case))
    told = recorded("flora", case).json()["error"]
    assert told["message"] in str(caught.value) or name == "read_workflow"


@pytest.mark.parametrize("name", CALLS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_bent_answer_is_read_or_is_an_error_of_ours(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([*CALLS[name][1], *ERRORS]))
    answer = data.draw(bent(recorded("flora", case)))
    provider = FloraProvider(Scripted("flora", answer), "https://a.example", workspace_id=SPACE)
    found: object
    try:
        found = CALLS[name][0](provider)
    except FlowPipelinesError as error:
        found = error
    if name in NEVER_TWICE and answer.status < 400 and isinstance(found, FlowPipelinesError):
        # What may have been bought is never told as if it had not been.
        assert isinstance(found, SubmitOutcomeUnknown)
    if isinstance(found, Receipt | RunReport):
        assert found.provider_run_id
    if name in {"poll", "retrieve_technique_run"} and isinstance(found, RunReport | TechniqueRun):
        told = found.run_id if isinstance(found, TechniqueRun) else found.provider_run_id
        assert told == RUN
    assert name in GIVES_A_LINK or not any(link in repr(found) for link in LINKS)


SECRET = Secret("whsec_test_0123456789abcdef")
TIMES = st.integers(-400, 400).map(lambda age: str(int((NOW - timedelta(seconds=age)).timestamp())))


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_whatever_is_posted_is_read_or_refused(data: st.DataObject) -> None:
    document = data.draw(
        ODD
        | st.fixed_dictionaries({"id": ODD, "type": ODD, "data": st.just({"run_id": RUN}) | ODD})
    )
    body = (
        repr(document).encode("utf-8", "replace")
        if data.draw(st.booleans())
        else json.dumps(document).encode()
    )
    at = data.draw(TIMES | st.text(max_size=4))
    signed = sign(SECRET, at.encode("utf-8", "replace").decode(), body).decode()
    header = data.draw(
        st.sampled_from(
            [f"t={at},v1={signed}", f"v1={signed}", f"t={at}", f"t={at},v1=é,v1={signed}"]
        )
        | st.text(max_size=30)
    )
    request = CallbackRequest(
        headers={"flora-signature": header}, body=body, secrets=[SECRET], now=NOW
    )
    try:
        found = read_callback(request)
    except CallbackRefused:
        return
    assert f"v1={signed}" in header
    assert abs(NOW.timestamp() - int(at)) <= 300
    assert found.provider_run_id in (RUN, None)
