"""XTTS through coqui-tts, on tiny random weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `models` is not installed")
pytest.importorskip("TTS", reason="the extra `models` is not installed")

import torch
from TTS.tts.configs.xtts_config import XttsConfig

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers.coqui import PLUGIN
from pipeline.adapters.renderers.coqui.folder import load_tensors
from pipeline.adapters.renderers.coqui.xtts import draw_by
from pipeline.adapters.speech_batches import BatchSpeechRenderer, Utterance
from pipeline.adapters.voices import load_voices
from pipeline.contracts.render import Brief, Outcome, Render, RenderFailure, Voice
from pipeline.values.errors import ModelFileError
from pipeline.values.records import Modality
from tests.support.tiny_coqui import READY_MADE, write_tiny_xtts

VOICE = Voice(name="a", renderer="coqui", speaker=READY_MADE, languages=("en-US",), licence="MIT")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_xtts(tmp_path_factory.mktemp("coqui") / "xtts")


@pytest.fixture(scope="module")
def renderer(folder: Path) -> BatchSpeechRenderer:
    options: Any = PLUGIN.options.model_validate({"model": str(folder), "device": "cpu", "licence": "MIT"})
    loaded = PLUGIN.load(options, ModelCache())
    assert isinstance(loaded, BatchSpeechRenderer)
    return loaded


@pytest.fixture(scope="module")
def voices(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Voice]:
    """Voices with recordings: a hum for each, one too short, one that is no sound at all."""
    place = tmp_path_factory.mktemp("voices")
    for name, pitch, seconds in (("low", 110.0, 1.2), ("high", 440.0, 1.2), ("short", 220.0, 0.4)):
        wave = 0.5 * np.sin(2 * np.pi * pitch * np.arange(round(seconds * 16_000)) / 16_000)
        (place / f"{name}.wav").write_bytes(encode_audio(wave.astype(np.float32), 16_000, "wav"))
    (place / "torn.wav").write_bytes(b"RIFF half a file")
    (place / "both").mkdir()
    for name in ("low", "high"):
        shutil.copy(place / f"{name}.wav", place / "both")
    lines = "".join(
        f"  - {{name: {name.partition('.')[0]}, renderer: coqui, languages: [en, de], licence: CC0-1.0, "
        f"reference: {name}}}\n"
        for name in ("low.wav", "high.wav", "short.wav", "torn.wav", "both")
    )
    (place / "voices.yaml").write_text(f"voices:\n{lines}")
    return dict(load_voices(place / "voices.yaml"))


def brief(**changes: Any) -> Brief:
    values = {"id": "b", "modality": Modality.SPEECH, "text": "Good day.", "seed": 11, "voice": VOICE, **changes}
    return Brief.model_validate(values)


def render(renderer: BatchSpeechRenderer, *briefs: Brief) -> list[Outcome]:
    return [made() if callable(made) else made for made in renderer.render(briefs)]


def test_chance_is_the_briefs_own_and_the_global_generator_is_left_alone(renderer: BatchSpeechRenderer) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        state = torch.get_rng_state()
        [first] = render(renderer, brief())
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        other, again = render(renderer, brief(seed=12), brief())
    assert isinstance(first, Render)
    assert again == first
    assert isinstance(other, Render)
    assert other.data != first.data


def test_voices_are_cloned_from_recordings(renderer: BatchSpeechRenderer, voices: dict[str, Voice]) -> None:
    outcomes = render(renderer, *(brief(voice=voices[name]) for name in ("low", "high", "both")), brief())
    clips = [outcome for outcome in outcomes if isinstance(outcome, Render)]
    assert len(clips) == 4, outcomes
    assert len({clip.data for clip in clips}) == 4
    assert [clip.notes["voice"] for clip in clips] == ["low", "high", "both", "a"]


def test_the_rate_sets_the_pace(renderer: BatchSpeechRenderer) -> None:
    slow, fast = (renderer._engine.speak([Utterance("Good day.", VOICE, rate, 1)])[0] for rate in (0.8, 1.6))
    assert not isinstance(slow, RenderFailure)
    assert not isinstance(fast, RenderFailure)
    assert len(fast) < 0.6 * len(slow)  # half, but for rounding to the model's long frames


def test_a_voice_or_text_that_cannot_be_spoken_fails_alone(
    renderer: BatchSpeechRenderer, voices: dict[str, Voice]
) -> None:
    outcomes = render(
        renderer,
        brief(voice=VOICE.model_copy(update={"speaker": "nobody"})),
        brief(voice=VOICE.model_copy(update={"languages": ("sv-SE",)})),
        brief(voice=voices["short"]),
        brief(voice=voices["torn"]),
        brief(text="abc " * 45),  # more tokens than this model takes
    )
    codes = [outcome.code for outcome in outcomes if isinstance(outcome, RenderFailure)]
    assert codes == ["unknown_voice", "unsupported_language", "unknown_voice", "unknown_voice", "engine"]
    assert "reference" in str(outcomes[0])
    assert "under 1 s" in str(outcomes[2])


def test_a_recording_that_is_gone_is_an_unknown_voice(renderer: BatchSpeechRenderer, tmp_path: Path) -> None:
    voice = VOICE.model_copy(update={"reference": tmp_path / "gone.wav", "reference_sha256": "0" * 16})
    [outcome] = render(renderer, brief(voice=voice))
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == "unknown_voice"


def test_a_folder_without_a_vocabulary_is_refused(folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "config.json", tmp_path)
    options: Any = PLUGIN.options.model_validate({"model": str(tmp_path), "device": "cpu", "licence": "MIT"})
    with pytest.raises(ModelFileError, match=r"vocab\.json"):
        PLUGIN.load(options, ModelCache())


def test_the_settings_in_published_checkpoints_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save({"config": XttsConfig(), "loss": np.float64(0.5), "model": {"a": torch.ones(2)}}, path)
    written = path.read_bytes()
    assert list(load_tensors(path)) == ["a"]
    assert path.read_bytes() == written, "coqui itself would have written the file anew"


def test_what_is_drawn_is_what_sampling_would_draw() -> None:
    scores = torch.tensor([[2.0, 1.0, 0.0, -1.0, 3.0]])
    drawing = draw_by(torch.Generator().manual_seed(3), temperature=2.0, top_k=4, top_p=1.0)
    drawn = [int(drawing(None, scores).argmax()) for _ in range(4000)]
    expected = torch.softmax(torch.tensor([2.0, 1.0, 0.0, float("-inf"), 3.0]) / 2.0, dim=0)
    shares = torch.bincount(torch.tensor(drawn), minlength=5) / len(drawn)
    assert torch.allclose(shares, expected, atol=0.03)
    assert int(shares[3]) == 0
    again = draw_by(torch.Generator().manual_seed(3), temperature=2.0, top_k=4, top_p=1.0)
    assert [int(again(None, scores).argmax()) for _ in range(40)] == drawn[:40]
