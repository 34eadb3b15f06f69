"""The guards, and how each is taken out."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.accounts import ACCOUNTS
from flow_pipelines_tests.faults.mutants.copies import COPIES
from flow_pipelines_tests.faults.mutants.database import DATABASE
from flow_pipelines_tests.faults.mutants.dead_hosts import DEAD_HOSTS
from flow_pipelines_tests.faults.mutants.edges import EDGES
from flow_pipelines_tests.faults.mutants.files import MUTANTS as FILES
from flow_pipelines_tests.faults.mutants.hosts import HOSTS
from flow_pipelines_tests.faults.mutants.journal import JOURNAL
from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant
from flow_pipelines_tests.faults.mutants.proofs import PROOFS
from flow_pipelines_tests.faults.mutants.pruning import PRUNING
from flow_pipelines_tests.faults.mutants.shared_faults import SHARED_FAULTS
from flow_pipelines_tests.faults.mutants.stored_files import STORED_FILES
from flow_pipelines_tests.faults.mutants.tables import TABLES

INTENT = "Intent before the POST"
LEASE = "One submitter at a time"
RECEIPT = "Receipt after the POST"
OWNER = "The ledger's id in the bucket"
BUDGET = "Budget reserved with the intent"
ONCE = "A paid request is sent once"
HOLD = "Retry-After is kept to"
KEYS = "The key goes to its provider only"

_SUBMIT = "unit/lifecycle/test_submit.py"
_RECOVER = "unit/lifecycle/test_recover_and_agenda.py"
_TRANSITIONS = "conformance/ledger/test_transitions.py"
_LEASES = "conformance/ledger/test_leases.py"
_BUDGETS = "conformance/ledger/test_budgets.py"
_SUBMITTING_HANDS = "faults/processes/test_submitting.py"
_LATE = "faults/processes/test_late_answers.py"
_INTERLEAVINGS = "faults/processes/test_interleavings.py"
_LOCKED = "faults/processes/test_locked_ledger.py"
_DEATHS = (
    "faults/crash/test_every_death.py::"
    "test_a_night_killed_at_any_instant_is_bought_once_and_kept_whole[floyo-night]"
)
_RECEIPTS = "unit/storage/test_receipts.py"
_ACCOUNTING = "faults/security/test_accounting.py"
_PAID = "unit/transport/test_paid_requests.py"
_SIGN_IN = "unit/transport/test_sign_in.py"
_SECRETS = "unit/transport/test_secrets.py"
_ADDRESSES = "unit/transport/test_addresses.py"
_DOWNLOADS = "unit/transport/test_downloads.py"

_IN_THE_LEDGER = "ledger/submitting.py"
_IN_THE_LIFE = "lifecycle/submit.py"

MUTANTS = (
    Mutant(
        guard=INTENT,
        removed="the intent is written when the POST was answered, not before it",
        edits=(
            Edit(
                _IN_THE_LIFE,
                "            sent = self._begin(submission, body_sha256)\n"
                "        except IllegalTransition:\n"
                "            return True",
                "            sent = submission\n        except IllegalTransition:\n"
                "            return True",
            ),
            Edit(
                _IN_THE_LIFE,
                "                self._journal_failed(sent, answer)\n"
                "                or self._stop_if_too_late(answer)\n"
                "                or self._post(sent, answer, request)\n",
                "                self._post(sent, answer, request)\n",
            ),
            Edit(
                _IN_THE_LIFE,
                "            receipt = self.ports.provider.submit(request)\n",
                "            receipt = self.ports.provider.submit(request)\n"
                '            answer = Answer(self.ports, self._begin(sent, body_sha256=""))\n',
            ),
        ),
        tests=(_SUBMIT, _DEATHS),
    ),
    Mutant(
        guard=INTENT,
        removed="an intent without a receipt is planned again when its process is dead",
        edits=(
            Edit(
                _IN_THE_LEDGER,
                "    change.move(rows, _S.UNRESOLVED, reason=reason)\n",
                "    change.move(rows, _S.PLANNED, reason=reason)\n",
            ),
        ),
        tests=(_TRANSITIONS, _RECOVER),
    ),
    Mutant(
        guard=LEASE,
        removed="an intent is written without a look at the lease",
        edits=(
            Edit(
                _IN_THE_LEDGER,
                "            check_lease(change.connection, lease, owner, change.now)\n",
            ),
        ),
        tests=(_LEASES, _TRANSITIONS, _SUBMIT, _INTERLEAVINGS),
    ),
    Mutant(
        guard=LEASE,
        removed="a lease that somebody else holds is given away",
        edits=(
            Edit(
                "ledger/leases.py",
                "            where=or_(leases.c.owner == owner, leases.c.expires_at <= now),\n",
            ),
        ),
        tests=(_LEASES, _SUBMIT, _SUBMITTING_HANDS),
    ),
    Mutant(
        guard=LEASE,
        removed="an intent is taken for abandoned while its lease is held",
        edits=(
            Edit(
                _IN_THE_LEDGER,
                "    if lease is not None and lease.owner != owner:\n",
                "    if False:\n",
            ),
        ),
        tests=(_LEASES, _TRANSITIONS, _RECOVER),
    ),
    Mutant(
        guard=LEASE,
        removed="an intent is written whatever state the submission is in",
        edits=(
            Edit(
                _IN_THE_LEDGER,
                '            check_transition(submission_key, _S(row["state"]), _S.SUBMITTING)\n',
            ),
            Edit(
                "ledger/changing.py",
                '            check_transition(row["submission_key"], SubmissionState(row["state"]),'
                " after)\n",
                "            pass\n",
            ),
        ),
        tests=(_TRANSITIONS, _SUBMIT),
    ),
    Mutant(
        guard=RECEIPT,
        removed="no receipt is written",
        edits=(Edit(_IN_THE_LIFE, "        answer.accepted(receipt)\n"),),
        tests=(_SUBMIT, _LOCKED),
    ),
    Mutant(
        guard=RECEIPT,
        removed="a receipt that a locked ledger did not take is not offered again",
        edits=(Edit("lifecycle/post_outcome.py", "ANSWER_TRIES = 5\n", "ANSWER_TRIES = 1\n"),),
        tests=(_SUBMIT, _LOCKED),
    ),
    Mutant(
        guard=RECEIPT,
        removed="a receipt that comes after others parked the submission is dropped",
        edits=(
            Edit(
                "lifecycle/post_outcome.py",
                "            self._attach_late(receipt)\n",
                "            pass\n",
            ),
        ),
        tests=(_SUBMIT, _LATE),
    ),
    Mutant(
        guard=OWNER,
        removed="no ledger's id is left in the bucket or looked for",
        edits=(
            Edit(
                "lifecycle/ownership.py",
                "    note = claim_owner(ports.store, night.batch, ledger.ledger_id, elsewhere)\n"
                "    journaled = refuse_behind(night, ports, note)\n",
                "    del elsewhere\n    journaled = False\n",
            ),
        ),
        tests=(_SUBMIT, _RECEIPTS),
    ),
    Mutant(
        guard=OWNER,
        removed="another ledger's id in the bucket is not minded",
        edits=(
            Edit(
                "storage/receipts.py",
                "    if note is None or note.ledger_id != ledger_id:\n",
                "    if note is None:\n",
            ),
        ),
        tests=(_SUBMIT, _RECEIPTS),
    ),
    Mutant(
        guard=OWNER,
        removed="a night with receipts that the ledger does not know is bought",
        edits=(
            Edit(
                "lifecycle/ownership.py",
                "    if record.marked_at is None and not journaled:\n"
                "        _refuse_unknown(night, ports)\n",
            ),
        ),
        tests=(_SUBMIT, _ACCOUNTING),
    ),
    Mutant(
        guard=OWNER,
        removed="what the night's table in the bucket calls bought is bought",
        edits=(
            Edit(
                _IN_THE_LIFE,
                "        if not journaled:\n            refuse_forgotten(record, ports)\n",
            ),
        ),
        tests=(_SUBMIT, _ACCOUNTING),
    ),
    Mutant(
        guard=BUDGET,
        removed="the budget of a night is not looked at",
        edits=(
            Edit(
                _IN_THE_LEDGER,
                '            _check_budget("partition", change.reserved_usd, estimate,'
                " budget_usd)\n",
            ),
        ),
        tests=(_BUDGETS, _SUBMIT),
    ),
    Mutant(
        guard=BUDGET,
        removed="the budget of a day is not looked at",
        edits=(
            Edit(
                _IN_THE_LEDGER,
                '            _check_budget("day", day, estimate, daily_budget_usd)\n',
            ),
        ),
        tests=(_BUDGETS, _SUBMIT),
    ),
    Mutant(
        guard=BUDGET,
        removed="a charge that a later answer tells is not taken over",
        edits=(
            Edit(
                "ledger/polling.py",
                "                _take_charge(change, row, cost_usd, cost_basis)\n",
            ),
        ),
        tests=(_BUDGETS,),
    ),
    Mutant(
        guard=BUDGET,
        removed="a reservation stands for the price of a run",
        edits=(
            Edit(
                "lifecycle/poll.py",
                "    if submission.estimate_usd is None and submission.reserved_usd > 0:\n"
                "        return submission.reserved_usd\n"
                "    return submission.estimate_usd\n",
                "    return submission.reserved_usd or None\n",
            ),
        ),
        tests=("unit/lifecycle/test_poll.py",),
    ),
    Mutant(
        guard=BUDGET,
        removed="an upgrade does not sum up what each account has reserved",
        edits=(
            Edit(
                "ledger/migrations/versions/v0009_account_days.py",
                '    op.execute(f"INSERT INTO budget_days (resource, day, reserved_usd) {sums}")',
                "    del sums",
            ),
        ),
        tests=("faults/test_upgrade_0008.py",),
    ),
    Mutant(
        guard=BUDGET,
        removed="a re-execution may ask for other rows, and is green",
        edits=(Edit("lifecycle/plan.py", "    _refuse_another_scope(regeneration, asked)\n"),),
        tests=(_RECOVER,),
    ),
    Mutant(
        guard=HOLD,
        removed="a Retry-After is cut to a quarter of an hour",
        edits=(
            Edit(
                "transport/verdicts.py",
                "    longest = LONGEST_HOLD_SECONDS if limited else LONGEST_ADVICE_SECONDS\n",
                "    longest = LONGEST_ADVICE_SECONDS\n",
            ),
        ),
        tests=("unit/transport/test_pacing.py",),
    ),
    Mutant(
        guard=HOLD,
        removed="a turn counts although another process was told to wait meanwhile",
        edits=(
            Edit(
                "transport/pacing.py",
                "        held = self._held_seconds(shared=wait > 0)\n",
                "        held = self._held_seconds(shared=False)\n",
            ),
        ),
        tests=("unit/transport/test_pacing.py",),
    ),
    Mutant(
        guard=HOLD,
        removed="runs to submit are asked for while the account is held",
        edits=(Edit("lifecycle/agenda.py", " and not held:\n", ":\n"),),
        tests=(_RECOVER,),
    ),
    Mutant(
        guard=HOLD,
        removed="a run waits in its process for as long as it is told",
        edits=(
            Edit(
                _IN_THE_LIFE,
                "        if wait > LONGEST_WAIT_SECONDS:\n",
                "        if wait < 0:\n",
            ),
        ),
        tests=(_SUBMIT,),
    ),
    Mutant(
        guard=ONCE,
        removed="a paid request is repeated as any other",
        edits=(
            Edit(
                "transport/http_transport.py",
                "        if request.resend is not Resend.SAFE:\n            return send()\n",
            ),
        ),
        tests=(_PAID,),
    ),
    Mutant(
        guard=ONCE,
        removed="a paid request whose answer is lost counts as not accepted",
        edits=(
            Edit(
                "transport/http_transport.py",
                "        if request.resend is not Resend.SAFE:\n"
                "            kind: type[ProviderError] = SubmitOutcomeUnknown\n",
                "        if False:\n            kind: type[ProviderError] = SubmitOutcomeUnknown\n",
            ),
        ),
        tests=(_PAID, _SUBMIT),
    ),
    Mutant(
        guard=ONCE,
        removed="a code in the body says what the answer to a paid request proves",
        edits=(
            Edit(
                "transport/verdicts.py",
                "    if request.resend is not Resend.SAFE:\n        proven =",
                "    if request.resend is not Resend.SAFE and not body.code:\n        proven =",
            ),
        ),
        tests=(_PAID,),
    ),
    Mutant(
        guard=ONCE,
        removed="a paid request refused for its token goes out again with another",
        edits=(
            Edit(
                "transport/http_transport.py",
                "            once = request.resend is not Resend.SAFE\n",
                "            once = False\n",
            ),
        ),
        tests=(_SIGN_IN,),
    ),
    Mutant(
        guard=KEYS,
        removed="every origin counts as the provider's own",
        edits=(
            Edit(
                "transport/addresses.py",
                "        return origin_of(url) in self._own\n",
                "        return bool(origin_of(url))\n",
            ),
        ),
        tests=(_SECRETS, _ADDRESSES, _DOWNLOADS),
    ),
    *JOURNAL,
    *STORED_FILES,
    *PROOFS,
    *HOSTS,
    *DEAD_HOSTS,
    *DATABASE,
    *ACCOUNTS,
    *COPIES,
    *PRUNING,
    *EDGES,
    *FILES,
    *SHARED_FAULTS,
    *TABLES,
)
