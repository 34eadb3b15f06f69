"""What a cell of the alphabet is made of: a call, a fault, what it leads to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from flow_pipelines.model import SubmissionState


class Call(StrEnum):
    """A call of a provider, as people name it."""

    WORKFLOW = "workflow details"
    TOKEN = "token"
    SUBMIT = "submit"
    POLL = "poll"
    DOWNLOAD = "download"
    CANCEL = "cancel"


class Person(StrEnum):
    """Who has to do something once the fault is over."""

    NOBODY = "nobody"
    ASKS_AGAIN = "a person who asks again"
    SETTLES = "a person who settles it"


class Way(StrEnum):
    """How a fault is brought about, where it is no action of the stand-in."""

    ACTION = "action"
    OUTAGE = "outage"
    """Connections are refused."""
    PATIENCE = "patience"
    """The client waits for a shorter time than the stand-in takes."""
    LATE = "late"
    """Nothing goes wrong but that hours pass before the call."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A row of the alphabet."""

    name: str
    title: str
    action: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of the stand-in's own `Fault`; texts may hold `{key}` and `{elsewhere}`."""
    way: Way = Way.ACTION
    at_birth: bool = False
    """It decides a run's fate, so it is in force when the run is created."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a fault leads to, in the order in which it does."""

    after: SubmissionState | None
    """Under the fault; None: nothing is even planned."""
    stored: bool = False
    """Under the fault, all pictures are in the bucket."""
    kept: bool = False
    """Under the fault, what came in a picture's place is in the bucket."""
    account_stopped: bool = False
    """No further row is bought until the account works again."""
    person: Person = Person.NOBODY
    """Who is needed, once the fault is over, for the rest."""
    end: SubmissionState = SubmissionState.SUCCEEDED
    bills: int = 1
    """By the stand-in's meter, all told."""
    pictures: bool = True
    """In the end, exactly what the run made is in the bucket."""


@dataclass(frozen=True)
class Never:
    """A cell that cannot be, and why."""

    why: str


Cell = Outcome | Never
