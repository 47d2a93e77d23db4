"""DataDesigner on the bench's endpoint: ``python ask_data_designer.py URL PROMPTS IN_FLIGHT FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path

import data_designer.config as dd  # type: ignore[import-not-found]
from data_designer.interface import DataDesigner  # type: ignore[import-not-found]


def main(url: str, prompts: str, in_flight: str, folder: str) -> None:
    """Make all calls: one text column over a seed table of prompts."""
    provider = dd.ModelProvider(name="bench", endpoint=url, api_key="none")
    parameters = dd.ChatCompletionInferenceParams(max_parallel_requests=int(in_flight), max_tokens=300, timeout=60)
    model = dd.ModelConfig(
        alias="writer", model="bench", provider="bench", inference_parameters=parameters, skip_health_check=True
    )
    builder = dd.DataDesignerConfigBuilder(model_configs=[model])
    builder.with_seed_dataset(dd.LocalFileSeedSource(path=prompts), sampling_strategy=dd.SamplingStrategy.ORDERED)
    builder.add_column(dd.LLMTextColumnConfig(name="answer", model_alias="writer", prompt="{{ prompt }}"))
    designer = DataDesigner(artifact_path=folder, model_providers=[provider])
    designer.set_run_config(dd.RunConfig(disable_early_shutdown=True))
    count = len(Path(prompts).read_text(encoding="utf-8").splitlines())
    designer.create(builder, num_records=count, dataset_name="bench")


if __name__ == "__main__":
    main(*sys.argv[1:])
