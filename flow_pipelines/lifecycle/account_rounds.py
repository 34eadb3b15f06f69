"""Recover and poll for every account that has runs outstanding, within one shared time budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from flow_pipelines.ledger.records import Outstanding
from flow_pipelines.lifecycle.accounts import Problems, each_account
from flow_pipelines.lifecycle.poll import poll_due
from flow_pipelines.lifecycle.ports import Ports, Workplace
from flow_pipelines.lifecycle.recover import recover
from flow_pipelines.model import Night
from flow_pipelines.model.errors import FlowPipelinesError

NIGHT_SECONDS = 60.0
"""For polling what is due of one night before it is collected; a further call goes on."""


@dataclass(kw_only=True)
class Round(Problems):
    """What a round came to."""

    unresolved: int = 0
    """Submissions whose outcome is still unknown."""


def serve_accounts(
    work: Workplace,
    waiting: Iterable[Outstanding],
    *,
    owner: str,
    budget_seconds: float,
    location: str | None = None,
    night: Night | None = None,
) -> Round:
    """Poll for each account in `waiting`, in shared time; recover first, unless of one `night`.

    What one leaves of its share is for the next; what is wrong with one does not stop the others.
    Spends requests, never money. Safe to repeat and to run in many processes.
    """
    done = Round()
    deadline = work.clock.monotonic() + budget_seconds
    accounts = list(each_account(work, waiting, done.note))
    for served, ports in enumerate(accounts):
        share = (deadline - work.clock.monotonic()) / (len(accounts) - served)
        try:
            _serve(ports, done, owner, share, location=location, night=night)
        except FlowPipelinesError as error:
            done.note(f"{ports.resource}: {error}")
    return done


def serve_night(work: Workplace, night: Night, *, owner: str) -> Round:
    """Poll what is due of one night, within a minute, once `open_night` has settled the rest."""
    waiting = work.ledger.outstanding(night=night)
    return serve_accounts(work, waiting, owner=owner, budget_seconds=NIGHT_SECONDS, night=night)


def _serve(
    ports: Ports,
    done: Round,
    owner: str,
    budget_seconds: float,
    *,
    location: str | None,
    night: Night | None,
) -> None:
    deadline = ports.clock.monotonic() + budget_seconds
    if night is None:  # of one night `open_night` has settled what it could just now
        done.unresolved += recover(ports, location=location).waiting
    left = max(deadline - ports.clock.monotonic(), 0.0)
    polled = poll_due(ports, owner=owner, budget_seconds=left, location=location, night=night)
    for line in polled.errors:
        done.note(line)
