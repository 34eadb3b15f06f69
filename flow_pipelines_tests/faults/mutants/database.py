"""The guards of a ledger on PostgreSQL as people run it, and how each is taken out."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

POOLED = "Nothing is left on a connection that strangers use next"
AGAIN = "What a broken connection cut off is done again, once"
SCHEMA = "A ledger's tables are where its address says"
UPGRADE = "Only `ledger upgrade` changes tables where it is told so"
ADDITIVE = "A release works with the tables of a later one, where that says so"
AWAY_NIGHT = "A night that met no ledger is bought once it is back"

_POOLED = "conformance/ledger/test_pooled.py"
_BROKEN = "conformance/ledger/test_broken_connections.py"
_PATIENCE = "unit/ledger/test_patience.py"
_IN_DOUBT = "faults/processes/test_commits_in_doubt.py"
_SCHEMAS = "conformance/ledger/test_schemas.py"
_LEDGER_AWAY = "dagster/test_ledger_away.py"
_VERSIONS = "conformance/ledger/test_versions.py"

DATABASE = (
    Mutant(
        guard=POOLED,
        removed="limits, schema and roles' paths are set for the session",
        edits=(Edit("ledger/connect.py", ":{name}, true)", ":{name}, false)"),),
        tests=(_POOLED,),
    ),
    Mutant(
        guard=POOLED,
        removed="statements are prepared on a connection",
        edits=(Edit("ledger/connect.py", '    "prepare_threshold": None,\n'),),
        tests=(_POOLED,),
    ),
    Mutant(
        guard=AGAIN,
        removed="a connection that broke is not tried again",
        edits=(
            Edit(
                "ledger/patience.py",
                "                if now >= until:\n                    raise\n",
                "                raise\n",
            ),
        ),
        tests=(_BROKEN, _PATIENCE),
    ),
    Mutant(
        guard=AGAIN,
        removed="a method that broke in the middle is not done again",
        edits=(Edit("ledger/run_ledger.py", "@repeats\n"),),
        tests=(_BROKEN,),
    ),
    Mutant(
        guard=AGAIN,
        removed="what broke while it was committed is done again",
        edits=(
            Edit("ledger/database.py", "            if not ended:\n", "            if True:\n"),
        ),
        tests=(_BROKEN,),
    ),
    Mutant(
        guard=AGAIN,
        removed="a server that is a standby now is asked for ever",
        edits=(
            Edit(
                "ledger/connect.py",
                "            context.is_disconnect = True\n",
                "            pass\n",
            ),
        ),
        tests=(_PATIENCE,),
    ),
    Mutant(
        guard=AGAIN,
        removed="an intent in doubt stays as perhaps bought",
        edits=(
            Edit(
                "lifecycle/submit.py",
                "            Answer(self.ports, doubt.sent)."
                'not_accepted(f"not sent: {doubt}")\n            raise\n',
                "            raise\n",
            ),
        ),
        tests=(_IN_DOUBT,),
    ),
    Mutant(
        guard=AGAIN,
        removed="each call of an outage has a budget of its own",
        edits=(
            Edit(
                "ledger/patience.py",
                "        if now - self._failed_at > self._seconds:\n",
                "        if True:\n",
            ),
        ),
        tests=(_PATIENCE,),
    ),
    Mutant(
        guard=AGAIN,
        removed="whom the server refuses waits as if it were away",
        edits=(
            Edit(
                "ledger/database.py",
                "    if code is None and any(word in str(cause) for word in _REFUSED):\n",
                "    if False:\n",
            ),
        ),
        tests=(_PATIENCE,),
    ),
    Mutant(
        guard=SCHEMA,
        removed="transactions go by the role's own path",
        edits=(Edit("ledger/connect.py", "    if address.schema:\n", "    if False:\n"),),
        tests=(_SCHEMAS,),
    ),
    Mutant(
        guard=UPGRADE,
        removed="opening upgrades, whatever it is told",
        edits=(Edit("ledger/upgrading.py", "    if not address.upgrade:\n", "    if False:\n"),),
        tests=(_VERSIONS,),
    ),
    Mutant(
        guard=ADDITIVE,
        removed="a release refuses every table that is newer than it",
        edits=(
            Edit(
                "ledger/upgrading.py",
                "self.current == self.newest or (self.is_newer and self.oldest_code in self.known)",
                "self.current == self.newest",
            ),
        ),
        tests=(_VERSIONS,),
    ),
    Mutant(
        guard=ADDITIVE,
        removed="a release works with any table that is newer than it",
        edits=(
            Edit(
                "ledger/upgrading.py",
                "(self.is_newer and self.oldest_code in self.known)",
                "self.is_newer",
            ),
        ),
        tests=(_VERSIONS,),
    ),
    Mutant(
        guard=AWAY_NIGHT,
        removed="a step that met no ledger leaves no sign of it",
        edits=(
            Edit(
                "assets/asked_again.py",
                "            context.instance.add_run_tags(context.run.run_id, {tag: _WAITING})\n",
                "            assert tag\n",
            ),
        ),
        tests=(_LEDGER_AWAY,),
    ),
    Mutant(
        guard=AWAY_NIGHT,
        removed="a night that somebody began meanwhile is requested again",
        edits=(
            Edit(
                "assets/asked_again.py",
                "    return record is None or record.marked_at is None\n",
                "    return True\n",
            ),
        ),
        tests=(_LEDGER_AWAY,),
    ),
    Mutant(
        guard=AWAY_NIGHT,
        removed="a run of another code location is requested here",
        edits=(
            Edit("assets/asked_again.py", "if location in {None, location_of(run)}", "if True"),
        ),
        tests=(_LEDGER_AWAY,),
    ),
    Mutant(
        guard=AWAY_NIGHT,
        removed="more is requested than the run was to make",
        edits=(
            Edit(
                "assets/asked_again.py",
                "    return [key for key in wanted if key in left]\n",
                "    return wanted\n",
            ),
        ),
        tests=(_LEDGER_AWAY,),
    ),
    Mutant(
        guard=AWAY_NIGHT,
        removed="a run is requested again without end",
        edits=(
            Edit(
                "assets/asked_again.py",
                "    if _attempt(run) >= MAX_ATTEMPTS:\n",
                "    if False:\n",
            ),
        ),
        tests=(_LEDGER_AWAY,),
    ),
)
