"""The guards of whose account a run is, and of what is polled, and how each is taken out."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

ACCOUNT = "A run belongs to the account it was sent with"
SIGHT = "Nothing in flight is out of sight"

_ACCOUNTS = "unit/lifecycle/test_accounts.py"
_STRAYS = "dagster/test_strays.py"

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
)
