"""`flow-pipelines metrics`: what Prometheus reads of a ledger, and what it never gets to see."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import make_url

from flow_pipelines.cli import main
from flow_pipelines.cli.metrics import BATCHES, text
from flow_pipelines.ledger import open_ledger
from flow_pipelines_tests.conformance.ledger.ledger_driver import LedgerDriver, key_of, new_night
from flow_pipelines_tests.databases import ledger_url, make_ledger_url, postgres_server

__all__ = ["ledger_url", "make_ledger_url", "postgres_server"]

VARIABLE = "FLOW_PIPELINES_LEDGER_URL"
LINE = re.compile(r"^flow_pipelines_(\w+)\{(.*)\} (\S+)$", re.MULTILINE)

ORDER = ("provider", "account", "batch", "state", "location")


@pytest.fixture
def driver(ledger_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerDriver]:
    monkeypatch.setenv(VARIABLE, ledger_url)
    driver = LedgerDriver(ledger_url)
    yield driver
    driver.ledger.close()


def shown(metrics: str) -> dict[str, float]:
    """Return every series, by its name and its labels in the order of ORDER."""
    series = {}
    for name, labels, value in LINE.findall(metrics):
        has = dict(re.findall(r'(\w+)="([^"]*)"', labels))
        assert has.keys() <= set(ORDER)
        series[" ".join([name, *(has[label] for label in ORDER if label in has)])] = float(value)
    return series


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["metrics", *words])


def test_every_figure_is_told_by_provider_account_and_batch(driver: LedgerDriver) -> None:
    night, studio = new_night(), new_night("covers")
    driver.plan(night, range(4))
    driver.plan(studio)
    driver.submit(key_of(night, 0), poll_in=-90)
    driver.submit(key_of(night, 1), poll_in=30)
    driver.begin(key_of(night, 2))
    driver.ledger.park_submission(key_of(night, 2), "lost")
    driver.submit(key_of(studio, 0), resource="studio", estimate="0.1", poll_in=30)
    driver.ledger.note_daily_budget("floyo", "floyo", Decimal("0.50"))
    driver.ledger.note_tick("floyo", 'a "quoted" location')

    said = text(driver.ledger)

    values = shown(said.replace('\\"', "'"))
    assert values == {
        "submissions floyo floyo posters in_flight": 2,
        "submissions floyo floyo posters unresolved": 1,
        "submissions floyo studio covers in_flight": 1,
        "submissions floyo studio covers unresolved": 0,
        "submissions_due floyo floyo posters": 1,
        "submissions_due floyo studio covers": 0,
        "oldest_due_seconds floyo floyo posters": 90,
        "oldest_due_seconds floyo studio covers": 0,
        "spent_today_usd floyo floyo posters": 0.06,
        "spent_today_usd floyo studio covers": 0.1,
        "daily_budget_usd floyo floyo": 0.5,
        "budget_left_usd floyo floyo": 0.44,
        "last_tick_timestamp_seconds floyo a 'quoted' location": driver.clock.now().timestamp(),
    }


def test_a_day_begins_at_midnight_utc(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    driver.submit(key_of(night, 0))
    driver.ledger.note_daily_budget("floyo", "floyo", Decimal(1))
    driver.clock.advance(24 * 3600)
    values = shown(text(driver.ledger))
    assert values["budget_left_usd floyo floyo"] == 1
    assert not [name for name in values if name.startswith("spent_today")]
    assert values["submissions floyo floyo posters in_flight"] == 1


@pytest.mark.case(
    "a ledger has more batches than anybody wants series of",
    "so many of them have their own; the others are one, and the sums are whole",
)
def test_series_are_bounded_and_their_sums_whole(driver: LedgerDriver) -> None:
    more = 3
    for number in range(BATCHES + more):
        night = new_night(f"batch_{number:03}")
        driver.plan(night)
        driver.submit(key_of(night, 0), estimate="0.1")
    values = shown(text(driver.ledger))
    of = {name: value for name, value in values.items() if name.endswith("in_flight")}
    assert len(of) == BATCHES + 1
    assert sum(of.values()) == BATCHES + more
    assert values["submissions floyo floyo other in_flight"] == more
    assert values["spent_today_usd floyo floyo other"] == 0.3
    assert values["oldest_due_seconds floyo floyo other"] == 0


def test_no_word_of_a_row_or_a_provider_is_a_label(driver: LedgerDriver) -> None:
    night = new_night()
    driver.plan(night)
    driver.begin(key_of(night, 0))
    driver.ledger.park_submission(key_of(night, 0), "HTTP 500: sk_live_abcdef")
    said = text(driver.ledger)
    row = driver.ledger.submission(key_of(night, 0))
    for word in (night.partition_key, row.prompt, row.submission_key, "HTTP 500"):
        assert word not in said


def test_the_command_prints_or_writes_a_file(driver: LedgerDriver, tmp_path: Path) -> None:
    driver.ledger.note_tick("floyo", "here")
    printed = run()
    assert printed.exit_code == 0, printed.output
    file = tmp_path / "flow_pipelines.prom"
    file.write_text("old")
    assert run("--textfile", str(file)).exit_code == 0
    assert file.read_text() == printed.output
    assert [path.name for path in tmp_path.glob("*.prom*")] == [file.name]
    lost = run("--textfile", str(tmp_path / "none" / "x.prom"))
    assert (lost.exit_code, "cannot be written" in lost.output) == (1, True)


def test_a_ledger_that_is_not_there_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, f"sqlite:///{tmp_path / 'none.db'}")
    assert "There is no ledger" in run().output
    assert not (tmp_path / "none.db").exists()


def test_an_address_that_cannot_be_listened_at_is_named(driver: LedgerDriver) -> None:
    for address in ("nowhere", "127.0.0.1:x", "127.0.0.1:99999", "192.0.2.1:0"):
        refused = run("--listen", address)
        assert (refused.exit_code, address in refused.output) == (1, True)


@pytest.fixture
def reader(
    make_ledger_url: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[LedgerDriver]:
    """A ledger that the environment leads to under a role that may only read."""
    url = make_ledger_url()
    if not url.startswith("postgresql"):
        pytest.skip("a file has no roles")
    driver, role = LedgerDriver(url), f"{make_url(url).database}_reader"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN")
        connection.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
        monkeypatch.setenv(VARIABLE, str(make_url(url).set(username=role)))
        yield driver
        driver.ledger.close()
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


def test_a_role_that_may_only_read_is_enough(reader: LedgerDriver) -> None:
    reader.ledger.note_tick("floyo", "here")
    printed = run()
    assert printed.exit_code == 0, printed.output
    assert "flow_pipelines_last_tick_timestamp_seconds" in printed.output
    with open_ledger(os.environ[VARIABLE]) as ledger, pytest.raises(Exception, match="permission"):
        ledger.note_tick("floyo", "here")


def test_it_serves_until_it_is_told_to_end(driver: LedgerDriver) -> None:
    driver.ledger.note_tick("floyo", "here")
    command = [sys.executable, "-m", "flow_pipelines.cli", "metrics", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as served:
        assert served.stderr is not None
        line = served.stderr.readline()
        port = line.rsplit(None, 1)[-1]
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            for _ in range(2):
                with opener.open(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
                    said = answer.read().decode()
                    kind = answer.headers["Content-Type"]
        finally:
            served.send_signal(signal.SIGTERM)
    assert served.returncode == 0, line
    assert kind.startswith("text/plain")
    assert 'flow_pipelines_last_tick_timestamp_seconds{location="here",provider="floyo"}' in said
