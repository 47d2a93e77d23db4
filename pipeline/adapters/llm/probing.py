"""Finding out how an endpoint takes the schema of an answer: by asking it once, for two colours."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Literal, NamedTuple

from pipeline.adapters.llm.memory import EndpointMemory
from pipeline.adapters.llm.structured import Form
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Message
from pipeline.values.errors import ChatFailure, EndpointError
from pipeline.values.units import Seconds

FORMS: tuple[Form, ...] = ("json_schema", "bare_schema", "json_object")
"""In the order of trying; the plain text is what is left."""

REJECTED = frozenset({"bad_request"})
"""Failures by which an endpoint says that it does not take a form."""

PASSING = frozenset({"server_error", "timeout", "bad_answer", "rate_limited"})
"""Failures that say nothing of a form, however often they come."""

DOUBT_SECONDS: Seconds = 300.0
"""After so long it is probed again where a stricter form met nothing but passing failures."""

_ABOUT_FORM = re.compile(r"response_format|json.?schema|structured|grammar", re.IGNORECASE)
_FIELD = "colours"

Send = Callable[[ChatRequest, Form], Awaitable[ChatAnswer]]
"""Sends a request in a form, and retries what may pass."""


class Finding(NamedTuple):
    """A form, and whether it is certain that no stricter one works."""

    form: Form
    is_certain: bool


def build_probe(model: str) -> ChatRequest:
    """The probe. Its words do not call for JSON, so that only an endpoint that keeps to the schema answers in it.

    The schema has what schemas of this package have: an array, strings, limits on both.
    """
    colour = {"type": "string", "maxLength": 40}
    schema = {
        "type": "object",
        "properties": {_FIELD: {"type": "array", "items": colour, "minItems": 2, "maxItems": 2}},
        "required": [_FIELD],
        "additionalProperties": False,
    }
    return ChatRequest(
        record_id="",
        purpose="probe",
        model=model,
        messages=(Message(role="user", content="Name two colours."),),
        json_schema=schema,
        schema_name="probe",
        temperature=0.0,
        top_p=1.0,
        max_tokens=512,
        seed=0,
    )


class FormFinder:
    """The form in which a model of an endpoint takes schemas: stated, remembered or probed.

    Args:
        stated: What the manifest says.
    """

    def __init__(self, stated: Form | Literal["auto"], model: str, memory: EndpointMemory, send: Send) -> None:
        self._stated = stated
        self._model = model
        self._memory = memory
        self._send = send
        self._form: Form | None = memory.load().form if stated == "auto" else stated
        self._is_remembered = self._form is not None and stated == "auto"
        self._doubted_at: Seconds | None = None
        self._probing = asyncio.Lock()

    async def find(self) -> Form:
        """Return the form; the first call of all may have to probe, and the others wait for it.

        Raises:
            EndpointError: the endpoint cannot answer even the plain question.
        """
        if self._form is not None and not self._is_in_doubt():
            return self._form
        async with self._probing, self._memory.alone():
            if self._form is not None and not self._is_in_doubt():
                return self._form
            known = None if self._is_remembered else self._memory.load().form
            finding = Finding(known, True) if known else await probe_form(self._send, self._model)
            self._form, self._is_remembered = finding.form, known is not None
            self._doubted_at = None if finding.is_certain else monotonic()
            if finding.is_certain:
                self._memory.learn(form=finding.form)
            return finding.form

    def reconsider(self, words: str) -> bool:
        """Tell whether a refused request is worth another one in a form that is found anew.

        So it is where the endpoint's words are about the form, and the form is remembered from another day.
        """
        if self._is_remembered and _ABOUT_FORM.search(words):
            self._form = None
            return True
        return False

    def _is_in_doubt(self) -> bool:
        return self._doubted_at is not None and monotonic() - self._doubted_at > DOUBT_SECONDS


async def probe_form(send: Send, model: str) -> Finding:
    """Find the strictest form that an endpoint takes; mostly one call.

    Raises:
        EndpointError: the endpoint cannot answer even the plain question.
    """
    request, is_certain = build_probe(model), True
    for form in FORMS:
        try:
            answer = await send(request, form)
        except ChatFailure as exc:
            if exc.code in REJECTED:
                continue
            if exc.code in PASSING:
                is_certain = False
                continue
            return Finding(form, is_certain)  # it took the form, and the model made nothing of the question
        if _keeps_to(form, answer.text):
            return Finding(form, is_certain)
    try:
        await send(request, "text")
    except ChatFailure as exc:
        if exc.code in REJECTED | PASSING:
            raise EndpointError(f"{exc}; not even a plain question was answered, mend it and run again") from exc
    return Finding("text", is_certain)


def _keeps_to(form: Form, text: str) -> bool:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return False
    if not isinstance(value, dict):
        return False
    return form == "json_object" or set(value) == {_FIELD}
