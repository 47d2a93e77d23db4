"""Encoding, decoding, measuring and shaping of samples."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import numpy.typing as npt
import pytest
from pydantic import ValidationError

from pipeline.adapters.audio import (
    encode_and_measure,
    encode_audio,
    fade_ends,
    measure_audio,
    trim_silence,
)
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.ogg import renumber_stream
from pipeline.adapters.probes import probe_sound
from pipeline.adapters.renderers.soundfont import SoundfontOptions
from pipeline.adapters.resampling import resample
from pipeline.adapters.sound_options import SoundFileOptions


def sine(
    frequency: float, seconds: float, sample_rate: int, amplitude: float = 0.5, channels: int = 1
) -> npt.NDArray[np.float32]:
    wave = amplitude * np.sin(2 * np.pi * frequency * np.arange(round(seconds * sample_rate)) / sample_rate)
    return np.repeat(wave[:, None], channels, axis=1).astype(np.float32)


@pytest.mark.parametrize("extension", ["flac", "wav"])
@pytest.mark.parametrize("channels", [1, 2])
def test_exact_formats_give_the_samples_back(extension: str, channels: int) -> None:
    samples = sine(440, 0.2, 24_000, channels=channels)
    heard, sample_rate = decode_sound(encode_audio(samples, 24_000, extension))
    assert sample_rate == 24_000
    assert heard.shape == samples.shape
    assert np.max(np.abs(heard - samples)) < 2 / 32767


@pytest.mark.parametrize("extension", ["flac", "wav"])
def test_facts_of_exact_formats_are_those_that_a_reader_finds(extension: str) -> None:
    samples = np.random.default_rng(3).normal(0, 0.4, (9_001, 2)).astype(np.float32)  # some beyond full scale
    data, facts = encode_and_measure(samples, 22_050, extension)
    assert facts == measure_audio(*decode_sound(data))
    assert facts.peak == round(32_767 / 32_768, 6)


def test_mp3_sounds_alike_and_says_its_own_length() -> None:
    samples = sine(440, 1.0, 24_000)
    data, facts = encode_and_measure(samples, 24_000, "mp3")
    assert len(data) < samples.size
    assert facts.duration == pytest.approx(1.0, abs=0.1)
    assert facts.rms == pytest.approx(0.5 / math.sqrt(2), rel=0.05)


@pytest.mark.parametrize("extension", ["flac", "wav", "mp3", "opus"])
def test_the_same_samples_encode_to_the_same_bytes(extension: str) -> None:
    samples = sine(300, 0.3, 22_050)
    assert encode_audio(samples, 22_050, extension) == encode_audio(samples.copy(), 22_050, extension)


@pytest.mark.parametrize(
    ("sample_rate", "made"), [(8_000, 8_000), (22_050, 24_000), (32_000, 48_000), (96_000, 48_000)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_opus_keeps_length_and_level_at_the_next_rate_that_it_takes(sample_rate: int, made: int, channels: int) -> None:
    data, facts = encode_and_measure(sine(440, 0.5, sample_rate, channels=channels), sample_rate, "opus")
    assert (facts.sample_rate, facts.channels) == (made, channels)
    assert facts.duration == pytest.approx(0.5, abs=1 / made)
    assert facts.rms == pytest.approx(0.5 / math.sqrt(2), rel=0.05)
    assert probe_sound(data).columns == {"duration": facts.duration, "sample_rate": made, "channels": channels}


def test_mp3_of_an_uncommon_rate_is_made_at_the_next_that_it_takes() -> None:
    _, facts = encode_and_measure(sine(440, 0.5, 30_000), 30_000, "mp3")
    assert facts.sample_rate == 32_000
    assert facts.rms == pytest.approx(0.5 / math.sqrt(2), rel=0.1)


@pytest.mark.parametrize(
    ("extension", "sample_rate"), [("mp3", 24_000), ("mp3", 32_000), ("mp3", 44_100), ("opus", 48_000)]
)
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_formats_keep_each_channel_apart_and_clean(extension: str, sample_rate: int, channels: int) -> None:
    tones = [sine(330 * (1 + channel), 0.5, sample_rate) for channel in range(channels)]
    samples = np.concatenate(tones, axis=1)
    heard, heard_rate = decode_sound(encode_audio(samples, sample_rate, extension))
    assert heard_rate == sample_rate
    middle = slice(sample_rate // 8, sample_rate * 3 // 8)
    for channel in range(channels):
        spectrum = np.abs(np.fft.rfft(heard[middle, channel] * np.hanning(sample_rate // 4))) ** 2
        tone = spectrum[round(330 * (1 + channel) / 4) - 8 :][:17].sum()
        assert tone / spectrum.sum() > 0.99


@pytest.mark.parametrize("extension", ["mp3", "opus"])
def test_a_higher_quality_is_larger_and_nearer(extension: str) -> None:
    noise = (0.1 * np.random.default_rng(3).standard_normal((24_000, 1))).astype(np.float32)

    def distance(quality: int | None) -> tuple[int, float]:
        data = encode_audio(noise, 24_000, extension, quality)
        heard, _ = decode_sound(data)
        spectra = [np.abs(np.fft.rfft(one[:24_000, 0])) for one in (noise, heard)]
        return len(data), float(np.mean(np.abs(spectra[0] - spectra[1])))

    (low, far), (usual, _), (high, near) = distance(5), distance(None), distance(95)
    assert low < usual < high
    assert near < far


def test_two_sounds_have_two_stream_numbers() -> None:
    first, second = (encode_audio(sine(pitch, 0.1, 8_000), 8_000, "opus")[14:18] for pitch in (300, 301))
    assert first != second


def test_resampling_moves_no_tone_and_makes_none() -> None:
    samples = resample(sine(1_000, 0.5, 22_050, amplitude=0.8), 22_050, 24_000)
    assert samples.shape == (12_000, 1)
    # The first and last moments ring, since the tone begins and ends in the middle of a wave.
    assert samples[1_000:-1_000] == pytest.approx(sine(1_000, 0.5, 24_000, amplitude=0.8)[1_000:-1_000], abs=0.002)
    back = resample(samples, 24_000, 22_050)
    assert back.shape == (11_025, 1)
    assert back[1_000:-1_000] == pytest.approx(sine(1_000, 0.5, 22_050, amplitude=0.8)[1_000:-1_000], abs=0.004)


@pytest.mark.parametrize(
    ("data", "words"), [(b"fLaC" * 20, "byte 0 of 80"), (b"OggS" + bytes(40), "byte 27"), (b"OggS", "byte 0 of 4")]
)
def test_what_is_no_ogg_is_not_renumbered(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        renumber_stream(data, 1)


def test_a_page_that_is_cut_off_is_not_renumbered() -> None:
    with pytest.raises(ValueError, match="cut off"):
        renumber_stream(encode_audio(sine(300, 0.1, 8_000), 8_000, "opus")[:-1], 1)


def test_a_quality_is_of_lossy_files_alone() -> None:
    assert SoundFileOptions(extension="opus", quality=40).model_dump() == {"extension": "opus", "quality": 40}
    # A fingerprint covers the dump: options that state none are what they were before there was one.
    assert SoundFileOptions().model_dump() == {"extension": "flac"}
    with pytest.raises(ValidationError, match="flac is exact"):
        SoundFileOptions(quality=40)
    with pytest.raises(ValidationError, match="wav is exact"):
        SoundfontOptions(format="wav", quality=40)


def test_samples_over_full_scale_are_clipped_and_do_not_wrap() -> None:
    heard, _ = decode_sound(encode_audio(np.array([1.5, -1.5, 0.25], dtype=np.float32), 8_000, "flac"))
    assert heard[:, 0] == pytest.approx([1.0, -1.0, 0.25], abs=1e-4)


def test_measures_are_those_of_a_known_wave() -> None:
    facts = measure_audio(sine(440, 0.5, 8_000, amplitude=0.8, channels=2), 8_000)
    assert (facts.duration, facts.sample_rate, facts.channels) == (0.5, 8_000, 2)
    assert facts.peak == pytest.approx(0.8, abs=0.001)
    assert facts.rms == pytest.approx(0.8 / math.sqrt(2), abs=0.001)


@pytest.mark.parametrize(
    ("samples", "extension", "words"),
    [
        (np.zeros((0, 1), dtype=np.float32), "flac", "num_frames"),
        (np.array([np.nan], dtype=np.float32), "flac", "not finite"),
        (np.zeros((4, 9), dtype=np.float32), "flac", "8 channels"),
        (np.zeros((4, 1), dtype=np.float32), "vorbis", "use flac, wav, mp3 or opus"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_a_reason(
    samples: npt.NDArray[np.float32], extension: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        encode_audio(samples, 8_000, extension)


def test_what_the_library_refuses_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="3 channels at 8000 Hz as mp3"):
        encode_audio(sine(440, 0.2, 8_000, channels=3), 8_000, "mp3")


def test_faded_ends_begin_and_end_near_zero_and_leave_the_middle() -> None:
    ones = np.ones((2_400, 1), dtype=np.float32)
    faded = fade_ends(ones, 24_000, fade=0.01)
    assert faded[0, 0] < 0.01
    assert faded[-1, 0] < 0.01
    assert (faded[240:-240] == 1.0).all()
    assert (ones == 1.0).all()


@pytest.mark.parametrize("silence", [0.0, 0.02, 0.5])
def test_trimming_leaves_the_same_short_silence_whatever_was_there(silence: float) -> None:
    hush = np.zeros((round(silence * 24_000), 1), dtype=np.float32)
    trimmed = trim_silence(np.concatenate([hush, sine(400, 0.5, 24_000), hush]), 24_000, keep=0.08)
    assert trimmed.shape[0] / 24_000 == pytest.approx(0.5 + 2 * 0.08, abs=0.011)
    assert not trimmed[:1_600].any()
    assert not trimmed[-1_600:].any()


def test_trimming_pure_silence_leaves_nothing() -> None:
    assert trim_silence(np.zeros((100, 2), dtype=np.float32), 24_000).shape == (0, 2)


def test_importing_the_module_loads_no_heavy_library() -> None:
    code = "import sys, pipeline.adapters.audio; print(sorted({'numpy', 'soundfile'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
