from __future__ import annotations

from decimal import Decimal

import pytest

from flow_pipelines.sandbox.life import Fate, Life, Output, Run, RunOrder, RunState
from flow_pipelines.sandbox.pictures import Picture
from flow_pipelines.sandbox.settings import Tuning
from flow_pipelines_tests.unit.sandbox.probe import LONG_ENOUGH, HandClock


def order(label: str = "a", request_hash: str = "h", **more: object) -> RunOrder:
    fields = {"provider": "p", "account": "k", "outputs": ()} | more
    return RunOrder(label=label, request_hash=request_hash, **fields)  # type: ignore[arg-type]


@pytest.fixture
def clock() -> HandClock:
    return HandClock()


@pytest.fixture
def bills() -> list[Run]:
    return []


@pytest.fixture
def life(clock: HandClock, bills: list[Run]) -> Life:
    life = Life(clock.now, bills.append, max_runs=100)
    life.tuning = Tuning(slots=1)
    return life


def test_the_same_seed_gives_the_same_durations_whatever_came_before(
    life: Life, clock: HandClock
) -> None:
    other = Life(clock.now, lambda run: None, max_runs=100)
    first = [life.create(order(label)).seconds for label in ("a", "b", "c")]
    second = [other.create(order(label)).seconds for label in ("a", "b", "c")]
    assert first == second
    assert len(set(first)) == 3
    other.tuning = Tuning(seed=1)
    assert other.create(order("d")).seconds != life.create(order("d")).seconds


def test_a_queue_runs_one_after_the_other_in_order(life: Life, clock: HandClock) -> None:
    first, second = life.create(order("a")), life.create(order("b"))
    assert second.starts_at == first.ends_at
    assert [first.state(clock.at), second.state(clock.at)] == [RunState.RUNNING, RunState.QUEUED]
    assert second.flotime_ms(clock.at) == 0


def test_canceling_a_run_lets_those_behind_it_start(life: Life, clock: HandClock) -> None:
    first, second, third = (life.create(order(label)) for label in "abc")
    assert life.cancel(second)
    assert third.starts_at == first.ends_at
    clock.advance(0.5)
    assert life.cancel(first)
    assert third.starts_at == clock.at
    assert first.flotime_ms(clock.at + LONG_ENOUGH) == 500
    assert second.flotime_ms(clock.at + LONG_ENOUGH) == 0


def test_keys_do_not_wait_for_each_other(life: Life, clock: HandClock) -> None:
    runs = [life.create(order(account=account)) for account in ("one", "two")]
    assert {run.state(clock.at) for run in runs} == {RunState.RUNNING}


def test_scaled_time_changes_the_wait_and_not_the_flotime(life: Life, clock: HandClock) -> None:
    plain = life.create(order("a", account="one"))
    life.tuning = Tuning(slots=1, time_scale=100)
    life.reset()
    quick = life.create(order("a", account="one"))
    assert quick.seconds == plain.seconds
    assert quick.ends_at - quick.starts_at == pytest.approx(plain.seconds / 100, rel=1e-3)
    assert quick.flotime_ms(clock.at + LONG_ENOUGH) == int(plain.seconds * 1000)


def test_every_accepted_run_is_billed_once(life: Life, bills: list[Run]) -> None:
    runs = [life.create(order(label)) for label in "abc"]
    assert bills == runs


def test_old_runs_are_forgotten_and_their_flotime_is_not(clock: HandClock) -> None:
    life = Life(clock.now, lambda run: None, max_runs=2)
    runs = [life.create(order(str(number), str(number))) for number in range(4)]
    clock.advance(LONG_ENOUGH)
    life.create(order("last", "last"))
    assert len(life.runs()) == 2
    assert life.get("p", "k", runs[0].id) is None
    assert life.spending("p").flotime_ms == sum(run.flotime_ms(clock.at) for run in runs)


def test_some_runs_fail_by_themselves_when_told(life: Life, clock: HandClock) -> None:
    life.tuning = Tuning(failure_rate=0.5)
    runs = [life.create(order(str(number), str(number))) for number in range(60)]
    states = {run.state(clock.at + LONG_ENOUGH) for run in runs}
    assert states == {RunState.SUCCEEDED, RunState.FAILED}


def test_fewer_slots_apply_from_the_next_run_on(life: Life, clock: HandClock) -> None:
    life.tuning = Tuning(slots=3)
    early = [life.create(order(label)) for label in "abc"]
    life.tuning = Tuning(slots=1)
    late = life.create(order("d"))
    assert late.starts_at == max(run.ends_at for run in early)


def test_money_is_charged_for_runs_that_succeeded_alone(life: Life, clock: HandClock) -> None:
    price = Decimal("0.04")
    life.create(order("good", price_usd=price))
    life.create(order("bad", price_usd=price, fate=Fate(error_code="oops")))
    life.cancel(life.create(order("canceled", price_usd=price)))
    assert life.spending("p").charged_usd == 0
    clock.advance(LONG_ENOUGH)
    assert life.spending("p").charged_usd == price


def test_an_output_exists_once_its_run_has_succeeded(life: Life, clock: HandClock) -> None:
    output = Output(id="o", file_name="a.png", picture=Picture(prompt="x", seed=1))
    run = life.create(order(outputs=(output,)))
    assert life.output("p", "o") is None
    clock.advance(LONG_ENOUGH)
    assert life.output("p", "o") == (run, output)
    assert life.output("q", "o") is None
