"""Who speaks: the voices that a manifest chooses out of the voices file, and whose turn is whose."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.contracts.render import Voice
from pipeline.values.errors import ManifestError
from pipeline.values.ids import rank_by_hash
from pipeline.values.records import Role
from pipeline.values.render_sections import SpeechSection
from pipeline.values.voice_sets import VoiceSet, parse_voice_set
from pipeline.values.words import say_count, say_some


@dataclass(frozen=True)
class Casting:
    """The voices of a corpus, by the manifest."""

    pool: Mapping[str, Voice]
    assistant: Voice

    def voice_of(self, role: Role, dialogue: str) -> Voice:
        """The user keeps one voice through a dialogue, drawn by its id; replacing a voice moves only its dialogues."""
        return self.assistant if role == "assistant" else self.pool[rank_by_hash(list(self.pool), dialogue)[0]]


def cast(section: SpeechSection, voices: Mapping[str, Voice], corpus_seed: int) -> Casting:
    """Resolve the names and sets of the manifest; see :mod:`pipeline.values.voice_sets`.

    Raises:
        ManifestError: a voice is unknown or spoken by another renderer, or a set is empty or too small.
    """
    pool = choose_voices(section.voices.user, section.renderer, voices, corpus_seed)
    return Casting(pool, _find_voice(section.voices.assistant, section.renderer, voices, "assistant"))


def choose_voices(
    entries: Sequence[str], renderer: str, voices: Mapping[str, Voice], corpus_seed: int
) -> dict[str, Voice]:
    """Return the voices of one renderer that names and sets come to, by name; what stands in two sets stands once.

    Raises:
        ManifestError: as :func:`cast`.
    """
    pool: dict[str, Voice] = {}
    for entry in entries:
        try:
            wanted = parse_voice_set(entry)
        except ValueError as exc:
            raise ManifestError(f"render.speech.voices.user: {exc}") from exc
        if wanted is None:
            pool[entry] = _find_voice(entry, renderer, voices, "user")
        else:
            pool.update({voice.name: voice for voice in _draw(entry, wanted, renderer, voices, corpus_seed)})
    return pool


def _draw(
    entry: str, wanted: VoiceSet, renderer: str, voices: Mapping[str, Voice], corpus_seed: int
) -> Sequence[Voice]:
    """Return a set's voices of a renderer, or as many as it counts.

    Those are the first by a hash salted with the corpus's seed: a voice that is added to the file or taken from it
    moves at most one of them.
    """
    where = f"render.speech.voices.user: {renderer} has"
    found = {voice.name: voice for voice in voices.values() if voice.renderer == renderer and wanted.holds(voice)}
    if not found:
        others = Counter(voice.renderer for voice in voices.values() if wanted.holds(voice))
        elsewhere = ", ".join(f"{name} has {count}" for name, count in others.most_common())
        raise ManifestError(f"{where} no voice for {entry!r}; {elsewhere or _say_languages(renderer, voices)}")
    if wanted.count is None:
        return list(found.values())
    if wanted.count > len(found):
        have = say_count(len(found), "voice")
        raise ManifestError(f"{where} {have} for {entry!r}: lower the number, or widen the set")
    return [found[name] for name in rank_by_hash(list(found), corpus_seed, "voices")[: wanted.count]]


def _find_voice(name: str, renderer: str, voices: Mapping[str, Voice], role: str) -> Voice:
    voice = voices.get(name)
    if voice is None or voice.renderer != renderer:
        known = say_some(v.name for v in voices.values() if v.renderer == renderer) or "none listed"
        whose = f" but of {voice.renderer}" if voice is not None else ""
        raise ManifestError(
            f"render.speech.voices.{role}: {name!r} is no voice of {renderer}{whose}; {renderer} has {known}"
        )
    return voice


def _say_languages(renderer: str, voices: Mapping[str, Voice]) -> str:
    tags = {tag for voice in voices.values() if voice.renderer == renderer for tag in voice.languages}
    return f"it speaks {say_some(tags) or 'no language'}"
