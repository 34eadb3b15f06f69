"""Whatever Floyo's answers become, nothing but our own errors comes out of its client."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flow_pipelines.model import RunReport, Workflow
from flow_pipelines.model.errors import FlowPipelinesError, SubmitOutcomeUnknown
from flow_pipelines.provider import (
    ApiAnswer,
    ApiRequest,
    Download,
    InputFile,
    Purpose,
    Resend,
    SubmitRequest,
)
from flow_pipelines.providers.floyo import PROFILE, FloyoProvider
from flow_pipelines.providers.floyo.records import Run
from flow_pipelines.transport.verdicts import judge

SAMPLES = Path(__file__).parents[1] / "samples" / "floyo"
RUN, FILE = "run_VtgQFqzFotMivZrp", "file_ns8KprTB8LjjATaa"
LABEL = "posters/2026-11-21/cat #0 · 0f0f"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
BEFORE = datetime(2026, 11, 21, tzinfo=UTC)
GRAPH = {"9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "a"}}}
WORKFLOW = Workflow(reference="w.json", version="1", body={"graph": GRAPH})
ORDER = SubmitRequest(
    submission_key="0f" * 16,
    workflow=WORKFLOW,
    parameters={},
    label=LABEL,
    idempotency_key="0f" * 16,
)
PICTURE = InputFile(content=b"cat", file_name="cat.png", media_type="image/png", sha256="0" * 64)

patient = settings(
    deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

NUMBERS = st.sampled_from([0, -1, 2**64, 1e308, 0.5]) | st.integers() | st.floats()
TEXTS = st.sampled_from(["", "\0", "\ud800", "../..", "é", "1", "9" * 5000]) | st.text(max_size=8)
ODD = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


class Recorded(NamedTuple):
    status: int
    body: Any


def recorded(case: str) -> Recorded:
    sample = json.loads((SAMPLES / f"{case}.json").read_text())
    return Recorded(sample["status"], sample["body"])


def _answer(sample: Recorded) -> ApiAnswer:
    return ApiAnswer(status=sample.status, headers={}, body=json.dumps(sample.body).encode())


class Scripted:
    """A transport that judges as the real one does, and has no network.

    It gives one answer, and for whatever is asked after that, a run.
    """

    def __init__(self, answer: ApiAnswer) -> None:
        self.answers = [answer, _answer(recorded("run_cancelled"))]
        self.requests: list[ApiRequest] = []

    def send(self, request: ApiRequest) -> ApiAnswer:
        answer = self.answers[min(len(self.requests), 1)]
        self.requests.append(request)
        error = judge("floyo", request, answer, now=NOW, secrets=())
        if error is not None:
            raise error
        return answer

    def take_turn(self, purpose: Purpose) -> None:
        raise AssertionError(purpose)

    @contextmanager
    def open(self, request: ApiRequest, *, max_bytes: int) -> Iterator[Download]:
        self.send(request)
        raise NotImplementedError(max_bytes)
        yield


Use = Callable[[FloyoProvider], object]
CALLS: dict[str, tuple[Use, tuple[str, ...]]] = {
    "create_run": (
        lambda floyo: floyo.client.create_run(GRAPH, LABEL),
        ("create_run", "create_run_failed", "unauthorized"),
    ),
    "retrieve_run": (
        lambda floyo: floyo.client.retrieve_run(RUN, expand=True),
        ("run_expanded", "run_processing", "run_failed", "run_not_found"),
    ),
    "cancel_run": (
        lambda floyo: floyo.client.cancel_run(RUN),
        ("cancel_run", "cancel_run_ended", "run_not_found"),
    ),
    "search_runs": (
        lambda floyo: floyo.client.search_runs(LABEL),
        ("search_runs", "run_not_found"),
    ),
    "retrieve_file": (
        lambda floyo: floyo.client.retrieve_file(FILE, expand=True),
        ("file", "file_expanded", "file_not_found"),
    ),
    "upload_file": (
        lambda floyo: floyo.client.upload_file(b"cat", "cat.png"),
        ("upload_file", "upload_conflict", "unauthorized"),
    ),
    "submit": (lambda floyo: floyo.submit(ORDER), ("create_run", "create_run_failed")),
    "poll": (
        lambda floyo: floyo.poll(RUN, WORKFLOW),
        (
            "run_done",
            "run_complete",
            "run_cancelled",
            "run_queued",
            "run_unheard_of",
            "run_insufficient_balance",
            "run_insufficient_api_credits",
        ),
    ),
    "cancel": (
        lambda floyo: floyo.cancel(RUN, WORKFLOW),
        ("cancel_run_ended", "cancel_run"),
    ),
    "find": (lambda floyo: floyo.find(ORDER, BEFORE), ("search_runs",)),
    "upload_input": (lambda floyo: floyo.upload_input(PICTURE), ("upload_file", "upload_conflict")),
    "input_value": (lambda floyo: floyo.input_value(FILE), ("file", "file_not_found")),
}
CASES = [(name, sample) for name, (_, samples) in CALLS.items() for sample in samples]
DOWNLOADS = {"download_file", "open_presigned_url"}


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the path to every value inside a document."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


@st.composite
def bent(draw: st.DrawFn, body: Any) -> Any:
    """Drop, retype, nest and add fields, up to three times."""
    document = json.loads(json.dumps(body))
    for _ in range(draw(st.integers(1, 3))):
        found = list(places(document))
        if not found:
            return draw(ODD)
        *way, last = draw(st.sampled_from(found))
        holder = document
        for key in way:
            holder = holder[key]
        _bend(draw, holder, last)
    return document


def _bend(draw: st.DrawFn, holder: Any, last: Any) -> None:
    match draw(st.sampled_from(["drop", "retype", "nest", "list", "add"])):
        case "drop":
            del holder[last]
        case "retype":
            holder[last] = draw(ODD)
        case "nest":
            holder[last] = {"data": holder[last]}
        case "list":
            holder[last] = [holder[last], draw(ODD)]
        case _ if isinstance(holder, dict):
            holder[draw(TEXTS | st.sampled_from(["model_extra", "__class__", "id"]))] = draw(ODD)
        case _:
            holder.append(draw(ODD))


@st.composite
def answers(draw: st.DrawFn, sample: str) -> ApiAnswer:
    status, body = recorded(sample)
    text = json.dumps(draw(bent(body) | ODD if draw(st.booleans()) else st.just(body)))
    content = text.encode()
    if draw(st.integers(0, 4)) == 0:
        cut = draw(st.integers(0, len(content)))
        broken = [b"", b"\xff", b"[" * 100_000, b"<html>", b'{"a": NaN}', b"1" * 5000]
        content = content[:cut] + draw(st.sampled_from(broken))
    status = draw(st.sampled_from([status, status, status, 200, 201, 400, 404, 409, 422, 500]))
    return ApiAnswer(status=status, headers={}, body=content)


def connected(answer: ApiAnswer) -> tuple[FloyoProvider, Scripted]:
    transport = Scripted(answer)
    return FloyoProvider(transport, "https://a.example", "https://c.example"), transport


def test_every_call_of_the_client_is_here() -> None:
    listed = {call.operation for call in PROFILE.calls}
    assert listed - DOWNLOADS <= CALLS.keys()


@pytest.mark.parametrize(("name", "sample"), CASES)
def test_a_sample_as_it_was_recorded_is_read_or_raises_our_error(name: str, sample: str) -> None:
    known = recorded(sample)
    provider, transport = connected(_answer(known))
    if known.status < 400 or sample == "cancel_run_ended":
        assert CALLS[name][0](provider)
    else:
        with pytest.raises(FlowPipelinesError):
            CALLS[name][0](provider)
    assert transport.requests


@pytest.mark.parametrize(("name", "sample"), CASES)
@patient
@given(data=st.data())
def test_a_bent_answer_is_read_or_raises_our_error(
    name: str, sample: str, data: st.DataObject
) -> None:
    provider, transport = connected(data.draw(answers(sample)))
    try:
        result = CALLS[name][0](provider)
    except FlowPipelinesError as error:
        result = error
    first = transport.requests[0]
    if isinstance(result, FlowPipelinesError) and first.resend is not Resend.SAFE:
        # What may have been bought is never told as if it had not been, for want of a field.
        accepted = transport.answers[0].status < 400
        assert isinstance(result, SubmitOutcomeUnknown) or not accepted
    if isinstance(result, Run | RunReport):
        given_id = result.id if isinstance(result, Run) else result.provider_run_id
        assert given_id == RUN
    assert "token=eyJ" not in repr(result)


@patient
@given(extra=st.dictionaries(st.from_regex(r"[a-z_]{3,12}", fullmatch=True), ODD, max_size=3))
def test_a_field_that_floyo_adds_is_kept_and_never_printed(extra: dict[str, Any]) -> None:
    _, body = recorded("run_done")
    new = {name: value for name, value in extra.items() if name not in Run.model_fields}
    text = json.dumps({**body, **new, "link": "a-link-that-opens-it"})
    provider, _ = connected(ApiAnswer(status=200, headers={}, body=text.encode()))
    run = provider.client.retrieve_run(RUN)
    assert run.model_extra is not None
    assert run.model_extra.keys() >= new.keys()
    assert "a-link-that-opens-it" not in repr(run)
