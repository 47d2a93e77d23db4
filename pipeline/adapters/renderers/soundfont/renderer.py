"""The music renderer: brief in, encoded piece out."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from pipeline.adapters.audio import encode_and_measure
from pipeline.adapters.provenance import describe_software
from pipeline.adapters.renderers.soundfont.arranging import Score, arrange
from pipeline.adapters.renderers.soundfont.casting import Cast, cast_players
from pipeline.adapters.renderers.soundfont.playing import play
from pipeline.adapters.renderers.soundfont.reading import Reading, read_description
from pipeline.adapters.renderers.soundfont.sounding import FloatArray, Room, Synthesiser, bundled_soundfont, mix_stems
from pipeline.adapters.renderers.soundfont.theory import NOTE_NAMES
from pipeline.adapters.renderers.soundfont.vocabulary import Vocabulary, load_vocabulary
from pipeline.contracts.render import AudioFacts, Brief, Render, RenderFailure
from pipeline.values.ids import derive_random, sha256_hex
from pipeline.values.records import Modality
from pipeline.values.units import Hertz, Seconds

if TYPE_CHECKING:
    from pipeline.adapters.renderers.soundfont import SoundfontOptions

MIN_DURATION: Seconds = 0.5
DEFAULT_DURATION: Seconds = 10.0
SUBTYPES = {"flac": "PCM_16", "wav": "PCM_16"}


@dataclass(frozen=True, slots=True)
class Performance:
    """A piece before it is mixed: one stem a part of the score, each (num_frames, 2)."""

    reading: Reading
    cast: Cast
    score: Score
    stems: tuple[FloatArray, ...]


class SoundfontRenderer:
    """Renders music briefs one by one; the same brief gives the same bytes."""

    def __init__(self, options: SoundfontOptions) -> None:
        """Load vocabulary and soundfont; raises RenderError where the soundfont cannot be read."""
        self._options = options
        self._vocabulary: Vocabulary = load_vocabulary()
        path = bundled_soundfont() if options.soundfont is None else Path(options.soundfont)
        self._synthesiser = Synthesiser(path, options.sample_rate)
        self._soundfont_sha256 = sha256_hex(path.read_bytes())

    @property
    def sample_rate(self) -> Hertz:
        """Frames per second of renders and stems."""
        return self._options.sample_rate

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        """Return one outcome per brief, in order."""
        return [self._render_one(brief) for brief in briefs]

    def provenance(self) -> Mapping[str, str]:
        """The soundfont's hash and the libraries that write and play the notes."""
        return {"soundfont": f"sha256:{self._soundfont_sha256}", **describe_software("tinysoundfont", "pretty_midi")}

    def perform(self, brief: Brief) -> Performance:
        """Read, cast, arrange and play a brief that :meth:`render` would accept, part by part and unmixed."""
        duration = DEFAULT_DURATION if brief.duration is None else brief.duration
        reading = read_description(brief.text, brief.seed, self._vocabulary)
        cast = cast_players(reading, self._vocabulary, derive_random(brief.seed, "music", "cast"))
        score = arrange(reading, cast, self._vocabulary, duration, brief.seed)
        midi = play(score, reading, duration, brief.seed)
        num_frames = round(duration * self._options.sample_rate)
        stems = tuple(self._synthesiser.render_stem(instrument, num_frames) for instrument in midi.instruments)
        return Performance(reading, cast, score, stems)

    def _render_one(self, brief: Brief) -> Render | RenderFailure:
        refusal = self._refuse(brief)
        if refusal is not None:
            return refusal
        played = self.perform(brief)
        genre, form = played.reading.genre, played.score.form
        room = Room(genre.space, genre.echo, 45.0 / form.bpm, genre.muffle)
        roles = [part.role for part in played.score.parts]
        samples = mix_stems(list(zip(roles, played.stems, strict=True)), room, self._options.sample_rate)
        if not np.any(samples):
            return RenderFailure(code="silent", message=f"brief {brief.id}: the arrangement has no sounding note")
        data, facts = self._encode(samples)
        return Render(
            data=data,
            extension=self._options.format,
            facts=facts,
            notes=describe(played.reading, played.cast, played.score),
        )

    def _refuse(self, brief: Brief) -> RenderFailure | None:
        """Say why a brief cannot be rendered, or None."""
        duration = DEFAULT_DURATION if brief.duration is None else brief.duration
        if brief.modality is not Modality.MUSIC:
            return RenderFailure(
                code="wrong_modality", message=f"brief {brief.id} asks for {brief.modality}; soundfont makes music"
            )
        longest = self._options.max_duration
        if not math.isfinite(duration) or not MIN_DURATION <= duration <= longest:
            return RenderFailure(
                code="bad_duration",
                message=f"brief {brief.id} asks for {duration} s; music lasts {MIN_DURATION} to {longest} s",
            )
        return None

    def _encode(self, samples: FloatArray) -> tuple[bytes, AudioFacts]:
        extension, rate = self._options.format, self._options.sample_rate
        if extension not in SUBTYPES:
            return encode_and_measure(samples.astype(np.float32), rate, extension, self._options.quality)
        facts = AudioFacts(
            duration=len(samples) / rate,
            sample_rate=rate,
            channels=2,
            peak=float(np.abs(samples).max()),
            rms=float(np.sqrt(np.mean(samples**2))),
        )
        # libsndfile rounds the samples itself here, as it did for every piece that was ever made so.
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format=extension.upper(), subtype=SUBTYPES[extension])
        return buffer.getvalue(), facts


def describe(reading: Reading, cast: Cast, score: Score) -> dict[str, Any]:
    """What was chosen, for ``Render.notes``: small, JSON-able, and enough to check the sound against."""
    return {
        "genre": reading.genre_name,
        "tempo_bpm": round(score.form.bpm, 2),
        "key": NOTE_NAMES[reading.tonic],
        "mode": reading.mode,
        "scale": reading.scale,
        "metre": reading.metre.name,
        "instruments": list(cast.instruments()),
        "percussion": sorted({part.name for part in score.parts if part.role in ("drums", "percussion")}),
        "num_bars": score.form.num_bars,
    }
