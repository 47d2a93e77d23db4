"""What every neural music renderer does around its model: refuse bad briefs, judge raw samples, level, fade, encode.

The model turns descriptions into raw samples. What follows is bound into a :data:`~pipeline.contracts.render.Finish`,
so that it runs beside the accelerator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial as bind
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import Field

from pipeline.adapters.audio import encode_and_measure, fade_ends, trim_silence
from pipeline.adapters.brief_text import refuse_text
from pipeline.adapters.loudness import is_quieter, measure_loudness, set_loudness
from pipeline.adapters.provenance import describe_software
from pipeline.adapters.sound_options import SoundFileOptions
from pipeline.adapters.speech import MAX_FLAT_SHARE, measure_flat_tops
from pipeline.contracts.render import Brief, Finish, Outcome, Render, RenderFailure
from pipeline.values.records import Modality
from pipeline.values.render_sections import MusicSection, RendererChoice
from pipeline.values.units import LUFS, Hertz, Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples

DEFAULT_DURATION: Seconds = 10.0
"""For a brief that states none."""

MIN_DURATION: Seconds = 0.3
"""The shortest that a manifest may ask for."""

MAX_CHARACTERS = 2000
"""A music description is a sentence or two. A longer text is an accident upstream."""

RAW_SILENCE: LUFS = -55.0
"""Raw output quieter than this is no music; a solo played softly lies about 20 LU above."""

MIN_SOUNDING_SHARE = 0.5
"""Least share of the time between first and last sound: music models are known to end a song early and go silent."""

_QUIET_BELOW_PEAK = 60.0
"""Decibels under the peak from which on a moment counts as silent; the tail of a note falls through it within 2 s."""

_FADE_IN: Seconds = 0.005


class MusicOptions(SoundFileOptions):
    """What a manifest may choose of a neural music renderer's files.

    Attributes:
        loudness: Integrated loudness of every piece, BS.1770-4. -16 is what AES TD1008 recommends for music; a peak
            ceiling of -1 dBFS wins where the two conflict.
        fade_out: Seconds, since a model stops where its time is up and not where the music ends; at most half of a
            piece.
    """

    loudness: LUFS = Field(default=-16.0, ge=-40.0, le=-8.0)
    fade_out: Seconds = Field(default=0.5, ge=0.005, le=10.0)


class Piece(NamedTuple):
    """What a model is asked for.

    Attributes:
        seed: The only randomness that the model may use.
    """

    text: str
    duration: Seconds
    seed: int


class MusicEngine(Protocol):
    """What differs between neural music renderers."""

    name: str
    sample_rate: Hertz
    longest: Seconds
    """What the model can make in one go."""

    def make(self, pieces: Sequence[Piece]) -> Sequence[Samples]:
        """Return (num_frames, num_channels) raw samples a piece, in order, none shorter than it asks for.

        Raises:
            OutOfMemory: so many at once do not fit.
            RenderError: the engine cannot work at all.
        """
        ...

    def provenance(self) -> Mapping[str, str]:
        """What plays, beyond the options; see ``Renderer.provenance``."""
        ...


class MusicRenderer:
    """A renderer around an engine that makes several pieces at once. Same batch, same bytes."""

    def __init__(self, engine: MusicEngine, options: MusicOptions) -> None:
        self._engine = engine
        self._options = options

    def render(self, briefs: Sequence[Brief]) -> list[Outcome | Finish]:
        """Return what finishes each brief, in order, or its refusal.

        Raises:
            OutOfMemory: the batch does not fit; nothing of it was made.
        """
        engine = self._engine
        refusals = [refuse_music_brief(brief, engine.name, engine.longest) for brief in briefs]
        wanted = [brief for brief, refusal in zip(briefs, refusals, strict=True) if refusal is None]
        pieces = [Piece(brief.text.strip(), duration_of(brief), brief.seed) for brief in wanted]
        made = iter(engine.make(pieces) if pieces else ())
        return [
            refusal or bind(finish_music, next(made), engine.sample_rate, brief, self._options)
            for brief, refusal in zip(briefs, refusals, strict=True)
        ]

    def provenance(self) -> Mapping[str, str]:
        """The engine's, and the encoder's version."""
        return {**self._engine.provenance(), **describe_software("soundfile")}


def duration_of(brief: Brief) -> Seconds:
    """Seconds that a brief asks for."""
    return DEFAULT_DURATION if brief.duration is None else brief.duration


def refuse_length(section: RendererChoice, renderer: str, longest: Seconds) -> Mapping[str, str]:
    """Say by key of a manifest's section that it asks for longer pieces than a renderer makes; see ``KnowsItsLimits``.

    Args:
        longest: Seconds that the model can make in one go.
    """
    if not isinstance(section, MusicSection) or section.seconds[1] <= longest:
        return {}
    low, high = section.seconds
    return {"seconds": f"{renderer} makes {longest:g} s at most; lower it to {longest:g} (is [{low:g}, {high:g}])"}


def refuse_music_brief(brief: Brief, renderer: str, longest: Seconds) -> RenderFailure | None:
    """Check what can be known before a model is asked.

    Args:
        longest: Seconds that the model can make in one go.
    """
    if brief.modality is not Modality.MUSIC:
        return RenderFailure(
            code="wrong_modality", message=f"brief {brief.id} asks for {brief.modality}; {renderer} makes music"
        )
    duration = duration_of(brief)
    if not math.isfinite(duration) or not MIN_DURATION <= duration <= longest:
        return RenderFailure(
            code="bad_duration",
            message=f"brief {brief.id} asks for {duration:g} s; {renderer} makes {MIN_DURATION:g} to {longest:g} s: "
            "lower render.music.seconds in the manifest",
        )
    if not brief.text.strip():
        return RenderFailure(code="bad_brief", message=f"brief {brief.id} describes no music; its text is empty")
    if len(brief.text) > MAX_CHARACTERS:
        return RenderFailure(
            code="text_too_long",
            message=f"brief {brief.id}: text has {len(brief.text)} characters, must be at most {MAX_CHARACTERS}",
        )
    return refuse_text(brief)


def finish_music(samples: Samples, sample_rate: Hertz, brief: Brief, options: MusicOptions) -> Render | RenderFailure:
    """Judge what a model made, cut it to the brief's duration, level, fade and encode it.

    Codes: ``not_finite``, ``too_short``, ``silent`` and ``clipped``; the bounds are the constants of this module.

    Args:
        samples: (num_frames, num_channels) as the model made them, at least as long as the brief asks for.
    """
    wanted = samples[: round(duration_of(brief) * sample_rate)]
    failure = judge_raw_music(wanted, sample_rate, brief)
    if failure is not None:
        return failure
    levelled = set_loudness(_fade(wanted, sample_rate, options.fade_out), sample_rate, options.loudness)
    data, facts = encode_and_measure(levelled.samples, sample_rate, options.extension, options.quality)
    notes = {"loudness": round(levelled.loudness, 2)}
    return Render(data=data, extension=options.extension, facts=facts, notes=notes)


def judge_raw_music(samples: Samples, sample_rate: Hertz, brief: Brief) -> RenderFailure | None:
    """Refuse raw output that is too short, not finite, silent for the most part, or clipped."""
    import numpy as np

    expected = round(duration_of(brief) * sample_rate)
    if samples.shape[0] < expected:
        message = f"the model made {samples.shape[0] / sample_rate:.2f} s, must be {expected / sample_rate:.2f} s"
        return RenderFailure(code="too_short", message=f"brief {brief.id}: {message}")
    num_bad = int(np.count_nonzero(~np.isfinite(samples)))
    if num_bad:
        message = f"{num_bad} of {samples.size} samples are not finite; another dtype may help"
        return RenderFailure(code="not_finite", message=f"brief {brief.id}: {message}")
    if is_quieter(samples, sample_rate, RAW_SILENCE):
        message = f"music has {measure_loudness(samples, sample_rate):.1f} LUFS, must be over {RAW_SILENCE:g}"
        return RenderFailure(code="silent", message=f"brief {brief.id}: {message}")
    sounding = trim_silence(samples, sample_rate, keep=0.0, threshold_below_peak=_QUIET_BELOW_PEAK)
    if sounding.shape[0] < MIN_SOUNDING_SHARE * samples.shape[0]:
        message = f"only {sounding.shape[0] / sample_rate:.2f} of {samples.shape[0] / sample_rate:.2f} s sound"
        return RenderFailure(code="silent", message=f"brief {brief.id}: {message}")
    share = max(measure_flat_tops(samples[:, channel]) for channel in range(samples.shape[1]))
    if share > MAX_FLAT_SHARE:
        message = f"{share:.2%} of samples lie in flat tops, must be under {MAX_FLAT_SHARE:.2%}"
        return RenderFailure(code="clipped", message=f"brief {brief.id}: {message}")
    return None


def _fade(samples: Samples, sample_rate: Hertz, fade_out: Seconds) -> Samples:
    """Fade in over 5 ms and out over ``fade_out``, or half of the piece if that is shorter."""
    import numpy as np

    num_faded = max(1, min(round(fade_out * sample_rate), samples.shape[0] // 2))
    # The fade-in of the tail is thrown away again with its first half.
    tail = fade_ends(samples[-2 * num_faded :], sample_rate, fade_out)[-num_faded:]
    head = fade_ends(samples, sample_rate, _FADE_IN)[:-num_faded]
    return np.concatenate([head, tail])
