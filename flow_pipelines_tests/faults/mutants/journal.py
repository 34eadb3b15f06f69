"""The guards of the journal: what keeps an older copy of the ledger from buying again."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

_GUARD = "The bucket's journal"
_SUBMIT = "lifecycle/submit.py"
_RESTORED = "unit/lifecycle/test_restored_ledger.py"
_JOURNAL = "unit/lifecycle/test_journal.py"

JOURNAL = (
    Mutant(
        guard=_GUARD,
        removed="a POST goes out that the bucket does not name",
        edits=(
            Edit(
                _SUBMIT,
                "                self._journal_failed(sent, answer)\n                or ",
            ),
        ),
        tests=(_RESTORED, _JOURNAL),
    ),
    Mutant(
        guard=_GUARD,
        removed="a night is bought without a look at its journal",
        edits=(
            Edit(
                "lifecycle/ownership.py",
                "elsewhere)\n    journaled = refuse_behind(night, ports, note)\n",
                "elsewhere)\n    journaled = bool(note) and False\n",
            ),
        ),
        tests=(_RESTORED,),
    ),
    Mutant(
        guard=_GUARD,
        removed="tables are written without a look at the journal",
        edits=(Edit("lifecycle/collect.py", "        refuse_old_tables(night, ports)\n"),),
        tests=(_RESTORED,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a tick waits for a bucket that hangs",
        edits=(
            Edit(
                "assets/journal_rounds.py",
                "        comparison = within(\n            LONGEST_SECONDS, lambda: compare_recent("
                "books, cursor.compare_after, seconds=SECONDS)\n        )\n",
                "        comparison = compare_recent("
                "books, cursor.compare_after, seconds=SECONDS)\n",
            ),
        ),
        tests=("unit/lifecycle/test_restoring.py",),
    ),
    Mutant(
        guard=_GUARD,
        removed="a listing ends at its first thousand",
        edits=(
            Edit(
                "storage/s3.py",
                '            if not page.get("IsTruncated"):\n                return\n',
                "            return\n",
            ),
        ),
        tests=("conformance/storage/test_s3_image_store.py",),
    ),
    Mutant(
        guard=_GUARD,
        removed="the ledger is read before the journal is listed",
        edits=(
            Edit(
                "lifecycle/journal_comparison.py",
                "    listed = journal.listed()\n",
                "    known = books.ledger.intents(night)\n    listed = journal.listed()\n",
            ),
            Edit(
                "lifecycle/journal_comparison.py",
                "    ahead, complete = _ahead(night, books, listed)\n",
                "    ahead, complete = _ahead(night, books, listed, known)\n",
            ),
            Edit(
                "lifecycle/journal_comparison.py",
                "def _ahead(night: Night, books: LedgerAndStore, listed: Listed) -> ",
                "def _ahead(night, books, listed, known=None) -> ",
            ),
            Edit(
                "lifecycle/journal_comparison.py",
                "    known = books.ledger.intents(night)\n    ahead =",
                "    known = known or books.ledger.intents(night)\n    ahead =",
            ),
        ),
        tests=(_JOURNAL,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a half journal is trusted",
        edits=(
            Edit(
                "lifecycle/journal_comparison.py",
                "listed.complete or (bool(ahead) and _is_marked(night, books.ledger))",
                "True",
            ),
        ),
        tests=(_RESTORED,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a POST goes out before the intents of before are in the journal",
        edits=(Edit(_SUBMIT, "        run.journal.begin(complete=journaled)\n"),),
        tests=(_RESTORED,),
    ),
    Mutant(
        guard=_GUARD,
        removed="a journal's write may hang as long as it likes",
        edits=(
            Edit(
                "storage/s3.py",
                "            return within(seconds, write)\n",
                "            return within(60, write)\n",
            ),
        ),
        tests=("unit/storage/test_s3_faults.py",),
    ),
    Mutant(
        guard=_GUARD,
        removed="a copy is sent that is not the first request to the byte",
        edits=(
            Edit(
                "lifecycle/replay.py",
                "    if submission.body_sha256 not in (None, body_sha256_of(ports, request)):\n",
                "    if False:\n",
            ),
        ),
        tests=("unit/lifecycle/test_replay.py",),
    ),
)
