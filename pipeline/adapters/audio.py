"""Samples to bytes and back, and what is measured on the way: for renderers, screens and `verify`.

Samples are float32 arrays of shape (num_frames, num_channels), full scale being [-1, 1]. FLAC, WAV, MP3 and Opus
encode to the same bytes for the same samples and library; libogg numbers an Opus stream by chance, so it is numbered
anew here. soundfile and numpy are imported inside the functions: this module is imported to validate manifests.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Literal

from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.ogg import renumber_stream
from pipeline.adapters.resampling import choose_rate, resample
from pipeline.contracts.render import AudioFacts
from pipeline.values.ids import sha256_hex
from pipeline.values.units import Hertz, Seconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

AudioExtension = Literal["flac", "wav", "mp3", "opus"]

EXACT = ("flac", "wav")
"""Formats that keep 16 bits of a sample as they are."""

FULL_SCALE = 32768.0
"""What libsndfile divides 16 bits by; a power of two, so nothing is rounded."""

RATES = {
    "mp3": (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000),
    "opus": (8_000, 12_000, 16_000, 24_000, 48_000),
}
"""Sample rates that a format takes; the others take any."""

DEFAULT_QUALITY = {"mp3": 50, "opus": 24}
"""MP3: the middle of what its sample rate allows. Opus: 66 kbit/s a channel; opusenc's own default for one is 64."""


def encode_audio(
    samples: Samples, sample_rate: Hertz, extension: AudioExtension | str = "flac", quality: int | None = None
) -> bytes:
    """Encode samples, clipping what lies outside [-1, 1].

    Args:
        samples: (num_frames, num_channels), or (num_frames,) for one channel.
        sample_rate: MP3 and Opus take those of :data:`RATES`; sound of another is resampled to the next higher one.
        extension: ``flac`` and ``wav`` (both 16 bit, exact), ``mp3`` (constant bit rate) or ``opus`` (in Ogg).
        quality: Of MP3 and Opus, 1 to 100; None takes that of :data:`DEFAULT_QUALITY`.

    Raises:
        ValueError: no frames, more than 8 channels, a sample that is not finite, an extension that is not offered, or
            a sample rate that the format does not take.
    """
    import soundfile

    frames = as_frames(samples)
    if extension not in ("flac", "wav", "mp3", "opus"):
        raise ValueError(f"audio format {extension!r} is not offered; use flac, wav, mp3 or opus")
    if extension in RATES:
        rate = choose_rate(sample_rate, RATES[extension])
        frames, sample_rate = resample(frames, sample_rate, rate), rate
    integers = _as_integers(frames)
    buffer = io.BytesIO()
    try:
        # libsndfile 1.2 hands LAME two channels of integers wrongly: noise comes out. Floating point goes through.
        written = _as_floats(integers) if extension == "mp3" else integers
        soundfile.write(buffer, written, sample_rate, **_settings(extension, quality))
    except (soundfile.SoundFileError, TypeError) as exc:
        raise ValueError(
            f"cannot encode {frames.shape[0]} frames of {frames.shape[1]} channels at {sample_rate} Hz as {extension}: "
            f"{exc}"
        ) from exc
    if extension != "opus":
        return buffer.getvalue()
    return renumber_stream(buffer.getvalue(), int(sha256_hex(integers.tobytes())[:8], 16))


def _settings(extension: str, quality: int | None) -> dict[str, Any]:
    """What libsndfile is told; its level of compression runs from 0, the best quality, to 1."""
    if extension in EXACT:
        return {"format": extension.upper(), "subtype": "PCM_16"}
    level = 1.0 - (quality or DEFAULT_QUALITY[extension]) / 100
    if extension == "mp3":
        mode = {"bitrate_mode": "CONSTANT"}
        return {"format": "MP3", "subtype": "MPEG_LAYER_III", "compression_level": level, **mode}
    return {"format": "OGG", "subtype": "OPUS", "compression_level": level}


def measure_audio(samples: Samples, sample_rate: Hertz) -> AudioFacts:
    """State what a row of the corpus states beside the bytes.

    Args:
        samples: (num_frames, num_channels), or (num_frames,) for one channel.

    Raises:
        ValueError: no frames, more than 8 channels, or a sample that is not finite.
    """
    import numpy as np

    frames = as_frames(samples)
    return AudioFacts(
        duration=frames.shape[0] / sample_rate,
        sample_rate=sample_rate,
        channels=frames.shape[1],
        peak=round(float(np.max(np.abs(frames))), 6),
        rms=round(math.sqrt(float(np.mean(np.square(frames, dtype=np.float64)))), 6),
    )


def encode_and_measure(
    samples: Samples, sample_rate: Hertz, extension: str, quality: int | None = None
) -> tuple[bytes, AudioFacts]:
    """Encode, and measure what was kept: the facts are those that a reader of the bytes will find.

    Most other decoders give all Opus out at 48 kHz; libsndfile, as here, at the rate that went in.

    Raises:
        ValueError: as :func:`encode_audio`.
    """
    data = encode_audio(samples, sample_rate, extension, quality)
    if extension in EXACT:
        # What such a file holds is known without reading it again.
        return data, measure_audio(_as_floats(_as_integers(samples)), sample_rate)
    heard, heard_rate = decode_sound(data)
    return data, measure_audio(heard, heard_rate)


def fade_ends(samples: Samples, sample_rate: Hertz, fade: Seconds = 0.005) -> Samples:
    """Fade in and out along half a cosine, so that a cut or a join does not click."""
    import numpy as np

    frames = as_frames(samples).copy()
    num_faded = min(round(fade * sample_rate), frames.shape[0] // 2)
    if num_faded < 1:
        return frames
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(num_faded) + 0.5) / num_faded)).astype(np.float32)[:, None]
    frames[:num_faded] *= ramp
    frames[-num_faded:] *= ramp[::-1]
    return frames


def trim_silence(
    samples: Samples, sample_rate: Hertz, keep: Seconds = 0.08, threshold_below_peak: float = 45.0
) -> Samples:
    """Cut silence at both ends, then leave exactly ``keep`` seconds of it there.

    A frame of 10 ms is silent where its largest sample lies ``threshold_below_peak`` decibels under the clip's
    largest. Room tone that is there is kept; zeros are added where there was less than ``keep``.

    Returns:
        (num_frames, num_channels); no frames at all where the whole clip is zeros.
    """
    import numpy as np

    frames = as_frames(samples)
    loudest = np.max(np.abs(frames), axis=1)
    peak = float(np.max(loudest))
    if peak <= 0.0:
        return frames[:0]
    heard = np.flatnonzero(loudest > peak * 10.0 ** (-threshold_below_peak / 20.0))
    window, num_kept = max(1, sample_rate // 100), round(keep * sample_rate)
    first = int(heard[0]) // window * window - num_kept
    last = (int(heard[-1]) // window + 1) * window + num_kept
    inside = frames[max(0, first) : min(frames.shape[0], last)]
    before, after = max(0, -first), max(0, last - frames.shape[0])
    return np.pad(inside, ((before, after), (0, 0)))


def as_frames(samples: Samples) -> Samples:
    """Return (num_frames, num_channels) in float32.

    Raises:
        ValueError: no frames, more than 8 channels, or a sample that is not finite.
    """
    import numpy as np

    frames = np.asarray(samples, dtype=np.float32)
    if frames.ndim == 1:
        frames = frames[:, None]
    if frames.ndim != 2 or frames.shape[0] == 0 or not 1 <= frames.shape[1] <= 8:
        raise ValueError(
            f"audio samples have shape {np.shape(samples)}, must be (num_frames, num_channels) with 1 to 8 channels"
        )
    if not bool(np.isfinite(frames).all()):
        raise ValueError(f"audio of {frames.shape[0]} frames holds samples that are not finite")
    return frames


def _as_integers(samples: Samples) -> npt.NDArray[np.int16]:
    """Round to 16 bits; here and not in libsndfile, so that every format holds the same integers."""
    import numpy as np

    return np.round(np.clip(as_frames(samples), -1.0, 1.0) * 32767.0).astype(np.int16)


def _as_floats(integers: npt.NDArray[np.int16]) -> Samples:
    import numpy as np

    return np.divide(integers, FULL_SCALE, dtype=np.float32)
