"""distilabel on the bench's endpoint: ``python ask_distilabel.py URL PROMPTS IN_FLIGHT FOLDER``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from distilabel.models import OpenAILLM  # type: ignore[import-not-found]
from distilabel.pipeline import Pipeline  # type: ignore[import-not-found]
from distilabel.steps import LoadDataFromDicts  # type: ignore[import-not-found]
from distilabel.steps.tasks import TextGeneration  # type: ignore[import-not-found]


def main(url: str, prompts: str, in_flight: str, folder: str) -> None:
    """Make all calls: a batch is what is in flight at once."""
    rows = [json.loads(line) for line in Path(prompts).read_text(encoding="utf-8").splitlines()]
    instructions = [{"instruction": row["prompt"]} for row in rows]
    with Pipeline(name="bench", cache_dir=folder) as pipeline:
        load = LoadDataFromDicts(data=instructions, batch_size=int(in_flight))
        llm = OpenAILLM(model="bench", base_url=url, api_key="none", generation_kwargs={"max_new_tokens": 300})
        load >> TextGeneration(llm=llm, input_batch_size=int(in_flight))
    pipeline.run(use_cache=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
