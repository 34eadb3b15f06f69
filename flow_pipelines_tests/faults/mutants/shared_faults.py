"""The guards against faults that all rows share, and of what waits to be asked for."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

_STOP = "A fault that all rows share stops the night"
_ASKED = "What is planned anew waits to be asked for"
_LEDGER = "conformance/ledger/test_shared_faults.py"
_MENDING = "conformance/ledger/test_mending.py"
_NIGHTS_THAT_SHARE = "unit/lifecycle/test_shared_faults.py"
_FILE = "ledger/shared_faults.py"

SHARED_FAULTS = (
    Mutant(
        guard=_STOP,
        removed="equal refusals are each row's own",
        edits=(
            Edit(
                _FILE,
                "    if refusal is not None:\n",
                "    if False:\n",
            ),
        ),
        tests=(_LEDGER, _NIGHTS_THAT_SHARE),
    ),
    Mutant(
        guard=_STOP,
        removed="equal refusals stop a night in which one row was accepted",
        edits=(
            Edit(
                _FILE,
                '    if change.value("ask_accepted"):\n        return\n',
            ),
        ),
        tests=(_LEDGER, _NIGHTS_THAT_SHARE),
    ),
    Mutant(
        guard=_STOP,
        removed="runs that all failed stop nothing",
        edits=(
            Edit(
                _FILE, "            _stop_after_failures(change, message)\n", "            pass\n"
            ),
        ),
        tests=(_LEDGER, _NIGHTS_THAT_SHARE),
    ),
    Mutant(
        guard=_STOP,
        removed="an intent is written for a night that was stopped",
        edits=(
            Edit(
                _FILE,
                '    if change.before["stopped"] is not None:\n',
                "    if False:\n",
            ),
        ),
        tests=(_LEDGER, _NIGHTS_THAT_SHARE),
    ),
    Mutant(
        guard=_STOP,
        removed="a sensor goes on with a night that was stopped",
        edits=(
            Edit(
                "lifecycle/agenda.py",
                "    if record.stopped is not None:\n        return 0\n",
            ),
        ),
        tests=(_NIGHTS_THAT_SHARE,),
    ),
    Mutant(
        guard=_ASKED,
        removed="what `prompts` planned after an ask is sent without another",
        edits=(
            Edit(
                _FILE,
                '    if mended or row["waits_for"] > change.before["asks"]:\n',
                "    if mended:\n",
            ),
        ),
        tests=(_MENDING,),
    ),
    Mutant(
        guard=_ASKED,
        removed="a request that was prepared before its row was mended is sent",
        edits=(
            Edit(
                _FILE,
                '    if mended or row["waits_for"] > change.before["asks"]:\n',
                '    if row["waits_for"] > change.before["asks"]:\n',
            ),
        ),
        tests=(_MENDING,),
    ),
    Mutant(
        guard=_ASKED,
        removed="a sensor asks for runs that buy what nobody asked for",
        edits=(
            Edit(
                "lifecycle/agenda.py",
                "    planned = record.counts.get(SubmissionState.PLANNED, 0) - record.held\n",
                "    planned = record.counts.get(SubmissionState.PLANNED, 0)\n",
            ),
        ),
        tests=(_NIGHTS_THAT_SHARE,),
    ),
    Mutant(
        guard=_ASKED,
        removed="a refused row that was bought in a newer generation is planned again",
        edits=(
            Edit(
                "ledger/mending.py",
                '        if row["state"] == _S.PLANNED or newest[known] == row["generation"]:\n',
                "        if True:\n",
            ),
        ),
        tests=(_MENDING,),
    ),
)
