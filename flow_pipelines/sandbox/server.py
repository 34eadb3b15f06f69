"""Starting and stopping a sandbox: in a thread for tests, in the foreground for people."""

from __future__ import annotations

import errno
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import uvicorn

from flow_pipelines.sandbox.app import make_app, make_dialects
from flow_pipelines.sandbox.bucket import Bucket
from flow_pipelines.sandbox.certificate import Certificate, own_certificate
from flow_pipelines.sandbox.connection import DroppableProtocol
from flow_pipelines.sandbox.settings import SandboxSettings
from flow_pipelines.sandbox.world import World

_START_SECONDS = 10.0
_EVERYWHERE = "0.0.0.0"  # noqa: S104 - told by whoever starts it


class PortTaken(RuntimeError):
    """Something else listens on a port that the sandbox was given."""


class Sandbox:
    """The stand-ins and the bucket, between `__enter__` and `__exit__`."""

    def __init__(
        self, settings: SandboxSettings | None = None, now: Callable[[], float] = time.time
    ) -> None:
        self.settings = settings or SandboxSettings()
        self.world = World(self.settings, now)
        self._dialects = make_dialects(self.world)
        self._own_folder: tempfile.TemporaryDirectory[str] | None = None
        self._server: uvicorn.Server | None = None
        self.certificate: Certificate | None = None

    def __enter__(self) -> Self:
        """Listen, and return once requests are answered. Raises: PortTaken."""
        host = self.settings.host
        self._socket = _listen(host, self.settings.port)
        # A client needs a name for this machine, not for all of its addresses.
        self.name = socket.gethostname() if host == _EVERYWHERE else host
        scheme = "https" if self.settings.https else "http"
        self.url = f"{scheme}://{self.name}:{self._socket.getsockname()[1]}"
        try:
            if self.settings.https:
                self.certificate = self._open_certificate()
            self.bucket = self._open_bucket()
        except BaseException:
            self._socket.close()
            raise
        self._start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; a bucket in a folder of its own is gone, one in a given folder stays."""
        self._stop()
        self.world.courier.close()
        self.bucket.stop()
        if self._own_folder is not None:
            self._own_folder.cleanup()

    @contextmanager
    def outage(self) -> Iterator[None]:
        """Refuse every connection to the stand-ins meanwhile; their state and port stay."""
        port = self._socket.getsockname()[1]
        self._stop()
        try:
            yield
        finally:
            self._socket = _listen(self.settings.host, port)
            self._start()

    def reset(self) -> None:
        """Forget runs, files, bills, requests and faults; behavior stays as it was told."""
        self.world.reset()
        for dialect in self._dialects:
            dialect.reset()

    def environment(self) -> dict[str, str]:
        """Return the variables with which a client finds this sandbox and nothing else."""
        variables = {
            "FLOW_PIPELINES_BUCKET": self.bucket.name,
            "AWS_ENDPOINT_URL_S3": self.bucket.url,
            "AWS_ACCESS_KEY_ID": "sandbox",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        if self.certificate is not None and self.certificate.self_signed:
            variables["REQUESTS_CA_BUNDLE"] = str(self.certificate.file.resolve())
        for dialect in self._dialects:
            key = next(iter(self.world.keys(dialect)))
            variables.update(dialect.environment(self.url, key))
        return variables

    def _scratch(self, name: str) -> Path:
        """Return a folder that goes away with the sandbox."""
        if self._own_folder is None:
            self._own_folder = tempfile.TemporaryDirectory(
                prefix="sandbox-", ignore_cleanup_errors=True
            )
        folder = Path(self._own_folder.name) / name
        folder.mkdir(exist_ok=True)
        return folder

    def _open_certificate(self) -> Certificate:
        given, key = self.settings.certificate, self.settings.key
        if given is not None and key is not None:
            return Certificate(file=given, key=key, self_signed=False)
        folder = self._scratch("tls")
        file = given or folder / "certificate.pem"
        return own_certificate(file, folder / "key.pem", (self.name, "localhost", "127.0.0.1"))

    def _open_bucket(self) -> Bucket:
        folder = self.settings.bucket_folder or self._scratch("bucket")
        host, port = self.settings.host, self.settings.bucket_port
        try:
            bucket = Bucket(folder, self.settings.bucket, host, port, self.name)
        except OSError as problem:
            raise _port_problem(problem, port, "bucket_port") from problem
        bucket.start()
        return bucket

    def _start(self) -> None:
        certificate = self.certificate
        config = uvicorn.Config(
            make_app(self.world, self._dialects),
            http=DroppableProtocol,
            loop="asyncio",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=1,
            ssl_certfile=None if certificate is None else certificate.file,
            ssl_keyfile=None if certificate is None else certificate.key,
        )
        self._server = server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [self._socket]}, daemon=True, name="sandbox"
        )
        self._thread.start()
        deadline = time.monotonic() + _START_SECONDS
        while not server.started:
            if time.monotonic() > deadline or not self._thread.is_alive():
                raise RuntimeError("the sandbox did not start")
            time.sleep(0.005)

    def _stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._thread.join(_START_SECONDS)
            self._server = None


def serve(settings: SandboxSettings, announce: Callable[[Sandbox], None] | None = None) -> None:
    """Run a sandbox in the foreground until SIGINT or SIGTERM.

    `announce` is called once it answers. Call from the main thread. Raises: PortTaken.
    """
    stopped = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Sandbox(settings) as sandbox:
            if announce is not None:
                announce(sandbox)
            stopped.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listen(host: str, port: int) -> socket.socket:
    # With the protocol named, asyncio knows the socket for TCP and sends answers without delay.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as problem:
        listener.close()
        raise _port_problem(problem, port, "port") from problem
    return listener


def _port_problem(problem: OSError, port: int, setting: str) -> Exception:
    if problem.errno != errno.EADDRINUSE:
        return problem
    return PortTaken(
        f"port {port} is in use, perhaps by another sandbox: stop it, or choose another {setting}"
    )
