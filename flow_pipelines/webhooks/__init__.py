"""The receiver of callbacks: verifies what providers tell, and lets the ledger know when to ask."""

from __future__ import annotations

from flow_pipelines.webhooks.app import make_app
from flow_pipelines.webhooks.handler import CallbackHandler, Sender
from flow_pipelines.webhooks.serving import listen, make_server

__all__ = ["CallbackHandler", "Sender", "listen", "make_app", "make_server"]
