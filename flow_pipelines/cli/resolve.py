"""`flow-pipelines resolve`: what is known of a submission in doubt, and a person's word on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flow_pipelines.cli.location import Accounts
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.candidates import candidates, checked_receipt, proven
from flow_pipelines.lifecycle.requests import submit_request
from flow_pipelines.model import Receipt, Submission, SubmissionState
from flow_pipelines.model.errors import ConfigurationError, IllegalTransition, ProviderError
from flow_pipelines.model.wording import reported_problem
from flow_pipelines.provider import Candidate, ListsCandidates
from flow_pipelines.resources import ProviderResource


def attach(
    ledger: RunLedger,
    submission: Submission,
    provider_run_id: str,
    *,
    who: str,
    why: str,
    accounts: Accounts | None,
) -> str:
    """Attach a run that the provider was asked for first; without `accounts`, unchecked.

    Raises: ConfigurationError, saying why not; LedgerError.
    """
    key = submission.submission_key
    if submission.state is not SubmissionState.UNRESOLVED:
        raise IllegalTransition(key, submission.state, SubmissionState.SUBMITTED)
    receipt = Receipt(provider_run_id=provider_run_id)
    if accounts is not None:
        account = accounts.get(submission.resource, ProviderResource)
        provider = account.get_provider(ledger.pace, ledger.clock)
        receipt = checked_receipt(ledger, provider, submission, provider_run_id)
    ledger.attach(key, receipt, who=who, why=why, by_person=True)
    return f"{key} is {provider_run_id}; it will be polled and stored."


def detach_run(ledger: RunLedger, submission: Submission, *, who: str, why: str) -> str:
    """Detach the run that a submission has. Raises: ConfigurationError, where it has none."""
    key = submission.submission_key
    if submission.provider_run_id is None:
        raise ConfigurationError(f"{key} has no provider run to detach; nothing was changed")
    ledger.detach(key, who=who, why=why)
    return f"{key} is unresolved again; the run's outputs belong to none."


def show(ledger: RunLedger, submission: Submission, module: str | None) -> None:
    """Print what is known of a submission and, while it is unresolved, what may be its run."""
    console = Console()
    for line in _facts(submission):
        console.print(line, highlight=False, markup=False)
    _print_table(console, "Second runs: both may be billed", _second_runs(ledger, submission))
    _print_table(console, "History", _history(ledger, submission))
    _print_table(console, "Outputs that belong to none any more", _detached(ledger, submission))
    if submission.state is SubmissionState.UNRESOLVED:
        _print_possible_runs(console, ledger, submission, module)


def _facts(row: Submission) -> Iterator[str]:
    yield f"{row.submission_key}: {row.night} {row.prompt_id}.{row.copy}, {row.state}"
    if row.submitting_at is not None:
        yield f"sent {row.submitting_at:%Y-%m-%d %H:%M:%S} UTC with the account {row.resource}"
    if row.provider_run_id is not None:
        yield f"provider run {row.provider_run_id}"
    why = reported_problem(row)
    if why:
        yield " ".join(why.split())


Rows = Sequence[dict[str, str]]


def _second_runs(ledger: RunLedger, submission: Submission) -> Rows:
    return [
        {
            "provider run": run.provider_run_id,
            "heard of": f"{run.heard_at:%Y-%m-%d %H:%M}",
            "settled": run.settled_why or "not yet: --settle-second",
        }
        for run in ledger.second_runs([submission.submission_key])
    ]


def _history(ledger: RunLedger, submission: Submission) -> Rows:
    return [
        {
            "at": f"{entry.at:%Y-%m-%d %H:%M}",
            "decision": entry.action.replace("_", " "),
            "provider run": entry.provider_run_id or "–",
            "by": entry.who,
            "why": " ".join(entry.why.split()),
        }
        for entry in ledger.settlements(submission.submission_key)
    ]


def _detached(ledger: RunLedger, submission: Submission) -> Rows:
    return [
        {
            "provider run": output.provider_run_id,
            "output": output.output_id,
            "stored at": f"{output.bucket or ''}/{output.s3_key}" if output.s3_key else "nowhere",
        }
        for output in ledger.detached_outputs(submission.submission_key)
    ]


def _print_possible_runs(
    console: Console, ledger: RunLedger, submission: Submission, module: str | None
) -> None:
    runs, problem = _possible_runs(ledger, submission, module)
    rows = [
        {
            "provider run": run.provider_run_id,
            "created (UTC)": f"{run.created_at:%Y-%m-%d %H:%M:%S}" if run.created_at else "–",
            "cost USD": "–" if run.cost_usd is None else f"{run.cost_usd:f}",
            "link": run.link or "–",
        }
        for run in runs
    ]
    _print_table(console, "Runs that may be its; only you can tell", rows)
    if not rows or problem:
        says = problem or f"No run that {submission.provider} lists here may be its."
        console.print(
            f"\n{says} Look at its own page, too: there may be one, and it is billed.",
            highlight=False,
            markup=False,
        )
    console.print(
        "\n--attach RUN_ID --why TEXT takes one; --not-created --why TEXT plans the row again.",
        highlight=False,
        markup=False,
    )


def _possible_runs(
    ledger: RunLedger, submission: Submission, module: str | None
) -> tuple[Sequence[Candidate], str]:
    """Ask the account that it was sent with; return what it lists, and why that is not all."""
    found: list[Candidate] = []
    try:
        accounts = Accounts.of(module).opened(ledger, click.echo)
        ports = accounts.open(submission.resource)
        if not (ports.provider.capabilities.find or isinstance(ports.provider, ListsCandidates)):
            return (), f"{submission.provider} has no list of runs that could be asked for."
        request = submit_request(ports, submission)
        found += [
            Candidate(provider_run_id=receipt.provider_run_id, created_at=receipt.created_at)
            for receipt in proven(ports, submission, request)
        ]
        found += candidates(ports, submission, request)
    except (ConfigurationError, ProviderError) as error:
        why = str(error).rstrip(".")
        return found, f"The runs at {submission.provider} could not be listed: {why}."
    return found, ""


def _print_table(console: Console, title: str, rows: Rows) -> None:
    if not rows:
        return
    console.print(f"\n{title}:")
    table = Table(box=None, pad_edge=False)
    for name in rows[0]:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(escape(value) for value in row.values()))
    console.print(table)
