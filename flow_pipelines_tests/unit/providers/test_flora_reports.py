"""FLORA's runs, lists and costs, as documented and as they may be bent, in our words."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.model import OutputRef, RunReport, SubmissionState
from flow_pipelines.model.errors import NotFound, UnexpectedAnswer
from flow_pipelines.providers.flora.adapter import MAX_LISTED
from flow_pipelines.providers.flora.workflows import STATES
from flow_pipelines_tests.unit.providers.flora_harness import (
    RUN,
    adapter,
    order,
    polled,
    recorded,
    sample,
    workflow,
)
from flow_pipelines_tests.unit.transport.wire import Step, Wire, answer

S = SubmissionState
SINCE = datetime(2024, 3, 9, 16, 0, 15, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)
POSTER = "https://media.flora.ai/runs/run_abc123/poster.png"


@pytest.mark.parametrize(
    ("case", "state", "progress"),
    [
        ("run_pending", S.QUEUED, 0.0),
        ("run_running", S.RUNNING, 0.45),
        ("run_completed", S.SUCCEEDED, 1.0),
        ("run_failed", S.FAILED, 1.0),
        ("run_safety_blocked", S.FAILED, 0.2),
    ],
)
def test_every_status_has_its_state(case: str, state: SubmissionState, progress: float) -> None:
    report = polled(case)
    assert (report.state, report.progress) == (state, progress)
    assert not report.account_problem


@pytest.mark.parametrize("word", [*STATES, "COMPLETED", "Failed"])
def test_words_are_understood_in_any_case(word: str) -> None:
    assert polled("run_completed", status=word).state is STATES[word.lower()]


def test_a_status_that_nobody_documents_is_no_state() -> None:
    report = polled("run_running", status="hibernating")
    assert (report.state, report.provider_status) == (None, "hibernating")


def test_a_completed_run_gives_times_charge_pictures_and_texts() -> None:
    report = polled("run_completed")
    assert report.started_at == datetime(2024, 3, 9, 16, 0, 1, tzinfo=UTC)
    assert report.finished_at == datetime(2024, 3, 9, 16, 0, 24, 500_000, tzinfo=UTC)
    assert report.run_ms == 23_500
    assert report.charged_usd == Decimal("0.0425")
    assert report.flotime_ms is None
    assert report.outputs == (
        OutputRef(output_id="poster", node="poster", media_type="image/*", url=POSTER),
        OutputRef(output_id="caption", node="caption", kind="text", text="A harbour at dawn."),
    )


def test_a_failure_under_200_says_why() -> None:
    report = polled("run_failed")
    assert (report.error_code, report.error_message) == (
        "provider_error",
        "The model provider returned an error.",
    )
    bare = polled("run_failed", error_code=None, error_message=None)
    assert (bare.error_code, bare.error_message) == ("failed", "FLORA says: failed")


def test_a_run_that_failed_for_lack_of_credit_is_the_accounts_problem() -> None:
    assert polled("run_failed", error_code="insufficient_credits").account_problem


def output(name: Any = "poster", url: Any = POSTER, kind: Any = "imageUrl") -> dict[str, Any]:
    return {"output_id": name, "type": kind, "url": url}


def names(*outputs: Any) -> list[str]:
    return [ref.output_id for ref in polled("run_completed", outputs=list(outputs)).outputs]


def test_pictures_that_share_an_id_are_kept_apart_whatever_their_order_and_signature() -> None:
    pages = [output(url=f"{POSTER}/{page}?sig=1") for page in "abc"]
    again = [output(url=f"{POSTER}/{page}?sig=2") for page in "cab"]
    first, second = names(*pages), names(*again)
    assert len(set(first)) == 3
    assert all(name.startswith("poster ") for name in first)
    assert second == [first[2], first[0], first[1]]


def test_one_picture_told_twice_is_one() -> None:
    assert set(names(output(), output(url=f"{POSTER}?sig=2"))) == {"poster"}


def test_two_texts_that_share_an_id_are_kept_apart() -> None:
    both = names(output("t", "one?", "text"), output("t", "one?two", "text"))
    assert len(set(both)) == 2


def test_an_output_without_an_id_or_link_is_kept_so_that_somebody_notices() -> None:
    report = polled("run_completed", outputs=[output(None), "what?", output(url=None)])
    assert [(ref.output_id, ref.url) for ref in report.outputs] == [
        ("(no id) 0", POSTER),
        ("(no id) 1", None),
        ("poster", None),
    ]


def test_an_empty_text_is_a_text() -> None:
    (ref,) = polled("run_completed", outputs=[output("t", "", "TEXT")]).outputs
    assert (ref.kind, ref.text) == ("text", "")


@pytest.mark.parametrize("outputs", [None, []])
def test_a_completed_run_may_have_no_outputs_at_all(outputs: object) -> None:
    report = polled("run_completed", outputs=outputs)
    assert (report.state, report.outputs) == (S.SUCCEEDED, ())


@pytest.mark.parametrize(
    "value", [None, "soon", -1, True, float("nan"), float("inf"), 10**30, [], {}], ids=str
)
@pytest.mark.parametrize(
    "name", ["progress", "created_at", "started_at", "completed_at", "charged_cost"]
)
def test_a_number_that_makes_no_sense_is_left_out(name: str, value: object) -> None:
    report = polled("run_completed", **{name: value})
    assert report.state is S.SUCCEEDED
    assert len(report.outputs) == 2
    assert report.run_ms is None or report.run_ms >= 0
    assert report.progress is None or 0 <= report.progress <= 1
    if name == "charged_cost":
        assert report.charged_usd is None


@pytest.mark.parametrize(
    "changes",
    [{"status": None}, {"status": 3}, {"run_id": "run_other"}, {"run_id": 1}, {"outputs": {}}],
    ids=str,
)
def test_an_answer_that_is_not_this_run_is_unexpected(changes: dict[str, Any]) -> None:
    bent = {"outputs": {"a": 1}} if "outputs" in changes else changes
    with Wire(sample("run_completed", **bent)) as wire, pytest.raises(UnexpectedAnswer) as caught:
        adapter(wire).poll(RUN, workflow())
    assert caught.value.provider_run_id == RUN


def test_a_run_that_flora_does_not_know_is_not_found() -> None:
    with Wire(sample("not_found")) as wire, pytest.raises(NotFound) as caught:
        adapter(wire).poll(RUN, workflow())
    assert caught.value.provider_run_id == RUN


def test_links_are_never_shown() -> None:
    assert "media.flora.ai" not in repr(polled("run_completed"))


# ---- lists -----------------------------------------------------------------------------------


def found(*steps: Step, workspace: str | None = "ws_1") -> tuple[list[str], list[str]]:
    with Wire(*steps) as wire:
        runs = adapter(wire, workspace).candidates(order(), SINCE, UNTIL)
    return [one.provider_run_id for one in runs], [seen.target for seen in wire.requests]


def test_no_list_proves_whose_a_run_is() -> None:
    with Wire() as wire:
        assert adapter(wire).find(order(), SINCE) == ()
    assert wire.requests == []


def test_candidates_are_all_of_the_technique_since_then_and_no_further() -> None:
    ids, targets = found(sample("technique_runs"), sample("technique_runs_end"))
    assert ids == ["run_3", "run_2"]
    assert targets == [
        "/api/technique-runs?technique_id=tech_abc123&workspace_id=ws_1&limit=100",
        "/api/technique-runs?technique_id=tech_abc123&workspace_id=ws_1&limit=100&cursor=c2",
    ]


def test_candidates_are_looked_for_in_the_only_workspace() -> None:
    _, targets = found(sample("workspaces"), sample("technique_runs_end"), workspace=None)
    assert targets[0] == "/api/workspaces"
    assert "workspace_id=ws_abc123" in targets[1]


def test_candidates_are_looked_for_everywhere_where_there_are_many_workspaces() -> None:
    many = [{"workspace_id": f"ws_{number}"} for number in range(2)]
    step = sample("workspaces", workspaces=many)
    _, targets = found(step, sample("technique_runs_end"), workspace=None)
    assert "workspace_id" not in targets[1]


def listed(*runs: Mapping[str, Any], cursor: str | None = None) -> Step:
    return answer(200, {"technique_runs": list(runs), "meta": {"next_cursor": cursor}})


def run(run_id: Any = "run_1", seconds: float | None = 5, **changes: Any) -> dict[str, Any]:
    at = SINCE + timedelta(seconds=seconds or 0)
    created = None if seconds is None else at.timestamp() * 1000
    return {**recorded("run_pending")["body"], "run_id": run_id, "created_at": created, **changes}


def test_candidates_are_of_no_other_technique() -> None:
    other = run("run_9", technique={"technique_id": "tech_other"})
    assert found(listed(other, run("run_8")))[0] == ["run_8"]


def test_a_run_of_unknown_time_is_a_candidate_and_one_of_later_is_none() -> None:
    late = run("run_9", (UNTIL - SINCE).total_seconds() + 1)
    assert found(listed(late, run("run_1"), run("run_2", None)))[0] == ["run_1", "run_2"]


def test_a_candidate_tells_when_what_and_where_a_person_may_look() -> None:
    done = {**recorded("run_completed")["body"], "run_id": "run_1"}
    done["created_at"] = (SINCE.timestamp() + 5) * 1000
    with Wire(listed(done, run("run_2"))) as wire:
        first, second = adapter(wire, "ws_1").candidates(order(), SINCE, UNTIL)
    assert first.created_at == SINCE + timedelta(seconds=5)
    assert first.cost_usd == Decimal(str(done["charged_cost"]))
    assert first.link == done["outputs"][0]["url"]
    assert second.link == recorded("run_pending")["body"].get("poll_url")
    assert "media.flora.ai" not in repr(first)


def test_candidates_are_looked_for_among_so_many_and_no_more() -> None:
    pages = [
        listed(*(run(f"run_{page}_{item}") for item in range(100)), cursor=f"c{page}")
        for page in range(MAX_LISTED // 100 + 1)
    ]
    ids, targets = found(*pages)
    assert len(ids) == MAX_LISTED
    assert len(targets) == MAX_LISTED // 100


def test_a_cursor_that_leads_nowhere_ends() -> None:
    ids, targets = found(listed(run(), cursor="c1"))
    assert ids == ["run_1"]
    assert len(targets) == 2


def test_candidates_are_not_led_astray_by_odd_entries() -> None:
    odd: list[Any] = [{}, run(3), run("a/b"), "x", None, run("run_7", technique="?", status=None)]
    assert found(listed(*odd))[0] == ["run_7"]


@pytest.mark.parametrize("body", ["<html>", "null", "{}", '{"technique_runs":null}'])
def test_a_list_that_is_none_is_unexpected(body: str) -> None:
    with pytest.raises(UnexpectedAnswer):
        found(answer(200, body))


def test_techniques_come_page_by_page_and_only_as_far_as_wanted() -> None:
    page = recorded("techniques")["body"]["techniques"]
    first = answer(200, {"techniques": page * 2, "meta": {"next_cursor": "c1"}})
    with Wire(first, sample("techniques")) as wire:
        techniques = adapter(wire).client.list_techniques(query="poster", workspace_id="ws_1")
        assert next(techniques).technique_id == "tech_abc123"
        assert len(wire.requests) == 1
        assert len(list(techniques)) == 2
    assert wire.requests[1].target == (
        "/api/techniques?query=poster&workspace_id=ws_1&limit=100&cursor=c1"
    )


def test_workspaces_have_names() -> None:
    with Wire(sample("workspaces")) as wire:
        (own,) = adapter(wire).client.list_workspaces()
    assert (own.workspace_id, own.name, own.role) == ("ws_abc123", "Studio", "owner")
    assert own.created_at == datetime(2024, 3, 9, 16, 0, tzinfo=UTC)


# ---- costs -----------------------------------------------------------------------------------


def report(state: SubmissionState, word: str, charged: str | None = None) -> RunReport:
    return RunReport(
        provider_run_id=RUN,
        state=state,
        provider_status=word,
        charged_usd=None if charged is None else Decimal(charged),
    )


@pytest.mark.parametrize(
    ("ended", "price", "cost"),
    [
        (report(S.SUCCEEDED, "completed", "0.0425"), "0.05", ("0.042500", "charged")),
        (report(S.SUCCEEDED, "completed", "0"), "0.05", ("0.000000", "charged")),
        (report(S.SUCCEEDED, "completed"), "0.05", ("0.050000", "estimated")),
        (report(S.SUCCEEDED, "completed"), None, (None, "unknown")),
        (report(S.FAILED, "failed"), "0.05", ("0", "free")),
        (report(S.SUCCEEDED, "completed"), "0", ("0.000000", "estimated")),
        (report(S.FAILED, "failed", "0.01"), "0.05", ("0.010000", "charged")),
        # given up by us after days: FLORA never called it failed, and may have charged it
        (report(S.FAILED, "running"), "0.05", ("0.050000", "estimated")),
    ],
)
def test_a_cost_says_how_it_is_known(
    ended: RunReport, price: str | None, cost: tuple[str | None, str]
) -> None:
    with Wire() as wire:
        usd, basis = adapter(wire).cost(ended, Decimal(price) if price else None)
    assert (None if usd is None else str(usd), basis) == cost


@pytest.mark.parametrize("cost", [0.1, 0.07, 1e-06, 0.123456, 3, 12345.678901])
def test_a_charge_is_exactly_what_flora_wrote(cost: float) -> None:
    told = polled("run_completed", charged_cost=cost)
    assert told.charged_usd == Decimal(repr(cost))


def test_the_estimate_is_floras_own_price_before_the_batchs() -> None:
    with Wire() as wire:
        provider = adapter(wire)
        assert provider.estimate_usd(workflow(), Decimal(9)) == Decimal("0.0425")
        assert provider.estimate_usd(workflow(run_cost=None), Decimal(9)) == Decimal(9)
        assert provider.estimate_usd(workflow(run_cost=None), None) is None
