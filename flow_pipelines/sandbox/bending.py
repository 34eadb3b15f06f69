"""How faults bend what goes out: a run's fate, its report, an answer's bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flow_pipelines.sandbox.faults import Action, Fault
from flow_pipelines.sandbox.life import Fate, Output, Run, RunState
from flow_pipelines.sandbox.wire import Answer

_UNHEARD_OF = "hibernating"


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
    outputs = plain.outputs
    match fault.action:
        case Action.UNKNOWN_STATUS:
            return replace(plain, word=fault.word or _UNHEARD_OF)
        case Action.STATUS_GOES_BACK:
            earlier = RunState.RUNNING if plain.state.ended else RunState.QUEUED
            return replace(plain, state=earlier, outputs=(), error_code=None)
        case Action.EMPTY_OUTPUTS:
            return replace(plain, outputs=())
        case Action.DUPLICATE_OUTPUTS:
            return replace(plain, outputs=outputs + outputs)
        case Action.SHUFFLED_OUTPUTS:
            return replace(plain, outputs=outputs[1:] + outputs[:1])
        case _:
            return plain


def fate(fault: Fault | None) -> Fate:
    """Tell what a fault decides about the run that is being created."""
    if fault is not None and fault.action is Action.RUN_FAILS:
        return Fate(error_code=fault.error, unpaid=fault.error.startswith("insufficient_"))
    return Fate(never_ends=fault is not None and fault.action is Action.NEVER_ENDS)


def bent_answer(answer: Answer, fault: Fault | None) -> Answer:
    """Bend a good answer's bytes; errors stay what they are."""
    if fault is None or answer.status >= 400:  # noqa: PLR2004 - HTTP's line
        return answer
    match fault.action:
        case Action.BAD_JSON:
            return replace(answer, body=answer.body[: len(answer.body) // 2])
        case Action.WRONG_LENGTH:
            return replace(answer, body=answer.body[: len(answer.body) * 2 // 3])
        case Action.WRONG_MEDIA_TYPE:
            return replace(answer, media_type=fault.word or "text/html")
        case _:
            return answer
