"""Reading an answer: what it has to be, and the error for one that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import ValidationError

from flow_pipelines.model import json_values
from flow_pipelines.model.errors import SubmitOutcomeUnknown, UnexpectedAnswer
from flow_pipelines.provider.calls import ApiAnswer, ApiRequest, Resend
from flow_pipelines.provider.records import Record

R = TypeVar("R", bound=Record)
_MOST_FIELDS, _MOST_CHARACTERS = 5, 200


@dataclass(frozen=True, kw_only=True)
class AnsweredRequest:
    """A provider's answer, beside the request that it answers.

    Whatever cannot be read raises UnexpectedAnswer; SubmitOutcomeUnknown instead, where the
    request may have bought something.
    """

    provider: str
    request: ApiRequest = field(repr=False)
    answer: ApiAnswer = field(repr=False)

    def document(self) -> Mapping[str, Any]:
        """Return the JSON object that the answer has to be: no HTML, list, null and the like."""
        document = self._json()
        if isinstance(document, dict):
            return document
        raise self.unexpected("the answer is not a JSON object")

    def objects(self, *names: str) -> Sequence[Mapping[str, Any]]:
        """Return its list of JSON objects: bare, or under one of `names`, `data`, `items`."""
        objects = json_values.objects(self._json(), *names)
        if objects is None:
            raise self.unexpected("the answer holds no list")
        return objects

    def read(self, kind: type[R], document: Mapping[str, Any] | None = None) -> R:
        """Return `document`, which is the whole answer where None is given, as a `kind`.

        Raises: UnexpectedAnswer, naming the field that everything depends on and that is missing
        or unusable; SubmitOutcomeUnknown, see above.
        """
        try:
            return kind.model_validate(self.document() if document is None else document)
        except (ValidationError, RecursionError) as error:
            fields = _fields(error)
        # Outside the `except`: pydantic's own error holds the values, links among them.
        raise self.unexpected(f"a {kind.__name__} with missing or unusable {fields}")

    def unexpected(self, why: str) -> UnexpectedAnswer | SubmitOutcomeUnknown:
        """Build the error for an answer that is not what the provider documents."""
        paid = self.request.resend is not Resend.SAFE
        return (SubmitOutcomeUnknown if paid else UnexpectedAnswer)(
            why,
            provider=self.provider,
            operation=self.request.operation,
            status=self.answer.status,
            request_id=request_id(self.answer),
            provider_run_id=self.request.provider_run_id,
        )

    def _json(self) -> Any:
        try:
            return self.answer.json()
        except (ValueError, RecursionError):
            return None


def request_id(answer: ApiAnswer) -> str | None:
    """Return the provider's name for this very answer, which its support asks for."""
    name = answer.headers.get("request-id") or answer.headers.get("x-request-id")
    return name[:_MOST_CHARACTERS] if name else None


def _fields(error: ValidationError | RecursionError) -> str:
    if isinstance(error, RecursionError):
        return "contents"
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    names = dict.fromkeys(".".join(str(part) for part in problem["loc"]) for problem in problems)
    return ", ".join(list(names)[:_MOST_FIELDS])[:_MOST_CHARACTERS]
