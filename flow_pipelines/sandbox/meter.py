"""What a provider would put on the bill, and every request it was sent."""

from __future__ import annotations

import threading
from collections import Counter, deque
from dataclasses import asdict, dataclass, field

from flow_pipelines.sandbox.life import Spending

_DUPLICATES_SHOWN = 50


@dataclass(frozen=True, kw_only=True)
class RequestRecord:
    """One HTTP request as a stand-in saw it; secrets in the query are already gone."""

    number: int
    at: float
    """Unix seconds: when it came."""
    provider: str
    operation: str
    key: str
    """Label of the API key, never the key; empty when there was none or an unknown one."""
    method: str
    path: str
    status: int
    """0: the connection was closed without an answer."""
    fault: str = ""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """The meter of one provider."""

    runs_billed: int = 0
    distinct_submissions: int = 0
    """By the caller's own name for the run, else by the request's hash."""
    duplicate_bills: int = 0
    """Bills beyond the first of a submission."""
    duplicates: list[str] = field(default_factory=list)
    """Some of the submissions billed more than once."""
    flotime_ms: int = 0
    charged_usd: str = "0"
    """Exact decimal; 0 where the provider charges no money."""
    rate_limited: int = 0
    dropped: int = 0
    """Requests that got no answer."""
    requests: dict[str, int] = field(default_factory=dict)
    """By operation."""


class Meter:
    """Bills and the request log. Safe to share; the log is bounded, the counts are not lost."""

    def __init__(self, max_requests: int) -> None:
        self._log: deque[RequestRecord] = deque(maxlen=max_requests)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._log.clear()
            self._number = 0
            self._bills: dict[str, Counter[str]] = {}
            self._operations: dict[str, Counter[str]] = {}
            self._statuses: dict[str, Counter[int]] = {}

    def bill(self, provider: str, submission: str) -> None:
        """Bill one run of `submission`."""
        with self._lock:
            self._bills.setdefault(provider, Counter())[submission] += 1

    def record(self, record: RequestRecord) -> None:
        """Note one request; its number is given here."""
        with self._lock:
            self._number += 1
            self._log.append(RequestRecord(**{**asdict(record), "number": self._number}))
            self._operations.setdefault(record.provider, Counter())[record.operation] += 1
            self._statuses.setdefault(record.provider, Counter())[record.status] += 1

    def requests(self, after: int = 0, limit: int = 1000) -> list[RequestRecord]:
        """Return up to `limit` records with a number above `after`, oldest first."""
        with self._lock:
            return [one for one in self._log if one.number > after][:limit]

    def reading(self, provider: str, spending: Spending) -> Reading:
        """Read the meter of `provider`."""
        with self._lock:
            bills = self._bills.get(provider, Counter[str]())
            statuses = self._statuses.get(provider, Counter[int]())
            twice = [submission for submission, count in bills.items() if count > 1]
            return Reading(
                runs_billed=bills.total(),
                distinct_submissions=len(bills),
                duplicate_bills=bills.total() - len(bills),
                duplicates=twice[:_DUPLICATES_SHOWN],
                flotime_ms=spending.flotime_ms,
                charged_usd=str(spending.charged_usd),
                rate_limited=statuses[429],
                dropped=statuses[0],
                requests=dict(self._operations.get(provider, {})),
            )
