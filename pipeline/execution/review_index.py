"""The columns by which reviewers filter, gathered once over all shards and whatever audits have read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.readings import CorpusReadings
from pipeline.contracts.audit import Measure
from pipeline.values.errors import CorpusError
from pipeline.work.review_selection import Labels, ReviewColumns


def gather_columns(corpus: PublishedCorpus, readings: CorpusReadings) -> ReviewColumns:
    """Read the ids of all dialogues and what they are filtered by.

    Raises:
        CorpusError: a table or a file of readings cannot be read, or there is no dialogue.
    """
    tables = [shard.table("dialogue", ("id", "meta_topic", "cell")) for shard in corpus.shards]
    found = [(place, table) for place, table in enumerate(tables) if table is not None]
    if not any(len(table) for _, table in found):
        raise CorpusError(f"{corpus.root}: no dialogue was kept, so there is none to judge")
    ids = tuple(name for _, table in found for name in table["id"].to_pylist())
    columns = ReviewColumns(
        ids=ids,
        shard=np.concatenate([np.full(len(table), place, np.int32) for place, table in found]),
        meta_topic=_label([table for _, table in found], "meta_topic"),
        cell=_label([table for _, table in found], "cell"),
        voices={},
        num_findings=np.zeros(len(ids), np.int32),
    )
    return _with_readings(replace(columns, voices=_gather_voices(corpus, columns)), readings)


def _label(tables: Sequence[pa.Table], name: str) -> Labels:
    """Return a column of all tables as labels; rows without it have an empty one."""
    texts = [
        table[name].cast(pa.string()).fill_null("") if name in table.column_names else pa.array([""] * len(table))
        for table in tables
    ]
    chunks = [chunk for text in texts for chunk in (text.chunks if isinstance(text, pa.ChunkedArray) else [text])]
    encoded = pc.dictionary_encode(pa.chunked_array(chunks, pa.string())).combine_chunks()
    return Labels(tuple(encoded.dictionary.to_pylist()), encoded.indices.to_numpy().astype(np.int32))


def _gather_voices(corpus: PublishedCorpus, columns: ReviewColumns) -> dict[str, npt.NDArray[np.int32]]:
    voices: dict[str, dict[int, None]] = {}
    for shard in corpus.shards:
        table = shard.table("speech", ("dialogue_id", "voice"))
        if table is None or "voice" not in table.column_names:
            continue
        places = _find_places(table["dialogue_id"].to_pylist(), columns).tolist()
        for place, voice in zip(places, table["voice"].to_pylist(), strict=True):
            if place >= 0 and voice:
                voices.setdefault(str(voice), {})[place] = None
    return {voice: np.fromiter(voices[voice], np.int32, len(voices[voice])) for voice in sorted(voices)}


def _find_places(names: Sequence[str], columns: ReviewColumns) -> npt.NDArray[np.int32]:
    """Return the places of some dialogues; -1 where the corpus has none."""
    return np.fromiter((columns.places.get(name, -1) for name in names), np.int32, len(names))


def _with_readings(columns: ReviewColumns, readings: CorpusReadings) -> ReviewColumns:
    found = columns.num_findings.copy()
    measures: dict[str, Measure] = {}
    worst: dict[str, npt.NDArray[np.float32]] = {}
    for audit in readings.audits:
        measures |= {measure.name: measure for measure in audit.measures}
        worst |= {measure.name: np.full(len(columns.ids), np.nan, np.float32) for measure in audit.measures}
        for some in readings.columns(audit):
            places = _find_places(some.dialogue_ids, columns)
            is_broken = np.asarray(some.is_damaged, bool) & (places >= 0)
            np.add.at(found, places[is_broken], 1)
            for measure in audit.measures:
                values = some.values(measure.name)
                is_there = ~np.isnan(values) & (places >= 0)
                _take(measure, places[is_there], values[is_there], worst[measure.name], found)
    return replace(columns, num_findings=found, measures=measures, worst=worst)


def _take(
    measure: Measure,
    places: npt.NDArray[np.int32],
    values: npt.NDArray[np.float64],
    worst: npt.NDArray[np.float32],
    found: npt.NDArray[np.int32],
) -> None:
    """Put one measure's readings into the worst of each dialogue, and count those beyond the limit."""
    # fmin and fmax let a number win over the NaN of a dialogue without one.
    (np.fmin if measure.better == "higher" else np.fmax).at(worst, places, values.astype(np.float32))
    if measure.limit is not None:
        passes = values >= measure.limit if measure.better == "higher" else values <= measure.limit
        np.add.at(found, places[~passes], 1)
