"""The seam: what a provider's file has to offer, and the ports that rooms above fill in.

A provider's file builds `ApiRequest`s and reads `ApiAnswer`s. It never opens a socket, waits,
retries or decides what an error means for a submission: `flow_pipelines.transport` does, from
what each request declares about itself.
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
from flow_pipelines.provider.answers import AnsweredRequest, request_id
from flow_pipelines.provider.base import InputValues, ProviderAdapter
from flow_pipelines.provider.callbacks import (
    Callback,
    CallbackReader,
    CallbackRefused,
    CallbackRequest,
)
from flow_pipelines.provider.calls import (
    ApiAnswer,
    ApiRequest,
    DocumentedCall,
    ErrorBody,
    Method,
    Quota,
    Resend,
    Verdict,
    read_no_error,
    read_no_quota,
    status_is_error,
)
from flow_pipelines.provider.client import MAX_DOWNLOAD_BYTES, ApiClient, ApiDefaults
from flow_pipelines.provider.ports import (
    Download,
    PaceStore,
    Purpose,
    RateLimit,
    Seal,
    SignIn,
    Transport,
)
from flow_pipelines.provider.profile import ProviderProfile
from flow_pipelines.provider.records import (
    Identifier,
    MaybeAmount,
    MaybeCount,
    MaybeEpochMs,
    MaybeFlag,
    MaybeIdentifier,
    MaybeMoment,
    MaybeNumber,
    MaybeProse,
    MaybeText,
    Record,
    Status,
    Texts,
    every_object,
)

__all__ = [
    "MAX_DOWNLOAD_BYTES",
    "AnsweredRequest",
    "ApiAnswer",
    "ApiClient",
    "ApiDefaults",
    "ApiRequest",
    "Callback",
    "CallbackReader",
    "CallbackRefused",
    "CallbackRequest",
    "Candidate",
    "Capabilities",
    "DocumentedCall",
    "Download",
    "ErrorBody",
    "Identifier",
    "InputFile",
    "InputValues",
    "ListsCandidates",
    "ListsWorkflows",
    "MaybeAmount",
    "MaybeCount",
    "MaybeEpochMs",
    "MaybeFlag",
    "MaybeIdentifier",
    "MaybeMoment",
    "MaybeNumber",
    "MaybeProse",
    "MaybeText",
    "Method",
    "PaceStore",
    "Provider",
    "ProviderAdapter",
    "ProviderProfile",
    "Purpose",
    "Quota",
    "RateLimit",
    "Record",
    "Resend",
    "Seal",
    "SignIn",
    "Status",
    "SubmitRequest",
    "TakesFiles",
    "TellsIdentity",
    "Texts",
    "Transport",
    "Verdict",
    "WorkflowListing",
    "every_object",
    "read_no_error",
    "read_no_quota",
    "request_id",
    "status_is_error",
]
