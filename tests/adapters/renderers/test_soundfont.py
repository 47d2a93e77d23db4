"""The music renderer, over its real soundfont: what it reads, and what can be measured off what it plays."""

from __future__ import annotations

import io
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pretty_midi
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pipeline.adapters.renderers.soundfont import PLUGIN, SoundfontOptions
from pipeline.adapters.renderers.soundfont.arranging import arrange
from pipeline.adapters.renderers.soundfont.casting import cast_players
from pipeline.adapters.renderers.soundfont.reading import Reading, read_description
from pipeline.adapters.renderers.soundfont.renderer import SoundfontRenderer
from pipeline.adapters.renderers.soundfont.score import Part
from pipeline.adapters.renderers.soundfont.sounding import Synthesiser, bundled_soundfont
from pipeline.adapters.renderers.soundfont.theory import SCALES, parse_numeral
from pipeline.adapters.renderers.soundfont.vocabulary import Vocabulary, load_vocabulary
from pipeline.contracts.render import Brief, Render, RenderFailure
from pipeline.values.errors import RenderError
from pipeline.values.ids import derive_random
from pipeline.values.records import Modality

FloatArray = NDArray[np.float32]
CELLO = "slow sad solo cello"
SAMBA = "fast samba with brass"


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return load_vocabulary()


@pytest.fixture(scope="module")
def renderer() -> SoundfontRenderer:
    return SoundfontRenderer(SoundfontOptions())


def brief(text: str, seed: int = 7, duration: float | None = 10.0) -> Brief:
    return Brief(id="d-00-00", modality=Modality.MUSIC, text=text, seed=seed, duration=duration)


def render(renderer: SoundfontRenderer, text: str, seed: int = 7, duration: float | None = 10.0) -> Render:
    outcome = renderer.render([brief(text, seed, duration)])[0]
    assert isinstance(outcome, Render), outcome
    return outcome


def samples_of(outcome: Render) -> FloatArray:
    samples, _ = soundfile.read(io.BytesIO(outcome.data), dtype="float32", always_2d=True)
    return np.asarray(samples, dtype=np.float32)


def spectrogram(samples: FloatArray, size: int = 1024, hop: int = 320) -> FloatArray:
    """Magnitudes (frames, bins); a frame every 10 ms at 32 kHz."""
    frames = np.lib.stride_tricks.sliding_window_view(samples.mean(axis=1), size)[::hop]
    return np.abs(np.fft.rfft(frames * np.hanning(size), axis=1)).astype(np.float32)


def onset_strength(samples: FloatArray) -> FloatArray:
    level = np.log1p(100 * spectrogram(samples))
    rise = np.maximum(0.0, np.diff(level, axis=0)).sum(axis=1)
    return np.asarray(np.maximum(0.0, rise - np.convolve(rise, np.ones(25) / 25, "same")), dtype=np.float32)


def num_onsets(samples: FloatArray) -> int:
    strength = onset_strength(samples)
    middle = strength[1:-1]
    return int(((middle > strength[:-2]) & (middle >= strength[2:]) & (middle > 0.15 * strength.max())).sum())


def pulse_at(samples: FloatArray, bpm: float) -> float:
    """How much more alike the onsets are one beat apart than at the median distance."""
    strength = onset_strength(samples)
    length = len(strength)
    similar = np.fft.irfft(np.abs(np.fft.rfft(strength, 2 * length)) ** 2)[:length]
    lag = 6_000 / bpm
    near = similar[math.floor(lag) - 2 : math.ceil(lag) + 3].max()
    return float(near / np.median(similar[20:300]))


def read(text: str, vocabulary: Vocabulary, seed: int = 7) -> Reading:
    return read_description(text, seed, vocabulary)


def parts_of(text: str, vocabulary: Vocabulary, seed: int = 7) -> dict[str, Part]:
    reading = read(text, vocabulary, seed)
    cast = cast_players(reading, vocabulary, derive_random(seed, "music", "cast"))
    return {part.name: part for part in arrange(reading, cast, vocabulary, 10.0, seed).parts}


def test_plugin_says_what_it_is() -> None:
    assert (PLUGIN.name, PLUGIN.version, PLUGIN.modality, PLUGIN.is_draft) == ("soundfont", "1", Modality.MUSIC, True)
    assert PLUGIN.models(SoundfontOptions()) == ()
    assert PLUGIN.licences(SoundfontOptions()) == {"TimGM6mb": "GPL-2.0-only"}
    assert PLUGIN.missing() is None
    assert 0 < PLUGIN.estimate(SoundfontOptions(), brief(CELLO)) < 1
    assert PLUGIN.estimate(SoundfontOptions(), brief(CELLO, duration=math.nan)) < 1


def test_vocabulary_names_only_what_exists(vocabulary: Vocabulary) -> None:
    for name, genre in vocabulary.genres.items():
        players = {*genre.lead, *genre.comp, *genre.bass, *genre.pad, *([genre.drone] if genre.drone else [])}
        assert players <= set(vocabulary.instruments), name
        assert set(genre.hands) <= set(vocabulary.percussion), name
        assert set(genre.scales) <= set(SCALES), name
        assert genre.harmony in vocabulary.progressions, name
        assert genre.groove in vocabulary.grooves, name
        assert genre.bassline in vocabulary.bass, name
        assert genre.comping in vocabulary.comping, name
        assert genre.style in vocabulary.styles, name
    for group in vocabulary.groups.values():
        assert set(group.does) <= set(vocabulary.instruments)
    for progressions in vocabulary.progressions.values():
        for bars in (option for options in progressions.values() for option in options):
            assert all(parse_numeral(numeral, 0).tones for numeral in bars.replace("|", " ").split())


def test_patterns_fill_their_bar(vocabulary: Vocabulary) -> None:
    assert {len(p) for groove in vocabulary.grooves.values() for p in groove.values()} == {16}
    assert {len(p) for groove in vocabulary.grooves_3.values() for p in groove.values()} == {12}
    assert {len(p) for p in [*vocabulary.bass.values(), *vocabulary.comping.values()]} == {12, 16}


def test_every_key_in_an_instruments_range_sounds(vocabulary: Vocabulary) -> None:
    synthesiser = Synthesiser(bundled_soundfont(), 8_000)
    for name, instrument in vocabulary.instruments.items():
        low, high = instrument.range
        part: Any = pretty_midi.Instrument(program=instrument.program)
        part.notes = [pretty_midi.Note(90, p, (p - low) * 0.2, (p - low) * 0.2 + 0.18) for p in range(low, high + 1)]
        stem = synthesiser.render_stem(part, (high - low + 1) * 1_600)
        loudest = np.abs(stem).max(axis=1).reshape(-1, 1_600).max(axis=1)
        silent = [low + i for i in np.flatnonzero(loudest < 1e-3)]
        assert not silent, f"{name} is silent at {silent}"


def test_every_key_in_an_instruments_range_is_in_tune(vocabulary: Vocabulary) -> None:
    rate, frames = 16_000, 8_000
    synthesiser = Synthesiser(bundled_soundfont(), rate)
    partials = 12 * np.log2(np.array([0.25, 0.5, 0.75, 1.5, *range(1, 25)]))
    inharmonic = ("bells", "mallets", "drums", "pads")
    tuned = {n: i for n, i in vocabulary.instruments.items() if i.family not in inharmonic and n != "orchestra hit"}
    for name, instrument in tuned.items():
        pitches = list(range(instrument.range[0], instrument.range[1] + 1, 3))
        part: Any = pretty_midi.Instrument(program=instrument.program)
        part.notes = [pretty_midi.Note(90, p, i * 0.5, i * 0.5 + 0.48) for i, p in enumerate(pitches)]
        stem = synthesiser.render_stem(part, frames * len(pitches)).mean(axis=1).reshape(-1, frames)[:, 800:7_200]
        peak = np.abs(np.fft.rfft(stem * np.hanning(6_400), 65_536, axis=1))[:, 120:].argmax(axis=1) + 120
        heard = 69 + 12 * np.log2(peak * rate / 65_536 / 440)
        wrong = [p for p, h in zip(pitches, heard, strict=True) if np.abs(partials - (h - p)).min() > 0.3]
        assert len(wrong) <= 1, f"{name} is out of tune at {wrong}"


@pytest.mark.parametrize(
    ("text", "bpm"),
    [
        ("jazz at 9999999 BPM", 240),
        ("jazz at 3 bpm", 30),
        ("tango, about 108 BPM", 108),
        ("tempo: 96, gentle folk", 96),
        ("rock, 110 to 120 bpm", 115),
        ("rock, 110–120 beats per minute", 115),
        ("Walzer, １２０ BPM", 120),
        ("-80 BPM waltz", 80),
    ],
)
def test_stated_tempo_is_taken_and_clamped(text: str, bpm: float, vocabulary: Vocabulary) -> None:
    reading = read(text, vocabulary)
    assert reading.bpm == bpm
    assert reading.is_bpm_stated


def test_tempo_words_move_the_tempo(vocabulary: Vocabulary) -> None:
    slow, plain, fast = (read(f"{word} samba", vocabulary).bpm for word in ("slow", "", "fast"))
    assert slow < 90 < plain < 125 < fast


@pytest.mark.parametrize(
    ("text", "tonic", "scale"),
    [
        ("string quartet in D minor", 2, "minor"),
        ("nocturne in E flat major", 3, "major"),
        ("waltz in F♯ minor", 6, "minor"),
        ("reel in a dorian", 9, "dorian"),
        ("Bb major polka", 10, "major"),
        ("ballad in the key of A minor", 9, "minor"),
    ],
)
def test_stated_key_is_taken(text: str, tonic: int, scale: str, vocabulary: Vocabulary) -> None:
    reading = read(text, vocabulary)
    assert (reading.tonic, reading.scale) == (tonic, scale)


def test_a_minor_key_is_a_mode_and_no_key(vocabulary: Vocabulary) -> None:
    readings = [read("reggae in a minor key", vocabulary, seed) for seed in range(8)]
    assert {reading.mode for reading in readings} == {"minor"}
    assert len({reading.tonic for reading in readings}) > 1


@pytest.mark.parametrize(
    ("text", "genre", "metre", "players", "percussion"),
    [
        ("jazz waltz with vibraphone", "jazz", "3/4", ("vibraphone",), ()),
        ("Irish slip jig on tin whistle", "irish jig", "9/8", ("tin whistle",), ()),
        ("Bulgarian dance in seven-eight, gaida bagpipe", "balkan", "7/8", ("bagpipe",), ()),
        ("lo-fi hip hop with dusty drums and Rhodes", "lo-fi hip hop", "4/4", ("electric piano",), ("drum kit",)),
        ("slow march for tuba and bass clarinet", "march", "4/4", ("tuba", "bassoon"), ()),
        ("folk for plucked panduri lute and frame drum", "caucasian", "4/4", ("steel guitar",), ("frame drum",)),
        ("bandoneón y violín, tango", "tango", "4/4", ("bandoneon", "violin"), ()),
    ],
)
def test_reading_finds_genre_metre_and_players(
    text: str, genre: str, metre: str, players: tuple[str, ...], percussion: tuple[str, ...], vocabulary: Vocabulary
) -> None:
    reading = read(text.replace("folk for", "Georgian folk for"), vocabulary)
    assert (reading.genre_name, reading.metre.name) == (genre, metre)
    assert (reading.players, reading.percussion) == (players, percussion)


def test_refused_instruments_stay_out(vocabulary: Vocabulary) -> None:
    names = parts_of("funk without drums or bass guitar", vocabulary)
    assert not [name for name in names if name.startswith(("drums", "percussion", "bass"))]


def test_solo_is_one_player(vocabulary: Vocabulary) -> None:
    assert list(parts_of(CELLO, vocabulary)) == ["lead: cello"]
    assert {name.split(": ")[1] for name in parts_of("solo piano ballad", vocabulary)} == {"piano"}


def test_melody_repeats_its_motif_and_ends_on_the_tonic(vocabulary: Vocabulary) -> None:
    reading = read("folk song for flute in D major, 120 BPM", vocabulary)
    lead = parts_of("folk song for flute in D major, 120 BPM", vocabulary)["lead: flute"].notes
    bars = [tuple(n.start % 16 for n in lead if n.start // 16 == bar) for bar in range(4)]
    assert bars[0] == bars[1]
    assert lead[-1].pitch % 12 == reading.tonic
    assert len({note.pitch for note in lead}) >= 4
    leaps = [abs(b.pitch - a.pitch) for a, b in pairwise(lead)]
    assert max(leaps) <= 12


def test_contrasting_descriptions_sound_different(renderer: SoundfontRenderer) -> None:
    cello, samba = render(renderer, CELLO), render(renderer, SAMBA)
    assert (cello.notes["instruments"], cello.notes["percussion"], cello.notes["mode"]) == (["cello"], [], "minor")
    assert {"trumpet", "brass section"} <= set(samba.notes["instruments"])
    assert samba.notes["tempo_bpm"] > 120 > 80 > cello.notes["tempo_bpm"]
    quiet, loud = (spectrogram(samples_of(r)) for r in (cello, samba))
    high = round(5_000 / 32_000 * 1024)
    shares = [float((s[:, high:] ** 2).sum() / (s**2).sum()) for s in (quiet, loud)]
    assert shares[1] > 10 * shares[0]
    strokes = [num_onsets(samples_of(r)) for r in (cello, samba)]
    assert strokes[1] > 2 * strokes[0]


@pytest.mark.parametrize("text", ["house, 124 BPM", "march for brass band, 112 BPM", "bluegrass with banjo, 144 BPM"])
def test_stated_tempo_is_the_pulse_of_the_sound(text: str, renderer: SoundfontRenderer) -> None:
    outcome = render(renderer, text)
    stated = float(text.split()[-2])
    assert outcome.notes["tempo_bpm"] == pytest.approx(stated, rel=0.016)
    samples = samples_of(outcome)
    assert pulse_at(samples, stated) > 1.5
    assert pulse_at(samples, stated) > 1.2 * pulse_at(samples, stated * 1.17)


@pytest.mark.parametrize("duration", [0.5, 1.0, 3.3, 10.0, 31.7])
def test_length_is_exact_and_the_end_fades(duration: float, renderer: SoundfontRenderer) -> None:
    outcome = render(renderer, "soul with tenor sax", duration=duration)
    samples = samples_of(outcome)
    assert len(samples) == round(duration * 32_000)
    assert np.abs(samples[-160:]).max() < 0.02
    assert np.abs(samples[:16]).max() < 0.2


def test_levels_are_sane(renderer: SoundfontRenderer) -> None:
    for text in (CELLO, SAMBA, "heavy metal", "solo harp", "taiko drumming"):
        outcome = render(renderer, text, duration=6.0)
        samples = samples_of(outcome)
        assert np.abs(samples).max() == pytest.approx(10 ** (-1 / 20), abs=0.002), text
        assert (np.abs(samples) > 0.885).mean() < 0.001, text
        assert 0.08 < float(np.sqrt(np.mean(samples**2))) < 0.45, text
        assert abs(float(samples.mean())) < 0.01, text


def test_duration_defaults_to_ten_seconds(renderer: SoundfontRenderer) -> None:
    assert len(samples_of(render(renderer, "tango", duration=None))) == 320_000


@pytest.mark.parametrize("duration", [0.1, -3.0, 1e9, math.nan, math.inf])
def test_impossible_length_fails_alone(duration: float, renderer: SoundfontRenderer) -> None:
    good, bad = renderer.render([brief("tango", duration=1.0), brief("tango", duration=duration)])
    assert isinstance(good, Render)
    assert isinstance(bad, RenderFailure)
    assert bad.code == "bad_duration"


def test_missing_soundfont_is_said(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match=r"no soundfont at .*nowhere\.sf2"):
        PLUGIN.load(SoundfontOptions(soundfont=str(tmp_path / "nowhere.sf2")), models=Path)  # type: ignore[arg-type]


def test_broken_soundfont_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF\x00\x00\x00\x00sfbk")
    with pytest.raises(RenderError, match="cannot be read as a soundfont"):
        SoundfontRenderer(SoundfontOptions(soundfont=str(broken)))


@settings(max_examples=60, deadline=None)
@given(text=st.text(max_size=300), seed=st.integers(0, 2**63 - 1), duration=st.floats(0.5, 40))
def test_any_text_is_arranged(text: str, seed: int, duration: float) -> None:
    vocabulary = load_vocabulary()
    reading = read_description(text, seed, vocabulary)
    cast = cast_players(reading, vocabulary, derive_random(seed, "music", "cast"))
    score = arrange(reading, cast, vocabulary, duration, seed)
    assert score.parts
    assert 30 <= reading.bpm <= 240
    assert all(0 <= n.pitch <= 127 and n.length > 0 and n.start >= 0 for part in score.parts for n in part.notes)


@settings(max_examples=150, deadline=None)
@given(
    genre=st.sampled_from(sorted(load_vocabulary().genres)),
    players=st.lists(st.sampled_from(sorted(load_vocabulary().instruments)), max_size=4),
    metre=st.sampled_from(["3/4", "4/4", "5/4", "6/8", "7/8", "9/8", "12/8", "2/4"]),
    seed=st.integers(0, 10_000),
)
def test_every_genre_metre_and_cast_is_arranged(genre: str, players: list[str], metre: str, seed: int) -> None:
    parts = parts_of(f"{genre} in {metre} for {', '.join(players)}", load_vocabulary(), seed)
    assert parts
    assert all(0 <= n.pitch <= 127 and n.length > 0 for part in parts.values() for n in part.notes)


def test_huge_hostile_text_is_quick_and_harmless(renderer: SoundfontRenderer, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    for text in ("../../etc/passwd\0 %s {0} <b>", "samba " * 100_000, "9" * 50_000 + " BPM", "静かな琴の曲 🎺"):
        assert render(renderer, text, duration=1.0).facts.duration == 1.0  # type: ignore[union-attr]
    assert sorted(tmp_path.iterdir()) == before
