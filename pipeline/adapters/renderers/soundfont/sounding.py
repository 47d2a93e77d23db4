"""From MIDI to samples: stems through the soundfont, balanced by loudness, mixed in a room."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import tinysoundfont
from numpy.typing import NDArray

from pipeline.values.errors import RenderError
from pipeline.values.units import Hertz, Seconds

FloatArray = NDArray[np.float32]

# Loudness of a part beside the lead, in dB, and its place between left (-1) and right (1).
LEVELS = {
    "lead": 0.0, "counter": -3.0, "inner": -5.0, "comp": -5.0, "arpeggio": -5.0, "pad": -6.0, "bass": -4.0,
    "drone": -7.0, "drums": -4.0, "percussion": -5.0,
}  # fmt: skip
PLACES = {"lead": 0.0, "counter": 0.35, "inner": -0.4, "comp": -0.3, "arpeggio": 0.4, "percussion": 0.25}
WET = {"bass": 0.25, "drums": 0.45, "drone": 1.2, "pad": 1.2}
"""Share of the room's reverberation that a role gets, where it is not 1."""
PEAK = 10 ** (-1 / 20)
LIMIT_CREST = 10 ** (15 / 20)
"""Peaks over 15 dB above the mean are eased, so that one drum stroke does not make a piece quiet."""
FLUSH: Seconds = 0.1
FRAME_BYTES = 8
BLOCK = 64
"""Frames between which events are placed: 2 ms at 32 kHz, the block in which the synthesiser itself works."""


@dataclass(frozen=True, slots=True)
class Room:
    """How a mix sounds as a whole.

    Attributes:
        wet: Share of reverberation, 0 to 1.
        echo: Strength of a dotted-eighth echo.
        echo_seconds: Its delay.
        muffle: Frequency in Hz above which the mix is damped, or None.
    """

    wet: float
    echo: float
    echo_seconds: Seconds
    muffle: float | None


def bundled_soundfont() -> Path:
    """Path of TimGM6mb.sf2 in the installed pretty_midi, found without importing it."""
    spec = importlib.util.find_spec("pretty_midi")
    if spec is None or not spec.submodule_search_locations:
        raise RenderError("the music renderer needs the package pretty_midi: pip install pretty_midi")
    return Path(spec.submodule_search_locations[0]) / "TimGM6mb.sf2"


class Synthesiser:
    """A soundfont loaded once; each stem starts from silence and default controllers."""

    def __init__(self, path: Path, sample_rate: Hertz) -> None:
        """Load a soundfont.

        Raises:
            RenderError: the file is missing or no soundfont.
        """
        if not path.is_file():
            raise RenderError(f"there is no soundfont at {path}; leave the option soundfont out to use the bundled one")
        self.sample_rate = sample_rate
        self._synth = tinysoundfont.Synth(gain=-6.0, samplerate=sample_rate)
        try:
            self._font = self._synth.sfload(str(path), max_voices=128)
        except RuntimeError as exc:
            raise RenderError(f"{path} cannot be read as a soundfont (.sf2): {exc}") from exc

    def render_stem(self, instrument: Any, num_frames: int) -> FloatArray:
        """Play one pretty_midi instrument; returns (num_frames, 2)."""
        self._synth.soundfonts[self._font].reset()
        # Voices of the stem before only fade out at a reset (10 ms); what is left of them must not sound here.
        self._synth.generate_simple(round(FLUSH * self.sample_rate))
        channel = 9 if instrument.is_drum else 0
        self._select(channel, instrument.program, instrument.is_drum)
        view = memoryview(bytearray(num_frames * FRAME_BYTES))
        at = 0
        for frame, is_on, pitch, velocity in self._events(instrument, num_frames):
            if frame > at:
                self._synth.generate_simple(frame - at, buffer=view[at * FRAME_BYTES : frame * FRAME_BYTES])
                at = frame
            if is_on:
                self._synth.noteon(channel, pitch, velocity)
            else:
                self._synth.noteoff(channel, pitch)
        if at < num_frames:
            self._synth.generate_simple(num_frames - at, buffer=view[at * FRAME_BYTES :])
        return np.frombuffer(view, dtype=np.float32).reshape(num_frames, 2)

    def _select(self, channel: int, program: int, is_drum: bool) -> None:
        """Choose a preset; a kit or program that a foreign soundfont lacks falls back to its first."""
        try:
            self._synth.program_select(channel, self._font, 128 if is_drum else 0, program, is_drum)
        except RuntimeError:
            self._synth.program_select(channel, self._font, 128 if is_drum else 0, 0, is_drum)

    def _events(self, instrument: Any, num_frames: int) -> list[tuple[int, bool, int, int]]:
        """Note events on the block grid, releases before strokes of the same block."""
        events: list[tuple[int, bool, int, int]] = []
        for note in instrument.notes:
            start = round(note.start * self.sample_rate / BLOCK) * BLOCK
            end = max(start + BLOCK, round(note.end * self.sample_rate / BLOCK) * BLOCK)
            if start < num_frames:
                events.append((start, True, note.pitch, note.velocity))
                events.append((min(end, num_frames), False, note.pitch, 0))
        return sorted(events)


def mix_stems(stems: list[tuple[str, FloatArray]], room: Room, sample_rate: Hertz) -> FloatArray:
    """Balance stems by perceived loudness after their role, add the room, ease peaks and fade out.

    Args:
        stems: (role, samples) a part; all samples (num_frames, 2).

    Returns:
        (num_frames, 2) with its peak at -1 dBFS, or all zero where every stem is silent.
    """
    num_frames = stems[0][1].shape[0] if stems else 0
    mix = np.zeros((num_frames, 2), dtype=np.float32)
    send = np.zeros((num_frames, 2), dtype=np.float32)
    heard: dict[str, int] = {}
    for role, stem in stems:
        level = loudness(stem, sample_rate)
        if level <= 0:
            continue
        side = PLACES.get(role, 0.0) * (-1.0) ** heard.get(role, 0)
        heard[role] = heard.get(role, 0) + 1
        gain = 10 ** (LEVELS[role] / 20) / level
        # Equal power from left to right, 1 in the middle.
        angle = (side + 1) * np.pi / 4
        balanced = stem * (gain * np.sqrt(2) * np.array([np.cos(angle), np.sin(angle)], dtype=np.float32)).astype(
            np.float32
        )
        mix += balanced
        send += balanced * np.float32(WET.get(role, 1.0))
    mix = mix + _reverberate(send, room, sample_rate)
    if room.muffle is not None:
        mix = _damp(mix, room.muffle, sample_rate)
    return _finish(mix, sample_rate)


def loudness(samples: FloatArray, sample_rate: Hertz) -> float:
    """Root mean square of the sounding parts, weighted like the ear: a gentle roll-off below 150 Hz and above 8 kHz.

    Blocks of 0.1 s more than 30 dB under the loudest are left out, so that rests do not make a part louder.
    """
    mono = (samples[:, 0] + samples[:, 1]) / 2
    length = sample_rate // 10
    num_blocks = len(mono) // length
    if num_blocks == 0 or not np.any(mono):
        return 0.0
    spectrum = np.fft.rfft(mono[: num_blocks * length].reshape(num_blocks, length), axis=1)
    frequency = np.fft.rfftfreq(length, 1 / sample_rate)
    weight = frequency**2 / (frequency**2 + 150.0**2) / np.sqrt(1 + (frequency / 8_000) ** 4)
    # A gentle lift around 2 to 4 kHz, where the ear is keenest.
    weight *= 1 + 0.6 * np.exp(-(np.log2(np.maximum(frequency, 1) / 3_000) ** 2))
    weight = weight.astype(np.float32)
    power = np.sum(np.abs(spectrum * weight) ** 2, axis=1) / length**2
    sounding = power[power > power.max() * 1e-3]
    return float(np.sqrt(sounding.mean()))


def _reverberate(send: FloatArray, room: Room, sample_rate: Hertz) -> FloatArray:
    """Add the room to what is sent to it; same shape as the input."""
    if room.wet <= 0 and room.echo <= 0:
        return np.zeros_like(send)
    num_frames = send.shape[0]
    size, answer = _room_answer(room, num_frames, sample_rate)
    spectrum = np.fft.rfft(np.ascontiguousarray(send.T), size)
    spectrum *= answer
    return np.asarray(np.fft.irfft(spectrum, size)[:, :num_frames].T, dtype=np.float32)


@lru_cache(maxsize=4)
def _room_answer(room: Room, num_frames: int, sample_rate: Hertz) -> tuple[int, NDArray[np.complex64]]:
    """Transform length and spectrum (2, length // 2 + 1) of a room: decaying noise (Moorer 1979) and echoes.

    The noise is always the same, so that a room is a property of the genre and no chance.
    """
    seconds = 0.5 + 3.5 * room.wet
    length = round(seconds * sample_rate)
    time = np.arange(length) / sample_rate
    noise = np.random.Generator(np.random.PCG64(1979)).standard_normal((2, length))
    # Smoothing over 4 frames takes the hiss out of the tail, as air and curtains do.
    noise = np.stack([np.convolve(row, np.ones(4) / 4, mode="same") for row in noise])
    tail = noise * np.exp(-6.9 * time / seconds)
    tail[:, : round(0.012 * sample_rate)] = 0.0
    tail *= room.wet / np.sqrt(np.sum(tail**2, axis=1))[:, None]
    for repeat in (1, 2, 3):
        at = round(repeat * room.echo_seconds * sample_rate)
        if room.echo > 0 and at < length:
            tail[repeat % 2, at] += room.echo**repeat
    size = _smooth_size(num_frames + length)
    return size, np.fft.rfft(tail.astype(np.float32), size).astype(np.complex64)


def _smooth_size(least: int) -> int:
    """The smallest 2^n, 3 * 2^n or 5 * 2^n that is long enough: short transforms and fast ones."""
    return min(base << max(0, (-(-least // base) - 1).bit_length()) for base in (1, 3, 5))


def _damp(mix: FloatArray, cutoff: float, sample_rate: Hertz) -> FloatArray:
    """Low-pass like an old tape: -3 dB at the cutoff, 12 dB an octave above."""
    num_frames = mix.shape[0]
    size = _smooth_size(num_frames)
    spectrum = np.fft.rfft(np.ascontiguousarray(mix.T), size)
    spectrum /= np.sqrt(1 + (np.fft.rfftfreq(size, 1 / sample_rate) / cutoff) ** 4).astype(np.float32)
    return np.asarray(np.fft.irfft(spectrum, size)[:, :num_frames].T, dtype=np.float32)


def _finish(mix: FloatArray, sample_rate: Hertz) -> FloatArray:
    """Ease peaks, fade in and out, and bring the peak to -1 dBFS."""
    num_frames = mix.shape[0]
    mix = mix - mix.mean(axis=0)
    rms = float(np.sqrt(np.mean(mix**2)))
    if rms < 1e-7:
        return np.zeros_like(mix)
    mix = _limit(mix, LIMIT_CREST * rms, sample_rate)
    fade_out = min(num_frames // 3, round(min(1.2, 0.08 * num_frames / sample_rate + 0.2) * sample_rate))
    if fade_out:
        mix[-fade_out:] *= (0.5 + 0.5 * np.cos(np.linspace(0, np.pi, fade_out)))[:, None].astype(np.float32)
    fade_in = min(num_frames // 10, round(0.003 * sample_rate))
    mix[:fade_in] *= np.linspace(0, 1, fade_in, dtype=np.float32)[:, None]
    return np.asarray(mix * (PEAK / np.abs(mix).max()), dtype=np.float32)


def _limit(mix: FloatArray, ceiling: float, sample_rate: Hertz) -> FloatArray:
    """Turn the gain down around peaks above the ceiling, over 5 ms to each side, so that nothing is clipped."""
    window = max(1, round(0.005 * sample_rate))
    peak = np.maximum(np.abs(mix[:, 0]), np.abs(mix[:, 1]))
    num_blocks = -(-len(peak) // window)
    blocks = np.pad(peak, (0, num_blocks * window - len(peak))).reshape(num_blocks, window).max(axis=1)
    padded = np.pad(blocks, 1, mode="edge")
    around = np.maximum(np.maximum(padded[:-2], padded[1:-1]), padded[2:])
    gain = np.minimum(1.0, ceiling / np.maximum(around, 1e-9))
    places = (np.arange(num_blocks) + 0.5) * window
    smooth = np.interp(np.arange(len(peak)), places, gain)
    return np.asarray(mix * smooth[:, None], dtype=np.float32)
