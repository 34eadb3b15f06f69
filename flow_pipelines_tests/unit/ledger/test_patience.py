"""How long a database that went away is waited for, and who is not waited for at all."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest
import sqlalchemy as sa

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.ledger.database import failures_in_our_words
from flow_pipelines.ledger.patience import Patience
from flow_pipelines.model.errors import LedgerAway, LedgerBusy, LedgerError
from flow_pipelines_tests.databases import PostgresServer
from flow_pipelines_tests.fakes import ManualClock

SECONDS = 30.0


class Away:
    """An act that fails until the clock says otherwise."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        self.clock, self.tries = clock, 0
        self.back_at = clock.monotonic() + seconds

    def __call__(self) -> str:
        self.tries += 1
        if self.clock.monotonic() < self.back_at:
            raise LedgerAway("gone")
        return "done"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_a_stale_connection_is_replaced_without_waiting(clock: ManualClock) -> None:
    began, tries = clock.monotonic(), iter([LedgerAway("stale"), None])

    def act() -> None:
        if (error := next(tries)) is not None:
            raise error

    Patience(clock, SECONDS).repeat(act)
    assert clock.monotonic() == began


def test_an_outage_shorter_than_the_budget_is_waited_for(clock: ManualClock) -> None:
    away = Away(clock, SECONDS - 3)
    assert Patience(clock, SECONDS).repeat(away) == "done"
    assert away.tries < SECONDS


def test_a_longer_outage_ends_in_time_and_is_told(clock: ManualClock) -> None:
    began = clock.monotonic()
    with pytest.raises(LedgerAway):
        Patience(clock, SECONDS).repeat(Away(clock, 3600))
    assert clock.monotonic() - began <= SECONDS


@pytest.mark.case(
    "each of a tick's ledger calls would wait for a database that is away, beyond the tick's end",
    "an outage has one budget: whoever calls when it is used up tries once",
)
def test_one_outage_has_one_budget_for_all_calls(clock: ManualClock) -> None:
    patience, away = Patience(clock, SECONDS), Away(clock, 3600)
    for _ in range(5):
        with pytest.raises(LedgerAway):
            patience.repeat(away)
    first, away.tries = away.tries, 0
    with pytest.raises(LedgerAway):
        patience.repeat(away)
    assert (away.tries, first > 5) == (1, True)


def test_the_next_outage_has_a_budget_again(clock: ManualClock) -> None:
    patience = Patience(clock, SECONDS)
    with pytest.raises(LedgerAway):
        patience.repeat(Away(clock, 3600))
    clock.advance(SECONDS + 1)
    assert patience.repeat(Away(clock, SECONDS - 3)) == "done"


def test_what_is_busy_is_not_tried_again(clock: ManualClock) -> None:
    tries = []

    def act() -> None:
        tries.append(1)
        raise LedgerBusy("locked")

    with pytest.raises(LedgerBusy):
        Patience(clock, SECONDS).repeat(act)
    assert tries == [1]


@pytest.fixture
def url(postgres_server: PostgresServer) -> Iterator[str]:
    url = postgres_server.ledger_database()
    yield url
    postgres_server.drop(url)


@pytest.fixture
def ledger(url: str) -> Iterator[RunLedger]:
    with open_ledger(url) as ledger:
        yield ledger


@pytest.mark.case(
    "a server that had become a standby was written to for as long as its connection lasted",
    "its connections are given up; the next is made where the address leads by then",
)
def test_a_server_that_has_become_a_standby_is_left(url: str, ledger: RunLedger) -> None:
    name = sa.make_url(url).database
    with psycopg.connect(url, autocommit=True) as elsewhere:
        elsewhere.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        ledger._database.engine.dispose()
        assert ledger.paused() is None  # a connection to what reads only is in the pool
        elsewhere.execute(f'ALTER DATABASE "{name}" RESET default_transaction_read_only')
    assert ledger.acquire_lease("a", "somebody", 60)


@pytest.mark.parametrize("change", [{"database": "nowhere"}, {"username": "nobody"}])
def test_whom_the_server_refuses_is_told_at_once(
    url: str, change: dict[str, str], clock: ManualClock
) -> None:
    wrong = sa.make_url(url).set(**change).render_as_string(hide_password=False)
    with pytest.raises(LedgerError, match="does not exist") as refused:
        open_ledger(wrong, host=clock)
    assert not isinstance(refused.value, LedgerBusy)
    assert clock.monotonic() == ManualClock().monotonic()


CODES_AWAY = ["57P01", "57P02", "57P03", "53300", "08000", "08001", "08003", "08006", None]


def refusal(code: str | None) -> sa.exc.OperationalError:
    """Make what SQLAlchemy raises for an answer with this code."""
    cause = psycopg.OperationalError("made for a test")
    cause.sqlstate = code
    return sa.exc.OperationalError("SELECT 1", {}, cause)


@pytest.mark.parametrize("code", CODES_AWAY)
def test_a_server_that_is_away_for_now_is_known_by_its_code(code: str | None) -> None:
    with pytest.raises(LedgerAway), failures_in_our_words():
        raise refusal(code)


@pytest.mark.parametrize("code", ["57014", "53100", "28P01", "42P01"])
def test_another_code_is_none_of_a_server_that_is_away(code: str) -> None:
    with pytest.raises(LedgerError) as caught, failures_in_our_words():
        raise refusal(code)
    assert not isinstance(caught.value, LedgerAway)
