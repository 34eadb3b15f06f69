"""Every registered provider does what `provider.Provider` promises, against the sandbox."""

from __future__ import annotations

import logging
from decimal import Decimal

import pytest

from flow_pipelines.model import ENDED, OutputRef, RunReport, SubmissionState, Workflow
from flow_pipelines.model.errors import (
    AccountRejected,
    ConfigurationError,
    FlowPipelinesError,
    NotFound,
    OutputRefused,
    ProviderError,
    TransferError,
)
from flow_pipelines.provider import Purpose
from flow_pipelines.providers import profile, provider_names
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines_tests.conformance.providers.account import SAMPLES, Account
from flow_pipelines_tests.conformance.providers.conftest import Operations
from flow_pipelines_tests.fakes import ManualClock

S = SubmissionState


@pytest.mark.parametrize("name", provider_names())
def test_every_registered_provider_has_a_stand_in_and_a_sample_order(
    name: str, sandbox: Sandbox
) -> None:
    known, environment = profile(name), sandbox.environment()
    variables = [known.key_variable, *known.url_variables.values()]
    assert [one for one in variables if one not in environment] == []
    assert (SAMPLES / name / "conformance.json").is_file()
    assert len(list((SAMPLES / name).glob("*.json"))) > 5, "recorded answers are missing"


def test_an_adapter_bears_its_profiles_name_and_capabilities(account: Account) -> None:
    known = profile(account.name)
    assert account.provider.name == known.name
    assert account.provider.capabilities == known.capabilities
    assert hasattr(account.provider, "client")


def test_a_workflow_is_read_alike_each_time_and_survives_being_kept(account: Account) -> None:
    first, second = account.workflow(), account.workflow()
    assert first == second
    assert Workflow.from_json(first.to_json()) == first
    assert first.reference == account.case["workflow"]
    assert account.meter().runs_billed == 0


def test_a_run_goes_from_bought_to_succeeded_and_is_billed_once(account: Account) -> None:
    order = account.order()
    run_id = account.buy(order)
    states = [account.poll(run_id).state]
    while states[-1] not in ENDED and len(states) < 40:
        account.clock.advance(3)
        states.append(account.poll(run_id).state)
    assert states[-1] is S.SUCCEEDED
    assert set(states[:-1]) <= {S.SUBMITTED, S.QUEUED, S.RUNNING}
    assert (account.meter().runs_billed, account.meter().duplicate_bills) == (1, 0)
    assert [run.id for run in account.control.runs(account.name)] == [run_id]


@pytest.mark.usefixtures("slow_runs")
def test_a_waiting_run_is_not_running_yet(account: Account) -> None:
    runs = [account.buy() for _ in range(3)]
    account.wait_for(runs[0], S.RUNNING)
    assert account.poll(runs[2]).state in {S.QUEUED, S.SUBMITTED}


def test_a_failed_run_says_why_and_is_not_the_accounts_fault(
    account: Account, operations: Operations
) -> None:
    account.fault(operations.submit, "run_fails", error="out_of_memory")
    report = account.wait_for(account.buy(), *ENDED)
    assert report.state is S.FAILED
    assert report.error_code
    assert report.error_message
    assert not report.account_problem


def test_a_status_that_nobody_documents_is_polled_on(
    account: Account, operations: Operations
) -> None:
    run_id = account.buy()
    account.fault(operations.poll, "unknown_status", word="hibernating")
    report = account.poll(run_id)
    assert (report.state, report.provider_status) == (None, "hibernating")
    assert account.wait_for(run_id, *ENDED).state is S.SUCCEEDED


def test_a_run_that_nobody_made_is_not_found(account: Account) -> None:
    run_id = account.buy()
    other = run_id[:-4] + "zzzz"
    with pytest.raises(NotFound) as caught:
        account.poll(other)
    assert caught.value.provider_run_id == other


def _outputs(account: Account) -> tuple[OutputRef, ...]:
    report = account.wait_for(account.buy(), S.SUCCEEDED)
    assert len(report.outputs) == account.case["outputs"]
    return report.outputs


def test_outputs_come_in_order_with_names_that_last(account: Account) -> None:
    run_id = account.buy()
    first = account.wait_for(run_id, S.SUCCEEDED).outputs
    again = account.poll(run_id).outputs
    made = account.control.runs(account.name)[0].outputs
    assert [ref.file_name or name for ref, name in zip(first, made, strict=True)] == made
    assert [ref.output_id for ref in again] == [ref.output_id for ref in first]
    assert len({ref.output_id for ref in first}) == account.case["outputs"]


def test_an_output_is_fetched_whole_with_type_and_size(account: Account) -> None:
    contents = set()
    for ref in _outputs(account):
        with account.provider.fetch(ref, max_bytes=10_000_000) as download:
            content = download.read()
            assert download.media_type == "image/png"
            assert download.size_bytes in (len(content), None)
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        assert ref.size_bytes in (len(content), None)
        contents.add(content)
    assert len(contents) == account.case["outputs"]


@pytest.mark.case(
    "the account's token went along with downloads whose link was on the provider's own host",
    "a link out of an answer is opened without a key at every provider; only Floyo's documented "
    "download by file id carries one",
)
def test_no_key_goes_along_with_a_link_out_of_an_answer(account: Account) -> None:
    for ref in _outputs(account):
        before = len(account.requests(0))
        with account.provider.fetch(ref, max_bytes=10_000_000) as download:
            download.read()
        (seen,) = account.requests(before + 1)[before:]
        assert bool(seen.key) == (ref.url is None), seen


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_link_that_is_refused_without_a_key_does_not_blame_the_account(
    account: Account, status: int
) -> None:
    ref = _outputs(account)[0]
    if ref.url is None:
        pytest.skip("its outputs are opened by id, with the key")
    before = len(account.requests(0))
    with account.provider.fetch(ref, max_bytes=10_000_000) as download:
        download.read()
    account.fault(account.requests(before + 1)[-1].operation, "status", status=status)
    with pytest.raises(TransferError), account.provider.fetch(ref, max_bytes=50) as download:
        download.read()


def test_an_output_larger_than_wanted_is_refused(account: Account) -> None:
    ref = _outputs(account)[0]
    with pytest.raises(OutputRefused), account.provider.fetch(ref, max_bytes=50) as download:
        download.read()


def test_an_output_cut_on_its_way_is_a_transfer_error(account: Account) -> None:
    ref = _outputs(account)[0]
    account.fault("*", "truncate_output")
    with pytest.raises(TransferError) as caught:  # noqa: SIM117 - the body belongs to it
        with account.provider.fetch(ref, max_bytes=10_000_000) as download:
            download.read()
    assert not isinstance(caught.value, OutputRefused)
    with account.provider.fetch(ref, max_bytes=10_000_000) as download:
        assert download.read()


def test_a_finished_run_may_report_no_outputs(account: Account, operations: Operations) -> None:
    run_id = account.buy()
    account.wait_for(run_id, S.SUCCEEDED)
    account.fault(operations.poll, "empty_outputs")
    outputs = account.poll(run_id).outputs
    # One that the documentation promises is missed: named, but nothing can be fetched.
    assert len(outputs) == account.case.get("outputs_when_none", 0)
    for ref in outputs:
        with pytest.raises(OutputRefused):
            account.provider.fetch(ref, max_bytes=10_000_000)


def test_cancel_ends_a_run_and_is_safe_to_repeat(account: Account) -> None:
    run_id, workflow = account.buy(), account.workflow()
    if not account.provider.capabilities.cancel:
        with pytest.raises(ConfigurationError):
            account.provider.cancel(run_id, workflow)
        return
    for _ in range(2):
        assert account.provider.cancel(run_id, workflow).state is S.CANCELED
    assert account.poll(run_id).state is S.CANCELED


def test_cancelling_a_finished_run_gives_it_with_its_outputs(account: Account) -> None:
    if not account.provider.capabilities.cancel:
        pytest.skip("this provider documents no way to cancel")
    run_id = account.buy()
    finished = account.wait_for(run_id, S.SUCCEEDED)
    assert account.provider.cancel(run_id, account.workflow()) == finished


def test_flotime_is_told_where_it_exists(account: Account) -> None:
    report = account.wait_for(account.buy(), S.SUCCEEDED)
    told = account.control.runs(account.name)[0].flotime_ms
    expected = told if account.provider.capabilities.flotime else None
    assert report.flotime_ms == expected


def test_a_cost_is_exact_and_says_how_it_is_known(account: Account) -> None:
    report = account.wait_for(account.buy(), S.SUCCEEDED)
    for price in (None, Decimal("0.020000")):
        cost, basis = account.provider.cost(report, price)
        assert (cost is None) == (basis == "unknown")
        assert cost is None or cost == cost.quantize(Decimal("0.000001"))
        assert (basis == "charged") == (report.charged_usd is not None)


def test_the_published_rate_limit_is_never_exceeded(account: Account) -> None:
    run_id = account.buy()
    for _ in range(130):
        account.poll(run_id)
    assert account.meter().rate_limited == 0
    limit = profile(account.name).rate_limit
    if limit is not None:
        assert account.clock.slept


def test_a_wrong_key_is_told_as_such_at_every_verb(
    sandbox: Sandbox, sandbox_clock: ManualClock, account: Account
) -> None:
    run_id = account.buy()
    stranger = Account(account.name, sandbox, sandbox_clock, key="wrong_key_000111222")
    workflow = account.workflow()
    with pytest.raises(AccountRejected):
        stranger.provider.submit(account.order(workflow))
    with pytest.raises(AccountRejected):
        stranger.provider.poll(run_id, workflow)
    assert account.meter().runs_billed == 1


def test_the_same_order_is_the_same_request(account: Account) -> None:
    order = account.order()
    account.buy(order)
    account.buy(order)
    hashes = {run.request_hash for run in account.control.runs(account.name)}
    assert len(hashes) == 1


def test_no_log_line_error_or_report_shows_the_key(
    account: Account,
    operations: Operations,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level("DEBUG")
    # The stand-in's own log, in this very process, may show what it was sent.
    monkeypatch.setattr(logging.getLogger("uvicorn.access"), "disabled", True)
    account.provider.take_turn(Purpose.SUBMIT)
    shown = [repr(account.wait_for(account.buy(), S.SUCCEEDED)), repr(account.provider)]
    for action, details in (
        ("drop_after_accept", {}),
        ("status", {"status": 401, "body": f"bad key {account.secret}"}),
        ("status", {"status": 500}),
        ("html_200", {}),
        ("bad_json", {}),
    ):
        account.fault(operations.submit, action, count=None, **details)
        with pytest.raises(ProviderError) as caught:
            account.provider.submit(account.order())
        account.control.clear_faults()
        shown += [repr(caught.value), str(caught.value), repr(vars(caught.value))]
    assert "urllib3" in caplog.text
    assert account.secret not in caplog.text
    assert account.secret not in "".join(shown)


def test_a_report_opens_no_picture_for_whoever_reads_it(account: Account) -> None:
    report: RunReport = account.wait_for(account.buy(), S.SUCCEEDED)
    for ref in report.outputs:
        assert ref.url is None or ref.url not in repr(report)


def test_an_output_id_that_makes_no_sense_is_an_error_of_ours(account: Account) -> None:
    with pytest.raises(FlowPipelinesError):  # noqa: SIM117 - both may raise
        with account.provider.fetch(OutputRef(output_id="../../runs"), max_bytes=10) as download:
            download.read()
