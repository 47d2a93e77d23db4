"""The columns by which reviewers filter, gathered once over all shards and whatever audits have read."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.readings import CorpusReadings
from pipeline.contracts.audit import Measure
from pipeline.work.review_selection import Labels, ReviewColumns


def gather_columns(corpus: PublishedCorpus, readings: CorpusReadings) -> ReviewColumns:
    """Read the ids of all dialogues and what they are filtered by.

    Raises:
        CorpusError: a table or a file of readings cannot be read.
    """
    ids: list[str] = []
    shards, meta_topics, cells = array("i"), _LabelColumn(), _LabelColumn()
    for place, shard in enumerate(corpus.shards):
        for row in shard.rows("dialogue", shard.columns_of("dialogue", "id", "meta_topic", "cell")):
            ids.append(row["id"])
            shards.append(place)
            meta_topics.add(row.get("meta_topic"))
            cells.add(row.get("cell"))
    columns = ReviewColumns(
        ids=tuple(ids),
        shard=_as_places(shards),
        meta_topic=meta_topics.close(),
        cell=cells.close(),
        voices={},
        num_findings=np.zeros(len(ids), np.int32),
    )
    return _with_readings(replace(columns, voices=_gather_voices(corpus, columns)), readings)


class _LabelColumn:
    def __init__(self) -> None:
        self._names: dict[str, int] = {}
        self._codes = array("i")

    def add(self, value: object) -> None:
        self._codes.append(self._names.setdefault("" if value is None else str(value), len(self._names)))

    def close(self) -> Labels:
        return Labels(tuple(self._names), _as_places(self._codes))


def _as_places(values: array[int]) -> npt.NDArray[np.int32]:
    return np.frombuffer(values, np.int32) if values else np.zeros(0, np.int32)


def _gather_voices(corpus: PublishedCorpus, columns: ReviewColumns) -> dict[str, npt.NDArray[np.int32]]:
    voices: dict[str, dict[int, None]] = {}
    for shard in corpus.shards:
        names = shard.columns_of("speech", "dialogue_id", "voice")
        for row in shard.rows("speech", names) if len(names) > 1 else ():
            place = columns.places.get(row["dialogue_id"])
            if place is not None and row["voice"]:
                voices.setdefault(row["voice"], {})[place] = None
    return {voice: np.fromiter(voices[voice], np.int32, len(voices[voice])) for voice in sorted(voices)}


def _with_readings(columns: ReviewColumns, readings: CorpusReadings) -> ReviewColumns:
    found = columns.num_findings.copy()
    measures: dict[str, Measure] = {}
    worst: dict[str, npt.NDArray[np.float32]] = {}
    known = pa.array(columns.ids, pa.string())
    for audit in readings.audits:
        measures |= {measure.name: measure for measure in audit.measures}
        worst |= {measure.name: np.full(len(columns.ids), np.nan, np.float32) for measure in audit.measures}
        for table in readings.tables(audit):
            places = pc.index_in(table["dialogue_id"], value_set=known)
            broken = places.filter(pc.equal(table["status"], "failed")).drop_null()
            np.add.at(found, broken.to_numpy(), 1)
            flat = _flatten(table, places)
            for measure in audit.measures:
                _take(measure, flat, worst[measure.name], found)
    return replace(columns, num_findings=found, measures=measures, worst=worst)


def _flatten(table: pa.Table, places: pa.ChunkedArray) -> pa.Table:
    """Return one row a reading with a value: the dialogue's place, the measure and the value."""
    readings = table["readings"].combine_chunks()
    parents = pc.list_parent_indices(readings)
    inner = pc.list_flatten(readings)
    flat: Any = pa.table(
        {
            "place": places.take(parents),
            "measure": pc.struct_field(inner, "measure"),
            "value": pc.struct_field(inner, "value"),
        }
    )
    return flat.filter(pc.and_(pc.is_valid(flat["value"]), pc.is_valid(flat["place"])))


def _take(measure: Measure, flat: pa.Table, worst: npt.NDArray[np.float32], found: npt.NDArray[np.int32]) -> None:
    """Put one measure's readings into the worst of each dialogue, and count those beyond the limit."""
    mine = flat.filter(pc.equal(flat["measure"], measure.name))
    places, values = mine["place"].to_numpy(), mine["value"].to_numpy()
    # fmin and fmax let a number win over the NaN of a dialogue without one.
    (np.fmin if measure.better == "higher" else np.fmax).at(worst, places, values.astype(np.float32))
    if measure.limit is not None:
        passes = values >= measure.limit if measure.better == "higher" else values <= measure.limit
        np.add.at(found, places[~passes], 1)
