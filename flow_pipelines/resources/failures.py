"""Our errors in Dagster's words: the only place where one becomes the other."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from flow_pipelines.model.errors import (
    FlowPipelinesError,
    InvalidBatch,
    LeaseLost,
    LedgerBusy,
    ProviderError,
    ProviderUnavailable,
    StorageError,
    StorageRefused,
)

RETRIES = 2
"""Retries of a step; a sensor goes on afterwards, with attempts of its own."""
LEASE_SECONDS_TO_WAIT = 60.0
"""Longer than a dead process keeps its lease."""
SECONDS_TO_WAIT = 30.0
LONGEST_SECONDS_TO_WAIT = 300.0
_SHOWN_OF_A_PROBLEM = ("file", "line", "column", "message")


@contextmanager
def failures() -> Iterator[None]:
    """Turn our errors into Dagster's: what passes by itself is retried, the rest fails at once.

    A retry never buys twice: only what the ledger has as planned is ever sent.

    Raises: dagster.RetryRequested, dagster.Failure.
    """
    try:
        yield
    except StorageRefused as error:
        raise failure(error) from error
    except (ProviderUnavailable, LedgerBusy, LeaseLost, StorageError) as error:
        if _advice(error) > LONGEST_SECONDS_TO_WAIT:
            # The account is held: each retry would only hold a run, and end as this one does.
            raise failure(error) from error
        raise dg.RetryRequested(
            max_retries=RETRIES, seconds_to_wait=_seconds_to_wait(error)
        ) from error
    except FlowPipelinesError as error:
        raise failure(error) from error


def failure(error: FlowPipelinesError) -> dg.Failure:
    """Return the failure of a step that repeating cannot help, with the facts in its metadata."""
    wait = _advice(error)
    text = (
        f"{error}; it asks to wait {wait:,.0f} s" if wait > LONGEST_SECONDS_TO_WAIT else str(error)
    )
    return dg.Failure(text, metadata=_facts(error), allow_retries=False)


def _seconds_to_wait(error: FlowPipelinesError) -> float:
    if isinstance(error, LeaseLost):
        return LEASE_SECONDS_TO_WAIT
    return max(_advice(error), SECONDS_TO_WAIT)


def _advice(error: FlowPipelinesError) -> float:
    advice = error.retry_after_seconds if isinstance(error, ProviderUnavailable) else None
    return advice or 0.0


def _facts(error: FlowPipelinesError) -> dict[str, dg.MetadataValue | str | int]:
    facts: dict[str, dg.MetadataValue | str | int] = {"error": type(error).__name__}
    if isinstance(error, ProviderError):
        details = {
            "provider": error.provider,
            "operation": error.operation,
            "http_status": error.status,
            "error_code": error.code,
            "request_id": error.request_id,
            "provider_run_id": error.provider_run_id,
        }
        facts.update({name: value for name, value in details.items() if value is not None})
    if isinstance(error, InvalidBatch) and error.problems:
        facts["problems"] = dg.MetadataValue.table(
            [
                dg.TableRecord({name: getattr(problem, name) for name in _SHOWN_OF_A_PROBLEM})
                for problem in error.problems[:100]
            ]
        )
    return facts
