"""SQL over a corpus's dialogues and what audits have read of them, by DuckDB where it is installed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.adapters.published import PublishedCorpus
from pipeline.adapters.readings import CorpusReadings, TakenAudit
from pipeline.contracts.audit import SUBJECTS, Measure
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.words import suggest

_MEASURE = re.compile(rf"\b({'|'.join(SUBJECTS)})\.(\w+)\b")
_QUOTED = re.compile(r"'(?:[^']|'')*'")
_UNKNOWN = re.compile(r'Referenced (?:column|table) "([^"]+)" not found')


def find_ids(corpus: Path, where: str) -> frozenset[str]:
    """Return the dialogues for which a condition holds.

    Args:
        where: SQL over the columns of the dialogues' table and over measures of audits by their names: ``cell = 'draw'
            and image.contrast > 0.2``. A measure is the worst value that any of the dialogue's records has, and NULL
            where none has one, so a dialogue without pictures is not found by a condition on their contrast.

    Raises:
        CorpusError: a table of the dialogues, or what audits have left, is missing or damaged.
        ManifestError: DuckDB is not installed, no audit has taken a measure, or the condition is not understood.
    """
    try:
        import duckdb
    except ImportError:
        raise ManifestError("a query needs DuckDB: pip install 'duckdb>=2,<3'") from None
    files = [str(path) for shard in PublishedCorpus(corpus).shards if (path := shard.files.get("dialogue"))]
    readings = CorpusReadings(corpus)
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as session:
        # DuckDB reads the tables' footers here, and refuses an empty list of them.
        try:
            table = session.read_parquet(files)
        except duckdb.Error as exc:
            raise CorpusError(
                f"{corpus}: its dialogues cannot be read ({str(exc).splitlines()[0]}); run `anyinstruct verify` on it"
            ) from exc
        columns = list(table.columns)
        wanted = _find_measures(corpus, where, readings)
        if wanted:
            taken = session.from_arrow(_read_worst(readings, wanted)).set_alias("readings")
            table = table.set_alias("dialogues").join(taken, "id", how="left")
        try:
            rows = table.filter(where).project("id").fetchall()
        except duckdb.Error as exc:
            raise ManifestError(f"--where {where!r}: {_say_wrong(str(exc), where, columns, readings)}") from exc
    return frozenset(row[0] for row in rows)


def _find_measures(corpus: Path, where: str, readings: CorpusReadings) -> dict[Measure, TakenAudit]:
    """Return the measures that a condition names: no others are read.

    Raises:
        ManifestError: no audit has taken one of them.
    """
    known = {measure.name: (measure, audit) for audit in readings.audits for measure in audit.measures}
    found = {}
    for subject, what in _MEASURE.findall(_QUOTED.sub("''", where)):
        name = f"{subject}.{what}"
        if name not in known:
            if not known:
                raise ManifestError(f"--where: {name}: {corpus} was never audited; run `anyinstruct audit` on it first")
            raise ManifestError(f"--where: {name}: no audit of {corpus} has taken it; {suggest(name, known)}")
        measure, audit = known[name]
        found[measure] = audit
    return found


def _read_worst(readings: CorpusReadings, wanted: Mapping[Measure, TakenAudit]) -> pa.Table:
    """Return a row a dialogue: its id, and by subject the worst values that its records have."""
    worst: dict[str, dict[str, float]] = {measure.name: {} for measure in wanted}
    for measure, audit in wanted.items():
        choose = min if measure.better == "higher" else max
        values = worst[measure.name]
        for some in readings.columns(audit):
            for dialogue, value in zip(some.dialogue_ids, some.values(measure.name).tolist(), strict=True):
                if np.isfinite(value):
                    values[dialogue] = choose(values.get(dialogue, value), value)
    ids = sorted({name for values in worst.values() for name in values})
    columns: dict[str, dict[str, pa.Array]] = {}
    for name, values in worst.items():
        subject, _, what = name.partition(".")
        columns.setdefault(subject, {})[what] = pa.array([values.get(one) for one in ids], pa.float64())
    structs = {
        subject: pa.StructArray.from_arrays(list(some.values()), list(some)) for subject, some in columns.items()
    }
    return pa.table({"id": pa.array(ids, pa.string()), **structs})


def _say_wrong(message: str, where: str, columns: Sequence[str], readings: CorpusReadings) -> str:
    """Return what DuckDB says, and the names that there are, one close to an unknown one first."""
    measures = [measure.name for audit in readings.audits for measure in audit.measures]
    hint = ""
    if unknown := _UNKNOWN.search(message):
        # DuckDB names no more than the part before the dot.
        whole = re.search(rf"\b{re.escape(unknown[1])}(?:\.\w+)?", where)
        near = suggest(whole[0] if whole else unknown[1], [*columns, *measures])
        hint = f"{near} " if near.endswith("?") else ""
    return f"{message.splitlines()[0]}; {hint}there are the columns {', '.join([*columns, *sorted(measures)])}"
