"""The guards of closed nights: only what is settled is pruned, and it never comes back."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

_GUARD = "Pruned for good"
_CLOSING = "ledger/closing.py"
_SETTLED = "ledger/settled.py"
_CONFORMANCE = "conformance/ledger/test_closing.py"
_OPEN = "conformance/ledger/test_staying_open.py"
_PRUNE = "unit/lifecycle/test_prune.py"

PRUNING = (
    Mutant(
        guard=_GUARD,
        removed="nothing is looked at again when the rows are taken out",
        edits=(
            Edit(
                _CLOSING,
                "            reason = why_open(connection, row, before, now(), owner)\n",
                "            reason = None\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="rows are taken out that are not those in the archive",
        edits=(
            Edit(
                _CLOSING,
                "            if digest_of(connection, night) != archive.digest:\n",
                "            if False:\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="who prunes a night need not hold its leases",
        edits=(
            Edit(
                _CLOSING,
                '                check_lease(connection, f"{kind}:{night}", owner, now())\n',
            ),
            Edit(
                _CLOSING,
                '            for kind in ("submit", "collect"):\n',
                '            for _kind in ("submit", "collect"):\n                pass\n',
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="a night with rows that have not ended is pruned",
        edits=(Edit(_SETTLED, "    for state in sorted(UNFINISHED):\n", "    for state in ():\n"),),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="a night with a second run that nobody looked into is pruned",
        edits=(
            Edit(
                _SETTLED,
                "    for look in (_missing_outputs, _second_runs):\n",
                "    for look in (_missing_outputs,):\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="a night with outputs that are not stored is pruned",
        edits=(
            Edit(
                _SETTLED,
                "    for look in (_missing_outputs, _second_runs):\n",
                "    for look in (_second_runs,):\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="the only night of a batch without partitions is pruned",
        edits=(
            Edit(
                _SETTLED,
                '    if row["partition_key"] == UNPARTITIONED:\n',
                "    if UNPARTITIONED is None:\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="a closed night is planned again",
        edits=(
            Edit("ledger/changing.py", '    if row["closed_at"] is not None:\n', "    if False:\n"),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="the database takes rows of a closed night",
        edits=(
            Edit(
                "ledger/closed_triggers.py",
                "        AND closed_at IS NOT NULL\n    )\n",
                "        AND FALSE\n    )\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="a run of a closed night is attached to another row",
        edits=(
            Edit(
                "ledger/attaching.py",
                "    owner = next(iter(closed.values()), owner)\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="a run of a closed night counts as a stranger's",
        edits=(
            Edit(
                "ledger/reading.py",
                "            known |= closed_run_ids(connection, provider, provider_run_ids)\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="a release that knows no closed nights opens a ledger that has one",
        edits=(
            Edit(
                _CLOSING,
                "            _keep(connection, archive)\n"
                "            require_closed_nights(self._database, connection)\n"
                "            _take_out(connection, night)\n",
                "            _keep(connection, archive)\n"
                "            _take_out(connection, night)\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="an archive is not read back before rows are taken out",
        edits=(
            Edit(
                "lifecycle/archive.py",
                "    written.check()\n    return written\n",
                "    return written\n",
            ),
        ),
        tests=(f"{_PRUNE}::test_a_broken_archive_closes_nothing",),
    ),
    Mutant(
        guard=_GUARD,
        removed="the archive is believed though the night went on from it",
        edits=(
            Edit(
                _CLOSING,
                "_went_on(connection, row, archive, rows)):\n",
                "False and _went_on(connection, row, archive, rows)):\n",
            ),
        ),
        tests=(_CONFORMANCE, _OPEN),
    ),
    Mutant(
        guard=_GUARD,
        removed="the journal counts, and not the archive, of a night that was pruned",
        edits=(
            Edit(
                "lifecycle/journal_comparison.py",
                "    if take_closed(night, books, store, listed):\n",
                "    if False and take_closed(night, books, store, listed):\n",
            ),
        ),
        tests=(f"{_PRUNE}::test_an_older_copy_takes_the_night_as_closed",),
    ),
    Mutant(
        guard=_GUARD,
        removed="the archive counts though the journal names a later intent",
        edits=(
            Edit(
                "lifecycle/closed_nights.py",
                "        if any(n > archived.intents.get(key, 0) for key, n in "
                "listed.intents.items()):\n            continue\n",
            ),
        ),
        tests=(f"{_PRUNE}::test_a_journal_that_names_a_later_intent_outweighs_an_archive",),
    ),
    Mutant(
        guard=_GUARD,
        removed="tables are written over from a ledger whose rows went meanwhile",
        edits=(Edit("lifecycle/collect.py", "    refuse_closed(night, ports.ledger)\n"),),
        tests=(
            f"{_PRUNE}::test_tables_are_not_written_over_by_who_slept_while_the_night_was_pruned",
        ),
    ),
    Mutant(
        guard=_GUARD,
        removed="a ledger that is an older copy of itself prunes",
        edits=(Edit("lifecycle/prune.py", "    if ahead:\n", "    if False and ahead:\n"),),
        tests=(f"{_PRUNE}::test_a_ledger_that_is_behind_prunes_nothing",),
    ),
    Mutant(
        guard=_GUARD,
        removed="a callback for a run of a closed night is forgotten",
        edits=(
            Edit(
                "lifecycle/callback_effects.py",
                "            return self._of_closed_night(provider, submission_key, ledger_id, "
                "callback)\n",
                "            return Effect.UNKNOWN\n",
            ),
        ),
        tests=("webhooks/test_closed_nights.py",),
    ),
    Mutant(
        guard=_GUARD,
        removed="a pruned night is bought again when it is materialized",
        edits=(
            Edit(
                "assets/provider_runs.py",
                "        closed = closed_night(night, ports)\n",
                "        closed = None and closed_night(night, ports)\n",
            ),
        ),
        tests=("dagster/test_pruned_nights.py",),
    ),
)
