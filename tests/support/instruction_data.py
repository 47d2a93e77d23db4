"""Text-only instruction data as it comes: several shapes, encodings and languages, and everything that can be wrong."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.values.texts import Rule

THINGS = (
    "basil",
    "bread",
    "old letters",
    "a wool coat",
    "ripe pears",
    "a wooden boat",
    "honey",
    "candles",
    "crème fraîche",
)
PLACES = ("a small kitchen", "the cellar", "a tent", "a train", "the attic", "a garden shed", "a ship", "the hallway")
TIMES = ("summer", "a cold winter", "a long journey", "the rainy season", "a power cut", "a house move", "a holiday")
WAYS = ("slowly", "with care", "by candlelight", "early in the morning", "together", "without any hurry")

Turns = list[tuple[str, str]]


def talk(number: int, rounds: int = 1) -> Turns:
    """A dialogue in plain English that differs from that of any other number."""
    thing, place = THINGS[number % len(THINGS)], PLACES[number // len(THINGS) % len(PLACES)]
    time, way = TIMES[number % len(TIMES)], WAYS[number // len(TIMES) % len(WAYS)]
    turns = []
    for index in range(rounds):
        asked = f"How would you keep {thing} in {place} during {time}, and does visitor {number} matter?"
        told = f"I would look at {thing} {way}, once a week, and ask for help before anything goes wrong there."
        turns += [("user", asked if not index else f"And what else helps with {thing}?"), ("assistant", told)]
    return turns


def alpaca(turns: Turns) -> dict[str, Any]:
    history = [[turns[i][1], turns[i + 1][1]] for i in range(0, len(turns) - 2, 2)]
    row: dict[str, Any] = {"instruction": turns[-2][1], "input": "", "output": turns[-1][1]}
    return {**row, "history": history} if history else row


def sharegpt(turns: Turns) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt", "system": "system", "tool": "tool"}
    return {"conversations": [{"from": names[role], "value": words} for role, words in turns]}


def messages(turns: Turns) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": words} for role, words in turns]}


SHAPES: tuple[Callable[[Turns], dict[str, Any]], ...] = (alpaca, sharegpt, messages)

FOREIGN = (
    ("Comment puis-je garder le pain frais pendant une longue semaine ?", "Gardez le pain dans un sac de toile, {}."),
    ("Wie halte ich das Brot eine ganze Woche lang frisch und weich?", "Legen Sie das Brot in ein Tuch, {}, bitte."),
    ("パンを一週間おいしく保つにはどうすればいいですか。", "布に包んで涼しい場所に置いてください、{}。"),
)

BROKEN_ANSWERS = {
    Rule.CODE: "Run `sort -u` on the file {} and look at the result with care.",
    Rule.LINK: "You will find all of it at https://example.org/{} in plain words.",
    Rule.LIST: "You will need these:\n- flour {}\n- water\n- salt and time",
    Rule.FORMULA: "Then the answer follows from x = {} + y in a single step.",
    Rule.TABLE: "| day | what to do |\n|---|---|\n| Monday | look at {} |",
    Rule.MARKUP: "**Look at it** once a week, number {}, and ask for help early.",
    Rule.SIGN: "That is a lovely idea number {} and it will work 🎉 for everybody.",
    Rule.TOO_LONG: "This goes on about {} and then " + "on and on without any end in sight " * 20,
    Rule.UNSPEAKABLE: "{} 2041 3377 1208 4410 5502 6617 7723 8831 9948 1055 2166",
    Rule.CONTROL: "This rings a bell number {} \x07 in the terminal of the reader.",
    Rule.EMPTY: " … ",
}


@dataclass
class Dirty:
    """Files, and how many of their rows each rule should reject; the key ``kept`` counts the others."""

    folder: Path
    files: list[Any] = field(default_factory=list)
    expected: Counter[str] = field(default_factory=Counter)

    @property
    def num_rows(self) -> int:
        return self.expected.total()


def odd_rows() -> Iterator[tuple[Any, str]]:
    """Yield rows without end, each with the rule that rejects it or ``kept``; none is like an earlier one."""
    for number in count():
        shape = SHAPES[number % 3]
        yield shape(talk(number)), "kept"
        yield shape(talk(number + 10_000_000, rounds=2)), "kept"
        yield messages([("system", "Be kind."), *talk(number + 20_000_000)]), "kept"
        for rule, answer in BROKEN_ANSWERS.items():
            yield shape([talk(number + 30_000_000)[0], ("assistant", answer.format(number))]), rule
        asked, told = FOREIGN[number % 3]
        yield shape([("user", asked), ("assistant", told.format(number))]), Rule.LANGUAGE
        yield sharegpt(talk(number + 40_000_000)[::-1]), Rule.ROLES
        yield messages([*talk(number + 50_000_000), ("user", "And then?")]), Rule.ROLES
        yield messages(talk(number + 60_000_000, rounds=5)), Rule.ROUNDS
        yield messages([*talk(number + 70_000_000), ("tool", "22 degrees")]), Rule.NOT_WORDS
        yield {"prompt": f"number {number}", "label": 3}, Rule.UNKNOWN_SHAPE
        yield shape([(role, words.replace(" ", "  ")) for role, words in talk(number)]), Rule.DUPLICATE


def write_dirty(folder: Path, num_rows: int) -> Dirty:
    """Write rows to six files in turn: plain, with a byte order mark, packed, in other encodings, as list and table."""
    folder.mkdir(parents=True, exist_ok=True)
    dirty, rows = Dirty(folder), odd_rows()
    share = num_rows // 6
    _write_lines(dirty, rows, share, "plain.jsonl", "utf-8", has_broken=True)
    _write_lines(dirty, rows, share, "marked.jsonl", "utf-8-sig", has_broken=True)
    _write_lines(dirty, rows, share, "packed.jsonl.gz", "utf-16")
    _write_lines(dirty, rows, share, "old.ndjson", "latin-1", stated="latin-1")
    listed = _take(dirty, rows, share)
    (folder / "listed.json").write_text(json.dumps(listed, indent=1), encoding="utf-8")
    table = _take(dirty, rows, num_rows - dirty.num_rows)
    pq.write_table(pa.Table.from_pylist(_as_columns(table)), folder / "table.parquet")
    dirty.files += ["listed.json", "table.parquet"]
    return dirty


def _take(dirty: Dirty, rows: Iterator[tuple[Any, str]], share: int) -> list[Any]:
    taken = []
    for _ in range(share):
        row, rule = next(rows)
        dirty.expected[str(rule)] += 1
        taken.append(row)
    return taken


def _write_lines(
    dirty: Dirty,
    rows: Iterator[tuple[Any, str]],
    share: int,
    name: str,
    encoding: str,
    *,
    stated: str | None = None,
    has_broken: bool = False,
) -> None:
    taken = _take(dirty, rows, share - 2 * has_broken)
    data = "".join(_say(row, encoding) + "\n" for row in taken).encode(encoding)
    if has_broken:
        data += b'{"instruction": "Cut off in the mid\n' + '{"instruction": "Un café", "output": "x"}\n'.encode(
            "latin-1"
        )
        dirty.expected.update([str(Rule.BROKEN), str(Rule.UNDECODABLE)])
    (dirty.folder / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    dirty.files.append({"path": name, "encoding": stated} if stated else name)


def _say(row: Any, encoding: str) -> str:
    """Return a row as JSON, with escapes for what an encoding lacks, such as kana in Latin-1."""
    said = json.dumps(row, ensure_ascii=False)
    return said if said.encode(encoding, "replace").decode(encoding) == said else json.dumps(row)


def _as_columns(rows: list[Any]) -> list[dict[str, Any]]:
    """Rows of one table have one shape of columns; those that a row lacks hold nothing."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return [{name: row.get(name) for name in names} for row in rows]
