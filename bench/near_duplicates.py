"""Which shingles and which threshold part near-duplicates from neighbours, and what finding them costs.

    python -m bench.near_duplicates                       the table behind the choices in pipeline/work/twins.py
    python -m bench.near_duplicates --scale 100000        time and memory for so many made-up dialogues

The pairs stand in bench/data/dialogue_pairs.yaml, in English, Japanese and Chinese, in a half that the choice was made
by and a half held out. Unrelated are all pairs of the shipped demonstrations and of the dialogues of ``--corpus``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any

import yaml

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.prompt_files import PromptFolder
from pipeline.adapters.shipped import shipped
from pipeline.execution.memory import peak_memory_of_process
from pipeline.values.ids import content_key, dialogue_id, normalise_text
from pipeline.values.screen import NEAR_DUPLICATES
from pipeline.work import dialogues
from pipeline.work.answers import texts_of
from pipeline.work.shingles import jaccard, shingles
from pipeline.work.twins import Sketched, TwinIndex, sketch_texts

PAIRS = Path(__file__).with_name("data") / "dialogue_pairs.yaml"
KINDS = ("reworded", "template", "details")
LENGTHS = (3, 4, 5, 6, 7, 9)
SHARE_ALIKE = 0.05
NUM_WORDS = 90
VOCABULARY = 8000
CHUNK = 256

Grams = frozenset[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or time and memory."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="a corpus whose dialogues are compared, too")
    parser.add_argument("--scale", type=int, metavar="N")
    options = parser.parse_args(arguments)
    if options.scale:
        print_scale(options.scale)
    else:
        print_table(options.corpus)
    return 0


def print_table(corpus: Path | None) -> None:
    """Print, for each way to cut shingles, the Jaccard similarities of all kinds of pairs."""
    families: list[dict[str, Any]] = yaml.safe_load(PAIRS.read_text(encoding="utf-8"))
    unrelated = [*_read_demonstrations(), *(_read_corpus(corpus) if corpus else ())]
    ways: list[tuple[str, Callable[[str], Grams]]] = [(f"{n} characters", _cut_characters(n)) for n in LENGTHS]
    ways += [(f"{n} word{'s' * (n > 1)}", _cut_words(n)) for n in (1, 2, 3)]
    print(f"unrelated: all pairs of {len(unrelated)} dialogues; ranges over the families of {PAIRS.name}")
    for name, cut in ways:
        print(f"\n{name}")
        for is_held_out in (False, True):
            for kind in KINDS:
                found = [
                    (family["language"] == "en", jaccard(cut(family["base"]), cut(family[kind])))
                    for family in families
                    if family["held_out"] == is_held_out
                ]
                said = [_say([s for is_en, s in found if is_en == english]) for english in (True, False)]
                print(f"  {'held out' if is_held_out else 'tuned':<9}{kind:<9} en {said[0]}   ja, zh {said[1]}")
        grams = [cut(text) for text in unrelated]
        scores = sorted(jaccard(a, b) for a, b in combinations(grams, 2))
        median, most = (scores[int(len(scores) * share)] for share in (0.5, 0.999))
        print(f"  unrelated: median {median:.3f}, 99.9 % below {most:.3f}, highest {scores[-1]:.3f}")


def print_scale(count: int) -> None:
    """Print what it takes to sketch and compare made-up dialogues, shard by shard, of which some are alike."""
    clock = {"sketch": 0.0, "compare": 0.0}
    index, num_planted, before = TwinIndex(NEAR_DUPLICATES), 0, peak_memory_of_process() / 1e6
    for start in range(0, count, CHUNK):
        texts = list(_make_up(start, min(CHUNK, count - start)))
        num_planted += sum(is_copy for _, is_copy in texts)
        began = time.perf_counter()
        rows = [
            Sketched(dialogue_id("made-up", start + at), content_key(text), sketch_texts([text]))
            for at, (text, _) in enumerate(texts)
        ]
        clock["sketch"] += time.perf_counter() - began
        began = time.perf_counter()
        index.add(rows)
        twins = index.find()
        clock["compare"] += time.perf_counter() - began
    grown = peak_memory_of_process() / 1e6 - before
    print(f"{count:,} dialogues of {NUM_WORDS} words in shards of {CHUNK}, {num_planted:,} of them rewordings")
    for what, seconds in clock.items():
        print(f"{what}: {seconds:.1f} s, {seconds / count * 1e6:.0f} µs each")
    print(f"twins found: {len(twins):,}; memory grew by {grown:,.0f} MB ({grown * 1e6 / count:,.0f} bytes each)")


def _make_up(start: int, count: int) -> Iterator[tuple[str, bool]]:
    """Yield texts with the frequencies of words in prose; one in twenty rewords the text before it."""
    former: list[str] = []
    for number in range(start, start + count):
        random = Random(number)
        is_copy = bool(former) and random.random() < SHARE_ALIKE
        if is_copy:
            words = [_word(random) if random.random() < 0.05 else word for word in former]
        else:
            words = former = [_word(random) for _ in range(NUM_WORDS)]
        yield " ".join(words), is_copy


def _word(random: Random) -> str:
    return _spell(int(VOCABULARY ** random.random()))  # Zipf: the frequency falls with the rank


@cache
def _spell(rank: int) -> str:
    letters = Random(rank)
    return "".join(letters.choice("bdfgklmnprst") + letters.choice("aeiou") for _ in range(1 + rank.bit_length() // 4))


def _cut_characters(length: int) -> Callable[[str], Grams]:
    return lambda text: shingles(text, length)


def _cut_words(length: int) -> Callable[[str], Grams]:
    def cut(text: str) -> Grams:
        words = normalise_text(text).split()
        return frozenset(" ".join(words[at : at + length]) for at in range(max(1, len(words) - length + 1)))

    return cut


def _read_demonstrations() -> list[str]:
    return [" ".join(texts_of(shown.turns)) for shown in PromptFolder(shipped("prompts")).demonstrations.values()]


def _read_corpus(corpus: Path) -> Iterator[str]:
    folder = CorpusFolder(corpus)
    for shard in folder.shard_indices():
        for row in folder.shard(shard).rows(dialogues.STAGE, ["turns"]):
            if row["turns"]:
                yield " ".join(part["text"] for turn in row["turns"] for part in turn["parts"])


def _say(scores: Sequence[float]) -> str:
    return f"{min(scores):.2f} to {max(scores):.2f}"


if __name__ == "__main__":
    sys.exit(main())
