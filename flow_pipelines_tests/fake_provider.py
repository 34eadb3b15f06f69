"""A provider whose every answer a test decides, and which counts what it was sent."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from PIL import Image

from flow_pipelines.model import (
    Cost,
    CostBasis,
    OutputRef,
    ParameterSpec,
    Receipt,
    RunReport,
    SubmissionState,
    Workflow,
)
from flow_pipelines.provider import ApiRequest, Capabilities, Purpose, Resend, SubmitRequest


class BytesDownload:
    """A finished download in memory."""

    def __init__(self, content: bytes, media_type: str = "image/png") -> None:
        self._stream = io.BytesIO(content)
        self.media_type: str | None = media_type
        self.size_bytes: int | None = len(content)
        self.file_name: str | None = None

    def read(self, size: int = -1, /) -> bytes:
        return self._stream.read(size)


class FakeProvider:
    """Accepts everything unless told otherwise; runs end at the first poll."""

    name = "floyo"

    def __init__(self, capabilities: Capabilities | None = None) -> None:
        self.capabilities = capabilities or Capabilities(
            cancel=True, find=True, durable_outputs=True, flotime=True
        )
        self.posts: list[SubmitRequest] = []
        self.polls: list[str] = []
        self.on_submit: Callable[[SubmitRequest, int], Receipt | None] = lambda _r, _n: None
        self.on_poll: Callable[[str], RunReport | None] = lambda _run: None
        self.on_fetch: Callable[[str], bytes | None] = lambda _id: None
        self.before_turn: Callable[[], None] = lambda: None
        self.runs: dict[str, SubmitRequest] = {}
        self.price: Decimal | None = Decimal("0.01")

    def read_workflow(self, reference: str, read_file: Callable[[str], bytes]) -> Workflow:
        return Workflow(
            reference=reference,
            version="v1",
            body={},
            parameters=(
                ParameterSpec(name="6::text", type="text", default=""),
                ParameterSpec(name="3::seed", type="seed", default=0),
                ParameterSpec(name="10::image", type="text", default="example.png"),
            ),
        )

    def take_turn(self, purpose: Purpose) -> None:
        self.before_turn()

    def prepare(self, request: SubmitRequest) -> ApiRequest:
        return ApiRequest(
            operation="create_run",
            method="POST",
            url="https://api.floyo.ai/runs",
            resend=Resend.NEVER,
            source="this fake",
            json={"parameters": dict(request.parameters), "name": request.label},
        )

    def submit(self, request: SubmitRequest) -> Receipt:
        self.posts.append(request)
        receipt = self.on_submit(request, len(self.posts))
        return receipt if receipt is not None else self.accept(request)

    def accept(self, request: SubmitRequest) -> Receipt:
        """Create a run, as the provider would on receiving the POST."""
        run_id = f"run_{len(self.runs) + 1:04d}"
        self.runs[run_id] = request
        return Receipt(provider_run_id=run_id)

    def poll(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        self.polls.append(provider_run_id)
        return self.on_poll(provider_run_id) or self.finished(provider_run_id)

    def finished(self, provider_run_id: str, outputs: int = 1) -> RunReport:
        """Report a run that is done."""
        return RunReport(
            provider_run_id=provider_run_id,
            state=SubmissionState.SUCCEEDED,
            provider_status="done",
            flotime_ms=1500,
            outputs=tuple(
                OutputRef(output_id=f"file_{provider_run_id}_{index}", media_type="image/png")
                for index in range(outputs)
            ),
        )

    def cancel(self, provider_run_id: str, workflow: Workflow) -> RunReport:
        return RunReport(
            provider_run_id=provider_run_id,
            state=SubmissionState.CANCELED,
            provider_status="cancelled",
        )

    def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
        return [
            Receipt(provider_run_id=run_id)
            for run_id, sent in self.runs.items()
            if sent.idempotency_key == request.idempotency_key
        ]

    @contextlib.contextmanager
    def fetch(self, output: OutputRef, *, max_bytes: int) -> Iterator[BytesDownload]:
        content = self.on_fetch(output.output_id)
        yield BytesDownload(content if content is not None else png(output.output_id))

    def cost(self, report: RunReport, price_usd_per_run: Decimal | None) -> Cost:
        return Cost.of(price_usd_per_run, CostBasis.ESTIMATED)

    def estimate_usd(self, workflow: Workflow, price_usd_per_run: Decimal | None) -> Decimal | None:
        return price_usd_per_run if price_usd_per_run is not None else self.price


def png(text: str) -> bytes:
    """Draw a small picture that differs for each text."""
    shade = sum(text.encode()) % 200
    picture = Image.new("RGB", (16, 16), (shade, len(text) % 255, (shade * 7) % 255))
    picture.putpixel((1, 1), (hash_byte(text, 1), hash_byte(text, 2), hash_byte(text, 3)))
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def hash_byte(text: str, salt: int) -> int:
    """Return a byte that follows from a text."""
    import hashlib

    return hashlib.sha256(f"{salt}{text}".encode()).digest()[0]
