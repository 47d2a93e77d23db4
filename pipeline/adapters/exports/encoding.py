"""Media of dialogues into codes, a batch at a time; codes that lie beside the corpus are taken from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pipeline.adapters.exports.token_tables import KeptCodes, KeptIndex
from pipeline.adapters.tokenizers.choosing import TokenizerChoice
from pipeline.contracts.export import Sample
from pipeline.contracts.tokenizer import TokenizerFacts
from pipeline.values.errors import CorpusError
from pipeline.values.token_strings import Codes


@dataclass
class Waiting:
    """A dialogue whose codes are on their way.

    Attributes:
        codes: By the place of the part; whole after :meth:`Encoder.encode`.
        due: Kind and prepared medium of what is still to be encoded, by place.
    """

    sample: Sample
    codes: dict[str, Codes] = field(default_factory=dict)
    due: dict[str, tuple[str, Any]] = field(default_factory=dict)


class Encoder:
    """Knows how media of each kind become codes. Weights are loaded only for what has no codes yet.

    Args:
        choices: Tokenizers by kind.
        kept: What lies beside the corpus, and the kinds that are taken from there where a medium is the same.
    """

    def __init__(
        self, choices: Mapping[str, TokenizerChoice], kept: KeptIndex | None, kinds: frozenset[str], shard: int
    ) -> None:
        self._choices = choices
        self._index = kept
        self._kinds = kinds
        self._codes = KeptCodes(kept.folder, shard) if kept and kinds else None

    @property
    def facts(self) -> dict[str, TokenizerFacts]:
        """Of the tokenizers, by kind in the order of the alphabet: vocabularies keep it."""
        taken = {kind: self._index.facts[kind] for kind in self._kinds} if self._index else {}
        loaded = {kind: choice.open().facts for kind, choice in self._choices.items() if kind not in taken}
        return dict(sorted((taken | loaded).items()))

    def prepare(self, sample: Sample, takes: Callable[[str, str], bool]) -> Waiting:
        """Decode a dialogue's media.

        Args:
            takes: Of a dialogue's id and a kind, whether such media are wanted.

        Raises:
            CorpusError: a medium cannot be decoded, or has no codes and nobody stated a tokenizer.
        """
        waiting = Waiting(sample)
        for piece in sample.pieces():
            if piece.medium is None or not takes(sample.id, piece.medium.kind):
                continue
            kind = piece.medium.kind
            found = self._codes.find(piece.medium) if self._codes and kind in self._kinds else None
            if found is not None:
                waiting.codes[piece.place] = found
                continue
            if kind not in self._choices:
                raise CorpusError(
                    f"dialogue {sample.id}: {piece.medium.row['id']}: its codes do not lie beside the corpus; "
                    f"run `anyinstruct run` again, or state the tokenizer as --option {kind}=TOKENIZER:MODEL"
                )
            try:
                waiting.due[piece.place] = kind, self._choices[kind].open().prepare(piece.medium.data)
            except ValueError as exc:
                raise CorpusError(
                    f"dialogue {sample.id}: {kind}: {exc}; run `anyinstruct verify` on the corpus"
                ) from exc
        return waiting

    def encode(self, some: Sequence[Waiting]) -> None:
        """Bring the codes of some dialogues to be whole."""
        for kind in self._choices:
            places = [(one, place) for one in some for place, (wanted, _) in one.due.items() if wanted == kind]
            if not places:
                continue
            media = [one.due[place][1] for one, place in places]
            for (one, place), codes in zip(places, self._choices[kind].open().encode(media), strict=True):
                one.codes[place] = codes
        for one in some:
            one.due.clear()
