"""Pictures from a CDN to the bucket: as fast as a thread pool that verifies nothing, in bounds.

Ours is `collect_night`: lease, ledger, length, SHA-256, header, and both tables. The opponent is
`requests` and `boto3` in a pool of the same width. Both work in turns, with the same servers.

200 pictures of 2 MB and 4 of 200 MB; 2,000 and 20 with BENCH_FULL=1.
"""

from __future__ import annotations

import io
import os
import random
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, cast

from PIL import Image

from benchmarks.figures import Figure
from benchmarks.place import SPAWN
from benchmarks.ratios import medians
from benchmarks.transfer_place import BUCKET, NIGHT, Scene, address, scene
from flow_pipelines.lifecycle import collect_night
from flow_pipelines.lifecycle.collect import TRANSFERS
from flow_pipelines.storage.images import verify_image

MB = 1_000_000
SIDE = 1024
MANY, FEW = (2000, 20) if os.environ.get("BENCH_FULL") else (200, 4)
SHAPES = ((MANY, 2 * MB), (FEW, 200 * MB))
ROUNDS = 2 if os.environ.get("BENCH_FULL") else 3
AT_LEAST = 0.9
AT_MOST_MB = 150.0


def measure() -> list[Figure]:
    """Return throughput and memory for each shape."""
    return [*(figure for count, size in SHAPES for figure in _on(count, size)), _decoding()]


def _on(count: int, size_bytes: int) -> list[Figure]:
    part = f"{count:,} pictures of {size_bytes // MB} MB, {TRANSFERS} at a time"
    with scene(count, size_bytes) as here:
        ours, bare = _in_turns(here)
        grown_mb = _grown_mb(here)
    rate = count * size_bytes / MB
    return [
        Figure(
            part=part,
            name="throughput, of a pool that verifies nothing",
            ours=statistics.median(b / o for o, b in zip(ours, bare, strict=True)),
            unit=f"× ({rate / statistics.median(ours):.0f} MB/s)",
            opponent=f"{rate / statistics.median(bare):.0f} MB/s",
            at_least=AT_LEAST,
        ),
        Figure(
            part=part,
            name="peak memory above the idle process",
            ours=grown_mb,
            unit="MB",
            at_most=AT_MOST_MB,
        ),
    ]


def _decoding() -> Figure:
    """Decode what is all pixels; nothing of it depends on the network."""
    picture = io.BytesIO()
    noise = Image.frombytes("RGB", (SIDE, SIDE), random.Random(1).randbytes(SIDE * SIDE * 3))
    noise.save(picture, "PNG")
    took = medians({"decoded": lambda: verify_image(picture)}, 5, time.thread_time)
    return Figure(
        part="full decoding of what was carried",
        name="milliseconds on a CPU for a megapixel of noise, PNG",
        ours=took["decoded"] * 1000 / (SIDE * SIDE / 1e6),
        unit="ms",
    )


def _in_turns(here: Scene) -> tuple[list[float], list[float]]:
    """Return each side's seconds, round by round; the first round only warms up."""
    ours, bare = list[float](), list[float]()
    sides = ((ours, _ours), (bare, _bare))
    for turn in range(ROUNDS + 1):
        for took, side in sides if turn % 2 else reversed(sides):
            seconds = side(here, f"turn-{turn}")
            here.forget()
            if turn:
                took.append(seconds)
    return ours, bare


def _ours(here: Scene, name: str) -> float:
    ports = here.ports(name)
    seconds = _timed(lambda: collect_night(NIGHT, ports, owner="bench"))
    assert len(list(here.bucket_folder.glob(f"{BUCKET}/{name}/*/*/images/*"))) == here.count
    ports.ledger.close()
    return seconds


def _bare(here: Scene, name: str) -> float:
    import boto3
    import requests
    from botocore.config import Config

    s3 = boto3.client("s3", config=Config(max_pool_connections=64))
    session = requests.Session()

    def carry(number: int) -> None:
        with session.get(address(here.cdn, number), stream=True) as answer:
            s3.upload_fileobj(cast("IO[bytes]", answer.raw), BUCKET, f"{name}/{number}")

    def every() -> None:
        with ThreadPoolExecutor(TRANSFERS) as pool:
            list(pool.map(carry, range(here.count)))

    seconds = _timed(every)
    assert len(list((here.bucket_folder / BUCKET / name).iterdir())) == here.count
    return seconds


def _timed(action: Callable[[], Any]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def _grown_mb(here: Scene) -> float:
    """Collect in a fresh process; give its peak above what it had before the first picture."""
    mine, its = SPAWN.Pipe()
    process = SPAWN.Process(target=_collect_watched, args=(its, here))
    process.start()
    its.close()
    idle, peak = mine.recv()
    process.join(10)
    here.forget()
    return float(peak - idle)


def _collect_watched(control: Connection, here: Scene) -> None:
    ports = here.ports("memory")
    ports.store.check()
    ports.ledger.night(NIGHT)
    idle = _memory_mb("VmRSS")
    collect_night(NIGHT, ports, owner="bench")
    control.send((idle, _memory_mb("VmHWM")))


def _memory_mb(name: str) -> float:
    """Read what this process has now, or had at most. `ru_maxrss` would be the parent's, too."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024 / MB
    raise LookupError(name)
