"""What happens to a submission, from a row of a table to verified images. No Dagster, no vendor."""

from __future__ import annotations

from flow_pipelines.lifecycle.account_rounds import Round, serve_accounts, serve_night
from flow_pipelines.lifecycle.agenda import Agenda, Todo, agenda
from flow_pipelines.lifecycle.cancel import CancelSummary, cancel_night
from flow_pipelines.lifecycle.collect import collect_night, write_tables
from flow_pipelines.lifecycle.ownership import batch_owner_message, claim_batch
from flow_pipelines.lifecycle.plan import (
    PlannedNight,
    plan_night,
    read_source,
    read_workflow,
    regenerate,
)
from flow_pipelines.lifecycle.poll import PollSummary, poll_due, wait_for_night
from flow_pipelines.lifecycle.ports import Ports, collect_lease, held_lease, submit_lease
from flow_pipelines.lifecycle.progress import NightProgress, night_progress
from flow_pipelines.lifecycle.recover import RecoverSummary, open_night, recover
from flow_pipelines.lifecycle.sending import SubmitSummary
from flow_pipelines.lifecycle.submit import submit_night
from flow_pipelines.lifecycle.summary import NightSummary, summarize_night
from flow_pipelines.lifecycle.takeover import was_taken_over

__all__ = [
    "Agenda",
    "CancelSummary",
    "NightProgress",
    "NightSummary",
    "PlannedNight",
    "PollSummary",
    "Ports",
    "RecoverSummary",
    "Round",
    "SubmitSummary",
    "Todo",
    "agenda",
    "batch_owner_message",
    "cancel_night",
    "claim_batch",
    "collect_lease",
    "collect_night",
    "held_lease",
    "night_progress",
    "open_night",
    "plan_night",
    "poll_due",
    "read_source",
    "read_workflow",
    "recover",
    "regenerate",
    "serve_accounts",
    "serve_night",
    "submit_lease",
    "submit_night",
    "summarize_night",
    "wait_for_night",
    "was_taken_over",
    "write_tables",
]
