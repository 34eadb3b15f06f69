"""Runs tests against a copy of this tree, with a guard taken out of it or with all in place."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flow_pipelines_tests.faults.mutants.mutant import PACKAGE, ROOT, Mutant
from flow_pipelines_tests.faults.mutants.witness import NOTES, TREE

TESTS = "flow_pipelines_tests"
ENOUGH = 3
"""So many tests that fail end a trial: that somebody misses the guard is shown by then."""
TRIAL_SECONDS = 240
"""After so long a trial is ended; the tests that failed until then count."""
_COPIED = (PACKAGE, TESTS, "pyproject.toml", "setup.cfg")
_ONE_DATABASE = "not postgresql"


@dataclass(frozen=True, kw_only=True)
class Found:
    """What a trial showed."""

    failed: tuple[str, ...]
    passed: int
    whole: bool
    """False: it took too long and was ended."""
    said: str
    """The end of what pytest printed."""


class Tree:
    """A copy of the code and its tests, to be broken and mended again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in _COPIED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, folder / name)
            else:
                shutil.copy2(ROOT / name, folder / name)

    @contextmanager
    def without(self, mutant: Mutant) -> Iterator[None]:
        """Take a guard out, and put it back. Raises: OutOfDate."""
        changed = mutant.files(self.folder)
        before = {path: path.read_bytes() for path in changed}
        for path, text in changed.items():
            path.write_text(text)
        try:
            yield
        finally:
            for path, content in before.items():
                path.write_bytes(content)

    def run(
        self, tests: Sequence[str], seconds: float = TRIAL_SECONDS, *, enough: int = 0
    ) -> Found:
        """Run tests of the copy until `enough` of them failed (0: all of them).

        Raises: RuntimeError, when pytest could not even begin.
        """
        with tempfile.TemporaryDirectory(prefix="mutant-") as scratch:
            notes = Path(scratch, "notes")
            notes.touch()
            said, whole = self._pytest(tests, notes, seconds, enough)
            lines = [json.loads(line) for line in notes.read_text().splitlines()]
        broken = [line["broken"] for line in lines if "broken" in line]
        if broken or not any("passed" in line or "failed" in line for line in lines):
            raise RuntimeError(f"{broken or 'nothing'} could not be collected:\n{said}")
        return Found(
            failed=tuple(sorted({line["failed"] for line in lines if "failed" in line})),
            passed=sum("passed" in line for line in lines),
            whole=whole and {"ended": True} in lines,
            said=said,
        )

    def _pytest(
        self, tests: Sequence[str], notes: Path, seconds: float, enough: int
    ) -> tuple[str, bool]:
        command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider"]
        command += ["-p", f"{__package__}.witness", "-k", _ONE_DATABASE]
        command += [f"--maxfail={enough}"]
        command += [f"{TESTS}/{test}" for test in tests]
        told = {TREE: str(self.folder), NOTES: str(notes), "PYTHONPATH": str(self.folder)}
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=os.environ | told,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                return process.communicate(timeout=seconds)[0][-4000:], True
            except subprocess.TimeoutExpired:
                # Its own session, so that what the tests have started ends with it.
                os.killpg(process.pid, signal.SIGKILL)
                return process.communicate()[0][-4000:], False


@contextmanager
def copied() -> Iterator[Tree]:
    """Return a copy of this tree for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="mutants-", ignore_cleanup_errors=True) as name:
        yield Tree(Path(name))
