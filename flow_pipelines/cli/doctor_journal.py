"""Whether the ledger is as new as the journal in the bucket: an older copy of it is not."""

from __future__ import annotations

from collections.abc import Iterator

from flow_pipelines.cli.environment import BooksHere
from flow_pipelines.cli.findings import Finding, Mark
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.journal_scan import RECENT, find_behind
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.resources import ImageStoreResource

_SECONDS = 20.0
"""Of looking: a night costs a few requests, and each work on a night compares it anyway."""
_CHECK = "journal"


def check_journal(accounts: Accounts, ledger: RunLedger, clock: Clock) -> Iterator[Finding]:
    """Compare the nights of the last days, changing nothing.

    A bucket that cannot be opened is reported by `check_bucket`.
    """
    try:
        store = accounts.get("image_store", ImageStoreResource).get_store()
        store.check()
    except FlowPipelinesError:
        return
    books = BooksHere(ledger=ledger, store=store, clock=clock, log=lambda _line: None)
    try:
        behind, whole = find_behind(books, seconds=_SECONDS)
    except FlowPipelinesError as error:
        do = "`flow-pipelines ledger restore` compares all nights, and says which it cannot read."
        yield Finding(check=_CHECK, mark=Mark.RED, says=str(error), do=do)
        return
    for night, count in behind.items():
        yield Finding(
            check=_CHECK,
            mark=Mark.RED,
            says=f"{night}: it names {count} submission(s) that this ledger lacks, an older copy",
            do="`flow-pipelines ledger restore` takes them in; none of them is bought again.",
        )
    if not behind:
        says = f"the ledger has all that it names of the last {RECENT.days} days"
        if not whole:
            says += f", as far as {_SECONDS:g} s went"
        yield Finding(check=_CHECK, mark=Mark.GREEN, says=says)
