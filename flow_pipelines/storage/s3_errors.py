"""What an S3 error means: who has to act, and whether asking again may help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)

from flow_pipelines.model.errors import (
    ConfigurationError,
    FlowPipelinesError,
    StorageError,
    StorageRefused,
)
from flow_pipelines.retries import Retries

T = TypeVar("T")

_BUCKET = "Set FLOW_PIPELINES_BUCKET to a bucket that exists"
_KEYS = "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE, or a role)"
_RIGHTS = (
    "Give these credentials s3:PutObject, s3:GetObject and s3:AbortMultipartUpload on the "
    "bucket's objects and s3:ListBucket on the bucket, or set FLOW_PIPELINES_BUCKET to another one"
)
_REGION = "Set AWS_REGION to the bucket's region, or AWS_ENDPOINT_URL_S3 to the store's address"

# Source: docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html; a HEAD has no body, so
# there botocore gives the bare status in place of a code.
_ADVICE = {
    "NoSuchBucket": f"there is no such bucket. {_BUCKET}, or create it.",
    "InvalidBucketName": f"this cannot be a bucket's name. {_BUCKET}.",
    "AccessDenied": f"access is denied. {_RIGHTS}.",
    "AllAccessDisabled": f"access is disabled. {_RIGHTS}.",
    "AccountProblem": f"the account is blocked. {_RIGHTS}.",
    "403": f"access is denied. {_KEYS}. {_RIGHTS}.",
    "InvalidAccessKeyId": f"the access key is unknown there. {_KEYS}.",
    "SignatureDoesNotMatch": f"the secret key does not fit the access key. {_KEYS}.",
    "InvalidToken": f"the session token is not valid. {_KEYS} and AWS_SESSION_TOKEN.",
    "ExpiredToken": f"the session token has expired. {_KEYS} and AWS_SESSION_TOKEN anew.",
    "RequestTimeTooSkewed": "this machine's clock is wrong. Set it.",
    "PermanentRedirect": f"the bucket is in another region. {_REGION}.",
    "301": f"the bucket is in another region. {_REGION}.",
    "AuthorizationHeaderMalformed": f"the region does not fit the bucket. {_REGION}.",
    "IllegalLocationConstraintException": f"the region does not fit the bucket. {_REGION}.",
    "NoCredentialsError": f"there are no credentials. {_KEYS}.",
    "PartialCredentialsError": f"the credentials are incomplete. {_KEYS}.",
    "CredentialRetrievalError": f"the credentials could not be obtained. {_KEYS}.",
    "ProfileNotFound": "the profile is unknown here. Correct AWS_PROFILE.",
    "NoRegionError": f"no region is set. {_REGION}.",
    "InvalidRegionError": f"the region is not one. {_REGION}.",
    "ParamValidationError": f"the bucket's name, or an argument, is not valid. {_BUCKET}.",
    "ValueError": f"the store's address is not valid. {_REGION}.",
}

# Damaged on its way, or cut short: BadDigest, IncompleteBody, XAmzContentSHA256Mismatch.
_TRANSIENT = frozenset({
    "BadDigest", "IncompleteBody", "XAmzContentSHA256Mismatch",
    "InternalError", "OperationAborted", "QuotaExceeded", "RequestTimeout", "ServiceUnavailable",
    "SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "408", "429",
})  # fmt: skip
NOT_IMPLEMENTED = 501
_FIRST_SERVER_ERROR = 500
_FOR_GOOD = frozenset({400, 405, 411, 413, 414, 415, 416, NOT_IMPLEMENTED})
_CONNECTION = (
    BotoConnectionError,
    HTTPClientError,
    IncompleteReadError,
    ReadTimeoutError,
    ResponseStreamingError,
)

S3Error = (ClientError, BotoCoreError)
"""Everything that boto3 raises for a request."""


def code_of(error: Exception) -> str:
    """Return the store's own error code; for errors that are not an answer, their class."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", "")) or str(status_of(error))
    return type(error).__name__


def status_of(error: Exception) -> int:
    """Return the HTTP status of an error answer; 0 where there was no answer."""
    if isinstance(error, ClientError):
        return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    return 0


def is_transient(error: Exception) -> bool:
    """Return whether the same request may succeed later: throttled, full, broken, or unanswered."""
    if isinstance(error, ClientError):
        status = status_of(error)
        server = status >= _FIRST_SERVER_ERROR and status != NOT_IMPLEMENTED
        return server or code_of(error) in _TRANSIENT
    return isinstance(error, _CONNECTION)


def is_for_good(error: Exception) -> bool:
    """Return whether the request itself is refused, so that the same one never succeeds."""
    return status_of(error) in _FOR_GOOD and not is_transient(error)


def explain(error: Exception, *, doing: str, bucket: str, key: str) -> FlowPipelinesError:
    """Put an error of boto3 in words that name the place and what to do.

    The store's own message is left out where it is about credentials.
    """
    place = f"s3://{bucket}/{key}" if bucket else "S3"
    advice = _ADVICE.get(code_of(error))
    if advice is None and isinstance(error, ClientError) and status_of(error) in (401, 403):
        advice = _ADVICE["403"]
    if advice is not None:
        named = f"Bucket {bucket!r}: " if bucket else ""
        return ConfigurationError(f"{named}cannot {doing} ({place}; {code_of(error)}): {advice}")
    if is_for_good(error):
        return StorageRefused(
            f"Cannot {doing} at {place} ({_facts(error)}). What is already stored is intact; "
            "the same request again cannot help: the bucket's settings, or ours, have to change."
        )
    hint = (
        " Check that the store is up, and that AWS_ENDPOINT_URL_S3 is its address."
        if isinstance(error, _CONNECTION)
        else ""
    )
    return StorageError(
        f"Cannot {doing} at {place} ({_facts(error)}). What is already stored is intact; "
        f"run it again when the bucket answers.{hint}"
    )


def _facts(error: Exception) -> str:
    text = str(error)
    if isinstance(error, ClientError):
        text = str(error.response.get("Error", {}).get("Message", ""))
    status = f"HTTP {status_of(error)}, " if status_of(error) else ""
    return f"{status}{code_of(error)}: {text[:300]}"


@dataclass(frozen=True)
class Retrying:
    """Repeats what is transient, and explains what remains."""

    bucket: str
    retries: Retries

    def __call__(self, action: Callable[[], T], *, doing: str, key: str) -> T:
        """Return `action`'s result. Raises: StorageError, ConfigurationError."""
        try:
            return self.retries.run(action, wait_for=_wait_for)
        except S3Error as error:
            raise explain(error, doing=doing, bucket=self.bucket, key=key) from error


def _wait_for(error: Exception) -> float | None:
    return 0.0 if isinstance(error, S3Error) and is_transient(error) else None
