"""The folder that a demo keeps between two starts: Dagster's home, the bucket's files, the logs."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flow_pipelines.model.errors import ConfigurationError

_DAGSTER_YAML = """\
telemetry: {enabled: false}
nux: {enabled: false}
concurrency:
  runs:
    max_concurrent_runs: 6
    # Runs of backfills wait for their pictures, each in a process. Half of the places stays for
    # tonight and for what sensors ask for, however many nights a backfill has.
    tag_concurrency_limits:
      - {key: dagster/backfill, limit: 3}
  # Providers' limits are kept by pacing, not by counting runs; a pool without a limit cannot be
  # blocked by a run whose host died.
  pools: {granularity: op}
sensors: {use_threads: true, num_workers: 4, num_submit_workers: 2}
schedules: {use_threads: true, num_workers: 2}
# What failed in a step was retried there, or waits for a person; only a run that died runs again.
run_retries: {enabled: true, max_retries: 2, retry_on_asset_or_op_failure: false}
# A sensor ends the run of a dead host within minutes; one that died between two steps, or has
# others' assets to do, keeps its place until its time is up. Ended, none loses anything.
run_monitoring: {enabled: true, start_timeout_seconds: 120, max_runtime_seconds: 7200}
"""

_WORKSPACE_YAML = """\
load_from:
  - grpc_server: {{host: 127.0.0.1, port: {port}, location_name: {location}}}
"""

_MARK = "made-by-flow-pipelines"


class Home:
    """A folder of ours. `make clean` or deleting it forgets everything."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.dagster = root / "dagster"
        """`DAGSTER_HOME`; the ledger is in here too."""
        self.bucket = root / "bucket"
        """Where the local bucket keeps its objects as files."""
        self.logs = root / "logs"
        """What the processes print."""
        self.workspace = root / "workspace.yaml"
        """Tells Dagster's webserver and daemon where the code server is."""

    def prepare(self) -> None:
        """Make the folder, or find it as it was left.

        Raises: ConfigurationError, when it holds something that is not ours.
        """
        mark = self.root / _MARK
        if self.root.is_dir() and any(self.root.iterdir()) and not mark.exists():
            message = f"{self.root} is not empty and was not made by this command; give another."
            raise ConfigurationError(message)
        for folder in (self.dagster, self.bucket, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        mark.touch()
        (self.dagster / "dagster.yaml").write_text(_DAGSTER_YAML, encoding="utf-8")

    def write_workspace(self, port: int, location: str) -> None:
        """Point Dagster at the code server on `port`."""
        text = _WORKSPACE_YAML.format(port=port, location=location)
        self.workspace.write_text(text, encoding="utf-8")

    def forget(self) -> None:
        """Start over: runs, ledger and pictures are gone. Only ever called on a prepared home."""
        for folder in (self.dagster, self.bucket):
            shutil.rmtree(folder)
        self.prepare()

    @contextmanager
    def occupied(self) -> Iterator[None]:
        """Keep a second demo out of this folder. Raises: ConfigurationError."""
        with (self.root / _MARK).open("w", encoding="utf-8") as mark:
            try:
                fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                message = f"Another demo is running in {self.root}; end it or give another --home."
                raise ConfigurationError(message) from error
            yield
