from __future__ import annotations

import numpy as np
import pytest

from pipeline.adapters.audits.speech_voices import MEASURES, MODEL, PLUGIN, WIDTH, VoiceComparer
from pipeline.adapters.audits.voice_activity import RATE
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, AuditOptions, Readings, Sketch
from tests.support.planted_delivery import FEW, plant_voices, read_short, score
from tests.support.spoken import speak

LIKENESS, MARGIN = (measure.name for measure in MEASURES)


@pytest.fixture(scope="module")
def comparer(models: ModelCache) -> VoiceComparer:
    return PLUGIN.load(AuditOptions(), models)


def sketch(name: str, speaker: str, angle: float, voiced: float = 2.0, dialogue: str = "d") -> Sketch:
    """A voice as a direction in a plane."""
    numbers = np.zeros(WIDTH + 1)
    numbers[[0, 1, WIDTH]] = np.cos(angle), np.sin(angle), voiced
    return Sketch(name, dialogue, numbers.astype("<f2").tobytes() + speaker.encode())


def compare(comparer: VoiceComparer, *sketches: Sketch) -> dict[str, Readings]:
    return dict(comparer.compare(sketches))


def test_one_wrong_clip_falls_short_and_spoils_none_of_the_others(comparer: VoiceComparer) -> None:
    clips = [sketch("a1", "anna", 0.0), sketch("a2", "anna", 0.1), sketch("a3", "anna", 1.5)]
    clips += [sketch("b1", "ben", 1.5), sketch("b2", "ben", 1.4)]
    found = compare(comparer, *clips)
    likeness = {name: readings[LIKENESS].value for name, readings in found.items()}
    margin = {name: readings[MARGIN].value for name, readings in found.items()}
    short = {name for name, value in likeness.items() if value is not None and not MEASURES[0].passes(value)}
    assert short == {name for name, value in margin.items() if value is not None and value < 0} == {"a3"}
    assert likeness["a1"] == pytest.approx(np.cos(0.1), abs=1e-3)
    assert margin["a1"] == pytest.approx(np.cos(0.1) - np.cos(1.4), abs=2e-3)
    assert found["a1"][MARGIN].detail == "anna, nearest ben"


def test_short_clips_and_lone_ones_are_not_judged(comparer: VoiceComparer) -> None:
    found = compare(comparer, sketch("a1", "anna", 0.0), sketch("a2", "anna", 1.5, 0.4), sketch("b1", "ben", 1.0))
    assert {readings[LIKENESS].value for readings in found.values()} == {None}
    assert all(MARGIN not in readings for readings in found.values())


def test_dialogues_have_nothing_to_do_with_each_other(comparer: VoiceComparer) -> None:
    found = compare(comparer, sketch("a1", "anna", 0.0), sketch("a2", "anna", 1.5, dialogue="e"))
    assert {readings[LIKENESS].value for readings in found.values()} == {None}


def test_a_speaker_is_the_voice_else_the_role(comparer: VoiceComparer) -> None:
    sound = speak("Here is a picture of the old lighthouse.")
    rows: tuple[dict[str, str], ...] = ({"voice": "joe", "role": "user"}, {"role": "user"}, {})
    kept = comparer.sketch([AuditItem("a", "d", row, b"x", lambda _: sound) for row in rows])
    assert [None if data is None else data[2 * (WIDTH + 1) :] for data in kept] == [b"joe", b"user", None]
    silent = AuditItem("s", "d", rows[0], b"x", lambda _: (np.zeros((RATE, 1), np.float32), RATE))
    assert comparer.sketch([silent]) == [None]
    numbers = np.frombuffer((kept[0] or b"")[: 2 * WIDTH], "<f2").astype(np.float64)
    assert np.linalg.norm(numbers) == pytest.approx(1.0, abs=1e-2)


def test_the_comparison_needs_no_weights() -> None:
    assert compare(VoiceComparer("/nowhere"), sketch("a1", "anna", 0.0)).keys() == {"a1"}
    assert PLUGIN.models(AuditOptions()) == (MODEL,)


def test_real_voices_are_told_apart(models: ModelCache) -> None:
    planted = list(plant_voices(74, 1, FEW))
    scores = score(planted, read_short(planted, PLUGIN))
    assert len(scores) == 2
    assert all((found.recall, found.precision) == (1.0, 1.0) for found in scores.values()), scores
