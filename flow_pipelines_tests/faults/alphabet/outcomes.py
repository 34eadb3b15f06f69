"""The cells: what each fault of each call leads to, by the promises of DESIGN's "submit once"."""

from __future__ import annotations

from collections.abc import Mapping

from flow_pipelines.model import SubmissionState as S
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
NO_CALL = {"floyo": Never("the workflow is a file"), "comflowy": Never("no call tells of one")}
ONE_OUTPUT = Never("an execution has one output")
NO_NAME = Never("a run names no files")
NO_CANCEL = Never("no call cancels a run")
LASTING = Never("no end of links is documented, and fresh ones are asked for")

Row = Cell | Mapping[str, Cell]
PROVIDERS = ("floyo", "floimg", "comflowy", "flora")


def _only(name: str, cell: Cell, other: Never) -> Row:
    return {one: cell if one == name else other for one in PROVIDERS}


def _all(cell: Row, *names: str) -> dict[str, Row]:
    return dict.fromkeys(names, cell)


# Floyo's runs bear our name, and FLORA's key tells whose a run is. Nobody else tells.
_ACCEPTED: Row = {"floyo": FOUND, "floimg": SETTLED, "comflowy": SETTLED, "flora": FOUND}
# What was never made is in no list; FLORA is sent the same again under its key, and makes it then.
_NOT_ACCEPTED: Row = {"floyo": SETTLED, "floimg": SETTLED, "comflowy": SETTLED, "flora": FOUND}
_FOLLOWED: Row = {"floyo": STORED, "floimg": MISSING, "comflowy": STORED, "flora": MISSING}
"""FloImg and FLORA document where outputs come from; elsewhere is not among it."""

_CONNECTION = ("never_established", "reset", "drop_before", "slow")
_LIMITS = ("429_told", "429", "429_wrong")
_ACCOUNT = ("401", "402", "403")
_REQUEST = ("400", "409", "422")
_SERVER = ("500", "503")
_GARBLED = ("html", "bad_json", "endless", "bomb")
_REDIRECTS = ("redirect", "redirect_inside")

TABLE: Mapping[Call, Mapping[str, Row]] = {
    Call.WORKFLOW: {
        name: {**NO_CALL, "floimg": UNPLANNED, "flora": UNPLANNED}
        for name in (
            *(*_CONNECTION, *_LIMITS, *_ACCOUNT, *_REQUEST, "404", *_SERVER),
            *(*_GARBLED, *_REDIRECTS),
        )
    },
    Call.TOKEN: {
        **_all(
            _only("comflowy", LATER, NO_TOKEN),
            *("429_day", *_CONNECTION, *_LIMITS, *_SERVER, *_GARBLED),
        ),
        **_all(
            _only("comflowy", ACCOUNT, NO_TOKEN),
            *(*_ACCOUNT, *_REQUEST, "404", *_REDIRECTS, "says_no", "no_credit", "no_token"),
        ),
    },
    Call.SUBMIT: {
        **_all(LATER, "never_established", "429_day", *_LIMITS),
        **_all(ACCOUNT, *_ACCOUNT),
        **_all(ASKED, "404"),
        **_all(REFUSED, "400"),
        # FLORA documents 409 and 422 as "this key is known".
        "409": SETTLED,
        "422": {"floyo": REFUSED, "floimg": REFUSED, "comflowy": REFUSED, "flora": SETTLED},
        **_all(_NOT_ACCEPTED, "reset", "drop_before", *_SERVER, "html", *_REDIRECTS),
        **_all(_ACCEPTED, "drop_after", "slow", "bad_json", "endless", "bomb"),
        **_all(_only("flora", SETTLED, NO_KEY), "idempotency_duplicate", "idempotency_conflict"),
        # Whatever it says: 200 is no refusal, and without a run id no receipt either.
        **_all(_only("comflowy", SETTLED, NO_WORDS), "says_no", "no_credit", "no_token"),
        **_all(_only("comflowy", RENEWED, NO_TOKEN), "token_ends"),
    },
    Call.POLL: {
        **_all(
            POSTPONED,
            *(*_CONNECTION, *_LIMITS, *_REQUEST, "404", *_SERVER, *_GARBLED, *_REDIRECTS),
            *("429_day", "unknown_status", "goes_back"),
        ),
        **_all(POSTPONED_ALL, *_ACCOUNT),
        **_all(_only("comflowy", POSTPONED, NO_WORDS), "says_no"),
        **_all(_only("comflowy", POSTPONED_ALL, NO_WORDS), "no_credit", "no_token"),
        **_all(_only("comflowy", STORED, NO_TOKEN), "token_ends"),
        "never_ends": GIVEN_UP,
        "run_fails": FAILED,
        "run_unpaid": {
            "floyo": UNPAID,
            "floimg": Never("no such end is documented"),
            "comflowy": UNPAID,
            "flora": Never("credit is looked at when a run is submitted: 402"),
        },
        "no_outputs": MISSING,
        **_all(
            {"floyo": STORED, "floimg": ONE_OUTPUT, "comflowy": STORED, "flora": STORED},
            *("twice", "shuffled"),
        ),
        # A name is a part of Comflowy's links: with another name, they open nothing.
        "poll_paths": {"floyo": STORED, "floimg": NO_NAME, "comflowy": MISSING, "flora": NO_NAME},
    },
    Call.DOWNLOAD: {
        **_all(
            MISSING,
            *(*_CONNECTION, *_LIMITS, *_ACCOUNT, *_REQUEST, "404", *_SERVER),
            *("html", "endless", "bomb", "redirect_inside", "truncated"),
        ),
        # Floyo tells the size of each file.
        "wrong_length": {**dict.fromkeys(PROVIDERS, DAMAGED), "floyo": MISSING},
        "huge": ANOTHER,
        "redirect": _FOLLOWED,
        **_all(STORED, "wrong_type", "paths"),
        "expired": {
            "floyo": Never("files are fetched by id, with the key"),
            "floimg": LASTING,
            "comflowy": STORED,
            "flora": LASTING,
        },
    },
    Call.CANCEL: {
        **_all(
            _only("floyo", GOES_ON, NO_CANCEL),
            *("never_established", "reset", "drop_before", *_LIMITS, *_REQUEST, "404", *_SERVER),
            *("html", *_REDIRECTS),
        ),
        **_all(_only("floyo", POSTPONED_ALL, NO_CANCEL), *_ACCOUNT),
        **_all(_only("floyo", FOUND_CANCELED, NO_CANCEL), "drop_after", "slow"),
        # Whatever the answer was, the run itself is asked next.
        **_all(_only("floyo", CANCELED, NO_CANCEL), "bad_json", "endless", "bomb"),
    },
}


def cell(provider: str, call: Call, fault: Fault) -> Cell:
    """Return what is expected. Raises: LookupError, where nobody said what to expect."""
    row = TABLE[call][fault.name]
    if isinstance(row, Mapping):
        return row[provider]
    if provider not in PROVIDERS:
        raise LookupError(f"{provider}: say what {fault.title!r} leads to at its {call}")
    return row
