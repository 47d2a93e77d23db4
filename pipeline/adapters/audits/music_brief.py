"""Whether music has the tempo and the key that its description states.

A description states a tempo in beats a minute ("at 90 BPM") or by a word ("slow", "adagio"), and a key as "in A minor".
Most state neither, and then there is nothing to read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.adapters.audits.plain import PlainAudit
from pipeline.adapters.renderers.soundfont.reading import find_mentions, plain_text, stated_key, stated_tempo, tokenise
from pipeline.adapters.renderers.soundfont.theory import NOTE_NAMES, is_minorish
from pipeline.adapters.renderers.soundfont.vocabulary import load_vocabulary
from pipeline.contracts.audit import AuditItem, Measure, Reading, Readings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Mono = npt.NDArray[np.float32]

SHORTEST = 4.0
"""Seconds under which too few beats and chords sound for a verdict."""

LEVELS = (1.0, 2.0, 0.5)
"""Metrical levels at which a stated tempo may be heard; with thirds too, many a wrong one would be heard as right."""

TOLERANCE = 0.03
"""Share by which a tempo may be off: players and renderers keep one within 1.5 %, and an ear notices 2 to 5 %."""

WORD_REACH = 0.25
"""Octaves on either side of a word's tempo that the word covers: 66 beats a minute make "adagio" 55 to 78."""

MEASURES = (
    Measure(
        name="music.tempo_support",
        unit="share",
        better="higher",
        limit=0.85,
        summary="Strength of the stated beats a minute, or of their half or double, beside the strongest tempo.",
    ),
    Measure(
        name="music.pace_error",
        unit="octaves",
        better="lower",
        summary="Octaves from the strongest tempo to what the description's word for it covers; listeners tap at "
        "several levels, so it is only reported.",
    ),
    Measure(
        name="music.key_margin",
        better="lower",
        limit=0.3,
        summary="How much better the best key correlates with the pitches heard than the stated one (Krumhansl).",
    ),
)


class MusicBrief:
    """Measures pieces one by one, and only those whose descriptions state something."""

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each piece, in order."""
        return [_measure(item) for item in items]


def _measure(item: AuditItem) -> Readings:
    text = plain_text(str(item.row.get("description") or ""))
    bpm, key, word = stated_tempo(text), stated_key(text), _find_word(text)
    samples, sample_rate = item.media
    if (bpm is None and key is None and word is None) or len(samples) < SHORTEST * sample_rate or not samples.any():
        return {}
    from pipeline.adapters.hearing import to_mono

    mono = to_mono(samples, sample_rate)
    found: dict[str, Reading] = {}
    if bpm is not None:
        found["music.tempo_support"] = _judge_tempo(mono, *sorted(bpm))
    elif word is not None:
        found["music.pace_error"] = _judge_pace(mono, *word)
    if key is not None:
        found["music.key_margin"] = _judge_key(mono, *key)
    return found


def _find_word(text: str) -> tuple[str, float] | None:
    """Return the first word for a tempo that is not negated, and its beats a minute."""
    vocabulary = load_vocabulary()
    for mention in find_mentions(tokenise(text), vocabulary, "tempo"):
        bpm, own = vocabulary.tempo[mention.name]
        # A second number over 0 says that the word leaves much to the genre.
        if not mention.is_negated and own <= 0.2:
            return mention.name, bpm
    return None


def _judge_tempo(mono: Mono, low: float, high: float) -> Reading:
    import numpy as np

    from pipeline.adapters.hearing import TEMPI, beat_strengths

    strengths = beat_strengths(mono)
    strongest = float(strengths.max())
    near = np.zeros(len(TEMPI), bool)
    for level in LEVELS:
        near |= (low * (1 - TOLERANCE) <= TEMPI * level) & (TEMPI * level <= high * (1 + TOLERANCE))
    if strongest <= 0.0 or not near.any():
        return Reading(value=None, detail="no beat to judge by")
    heard = float(TEMPI[int(strengths.argmax())])
    detail = f"stated {low:g} to {high:g} BPM, strongest {heard:.0f}"
    return Reading(value=max(0.0, float(strengths[near].max()) / strongest), detail=detail)


def _judge_pace(mono: Mono, word: str, bpm: float) -> Reading:
    import math

    from pipeline.adapters.hearing import measure_tempo

    heard, _ = measure_tempo(mono)
    octaves = max(0.0, abs(math.log2(heard / bpm)) - WORD_REACH)
    return Reading(value=octaves, detail=f"{word} is about {bpm:.0f} BPM, strongest {heard:.0f}")


def _judge_key(mono: Mono, tonic: int, scale: str | None) -> Reading:
    from pipeline.adapters.hearing import fit_keys

    fits = fit_keys(mono)
    modes = ("major", "minor") if scale is None else ("minor" if is_minorish(scale) else "major",)
    stated = max(fits[tonic, mode] for mode in modes)
    best = max(fits, key=lambda key: fits[key])
    detail = f"stated {_name(tonic, scale or modes[0])}, heard {_name(*best)}"
    return Reading(value=fits[best] - stated, detail=detail)


def _name(tonic: int, scale: str) -> str:
    return f"{NOTE_NAMES[tonic]} {scale}"


PLUGIN = PlainAudit("music-brief", "2", "music", MEASURES, MusicBrief, packages=("librosa",), extra="audits")
