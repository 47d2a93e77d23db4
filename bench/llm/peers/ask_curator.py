"""curator on the bench's endpoint: ``python ask_curator.py URL PROMPTS IN_FLIGHT FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

# First, and only for its side effect: it brings the tokenizer that curator would download.
import litellm.litellm_core_utils.default_encoding  # type: ignore[import-not-found]  # noqa: F401
from bespokelabs import curator  # type: ignore[import-not-found]


class Writer(curator.LLM):  # type: ignore[misc]
    """One call a prompt."""

    def prompt(self, row: dict[str, Any]) -> str:
        """The prompt as it is."""
        return str(row["prompt"])

    def parse(self, row: dict[str, Any], response: Any) -> dict[str, Any]:
        """The answer as it is."""
        return {"number": row["number"], "answer": str(response)}


def main(url: str, prompts: str, in_flight: str, folder: str) -> None:
    """Make all calls; no cap of its own stands in the way."""
    rows = [json.loads(line) for line in Path(prompts).read_text(encoding="utf-8").splitlines()]
    settings = {
        "base_url": url,
        "api_key": "none",
        "max_concurrent_requests": int(in_flight),
        "max_requests_per_minute": 10**6,
        "max_tokens_per_minute": 10**9,
        "require_all_responses": False,
    }
    Writer(model_name="bench", backend="openai", backend_params=settings)(rows, working_dir=folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
