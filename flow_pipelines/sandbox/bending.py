"""How faults bend what goes out: a run's fate, its report, an answer's bytes."""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass, replace
from functools import cache

from flow_pipelines.sandbox.faults import Action, Fault
from flow_pipelines.sandbox.life import Fate, Output, Run, RunState
from flow_pipelines.sandbox.wire import Answer

_UNHEARD_OF = "hibernating"
_PATH = "../../../../tmp/evil.png"
_INFLATED_BYTES = 32 * 1024 * 1024
_HUGE_SIDE = 60_000


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a run says of itself at one moment, in nobody's dialect yet."""

    run: Run
    state: RunState
    flotime_ms: int
    outputs: tuple[Output, ...] = ()
    """Of a run that succeeded."""
    error_code: str | None = None
    word: str | None = None
    """Stands in the place of the dialect's word for the state."""


def report(run: Run, now: float, fault: Fault | None = None) -> Report:
    """Read a run off the clock, bent by a fault."""
    state = run.state(now)
    done = state is RunState.SUCCEEDED
    plain = Report(
        run=run,
        state=state,
        flotime_ms=run.flotime_ms(now),
        outputs=run.outputs if done else (),
        error_code=run.error_code if state is RunState.FAILED else None,
    )
    return plain if fault is None else _bent(plain, fault)


def _bent(plain: Report, fault: Fault) -> Report:
    match fault.action:
        case Action.UNKNOWN_STATUS:
            return replace(plain, word=fault.word or _UNHEARD_OF)
        case Action.STATUS_GOES_BACK:
            earlier = RunState.RUNNING if plain.state.ended else RunState.QUEUED
            return replace(plain, state=earlier, outputs=(), error_code=None)
        case _:
            return replace(plain, outputs=_bent_outputs(plain.outputs, fault))


def _bent_outputs(outputs: tuple[Output, ...], fault: Fault) -> tuple[Output, ...]:
    match fault.action:
        case Action.EMPTY_OUTPUTS:
            return ()
        case Action.DUPLICATE_OUTPUTS:
            return outputs + outputs
        case Action.SHUFFLED_OUTPUTS:
            return outputs[1:] + outputs[:1]
        case Action.PATH_LIKE_NAMES:
            return tuple(replace(one, file_name=fault.word or _PATH) for one in outputs)
        case _:
            return outputs


def fate(fault: Fault | None) -> Fate:
    """Tell what a fault decides about the run that is being created."""
    if fault is not None and fault.action is Action.RUN_FAILS:
        return Fate(error_code=fault.error, unpaid=fault.error.startswith("insufficient_"))
    return Fate(never_ends=fault is not None and fault.action is Action.NEVER_ENDS)


def bent_answer(answer: Answer, fault: Fault | None) -> Answer:
    """Bend a good answer's bytes; errors stay what they are."""
    if fault is None or answer.status >= 400:  # noqa: PLR2004 - HTTP's line
        return answer
    return _bent_headers(replace(answer, body=_bent_body(answer.body, fault)), fault)


def _bent_body(body: bytes, fault: Fault) -> bytes:
    match fault.action:
        case Action.BAD_JSON:
            return body[: len(body) // 2]
        case Action.WRONG_LENGTH:
            return body[: len(body) * 2 // 3]
        case Action.INFLATING_BODY:
            return _inflating()
        case Action.HUGE_PICTURE:
            return _huge_picture()
        case _:
            return body


def _bent_headers(answer: Answer, fault: Fault) -> Answer:
    match fault.action:
        case Action.WRONG_MEDIA_TYPE:
            return replace(answer, media_type=fault.word or "text/html")
        case Action.INFLATING_BODY:
            return answer.with_headers(content_encoding="gzip")
        case Action.PATH_LIKE_NAMES if not answer.media_type.endswith("/json"):
            name = f'attachment; filename="{fault.word or _PATH}"'
            return answer.with_headers(content_disposition=name)
        case _:
            return answer


@cache
def _inflating() -> bytes:
    return gzip.compress(bytes(_INFLATED_BYTES), 6)


@cache
def _huge_picture() -> bytes:
    """Make a PNG whose header promises billions of pixels, all of them black."""
    header = struct.pack(">IIBBBBB", _HUGE_SIDE, _HUGE_SIDE, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(_INFLATED_BYTES))
    parts = ((b"IHDR", header), (b"IDAT", rows), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*part) for part in parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    """Write a chunk (PNG specification, §5.3)."""
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)
