"""Options of the export to AnyGPT's training rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.adapters.exports.token_tables import INDEX, TOKENS, KeptIndex
from pipeline.adapters.tokenizers.choosing import TokenizerChoice
from pipeline.contracts.export import ExportOptions
from pipeline.contracts.tokenizer import TokenizerFacts
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.records import Record
from pipeline.values.token_strings import ANYGPT, Alphabet, Mark, Wording

KINDS = ("image", "music", "speech")
Kind = Literal["image", "music", "speech"]

_HOW = (
    "say which, e.g. --option music=encodec:facebook/encodec_32khz --option speech=mimi:kyutai/mimi "
    '--option image=\'{"tokenizer": "vq-image", "model": "./folder", "licence": "MIT"}\'; '
    "with `words` its words stand in its place"
)


class Strings(Record):
    """How media of a kind stand in the text; what is not stated is AnyGPT's.

    Attributes:
        layers: Codebooks that stand in the text; the others are stored beside.
    """

    opening: Mark | None = None
    closing: Mark | None = None
    unit: str | None = None
    layers: int | None = Field(default=None, ge=1)


class AnygptOptions(ExportOptions):
    """Which tokenizers are used, and how rows are spelled.

    Attributes:
        image, music, speech: Tokenizer of each, or ``words`` for what stands without.
        strings: Delimiters, unit and layers by kind.
        wording: Chat template, role names and what stands around spoken questions.
        max_tokens: Of a dialogue; a longer one keeps its first whole rounds. None for no bound.
        text_tokenizer: A ``tokenizer.json``, or a folder with one, that counts words. Without one every byte of UTF-8
            counts as a token, which is the most that byte-level tokenizers make of it.
        has_text: Whether rows also carry the dialogue in its chat template.
        batch: Media encoded at once.
        tokens: Folder of codes that lie there already, which are taken for every kind whose tokenizer is the same one
            or is not stated; found beside the corpus where a run has left it.
    """

    image: TokenizerChoice | Literal["words"] | None = None
    music: TokenizerChoice | Literal["words"] | None = None
    speech: TokenizerChoice | Literal["words"] | None = None
    strings: Mapping[Kind, Strings] = {}
    wording: Wording = Wording()
    max_tokens: int | None = Field(default=None, ge=16)
    text_tokenizer: str | None = None
    has_text: bool = True
    batch: int = Field(default=16, ge=1, le=256)
    # A path of this machine that changes no output: in no receipt and no index.
    tokens: Path | None = Field(default=None, exclude=True)

    @field_validator(*KINDS, mode="before")
    @classmethod
    def _read_choice(cls, value: Any) -> Any:
        # Tried as a union, a wrong choice would be told as two errors, the first of which is not the reason.
        return value if value is None or value == "words" else TokenizerChoice.model_validate(value)

    @model_validator(mode="after")
    def _can_tokenize(self) -> AnygptOptions:
        if not (self.choices or self.kept_kinds):
            raise ValueError(f"no tokenizer is chosen for any of {', '.join(KINDS)}; {_HOW}")
        for kind, choice in self.choices.items():
            try:
                choice.check(kind)
            except ManifestError as exc:
                raise ValueError(f"{kind}: {exc}") from exc
        return self

    @property
    def choices(self) -> dict[str, TokenizerChoice]:
        """Tokenizers by kind."""
        chosen = {kind: getattr(self, kind) for kind in KINDS}
        return {kind: choice for kind, choice in chosen.items() if isinstance(choice, TokenizerChoice)}

    @cached_property
    def kept(self) -> KeptIndex | None:
        """What codes lie there already."""
        return None if self.tokens is None else KeptIndex(self.tokens)

    @cached_property
    def kept_kinds(self) -> frozenset[str]:
        """Kinds whose codes are taken from there."""
        found = {} if self.kept is None else self.kept.identities
        stated = {kind: getattr(self, kind) for kind in found}
        return frozenset(
            kind
            for kind, choice in stated.items()
            if choice is None or (isinstance(choice, TokenizerChoice) and choice.identity == found[kind])
        )

    def identity(self) -> dict[str, Any]:
        """All options, tokenizers with their weights; codes are the same whether taken or made."""
        kept = {kind: self.kept.identities[kind] for kind in self.kept_kinds} if self.kept else {}
        stated = {kind: choice.identity for kind, choice in self.choices.items()}
        return {**self.model_dump(mode="json"), **stated, **kept}

    @classmethod
    def found_beside(cls, corpus: Path) -> dict[str, Any]:
        """Codes that a run has left in its corpus."""
        return {"tokens": corpus / TOKENS} if (corpus / TOKENS / INDEX).is_file() else {}

    def as_published(self) -> dict[str, Any]:
        """All options, folders by their own names."""
        own = {kind: choice.as_published() for kind, choice in self.choices.items()}
        counter = {"text_tokenizer": self.text_tokenizer and Path(self.text_tokenizer).name}
        return {**super().as_published(), **own, **counter}

    def check_kind(self, dialogue: str, kind: str) -> bool:
        """Tell whether media of a kind are tokenized.

        Raises:
            CorpusError: nobody said.
        """
        if getattr(self, kind) is None and kind not in self.kept_kinds:
            raise CorpusError(f"dialogue {dialogue}: has {kind}, and no tokenizer is chosen for it; {_HOW}")
        return kind in self.choices or kind in self.kept_kinds

    def alphabet(self, kind: Kind, facts: TokenizerFacts) -> Alphabet:
        """Return how media of a kind are spelled.

        Raises:
            ManifestError: more layers are to stand than the tokenizer has, or a mark is wrong.
        """
        base, own = ANYGPT[kind], self.strings.get(kind, Strings())
        layers = own.layers or min(base.num_layers, facts.num_codebooks)
        if layers > facts.num_codebooks:
            raise ManifestError(
                f"strings: {layers} layers of {kind}; {facts.model} has {facts.num_codebooks} codebooks"
            )
        return Alphabet(
            opening=own.opening or base.opening,
            closing=own.closing or base.closing,
            unit=own.unit or base.unit,
            num_codes=facts.num_codes,
            num_layers=layers,
        )

    def word_counter(self) -> Callable[[str], int]:
        """Return what counts the tokens of plain words.

        Raises:
            ManifestError: the tokenizer of text cannot be read.
        """
        if self.text_tokenizer is None:
            return lambda text: len(text.encode())
        path = Path(self.text_tokenizer).expanduser()
        path = path / "tokenizer.json" if path.is_dir() else path
        try:
            from tokenizers import Tokenizer

            counter = Tokenizer.from_buffer(path.read_bytes())
        except ImportError as exc:
            raise ManifestError("text_tokenizer: needs the package tokenizers: pip install tokenizers") from exc
        except (OSError, ValueError) as exc:
            raise ManifestError(f"text_tokenizer {path.name}: cannot be read ({exc}); name a tokenizer.json") from exc
        return lambda text: len(counter.encode(text, add_special_tokens=False).ids)
