"""What the stand-in billed and was asked, and what the bucket holds, beside the ledger."""

from __future__ import annotations

import hashlib
import io
import itertools
from collections import Counter, defaultdict

import pyarrow.parquet as pq
from PIL import Image

from flow_pipelines.lifecycle.poll_times import SHORTEST_SECONDS
from flow_pipelines.model import Night, Submission
from flow_pipelines_tests.faults.processes.shared_setup import NIGHT, PROVIDER, Host

TOLERANCE_SECONDS = 0.5
"""Between an answer as the stand-in notes it, and as the one who asked reads its clock."""


def bills(host: Host) -> int:
    return host.setup.control.state()[PROVIDER].runs_billed


def assert_bought_once(host: Host, *nights: Night, runs: int) -> None:
    """Compare bills with submissions: as many as expected, one each, and each known."""
    reading = host.setup.control.state()[PROVIDER]
    assert reading.duplicates == []
    assert reading.runs_billed == reading.distinct_submissions == runs
    known = [one.provider_run_id for one in _submissions(host, *nights) if one.provider_run_id]
    made = [run.id for run in host.setup.control.runs(PROVIDER)]
    assert sorted(known) == sorted(made)


def _submissions(host: Host, *nights: Night) -> list[Submission]:
    return [one for night in nights or (NIGHT,) for one in host.ledger.submissions(night)]


def assert_never_asked_too_soon(host: Host) -> None:
    """Compare the times at which each run was asked after."""
    asked = defaultdict(list)
    for record in host.setup.control.requests():
        if record.operation == "retrieve_run":
            asked[record.path].append(record.at)
    assert asked
    for path, times in asked.items():
        gaps = [after - before for before, after in itertools.pairwise(times)]
        assert all(gap >= SHORTEST_SECONDS - TOLERANCE_SECONDS for gap in gaps), (path, gaps)


def downloads(host: Host) -> Counter[str]:
    """Return how often each file was fetched."""
    records = host.setup.control.requests()
    return Counter(one.path for one in records if one.operation == "download_file")


def assert_collected_once(host: Host, *, images: int) -> None:
    """Compare every object and both tables with the ledger."""
    folder = host.setup.objects() / NIGHT.partition_key
    outputs = [one for mine in host.ledger.outputs(NIGHT).values() for one in mine]
    stored = {one.stored.s3_key.rsplit("/")[-1]: one.stored for one in outputs if one.stored}
    files = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    assert len(outputs) == images
    assert sorted(stored) == sorted(files)
    for name, content in files.items():
        assert hashlib.sha256(content).hexdigest() == stored[name].sha256
        Image.open(io.BytesIO(content)).load()
    manifest = pq.read_table(folder / "manifest.parquet").to_pylist()
    assert sorted(row["sha256"] for row in manifest) == sorted(
        one.sha256 for one in stored.values()
    )
    runs = pq.read_table(folder / "runs.parquet").to_pylist()
    submissions = host.ledger.submissions(NIGHT)
    assert [(row["submission_key"], row["status"]) for row in runs] == [
        (one.submission_key, one.state.value) for one in submissions
    ]
    record = host.ledger.night(NIGHT)
    assert record is not None
    assert record.revision == record.collected_revision
    assert not host.ledger.lease(f"collect:{NIGHT}")
