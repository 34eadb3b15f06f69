"""Whatever FloImg answers, only our errors come out, and links are never printed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_pipelines.model import RunReport, Workflow
from flow_pipelines.model.errors import FlowPipelinesError, SubmitOutcomeUnknown
from flow_pipelines.provider import InputFile, SubmitRequest
from flow_pipelines.providers import profile
from flow_pipelines.providers.floimg import FloImgProvider
from flow_pipelines.providers.floimg.records import Execution
from flow_pipelines_tests.properties.bent_answers import NOW, Scripted, bent, recorded

EXECUTION, WORKFLOW, IMAGE = "exec_abc123", "wf_abc123", "img_abc123"
KEPT = Workflow(reference=WORKFLOW, version="1", body={"workflow_id": WORKFLOW})
ORDER = SubmitRequest(
    submission_key="0f" * 16,
    workflow=KEPT,
    parameters={"a": 1},
    label="x",
    idempotency_key="0f" * 16,
)
FILE = InputFile(content=b"cat", file_name="cat.png", media_type="image/png", sha256="0" * 64)
ERRORS = ("invalid_request", "rate_limited", "workflow_failed")

CALLS: dict[str, tuple[Callable[[FloImgProvider], object], tuple[str, ...]]] = {
    "execute_workflow": (
        lambda it: it.client.execute_workflow(WORKFLOW, {}, wait_seconds=9),
        ("execute_completed", "execute_failed"),
    ),
    "get_execution": (
        lambda it: it.client.get_execution(EXECUTION),
        ("execution_completed", "execution_failed"),
    ),
    "list_workflows": (lambda it: list(it.client.list_workflows()), ("workflows",)),
    "get_workflow": (lambda it: it.client.get_workflow(WORKFLOW), ("workflow",)),
    "upload_image": (lambda it: it.client.upload_image(b"cat", "a", "image/png"), ("image",)),
    "list_images": (lambda it: list(it.client.list_images()), ("images",)),
    "get_image": (lambda it: it.client.get_image(IMAGE), ("image",)),
    "delete_image": (lambda it: it.client.delete_image(IMAGE), ("image_deleted",)),
    "list_projects": (lambda it: list(it.client.list_projects()), ("projects",)),
    "create_project": (lambda it: it.client.create_project("Posters"), ("project",)),
    "read_workflow": (lambda it: it.read_workflow(WORKFLOW, lambda _: b""), ("workflow",)),
    "submit": (lambda it: it.submit(ORDER), ("execute_pending", "execute_completed")),
    "poll": (lambda it: it.poll(EXECUTION, KEPT), ("execution_completed", "execution_running")),
    "listings": (lambda it: list(it.list_workflows()), ("workflows",)),
    "upload_input": (lambda it: it.upload_input(FILE), ("image",)),
    "input_value": (lambda it: it.input_value(IMAGE), ("image",)),
}
CASES = [(name, case) for name, (_, good) in CALLS.items() for case in (*good, *ERRORS)]
SECOND = {"read_workflow": "workflows"}
"""What is answered to a second request, where that is another one."""
NEVER_TWICE = {"execute_workflow", "submit", "create_project"}


def test_every_documented_call_is_bent() -> None:
    assert {one.operation for one in profile("floimg").calls} - {"open_output"} <= CALLS.keys()


@pytest.mark.parametrize(("name", "case"), CASES)
def test_an_answer_as_recorded_is_read_or_is_an_error_of_ours(name: str, case: str) -> None:
    call, good = CALLS[name]
    answers = [recorded("floimg", one) for one in (case, SECOND.get(name, case))]
    provider = FloImgProvider(Scripted("floimg", *answers), "https://a.example")
    if case in good:
        assert call(provider)
    elif (name, case) == ("poll", "workflow_failed"):
        assert isinstance(call(provider), RunReport)
    else:
        with pytest.raises(FlowPipelinesError):
            call(provider)


@pytest.mark.parametrize("name", CALLS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_bent_answer_is_read_or_is_an_error_of_ours(name: str, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from([*CALLS[name][1], *ERRORS]))
    cases = (case, SECOND.get(name, case))
    answers = [data.draw(bent(recorded("floimg", one))) for one in cases]
    transport = Scripted("floimg", *answers)
    provider = FloImgProvider(transport, "https://a.example")
    try:
        found = CALLS[name][0](provider)
    except FlowPipelinesError as error:
        found = error
    if isinstance(found, FlowPipelinesError) and name in NEVER_TWICE and answers[0].status < 400:
        # What may have been bought is never told as if it had not been.
        assert isinstance(found, SubmitOutcomeUnknown)
    state = provider.client.rate_limit()
    assert state is None or (state.resets_at - NOW).days >= -(10**9)
    if isinstance(found, Execution | RunReport):
        told = found.execution_id if isinstance(found, Execution) else found.provider_run_id
        assert told == EXECUTION or name == "execute_workflow"
    assert name == "input_value" or "storage.floimg.com" not in repr(found)
