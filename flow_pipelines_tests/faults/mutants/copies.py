"""The guards of backup and restore: nothing is overwritten, nothing foreign gets into a copy."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

_GUARD = "A ledger put back whole"
_FILES = "ledger/file_copies.py"
_FILES_TEST = "unit/ledger/test_file_copies.py"
_COMMANDS_TEST = "unit/cli/test_backup.py"

COPIES = (
    Mutant(
        guard=_GUARD,
        removed="a ledger that somebody has open is replaced",
        edits=(Edit(_FILES, "        _fold(ledger)\n"),),
        tests=(_FILES_TEST, _COMMANDS_TEST),
    ),
    Mutant(
        guard=_GUARD,
        removed="what SQLite left beside a lost file stays there",
        edits=(
            Edit(
                _FILES,
                "    if not ledger.exists():\n        _set_aside(ledger)\n",
                "    if not ledger.exists():\n",
            ),
        ),
        tests=(_FILES_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="the ledger of before is not kept",
        edits=(Edit(_FILES, "        _link(ledger, kept)\n"),),
        tests=(_FILES_TEST, _COMMANDS_TEST),
    ),
    Mutant(
        guard=_GUARD,
        removed="the journal is not looked at after a copy was put in place",
        edits=(
            Edit(
                "cli/ledger_commands.py",
                "    for line in restore_batches(batches, click.echo):\n"
                "        click.echo(line)\n\n\ndef split_names",
                "\n\ndef split_names",
            ),
        ),
        tests=(_COMMANDS_TEST,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a password is among the words of a command",
        edits=(
            Edit(
                "ledger/postgres_copies.py",
                "    shown = {name: value for name, value in arguments.items() if name not in "
                "_NEVER_SHOWN}\n",
                "    shown = dict(arguments)\n",
            ),
        ),
        tests=(_COMMANDS_TEST,),
    ),
)
