"""Settings: the environment, read when they are used; and bounds, which have to say something."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from decimal import Decimal, InvalidOperation
from typing import Any, get_args

import dagster as dg

from flow_pipelines.model.errors import ConfigurationError

VALIDATING = "DAGSTER_IS_DEFS_VALIDATION_CLI"
"""Set by `dg check defs` and `dagster definitions validate`."""
_FILLED_IN: ContextVar[bool] = ContextVar("filled_in", default=False)
"""Whether Dagster makes a resource anew, with None for each setting that was left out."""


def setting(value: str | None, variable: str, default: str | None = None) -> str | None:
    """Return a field's own value, else the environment variable's, else `default`.

    An empty variable counts as unset: `FLOYO_BASE_URL=` in a `.env` file means nothing.
    """
    return value or os.environ.get(variable) or default


def money(value: float | str | None, variable: str) -> Decimal | None:
    """Return an amount in USD, None when there is none. Raises: ConfigurationError.

    Here an empty variable is an error: it was written to bound something.
    """
    text = os.environ.get(variable) if value is None else str(value)
    if text is None:
        return None
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        raise ConfigurationError(f"{variable} must be an amount in USD such as 25.00, not {text!r}")
    return amount


def is_validating() -> bool:
    """Return whether definitions are loaded only to be checked: there a fault is an error."""
    return bool(os.environ.get(VALIDATING))


def env_var(variable: str) -> str | None:
    """Return a Dagster `EnvVar` if the variable is set now, so that the UI shows its name only.

    An unset `EnvVar` is an error in Dagster even where nothing uses it; None is looked up again
    when the resource is used, and missed by name then.
    """
    return dg.EnvVar(variable) if os.environ.get(variable) else None


class BoundedResource(dg.ConfigurableResource):  # type: ignore[type-arg]  # stands for itself
    """A resource whose numbers are budgets, prices and limits: left out, or a number.

    `daily_budget_usd=os.environ.get("BUDGET")` with the variable unset would mean "no cap".
    """

    def __init__(self, **data: Any) -> None:
        """Take the settings. Raises: ConfigurationError, for a number that is written as None."""
        for name, value in data.items():
            if value is None and not _FILLED_IN.get() and self._is_number(name):
                raise ConfigurationError(
                    f"{type(self).__name__}: {name} is written and is nothing; give a number, or "
                    "leave it out if there is to be none"
                )
        super().__init__(**data)

    @classmethod
    def from_resource_context(
        cls, context: dg.InitResourceContext, nested_resources: Mapping[str, Any] | None = None
    ) -> Any:
        """Make it from processed configuration, which holds every setting."""
        with _filled_in():
            return super().from_resource_context(context, nested_resources)

    @classmethod
    @contextlib.contextmanager
    def from_resource_context_cm(
        cls, context: dg.InitResourceContext, nested_resources: Mapping[str, Any] | None = None
    ) -> Iterator[Any]:
        """Make it from processed configuration, which holds every setting."""
        made = super().from_resource_context_cm(context, nested_resources)
        with _filled_in():
            value = made.__enter__()
        with contextlib.ExitStack() as stack:
            stack.push(made.__exit__)
            yield value

    @classmethod
    def _is_number(cls, name: str) -> bool:
        field = cls.model_fields.get(name)
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        return int in kinds or float in kinds


@contextlib.contextmanager
def _filled_in() -> Iterator[None]:
    token = _FILLED_IN.set(True)
    try:
        yield
    finally:
        _FILLED_IN.reset(token)
