"""How work on a night begins, whoever does it: settle first what processes before it left behind.

Every start of `provider_runs`, of `images` and of `flow-pipelines collect` comes through here.
"""

from __future__ import annotations

from flow_pipelines.lifecycle.accounts import each_account
from flow_pipelines.lifecycle.ownership import refuse_old_tables
from flow_pipelines.lifecycle.ports import Workplace
from flow_pipelines.lifecycle.recover import recover
from flow_pipelines.model import Night
from flow_pipelines.model.errors import FlowPipelinesError


def open_night(night: Night, work: Workplace, *, owner: str) -> None:
    """Take in what an older copy of the ledger lacks; park what a dead process was sending, and
    settle what is unresolved where that is possible.

    `owner` is who begins: what is being sent under its own lease is of a process before it that
    died. What cannot be settled now stops nothing: it waits, and is told. Spends nothing.

    Raises: LedgerBehind, WrongLedger, before anything is settled or written; StorageError.
    """
    refuse_old_tables(night, work)
    parked = work.ledger.park_abandoned(night=night, owner=owner)
    if parked:
        work.log(
            f"{night}: {len(parked)} submission(s) were being sent when their process ended; "
            "perhaps bought, so they are not sent again until that is known"
        )
    waiting = [one for one in work.ledger.outstanding(night=night) if one.unresolved]
    for ports in each_account(work, waiting, work.log):
        try:
            left = recover(ports, night=night).waiting
        except FlowPipelinesError as error:
            work.log(f"{night}: not looked into: {error}")
            continue
        if left:
            work.log(f"{night}: {left} unresolved submission(s): see `flow-pipelines resolve`")
