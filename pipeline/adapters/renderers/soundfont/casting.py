"""Who plays what: the instruments that a description names, and those a genre adds where it leaves room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from pipeline.adapters.renderers.soundfont.reading import Reading
from pipeline.adapters.renderers.soundfont.vocabulary import Vocabulary

MAX_SEATS = 8
QUIET_GENRE_ENERGY = -0.45


class Role(StrEnum):
    """What a seat does in the arrangement."""

    LEAD = "lead"
    COUNTER = "counter"
    INNER = "inner"
    COMP = "comp"
    ARPEGGIO = "arpeggio"
    PAD = "pad"
    BASS = "bass"
    DRONE = "drone"


@dataclass(frozen=True, slots=True)
class Seat:
    """An instrument in a role; one instrument may hold two seats (a piano's hands)."""

    role: Role
    instrument: str


@dataclass(frozen=True, slots=True)
class Cast:
    """Everybody who plays.

    Attributes:
        groove: Name of the kit's groove, or ``none``.
        kit: General MIDI drum kit (bank 128).
        percussion: Percussion instruments that play a line of their own.
    """

    seats: tuple[Seat, ...]
    groove: str
    kit: int
    percussion: tuple[str, ...]

    def instruments(self) -> tuple[str, ...]:
        """Melodic instruments, each once."""
        return tuple(dict.fromkeys(seat.instrument for seat in self.seats))


def cast_players(reading: Reading, vocabulary: Vocabulary, rng: Random) -> Cast:
    """Give every named instrument a role, then fill the roles that genre and description leave open."""
    seats = _seat_named(reading.players, vocabulary)
    groove, kit, percussion = _choose_drums(reading, vocabulary)
    is_percussion_only = not reading.players and bool(reading.percussion) and not reading.genre.lead
    if not (reading.is_solo and seats) and not is_percussion_only:
        seats = _fill(seats, reading, vocabulary, rng)
    seats = _support(seats, vocabulary)
    allowed = [seat for seat in seats if not _is_refused(seat.instrument, reading, vocabulary)]
    if not allowed and groove == "none" and not percussion:
        allowed = seats or [Seat(Role.LEAD, "piano"), Seat(Role.COMP, "piano")]
    return Cast(tuple(allowed[:MAX_SEATS]), groove, kit, percussion)


def _seat_named(players: Sequence[str], vocabulary: Vocabulary) -> list[Seat]:
    """First bass to the bass, first melody instrument to the lead, the rest to what they do best."""
    by_name = vocabulary.instruments
    left = list(players)
    seats: list[Seat] = []
    basses = [p for p in left if by_name[p].does.startswith("b")]
    leaders = [p for p in left if by_name[p].does.startswith(("l", "al", "cl")) or by_name[p].does == "plc"]
    if not basses and len(leaders) > 2:
        basses = [p for p in leaders[1:] if "b" in by_name[p].does and by_name[p].range[0] < 45][-1:]
    if basses and (len(players) > 1):
        seats.append(Seat(Role.BASS, basses[0]))
        left.remove(basses[0])
    singers = [p for p in left if by_name[p].does[0] == "l"] or [p for p in left if "l" in by_name[p].does]
    if singers:
        # A harpsichord named before an oboe accompanies it: what holds its tone sings over what is plucked or struck.
        held = [p for p in singers if by_name[p].sound == "sustained"]
        lead = singers[0] if "c" not in by_name[singers[0]].does or not held else held[0]
        seats.insert(0, Seat(Role.LEAD, lead))
        left.remove(lead)
    for player in left:
        taken = {seat.role for seat in seats}
        seats.append(Seat(_best_role(by_name[player].does, taken), player))
    return seats


def _best_role(does: str, taken: set[Role]) -> Role:
    """Role of one more player: chords before arpeggio, a counter melody before an inner voice."""
    if does == "d":
        return Role.DRONE
    if does[0] == "p":
        return Role.PAD if Role.PAD not in taken else Role.COMP
    if "c" in does:
        return Role.COMP if Role.COMP not in taken else Role.ARPEGGIO if "a" in does else Role.PAD
    if "l" in does:
        return Role.COUNTER if Role.COUNTER not in taken else Role.INNER
    return Role.BASS if Role.BASS not in taken else Role.INNER


def _fill(seats: list[Seat], reading: Reading, vocabulary: Vocabulary, rng: Random) -> list[Seat]:
    """Add the genre's players in roles nobody has; a closed list of two or more stays as it is."""
    genre = reading.genre
    taken = {seat.role for seat in seats}
    present = {seat.instrument for seat in seats}
    num_named = len(reading.players) + len(reading.percussion)
    is_full = reading.is_closed and len(seats) >= 2 and genre.drums != "core"
    if reading.is_closed and len(seats) == 1 and "c" in vocabulary.instruments[seats[0].instrument].does:
        is_full = True
    if is_full:
        return seats
    added = list(seats)

    def add(role: Role, names: Sequence[str]) -> None:
        choices = [n for n in names if not _is_refused(n, reading, vocabulary)]
        if choices and role not in taken:
            fresh = [n for n in choices if n not in present] or choices
            added.append(Seat(role, fresh[0] if not seats or rng.random() < 0.7 else rng.choice(fresh)))

    if Role.LEAD not in taken:
        add(Role.LEAD, _fitting_leads(genre.lead, present, bool(seats)))
    if not (taken & {Role.COMP, Role.ARPEGGIO, Role.PAD}):
        add(Role.COMP, genre.comp)
    if len(seats) < 3:
        add(Role.PAD, genre.pad)
    if genre.drums == "core" or (not reading.is_closed and num_named < 3):
        add(Role.BASS, genre.bass)
    if not seats and len(genre.lead) > 1 and genre.drums != "core" and rng.random() < 0.6:
        add(Role.COUNTER, genre.lead[1:])
    if genre.drone is not None and not (present - {genre.drone} and reading.is_closed):
        add(Role.DRONE, [genre.drone])
    return sorted(added, key=lambda seat: list(Role).index(seat.role))


def _is_refused(name: str, reading: Reading, vocabulary: Vocabulary) -> bool:
    """Tell whether an instrument is refused by name, or added by a genre though its family is refused."""
    by_name, groups = vocabulary.instruments, vocabulary.groups
    members = [n for word in reading.refused for n in (groups[word].does if word in groups else (word,))]
    families = {by_name[member].family for member in members if member in by_name}
    return name in members or (name not in reading.players and by_name[name].family in families)


def _fitting_leads(leads: Sequence[str], present: set[str], has_named: bool) -> Sequence[str]:
    """Beside named accompanists prefer a lead that is none of them."""
    return [lead for lead in leads if lead not in present] or leads if has_named else leads


def _support(seats: list[Seat], vocabulary: Vocabulary) -> list[Seat]:
    """Let a chordal lead accompany itself, and put a melody over seats that have none."""
    by_name = vocabulary.instruments
    roles = {seat.role for seat in seats}
    if seats and Role.LEAD not in roles and Role.DRONE not in roles:
        top = next((s for s in seats if s.role is not Role.BASS), seats[0])
        return [Seat(Role.LEAD, top.instrument), *seats]
    leads = [s.instrument for s in seats if s.role is Role.LEAD]
    if not leads or roles & {Role.COMP, Role.ARPEGGIO, Role.PAD, Role.DRONE}:
        return seats
    own = [s for s in seats if "c" in by_name[s.instrument].does]
    if own and len(seats) <= 3:
        extra = [Seat(Role.COMP, own[-1].instrument)]
        if Role.BASS not in roles and "b" in by_name[own[-1].instrument].does:
            extra.append(Seat(Role.BASS, own[-1].instrument))
        return [*seats, *extra]
    return seats


def _choose_drums(reading: Reading, vocabulary: Vocabulary) -> tuple[str, int, tuple[str, ...]]:
    """Decide on a groove, its kit and hand percussion."""
    genre, named = reading.genre, reading.percussion
    refuses = bool({"drum kit", "percussion", "drum machine"} & set(reading.refused))
    if refuses:
        return "none", genre.kit, tuple(p for p in named if p not in reading.refused)
    kits = [p for p in named if vocabulary.percussion[p].plays == "kit"]
    kit = next((k for p in kits if (k := vocabulary.percussion[p].kit) is not None), genre.kit)
    lines = tuple(p for p in named if p not in kits)
    fallback = "pop" if genre.groove in ("none", "hand") else genre.groove
    if kits:
        return (
            ("brush" if "brushes" in kits and genre.swing < 0.5 and genre.groove != "bossa" else fallback),
            kit,
            lines,
        )
    if reading.is_solo:
        return "none", kit, lines
    is_named_enough = bool(lines) and genre.drums != "core"
    is_calm = reading.energy < QUIET_GENRE_ENERGY and genre.drums == "open"
    wants = genre.drums == "core" or (genre.drums == "open" and not reading.is_closed and not is_calm)
    if is_named_enough or not wants:
        return "none", kit, lines
    return genre.groove, kit, lines or genre.hands
