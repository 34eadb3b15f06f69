"""Where providers are told to call, when they are, and how much less is polled then."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from flow_pipelines.lifecycle.callback_addresses import (
    CallbackAddresses,
    check_base_url,
    is_ours,
    read_secrets,
)
from flow_pipelines.lifecycle.poll_intervals import first_poll_seconds, next_poll_at
from flow_pipelines.lifecycle.requests import submit_request
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.providers import profile
from flow_pipelines.resources import (
    FloraResource,
    ImageStoreResource,
    RunLedgerResource,
)
from flow_pipelines.resources.ports import callback_url, open_ports
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness, harness
from flow_pipelines_tests.webhooks.conftest import OURS

__all__ = ["harness"]

KEY = "0123456789abcdef0123456789abcdef"
LEDGER = "fedcba9876543210fedcba9876543210"
NAME = f"{KEY}.{LEDGER}"
REAL, STAND_IN = "https://app.flora.ai/api/v1", "http://127.0.0.1:9000/flora"
BASE = "https://hooks.example.com/flow"

Environment = Callable[..., None]


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    def set_variables(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(f"FLOW_PIPELINES_WEBHOOK_{name}", value)

    return set_variables


def test_an_address_is_the_same_every_time_and_opens_its_own_submission_only() -> None:
    old = read_secrets("0" * 32)[0]
    address = CallbackAddresses(f"{BASE}/", [OURS, old], "flora").url(KEY, LEDGER)
    assert address == CallbackAddresses(BASE, [OURS], "flora").url(KEY, LEDGER)
    head, _, token = address.rpartition("/")
    assert head == f"{BASE}/callbacks/flora/{NAME}"
    assert len(token) == 43
    assert is_ours([old, OURS], "flora", NAME, token)
    assert not is_ours([old], "flora", NAME, token)
    assert not is_ours([OURS], "comflowy", NAME, token)
    assert not is_ours([OURS], "flora", KEY, token)
    assert not is_ours([OURS], "flora", f"{LEDGER}.{KEY}", token)
    assert not is_ours([OURS], "flora", NAME, token + "=")
    assert not is_ours([OURS], "flora", NAME, "")
    assert not is_ours([OURS], "flora", KEY * 100, token)


@pytest.mark.parametrize("text", ["", " , ", "short", f"{'x' * 32},short"])
def test_a_secret_that_could_be_guessed_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="FLOW_PIPELINES_WEBHOOK_SECRET needs 32"):
        read_secrets(text)


def test_secrets_change_over_one_after_the_other() -> None:
    new, old = read_secrets(f" {'n' * 32}, {'o' * 32},")
    assert (new.reveal(), old.reveal()) == ("n" * 32, "o" * 32)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://hooks.example.com",
        "http://127.0.0.1:8700",
        "https://localhost",
        "https://10.0.0.7",
        "https://[fd00::1]",
        "https://169.254.169.254/",
        "https://user:password@hooks.example.com",
        "https://hooks.example.com/?a=b",
        "https://hooks.example.com/#here",
        "https://hooks.example.com/a b",
        "ftp://hooks.example.com",
        "hooks.example.com",
        "https://",
    ],
)
def test_a_provider_is_never_told_to_call_what_is_not_public(base_url: str) -> None:
    with pytest.raises(ConfigurationError, match="FLOW_PIPELINES_WEBHOOK_URL"):
        check_base_url(base_url, provider_url=REAL)


@pytest.mark.parametrize("provider_url", [REAL, STAND_IN])
def test_a_public_address_will_do_for_everybody(provider_url: str) -> None:
    check_base_url(BASE, provider_url=provider_url)


def test_a_stand_in_on_this_machine_may_call_this_machine_and_no_other() -> None:
    check_base_url("http://127.0.0.1:8700", provider_url=STAND_IN)
    with pytest.raises(ConfigurationError):
        check_base_url("http://10.0.0.7:8700", provider_url=STAND_IN)


@pytest.mark.parametrize("given", [{}, {"URL": BASE}, {"SECRET": OURS.reveal()}, {"URL": ""}])
def test_without_both_variables_nobody_is_told_to_call(
    environment: Environment, given: dict[str, str]
) -> None:
    environment(**given)
    assert callback_url(profile("flora"), REAL)(KEY, LEDGER) is None


def test_only_providers_that_call_back_are_told_to(environment: Environment) -> None:
    environment(URL=BASE, SECRET=OURS.reveal())
    assert callback_url(profile("floyo"), "https://api.floyo.ai")(KEY, LEDGER) is None
    url = callback_url(profile("flora"), REAL)(KEY, LEDGER)
    assert url == CallbackAddresses(BASE, [OURS], "flora").url(KEY, LEDGER)


def test_steps_and_ticks_get_it_from_the_environment(
    environment: Environment, tmp_path: Path
) -> None:
    resources = SimpleNamespace(
        flora=FloraResource(api_key="a-key"),
        image_store=ImageStoreResource(bucket="a-bucket"),
        run_ledger=RunLedgerResource(url=f"sqlite:///{tmp_path / 'ledger.db'}"),
    )
    assert open_ports(resources, "flora", print).callback_url(KEY, LEDGER) is None
    environment(URL=BASE, SECRET=OURS.reveal())
    ports = open_ports(resources, "flora", print)
    assert ports.callback_url(KEY, LEDGER) == CallbackAddresses(BASE, [OURS], "flora").url(
        KEY, LEDGER
    )
    ports.ledger.close()


def test_a_wrong_address_or_secret_is_an_error_before_anything_is_bought(
    environment: Environment,
) -> None:
    environment(URL="http://hooks.example.com", SECRET=OURS.reveal())
    with pytest.raises(ConfigurationError, match="WEBHOOK_URL"):
        callback_url(profile("flora"), REAL)
    environment(URL=BASE, SECRET="short")
    with pytest.raises(ConfigurationError, match="WEBHOOK_SECRET"):
        callback_url(profile("flora"), REAL)


def test_every_request_of_a_submission_has_the_same_address(harness: LifecycleHarness) -> None:
    addresses = CallbackAddresses(BASE, [OURS], "floyo")
    harness.plan("a lake")
    plain = harness.ports
    ports = replace(plain, callback_url=addresses.url)
    [row] = harness.ledger.submissions(harness.night)
    first, again = (submit_request(ports, row) for _ in range(2))
    assert first == again
    assert first.callback_url == addresses.url(row.submission_key, harness.ledger.ledger_id)
    assert first.callback_url not in repr(first)
    assert submit_request(plain, row).callback_url is None


def test_what_tells_of_its_end_is_polled_less_often_and_still_polled(
    harness: LifecycleHarness,
) -> None:
    harness.plan("a lake")
    harness.submit()
    [row] = harness.ledger.submissions(harness.night)
    assert row.submitted_at is not None
    assert (first_poll_seconds(), first_poll_seconds(called_back=True)) == (10, 30)

    def waits(age: float, *, called_back: bool) -> float:
        now = row.submitted_at + timedelta(seconds=age)
        at = next_poll_at(row, now, run_timeout_seconds=600, called_back=called_back)
        return (at - now).total_seconds()

    ages = [0, 30, 100, 300, 500, 599, 601, 5000]
    polled = [waits(age, called_back=False) for age in ages]
    assert polled == [6, 12, 40, 120, 120, 120, 240.4, 2000]
    # Three times as long, but no later than the run's time, and no more rarely once that is over.
    told = [waits(age, called_back=True) for age in ages]
    assert told == [18, 36, 120, 300, 120, 120, 240.4, 2000]
