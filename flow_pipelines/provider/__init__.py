"""The seam: what a provider's file has to offer, and the ports that rooms above fill in.

A provider's file builds `ApiRequest`s and reads `ApiAnswer`s. It never opens a socket, waits,
retries or decides what an error means for a submission: `flow_pipelines.transport` does, from
what each request declares about itself.

`provider.records` has the fields of typed results, `provider.callbacks` what a provider sends by
itself.
"""

from __future__ import annotations

from flow_pipelines.provider.adapter import (
    Candidate,
    Capabilities,
    InputFile,
    ListsCandidates,
    ListsWorkflows,
    Provider,
    SubmitRequest,
    TakesFiles,
    TellsIdentity,
    WorkflowListing,
)
from flow_pipelines.provider.base import InputValues, ProviderAdapter
from flow_pipelines.provider.calls import (
    ApiAnswer,
    ApiRequest,
    DocumentedCall,
    ErrorBody,
    Method,
    Quota,
    Resend,
    Verdict,
    documented,
    read_no_error,
)
from flow_pipelines.provider.client import (
    MAX_DOWNLOAD_BYTES,
    AnsweredRequest,
    ApiClient,
    ApiDefaults,
    request_id,
)
from flow_pipelines.provider.ports import (
    Download,
    PaceStore,
    Purpose,
    RateLimit,
    Seal,
    SignIn,
    Transport,
    TurnRequest,
)
from flow_pipelines.provider.profile import ProviderProfile

__all__ = [
    "MAX_DOWNLOAD_BYTES",
    "AnsweredRequest",
    "ApiAnswer",
    "ApiClient",
    "ApiDefaults",
    "ApiRequest",
    "Candidate",
    "Capabilities",
    "DocumentedCall",
    "Download",
    "ErrorBody",
    "InputFile",
    "InputValues",
    "ListsCandidates",
    "ListsWorkflows",
    "Method",
    "PaceStore",
    "Provider",
    "ProviderAdapter",
    "ProviderProfile",
    "Purpose",
    "Quota",
    "RateLimit",
    "Resend",
    "Seal",
    "SignIn",
    "SubmitRequest",
    "TakesFiles",
    "TellsIdentity",
    "Transport",
    "TurnRequest",
    "Verdict",
    "WorkflowListing",
    "documented",
    "read_no_error",
    "request_id",
]
