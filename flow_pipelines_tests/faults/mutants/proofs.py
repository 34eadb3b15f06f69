"""The guards of whose a provider run is, and how each is taken out."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

PROOF = "A run belongs to a submission by proof"

_TWO_LEDGERS = "webhooks/test_two_ledgers.py"
_PROVEN_RUNS = "webhooks/test_proven_runs.py"
_ATTACHING = "conformance/ledger/test_attaching.py"
_RESOLVE = "unit/cli/test_resolve.py"
_CANDIDATES = "unit/lifecycle/test_candidates.py"
_REPLAY = "unit/lifecycle/test_replay.py"

_EFFECTS = "lifecycle/callback_effects.py"

PROOFS = (
    Mutant(
        guard=PROOF,
        removed="a submission's names at the provider hold its key alone",
        edits=(
            Edit(
                "lifecycle/requests.py",
                "    ledger_id = _named_by(ports, submission)\n",
                "    ledger_id = None\n",
            ),
        ),
        tests=(_TWO_LEDGERS,),
    ),
    Mutant(
        guard=PROOF,
        removed="the only run that fits by time is attached",
        edits=(
            Edit(
                "lifecycle/recover.py",
                "        return proven(ports, submission, request)\n",
                "        return [\n"
                "            Receipt(provider_run_id=one.provider_run_id)\n"
                "            for one in candidates(ports, submission, request)\n"
                "        ]\n",
            ),
        ),
        tests=(_CANDIDATES,),
    ),
    Mutant(
        guard=PROOF,
        removed="a key that was refused as known is sent again",
        edits=(
            Edit(
                "lifecycle/submit.py",
                "        answer.key_known(str(error))\n",
            ),
        ),
        tests=(_REPLAY,),
    ),
    Mutant(
        guard=PROOF,
        removed="a run is attached by hand though the provider calls it by another name",
        edits=(
            Edit(
                "lifecycle/candidates.py",
                "    if report.label is not None and report.label != label:\n",
                "    if False:\n",
            ),
        ),
        tests=(_RESOLVE,),
    ),
    Mutant(
        guard=PROOF,
        removed="a run is attached by hand without asking the provider for it",
        edits=(Edit("cli/resolve.py", "    if accounts is not None:\n", "    if False:\n"),),
        tests=(_RESOLVE,),
    ),
    Mutant(
        guard=PROOF,
        removed="a run from before the request is attached by hand",
        edits=(
            Edit(
                "lifecycle/candidates.py",
                "    if created_at is not None and created_at < since - SKEW:\n",
                "    if False:\n",
            ),
        ),
        tests=(_RESOLVE,),
    ),
    Mutant(
        guard=PROOF,
        removed="a callback of a row that is planned again is refused",
        edits=(
            Edit(
                "model/states.py",
                "CALLBACK_ATTACHES = frozenset({_S.PLANNED, ",
                "CALLBACK_ATTACHES = frozenset({",
            ),
        ),
        tests=(_PROVEN_RUNS,),
    ),
    Mutant(
        guard=PROOF,
        removed="a callback address of another ledger is taken",
        edits=(
            Edit(
                _EFFECTS,
                "        return ledger_id in {"
                "submission.intent_ledger_id, self._ledger.ledger_id}\n",
                "        return True\n",
            ),
        ),
        tests=(_PROVEN_RUNS, _TWO_LEDGERS),
    ),
    Mutant(
        guard=PROOF,
        removed="an address without a ledger gives any row a run",
        edits=(
            Edit(
                _EFFECTS,
                "        if ledger_id is None and not _is_old(submission):\n",
                "        if False:\n",
            ),
            Edit(
                _EFFECTS,
                "            return submission.intent_ledger_id is None "
                "or submission.intents > 1\n",
                "            return True\n",
            ),
        ),
        tests=(_PROVEN_RUNS,),
    ),
    Mutant(
        guard=PROOF,
        removed="a detached run comes back without a person",
        edits=(
            Edit(
                "ledger/attaching.py",
                "            if not by_person:\n"
                "                _refuse_detached(change.connection, submission_key, receipt)\n",
            ),
        ),
        tests=(_ATTACHING,),
    ),
    Mutant(
        guard=PROOF,
        removed="a new output takes the index of a detached one",
        edits=(
            Edit(
                "ledger/polling.py",
                "    first = next_output_index(change.connection, key)\n",
                "    first = len(seen)\n",
            ),
        ),
        tests=(_ATTACHING,),
    ),
    Mutant(
        guard=PROOF,
        removed="mending writes over what a run may still turn up for",
        edits=(
            Edit("ledger/mending.py", "if new is not None and row[_PERSONS_WORD]:", "if False:"),
        ),
        tests=("conformance/ledger/test_mending.py",),
    ),
    Mutant(
        guard=PROOF,
        removed="a run that was canceled at the provider makes room for another",
        edits=(
            Edit(
                "ledger/polling.py",
                "                    change.lower_goal(1)\n",
                "                    pass\n",
            ),
        ),
        tests=("conformance/ledger/test_polling.py",),
    ),
    Mutant(
        guard=PROOF,
        removed="a purchase that its adapter declares as safe to repeat is sent",
        edits=(
            Edit(
                "lifecycle/requests.py", "    if call.resend is Resend.SAFE:\n", "    if False:\n"
            ),
        ),
        tests=("unit/lifecycle/test_requests.py",),
    ),
)
