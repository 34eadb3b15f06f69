"""Guards of files that are stored: where they are, and whether they are there."""

from __future__ import annotations

from flow_pipelines_tests.faults.mutants.mutant import Edit, Mutant

STORED = "A stored file is where the ledger says, as it was stored"

_PLACES = "unit/lifecycle/test_places.py"
_VERIFY = "unit/lifecycle/test_verify.py"
_TRANSFER = "unit/storage/test_transfer.py"
_LEDGER = "conformance/ledger/test_stored_files.py"

STORED_FILES = (
    Mutant(
        guard=STORED,
        removed="a stored file does not remember its bucket",
        edits=(Edit("storage/transfer.py", "        bucket=store.bucket,\n"),),
        tests=(_TRANSFER,),
    ),
    Mutant(
        guard=STORED,
        removed="a night's mark counts for files that are older than it",
        edits=(
            Edit(
                "lifecycle/file_locations.py",
                "if marked is None or marked > output.stored_at:",
                "if marked is None:",
            ),
        ),
        tests=(_PLACES,),
    ),
    Mutant(
        guard=STORED,
        removed="what is in a bucket that cannot be opened counts as missing",
        edits=(
            Edit(
                "lifecycle/verify.py",
                "                self._closed[bucket] = str(error)\n"
                "            else:\n"
                "                return _compared(output, facts, stored_object)\n",
                "                stored_object = None\n"
                "            return _compared(output, facts, stored_object)\n",
            ),
        ),
        tests=(_VERIFY,),
    ),
    Mutant(
        guard=STORED,
        removed="an object of the right size counts as the file, whatever is in it",
        edits=(
            Edit(
                "lifecycle/verify.py",
                "return (seen.size_bytes, seen.sha256) == (facts.size_bytes, facts.sha256)",
                "return seen.size_bytes == facts.size_bytes",
            ),
        ),
        tests=(_VERIFY,),
    ),
    Mutant(
        guard=STORED,
        removed="a file that differs is given up for another one",
        edits=(
            Edit(
                "lifecycle/verify.py",
                'if problem.kind == "missing"):',
                'if problem.kind in {"missing", "differs"}):',
            ),
        ),
        tests=(_VERIFY,),
    ),
    Mutant(
        guard=STORED,
        removed="a file that was stored elsewhere meanwhile is called missing",
        edits=(Edit("ledger/collecting.py", "                    _o.s3_key == facts.s3_key,\n"),),
        tests=(_LEDGER,),
    ),
    Mutant(
        guard=STORED,
        removed="the check `complete` does not look into the bucket",
        edits=(
            Edit(
                "lifecycle/verify.py",
                "            elif sizes.get(facts.s3_key) != facts.size_bytes:\n"
                "                files += 1\n",
            ),
        ),
        tests=(_VERIFY,),
    ),
)
