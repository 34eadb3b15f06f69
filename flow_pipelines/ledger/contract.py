"""The ledger's contract in prose, and limits that it shares with its callers (stop, retry, page).

The ledger is the only durable memory of what was bought. Four rules hold for every method;
`flow_pipelines_tests/conformance` proves them on each database:

1. One method is one transaction: it happens wholly or not at all, also when the process dies.
2. A change of state goes through `model.states.check_transition`, inside the transaction, on the
   row as it is then. An illegal one raises `IllegalTransition` and changes nothing.
3. Times come from `RunLedger.clock`, which all hosts share: PostgreSQL's own time; on SQLite, which
   serves one host, that host's. They are UTC-aware.
4. Every query that can meet many rows is answered by an index; every list has a `limit` or
   belongs to one night.

A database that goes away before a method's commit was sent makes that method happen again, whole
(`patience`); where it goes away during the commit, CommitUnknown is raised and nothing is repeated.

Leases decide who may work: `submit:<batch>/<partition_key>` to buy, `collect:<…>` to store. The
holder is named by `owner` (the Dagster run id), so a later step of the same run takes its lease
over. A lease past its `expires_at` is free. Methods that spend check the lease in their own
transaction, so a holder that slept too long cannot buy.

Money: `reserved_usd` of a submission is 0 while planned, its estimate from the intent on, its cost
once that is known, 0 again when it is proven that nothing was bought. A budget is compared with
the sum of `reserved_usd` (all generations of the night; all batches of the account on the UTC day
of the intent) in the very transaction that writes the intent.

Accounts and code locations: `provider` and `resource` name the account that a submission was sent
with. `location` leaves out the batches that another code location has (`claim_batch`); None, as in
a process outside any, leaves out none. Whether a batch is still defined anywhere makes no
difference.

Proof: a run that a person detached comes back only by a person's word, or as the answer to a later
POST: neither its label, nor a copy, nor a callback attaches it again.

Closed nights: what was pruned keeps its night's row with its counts, its sums by generation, state,
account and UTC day, and its runs. Whatever else would change the night raises NightClosed; sums and
known runs are what they were. A further table that refers to submissions is archived by itself.
"""

from __future__ import annotations

from datetime import timedelta

OURSELVES = "flow-pipelines"
"""Who a settlement is by that no person made."""

LARGEST_SKEW = timedelta(seconds=5)
"""A larger difference of a host's clock is reported: its schedules start at another moment."""

PAGE = 500
"""Submissions that are read at a time where a night is read in pages: about a MB."""

MAX_ATTEMPTS = 8
"""Dagster runs that are requested for one kind of work on one night before a person has to look; a
receipt, or outputs stored to the last, restarts the count."""

MAX_COLLECTIONS = 13
"""The same for collect runs. Their spacing grows, so they span more than a day; after a day a
doubtful output is stored as received."""

REFUSED_ALIKE = 3
"""So many equal refusals without any acceptance stop the night."""

UNDER_WAY = timedelta(minutes=15)
"""How long after its intent a POST may be under way, by the ledger's time: it begins within two
minutes, each of its timeouts is a minute or less; the rest is slack."""
