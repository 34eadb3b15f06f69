"""The guards around runs whose host died, and how each is taken out."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

DEAD = "A run of a dead host is ended, and no other"
WOKEN = "A run that was ended does nothing more"

_RULE = "assets/dead_runs.py"
_TESTS = "dagster/test_dead_hosts.py"
_LEDGER = ("conformance/ledger/test_heartbeats.py",)

DEAD_HOSTS = (
    Mutant(
        guard=DEAD,
        removed="a run is dead though another of its steps gave a sign of life lately",
        edits=(
            Edit(
                "ledger/heartbeats.py",
                "if run is not None and run.beat_at <= since]",
                "if run is not None]",
            ),
        ),
        tests=_LEDGER,
    ),
    Mutant(
        guard=DEAD,
        removed="a sign of life that comes while a run is ended does not count",
        edits=(
            Edit(
                "ledger/heartbeats.py",
                "or max(row.beat_at for row in found) > now - SILENT_AFTER\n",
                "or False\n",
            ),
        ),
        tests=_LEDGER,
    ),
    Mutant(
        guard=DEAD,
        removed="a run is dead after a second of silence",
        edits=(
            Edit(
                "ledger/heartbeats.py",
                "SILENT_AFTER = timedelta(seconds=90)",
                "SILENT_AFTER = timedelta(seconds=1)",
            ),
        ),
        tests=(f"{_TESTS}::test_a_run_that_was_heard_of_lately_is_not_ended",),
    ),
    Mutant(
        guard=DEAD,
        removed="a night that nobody goes on with does not keep its run",
        edits=(
            Edit(
                _RULE,
                "                was_taken_over(self.ledger, run.run_id, night, assets, "
                "silent.beat_at)\n",
                "                True or was_taken_over(\n"
                "                    self.ledger, run.run_id, night, assets, silent.beat_at\n"
                "                )\n",
            ),
        ),
        tests=(f"{_TESTS}::test_a_night_that_nobody_else_would_go_on_with_keeps_its_run",),
    ),
    Mutant(
        guard=DEAD,
        removed="the lease of its own that a run holds does not count",
        edits=(
            Edit(
                "lifecycle/takeover.py",
                "    if any(lease.owner == run_id for lease in leases):\n        return False\n",
            ),
            Edit("ledger/heartbeats.py", "or _holds(connection, silent, run_id, now)", "or False"),
        ),
        tests=(f"{_TESTS}::test_a_run_that_still_holds_its_night_is_not_ended",),
    ),
    Mutant(
        guard=DEAD,
        removed="what a run has to do of somebody else does not count",
        edits=(
            Edit(
                _RULE,
                "            elif key != COST_REPORT and COMPARISON_TAG not in tags:\n"
                "                return None\n",
            ),
        ),
        tests=(f"{_TESTS}::test_a_run_with_something_of_somebody_else_to_do_is_not_ended",),
    ),
    Mutant(
        guard=DEAD,
        removed="a launcher that says that a run goes on is not believed",
        edits=(Edit(_RULE, ".status is WorkerStatus.RUNNING", ".status is None"),),
        tests=(f"{_TESTS}::test_a_launcher_that_can_be_asked_is_believed",),
    ),
    Mutant(
        guard=DEAD,
        removed="Celery's launcher is believed",
        edits=(Edit(_RULE, " or _ANSWERS_FROM_NOTES in names:", ":"),),
        tests=(f"{_TESTS}::test_celery_is_not_believed",),
    ),
    Mutant(
        guard=DEAD,
        removed="a process that lives on this host does not count",
        edits=(
            Edit(_RULE, "        lives_here(step.host, step.process) for", "        False for"),
        ),
        tests=(f"{_TESTS}::test_a_process_that_lives_on_this_host_is_not_ended",),
    ),
    Mutant(
        guard=DEAD,
        removed="the first look after a ledger was away ends every run",
        edits=(
            Edit(
                _RULE,
                "cursor.looking_since is not None and now - cursor.looking_since >= _TWO_BEATS",
                "True",
            ),
        ),
        tests=(f"{_TESTS}::test_a_first_look_ends_nothing_the_ledger_may_have_been_away",),
    ),
    Mutant(
        guard=DEAD,
        removed="Dagster starts the run of a dead host again by itself",
        edits=(Edit(_RULE, '_NO_RETRY = {"dagster/max_retries": "0"}', "_NO_RETRY = {}"),),
        tests=(f"{_TESTS}::test_a_run_for_which_all_clauses_hold_is_ended_and_not_begun_again",),
    ),
    Mutant(
        guard=WOKEN,
        removed="a run that was found dead takes its free lease again",
        edits=(
            Edit(
                "ledger/leases.py",
                "            if has_ended(connection, owner):\n                return False\n",
            ),
        ),
        tests=_LEDGER,
    ),
    Mutant(
        guard=WOKEN,
        removed="a step whose run was ended ends as if nothing had happened",
        edits=(
            Edit("assets/heartbeat.py", "yield ledger\n        heart.look()\n", "yield ledger\n"),
        ),
        tests=("dagster/test_heartbeats.py",),
    ),
    Mutant(
        guard=WOKEN,
        removed="a run that waits for its pictures goes on when it was ended",
        edits=(Edit("lifecycle/poll.py", "        ports.ledger.check_run(owner)\n"),),
        tests=("dagster/test_heartbeats.py",),
    ),
)
