"""Nights whose provider tells of its runs, with callbacks that come, fail, repeat and are late."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_pipelines.lifecycle import collect_night
from flow_pipelines.providers import profile, provider_names
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.webhooks.street import NIGHT, Street, eventually

CALL_BACK = [name for name in provider_names() if profile(name).read_callback is not None]


@pytest.fixture(scope="module")
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(scope="module")
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    tuning = Tuning(slots=8, median_seconds=2.0, max_picture_side=64)
    settings = SandboxSettings(port=0, bucket_port=0, tuning=tuning)
    with Sandbox(settings, now=lambda: clock.now().timestamp()) as running:
        yield running


@pytest.fixture(params=CALL_BACK)
def street(
    request: pytest.FixtureRequest, sandbox: Sandbox, clock: ManualClock, tmp_path: Path
) -> Iterator[Street]:
    sandbox.reset()
    clock.advance(120)
    with Street(request.param, sandbox, clock, tmp_path) as street:
        yield street


def test_a_run_is_asked_after_once_when_its_callback_has_come(street: Street) -> None:
    street.open_receiver()
    street.buy(2)
    before = street.asked()
    assert street.poll() == 0  # nothing is due: nothing was asked
    assert street.asked() == before

    street.clock.advance(20)
    assert eventually(lambda: street.due() == 2)
    assert street.poll() == 2

    assert street.states() == ["succeeded", "succeeded"]
    assert (street.asked() - before).total() <= 2 + 1  # a token may have to be renewed
    assert {one.status for one in street.control.deliveries()} == {204}
    assert street.billed() == (2, 0)
    collect_night(NIGHT, street.ports, owner="tick")
    assert all(row.collected_at for row in street.rows())


def test_polling_alone_does_it_while_the_receiver_is_down(street: Street) -> None:
    street.close_receiver()
    street.buy(2)

    street.clock.advance(20)
    assert eventually(lambda: len(street.control.deliveries()) >= 2)
    assert street.due() == 0
    street.clock.advance(10)

    assert street.poll() == 2
    assert street.billed() == (2, 0)
    assert {one.status for one in street.control.deliveries()} == {0}


@pytest.mark.parametrize("action", ["lost_callback", "duplicate_callback", "slow_callback"])
def test_lost_doubled_and_late_callbacks_change_nothing_but_the_time(
    street: Street, action: str
) -> None:
    street.open_receiver()
    street.control.add_fault(street.provider, "callback", action, count=2, seconds=600)
    street.buy(2)
    street.clock.advance(31)  # from here on polls are due by themselves
    assert street.poll() == 2
    rows = street.rows()
    street.clock.advance(600)
    expected = 0 if action == "lost_callback" else 2
    assert eventually(lambda: len(street.control.deliveries()) >= expected)

    assert street.rows() == rows
    assert street.states() == ["succeeded", "succeeded"]
    assert street.billed() == (2, 0)
    told = {one.status for one in street.control.deliveries()}
    assert told <= {204, 503}  # one that met its run's poll is to come again


def test_a_callback_tells_whose_a_run_is_when_the_answer_was_lost(street: Street) -> None:
    street.open_receiver()
    submit = street.account.case["calls"]["submit"]
    street.control.add_fault(street.provider, submit, "drop_after_accept", count=1)

    summary = street.buy(1)

    assert summary.unresolved == 1
    street.clock.advance(20)
    assert eventually(lambda: street.states() == ["submitted"])
    assert street.poll() == 1
    assert street.states() == ["succeeded"]
    assert street.billed() == (1, 0)
    assert street.asked()[submit] == 1
    [row] = street.rows()
    assert street.ledger.settlements(row.submission_key)[0].who == "callback"


def test_no_token_gets_into_what_the_ledger_keeps_or_people_read(street: Street) -> None:
    street.open_receiver()
    street.buy(1)
    street.clock.advance(20)
    assert eventually(lambda: street.due() == 1)
    street.poll()

    [row] = street.rows()
    address = street.ports.callback_url(row.submission_key, row.intent_ledger_id)
    assert address is not None
    token = address.rpartition("/")[2]
    assert token in street.control.deliveries()[0].url
    street.ledger.close()
    kept = b"".join(file.read_bytes() for file in street.folder.iterdir())
    assert row.submission_key.encode() in kept
    assert token.encode() not in kept
    assert street.lines
    assert token not in "\n".join(street.lines)
