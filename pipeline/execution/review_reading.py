"""One dialogue out of a corpus of any size, with its media and what audits have read of both."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from pipeline.adapters.published import PublishedCorpus, PublishedShard
from pipeline.adapters.reading import rows_where
from pipeline.adapters.readings import CorpusReadings, RecordReadings
from pipeline.contracts.audit import SUBJECTS, Measure, Subject
from pipeline.contracts.storage import Row
from pipeline.values.errors import CorpusError
from pipeline.values.ids import content_key
from pipeline.values.pictures import name_picture

CACHED_BYTES = 64 * 2**20
"""Of media kept in memory: players ask for one file in several ranges."""

_HEADER = ("topic", "meta_topic", "language", "cell", "gives", "answers", "num_rounds", "scenario")
_FACTS = (
    *("width", "height", "duration", "sample_rate", "channels", "voice", "rate", "emotion"),
    *("description", "transcript", "renderer", "is_draft", "attempt", "edited_from", "notes", "sha256"),
)
_MEDIA = SUBJECTS[1:]


class DialogueReader:
    """Reads dialogues and media by id; memory is bounded by a row group's columns and :data:`CACHED_BYTES`."""

    def __init__(self, corpus: PublishedCorpus, readings: CorpusReadings) -> None:
        self._corpus = corpus
        self._readings = readings
        self._cache: OrderedDict[tuple[Subject, str, str], bytes] = OrderedDict()
        self._turn = threading.Lock()

    def read(self, place: int, dialogue: str) -> dict[str, Any] | None:
        """Return a dialogue as the page shows it; None where the shard has none of that id.

        Args:
            place: Of its shard in the corpus.

        Raises:
            CorpusError: a table cannot be read.
        """
        shard = self._corpus.shards[place]
        row = next(shard.rows("dialogue", wanted={dialogue}), None)
        if row is None:
            return None
        assets = [asset for about in _MEDIA for asset in _read_assets(shard, about, dialogue)]
        readings = self._read_readings(shard, dialogue)
        turns = row["turns"] or []
        try:
            laid = _lay_out(turns, assets, readings)
        except (KeyError, TypeError, ValueError) as exc:
            path = shard.files["dialogue"]
            raise CorpusError(f"{path}: dialogue {dialogue}: its turns have no role and parts ({exc!r})") from exc
        hashes = sorted((str(asset["id"]), str(asset.get("sha256"))) for asset in assets)
        return {
            "id": dialogue,
            **{name: row.get(name) for name in _HEADER},
            "turns": laid,
            "readings": readings.get(dialogue, []),
            "seen": content_key(row.get("scenario"), turns, hashes),
        }

    def media(self, about: Subject, place: int, dialogue: str, record: str) -> bytes | None:
        """Return an asset's encoded media; None where the dialogue has no such asset."""
        key = (about, dialogue, record)
        with self._turn:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
        item = next(self._corpus.shards[place].items(about, {record}), None)
        if item is None or item.dialogue_id != dialogue or not item.data:
            return None
        with self._turn:
            self._cache[key] = item.data
            while sum(map(len, self._cache.values())) > CACHED_BYTES and len(self._cache) > 1:
                self._cache.popitem(last=False)
        return item.data

    def _read_readings(self, shard: PublishedShard, dialogue: str) -> dict[str, list[Row]]:
        """Return what audits say, by record."""
        found: dict[str, list[Row]] = {}
        for audit in self._readings.audits:
            for row in self._readings.of_dialogue(audit, shard.number, dialogue):
                found.setdefault(row.record_id, []).extend(_as_json(audit.measures, row))
        return found


def _read_assets(shard: PublishedShard, about: Subject, dialogue: str) -> list[Row]:
    path = shard.files.get(about)
    if path is None:
        return []
    columns = shard.columns_of(about, "id", "dialogue_id", "turn", "part", *_FACTS)
    return [{**row, "about": about} for row in rows_where(path, "dialogue_id", {dialogue}, columns)]


def _lay_out(turns: Sequence[Row], assets: Sequence[Row], readings: dict[str, list[Row]]) -> list[Row]:
    by_id = {asset["id"]: asset for asset in assets}
    by_place = {(asset.get("turn"), asset.get("part")): asset for asset in assets}
    kinds = [[str(part["kind"]) for part in turn["parts"]] for turn in turns]
    laid = []
    for number, turn in enumerate(turns):
        parts = []
        for place, part in enumerate(turn["parts"]):
            asset = by_id.get(part.get("asset")) or by_place.get((number, place))
            edits = part.get("edits")
            parts.append(
                {
                    **{name: part.get(name) for name in ("kind", "text", "spoken")},
                    "edits": edits and (name_picture(kinds, edits) or "a picture that is not there"),
                    "asset": None if asset is None else {n: v for n, v in asset.items() if n != "dialogue_id"},
                    "readings": [] if asset is None else readings.get(asset["id"], []),
                }
            )
        laid.append({"role": turn["role"], "parts": parts})
    return laid


def _as_json(measures: Sequence[Measure], row: RecordReadings) -> list[Row]:
    said: list[Row] = []
    if row.problem:
        said.append({"measure": "", "detail": row.problem, "passes": not row.is_damaged})
    for measure in measures:
        reading = row.readings.get(measure.name)
        if reading is None or (reading.value is None and not reading.detail):
            continue
        value = reading.value
        passes = value is None or measure.passes(value)
        # JSON has no infinity and no NaN.
        shown = value if value is not None and math.isfinite(value) else None
        said.append(
            {
                **measure.model_dump(mode="json", include={"name", "unit", "better", "limit", "summary"}),
                **{"measure": measure.name, "value": shown, "detail": reading.detail, "passes": passes},
            }
        )
    return said
