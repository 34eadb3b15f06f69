"""An account at Floyo's stand-in, with a minute of its rate limit to itself."""

from __future__ import annotations

from typing import Any

from flow_pipelines.model import SubmissionState
from flow_pipelines.providers.floyo import FloyoProvider
from flow_pipelines_tests.conformance.providers.account import Account

S = SubmissionState
PNG = b"\x89PNG\r\n\x1a\n"


def floyo(account: Account) -> FloyoProvider:
    assert isinstance(account.provider, FloyoProvider)
    return account.provider


def graph(account: Account) -> dict[str, Any]:
    return dict(account.kept_workflow.body["graph"])


def finished(account: Account) -> str:
    run_id = account.buy()
    account.wait_for(run_id, S.SUCCEEDED)
    return run_id


def operations(account: Account) -> list[str]:
    return [one.operation for one in account.requests(1)]


def api_url(account: Account, path: str) -> str:
    return f"{account.sandbox.environment()['FLOYO_BASE_URL']}{path}"
