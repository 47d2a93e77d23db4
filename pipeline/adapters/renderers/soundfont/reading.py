"""What a description says: genre, tempo, key, metre, mood and who plays.

Descriptions come from language models or strangers. They are only compared with the vocabulary; whatever is not in it
is ignored, and what is left open is drawn from the seed within the genre's habits.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from pipeline.adapters.renderers.soundfont.metre import METRES, Metre
from pipeline.adapters.renderers.soundfont.theory import LETTERS, is_minorish
from pipeline.adapters.renderers.soundfont.vocabulary import Genre, Vocabulary
from pipeline.values.ids import derive_random

MAX_CHARACTERS = 2_000
MIN_BPM, MAX_BPM = 30.0, 240.0
NEGATIONS = frozenset({"no", "without", "not", "never", "minus", "lacking", "nothing"})
BREAKS = frozenset({",", ";", ".", ":", "but", "only", "just", "with", "then"})
NEGATION_REACH = 4
DEFAULT_GENRES = ("folk", "romantic", "pop", "orchestral", "jazz", "classical", "ambient")

TOKEN = re.compile(r"[^\W_](?:[\w&/#]*[^\W_]|#)?|&|[,;:.](?=\s|$)")
NUMBER = r"\d{1,12}(?:\.\d{1,6})?"
BPM = re.compile(
    rf"(?<![\w.])(?P<low>{NUMBER})(?:\s*(?:-|–|—|to|and)\s*(?P<high>{NUMBER}))?\s*-?\s*"
    r"(?:bpm|b\.p\.m|beats (?:per|a) minute)",
    re.IGNORECASE,
)
MARK = re.compile(
    rf"(?:tempo|bpm|♩|quarter(?: note)?)\s*(?:of|at|=|:)?\s*(?:about|around)?\s*(?P<low>{NUMBER})", re.IGNORECASE
)
MODES = (
    "harmonic minor|natural minor|melodic minor|minor pentatonic|major pentatonic|major|minor|maj|min|dorian|phrygian"
    "|lydian|mixolydian|aeolian|ionian|locrian"
)
ACCIDENTAL = r"(?:[\s-]?(?P<accidental>sharp|flat|♯|♭|#|b)(?![a-z]))?"
KEY = re.compile(
    rf"(?<![\w'’])(?P<letter>[A-Ga-g]){ACCIDENTAL}[\s-](?P<mode>{MODES})\b(?![\s-](?:key|scale|mode|chord))", re.I
)
BARE_KEY = re.compile(rf"\b(?:key of|in)\s+(?P<letter>[A-G]){ACCIDENTAL}(?=[\s,.;]|$)")
MODE_NAMES = {"maj": "major", "min": "minor", "ionian": "major", "aeolian": "minor", "locrian": "phrygian"}
MODE_NAMES |= {"natural minor": "minor", "melodic minor": "harmonic minor"}
LONE_MODE = re.compile(rf"\b(?P<mode>{MODES}|blues scale|whole[\s-]tone|hijaz|double harmonic)\b")


@dataclass(frozen=True, slots=True)
class Mention:
    """One phrase of the vocabulary found in a text: what it stands for, and where (first and one past last token)."""

    name: str
    start: int
    end: int
    is_negated: bool


@dataclass(frozen=True, slots=True)
class Reading:
    """What is to be played, complete: what the words leave open is drawn.

    Attributes:
        tonic: Pitch class, 0 is C.
        mode: ``major`` or ``minor``, what the scale sounds nearest to.
        valence, energy: -1 to 1, by the mood words.
        loudness: -1 to 1, by the words for it.
        articulation: Held share of a note, where a word asks for one.
        players, percussion: Named instruments in the order named.
        refused: Instruments named as absent.
        is_solo: One melodic player and nobody added.
        is_closed: The instruments are listed in full ("for flute and harp").
        pace: Tempo at the end over tempo at the start.
        growth: -1 fades, 1 grows, 0 follows the usual arc.
    """

    genre_name: str
    genre: Genre
    bpm: float
    is_bpm_stated: bool
    tonic: int
    scale: str
    mode: str
    metre: Metre
    valence: float
    energy: float
    loudness: float
    articulation: float | None
    players: tuple[str, ...]
    percussion: tuple[str, ...]
    refused: tuple[str, ...]
    is_solo: bool
    is_closed: bool
    pace: float
    growth: int


def plain_text(text: str) -> str:
    """Cut to 2,000 characters, fold width and drop accents; letters of other scripts stay as they are."""
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]))
    return "".join(c for c in folded if not unicodedata.combining(c))


def tokenise(text: str) -> list[str]:
    """Lower-case words and breaks of a plain text; hyphens part words, apostrophes vanish."""
    return TOKEN.findall(re.sub(r"['’]", "", text.casefold()).replace("-", " ").replace("‑", " "))


def find_mentions(tokens: Sequence[str], vocabulary: Vocabulary, category: str) -> list[Mention]:
    """Find the longest phrases of a category from left to right, without overlap."""
    index = vocabulary.phrases[category]
    found: list[Mention] = []
    place = 0
    while place < len(tokens):
        for length in range(min(vocabulary.longest, len(tokens) - place), 0, -1):
            name = index.get(tuple(tokens[place : place + length]))
            if name is not None:
                found.append(Mention(name, place, place + length, _is_negated(tokens, place)))
                place += length
                break
        else:
            place += 1
    return found


def _is_negated(tokens: Sequence[str], place: int) -> bool:
    """Tell whether a negation stands at most four words before, in the same clause."""
    for back in range(place - 1, max(-1, place - 1 - NEGATION_REACH), -1):
        if tokens[back] in NEGATIONS:
            return True
        if tokens[back] in BREAKS:
            return False
    return False


def read_description(text: str, seed: int, vocabulary: Vocabulary) -> Reading:
    """Read a description; the same text and seed give the same reading."""
    plain = plain_text(text)
    tokens = tokenise(plain)
    found = {kind: find_mentions(tokens, vocabulary, kind) for kind in vocabulary.phrases}
    kept = {kind: [m for m in mentions if not m.is_negated] for kind, mentions in found.items()}
    rng = derive_random(seed, "music", "reading")
    genre_name = _choose_genre(kept["genre"], kept["player"], tokens, rng, vocabulary)
    genre = vocabulary.genres[genre_name]
    valence, energy = _feel(kept["mood"], vocabulary)
    metre = METRES[_choose_metre(kept["metre"], kept["genre"], genre, vocabulary)]
    bpm, is_stated, pace = _choose_tempo(plain, kept, genre, energy, rng, vocabulary)
    tonic, scale = _choose_key(plain, genre, valence, rng)
    players, percussion = _choose_players(kept["player"], tokens, vocabulary)
    loudness = [vocabulary.loudness[m.name] for m in kept["loudness"]]
    articulation = [vocabulary.articulation[m.name] for m in kept["articulation"]]
    changes = {m.name for m in kept["change"]}
    return Reading(
        genre_name=genre_name,
        genre=genre,
        bpm=bpm,
        is_bpm_stated=is_stated,
        tonic=tonic,
        scale=scale,
        mode="minor" if is_minorish(scale) else "major",
        metre=metre,
        valence=valence,
        energy=energy,
        loudness=sum(loudness) / len(loudness) if loudness else 0.4 * energy,
        articulation=articulation[0] if articulation else None,
        players=players,
        percussion=percussion,
        refused=tuple(m.name for m in found["player"] if m.is_negated),
        is_solo=_is_solo(tokens, players, percussion, genre),
        is_closed=_is_closed(tokens, kept["player"], genre),
        pace=pace,
        growth=("louder" in changes) - ("softer" in changes),
    )


def _choose_genre(
    genres: list[Mention], players: list[Mention], tokens: Sequence[str], rng: Random, vocabulary: Vocabulary
) -> str:
    """The most specific genre word wins, then the one named first; an instrument is a genre word only in need."""
    if genres:
        by_name = vocabulary.genres
        spoken = {m.start: m.end for m in players}
        genres = [m for m in genres if spoken.get(m.start, m.end) <= m.end] or genres
        return max(genres, key=lambda m: (by_name[m.name].rank - 0.6 * (m.start in spoken), -m.start)).name
    if players:
        named = {m.name for m in players}
        if named & {"drum machine", "synth bass", "saw lead"}:
            return "electronica"
        return "pop" if "drum kit" in named else "classical" if named & {"strings", "cello", "violin"} else "folk"
    return rng.choice(DEFAULT_GENRES)


def _feel(moods: list[Mention], vocabulary: Vocabulary) -> tuple[float, float]:
    """Mean mood, stretched a little so that two agreeing words say more than one."""
    if not moods:
        return 0.0, 0.0
    pairs = [vocabulary.mood[m.name] for m in moods]
    scale = 1.0 / len(pairs) ** 0.8
    return (
        max(-1.0, min(1.0, sum(p[0] for p in pairs) * scale)),
        max(-1.0, min(1.0, sum(p[1] for p in pairs) * scale)),
    )


def _choose_metre(metres: list[Mention], genres: list[Mention], genre: Genre, vocabulary: Vocabulary) -> str:
    """A metre word wins; then any genre word that lives in one metre; then the genre."""
    if metres:
        return metres[0].name
    for mention in genres:
        if vocabulary.genres[mention.name].metre != "4/4":
            return vocabulary.genres[mention.name].metre
    return genre.metre


def _choose_tempo(
    text: str, kept: dict[str, list[Mention]], genre: Genre, energy: float, rng: Random, vocabulary: Vocabulary
) -> tuple[float, bool, float]:
    """Return beats per minute, whether the text states a number, and the ratio of final to first tempo."""
    changes = {m.name for m in kept["change"]}
    pace = 1.0 + 0.25 * ("faster" in changes) - 0.2 * ("slower" in changes)
    stated = stated_tempo(text)
    low, high = genre.tempo
    if stated:
        first, last = map(clamp_bpm, stated)
        if changes & {"faster", "slower", "louder"} and last != first:
            return first, True, max(0.6, min(1.6, last / first))
        return (first + last) / 2, True, pace
    place = 0.5 + 0.35 * energy + rng.uniform(-0.12, 0.12)
    usual = low + (high - low) * max(0.0, min(1.0, place))
    words = [vocabulary.tempo[m.name] for m in kept["tempo"]]
    if not words:
        return clamp_bpm(usual), False, pace
    target, own = words[0]
    blended = own * usual + (1 - own) * target * rng.uniform(0.97, 1.03)
    if own:
        blended = min(blended, low * 0.95) if target < 90 else max(blended, high * 1.05) if target > 125 else blended
    return clamp_bpm(blended), False, pace


def stated_tempo(text: str) -> tuple[float, float] | None:
    """Find beats a minute such as "90 BPM" or "80 to 100 bpm": the first and the last; None where none is stated."""
    found = BPM.search(text) or MARK.search(text)
    if found is None:
        return None
    return float(found["low"]), float(found.groupdict().get("high") or found["low"])


def clamp_bpm(value: float) -> float:
    """Bring any number to 30 to 240 beats per minute."""
    return max(MIN_BPM, min(MAX_BPM, value))


def _choose_key(text: str, genre: Genre, valence: float, rng: Random) -> tuple[int, str]:
    """Return tonic pitch class and scale."""
    stated = stated_key(text)
    lone = LONE_MODE.search(text.casefold())
    named = stated[1] if stated else None
    if named is None and lone:
        named = lone["mode"].replace("-", " ").replace("blues scale", "blues")
        named = MODE_NAMES.get(named, named)
    drawn = rng.choice((0, 2, 4, 5, 7, 9, 10, 3))
    tonic = stated[0] if stated else drawn
    return tonic, _choose_scale(genre, named, valence, rng)


def stated_key(text: str) -> tuple[int, str | None] | None:
    """Find a key such as "D minor" or "in E flat"; a lone small "a" before "minor" is an article."""
    for match in KEY.finditer(text):
        before = text[: match.start()].rstrip().casefold()
        is_article = match["letter"] == "a" and not match["accidental"] and not before.endswith((" in", "key of"))
        if not is_article:
            mode = re.sub(r"\s+", " ", match["mode"].casefold())
            return _pitch_class(match), MODE_NAMES.get(mode, mode)
    bare = BARE_KEY.search(text)
    return (_pitch_class(bare), None) if bare else None


def _pitch_class(match: re.Match[str]) -> int:
    accidental = (match["accidental"] or "").casefold()
    shift = 1 if accidental in ("sharp", "♯", "#") else -1 if accidental in ("flat", "♭", "b") else 0
    return (LETTERS[match["letter"].casefold()] + shift) % 12


def _choose_scale(genre: Genre, named: str | None, valence: float, rng: Random) -> str:
    """Take the named scale, or draw one of the genre's that suits the mood."""
    if named is not None:
        return named
    wanted = None if abs(valence) < 0.2 else "minor" if valence < 0 else "major"
    fitting = [n for n in genre.scales if wanted is None or is_minorish(n) == (wanted == "minor")]
    if not fitting:
        is_western = set(genre.scales) <= {"major", "minor", "mixolydian", "dorian", "blues"}
        return wanted if wanted is not None and is_western else next(iter(genre.scales))
    return rng.choices(fitting, [genre.scales[n] for n in fitting])[0]


def _choose_players(
    mentions: list[Mention], tokens: Sequence[str], vocabulary: Vocabulary
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return melodic instruments, leads first, and percussion, each once in the order named."""
    players: list[str] = []
    percussion: list[str] = []
    for mention in _without_doublets(mentions, vocabulary):
        names = vocabulary.groups[mention.name].does if mention.name in vocabulary.groups else (mention.name,)
        for name in names:
            if name in vocabulary.percussion:
                percussion.append(name)
            elif _is_leading(mention, tokens) and "l" in vocabulary.instruments[name].does:
                players.insert(0, name)
            else:
                players.append(name)
    if any(m.name == "string quartet" for m in mentions):
        return tuple(players), tuple(dict.fromkeys(percussion))
    return tuple(dict.fromkeys(players)), tuple(dict.fromkeys(percussion))


def _without_doublets(mentions: list[Mention], vocabulary: Vocabulary) -> list[Mention]:
    """Drop the second of two adjoining names of one family: "panduri lute" is one instrument."""
    families = {name: instrument.family for name, instrument in vocabulary.instruments.items()}
    kept: list[Mention] = []
    for mention in mentions:
        adjoins = bool(kept) and kept[-1].end == mention.start
        if adjoins and families.get(kept[-1].name, "") == families.get(mention.name):
            continue
        kept.append(mention)
    return kept


def _is_leading(mention: Mention, tokens: Sequence[str]) -> bool:
    """Tell whether "solo", "lead" or "melody" stands right beside the instrument."""
    after = tokens[mention.end] if mention.end < len(tokens) else ""
    before = tokens[mention.start - 1] if mention.start else ""
    return after in ("solo", "melody", "lead", "hook", "theme", "tune") or before in ("solo", "lead")


def _is_solo(tokens: Sequence[str], players: Sequence[str], percussion: Sequence[str], genre: Genre) -> bool:
    """Tell whether the text asks for one player alone."""
    says_so = bool({"solo", "unaccompanied", "alone", "lone"} & set(tokens))
    return (
        says_so
        and len(players) <= 1
        and not (percussion and players)
        and not (genre.drums == "core" and "with" in tokens)
    )


def _is_closed(tokens: Sequence[str], mentions: list[Mention], genre: Genre) -> bool:
    """Tell whether the first instrument follows "for", "duet", "duo", "trio" or the like within four words."""
    if {"duet", "duo", "trio", "quartet", "quintet", "unaccompanied", "bare"} & set(tokens):
        return True
    if "solo" in tokens and genre.drums != "core":
        return True
    if not mentions:
        return False
    start = mentions[0].start
    return "for" in tokens[max(0, start - 4) : start]
