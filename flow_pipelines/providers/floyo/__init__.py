"""Floyo: whole ComfyUI graphs in API format, run by a hosted ComfyUI.

Sources: docs.floyo.ai (pages `floyo-api-introduction`, `workflow-runs`, `files`,
`plans-and-billing`) and Floyo's own demo, github.com/FloyoAI/floyo-api-nodejs-demo. What only
other people's clients show is marked as seen in clients, and read with care.
"""

from __future__ import annotations

from flow_pipelines.providers.floyo.adapter import FloyoProvider
from flow_pipelines.providers.floyo.calls import ACCOUNT_STATUSES, NAME, VERDICTS, read_error
from flow_pipelines.providers.floyo.client import FloyoClient
from flow_pipelines.providers.floyo.files import FileNameTaken, OnConflict
from flow_pipelines.providers.floyo.profile import PROFILE
from flow_pipelines.providers.floyo.records import (
    Cancellation,
    CreatedRun,
    File,
    ListedRun,
    Run,
    UploadedFile,
)
from flow_pipelines.providers.floyo.reports import STATES

__all__ = [
    "ACCOUNT_STATUSES",
    "NAME",
    "PROFILE",
    "STATES",
    "VERDICTS",
    "Cancellation",
    "CreatedRun",
    "File",
    "FileNameTaken",
    "FloyoClient",
    "FloyoProvider",
    "ListedRun",
    "OnConflict",
    "Run",
    "UploadedFile",
    "read_error",
]
