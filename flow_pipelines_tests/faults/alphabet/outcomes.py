"""The cells: what each fault of each call leads to, by the promises of DESIGN's "submit once".

They follow from what a provider declares: its profile, and its `conformance.json`, which also
states what no declaration tells. So a further provider has its cells without a word here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flow_pipelines.model import SubmissionState as S
from flow_pipelines.provider import ProviderProfile
from flow_pipelines.providers import profile
from flow_pipelines_tests.conformance.providers.account import conformance_case
from flow_pipelines_tests.faults.alphabet.vocabulary import (
    Call,
    Cell,
    Fault,
    Never,
    Outcome,
    Person,
)

# Before anything is sent.
UNPLANNED = Outcome(after=None, person=Person.ASKS_AGAIN)
# Proven: nothing was accepted.
LATER = Outcome(after=S.PLANNED)
ASKED = Outcome(after=S.PLANNED, person=Person.ASKS_AGAIN)
ACCOUNT = Outcome(after=S.PLANNED, account_stopped=True, person=Person.ASKS_AGAIN)
REFUSED = Outcome(after=S.FAILED, end=S.FAILED, bills=0, pictures=False)
RENEWED = Outcome(after=S.SUBMITTED)
# Nothing is proven.
FOUND = Outcome(after=S.UNRESOLVED)
SETTLED = Outcome(after=S.UNRESOLVED, person=Person.SETTLES)
# At the provider.
POSTPONED = Outcome(after=S.RUNNING)
POSTPONED_ALL = Outcome(after=S.RUNNING, account_stopped=True)
GIVEN_UP = Outcome(after=S.RUNNING, end=S.FAILED, pictures=False)
FAILED = Outcome(after=S.FAILED, end=S.FAILED, pictures=False)
UNPAID = Outcome(after=S.FAILED, end=S.FAILED, account_stopped=True, bills=0, pictures=False)
# Nobody wants it any more.
GOES_ON = Outcome(after=S.RUNNING)
CANCELED = Outcome(after=S.CANCELED, end=S.CANCELED, pictures=False)
FOUND_CANCELED = Outcome(after=S.RUNNING, end=S.CANCELED, pictures=False)
# At the bucket.
MISSING = Outcome(after=S.SUCCEEDED)
STORED = Outcome(after=S.SUCCEEDED, stored=True)
# A whole answer that came twice alike is what the provider has.
DAMAGED = Outcome(after=S.SUCCEEDED, kept=True, person=Person.ASKS_AGAIN)
ANOTHER = Outcome(after=S.SUCCEEDED, kept=True, person=Person.ASKS_AGAIN, pictures=False)

NO_TOKEN = Never("requests carry the key itself")
NO_WORDS = Never("errors come with a status of their own")
NO_KEY = Never("no idempotency key is documented")
ONE_OUTPUT = Never("an execution has one output")
NO_CANCEL = Never("no call cancels a run")
BY_ID = Never("files are fetched by id, with the key")
OUTCOMES: Mapping[str, Outcome] = {"MISSING": MISSING, "STORED": STORED, "FAILED": FAILED}
"""Names that a `conformance.json` may give to what a fault leads to at its provider."""


@dataclass(frozen=True)
class Facts:
    """What decides between the cells of a row: a provider's profile and its `conformance.json`."""

    profile: ProviderProfile
    case: Mapping[str, Any]

    @classmethod
    def of(cls, provider: str) -> Facts:
        return cls(profile(provider), conformance_case(provider))

    def stated(self, call: Call, fault: Fault) -> Cell | None:
        """Return what the provider's own file says of a fault; None: the table decides."""
        found = self.case.get("faults", {}).get(f"{call.name.lower()}/{fault.name}")
        if found is None:
            return None
        return Never(found["never"]) if "never" in found else OUTCOMES[found["outcome"]]


Row = Cell | Callable[[Facts], Cell]


def _all(cell: Row, *names: str) -> dict[str, Row]:
    return dict.fromkeys(names, cell)


def _if(holds: Callable[[Facts], bool], cell: Cell, other: Cell) -> Row:
    return lambda facts: cell if holds(facts) else other


def _workflow(facts: Facts) -> Cell:
    if "workflow" in facts.case["calls"]:
        return UNPLANNED
    is_file = facts.profile.capabilities.workflow_is_file
    return Never("the workflow is a file" if is_file else "no call tells of one")


def _signs_in(facts: Facts) -> bool:
    return facts.profile.sign_in is not None


def _refuses_under_200(facts: Facts) -> bool:
    return bool(facts.case.get("refuses_under_200"))


def _replays(facts: Facts) -> bool:
    return facts.profile.capabilities.replays


def _cancels(facts: Facts) -> bool:
    return facts.profile.capabilities.cancel


def _can_find(facts: Facts) -> bool:
    """Return whether its runs bear our name, or its key tells whose a run is."""
    return facts.profile.capabilities.find or facts.profile.capabilities.replays


def _of_many(facts: Facts) -> Cell:
    return STORED if facts.case["outputs"] > 1 else ONE_OUTPUT


def _expired(facts: Facts) -> Cell:
    return BY_ID if facts.profile.capabilities.durable_outputs else STORED


_ACCEPTED = _if(_can_find, FOUND, SETTLED)
# What was never made is in no list; under a key the same is sent again, and made then.
_NOT_ACCEPTED = _if(_replays, FOUND, SETTLED)
# Where it is documented where outputs come from, elsewhere is not among it.
_FOLLOWED = _if(lambda facts: bool(facts.profile.output_hosts), MISSING, STORED)

_CONNECTION = ("never_established", "reset", "drop_before", "slow")
_LIMITS = ("429_told", "429", "429_wrong")
_ACCOUNT = ("401", "402", "403")
_REQUEST = ("400", "409", "422")
_SERVER = ("500", "503")
_GARBLED = ("html", "bad_json", "endless", "bomb")
_REDIRECTS = ("redirect", "redirect_inside")

TABLE: Mapping[Call, Mapping[str, Row]] = {
    Call.WORKFLOW: _all(
        _workflow,
        *(*_CONNECTION, *_LIMITS, *_ACCOUNT, *_REQUEST, "404", *_SERVER),
        *(*_GARBLED, *_REDIRECTS),
    ),
    Call.TOKEN: {
        **_all(
            _if(_signs_in, LATER, NO_TOKEN),
            *("429_day", *_CONNECTION, *_LIMITS, *_SERVER, *_GARBLED),
        ),
        **_all(
            _if(_signs_in, ACCOUNT, NO_TOKEN),
            *(*_ACCOUNT, *_REQUEST, "404", *_REDIRECTS, "says_no", "no_credit", "no_token"),
        ),
    },
    Call.SUBMIT: {
        **_all(LATER, "never_established", "429_day", *_LIMITS),
        **_all(ACCOUNT, *_ACCOUNT),
        **_all(ASKED, "404"),
        **_all(REFUSED, "400"),
        # Of a request under a key, FLORA documents 409 and 422 as "this key is known".
        "409": SETTLED,
        "422": _if(_replays, SETTLED, REFUSED),
        **_all(_NOT_ACCEPTED, "reset", "drop_before", *_SERVER, "html", *_REDIRECTS),
        **_all(_ACCEPTED, "drop_after", "slow", "bad_json", "endless", "bomb"),
        **_all(_if(_replays, SETTLED, NO_KEY), "idempotency_duplicate", "idempotency_conflict"),
        # Whatever it says: 200 is no refusal, and without a run id no receipt either.
        **_all(_if(_refuses_under_200, SETTLED, NO_WORDS), "says_no", "no_credit", "no_token"),
        **_all(_if(_signs_in, RENEWED, NO_TOKEN), "token_ends"),
    },
    Call.POLL: {
        **_all(
            POSTPONED,
            *(*_CONNECTION, *_LIMITS, *_REQUEST, "404", *_SERVER, *_GARBLED, *_REDIRECTS),
            *("429_day", "unknown_status", "goes_back"),
        ),
        **_all(POSTPONED_ALL, *_ACCOUNT),
        **_all(_if(_refuses_under_200, POSTPONED, NO_WORDS), "says_no"),
        **_all(_if(_refuses_under_200, POSTPONED_ALL, NO_WORDS), "no_credit", "no_token"),
        **_all(_if(_signs_in, STORED, NO_TOKEN), "token_ends"),
        "never_ends": GIVEN_UP,
        "run_fails": FAILED,
        "run_unpaid": UNPAID,
        "no_outputs": MISSING,
        **_all(_of_many, "twice", "shuffled"),
        "poll_paths": STORED,
    },
    Call.DOWNLOAD: {
        **_all(
            MISSING,
            *(*_CONNECTION, *_LIMITS, *_ACCOUNT, *_REQUEST, "404", *_SERVER),
            *("html", "endless", "bomb", "redirect_inside", "truncated"),
        ),
        "wrong_length": DAMAGED,
        "huge": ANOTHER,
        "redirect": _FOLLOWED,
        **_all(STORED, "wrong_type", "paths"),
        "expired": _expired,
    },
    Call.CANCEL: {
        **_all(
            _if(_cancels, GOES_ON, NO_CANCEL),
            *("never_established", "reset", "drop_before", *_LIMITS, *_REQUEST, "404", *_SERVER),
            *("html", *_REDIRECTS),
        ),
        **_all(_if(_cancels, POSTPONED_ALL, NO_CANCEL), *_ACCOUNT),
        **_all(_if(_cancels, FOUND_CANCELED, NO_CANCEL), "drop_after", "slow"),
        # Whatever the answer was, the run itself is polled next.
        **_all(_if(_cancels, CANCELED, NO_CANCEL), "bad_json", "endless", "bomb"),
    },
}


def cell(provider: str, call: Call, fault: Fault) -> Cell:
    """Return what a fault leads to. Raises: LookupError, where nobody said what to expect."""
    facts, row = Facts.of(provider), TABLE[call][fault.name]
    stated = facts.stated(call, fault)
    if stated is not None:
        return stated
    return row(facts) if callable(row) else row
