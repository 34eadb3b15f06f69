"""Floyo's words about a run, as documented and as they may be bent, in ours."""

from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.model import OutputRef, SubmissionState
from flow_pipelines.model.errors import (
    NotFound,
    OutputRefused,
    UnexpectedAnswer,
)
from flow_pipelines.providers.floyo.adapter import STATES
from flow_pipelines_tests.unit.providers.floyo_harness import (
    FILE,
    RUN,
    S,
    adapter,
    polled,
    sample,
    workflow,
)
from flow_pipelines_tests.unit.transport.wire import Wire


@pytest.mark.parametrize(
    ("case", "state"),
    [
        ("run_queued", S.QUEUED),
        ("run_processing", S.RUNNING),
        ("run_done", S.SUCCEEDED),
        ("run_complete", S.SUCCEEDED),
        ("run_failed", S.FAILED),
        ("run_cancelled", S.CANCELED),
        ("run_insufficient_balance", S.FAILED),
        ("run_insufficient_api_credits", S.FAILED),
        ("run_unheard_of", None),
    ],
)
def test_every_status_has_its_state_and_an_unknown_one_has_none(
    case: str, state: SubmissionState | None
) -> None:
    report = polled(case)
    assert report.state is state
    assert report.account_problem is case.startswith("run_insufficient")


@pytest.mark.parametrize("word", [*STATES, "DONE", "Failed"])
def test_words_are_understood_in_any_case(word: str) -> None:
    assert polled("run_done", status=word).state is STATES[word.lower()]


def test_a_finished_run_gives_its_outputs_in_order_and_its_flotime() -> None:
    report = polled("run_done")
    assert report.flotime_ms == 48210
    assert report.outputs == (
        OutputRef(
            output_id=FILE,
            file_name="ComfyUI_00994_.png",
            media_type="image/png",
            size_bytes=1234567,
        ),
        OutputRef(
            output_id="file_APJU4Dxxxxxxxxxx",
            file_name="ComfyUI_00995_.png",
            media_type="image/png",
            size_bytes=987654,
        ),
    )


@pytest.mark.parametrize("outputs", [None, []])
def test_a_finished_run_may_have_no_outputs_at_all(outputs: object) -> None:
    report = polled("run_done", outputs=outputs)
    assert (report.state, report.outputs) == (S.SUCCEEDED, ())


def test_an_output_without_a_usable_id_is_kept_so_that_somebody_notices() -> None:
    files = [{"id": FILE}, {"file_name": "lost.png"}, "what?", {"id": "a/../b"}]
    report = polled("run_done", outputs=files)
    assert [ref.output_id for ref in report.outputs] == [FILE, *(f"(no id) {n}" for n in (1, 2, 3))]
    with Wire() as wire, pytest.raises(OutputRefused, match="no file id"):
        adapter(wire).fetch(report.outputs[1], max_bytes=10)
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("errors", "told"),
    [
        ("no GPU", "no GPU"),
        ([{"type": "oom"}], "oom"),
        ({"3": ["bad"]}, '{"3": ["bad"]}'),
        (None, "Floyo says: failed"),
        ([], "Floyo says: failed"),
        ("see https://cdn.floyo.ai/f?token=abc.def", "see https://cdn.floyo.ai/f?token=***"),
    ],
)
def test_errors_of_any_shape_become_text_without_secrets(errors: object, told: str) -> None:
    report = polled("run_failed", errors=errors)
    assert (report.error_code, report.error_message) == ("failed", told)


def test_long_errors_are_shortened() -> None:
    message = polled("run_failed", errors=["x" * 100_000]).error_message
    assert message is not None
    assert len(message) == 2000


@pytest.mark.parametrize("value", [None, -1, "12", 1.5, True])
def test_a_flotime_that_is_no_count_is_unknown(value: object) -> None:
    assert polled("run_done", flotime_ms=value).flotime_ms is None


@pytest.mark.parametrize(
    "changes",
    [{"status": None}, {"status": ""}, {"status": 3}, {"id": "run_other"}, {"outputs": {"a": 1}}],
    ids=str,
)
def test_an_answer_that_is_not_this_run_is_unexpected(changes: dict[str, Any]) -> None:
    with Wire(sample("run_done", **changes)) as wire, pytest.raises(UnexpectedAnswer) as caught:
        adapter(wire).poll(RUN, workflow())
    assert caught.value.provider_run_id == RUN


def test_a_run_that_floyo_does_not_know_is_not_found() -> None:
    with Wire(sample("run_not_found")) as wire, pytest.raises(NotFound, match="run not found"):
        adapter(wire).poll(RUN, workflow())
