"""Whatever Comflowy answers or posts, only our errors come out, and links are never printed."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipelines.model import RunReport, Workflow
from flow_pipelines.model.errors import FlowPipelinesError, SubmitOutcomeUnknown
from flow_pipelines.provider import ApiAnswer, SubmitRequest
from flow_pipelines.provider.callbacks import Callback, CallbackRefused, CallbackRequest
from flow_pipelines.providers import profile
from flow_pipelines.providers.comflowy import ComflowyProvider
from flow_pipelines.providers.comflowy.callbacks import read_callback
from flow_pipelines.providers.comflowy.records import Run
from flow_pipelines_tests.properties.bent_answers import NOW, SAMPLES, Scripted, bent, recorded

RUN, WORKFLOW = "0b9d7a52-5a5e-4f2b-9c1b-3f1d6c1f7a10", "3fef208b"
KEPT = Workflow(reference=WORKFLOW, version="1", body={"workflow_id": WORKFLOW})
ORDER = SubmitRequest(
    submission_key="0f" * 16,
    workflow=KEPT,
    parameters={"6::text": "a dog"},
    label="x",
    idempotency_key="0f" * 16,
    callback_url="https://a.example/callbacks/1",
)
ENDS = ("check_success", "check_failed", "check_running", "check_unheard_of")
ERRORS = ("check_refused", "run_out_of_credit", "token_refused")

CALLS: dict[str, tuple[Callable[[ComflowyProvider], object], tuple[str, ...]]] = {
    "get_token": (lambda it: it.client.get_token(), ("token",)),
    "run": (lambda it: it.client.run(WORKFLOW, {}), ("run",)),
    "check": (lambda it: it.client.check(RUN), ENDS),
    "submit": (lambda it: it.submit(ORDER), ("run",)),
    "poll": (lambda it: it.poll(RUN, KEPT), ENDS),
}
CASES = [(name, case) for name, (_, good) in CALLS.items() for case in (*good, *ERRORS)]
NEVER_TWICE = {"run", "submit"}


def connected(answer: ApiAnswer) -> ComflowyProvider:
    return ComflowyProvider(Scripted("comflowy", answer), "https://a.example")


def test_every_documented_call_is_bent() -> None:
    assert {one.operation for one in profile("comflowy").calls} - {"open_link"} <= CALLS.keys()


@pytest.mark.parametrize(("name", "case"), CASES)
def test_an_answer_as_recorded_is_read_or_is_an_error_of_ours(name: str, case: str) -> None:
    call, good = CALLS[name]
    provider = connected(recorded("comflowy", case))
    if case in good:
        assert call(provider)
    else:
        with pytest.raises(FlowPipelinesError):
            call(provider)


@pytest.mark.parametrize("name", CALLS)
@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_bent_answer_is_read_or_is_an_error_of_ours(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([*CALLS[name][1], *ERRORS]))
    answer = data.draw(bent(recorded("comflowy", case)))
    try:
        found = CALLS[name][0](connected(answer))
    except FlowPipelinesError as error:
        found = error
    if isinstance(found, FlowPipelinesError) and name in NEVER_TWICE and answer.status < 300:
        # A refusal has to say `success: false`; anything else may have been bought.
        refused = _is_refusal(answer)
        assert refused or isinstance(found, SubmitOutcomeUnknown)
    if isinstance(found, Run | RunReport):
        assert (found.run_id if isinstance(found, Run) else found.provider_run_id) == RUN
    assert "Signature=" not in repr(found)


def _is_refusal(answer: ApiAnswer) -> bool:
    try:
        document = answer.json()
    except (ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("success") is False


@settings(deadline=None, max_examples=300)
@given(data=st.data())
def test_a_bent_callback_is_read_or_refused(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(["callback_success", "callback_failed", "callback_progress"]))
    body = json.loads((SAMPLES / "comflowy" / f"{case}.json").read_text())["body"]
    plain = ApiAnswer(status=200, headers={}, body=json.dumps(body).encode())
    content = data.draw(bent(plain)).body
    try:
        found = read_callback(CallbackRequest(headers={}, body=content, secrets=(), now=NOW))
    except CallbackRefused as refused:
        assert "Signature=" not in str(refused)  # noqa: PT017 - either end is a good one
        return
    assert isinstance(found, Callback)
    assert found.ended == (found.provider_run_id is not None)
