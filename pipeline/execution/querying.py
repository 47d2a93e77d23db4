"""SQL over a corpus's dialogues, by DuckDB where it is installed."""

from __future__ import annotations

from pathlib import Path

from pipeline.adapters.published import PublishedCorpus
from pipeline.values.errors import CorpusError, ManifestError


def find_ids(corpus: Path, where: str) -> frozenset[str]:
    """Return the dialogues for which a condition holds.

    Args:
        where: SQL over the columns of the dialogues' table: ``cell = 'draw' and num_rounds > 1``.

    Raises:
        CorpusError: a table of the dialogues is missing or damaged.
        ManifestError: DuckDB is not installed, or does not understand the condition.
    """
    try:
        import duckdb
    except ImportError:
        raise ManifestError("a query needs DuckDB: pip install 'duckdb>=2,<3'") from None
    files = [str(path) for shard in PublishedCorpus(corpus).shards if (path := shard.files.get("dialogue"))]
    with duckdb.connect(config={"autoinstall_known_extensions": False}) as session:
        # DuckDB reads the tables' footers here, and refuses an empty list of them.
        try:
            table = session.read_parquet(files)
        except duckdb.Error as exc:
            raise CorpusError(
                f"{corpus}: its dialogues cannot be read ({str(exc).splitlines()[0]}); run `anyinstruct verify` on it"
            ) from exc
        try:
            rows = table.filter(where).project("id").fetchall()
        except duckdb.Error as exc:
            columns = ", ".join(table.columns)
            raise ManifestError(
                f"--where {where!r}: {str(exc).splitlines()[0]}; there are the columns {columns}"
            ) from exc
    return frozenset(row[0] for row in rows)
