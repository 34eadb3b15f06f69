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
from flow_pipelines.provider.answers import (
    expect_object,
    expect_objects,
    request_id,
    unexpected,
)
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
    Quota,
    Resend,
    Verdict,
    read_no_error,
    read_no_quota,
    status_is_error,
)
from flow_pipelines.provider.ports import (
    Download,
    Lane,
    PaceStore,
    RateLimit,
    Seal,
    SignIn,
    Transport,
)
from flow_pipelines.provider.profile import (
    ProviderProfile,
)
from flow_pipelines.provider.records import (
    Identifier,
    MaybeAmount,
    MaybeCount,
    MaybeEpochMs,
    MaybeFlag,
    MaybeMoment,
    MaybeNumber,
    MaybeText,
    Objects,
    Record,
    Texts,
    read_record,
)

__all__ = [
    "ApiAnswer",
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
    "Lane",
    "ListsCandidates",
    "ListsWorkflows",
    "MaybeAmount",
    "MaybeCount",
    "MaybeEpochMs",
    "MaybeFlag",
    "MaybeMoment",
    "MaybeNumber",
    "MaybeText",
    "Objects",
    "PaceStore",
    "Provider",
    "ProviderProfile",
    "Quota",
    "RateLimit",
    "Record",
    "Resend",
    "Seal",
    "SignIn",
    "SubmitRequest",
    "TakesFiles",
    "TellsIdentity",
    "Texts",
    "Transport",
    "Verdict",
    "WorkflowListing",
    "expect_object",
    "expect_objects",
    "read_no_error",
    "read_no_quota",
    "read_record",
    "request_id",
    "status_is_error",
    "unexpected",
]
