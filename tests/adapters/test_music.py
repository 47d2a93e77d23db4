"""What surrounds a neural music model: refusals, gates, cut, level and fade. No model is needed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.loudness import measure_loudness
from pipeline.adapters.music import MusicOptions, MusicRenderer, Piece, finish_music
from pipeline.contracts.render import AudioFacts, Brief, Render, RenderFailure
from pipeline.values.records import Modality

RATE = 32_000
FloatArray = NDArray[np.float32]


def tone(seconds: float, level: float = 0.3, channels: int = 1) -> FloatArray:
    """A chord, (num_frames, channels)."""
    time = np.arange(round(seconds * RATE)) / RATE
    wave = np.mean([np.sin(2 * np.pi * pitch * time) for pitch in (220.0, 277.2, 329.6)], axis=0)
    return np.repeat((level * wave).astype(np.float32)[:, None], channels, axis=1)


def brief(duration: float | None = 2.0, **changes: Any) -> Brief:
    values = {"id": "d", "modality": Modality.MUSIC, "text": "a chord", "seed": 5, "duration": duration, **changes}
    return Brief.model_validate(values)


def made(samples: FloatArray, duration: float = 2.0, **options: Any) -> Render:
    outcome = finish_music(samples, RATE, brief(duration), MusicOptions(**options))
    assert isinstance(outcome, Render), outcome
    return outcome


def code_of(samples: FloatArray) -> str:
    outcome = finish_music(samples, RATE, brief(), MusicOptions())
    assert isinstance(outcome, RenderFailure)
    return outcome.code


class Chords:
    """An engine that plays a chord a piece and keeps what it was asked."""

    name = "chords"
    sample_rate = RATE
    longest = 12.0

    def __init__(self) -> None:
        self.asked: list[Piece] = []

    def make(self, pieces: Sequence[Piece]) -> list[FloatArray]:
        self.asked.extend(pieces)
        return [tone(piece.duration + 0.01, level=0.1 + piece.seed / 100) for piece in pieces]

    def provenance(self) -> Mapping[str, str]:
        return {"model": "chords"}


def test_a_piece_is_cut_levelled_and_fades_out() -> None:
    outcome = made(tone(2.5, level=0.05, channels=2), loudness=-20.0, fade_out=0.5)
    samples, rate = decode_sound(outcome.data)
    assert samples.shape == (2 * RATE, 2) and rate == RATE
    assert isinstance(outcome.facts, AudioFacts) and outcome.facts.duration == 2.0
    assert measure_loudness(samples, RATE) == pytest.approx(-20.0, abs=0.1)
    assert outcome.notes["loudness"] == pytest.approx(-20.0, abs=0.1)

    def level(start: float, end: float) -> float:
        return float(np.max(np.abs(samples[round(start * RATE) : round(end * RATE)])))

    assert level(0.0, 0.0005) < 0.1 * level(0.5, 1.0)
    assert level(1.7, 1.76) == pytest.approx(0.5 * level(0.5, 1.0), rel=0.3)
    assert level(1.99, 2.0) < 0.01 * level(0.5, 1.0)


def test_a_fade_longer_than_the_piece_takes_half_of_it() -> None:
    samples, _ = decode_sound(made(tone(0.4), duration=0.4, fade_out=10.0).data)
    assert float(np.max(np.abs(samples[4_000:6_000]))) > 0.9 * float(np.max(np.abs(samples)))
    assert float(np.max(np.abs(samples[-100:]))) < 0.01


def test_a_loud_piece_keeps_under_the_ceiling() -> None:
    click = tone(2.0, level=0.01)
    click[RATE] = 4.0
    assert isinstance(facts := made(click).facts, AudioFacts)
    assert facts.peak <= 0.892


def test_bad_sound_is_refused_with_its_code() -> None:
    broken = tone(2.0)
    broken[100] = math.nan
    ended = tone(2.0)
    ended[round(0.9 * RATE) :] = 0.0
    assert code_of(broken) == "not_finite"
    assert code_of(tone(2.0, level=1e-4)) == "silent"
    assert code_of(np.zeros((2 * RATE, 1), dtype=np.float32)) == "silent"
    assert code_of(ended) == "silent"
    assert code_of(np.clip(tone(2.0, level=4.0), -1.0, 1.0)) == "clipped"
    assert code_of(tone(1.9)) == "too_short"
    assert code_of(np.zeros((0, 1), dtype=np.float32)) == "too_short"


def test_one_clipped_side_is_enough() -> None:
    sides = np.concatenate([tone(2.0), np.clip(tone(2.0, level=4.0), -1.0, 1.0)], axis=1)
    assert code_of(sides) == "clipped"


def test_what_is_refused_never_reaches_the_engine_and_order_holds() -> None:
    engine = Chords()
    renderer = MusicRenderer(engine, MusicOptions())
    briefs = [
        brief(seed=1),
        brief(duration=12.5),
        brief(duration=math.nan),
        brief(modality=Modality.SPEECH),
        brief(text=" "),
        brief(text="x" * 2001),
        brief(duration=None, seed=2),
    ]
    outcomes = [one() if callable(one) else one for one in renderer.render(briefs)]
    assert engine.asked == [Piece("a chord", 2.0, 1), Piece("a chord", 10.0, 2)]
    codes = [one.code if isinstance(one, RenderFailure) else one.extension for one in outcomes]
    assert codes == ["flac", "bad_duration", "bad_duration", "wrong_modality", "bad_brief", "text_too_long", "flac"]
    assert isinstance(outcomes[1], RenderFailure) and "asks for 12.5 s; chords makes 0.3 to 12 s" in outcomes[1].message
    assert renderer.render([]) == []
    assert set(renderer.provenance()) >= {"model", "soundfile"}
