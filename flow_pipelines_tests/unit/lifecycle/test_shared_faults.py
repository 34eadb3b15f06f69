"""A fault that all rows share: the night stops, is mended, and ends whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from flow_pipelines.lifecycle import agenda, plan_night, poll_due, regenerate, submit_lease
from flow_pipelines.lifecycle.progress import night_status
from flow_pipelines.lifecycle.summary import summarize_night
from flow_pipelines.model import Receipt, RunReport, SubmissionState
from flow_pipelines.model.errors import ProviderUnavailable, RequestRejected
from flow_pipelines.provider import SubmitRequest
from flow_pipelines_tests.faults.processes.meanwhile import Meanwhile
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

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


def todo_kinds(harness: LifecycleHarness) -> list[str]:
    return [
        todo.kind
        for todo in agenda(harness.ledger, harness.clock, batches=[harness.night.batch]).todos
    ]


def waiting(harness: LifecycleHarness) -> str:
    return "; ".join(agenda(harness.ledger, harness.clock, batches=[harness.night.batch]).waiting)


@pytest.mark.case(
    "every row of a night is refused alike",
    "three requests, one message; nothing is failed, and no sensor asks for more",
    area="shared faults",
)
def test_three_equal_refusals_stop_the_night_and_leave_it_planned(
    harness: LifecycleHarness,
) -> None:
    harness.provider.on_submit = refuse()
    harness.plan(*[f"cat {n}" for n in range(6)])

    summary = harness.submit()

    assert len(harness.provider.posts) == 3
    assert harness.states() == ["planned"] * 6
    assert (summary.failed, summary.left_planned, summary.needs_person) == (0, 6, True)
    assert "3 rows were refused alike and none was accepted" in (summary.stopped or "")
    for _ in range(5):
        harness.clock.advance(3600)
        assert "submit" not in todo_kinds(harness)
    assert "stopped: 3 rows were refused alike" in waiting(harness)
    assert (
        "stopped: 3 rows"
        in night_status(
            harness.ledger.night(harness.night), harness.night, harness.ledger
        ).describe()
    )
    assert "3 rows were refused alike" in (
        summarize_night(harness.ledger, harness.night).stopped or ""
    )


@pytest.mark.case(
    "a graph that the provider refuses is mended in mid-night",
    "`prompts`, then `provider_runs`: the night is bought whole, without `regenerate`",
    area="shared faults",
)
def test_a_mended_night_is_bought_whole_without_a_regeneration(harness: LifecycleHarness) -> None:
    harness.provider.on_submit = refuse("cat")
    harness.plan("a cat", "a cat", "a cat", "a cat")
    harness.submit()
    harness.plan("a dog", "a cow", "a hen", "a fox", "a new one")
    assert todo_kinds(harness) == ["collect"]

    summary = harness.submit()

    assert (summary.submitted, summary.stopped) == (5, None)
    assert harness.states() == ["submitted"] * 5
    assert {one.generation for one in harness.ledger.submissions(harness.night)} == {0}
    sent = [str(post.parameters["6::text"]) for post in harness.provider.posts[3:]]
    # Those that were refused go last.
    assert sent == ["a fox", "a new one", "a dog", "a cow", "a hen"]


@pytest.mark.case(
    "three rows of a night are refused alike, the others are good",
    "the next run sends the three last: the night is bought but for those",
    area="shared faults",
)
def test_a_night_whose_rows_merely_differ_is_bought_but_for_those(
    harness: LifecycleHarness,
) -> None:
    harness.provider.on_submit = refuse("cat")
    harness.plan("cat 1", "cat 2", "cat 3", "a dog", "a cow", "cat 4")
    assert harness.submit().stopped

    again = harness.submit()

    assert again.stopped is None
    assert harness.states() == ["failed"] * 3 + ["submitted"] * 2 + ["failed"]
    assert (again.submitted, again.failed) == (2, 4)


def test_refusals_after_an_acceptance_are_the_rows_own(harness: LifecycleHarness) -> None:
    harness.provider.on_submit = refuse("cat")
    harness.plan("a dog", *[f"cat {n}" for n in range(5)])

    assert harness.submit().stopped is None
    assert harness.states() == ["submitted"] + ["failed"] * 5


def test_refusals_that_differ_do_not_stop_a_night(harness: LifecycleHarness) -> None:
    def answer(request: SubmitRequest, number: int) -> Receipt | None:
        raise refused(node=str(number))

    harness.provider.on_submit = answer
    harness.plan(*[f"cat {n}" for n in range(5)])

    assert harness.submit().stopped is None
    assert harness.states() == ["failed"] * 5


def test_a_sensor_s_continuation_counts_on(harness: LifecycleHarness) -> None:
    answers = iter([refused(), refused(), *[_gone()] * 5, refused(), refused()])

    def answer(request: SubmitRequest, number: int) -> Receipt | None:
        raise next(answers)

    harness.provider.on_submit = answer
    harness.plan(*[f"cat {n}" for n in range(5)])
    first = harness.submit()
    assert (first.failed, first.needs_person) == (2, False)
    harness.clock.advance(3600)
    assert todo_kinds(harness) == ["submit"]

    summary = harness.submit(owner="sensor's", asked_by=None)

    assert "refused alike" in (summary.stopped or "")
    assert len(harness.provider.posts) == 2 + 5 + 1
    assert harness.states() == ["planned"] * 5


def test_a_continuation_that_was_asked_for_before_the_stop_sends_nothing(
    harness: LifecycleHarness,
) -> None:
    harness.provider.on_submit = refuse()
    harness.plan(*[f"cat {n}" for n in range(5)])
    harness.submit()

    summary = harness.submit(owner="sensor's", asked_by=None)

    assert "refused alike" in (summary.stopped or "")
    assert len(harness.provider.posts) == 3


def test_what_dagster_retries_asks_for_nothing_new(harness: LifecycleHarness) -> None:
    harness.provider.on_submit = refuse()
    harness.plan(*[f"cat {n}" for n in range(5)])
    harness.submit(owner="run-1", asked_by="run-1")

    harness.submit(owner="run-2", asked_by="run-1")
    assert len(harness.provider.posts) == 3
    harness.submit(owner="run-3", asked_by="run-3")
    assert len(harness.provider.posts) == 6


def _gone() -> ProviderUnavailable:
    return ProviderUnavailable("refused connection", provider="floyo", operation="create_run")


def failing(
    harness: LifecycleHarness, *, unless: tuple[str, ...] = ()
) -> Callable[[str], RunReport]:
    def report(run: str) -> RunReport:
        good = run in unless
        state = SubmissionState.SUCCEEDED if good else SubmissionState.FAILED
        return replace(harness.provider.finished(run), state=state, error_message="CUDA is gone")

    return report


def poll(harness: LifecycleHarness) -> None:
    harness.clock.advance(600)
    poll_due(harness.ports, owner="tick", budget_seconds=300)


@pytest.mark.case(
    "the first ten runs of a long night all fail",
    "the run that submits stops before its next row",
    area="shared faults",
)
def test_the_run_that_submits_stops_when_the_first_runs_all_failed(
    harness: LifecycleHarness,
) -> None:
    harness.with_settings(stop_after_failures=2)
    harness.provider.on_poll = failing(harness)

    def meanwhile() -> None:
        if len(harness.provider.posts) == 3:
            poll(harness)
            harness.ledger.acquire_lease(submit_lease(harness.night), "run-1", 60)

    harness.provider.before_turn = meanwhile
    harness.plan(*[f"cat {n}" for n in range(6)])

    summary = harness.submit()

    assert len(harness.provider.posts) == 3
    assert harness.states() == ["failed"] * 3 + ["planned"] * 3
    assert "the first 2 runs that ended all failed" in (summary.stopped or "")
    assert summary.needs_person


@pytest.mark.case(
    "a night is cut short, and then its first runs all fail",
    "the sensor says so and asks for no more `provider_runs`; a person's buys the rest",
    area="shared faults",
)
def test_a_sensor_does_not_go_on_with_a_night_whose_runs_all_failed(
    harness: LifecycleHarness,
) -> None:
    def answer(request: SubmitRequest, number: int) -> Receipt | None:
        if 3 <= number <= 7:
            raise _gone()
        return None

    harness.with_settings(stop_after_failures=2)
    harness.provider.on_submit = answer
    harness.provider.on_poll = failing(harness)
    harness.plan(*[f"cat {n}" for n in range(5)])
    harness.submit()
    poll(harness)

    assert "submit" not in todo_kinds(harness)
    assert "stopped: the first 2 runs that ended all failed; the last: CUDA is gone" in waiting(
        harness
    )
    assert harness.submit().submitted == 3
    assert harness.states() == ["failed"] * 2 + ["submitted"] * 3


@pytest.mark.case(
    "`prompts` of a night under way is materialized",
    "no sensor buys what it planned; whoever materializes `provider_runs` does",
    area="shared faults",
)
def test_what_prompts_planned_is_bought_by_no_sensor(harness: LifecycleHarness) -> None:
    harness.provider.on_submit = refuse("cat")
    harness.plan("a dog", "a cat")
    harness.submit()
    harness.plan("a dog", "a hen")

    assert harness.states() == ["submitted", "planned"]
    for _ in range(5):
        harness.clock.advance(3600)
        assert "submit" not in todo_kinds(harness)
    assert "1 planned anew wait until posters/provider_runs is materialized" in waiting(harness)
    harness.submit(owner="sensor's", asked_by=None)
    assert harness.states() == ["submitted", "planned"]
    harness.submit()
    assert harness.states() == ["submitted", "submitted"]


def test_prompts_with_nothing_new_lets_a_sensor_go_on(harness: LifecycleHarness) -> None:
    harness.plan("a cat", "a dog", "a cow")
    harness.ledger.pause("ann", "a moment")
    harness.submit()
    harness.ledger.resume()
    harness.plan()
    harness.clock.advance(60)

    assert todo_kinds(harness) == ["submit"]
    assert harness.submit(owner="sensor's", asked_by=None).submitted == 3


def test_a_row_that_is_mended_while_a_run_submits_is_not_sent_with_the_old_text(
    harness: LifecycleHarness,
) -> None:
    def mend() -> None:
        if len(harness.provider.posts) == 1:
            harness.plan("a cat", "a wolf", "a cow")

    harness.plan("a cat", "a dog", "a cow")
    harness.provider.before_turn = mend

    summary = harness.submit()
    assert (summary.submitted, summary.stopped) == (2, None)
    harness.submit()

    sent = [str(post.parameters["6::text"]) for post in harness.provider.posts]
    assert sent == ["a cat", "a cow", "a wolf"]
    assert harness.states() == ["submitted"] * 3


def test_a_refused_row_of_a_regeneration_is_mended_in_its_generation(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    harness.submit()
    harness.provider.on_submit = refuse("dog")
    scope = {"prompt_ids": ["p1"]}
    harness.submit(
        regeneration=lambda: regenerate(
            harness.settings, harness.night, harness.ports, requested_by="r", scope=scope
        )
    )
    harness.plan("a cat", "a hen")

    harness.submit()

    old, new = (one for one in harness.ledger.submissions(harness.night) if one.prompt_id == "p1")
    assert (old.generation, old.parameters["6::text"]) == (0, "a dog")
    assert (new.generation, new.parameters["6::text"]) == (1, "a hen")
    assert new.state is SubmissionState.SUBMITTED
    assert old.seed != new.seed == new.parameters["3::seed"]


def test_a_run_that_lost_its_lease_finds_the_night_stopped_by_another(
    harness: LifecycleHarness,
) -> None:
    """Two runs at once: what one of them learns stops both."""
    harness.provider.on_submit = refuse()
    harness.plan(*[f"cat {n}" for n in range(6)])
    once = iter([True])

    def another() -> None:
        if next(once, False):
            harness.clock.advance(3600)
            harness.ledger.release_lease(submit_lease(harness.night), "slow")
            harness.submit(owner="fast", asked_by=None)

    ports = replace(harness.ports, ledger=Meanwhile(harness.ledger, "account_stop", another))
    from flow_pipelines.lifecycle import submit_night

    summary = submit_night(harness.settings, harness.night, ports, owner="slow", asked_by="slow")

    assert len(harness.provider.posts) == 3
    assert harness.states() == ["planned"] * 6
    assert summary.stopped


def test_a_table_that_names_another_provider_s_workflow_is_taken_by_what_is_left(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a cat", "a dog")
    harness.submit(limit=1)
    ports = harness.ports
    harness.with_settings(resource="floyo_b", workflow="other.json")
    plan_night(harness.settings, harness.night.partition_key, ports)

    first, second = harness.ledger.submissions(harness.night)

    assert (first.resource, first.workflow) == ("floyo", "graph.json")
    assert (second.resource, second.workflow) == ("floyo_b", "other.json")
