"""What every speech renderer does around its engine: cut the text, join the clips, level them, refuse bad ones.

An engine turns one short text into raw samples. Around it stand, in this order: checks of the brief, sentences packed
into chunks, silence trimmed and ends faded a chunk, pauses between chunks, one loudness for the clip, gates, bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pydantic import Field

from pipeline.adapters.audio import encode_and_measure, fade_ends, trim_silence
from pipeline.adapters.brief_text import refuse_text
from pipeline.adapters.loudness import SILENCE_LUFS, is_quieter, measure_loudness, set_loudness
from pipeline.adapters.provenance import describe_software
from pipeline.adapters.sound_options import SoundFileOptions
from pipeline.contracts.render import Brief, Render, RenderFailure, Voice
from pipeline.values.records import Modality
from pipeline.values.spoken import is_speakable
from pipeline.values.units import LUFS, Hertz, Seconds

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples

MIN_RATE, MAX_RATE = 0.5, 2.0
"""Paces a brief may ask for: what Kokoro takes, and what Piper still speaks clearly."""

MAX_CHARACTERS = 4000
"""About four and a half minutes. A longer text is an accident upstream, and would hold the worker for minutes."""

LETTERS_PER_SECOND = 14.0
"""Mean pace of English at rate 1.0, over pauses: about 2.8 words of five letters. For estimates only."""

MIN_LETTERS_PER_SECOND, MAX_LETTERS_PER_SECOND = 4.0, 32.0
"""Bounds of plausible speech at rate 1.0: 0.8 and 6.4 words of five letters a second. Slow dictation runs at about
1.5 words, the fastest auctioneers at 6; outside the bounds an engine has swallowed its text or hangs on a sound."""

SLACK: Seconds = 1.5
"""Added to the longest plausible clip for hesitant short texts; each mark that makes a voice pause adds 0.6."""

MIN_DURATION: Seconds = 0.2
"""Anything shorter holds no word."""

MAX_FLAT_SHARE = 0.002
"""Share of samples in flat tops above which a clip counts as clipped; audible from about one in 500."""

RAW_SILENCE: LUFS = -55.0
"""An engine's raw output quieter than this holds no voice; both engines speak between -30 and -15."""

_CHUNK_CHARACTERS = 200
_PAUSES = {".": 0.4, "!": 0.4, "?": 0.4, ";": 0.25, ":": 0.25, ",": 0.18}
_PAUSES |= {"。": 0.4, "！": 0.4, "？": 0.4, "；": 0.25, "：": 0.25, "，": 0.18, "、": 0.18}
_SENTENCE_GAP = r"(?<=[.!?])\s+|(?<=[。！？])(?![」』”’）。！？])\s*"
_CLAUSE_GAP = r"(?<=[,;:])\s+|(?<=[，、；：])\s*"
_PAUSE_ELSEWHERE: Seconds = 0.06
_WIDE, _LETTERS_A_SIGN = 0x3001, 3
"""First code point of the scripts in which a sign is a syllable and more, with their marks; what one counts for."""

_CHUNK_EDGE: Seconds = 0.05
"""Kept on both sides of a chunk, since soft consonants fade out under the threshold of silence; part of the pause."""


class ClipOptions(SoundFileOptions):
    """What a manifest may choose of a clip of speech, whoever spoke it.

    Attributes:
        loudness: Integrated loudness of every clip, BS.1770-4; -23 is that of EBU R128, and low enough that a peak
            ceiling of -1 dBFS, which wins where the two conflict, hardly ever does.
        edge_silence: Seconds of silence left at both ends.
    """

    loudness: LUFS = Field(default=-23.0, ge=-40.0, le=-12.0)
    edge_silence: Seconds = Field(default=0.08, ge=0.0, le=1.0)


class SpeechOptions(ClipOptions):
    """What a manifest may choose of a speech renderer on this machine.

    Attributes:
        threads: Cores that one utterance may use. Output does not depend on it (marked ``changes_output: False`` in
            the schema).
    """

    threads: int = Field(default=1, ge=1, le=64, json_schema_extra={"changes_output": False})


class Chunk(NamedTuple):
    """A stretch of text spoken in one go, and the seconds of pause after it."""

    text: str
    pause: Seconds


class SpeechEngine(Protocol):
    """What differs between speech renderers."""

    name: str
    sample_rate: Hertz
    errors: tuple[type[Exception], ...]
    """What the engine raises over one text that it cannot speak."""

    def refuse(self, voice: Voice) -> RenderFailure | None:
        """Say why this voice cannot be spoken here, or None."""
        ...

    def start(self, brief: Brief, voice: Voice) -> Callable[[str], Samples]:
        """Return a function that speaks one chunk into (num_frames,) raw samples; none at all if it has no sound.

        Called once a brief, so that whatever chance the engine uses starts from the brief's seed.
        """
        ...

    def provenance(self) -> Mapping[str, str]:
        """What speaks, beyond the options; see ``Renderer.provenance``."""
        ...


class SpeechRenderer:
    """A renderer around an engine that speaks one chunk at a time. Same brief, same bytes."""

    def __init__(self, engine: SpeechEngine, options: SpeechOptions) -> None:
        self._engine = engine
        self._options = options

    def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
        """Return one outcome per brief, in order. What is wrong with one brief fails that brief only."""
        return [self._render_one(brief) for brief in briefs]

    def provenance(self) -> Mapping[str, str]:
        """The engine's, and the encoder's version."""
        return {**self._engine.provenance(), **describe_software("soundfile")}

    def _render_one(self, brief: Brief) -> Render | RenderFailure:
        voice = brief.voice
        refusal = refuse_brief(brief, self._engine.name)
        if refusal is not None or voice is None:
            return refusal or RenderFailure(code="bad_brief", message=f"brief {brief.id} names no voice")
        refusal = self._engine.refuse(voice)
        if refusal is not None:
            return refusal
        try:
            samples = self._speak(brief, voice)
        except self._engine.errors as exc:
            return RenderFailure(
                code="engine", message=f"brief {brief.id}: {self._engine.name} cannot speak {brief.text[:60]!r}: {exc}"
            )
        return finish_speech(samples, self._engine.sample_rate, brief, self._options)

    def _speak(self, brief: Brief, voice: Voice) -> Samples:
        speak = self._engine.start(brief, voice)
        chunks = plan_chunks(brief)
        return join_clips([speak(chunk.text) for chunk in chunks], chunks, self._engine.sample_rate)


def plan_chunks(brief: Brief) -> list[Chunk]:
    """Cut a brief's text into chunks, each with its pause at the brief's rate.

    Pauses vary by up to 15 %, drawn from the brief's seed.
    """
    random = Random(brief.seed)
    return [
        Chunk(chunk.text, chunk.pause * random.uniform(0.85, 1.15) / brief.rate)
        for chunk in split_into_chunks(brief.text)
    ]


def join_clips(clips: Sequence[Samples], chunks: Sequence[Chunk], sample_rate: Hertz) -> Samples:
    """Trim and fade each chunk's clip, and set the pauses between them; a chunk without sound brings no pause.

    Args:
        clips: One a chunk, (num_frames,) as an engine spoke it.

    Returns:
        (num_frames, 1), with no frames where nothing was spoken.
    """
    import numpy as np

    pieces: list[Samples] = []
    silence: Seconds = 0.0
    for raw, chunk in zip(clips, chunks, strict=True):
        clip = trim_silence(raw, sample_rate, keep=_CHUNK_EDGE) if raw.size else raw.reshape(0, 1)
        if not clip.size:
            continue
        if pieces:
            pieces.append(np.zeros((round(silence * sample_rate), 1), dtype=np.float32))
        pieces.append(fade_ends(clip, sample_rate))
        silence = max(0.0, chunk.pause - 2 * _CHUNK_EDGE)
    return np.concatenate(pieces) if pieces else np.zeros((0, 1), dtype=np.float32)


def split_into_chunks(text: str) -> list[Chunk]:
    """Cut a text at sentence ends into chunks of at most 200 characters, packing short sentences together.

    Kana and ideographs count three each: they take as many phonemes as three letters. Pauses are those of rate 1.0.

    Sentences that are longer are cut at commas, then at spaces, then anywhere: a word of a thousand letters is
    nonsense, but must not break an engine.
    """
    pieces: list[str] = []
    for sentence in re.split(_SENTENCE_GAP, text.strip()):
        pieces.extend(_cut(sentence, (_CLAUSE_GAP, r"\s+")))
    chunks: list[str] = []
    for piece in filter(None, pieces):
        gap = "" if chunks and ord(chunks[-1][-1]) >= _WIDE else " "
        if chunks and _width(chunks[-1] + gap + piece) <= _CHUNK_CHARACTERS:
            chunks[-1] += gap + piece
        else:
            chunks.append(piece)
    return [Chunk(chunk, _PAUSES.get(chunk[-1], _PAUSE_ELSEWHERE)) for chunk in chunks]


def _cut(piece: str, boundaries: tuple[str, ...]) -> list[str]:
    if _width(piece) <= _CHUNK_CHARACTERS:
        return [piece]
    if not boundaries:
        step = _CHUNK_CHARACTERS * len(piece) // _width(piece)
        return [piece[start : start + step] for start in range(0, len(piece), step)]
    return [part for smaller in re.split(boundaries[0], piece) for part in _cut(smaller, boundaries[1:])]


def _width(text: str) -> int:
    return sum(_LETTERS_A_SIGN if ord(sign) >= _WIDE else 1 for sign in text)


def count_letters(text: str) -> float:
    """Count letters as a voice meets them: kana and ideographs, a syllable each, count as three."""
    return float(_width("".join(sign for sign in text if sign.isalnum())))


def estimate_duration(text: str, rate: float) -> Seconds:
    """Expected seconds of speech, edges included."""
    return 0.3 + count_letters(text) / (LETTERS_PER_SECOND * max(rate, 0.1))


def bound_duration(text: str, rate: float) -> Seconds:
    """Most seconds of speech, without the silence at the ends, that are plausible for a text."""
    num_marks = sum(sign in _PAUSES for sign in text)
    return (count_letters(text) / MIN_LETTERS_PER_SECOND + SLACK + 0.6 * num_marks) / rate


def finish_speech(samples: Samples, sample_rate: Hertz, brief: Brief, options: ClipOptions) -> Render | RenderFailure:
    """Trim, level, gate and encode what an engine spoke.

    Codes: ``silent``, ``clipped``, and ``too_short`` or ``too_long`` for the text; the bounds are the constants of
    this module, divided by the brief's rate.
    """
    failure = judge_raw_speech(samples, sample_rate, brief)
    if failure is not None:
        return failure
    trimmed = trim_silence(samples, sample_rate, keep=options.edge_silence)
    failure = judge_duration(trimmed.shape[0] / sample_rate - 2 * options.edge_silence, brief)
    if failure is not None:
        return failure
    levelled = set_loudness(fade_ends(trimmed, sample_rate), sample_rate, options.loudness)
    data, facts = encode_and_measure(levelled.samples, sample_rate, options.extension, options.quality)
    notes = {
        "loudness": round(levelled.loudness, 2),
        "voice": brief.voice.name if brief.voice else None,
        "rate": brief.rate,
    }
    return Render(data=data, extension=options.extension, facts=facts, notes=notes)


def judge_raw_speech(samples: Samples, sample_rate: Hertz, brief: Brief) -> RenderFailure | None:
    """Refuse an engine's raw output that is silent or clipped."""
    if not samples.size or is_quieter(samples, sample_rate, RAW_SILENCE):
        loudness = measure_loudness(samples, sample_rate) if samples.size else SILENCE_LUFS
        return RenderFailure(
            code="silent", message=f"brief {brief.id}: speech has {loudness:.1f} LUFS, must be over {RAW_SILENCE}"
        )
    share = measure_flat_tops(samples)
    if share > MAX_FLAT_SHARE:
        return RenderFailure(
            code="clipped",
            message=f"brief {brief.id}: {share:.2%} of samples lie in flat tops, must be under {MAX_FLAT_SHARE:.2%}",
        )
    return None


def judge_duration(spoken: Seconds, brief: Brief) -> RenderFailure | None:
    """Refuse a clip that is too short or too long for its text.

    Args:
        spoken: Seconds without the silence at the ends.
    """
    letters = count_letters(brief.text)
    shortest = max(MIN_DURATION, letters / (MAX_LETTERS_PER_SECOND * brief.rate))
    longest = bound_duration(brief.text, brief.rate)
    if shortest <= spoken <= longest:
        return None
    code, bound = (
        ("too_short", f"at least {shortest:.2f}") if spoken < shortest else ("too_long", f"at most {longest:.2f}")
    )
    return RenderFailure(
        code=code,
        message=f"brief {brief.id}: speech lasts {spoken:.2f} s, must be {bound} s for {letters:.0f} letters at rate "
        f"{brief.rate:g}",
    )


def measure_flat_tops(samples: Samples) -> float:
    """Share of samples that lie in runs of three or more equal values within 1 % of the clip's peak, in [0, 1]."""
    import numpy as np

    mono = np.asarray(samples, dtype=np.float32).reshape(samples.shape[0], -1)[:, 0]
    if mono.size < 3:
        return 0.0
    is_top = np.abs(mono) >= 0.99 * float(np.max(np.abs(mono)))
    is_same = is_top[1:] & (mono[1:] == mono[:-1])
    is_middle = is_same[1:] & is_same[:-1]
    in_run = np.zeros(mono.size, dtype=bool)
    in_run[:-2] |= is_middle
    in_run[1:-1] |= is_middle
    in_run[2:] |= is_middle
    return float(np.mean(in_run))


def refuse_brief(brief: Brief, renderer: str) -> RenderFailure | None:
    """Check what can be known before an engine is asked."""
    wrong: str | None = None
    if brief.modality is not Modality.SPEECH:
        wrong = f"modality is {brief.modality}, must be speech"
    elif brief.voice is None:
        wrong = f"no voice is given; choose one that {renderer} speaks"
    elif brief.voice.renderer != renderer:
        wrong = f"voice {brief.voice.name!r} belongs to renderer {brief.voice.renderer!r}, not to {renderer!r}"
    elif not MIN_RATE <= brief.rate <= MAX_RATE:
        wrong = f"rate is {brief.rate}, must be {MIN_RATE} to {MAX_RATE}"
    if wrong is not None:
        return RenderFailure(code="bad_brief", message=f"brief {brief.id}: {wrong}")
    if not is_speakable(brief.text):
        return RenderFailure(
            code="unspeakable", message=f"brief {brief.id}: nothing to say in {brief.text[:60]!r}; it has no letters"
        )
    if len(brief.text) > MAX_CHARACTERS:
        return RenderFailure(
            code="text_too_long",
            message=f"brief {brief.id}: text has {len(brief.text)} characters, must be at most {MAX_CHARACTERS}",
        )
    return refuse_text(brief)
