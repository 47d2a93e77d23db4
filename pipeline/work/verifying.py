"""Whether a corpus holds what its ledgers claim: checks over rows and counts, as they stream by."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from pipeline.contracts.ledger import Ledger, ShardLedger
from pipeline.contracts.probe import Probe
from pipeline.contracts.scores import SCORES
from pipeline.contracts.storage import Row
from pipeline.values.ids import part_id, sha256_hex
from pipeline.values.pictures import is_earlier_picture, write_place
from pipeline.values.records import MEDIA, Modality, Record
from pipeline.values.slots import in_order
from pipeline.values.words import say_count
from pipeline.work.tables import REPAIRS, TABLE_OF
from pipeline.work.taking import KEPT, ROWS, count_rejected

Severity = Literal["error", "note"]

TOLERANCES = {"duration": 0.01}
"""Seconds by which a claimed duration may be off: renderers round it. Pixels, rates and channels may not be."""

_ALIASES = {"jpg": "jpeg", "ogg": "opus"}
_DIALOGUE_ID = re.compile(r"[0-9a-f]{16}")
_KINDS = {table: Modality(kind) for kind, table in TABLE_OF.items()}


class Finding(Record):
    """One thing that is not as it should be.

    Attributes:
        code: Stable, e.g. ``hash_differs``, ``reference_dangling``, ``count_wrong``.
        severity: An error makes the corpus unsound; a note is good to know.
        where: File inside the corpus, and record where it is about one.
    """

    code: str
    severity: Severity
    where: str
    message: str


def error(code: str, where: str, message: str) -> Finding:
    """Return a finding that makes the corpus unsound."""
    return Finding(code=code, severity="error", where=where, message=message)


def note(code: str, where: str, message: str) -> Finding:
    """Return a finding that is merely good to know."""
    return Finding(code=code, severity="note", where=where, message=message)


class IdRegister:
    """All dialogue ids of a corpus, eight bytes each and what a set needs around them."""

    def __init__(self) -> None:
        self._seen: set[int] = set()

    def take(self, name: Any, where: str) -> Iterator[Finding]:
        """Check that an id is one, and stands once."""
        if not isinstance(name, str) or not _DIALOGUE_ID.fullmatch(name):
            yield error("id_invalid", where, f"{name!r:.40} is no dialogue id of 16 hexadecimal digits")
            return
        number = int(name, 16)
        if number in self._seen:
            yield error("id_twice", where, f"dialogue {name} stands in the corpus more than once")
        self._seen.add(number)


class ShardCheck:
    """Checks a shard's rows one by one, then what they add up to.

    Dialogues go first: assets are held against the parts that they belong to. Memory holds the shard's parts, not its
    media.
    """

    def __init__(self, ledger: ShardLedger, ids: IdRegister) -> None:
        self._ledger = ledger
        self._ids = ids
        self._parts: dict[str, Row] = {}
        self._seen: set[str] = set()
        self._rows: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._cells: Counter[str] = Counter()
        self._voices: Counter[str] = Counter()
        self._shortfalls: Counter[str] = Counter()
        self._num_edited = 0
        self._num_repaired = 0
        self._repaired: set[str] = set()
        self._unread: set[str] = set()

    def skip(self, table: str) -> None:
        """State that a table could not be read, so that nothing is concluded from what it seems to lack."""
        self._unread.add(table)

    def take(self, table: str, row: Row, where: str, probe: Probe | None = None) -> list[Finding]:
        """Check one row of any published table. A row of a shape that no writer of ours makes is a finding too."""
        self._rows[table] += 1
        try:
            where = f"{where}: {row['id']}"
            if probe is not None:
                return [*self._check_asset(table, row, where, probe), *self._check_scores(row, where)]
            findings = list(self._ids.take(row["id"], where))
            if table == "dialogues":
                self._cells[row["cell"]] += 1
                findings += self._check_scores(row, where)
                return findings + list(self._check_dialogue(row, where)) + list(self._expect_assets(row, where))
            if row.get("measure"):
                self._shortfalls[row["measure"]] += 1
            self._reasons[f"{row['stage']}/{row['code']}"] += 1
            return findings + (list(self._check_dialogue(row, where)) if table == "rejected" else [])
        except (TypeError, KeyError, ValueError, AttributeError) as exc:
            return [error("row_invalid", where, f"cannot be understood: {type(exc).__name__}: {exc}")]

    def finish(self, where: str) -> Iterator[Finding]:
        """Check what only shows once all rows were seen: references that lead nowhere, and counts."""
        for name, part in self._parts.items():
            table = TABLE_OF[part["kind"]]
            if name not in self._seen and table not in self._unread:
                message = f"its part names the asset {name}, which {table} does not have"
                yield error("reference_dangling", part["where"], message)
        yield from self._check_counts(where)

    def _check_dialogue(self, row: Row, where: str) -> Iterator[Finding]:
        turns = row["turns"]
        roles = [turn["role"] for turn in turns]
        if not turns or roles != ["user", "assistant"] * (len(turns) // 2):
            message = f"turns are by {', '.join(map(str, roles)) or 'nobody'}; user and assistant must alternate"
            yield error("turn_order", where, message)
        if row["num_rounds"] * 2 != len(turns):
            yield error("count_wrong", where, f"num_rounds is {row['num_rounds']}, and there are {len(turns)} turns")
        for role, column in (("user", "gives"), ("assistant", "answers")):
            kinds = [Modality(part["kind"]) for turn in turns if turn["role"] == role for part in turn["parts"]]
            if list(in_order(kinds)) != list(row[column]):
                is_kind, shall = ", ".join(in_order(kinds)) or "nothing", ", ".join(row[column])
                yield error("modality_differs", where, f"the {role}'s parts are {is_kind}; {column} says {shall}")
        for turn_index, turn in enumerate(turns):
            if not turn["parts"]:
                yield error("turn_empty", where, f"turn {turn_index} has no part")
            wordless = [part["kind"] for part in turn["parts"] if not part["text"]]
            # What was taken over from elsewhere may sound and show without anybody having said what.
            tell = note if self._ledger.origin and Modality.TEXT not in wordless else error
            if wordless:
                yield tell("part_empty", where, f"turn {turn_index} has a part without words")
        yield from _check_edits(turns, where)

    def _expect_assets(self, row: Row, where: str) -> Iterator[Finding]:
        for turn_index, turn in enumerate(row["turns"]):
            for index, part in enumerate(turn["parts"]):
                name, place = part["asset"], part_id(row["id"], turn_index, index)
                if part["kind"] not in MEDIA:
                    if name is not None:
                        yield error("asset_unexpected", where, f"text part {place} names the asset {name}")
                elif name is None:
                    yield error("reference_missing", where, f"{part['kind']} part {place} names no asset")
                elif name in self._parts:
                    yield error("asset_twice", where, f"asset {name} belongs to more than one part")
                else:
                    facts = {"dialogue_id": row["id"], "part_id": place, "turn": turn_index, "part": index}
                    self._parts[name] = {
                        **facts,
                        "role": turn["role"],
                        "kind": part["kind"],
                        "text": part["text"],
                        "where": where,
                        "names_source": part.get("edits") is not None,
                        "source": _find_source(row["turns"], part),
                    }

    def _check_asset(self, table: str, row: Row, where: str, probe: Probe) -> Iterator[Finding]:
        name = row["id"]
        if name in self._seen:
            yield error("asset_twice", where, "stands in the corpus more than once")
        self._seen.add(name)
        if row.get("voice"):
            self._voices[row["voice"]] += 1
        self._num_edited += row.get("edited_from") is not None
        if row[REPAIRS]:
            self._num_repaired += 1
            self._repaired.add(row["dialogue_id"])
        part = self._parts.get(name)
        if part is not None:
            yield from _check_place(table, row, part, where)
        elif "dialogues" not in self._unread:
            yield error("asset_orphan", where, "belongs to no part of a kept dialogue")
        yield from _check_media(row, where, probe)

    def _check_scores(self, row: Row, where: str) -> Iterator[Finding]:
        seen = Counter(score["measure"] for score in row[SCORES])
        for name, times in seen.items():
            if times > 1 or name not in self._ledger.measures:
                problem = "stands twice" if times > 1 else "is no measure that the shard's ledger names"
                yield error("score_invalid", where, f"the score {name!r:.60} {problem}")
        for score in row[SCORES]:
            if score["value"] is None or not math.isfinite(score["value"]):
                yield error("score_invalid", where, f"the score {score['measure']!r:.60} is {score['value']}")

    @property
    def _edits(self) -> Counter[str]:
        """Pictures that change others, counted as a shard's ledger counts them."""
        num_named = sum(part["names_source"] for part in self._parts.values())
        return +Counter(from_picture=self._num_edited, from_words=num_named - self._num_edited)

    @property
    def _repairs(self) -> dict[str, int]:
        """Repaired assets, counted as a shard's ledger counts them."""
        return {"assets": self._num_repaired, "dialogues": len(self._repaired)} if self._num_repaired else {}

    def _check_counts(self, where: str) -> Iterator[Finding]:
        counts, tables = self._ledger.counts, {"kept": "dialogues", "rejected": "rejected", "failed": "failed"}
        yield from _check_sum(counts, where)
        for outcome, table in tables.items():
            if table not in self._unread and self._rows[table] != counts.get(outcome, 0):
                rows = say_count(self._rows[table], "row")
                message = f"counts.{outcome} is {counts.get(outcome, 0)}, and {table} has {rows}"
                yield error("count_wrong", where, message)
        claims = (
            ("reasons", self._ledger.reasons, self._reasons, ("rejected", "failed")),
            ("shortfalls", self._ledger.shortfalls, self._shortfalls, ("rejected",)),
            ("cells", self._ledger.cells, self._cells, ("dialogues",)),
            ("edits", self._ledger.edits, self._edits, ("dialogues", "images")),
            ("repairs", self._ledger.repairs, self._repairs, ("images", "music", "speech")),
            ("voices", self._ledger.voices, self._voices, ("speech",)),
        )
        for key, claimed, found, needed in claims:
            if not self._unread.intersection(needed):
                yield from _compare(key, claimed, found, where)


class RootCheck:
    """Adds up the shard ledgers and compares the sums with the root ledger's."""

    def __init__(self) -> None:
        self._shards: Counter[int] = Counter()
        keys = ("counts", "reasons", "shortfalls", "edits", "repairs", "tables", "voices")
        self._sums: dict[str, Counter[str]] = {key: Counter() for key in keys}
        self._kept: Counter[str] = Counter()

    def add(self, ledger: ShardLedger) -> None:
        """Take one shard's ledger."""
        self._shards[ledger.shard] += 1
        for key in ("counts", "reasons", "shortfalls", "edits", "repairs", "voices"):
            self._sums[key].update(getattr(ledger, key))
        for file in ledger.files:
            self._sums["tables"][file.table] += file.num_rows
        self._kept.update(ledger.cells)

    def finish(self, root: Ledger) -> Iterator[Finding]:
        """Compare; only sensible once every shard's ledger was added."""
        where = "ledger.json"
        for shard, times in self._shards.items():
            if times > 1:
                yield error("shard_twice", where, f"shard {shard} is named {times} times")
        yield from _check_sum(root.counts, where)
        for key, found in self._sums.items():
            yield from _compare(key, getattr(root, key), found, where)
        kept = {name: int(cell.get("kept", 0)) for name, cell in root.matrix.items()}
        yield from _compare("matrix kept", kept, self._kept, where)
        for source, told in root.texts.items():
            rows, ended = told.get(ROWS, 0), told.get(KEPT, 0) + count_rejected(told)
            if rows != ended:
                yield error("count_wrong", where, f"texts {source}: {rows} rows, {ended} of them kept or rejected")
        planned = sum(int(cell.get("planned", 0)) for cell in root.matrix.values())
        if planned != root.counts.get("planned", 0):
            plans = say_count(planned, "dialogue")
            message = f"the matrix plans {plans}, counts.planned is {root.counts.get('planned', 0)}"
            yield error("count_wrong", where, message)


def _check_edits(turns: Sequence[Row], where: str) -> Iterator[Finding]:
    """Check that whatever a part says it changes is a picture of an earlier turn."""
    kinds = [[part["kind"] for part in turn["parts"]] for turn in turns]
    for turn_index, turn in enumerate(turns):
        for index, part in enumerate(turn["parts"]):
            place = part.get("edits")
            if place is None:
                continue
            if part["kind"] != Modality.IMAGE or not is_earlier_picture(kinds, turn_index, place):
                message = f"part {write_place(turn_index, index)} edits {place!r:.40}, which is no earlier picture"
                yield error("edit_dangling", where, message)


def _find_source(turns: Sequence[Row], part: Row) -> str | None:
    """Name the asset of the picture that a part changes, if it is there."""
    places = {
        write_place(turn_index, index): other["asset"]
        for turn_index, turn in enumerate(turns)
        for index, other in enumerate(turn["parts"])
    }
    return places.get(part.get("edits") or "")


def _check_sum(counts: Mapping[str, int], where: str) -> Iterator[Finding]:
    planned, parts = counts.get("planned", 0), [counts.get(key, 0) for key in ("kept", "rejected", "failed")]
    if planned != sum(parts):
        message = f"{planned} planned is not {parts[0]} kept + {parts[1]} rejected + {parts[2]} failed"
        yield error("count_wrong", where, message)


def _compare(key: str, claimed: Mapping[str, int], found: Mapping[str, int], where: str) -> Iterator[Finding]:
    for name in sorted({*claimed, *found}):
        if claimed.get(name, 0) != found.get(name, 0):
            yield error(
                "count_wrong", where, f"{key}: {name} is {claimed.get(name, 0)}, counted are {found.get(name, 0)}"
            )


def _check_place(table: str, row: Row, part: Row, where: str) -> Iterator[Finding]:
    if _KINDS[table] != part["kind"]:
        yield error("asset_misplaced", where, f"stands in {table}, and its part is {part['kind']}")
    for column in ("dialogue_id", "part_id", "turn", "part", "role"):
        if row[column] != part[column]:
            message = f"{column} is {row[column]!r}, the dialogue that names it says {part[column]!r}"
            yield error("asset_misplaced", where, message)
    if row.get("edited_from") not in (None, part["source"]):
        message = f"edited_from is {row['edited_from']!r:.60}, and its part changes {part['source'] or 'no picture'}"
        yield error("edit_misplaced", where, message)
    words = "transcript" if table == "speech" else "description"
    if row[words] != part["text"]:
        yield error("words_differ", where, f"its {words} is not what the dialogue's part says")


def _check_media(row: Row, where: str, probe: Probe) -> Iterator[Finding]:
    medium = row["image"] if "image" in row else row["audio"]
    data: bytes = medium["bytes"]
    if sha256_hex(data) != row["sha256"]:
        yield error("asset_hash_differs", where, "its bytes do not have the SHA-256 that its row states")
    try:
        probed = probe(data)
    except ValueError as exc:
        yield error("asset_undecodable", where, str(exc))
        return
    if medium["path"] not in {f"{row['id']}.{name}" for name in (probed.extension, _ALIASES.get(probed.extension))}:
        yield error("asset_name", where, f"is called {medium['path']!r:.80}, and its bytes are {probed.extension}")
    for column, found in probed.columns.items():
        claimed = row[column]
        if claimed is None or not abs(claimed - found) <= TOLERANCES.get(column, 0):
            yield error("asset_size", where, f"{column} is {claimed}, decoding shows {found:g}")


def summarise(findings: Sequence[Finding]) -> tuple[int, int]:
    """Count errors and notes."""
    errors = sum(finding.severity == "error" for finding in findings)
    return errors, len(findings) - errors
