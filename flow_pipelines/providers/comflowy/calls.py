"""How every call of Comflowy's API is made, and what its answers say when they refuse.

The one page that documents it shows the answers' types and nothing of errors, limits or lifetimes.
How failures are worded is taken from Comflowy's own client of sibling calls,
github.com/6174/comflowy-nodes: the HTTP status is looked at first, then `success`, then `error`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flow_pipelines.model import SubmissionState
from flow_pipelines.model import json_values as read
from flow_pipelines.provider import (
    ApiAnswer,
    ApiDefaults,
    ApiRequest,
    ErrorBody,
    SignIn,
    Verdict,
    documented,
)
from flow_pipelines.providers.comflowy.records import run_id_in

NAME = "comflowy"
API_PAGE = "comflowy.com/blog/comflowy-api"

STATES: Mapping[str, SubmissionState] = {
    "waiting": SubmissionState.QUEUED,
    "pending": SubmissionState.QUEUED,
    "running": SubmissionState.RUNNING,
    "success": SubmissionState.SUCCEEDED,
    "failed": SubmissionState.FAILED,
}
"""Comflowy's words; how `waiting` and `pending` differ is not documented."""

UNAUTHORIZED, OUT_OF_CREDIT = "unauthorized", "out_of_credit"
_TELLING: Mapping[str, re.Pattern[str]] = {
    "rate_limited": re.compile(r"too many requests|rate.?limit"),
    UNAUTHORIZED: re.compile(
        r"\bunauthori[sz]ed\b|\bunauthenticated\b|\b(invalid|expired) (\w+ )?token\b|"
        r"\b(token|jwt)\b.{0,20}\b(invalid|expired)\b"
    ),
    OUT_OF_CREDIT: re.compile(
        r"\b(insufficient|not enough|out of|exceed\w*)\b.{0,30}\b(credits?|balance|quota)\b|"
        r"\b(credits?|balance|quota)\b.{0,30}\b(insufficient|not enough|too low|exceeded|"
        r"exhausted|used up)\b"
    ),
    "not_found": re.compile(
        r"\b(workflow|run)\b[ :'\"]*([\w-]{8,80}\b[ '\"]*)?(was |is |could )?"
        r"(not (be )?found|does not exist)\b"
    ),
}
"""Our codes → what an error text has to say to mean them: Comflowy documents no codes."""
_LOOKED_AT = 300
"""Characters of an error text; further on it may be quoting somebody's prompt."""
_SAYS_NOTHING_ITSELF = frozenset({400, 422})
"""Error statuses whose text may say more; all others speak for themselves."""
VERDICTS: Mapping[int | str, Verdict] = {
    "rate_limited": Verdict.UNAVAILABLE,
    UNAUTHORIZED: Verdict.ACCOUNT,
    OUT_OF_CREDIT: Verdict.ACCOUNT,
    "not_found": Verdict.NOT_FOUND,
}

CALLS = documented(
    API_PAGE,
    get_token="GET /auth/token?ppt={API_KEY}",  # noqa: S106 - a call, and no password
    run="POST /run",
    check="POST /check?id={RUN_ID}",
    open_link="GET {output_images[]}",
)


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{success: false, error?}` into one of our codes and a bounded text."""
    document = answer.json()
    error = document.get("error") or document.get("message") or data_of(document).get("error")
    message = read.prose(error, 500) or ""
    silent = answer.status < 300 or answer.status in _SAYS_NOTHING_ITSELF  # noqa: PLR2004 - HTTP's own class of good answers
    return ErrorBody(code=meaning_of(message) if silent else None, message=message)


def meaning_of(message: str) -> str | None:
    """Return our code for what an error text says; None: it says nothing we know."""
    text = message[:_LOOKED_AT].lower()
    return next((code for code, pattern in _TELLING.items() if pattern.search(text)), None)


def _says_no(answer: ApiAnswer) -> bool:
    return answer.json().get("success") is False


def created_nothing(answer: ApiAnswer) -> bool:
    """Return whether an answer refuses; one with a run id is a receipt, whatever else it says."""
    return _says_no(answer) and _run_id(answer.json()) is None


def tells_nothing(answer: ApiAnswer) -> bool:
    """Return whether an answer is an error, and not a failed run that says `success: false` too."""
    status = data_of(answer.json()).get("status")
    return _says_no(answer) and STATES.get(str(status).lower()) is not SubmissionState.FAILED


def data_of(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the members of `data`."""
    data = document.get("data")
    return data if isinstance(data, dict) else {}


def _run_id(document: Mapping[str, Any]) -> str | None:
    return run_id_in(data_of(document).get("run_id"))


API = ApiDefaults(provider=NAME, source=API_PAGE, verdicts=VERDICTS, read_error=read_error)


def token_request(base_url: str) -> ApiRequest:
    """Ask for an access token. The page names no method; it calls the address `GET_API`."""
    return API.request(
        "get_token",
        "GET",
        f"{base_url.rstrip('/')}/auth/token",
        key_parameter="ppt",
        paced=False,
        is_error=_says_no,
        verdicts={**VERDICTS, 200: Verdict.ACCOUNT},
    )


SIGN_IN = SignIn(
    request=token_request,
    read_token=lambda answer: read.text(answer.json().get("access_token")),
    refusals=frozenset({401, UNAUTHORIZED}),
)
"""How long a token lives and how one that has ended is refused is not documented."""
