"""The probe of every profile: it tells a key that works from one that does not, free of charge."""

from __future__ import annotations

from datetime import timedelta

import pytest

from flow_pipelines.clock import SystemClock
from flow_pipelines.model.errors import AccountRejected, ProviderError
from flow_pipelines.providers import profile
from flow_pipelines.transport import AccountReport, check_account
from flow_pipelines_tests.conformance.providers.account import Account


def probe(account: Account) -> AccountReport:
    known = profile(account.name)
    base_url = account.sandbox.environment()[known.url_variables["base_url"]]
    return check_account(account.transport, known, f"{base_url}/")


def test_a_key_that_works_is_known_and_nothing_is_bought(account: Account) -> None:
    report = probe(account)
    assert account.meter().runs_billed == 0
    assert len(account.control.requests()) == 1
    assert report.server_time is not None
    # The stand-in's web server tells the machine's own time, whatever the test's clock says.
    assert abs(report.server_time - SystemClock().now()) < timedelta(minutes=1)


def test_a_key_that_does_not_work_is_refused(account: Account) -> None:
    stranger = Account(account.name, account.sandbox, account.clock, key="a-key-of-nobody")
    with pytest.raises(AccountRejected) as raised:
        probe(stranger)
    assert "a-key-of-nobody" not in str(raised.value)


@pytest.mark.parametrize("status", [200, 404, 500])
def test_a_page_of_something_in_between_proves_nothing_about_a_key(
    account: Account, status: int
) -> None:
    account.fault(
        "*", "status", count=None, status=status, body="<html>Sign in to our network</html>"
    )
    with pytest.raises(ProviderError) as raised:
        probe(account)
    assert not isinstance(raised.value, AccountRejected)
