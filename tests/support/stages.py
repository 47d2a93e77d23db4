"""What tests of single stages share: a small manifest, the shipped prompts, a scripted LLM, a watch that remembers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from pipeline.adapters.prompt_files import PromptFolder, shipped_book
from pipeline.contracts.chat import ChatAnswer, ChatRequest, Message, Usage
from pipeline.contracts.watch import Drained
from pipeline.values.errors import ChatFailure
from pipeline.values.ids import topic_id
from pipeline.values.manifest import Manifest
from pipeline.values.records import Topic

FEATURES = frozenset(
    {
        "clarify",
        "compare_images",
        "describe",
        "edit",
        "image_to_music",
        "implicit_request",
        "music_to_image",
        "read_aloud",
        "refer_back",
        "refuse",
        "transcribe",
    }
)
"""What demonstrations show and requirements ask for."""

USAGE = Usage(prompt_tokens=1000, cached_tokens=400, completion_tokens=100)


def describe(**changes: Any) -> dict[str, Any]:
    """A manifest as plain data; keyword arguments replace whole sections."""
    return {
        "schema_version": 1,
        "name": "small",
        "seed": 3,
        "topics": {"list": ["kites"]},
        "mix": [{"name": "draw", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}],
        "writer": {"engine": "openai", "model": "made-up"},
        "render": {
            "image": {"renderer": "minimal-image"},
            "music": {"renderer": "minimal-music"},
            "speech": {"renderer": "minimal-speech", "voices": {"user": ["anna"], "assistant": "dora"}},
        },
    } | changes


def manifest(**changes: Any) -> Manifest:
    return Manifest.model_validate(describe(**changes))


def topics(*texts: str) -> list[Topic]:
    return [Topic(id=topic_id(text), text=text, meta_topic="") for text in texts]


def many_topics(count: int) -> list[Topic]:
    return topics(*(f"the {number} small bells" for number in range(count)))


def read_book() -> PromptFolder:
    """The shipped prompts."""
    return shipped_book()


def request(record: str = "r", **changes: Any) -> ChatRequest:
    values: dict[str, Any] = {
        "record_id": record,
        "purpose": "scenario",
        "model": "made-up",
        "messages": (Message(role="user", content=f"Write about {record}."),),
        "json_schema": {"type": "object"},
        "schema_name": "x",
        "seed": 100,
    }
    return ChatRequest.model_validate(values | changes)


def answer(text: str) -> ChatAnswer:
    return ChatAnswer(text=text, model="made-up-1", finish_reason="stop", usage=USAGE, latency=0.5)


@dataclass
class ScriptedChat:
    """Says what a script says, call after call; a failure in it is raised.

    Attributes:
        script: Texts and errors in order, or a function from request to either.
        requests: What was asked, in order.
    """

    script: Sequence[str | Exception] | Callable[[ChatRequest], str | Exception]
    outlives_run: bool = False
    requests: list[ChatRequest] = field(default_factory=list)

    async def complete(self, request: ChatRequest) -> ChatAnswer:
        self.requests.append(request)
        said = self.script(request) if callable(self.script) else self.script[len(self.requests) - 1]
        if isinstance(said, Exception):
            raise said
        return answer(said)

    async def close(self) -> None:
        pass


def refusal(code: str = "refused") -> ChatFailure:
    return ChatFailure(code, f"the call was {code}")


def damage_column(path: Path, name: str, group: int = 0) -> None:
    """Change the last byte of a column in one row group of a Parquet file, which belongs to a page's contents."""
    found = pq.ParquetFile(path).metadata.row_group(group)
    column = next(c for i in range(found.num_columns) if (c := found.column(i)).path_in_schema == name)
    start = column.dictionary_page_offset or column.data_page_offset
    data = bytearray(path.read_bytes())
    data[start + column.total_compressed_size - 1] ^= 0xFF
    path.write_bytes(bytes(data))


@dataclass
class Notes:
    """A watch that remembers what it was told, and can end the run."""

    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    is_draining: bool = False

    def note(self, event: str, **facts: Any) -> None:
        self.told.append((event, facts))

    def check(self) -> None:
        if self.is_draining:
            raise Drained("the run is ending")

    def of(self, event: str) -> list[dict[str, Any]]:
        """Facts of all notes of one event."""
        return [facts for name, facts in self.told if name == event]
