"""Where pictures come from and go to: a CDN and an S3 server in processes of their own, a night.

The pictures are valid, of few pixels and many bytes: what is measured is carrying them.
"""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path

from PIL import Image

from benchmarks.place import SPAWN
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import Ports, plan_night, submit_night, wait_for_night
from flow_pipelines.model import BatchSettings, Night, OutputRef
from flow_pipelines.provider import ApiRequest, Download, PaceStore, Resend
from flow_pipelines.redaction import Secret
from flow_pipelines.sandbox.bucket import Bucket
from flow_pipelines.storage import S3ImageStore
from flow_pipelines.storage.s3_client import make_client
from flow_pipelines.transport import HttpTransport
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.faults.alphabet.memory_store import MemoryImageStore

NIGHT = Night("posters", "2026-11-21")
BUCKET = "bench"
NAMES = ("picture.png", "picture.jpg")
_ENDED = "ended.db"
"""A ledger with a night whose runs have ended, and nothing of it collected."""
_MEDIA_TYPES = {".png": "image/png", ".jpg": "image/jpeg"}


class _Cdn(BaseHTTPRequestHandler):
    """Serves files of one folder; the folder of a path only tells addresses apart."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    root: Path

    def do_GET(self) -> None:
        path = self.root / Path(self.path).name
        with path.open("rb") as file:
            self.send_response(200)
            self.send_header("Content-Type", _MEDIA_TYPES[path.suffix])
            self.send_header("Content-Length", str(path.stat().st_size))
            self.end_headers()
            self.wfile.flush()
            self.connection.sendfile(file)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's name
        """Keep quiet."""


class LinkedProvider(FakeProvider):
    """Runs that end at once, with pictures that the product's transport fetches from the CDN."""

    def __init__(self, cdn: str, pace: PaceStore) -> None:
        super().__init__()
        self._cdn = cdn
        self._transport = HttpTransport(
            "floyo",
            origins=[cdn],
            secret=Secret("key"),
            clock=SystemClock(),
            pace=pace,
            pace_key="bench",
        )

    def fetch(  # type: ignore[override]  # the parent's pictures are in memory
        self, output: OutputRef, *, max_bytes: int
    ) -> AbstractContextManager[Download]:
        number = int(output.output_id.split("_")[2])
        request = ApiRequest(
            operation="download_file",
            method="GET",
            url=address(self._cdn, number),
            resend=Resend.SAFE,
            source="none",
            paced=False,
        )
        return self._transport.open(request, max_bytes=max_bytes)


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What both sides share. Holds no connection: it is handed to other processes."""

    folder: Path
    bucket_folder: Path
    cdn: str
    environment: Mapping[str, str]
    count: int
    size_bytes: int

    def ports(self, name: str) -> Ports:
        """Open a night that has everything still to collect, under the prefix `name`."""
        ledger_file = self.folder / f"{name}.db"
        shutil.copy(self.folder / _ENDED, ledger_file)
        ledger = open_ledger(f"sqlite:///{ledger_file}", SystemClock())
        return Ports(
            ledger=ledger,
            provider=LinkedProvider(self.cdn, ledger.pace),
            resource="floyo",
            store=S3ImageStore(BUCKET, name, make_client(), SystemClock()),
            clock=SystemClock(),
            log=print,
        )

    def forget(self) -> None:
        """Empty the bucket."""
        for left in (self.bucket_folder / BUCKET).iterdir():
            shutil.rmtree(left)
        shutil.rmtree(self.bucket_folder / ".metadata", ignore_errors=True)


def address(cdn: str, number: int) -> str:
    """Return the link of the picture of run `number`."""
    return f"{cdn}/{number}/{NAMES[number % len(NAMES)]}"


@contextmanager
def scene(count: int, size_bytes: int) -> Iterator[Scene]:
    """Start both servers, write the pictures, and let `count` runs end."""
    memory = Path("/dev/shm")
    base = memory if memory.is_dir() else None
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as name,
        tempfile.TemporaryDirectory(prefix="bench-", dir=base) as there,
    ):
        folder, served, bucket = Path(name), Path(there) / "cdn", Path(there) / "bucket"
        served.mkdir()
        write_pictures(served, size_bytes)
        with _served(served, bucket) as (cdn, s3):
            environment = {
                "AWS_ENDPOINT_URL_S3": s3,
                "AWS_ACCESS_KEY_ID": "bench",
                "AWS_SECRET_ACCESS_KEY": "bench",
                "AWS_DEFAULT_REGION": "us-east-1",
                "AWS_EC2_METADATA_DISABLED": "true",
            }
            made = Scene(
                folder=folder,
                bucket_folder=bucket,
                cdn=cdn,
                environment=environment,
                count=count,
                size_bytes=size_bytes,
            )
            _end_night(made)
            with _variables(environment):
                yield made


@contextmanager
def _variables(wanted: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def write_pictures(folder: Path, size_bytes: int) -> None:
    """Write a PNG with one long private chunk, and a JPEG that a film follows, as phones do."""
    image = Image.frombytes("RGB", (64, 64), random.Random(1).randbytes(64 * 64 * 3))
    ballast = random.Random(2).randbytes(size_bytes)
    png, jpeg = io.BytesIO(), io.BytesIO()
    image.save(png, "PNG")
    image.save(jpeg, "JPEG")
    drawn = png.getvalue()
    header, rest = drawn[:33], drawn[33:]
    with (folder / NAMES[0]).open("wb") as file:
        file.write(header + struct.pack(">I", size_bytes) + b"flPx")
        file.write(ballast)
        file.write(struct.pack(">I", zlib.crc32(ballast, zlib.crc32(b"flPx"))) + rest)
    (folder / NAMES[1]).write_bytes(jpeg.getvalue() + ballast)


def _end_night(scene: Scene) -> None:
    folder, clock = scene.folder, ManualClock()
    lines = ["prompt_id,prompt", *(f"p{row},row {row}" for row in range(scene.count))]
    (folder / "prompts.csv").write_text("\n".join(lines) + "\n")
    settings = BatchSettings(
        name=NIGHT.batch,
        provider="floyo",
        resource="floyo",
        workflow="graph.json",
        base_dir=str(folder),
        prompts="prompts.csv",
        parameters={"6::text": "{prompt}", "3::seed": "{seed}"},
        time_partitioned=True,
    )
    ledger = open_ledger(f"sqlite:///{folder / _ENDED}", clock)
    store = MemoryImageStore("bench", "flow")
    ports = Ports(
        ledger=ledger,
        provider=FakeProvider(),
        resource="floyo",
        store=store,
        clock=clock,
        log=lambda _line: None,
    )
    plan_night(settings, NIGHT.partition_key, ports)
    submit_night(settings, NIGHT, ports, owner="night")
    assert wait_for_night(ports, NIGHT, owner="night", wait_seconds=36_000.0) == 0
    ledger.close()


@contextmanager
def _served(pictures: Path, bucket: Path) -> Iterator[tuple[str, str]]:
    pipes = []
    for target, folder in ((_serve_cdn, pictures), (_serve_bucket, bucket)):
        here, there = SPAWN.Pipe()
        process = SPAWN.Process(target=target, args=(there, folder), daemon=True)
        process.start()
        pipes.append((here, process))
    try:
        yield pipes[0][0].recv(), pipes[1][0].recv()
    finally:
        for here, process in pipes:
            here.send("stop")
            process.join(5)
            if process.is_alive():
                process.terminate()


def _serve_cdn(control: Connection, folder: Path) -> None:
    handler = type("_BoundCdn", (_Cdn,), {"root": folder})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    control.send(f"http://127.0.0.1:{server.server_port}")
    control.recv()


def _serve_bucket(control: Connection, folder: Path) -> None:
    bucket = Bucket(folder, BUCKET)
    bucket.start()
    control.send(bucket.url)
    control.recv()
