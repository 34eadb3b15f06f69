"""The receiver of callbacks: verifies them, and marks in the ledger what is due to be polled."""

from __future__ import annotations

from flow_pipelines.webhooks.app import make_app
from flow_pipelines.webhooks.handler import CallbackHandler, Sender
from flow_pipelines.webhooks.serving import listen, make_server

__all__ = ["CallbackHandler", "Sender", "listen", "make_app", "make_server"]
