"""What one run of a night is taken to cost before it is sent."""

from __future__ import annotations

from decimal import Decimal

from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import BatchSettings, NightRecord
from flow_pipelines.model.errors import ConfigurationError


def price_of(settings: BatchSettings, ports: Ports, record: NightRecord) -> Decimal | None:
    """Return the estimate, in USD, of one run of a night; None: nobody knows one.

    Raises: ConfigurationError, where a budget has to be kept without one.
    """
    workflow = ports.ledger.workflow(record.workflow_version)
    estimate = ports.provider.estimate_usd(workflow, settings.price_usd_per_run)
    has_budget = settings.budget_usd is not None or settings.daily_budget_usd is not None
    if estimate is None and has_budget:
        message = (
            f"Batch {settings.name!r} has a budget, but nobody knows what a run on "
            f"{settings.provider} costs: set price_usd_per_run in its defs.yaml"
        )
        raise ConfigurationError(message)
    return estimate
