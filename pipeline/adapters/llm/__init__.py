"""LLM endpoints and engines behind the ``ChatModel`` protocol."""

from __future__ import annotations

from pathlib import Path

from pipeline.contracts.chat import ChatModel
from pipeline.contracts.render import ModelFiles
from pipeline.values.manifest import Writer


def open_chat(writer: Writer, models: ModelFiles, memory: Path | None = None) -> ChatModel:
    """Open the endpoint, or load the engine, that a manifest's writer names.

    Args:
        memory: Folder in which what is found out about endpoints is kept from run to run; None keeps nothing.
    """
    if writer.engine == "embedded":
        from pipeline.adapters.llm.embedded import EmbeddedChat, EmbeddedOptions

        options = EmbeddedOptions(
            model=writer.blend[0].model, in_flight=writer.records_in_flight, threads=writer.threads
        )
        return EmbeddedChat(options, models)
    from pipeline.adapters.llm.openai_chat import OpenAIChat

    return OpenAIChat(writer, memory)
