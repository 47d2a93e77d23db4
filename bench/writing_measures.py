"""What can be said of a writer's words by counting and by sentence embeddings; nothing here reads a file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np

from pipeline.adapters.embedding import Vectors
from pipeline.adapters.runs import TallyLine
from pipeline.values.ids import derive_random, part_id
from pipeline.values.records import Modality, Role, Turn
from pipeline.values.units import Seconds

SPOKEN = (Modality.TEXT, Modality.SPEECH)
DESCRIBED = (Modality.IMAGE, Modality.MUSIC)
ROLES: tuple[Role, ...] = ("user", "assistant")

Embed = Callable[[Sequence[str]], Vectors]

SHINGLE = 5
MIN_JACCARD = 0.5
"""Two dialogues are near-duplicates from this share of common word 5-grams on."""

MIN_COSINE = 0.9
"""Two descriptions of one modality are near-duplicates from this cosine on."""

NUM_OTHERS = 20
SEED = 2026

_WORD = re.compile(r"\w+(?:['’]\w+)*")


def words_of(text: str) -> list[str]:
    """Words without case or punctuation; what an apostrophe joins is one word."""
    return _WORD.findall(text.casefold())


def grams(words: Sequence[str], length: int) -> list[tuple[str, ...]]:
    """All runs of ``length`` words."""
    return [tuple(words[first : first + length]) for first in range(len(words) - length + 1)]


def distinct(texts: Sequence[str], length: int) -> float:
    """Different n-grams over all n-grams (distinct-n of Li et al. 2016); falls as texts get more. 0 where none is."""
    found = [gram for text in texts for gram in grams(words_of(text), length)]
    return len(set(found)) / len(found) if found else 0.0


def find_near_texts(texts: Sequence[str], least: float = MIN_JACCARD) -> dict[tuple[int, int], float]:
    """Pairs of texts whose sets of word 5-grams have at least this Jaccard similarity, all pairs compared.

    A text of fewer than five words is one gram.
    """
    sets = [set(grams(words, SHINGLE)) or {tuple(words)} for words in map(words_of, texts)]
    found = {}
    for (i, one), (j, other) in combinations(enumerate(sets), 2):
        shared = len(one & other)
        similarity = shared / (len(one) + len(other) - shared)
        if similarity >= least:
            found[i, j] = similarity
    return found


def find_near_vectors(vectors: Vectors, least: float = MIN_COSINE) -> dict[tuple[int, int], float]:
    """Pairs of rows of unit length whose cosine is at least this."""
    cosines = vectors @ vectors.T
    rows, columns = np.nonzero(np.triu(cosines >= least, 1))
    return {(int(i), int(j)): float(cosines[i, j]) for i, j in zip(rows, columns, strict=True)}


def share_with_twin(pairs: Mapping[tuple[int, int], float], count: int) -> float:
    """Share of ``count`` things that have a near-duplicate; both of a pair count."""
    return len({index for pair in pairs for index in pair}) / count if count else 0.0


@dataclass(frozen=True)
class Probe:
    """A text, and what it should be near to: nearer than to the same thing in other dialogues.

    Attributes:
        name: Id of the part or dialogue; it seeds the draw.
        kind: What the text is: ``image``, ``music``, ``scenario`` or ``dialogue``.
        target: What it should be near to: ``user`` and ``assistant`` for the words of such a turn, or ``topic``.
        own: That, in its own dialogue.
    """

    name: str
    dialogue: str
    kind: str
    target: str
    text: str
    own: str


@dataclass(frozen=True)
class Relevance:
    """Cosines of a probe's text with its own target and with those of the other dialogues drawn."""

    probe: Probe
    own: float
    others: tuple[float, ...]

    @property
    def is_top(self) -> bool:
        """True where its own is nearer than every other one."""
        return self.own > max(self.others)


Targets = Mapping[str, Mapping[str, Sequence[str]]]
"""Texts to be near to, by dialogue and target."""


def draw_others(probe: Probe, targets: Targets) -> list[str]:
    """Draw one text of the probe's target out of each of 20 other dialogues, or of all where they are fewer.

    The draw depends on which dialogues there are and not on their order.
    """
    random = derive_random(SEED, probe.name, probe.target)
    names = sorted(name for name, mine in targets.items() if name != probe.dialogue and mine.get(probe.target))
    drawn = random.sample(names, min(NUM_OTHERS, len(names)))
    return [random.choice(targets[name][probe.target]) for name in drawn]


def compare_with_others(probes: Sequence[Probe], targets: Targets, embed: Embed) -> list[Relevance]:
    """Compare each probe with its own and with those drawn; one without others is left out.

    Args:
        embed: Maps n texts to n rows of unit length; asked once.
    """
    drawn = [draw_others(probe, targets) for probe in probes]
    pairs = list(zip(probes, drawn, strict=True))
    texts = sorted({text for probe, others in pairs for text in (probe.text, probe.own, *others)})
    vectors = dict(zip(texts, embed(texts), strict=True))
    found = []
    for probe, names in pairs:
        own, *others = (float(vectors[probe.text] @ vectors[text]) for text in (probe.own, *names))
        if others:
            found.append(Relevance(probe, own, tuple(others)))
    return found


def words_said(turn: Turn) -> str:
    """What a turn says in words, typed or spoken."""
    return " ".join(part.text for part in turn.parts if part.kind in SPOKEN)


def share_of_questions(turns: Iterable[Turn]) -> float:
    """Share of the user's turns with words that hold a question mark; a request may do without one."""
    said = [words for turn in turns if turn.role == "user" and (words := words_said(turn))]
    return ratio(sum("?" in words for words in said), len(said))


def list_descriptions(dialogues: Mapping[str, Sequence[Turn]]) -> list[Probe]:
    """All descriptions of pictures and music, in order, each with the words of the turn that it stands in."""
    return [
        Probe(part_id(name, index, place), name, part.kind, turn.role, part.text, words_said(turn))
        for name, turns in dialogues.items()
        for index, turn in enumerate(turns)
        for place, part in enumerate(turn.parts)
        if part.kind in DESCRIBED
    ]


def compare_descriptions(dialogues: Mapping[str, Sequence[Turn]], embed: Embed) -> list[Relevance]:
    """Compare descriptions with the words of their turns; those in turns without words are left out."""
    targets: dict[str, dict[str, list[str]]] = {name: {role: [] for role in ROLES} for name in dialogues}
    for name, turns in dialogues.items():
        for turn in turns:
            if words := words_said(turn):
                targets[name][turn.role].append(words)
    return compare_with_others([probe for probe in list_descriptions(dialogues) if probe.own], targets, embed)


def subtract_roles(turns: Sequence[Turn], embed: Embed) -> Vectors | None:
    """The mean vector of the user's turns less that of the assistant's; None where one of them says no words.

    What the dialogue is about stands in both and drops out; what is left is how the two speak.
    """
    said = {role: [words for t in turns if t.role == role and (words := words_said(t))] for role in ROLES}
    if not all(said.values()):
        return None
    user, assistant = (embed(said[role]).mean(axis=0) for role in ROLES)
    return np.asarray(user - assistant, dtype=np.float32)


def find_swapped(differences: Vectors, known: Vectors) -> list[bool]:
    """Tell of each dialogue whether its user speaks more like an assistant than its assistant does.

    A proxy: each difference of :func:`subtract_roles` is projected on the mean of those of dialogues with right roles.

    Args:
        differences: (num_dialogues, 384).
        known: (num_known, 384), of dialogues with right roles.
    """
    return [bool(side < 0) for side in differences @ known.mean(axis=0)]


def rate_swap_proxy(known: Vectors) -> float:
    """Share of dialogues with right roles that :func:`find_swapped` gets wrong, each judged by all others.

    By its symmetry it overlooks as large a share of swapped ones.
    """
    rest = [np.delete(known, index, axis=0) for index in range(len(known))]
    wrong = sum(find_swapped(known[i : i + 1], others)[0] for i, others in enumerate(rest))
    return ratio(wrong, len(known))


def name_rule(problem: str) -> str:
    """Cut a refusal's text down to the field and the rule: the values it quotes differ from answer to answer."""
    text = re.sub(r"has \d+ characters", "has too many characters", problem)
    return re.split(r"[:(]| at most", text)[0].rstrip(" ,")


def count_busy_seconds(tallies: Sequence[TallyLine]) -> Seconds:
    """Seconds with an LLM call in flight, over the event log's lines in order; between two runs nobody is busy."""
    return sum((b.t - a.t for a, b in pairwise(tallies) if a.pid == b.pid and a.calls_in_flight), 0.0)


def ratio(part: float, whole: float) -> float:
    """A share; 0 of nothing."""
    return part / whole if whole else 0.0
