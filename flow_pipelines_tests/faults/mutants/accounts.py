"""The guards of whose account a run is, and of what is polled, and how each is taken out."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

ACCOUNT = "A run belongs to the account it was sent with"
SIGHT = "Nothing in flight is out of sight"

_ACCOUNTS = "unit/lifecycle/test_accounts.py"
_STRAYS = "dagster/test_strays.py"
_ROUNDS = "unit/lifecycle/test_account_rounds.py"
_ROUNDS_CODE = "lifecycle/account_rounds.py"

ACCOUNTS = (
    Mutant(
        guard=ACCOUNT,
        removed="a night's runs are polled with the account that its batch names now",
        edits=(
            Edit(
                "lifecycle/ports.py",
                "ports = self if resource == self.resource else self.others(resource)",
                "ports = self",
            ),
        ),
        tests=(_ACCOUNTS,),
    ),
    Mutant(
        guard=ACCOUNT,
        removed="an account is polled for the runs of all accounts of its provider",
        edits=(Edit("ledger/polling.py", "        columns.resource == resource,\n"),),
        tests=(_ACCOUNTS,),
    ),
    Mutant(
        guard=ACCOUNT,
        removed="lost answers are looked for, and sent again, with another account",
        edits=(
            Edit(
                "ledger/reading.py",
                ".where(_s.resource == resource, not_elsewhere(_s.batch, location))",
                ".where(not_elsewhere(_s.batch, location))",
            ),
        ),
        tests=("faults/security/test_accounting_runs.py", "conformance/ledger/test_reading.py"),
    ),
    Mutant(
        guard=ACCOUNT,
        removed="another account buys under a resource key that stood for the first one",
        edits=(
            Edit(
                "lifecycle/accounts.py",
                "    if identity and kept.identity and identity.isdisjoint(kept.identity):\n",
                "    if False:\n",
            ),
        ),
        tests=(_ACCOUNTS,),
    ),
    Mutant(
        guard=ACCOUNT,
        removed="rows that were planned for another provider are sent",
        edits=(
            Edit(
                "lifecycle/requests.py",
                "        if planned.provider != ports.provider.name:\n",
                "        if False:\n",
            ),
        ),
        tests=(_ACCOUNTS,),
    ),
    Mutant(
        guard=SIGHT,
        removed="only runs of batches that are defined are polled",
        edits=(
            Edit(
                "sensors.py",
                "waiting = [group for group in outstanding if self._serves(group.provider)]",
                "waiting = [group for group in outstanding if group.batch in batches]",
            ),
        ),
        tests=(_STRAYS,),
    ),
    Mutant(
        guard=SIGHT,
        removed="what is being sent counts as known",
        edits=(
            Edit(
                "asset_checks.py",
                "    if summary.submitting and not summary.unresolved:\n",
                "    if False:\n",
            ),
        ),
        tests=(_STRAYS,),
    ),
    Mutant(
        guard=SIGHT,
        removed="accounts are polled one after the other",
        edits=(Edit(_ROUNDS_CODE, "range(min(AT_ONCE, len(waiting)))", "range(1)"),),
        tests=(_ROUNDS,),
    ),
    Mutant(
        guard=SIGHT,
        removed="a tick waits for an account that does not answer",
        edits=(Edit(_ROUNDS_CODE, " and clock.monotonic() < deadline + GRACE_SECONDS:\n", ":\n"),),
        tests=(_ROUNDS,),
    ),
    Mutant(
        guard=SIGHT,
        removed="accounts that no time was left for do not come first in the next tick",
        edits=(
            Edit(
                _ROUNDS_CODE,
                "key=lambda visit: place.get(visit.resource, len(place))",
                "key=lambda visit: visit.resource",
            ),
        ),
        tests=(_ROUNDS,),
    ),
    Mutant(
        guard=SIGHT,
        removed="an account that ends releases what the others have claimed",
        edits=(
            Edit(
                _ROUNDS_CODE,
                'self._owner, self._location, self._night = f"{owner}/{self.resource}"',
                "self._owner, self._location, self._night = owner",
            ),
        ),
        tests=(_ROUNDS,),
    ),
)
