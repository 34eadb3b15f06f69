"""The environment, read in one place and only when something is used."""

import os
from decimal import Decimal, InvalidOperation

import dagster as dg

from flow_pipelines.model.errors import ConfigurationError


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


def env_var(variable: str) -> str | None:
    """Return a Dagster `EnvVar` if the variable is set now, so that the UI shows its name only.

    An unset `EnvVar` is an error in Dagster even where nothing uses it; None is looked up again
    when the resource is used, and missed by name then.
    """
    return dg.EnvVar(variable) if os.environ.get(variable) else None
