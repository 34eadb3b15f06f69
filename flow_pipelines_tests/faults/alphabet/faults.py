"""The rows: everything that is done wrong, and how the stand-in is told to."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from flow_pipelines_tests.faults.alphabet.vocabulary import Call, Fault, Way

SLOW_SECONDS, PATIENCE_SECONDS = 1.5, 0.3
LEAKS = "the key {key} does not please us"
"""A provider may repeat a key in what it says of it; nobody else may."""


def _status(name: str, status: int, **details: Any) -> Fault:
    more = {"ways": ""} | details
    title = f"{status} {HTTPStatus(status).phrase}{more.pop('ways')}"
    return Fault(
        name=name, title=title, action="status", details={"status": status, "word": LEAKS, **more}
    )


def _says_no(name: str, title: str, error: str) -> Fault:
    body = {"success": False, "error": error}
    return Fault(name=name, title=title, action="status", details={"status": 200, "body": body})


CONNECTION = (
    Fault(name="never_established", title="connection refused", way=Way.OUTAGE),
    Fault(name="reset", title="connection reset while we send", action="refuse"),
    Fault(
        name="drop_before",
        title="connection dropped, nothing accepted",
        action="drop_before_accept",
    ),
    Fault(name="drop_after", title="connection dropped, accepted", action="drop_after_accept"),
    Fault(
        name="slow",
        title="slower than we wait",
        action="slow_accept",
        details={"seconds": SLOW_SECONDS},
        way=Way.PATIENCE,
    ),
)
STATUSES = (
    *(_status(str(status), status) for status in (400, 401, 402, 403, 404, 409, 422)),
    _status("429_told", 429, headers={"retry-after": "7"}, ways=", Retry-After: 7"),
    _status("429", 429, headers={"retry-after": ""}, ways=", no Retry-After"),
    _status("429_wrong", 429, headers={"retry-after": "soon"}, ways=", Retry-After: soon"),
    _status("500", 500),
    _status("503", 503),
)
WORDS = (
    _says_no("says_no", "`success: false` under 200", "node 6 has no such field"),
    _says_no("no_credit", "`success: false` under 200, out of credit", "insufficient credits"),
    _says_no("no_token", "`success: false` under 200, token refused", "invalid token"),
)
ANSWERS = (
    Fault(name="html", title="a web page under 200", action="html_200"),
    Fault(name="bad_json", title="JSON cut in half", action="bad_json"),
    *WORDS,
    Fault(
        name="redirect",
        title="a redirect to another host",
        action="redirect",
        details={"word": "{elsewhere}"},
    ),
    Fault(
        name="redirect_inside",
        title="a redirect into a private network",
        action="redirect",
        details={"word": "https://10.0.0.7"},
    ),
    Fault(name="endless", title="an answer without end", action="endless_body"),
    Fault(name="bomb", title="a compressed answer that unpacks to 32 MB", action="inflating_body"),
)
A_DAY = _status("429_day", 429, headers={"retry-after": "86400"}, ways=", Retry-After: a day")
_IDEMPOTENCY = {"idempotency_duplicate": 409, "idempotency_conflict": 422}
KEYS = tuple(
    Fault(
        name=code,
        title=f"{status}, `{code}`",
        action="status",
        details={"status": status, "body": {"error": {"code": code, "message": "used before"}}},
    )
    for code, status in _IDEMPOTENCY.items()
)
TOKENS = (Fault(name="token_ends", title="the token ends in the middle", way=Way.LATE),)
RUNS = (
    Fault(name="unknown_status", title="a status nobody documents", action="unknown_status"),
    Fault(name="goes_back", title="a status that goes back", action="status_goes_back"),
    Fault(name="never_ends", title="a run that never ends", action="never_ends", at_birth=True),
    Fault(name="run_fails", title="the run fails", action="run_fails", at_birth=True),
    Fault(
        name="run_unpaid",
        title="credit runs out in the run",
        action="run_fails",
        details={"error": "insufficient_balance"},
        at_birth=True,
    ),
    Fault(name="no_outputs", title="no outputs", action="empty_outputs"),
    Fault(name="twice", title="every output twice", action="duplicate_outputs"),
    Fault(name="shuffled", title="outputs in another order", action="shuffled_outputs"),
    Fault(
        name="poll_paths",
        title="file names that are paths",
        action="path_like_names",
        details={"word": "..\\..\\evil.png"},
    ),
)
BYTES = (
    Fault(name="truncated", title="bytes cut short", action="truncate_output"),
    Fault(name="wrong_length", title="whole by its length, but cut", action="wrong_length"),
    Fault(name="wrong_type", title="a wrong media type", action="wrong_media_type"),
    Fault(name="huge", title="a picture of 3.6 billion pixels", action="huge_picture"),
    Fault(name="paths", title="a file name that is a path", action="path_like_names"),
    Fault(name="expired", title="the link has ended", way=Way.LATE),
)
_READS = tuple(one for one in (*CONNECTION, *STATUSES, *ANSWERS) if one.name != "drop_after")
"""Where nothing is bought, it is the same whether a lost answer's request was taken or not."""
_PLAIN = tuple(one for one in _READS if one not in WORDS)
_FILE = tuple(one for one in _PLAIN if one.name != "bad_json")
ROWS: Mapping[Call, tuple[Fault, ...]] = {
    Call.WORKFLOW: _PLAIN,
    Call.TOKEN: (*_READS, A_DAY),
    Call.SUBMIT: (*CONNECTION, *STATUSES, A_DAY, *KEYS, *ANSWERS, *TOKENS),
    Call.POLL: (*_READS, A_DAY, *TOKENS, *RUNS),
    Call.DOWNLOAD: (*_FILE, *BYTES),
    Call.CANCEL: tuple(one for one in (*CONNECTION, *STATUSES, *ANSWERS) if one not in WORDS),
}
"""What can go wrong with each call, in the order in which people read it."""
