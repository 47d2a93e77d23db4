"""The LLM seam: one request, one answer, one protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from pydantic import Field

from pipeline.values.ids import content_key
from pipeline.values.records import Record
from pipeline.values.units import Seconds


class Picture(Record):
    """A picture that goes with a message.

    Attributes:
        sha256: Of the bytes: what journals and keys hold of it.
        data: The bytes, a JPEG.
    """

    sha256: str
    data: bytes = Field(exclude=True, repr=False)


def _is_empty(pictures: tuple[Picture, ...]) -> bool:
    return not pictures


class Message(Record):
    """One chat message; pictures are for endpoints whose model sees them."""

    role: Literal["system", "user", "assistant"]
    content: str
    # Left out where there are none, so that requests without any have the keys that they had before there were some.
    pictures: tuple[Picture, ...] = Field(default=(), exclude_if=_is_empty)


class ChatRequest(Record):
    """One call to an LLM, complete: equal requests have equal keys.

    Attributes:
        record_id: The record that the call serves; with ``purpose`` it makes journals readable.
        purpose: ``topics``, ``scenario``, ``dialogue`` or ``turn-03``.
        attempt: 0 for the first try at an answer that validates, then 1, 2, …
        json_schema: The answer must be a JSON text of this schema.
        max_tokens: Limit of the answer; reaching it is a ``cut_off``.
        repeat_penalty: Sampling penalty of local engines (1.0 is off); endpoints that do not know it never see it.
    """

    record_id: str
    purpose: str
    attempt: int = 0
    model: str
    messages: tuple[Message, ...]
    json_schema: Mapping[str, Any]
    schema_name: str
    temperature: float = 0.8
    top_p: float = 0.95
    repeat_penalty: float = 1.0
    max_tokens: int = 1024
    seed: int

    def key(self) -> str:
        """Hash of everything above; the name under which its answer is journalled."""
        return content_key("request", self.model_dump(mode="json"))

    @property
    def num_pictures(self) -> int:
        """Pictures of all messages."""
        return sum(len(message.pictures) for message in self.messages)


class Usage(Record):
    """Tokens of one call, as the endpoint counts them; cached ones are part of the prompt."""

    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0


class ChatAnswer(Record):
    """What came back.

    Attributes:
        text: The raw answer, unparsed.
        model: Model name as the endpoint reports it.
        finish_reason: ``stop``, ``length``, ``content_filter`` or what the endpoint says.
        latency: Seconds from sending to the whole answer.
    """

    text: str
    model: str
    finish_reason: str
    usage: Usage
    latency: Seconds


class ChatModel(Protocol):
    """An LLM endpoint or engine. Safe for many concurrent calls on one event loop.

    Attributes:
        outlives_run: True where a call that was sent goes on without the process that sent it, so that asking again
            after a kill waits for the same answer and pays nothing.
    """

    outlives_run: bool

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer one request.

        Raises:
            ChatFailure: this call came to nothing (after the adapter's own retries); others may go on.
            EndpointError: no call can succeed (key, quota, unknown model).
        """
        ...

    async def close(self) -> None:
        """Release connections, threads and weights."""
        ...
