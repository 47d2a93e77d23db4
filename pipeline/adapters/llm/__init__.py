"""LLM endpoints and engines behind the ``ChatModel`` protocol."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.contracts.chat import ChatModel
from pipeline.contracts.render import ModelFiles
from pipeline.contracts.storage import Journal
from pipeline.contracts.watch import Watch
from pipeline.values.writer import Writer


@dataclass(frozen=True)
class ChatSetting:
    """What a chat model finds around it.

    Attributes:
        memory: Folder in which what is found out about endpoints is kept from run to run.
        num_processes: Processes that call the same endpoint at the same time for one run.
        batches: Journal of the batches of the corpus.
    """

    models: ModelFiles
    memory: Path
    num_processes: int
    batches: Journal
    watch: Watch


def open_chat(writer: Writer, setting: ChatSetting) -> ChatModel:
    """Open the endpoint, or load the engine, that a manifest's writer names."""
    if writer.engine == "embedded":
        from pipeline.adapters.llm.embedded import EmbeddedChat, EmbeddedOptions

        options = EmbeddedOptions(
            model=writer.blend[0].model, in_flight=writer.records_in_flight, threads=writer.threads
        )
        return EmbeddedChat(options, setting.models)
    if writer.mode == "batch":
        from pipeline.adapters.llm.batch_chat import BatchChat

        return BatchChat(writer, setting.batches, setting.watch)
    from pipeline.adapters.llm.openai_chat import OpenAIChat

    return OpenAIChat(writer, setting.memory, setting.num_processes)
