"""datatrove on the bench's endpoint: ``python ask_datatrove.py URL PROMPTS IN_FLIGHT FOLDER``."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from datatrove.data import Document  # type: ignore[import-not-found]
from datatrove.pipeline.inference.run_inference import (  # type: ignore[import-not-found]
    InferenceConfig,
    InferenceRunner,
)
from datatrove.pipeline.writers import JsonlWriter  # type: ignore[import-not-found]


async def ask(document: Any, generate: Callable[[dict[str, Any]], Awaitable[Any]]) -> Any:
    """One call a document."""
    return await generate({"messages": [{"role": "user", "content": document.text}], "max_tokens": 300})


def main(url: str, prompts: str, in_flight: str, folder: str) -> None:
    """Make all calls."""

    def read() -> Iterator[Any]:
        for line in Path(prompts).read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            yield Document(text=row["prompt"], id=str(row["number"]))

    config = InferenceConfig(
        server_type="endpoint",
        model_name_or_path="bench",
        endpoint_url=url.removesuffix("/v1"),
        max_concurrent_generations=int(in_flight),
        server_ready_delay_sec=0.1,
    )
    writer = JsonlWriter(folder, output_filename="${rank}.jsonl", compression=None)
    InferenceRunner(rollout_fn=ask, config=config, output_writer=writer, skip_bad_requests=True).run(read())


if __name__ == "__main__":
    main(*sys.argv[1:])
