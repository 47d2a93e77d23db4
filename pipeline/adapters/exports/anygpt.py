"""``anygpt``: rows as AnyGPT trains on them, every medium a string of tokens, and the codes beside as arrays.

A row is ``{"id": …, "conversation": [[{"role": "user", "message": …}, …]]}`` as in ``anygpt/src/m_utils`` of its
repository. ``tokens/`` holds all codes, also those of turns that a row had no room for and of codebooks that are not
spelled; ``vocabulary.txt`` every token to add to a language model, and ``tokens.json`` the alphabets and the lengths.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from pipeline.adapters.exports.anygpt_options import AnygptOptions
from pipeline.adapters.exports.encoding import Encoder, Waiting
from pipeline.adapters.exports.rows import RowFile
from pipeline.adapters.exports.token_tables import INDEX, SPELLED, describe_codes
from pipeline.adapters.files import read_json
from pipeline.contracts.export import ExportOptions, ExportSummary, Sample
from pipeline.values.errors import CorpusError
from pipeline.values.token_strings import Alphabet, Codes, Speller, TokenPart, Wording
from pipeline.values.words import say_count

VOCABULARY = "vocabulary.txt"
_QUANTILES = (0.5, 0.9, 0.99, 1.0)


class TokenRows:
    """The files of one part. Dialogues wait until a batch of media has come together."""

    def __init__(self, options: AnygptOptions, staging: Path, split: str, shard: int) -> None:
        self._options = options
        self._encoder = Encoder(options.choices, options.kept, options.kept_kinds, shard)
        self._facts = self._encoder.facts
        self._alphabets: dict[str, Alphabet] = {
            kind: options.alphabet(kind, facts)  # type: ignore[arg-type]  # the keys are the options' own
            for kind, facts in self._facts.items()
        }
        self._speller = Speller(self._alphabets, options.wording)
        self._count_words = options.word_counter()
        self._path = f"{split}-{shard:05d}.jsonl"
        self._staging = staging
        # Open only while a batch is written: whoever fails in between leaves no open file behind.
        (staging / self._path).touch()
        self._codes = RowFile(staging, f"tokens/{split}/{shard:05d}.parquet", SPELLED, ())
        self._facts_path = f"lengths/{split}-{shard:05d}.json"
        self._waiting: list[Waiting] = []
        self._num_media = 0
        self._lengths: list[int] = []
        names = ("dialogues", "cut", "turns_cut", "too_long", "not_alternating")
        self._counts = dict.fromkeys(names, 0)

    def add(self, sample: Sample) -> None:
        """Take a dialogue; it is written with its batch."""
        waiting = self._encoder.prepare(sample, self._options.check_kind)
        self._waiting.append(waiting)
        self._num_media += len(waiting.due) + len(waiting.codes)
        if self._num_media >= self._options.batch:
            self._flush()

    def close(self) -> Mapping[str, int]:
        """Write what waits, and end all files."""
        self._flush()
        facts = {
            "alphabets": {kind: alphabet.model_dump() for kind, alphabet in self._alphabets.items()},
            "tokenizers": {kind: facts.model_dump() for kind, facts in self._facts.items()},
            "counts": self._counts,
            "lengths": self._lengths,
        }
        target = self._staging / self._facts_path
        target.parent.mkdir(exist_ok=True)
        target.write_text(json.dumps(facts) + "\n", encoding="utf-8")
        return {self._path: len(self._lengths), **self._codes.close()}

    def _flush(self) -> None:
        self._encoder.encode(self._waiting)
        with (self._staging / self._path).open("a", encoding="utf-8") as file:
            for one in self._waiting:
                self._write(file, one.sample, one.codes)
        self._waiting, self._num_media = [], 0

    def _write(self, file: IO[str], sample: Sample, codes: Mapping[str, Codes]) -> None:
        pieces = list(sample.pieces())
        parts = [TokenPart(p.role, p.turn, p.kind, p.text, codes.get(p.place)) for p in pieces]
        messages = self._fit(self._speller.messages(parts))
        self._counts["dialogues"] += 1
        if messages:
            row: dict[str, Any] = {"id": sample.id, "conversation": [messages]}
            text = self._speller.chat(messages)
            if self._options.has_text:
                row["text"] = text
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
            self._lengths.append(self._speller.count(text, self._count_words))
        for piece in pieces:
            if piece.place in codes:
                array = codes[piece.place]
                row = {**describe_codes(sample, piece, array), "in_row": piece.turn < len(messages)}
                self._codes.add(row, array.nbytes)

    def _fit(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        """Return the first whole rounds that fit; what goes is counted."""
        if [m["role"] for m in messages] != ["user", "assistant"] * ((len(messages) + 1) // 2) or not messages:
            self._counts["not_alternating"] += 1
            return []
        most = self._options.max_tokens
        kept = len(messages)
        while most and kept and self._speller.count(self._speller.chat(messages[:kept]), self._count_words) > most:
            kept -= 2
        if kept < len(messages):
            self._counts["cut" if kept else "too_long"] += 1
            self._counts["turns_cut"] += len(messages) - kept
        return messages[:kept]


def read_speller(out: Path) -> Speller:
    """Return what spelled the rows of an export, to read them back.

    Raises:
        CorpusError: the folder holds no such export.
    """
    index = read_json(out / INDEX)
    if index is None:
        raise CorpusError(f"{out}: holds no {INDEX}; name the folder of an export to anygpt")
    alphabets = {kind: Alphabet.model_validate(alphabet) for kind, alphabet in index["alphabets"].items()}
    return Speller(alphabets, Wording.model_validate(index["wording"]))


class AnygptPlugin:
    """Needs nothing itself; the tokenizers say what they need."""

    name = "anygpt"
    version = "1"
    summary = "AnyGPT's training rows, media as strings of tokens: language models that read and write all media"
    usage = 'datasets.load_dataset("json", data_files="FOLDER/train-*.jsonl")'
    options: type[ExportOptions] = AnygptOptions

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def open(self, options: AnygptOptions, staging: Path, split: str, shard: int) -> TokenRows:
        """Begin ``<split>-<shard>.jsonl``, and load the tokenizers where this process has not."""
        return TokenRows(options, staging, split, shard)

    def configs(self, summary: ExportSummary) -> Sequence[Mapping[str, Any]]:
        """It is not for the Hub."""
        return ()

    def finish(self, options: AnygptOptions, out: Path, summary: ExportSummary) -> Sequence[str]:
        """Write the vocabulary, and what the parts say of alphabets and lengths; remark on lengths and on what was cut.

        Raises:
            CorpusError: parts were made by different tokenizers.
        """
        found = {
            split: [_read_facts(out / f"lengths/{split}-{part.shard:05d}.json") for part in parts]
            for split, parts in summary.splits.items()
        }
        everything = [facts for some in found.values() for facts in some]
        if not everything:
            return ()
        made = {name: everything[0][name] for name in ("alphabets", "tokenizers")}
        if any(facts[name] != made[name] for facts in everything for name in made):
            raise CorpusError(f"{out}: its parts were made by different weights; export into a new folder")
        counted_by = "bytes" if options.text_tokenizer is None else Path(options.text_tokenizer).name
        index: dict[str, Any] = {
            **made,
            "wording": options.wording.model_dump(),
            "words_counted_by": counted_by,
            "splits": {split: _sum(some) for split, some in found.items()},
        }
        (out / INDEX).write_text(json.dumps(index, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        tokens = read_speller(out).vocabulary()
        (out / VOCABULARY).write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
        return [remark for split, facts in index["splits"].items() for remark in _say_lengths(split, facts, options)]


def _read_facts(path: Path) -> dict[str, Any]:
    facts = read_json(path)
    if facts is None:
        raise CorpusError(f"{path}: is missing; run the export again")
    return dict(facts)


def _sum(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    lengths = [length for part in parts for length in part["lengths"]]
    counts = {name: sum(part["counts"][name] for part in parts) for name in parts[0]["counts"]}
    quantiles = {f"{share:g}": int(np.quantile(lengths, share)) for share in _QUANTILES} if lengths else {}
    return {**counts, "tokens": sum(lengths), "length_quantiles": quantiles}


def _say_lengths(split: str, facts: Mapping[str, Any], options: AnygptOptions) -> Iterator[str]:
    """Say how long rows are, and what has none or was cut."""
    if quantiles := facts["length_quantiles"]:
        yield (
            f"{split}: rows of {quantiles['0.5']:,} tokens at the median, {quantiles['0.9']:,} at the ninth decile and "
            f"{quantiles['1']:,} at most; {facts['tokens']:,} in all."
        )
    most = f"{options.max_tokens or 0:,} tokens"
    if facts["cut"]:
        yield f"{split}: {say_count(facts['cut'], 'dialogue')} cut to the first whole rounds that fit {most}."
    if facts["too_long"]:
        left = say_count(facts["too_long"], "dialogue")
        yield f"{split}: {left} without a row: the first round alone is over {most}."
    if facts["turns_cut"]:
        turns = say_count(facts["turns_cut"], "turn")
        yield f"{split}: {turns} in no row for that; their codes are in tokens/ all the same."
    if facts["not_alternating"]:
        left = say_count(facts["not_alternating"], "dialogue")
        yield f"{split}: {left} without a row: user and assistant do not take turns."


PLUGIN = AnygptPlugin()
