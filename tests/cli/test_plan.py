"""``plan``: the published recipe at its published size, in calls, money and GPU hours, without Ray."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.adapters.shipped import shipped
from pipeline.cli.plan import print_plan
from pipeline.execution.forecast import Forecast, forecast
from pipeline.execution.project import load_project
from pipeline.values.errors import ManifestError
from pipeline.values.records import Modality

PUBLISHED = {Modality.IMAGE: 205_000, Modality.MUSIC: 113_000, Modality.SPEECH: 503_000}
"""Of AnyInstruct-108k, rounded as its authors round them (arXiv 2402.12226, 4.2)."""

RECIPE = shipped("manifests", "anyinstruct-108k.yaml")


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Forecast:
    return forecast(load_project(RECIPE, tmp_path_factory.mktemp("corpora") / "none"))


def test_the_recipe_comes_to_the_published_counts(recipe: Forecast) -> None:
    assert (recipe.num_topics, recipe.num_planned) == (20_000, 108_000)
    for modality, published in PUBLISHED.items():
        assert recipe.stages[modality].inventory.missing == pytest.approx(published, rel=0.02), modality


def test_the_recipe_takes_four_rounds_a_meta_topic_and_two_calls_a_dialogue(recipe: Forecast) -> None:
    calls = {name: stage.calls for name, stage in recipe.stages.items() if stage.calls}
    assert calls == {"topics": 400, "scenarios": 108_000, "dialogues": 108_000}
    spent = sum(stage.usd for stage in recipe.stages.values())
    tokens_in = sum(stage.prompt_tokens for stage in recipe.stages.values())
    tokens_out = sum(stage.completion_tokens for stage in recipe.stages.values())
    assert spent == pytest.approx((tokens_in * 2.0 + tokens_out * 8.0) / 1e6, rel=1e-6)


def test_gpu_hours_are_render_hours_times_the_gpus_that_a_worker_holds(recipe: Forecast) -> None:
    stages = recipe.stages
    assert stages[Modality.IMAGE].gpu_seconds == stages[Modality.IMAGE].render_seconds > 3600
    assert stages[Modality.SPEECH].gpu_seconds == pytest.approx(stages[Modality.SPEECH].render_seconds * 0.5)


def test_the_recipe_has_at_least_as_many_voices_as_the_original() -> None:
    casting = load_project(RECIPE).casting
    assert casting is not None
    assert len(casting.pool) >= 39
    assert {voice.renderer for voice in casting.pool.values()} == {"coqui"}


def test_a_plan_fits_a_terminal_of_eighty_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    print_plan(RECIPE, tmp_path / "none", None)
    said = capsys.readouterr().out
    table = said[said.index("stage ") : said.index("In all")]
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= 80
    assert re.search(r"image-to-image-an\s+speech, image\s+speech, image,\s+2 to 3\s+32\.0%\s+34,560", table)
    assert re.search(r"In all about 216,400 LLM calls, .* USD, and .* of rendering \([\d.]+ GPU hours\)", said)


def test_a_plan_imports_neither_ray_nor_torch(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from pipeline.cli.plan import print_plan;"
        f"print_plan(Path({str(RECIPE)!r}), Path({str(tmp_path / 'none')!r}), None);"
        "sys.exit(bool({'ray', 'torch', 'diffusers', 'transformers', 'TTS'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("budget: 5", "nobody stated what made-up costs, so no budget can be kept: state writer.price"),
        ("budget: -1", "budget: must be 0.0 or more (is -1)"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused_by_the_plan_already(
    change: str, expected: str, tmp_path: Path
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.read_text("utf-8").replace("model: gpt-4.1\n", "model: made-up\n") + change, "utf-8")
    with pytest.raises(ManifestError, match=re.escape(expected)):
        print_plan(path, tmp_path / "none", None)


def test_a_plan_names_the_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.read_text("utf-8") + "budget: 100\n", "utf-8")
    print_plan(path, tmp_path / "none", None)
    assert "The budget of all runs together is 100.00 USD." in capsys.readouterr().out


def test_a_plan_says_that_a_run_would_lack_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    print_plan(RECIPE, tmp_path / "none", None)
    assert "would be refused" not in capsys.readouterr().out
    monkeypatch.delenv("OPENAI_API_KEY")
    print_plan(RECIPE, tmp_path / "none", None)
    said = capsys.readouterr().out
    line = next(n for n, text in enumerate(RECIPE.read_text("utf-8").splitlines(), 1) if text == "writer:")
    assert f"A run would be refused: {RECIPE}:{line}: writer.api_key_env: $OPENAI_API_KEY is not set" in said


def test_no_amount_of_money_is_no_budget() -> None:
    with pytest.raises(ManifestError, match="budget inf: is no amount of money"):
        load_project(RECIPE).check_budget(math.inf)
