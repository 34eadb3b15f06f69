"""A fault that all rows share: the night stops, is mended, and ends whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flow_pipelines.lifecycle import agenda, plan_night, poll_due, regenerate, submit_lease
from flow_pipelines.lifecycle.night_status import night_status
from flow_pipelines.lifecycle.summary import summarize_night
from flow_pipelines.model import Receipt, RunReport, SubmissionState
from flow_pipelines.model.errors import ProviderUnavailable, RequestRejected
from flow_pipelines.provider import SubmitRequest
from flow_pipelines_tests.faults.hands.meanwhile import Meanwhile
from flow_pipelines_tests.unit.lifecycle.conftest import Lab

OnSubmit = Callable[[SubmitRequest, int], Receipt | None]


def refused(quoted: str = "boats.safetensors", node: str = "4") -> RequestRejected:
    return RequestRejected(
        f"Value not in list: '{quoted}'",
        provider="floyo",
        operation="create_run",
        status=400,
        code="prompt_outputs_failed_validation",
        fields=[{"node": node, "type": "value_not_in_list", "message": quoted}],
    )


def refuse(*bad: str) -> OnSubmit:
    """Refuse rows whose text has one of these words; none given: all."""

    def answer(request: SubmitRequest, number: int) -> Receipt | None:
        text = str(request.parameters["6::text"])
        if not bad or any(word in text for word in bad):
            raise refused(f"{text} {number}")
        return None

    return answer


def todo_kinds(lab: Lab) -> list[str]:
    return [todo.kind for todo in agenda(lab.ledger, lab.clock, batches=[lab.night.batch]).todos]


def waiting(lab: Lab) -> str:
    return "; ".join(agenda(lab.ledger, lab.clock, batches=[lab.night.batch]).waiting)


@pytest.mark.case(
    "every row of a night is refused alike",
    "three requests, one message; nothing is failed, and no sensor asks for more",
    area="shared faults",
)
def test_three_equal_refusals_stop_the_night_and_leave_it_planned(lab: Lab) -> None:
    lab.provider.on_submit = refuse()
    lab.plan(*[f"cat {n}" for n in range(6)])

    summary = lab.submit()

    assert len(lab.provider.posts) == 3
    assert lab.states() == ["planned"] * 6
    assert (summary.failed, summary.left_planned, summary.needs_person) == (0, 6, True)
    assert "3 rows were refused alike and none was accepted" in (summary.stopped or "")
    for _ in range(5):
        lab.clock.advance(3600)
        assert "submit" not in todo_kinds(lab)
    assert "stopped: 3 rows were refused alike" in waiting(lab)
    assert (
        "stopped: 3 rows"
        in night_status(lab.ledger.night(lab.night), lab.night, lab.ledger, lab.clock).in_words
    )
    assert "3 rows were refused alike" in (summarize_night(lab.ledger, lab.night).stopped or "")


@pytest.mark.case(
    "a graph that the provider refuses is mended in mid-night",
    "`prompts`, then `provider_runs`: the night is bought whole, without `regenerate`",
    area="shared faults",
)
def test_a_mended_night_is_bought_whole_without_a_regeneration(lab: Lab) -> None:
    lab.provider.on_submit = refuse("cat")
    lab.plan("a cat", "a cat", "a cat", "a cat")
    lab.submit()
    lab.plan("a dog", "a cow", "a hen", "a fox", "a new one")
    assert todo_kinds(lab) == ["collect"]

    summary = lab.submit()

    assert (summary.submitted, summary.stopped) == (5, None)
    assert lab.states() == ["submitted"] * 5
    assert {one.generation for one in lab.ledger.submissions(lab.night)} == {0}
    sent = [str(post.parameters["6::text"]) for post in lab.provider.posts[3:]]
    # Those that were refused go last.
    assert sent == ["a fox", "a new one", "a dog", "a cow", "a hen"]


@pytest.mark.case(
    "three rows of a night are refused alike, the others are good",
    "the next run sends the three last: the night is bought but for those",
    area="shared faults",
)
def test_a_night_whose_rows_merely_differ_is_bought_but_for_those(lab: Lab) -> None:
    lab.provider.on_submit = refuse("cat")
    lab.plan("cat 1", "cat 2", "cat 3", "a dog", "a cow", "cat 4")
    assert lab.submit().stopped

    again = lab.submit()

    assert again.stopped is None
    assert lab.states() == ["failed"] * 3 + ["submitted"] * 2 + ["failed"]
    assert (again.submitted, again.failed) == (2, 4)


def test_refusals_after_an_acceptance_are_the_rows_own(lab: Lab) -> None:
    lab.provider.on_submit = refuse("cat")
    lab.plan("a dog", *[f"cat {n}" for n in range(5)])

    assert lab.submit().stopped is None
    assert lab.states() == ["submitted"] + ["failed"] * 5


def test_refusals_that_differ_do_not_stop_a_night(lab: Lab) -> None:
    def answer(request: SubmitRequest, number: int) -> Receipt | None:
        raise refused(node=str(number))

    lab.provider.on_submit = answer
    lab.plan(*[f"cat {n}" for n in range(5)])

    assert lab.submit().stopped is None
    assert lab.states() == ["failed"] * 5


def test_a_sensor_s_continuation_counts_on(lab: Lab) -> None:
    answers = iter([refused(), refused(), *[_gone()] * 5, refused(), refused()])

    def answer(request: SubmitRequest, number: int) -> Receipt | None:
        raise next(answers)

    lab.provider.on_submit = answer
    lab.plan(*[f"cat {n}" for n in range(5)])
    first = lab.submit()
    assert (first.failed, first.needs_person) == (2, False)
    lab.clock.advance(3600)
    assert todo_kinds(lab) == ["submit"]

    summary = lab.submit(owner="sensor's", asked_by=None)

    assert "refused alike" in (summary.stopped or "")
    assert len(lab.provider.posts) == 2 + 5 + 1
    assert lab.states() == ["planned"] * 5


def test_a_continuation_that_was_asked_for_before_the_stop_sends_nothing(lab: Lab) -> None:
    lab.provider.on_submit = refuse()
    lab.plan(*[f"cat {n}" for n in range(5)])
    lab.submit()

    summary = lab.submit(owner="sensor's", asked_by=None)

    assert "refused alike" in (summary.stopped or "")
    assert len(lab.provider.posts) == 3


def test_what_dagster_retries_asks_for_nothing_new(lab: Lab) -> None:
    lab.provider.on_submit = refuse()
    lab.plan(*[f"cat {n}" for n in range(5)])
    lab.submit(owner="run-1", asked_by="run-1")

    lab.submit(owner="run-2", asked_by="run-1")
    assert len(lab.provider.posts) == 3
    lab.submit(owner="run-3", asked_by="run-3")
    assert len(lab.provider.posts) == 6


def _gone() -> ProviderUnavailable:
    return ProviderUnavailable("refused connection", provider="floyo", operation="create_run")


def failing(lab: Lab, *, unless: tuple[str, ...] = ()) -> Callable[[str], RunReport]:
    def report(run: str) -> RunReport:
        good = run in unless
        state = SubmissionState.SUCCEEDED if good else SubmissionState.FAILED
        return replace(lab.provider.finished(run), state=state, error_message="CUDA is gone")

    return report


def poll(lab: Lab) -> None:
    lab.clock.advance(600)
    poll_due(lab.ports, owner="tick", budget_seconds=300)


@pytest.mark.case(
    "the first ten runs of a long night all fail",
    "the run that submits stops before its next row",
    area="shared faults",
)
def test_the_run_that_submits_stops_when_the_first_runs_all_failed(lab: Lab) -> None:
    lab.with_settings(stop_after_failures=2)
    lab.provider.on_poll = failing(lab)

    def meanwhile() -> None:
        if len(lab.provider.posts) == 3:
            poll(lab)
            lab.ledger.acquire_lease(submit_lease(lab.night), "run-1", 60)

    lab.provider.before_turn = meanwhile
    lab.plan(*[f"cat {n}" for n in range(6)])

    summary = lab.submit()

    assert len(lab.provider.posts) == 3
    assert lab.states() == ["failed"] * 3 + ["planned"] * 3
    assert "the first 2 runs that ended all failed" in (summary.stopped or "")
    assert summary.needs_person


@pytest.mark.case(
    "a night is cut short, and then its first runs all fail",
    "the sensor says so and asks for no more `provider_runs`; a person's buys the rest",
    area="shared faults",
)
def test_a_sensor_does_not_go_on_with_a_night_whose_runs_all_failed(lab: Lab) -> None:
    def answer(request: SubmitRequest, number: int) -> Receipt | None:
        if 3 <= number <= 7:
            raise _gone()
        return None

    lab.with_settings(stop_after_failures=2)
    lab.provider.on_submit = answer
    lab.provider.on_poll = failing(lab)
    lab.plan(*[f"cat {n}" for n in range(5)])
    lab.submit()
    poll(lab)

    assert "submit" not in todo_kinds(lab)
    assert "stopped: the first 2 runs that ended all failed; the last: CUDA is gone" in waiting(lab)
    assert lab.submit().submitted == 3
    assert lab.states() == ["failed"] * 2 + ["submitted"] * 3


@pytest.mark.case(
    "`prompts` of a night under way is materialized",
    "no sensor buys what it planned; whoever materializes `provider_runs` does",
    area="shared faults",
)
def test_what_prompts_planned_is_bought_by_no_sensor(lab: Lab) -> None:
    lab.provider.on_submit = refuse("cat")
    lab.plan("a dog", "a cat")
    lab.submit()
    lab.plan("a dog", "a hen")

    assert lab.states() == ["submitted", "planned"]
    for _ in range(5):
        lab.clock.advance(3600)
        assert "submit" not in todo_kinds(lab)
    assert "1 planned anew wait until posters/provider_runs is materialized" in waiting(lab)
    lab.submit(owner="sensor's", asked_by=None)
    assert lab.states() == ["submitted", "planned"]
    lab.submit()
    assert lab.states() == ["submitted", "submitted"]


def test_prompts_with_nothing_new_lets_a_sensor_go_on(lab: Lab) -> None:
    lab.plan("a cat", "a dog", "a cow")
    lab.ledger.pause("ann", "a moment")
    lab.submit()
    lab.ledger.resume()
    lab.plan()
    lab.clock.advance(60)

    assert todo_kinds(lab) == ["submit"]
    assert lab.submit(owner="sensor's", asked_by=None).submitted == 3


def test_a_row_that_is_mended_while_a_run_submits_is_not_sent_with_the_old_text(lab: Lab) -> None:
    def mend() -> None:
        if len(lab.provider.posts) == 1:
            lab.plan("a cat", "a wolf", "a cow")

    lab.plan("a cat", "a dog", "a cow")
    lab.provider.before_turn = mend

    summary = lab.submit()
    assert (summary.submitted, summary.stopped) == (2, None)
    lab.submit()

    sent = [str(post.parameters["6::text"]) for post in lab.provider.posts]
    assert sent == ["a cat", "a cow", "a wolf"]
    assert lab.states() == ["submitted"] * 3


def test_a_refused_row_of_a_regeneration_is_mended_in_its_generation(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    lab.submit()
    lab.provider.on_submit = refuse("dog")
    scope = {"prompt_ids": ["p1"]}
    lab.submit(
        regeneration=lambda: regenerate(
            lab.settings, lab.night, lab.ports, requested_by="r", scope=scope
        )
    )
    lab.plan("a cat", "a hen")

    lab.submit()

    old, new = (one for one in lab.ledger.submissions(lab.night) if one.prompt_id == "p1")
    assert (old.generation, old.parameters["6::text"]) == (0, "a dog")
    assert (new.generation, new.parameters["6::text"]) == (1, "a hen")
    assert new.state is SubmissionState.SUBMITTED
    assert old.seed != new.seed == new.parameters["3::seed"]


def test_a_run_that_lost_its_lease_finds_the_night_stopped_by_another(lab: Lab) -> None:
    """Two runs at once: what one of them learns stops both."""
    lab.provider.on_submit = refuse()
    lab.plan(*[f"cat {n}" for n in range(6)])
    once = iter([True])

    def another() -> None:
        if next(once, False):
            lab.clock.advance(3600)
            lab.ledger.release_lease(submit_lease(lab.night), "slow")
            lab.submit(owner="fast", asked_by=None)

    ports = replace(lab.ports, ledger=Meanwhile(lab.ledger, "account_stop", another))
    from flow_pipelines.lifecycle import submit_night

    summary = submit_night(lab.settings, lab.night, ports, owner="slow", asked_by="slow")

    assert len(lab.provider.posts) == 3
    assert lab.states() == ["planned"] * 6
    assert summary.stopped


def test_a_table_that_names_another_provider_s_workflow_is_taken_by_what_is_left(lab: Lab) -> None:
    lab.plan("a cat", "a dog")
    lab.submit(limit=1)
    ports = lab.ports
    lab.with_settings(resource="floyo_b", workflow="other.json")
    plan_night(lab.settings, lab.night.partition_key, ports)

    first, second = lab.ledger.submissions(lab.night)

    assert (first.resource, first.workflow) == ("floyo", "graph.json")
    assert (second.resource, second.workflow) == ("floyo_b", "other.json")
