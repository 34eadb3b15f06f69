"""Faults on demand: what to do wrong, at which call of which provider, and how often.

Actions, by the moment at which they happen:

before anything is accepted
    `refuse` (the connection is reset without reading a byte of the body), `drop_before_accept`,
    `status` (`status`, `body` or the `word` of the provider's own, `headers`), `html_200`,
    `redirect` (to the same path and query at another origin, `word`), `slow_accept` (`seconds`,
    then all goes on, also when the client has left meanwhile)
after the call has done its work
    `drop_after_accept`, `slow_answer` (`seconds`), `bad_json` (the answer is cut in half),
    `endless_body` (it never stops), `inflating_body` (a few bytes that unpack to many)
in the fate of a run that is being created
    `run_fails` (`error`: the code; one that begins with `insufficient_` is not billed),
    `never_ends`
in what a run reports
    `unknown_status` (`word`), `status_goes_back`, `empty_outputs`, `duplicate_outputs`,
    `shuffled_outputs`, `path_like_names` (`word`: every output's file name)
in a download
    `truncate_output` (the connection closes before Content-Length is reached), `wrong_length`
    (Content-Length is kept, but of a shorter file than was announced), `wrong_media_type` (`word`),
    `huge_picture` (a small file that declares more pixels than memory has room for),
    `path_like_names` (`word`: the file name that comes with it)
in a callback (operation `callback`)
    `lost_callback`, `duplicate_callback`, `slow_callback` (`seconds`)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Any


class Action(StrEnum):
    """What a fault does; see the module."""

    REFUSE = "refuse"
    DROP_BEFORE_ACCEPT = "drop_before_accept"
    DROP_AFTER_ACCEPT = "drop_after_accept"
    SLOW_ACCEPT = "slow_accept"
    SLOW_ANSWER = "slow_answer"
    STATUS = "status"
    HTML_200 = "html_200"
    REDIRECT = "redirect"
    BAD_JSON = "bad_json"
    ENDLESS_BODY = "endless_body"
    INFLATING_BODY = "inflating_body"
    UNKNOWN_STATUS = "unknown_status"
    STATUS_GOES_BACK = "status_goes_back"
    NEVER_ENDS = "never_ends"
    RUN_FAILS = "run_fails"
    EMPTY_OUTPUTS = "empty_outputs"
    DUPLICATE_OUTPUTS = "duplicate_outputs"
    SHUFFLED_OUTPUTS = "shuffled_outputs"
    PATH_LIKE_NAMES = "path_like_names"
    TRUNCATE_OUTPUT = "truncate_output"
    WRONG_LENGTH = "wrong_length"
    WRONG_MEDIA_TYPE = "wrong_media_type"
    HUGE_PICTURE = "huge_picture"
    LOST_CALLBACK = "lost_callback"
    DUPLICATE_CALLBACK = "duplicate_callback"
    SLOW_CALLBACK = "slow_callback"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One rule. The first rule that matches a request is the one that happens."""

    provider: str
    operation: str
    """A call's operation, or `*`."""
    action: Action
    count: int | None = 1
    """How many more times it happens; None: until cleared."""
    after: int = 0
    """How many matching requests it lets pass first."""
    probability: float = 1.0
    contains: str = ""
    """Matches only requests with this text in path or body."""
    seconds: float = 0.0
    status: int = 500
    body: Any = None
    """JSON for `status`; None: the provider's own error shape, text: sent as it is."""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: str = "out_of_memory"
    word: str = ""

    def matches(self, provider: str, operation: str, text: str) -> bool:
        """Return whether the rule is about this request."""
        return (
            self.provider in (provider, "*")
            and self.operation in (operation, "*")
            and self.contains in text
        )


class Faults:
    """The rules in force. Safe to share between threads."""

    def __init__(self, seed: int = 0) -> None:
        self._rules: list[Fault] = []
        self._rng = Random(seed)
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> None:
        """Put a rule behind those in force."""
        with self._lock:
            self._rules.append(fault)

    def clear(self) -> None:
        """Take every rule back."""
        with self._lock:
            self._rules.clear()

    def rules(self) -> list[Fault]:
        """List the rules in force."""
        with self._lock:
            return list(self._rules)

    def pick(
        self, provider: str, operation: str, text: str, only: Callable[[Action], bool]
    ) -> Fault | None:
        """Return the fault that happens to this request, and count it."""
        with self._lock:
            for index, rule in enumerate(self._rules):
                if not only(rule.action) or not rule.matches(provider, operation, text):
                    continue
                if rule.after > 0:
                    self._rules[index] = replace(rule, after=rule.after - 1)
                    continue
                if self._rng.random() >= rule.probability:
                    continue
                self._spend(index, rule)
                return rule
        return None

    def _spend(self, index: int, rule: Fault) -> None:
        if rule.count is None:
            return
        if rule.count <= 1:
            del self._rules[index]
        else:
            self._rules[index] = replace(rule, count=rule.count - 1)
