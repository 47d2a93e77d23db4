"""From a reading and a cast to a score: every seat gets its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipeline.adapters.renderers.soundfont.casting import Cast, Role, Seat
from pipeline.adapters.renderers.soundfont.form import plan_form
from pipeline.adapters.renderers.soundfont.harmony import Span, hold_voice, plan_chords, write_chords
from pipeline.adapters.renderers.soundfont.melody import Singer, fitting_density, write_melody, write_parallel
from pipeline.adapters.renderers.soundfont.reading import Reading
from pipeline.adapters.renderers.soundfont.rhythm import fit_pattern, write_bass, write_groove, write_hands
from pipeline.adapters.renderers.soundfont.score import Form, Note, Part
from pipeline.adapters.renderers.soundfont.theory import Key, nearest_pitch
from pipeline.adapters.renderers.soundfont.vocabulary import Instrument, Style, Vocabulary
from pipeline.values.ids import derive_random
from pipeline.values.units import Seconds

COMP_CENTRE = 60
PARALLEL_STYLES = frozenset({"dance", "fanfare", "syncopated", "hook", "folk", "running", "hymn", "lullaby", "swing"})
MIN_LOW_VOICE = 40
CLEAR_MOOD = 0.3


@dataclass(frozen=True, slots=True)
class Score:
    """A finished score.

    Attributes:
        form: Its outline, with the tempo.
        chords: What sounds when; the last one is home.
    """

    form: Form
    chords: tuple[Span, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class _Desk:
    """What every writer of a line needs at hand."""

    reading: Reading
    vocabulary: Vocabulary
    form: Form
    chords: tuple[Span, ...]
    lead: tuple[Note, ...]
    lead_instrument: str | None
    style: Style
    seed: int


def arrange(reading: Reading, cast: Cast, vocabulary: Vocabulary, duration: Seconds, seed: int) -> Score:
    """Write all parts of a piece; the same arguments write the same notes."""
    genre = reading.genre
    form = plan_form(reading.metre, reading.bpm, reading.is_bpm_stated, reading.pace, duration)
    rng = derive_random(seed, "music", "harmony")
    # Open fifths leave the mode open; where the words are sad or glad, the third says so.
    colour = "triad" if genre.colour == "drone" and abs(reading.valence) >= CLEAR_MOOD else genre.colour
    chords = plan_chords(form, vocabulary.progressions[genre.harmony], reading.scale, reading.tonic, colour, rng)
    style = _style(reading, vocabulary)
    leads = [seat for seat in cast.seats if seat.role is Role.LEAD]
    lead: tuple[Note, ...] = ()
    if leads:
        singer = _singer(leads[0].instrument, reading, vocabulary, style, len(cast.seats))
        lead = tuple(write_melody(form, chords, singer, derive_random(seed, "music", "melody")))
    name = leads[0].instrument if leads else None
    desk = _Desk(reading, vocabulary, form, chords, lead, name, style, seed)
    parts = [_write_part(seat, index, cast, desk) for index, seat in enumerate(cast.seats)]
    return Score(form, chords, tuple(part for part in [*parts, *_drum_parts(cast, desk)] if part.notes))


def _style(reading: Reading, vocabulary: Vocabulary) -> Style:
    """The genre's melody style with the articulation that the words ask for."""
    style = vocabulary.styles[reading.genre.style]
    if reading.articulation is None:
        return style
    return style.model_copy(update={"legato": reading.articulation})


def _singer(name: str, reading: Reading, vocabulary: Vocabulary, style: Style, num_seats: int) -> Singer:
    """A melody instrument's limits; a lone player has its whole compass, one among others its upper part."""
    instrument = vocabulary.instruments[name]
    low, high = instrument.range
    if num_seats > 1 and low < 57 and instrument.does[0] == "l":
        low = min(high - 19, max(low, 57))
    beat_rate = reading.bpm / 60
    is_plucked = instrument.sound != "sustained"
    density = fitting_density(style, beat_rate, reading.energy)
    # A plucked or struck note dies away: alone it needs company sooner than a bowed one.
    density = max(density, 1.4 / beat_rate) if is_plucked else density
    return Singer(reading.scale, reading.tonic, low, high, style, density)


def _write_part(seat: Seat, index: int, cast: Cast, desk: _Desk) -> Part:
    """Write the line of one seat."""
    instrument = desk.vocabulary.instruments[seat.instrument]
    notes = _line(seat, index, instrument, cast, desk)
    return Part(f"{seat.role.value}: {seat.instrument}", seat.role.value, instrument.program, False, tuple(notes))


def _line(seat: Seat, index: int, instrument: Instrument, cast: Cast, desk: _Desk) -> Sequence[Note]:
    reading, form, chords = desk.reading, desk.form, desk.chords
    match seat.role:
        case Role.LEAD:
            return desk.lead
        case Role.COUNTER:
            return _counter(seat, desk)
        case Role.INNER:
            return hold_voice(chords, *_reach(instrument, 55), index)
        case Role.COMP | Role.ARPEGGIO | Role.PAD:
            return _chordal(seat, instrument, desk)
        case Role.BASS:
            pattern = fit_pattern(desk.vocabulary.bass[_bassline(seat, instrument, desk)], form.metre, "bass")
            low, high = instrument.range if instrument.does.startswith("b") else (max(36, instrument.range[0] - 12), 60)
            return write_bass(chords, pattern, form.metre, (low, high), Key(reading.scale, reading.tonic))
        case Role.DRONE:
            return _drone(instrument, reading, form)


def _bassline(seat: Seat, instrument: Instrument, desk: _Desk) -> str:
    """The genre's bass line; bowed basses and timpani keep to long notes where the line would run."""
    name = desk.reading.genre.bassline
    is_slow_speaker = instrument.family in ("bowed strings", "drums") and seat.instrument != "cello"
    return "half" if is_slow_speaker and name not in ("whole", "half", "two", "waltz") else name


def _counter(seat: Seat, desk: _Desk) -> list[Note]:
    """A second melody instrument: in thirds with the first, in styles of song and dance throughout.

    Elsewhere it alternates: long chord tones under a statement, thirds under its answer.
    """
    singer = _singer(seat.instrument, desk.reading, desk.vocabulary, desk.style, 2)
    held = hold_voice(desk.chords, *_reach(desk.vocabulary.instruments[seat.instrument], 64), 2)
    if not desk.lead:
        return held
    parallel = write_parallel(desk.lead, desk.chords, singer)
    if desk.reading.genre.style in PARALLEL_STYLES:
        return parallel
    steps = desk.form.metre.steps
    answers = [(u.bar * steps, (u.bar + u.num_bars) * steps) for i, u in enumerate(desk.form.units) if i % 2 == 1]

    def is_answer(note: Note) -> bool:
        return any(start <= note.start < end for start, end in answers)

    kept = [note for note in held if not is_answer(note)] + [note for note in parallel if is_answer(note)]
    return _in_turn(kept)


def _in_turn(notes: list[Note]) -> list[Note]:
    """End each note where the next begins: one instrument, one note."""
    ordered = sorted(notes, key=lambda note: note.start)
    following = [note.start for note in ordered[1:]] + [float("inf")]
    return [replace(n, length=min(n.length, end - n.start)) for n, end in zip(ordered, following, strict=True)]


def _chordal(seat: Seat, instrument: Instrument, desk: _Desk) -> list[Note]:
    """Chords in the genre's pattern, broken chords, or a held pad."""
    genre, form = desk.reading.genre, desk.form
    name = genre.comping
    if seat.role is Role.PAD or instrument.does[0] == "p":
        name = "whole" if seat.role is Role.PAD else name if name in ("half", "quarters", "waltz", "skank") else "half"
    elif seat.role is Role.ARPEGGIO:
        name = "arp16" if desk.reading.bpm < 84 and desk.reading.energy > 0 else "arp"
    elif name in ("arp16", "montuno") and (
        instrument.sound == "sustained" and instrument.family in ("reeds", "brass", "voices")
    ):
        name = "offbeat" if genre.drums == "core" else "half"
    elif seat.instrument == desk.lead_instrument and name in ("half", "whole", "quarters") and genre.style != "hymn":
        name = "fingerpick" if instrument.sound != "sustained" else name
    pattern = fit_pattern(desk.vocabulary.comping[name], form.metre, "comping")
    if desk.reading.bpm > 150 and name == "arp16":
        pattern = fit_pattern(desk.vocabulary.comping["arp"], form.metre, "comping")
    centre = _middle(instrument, COMP_CENTRE)
    if seat.instrument == desk.lead_instrument:
        centre = max(instrument.range[0] - 2, centre - 7)
    is_power = genre.colour == "power" and instrument.family == "distorted guitar"
    num_voices = (
        2
        if genre.colour == "drone" and abs(desk.reading.valence) < CLEAR_MOOD
        else 4
        if genre.colour == "seventh"
        else 3
    )
    notes = write_chords(desk.chords, pattern, form.metre, max(MIN_LOW_VOICE + 8, centre), num_voices, is_power)
    high = instrument.range[1]
    return [n if n.pitch <= high else replace(n, pitch=n.pitch - 12 * -(-(n.pitch - high) // 12)) for n in notes]


def _middle(instrument: Instrument, wanted: int) -> int:
    """A place near ``wanted`` with room for a chord within the compass."""
    low, high = instrument.range
    return max(low + 5, min(high - 7, wanted))


def _reach(instrument: Instrument, wanted: int) -> tuple[int, int]:
    """The compass, narrowed to an octave and a half around ``wanted`` where it is wider."""
    low, high = instrument.range
    middle = max(low + 9, min(high - 9, wanted)) if high - low >= 18 else (low + high) // 2
    return max(low, middle - 9), min(high, middle + 9)


def _drone(instrument: Instrument, reading: Reading, form: Form) -> list[Note]:
    """Tonic and fifth, struck anew every four bars; low instruments hold the tonic alone."""
    low = instrument.range[0]
    root = nearest_pitch(reading.tonic, max(low + 6, 40 if low > 38 else low + 6))
    pitches = (root,) if low < 40 else (root, root + 7)
    span = 4 * form.metre.steps if instrument.sound == "sustained" else form.metre.steps
    starts = [float(s) for s in range(0, max(1, form.end_step), span)]
    ends = [*starts[1:], form.num_steps]
    return [Note(s, e - s, p, 0.66) for s, e in zip(starts, ends, strict=True) for p in pitches]


def _drum_parts(cast: Cast, desk: _Desk) -> list[Part]:
    """The kit's groove and the hand percussion, one part a sound source."""
    parts: list[Part] = []
    reading, vocabulary, form = desk.reading, desk.vocabulary, desk.form
    if cast.groove != "none":
        rng = derive_random(desk.seed, "music", "groove")
        played = write_groove(
            vocabulary.grooves[cast.groove],
            vocabulary.grooves_3.get(cast.groove),
            form,
            rng,
            has_fills=reading.genre.swing < 0.5 and reading.energy > -0.5 and cast.groove != "brush",
        )
        for program, notes in sorted(played.items(), key=lambda item: item[0] or -1):
            number = cast.kit if program is None else program
            parts.append(Part(f"drums: {cast.groove}", "drums", number, program is None, tuple(notes)))
    for index, name in enumerate(cast.percussion):
        entry = vocabulary.percussion[name]
        rng = derive_random(desk.seed, "music", f"hands {index}")
        notes = write_hands(entry.plays, entry.keys, form, vocabulary.hands, rng)
        is_drums = entry.program is None
        number = (entry.kit or cast.kit) if entry.program is None else entry.program
        parts.append(Part(f"percussion: {name}", "percussion", number, is_drums, tuple(notes)))
    return parts
