"""Tables of codes: what an export writes beside a corpus's rows, and codes that lie there already.

A table states the tokenizers that made it in its schema's metadata, so that each file says by itself what its numbers
mean.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.adapters.files import read_json
from pipeline.adapters.table_file import read_table
from pipeline.contracts.export import Medium, Piece, Sample
from pipeline.contracts.tokenizer import TokenizerFacts
from pipeline.values.errors import CorpusError
from pipeline.values.ids import sha256_hex
from pipeline.values.token_strings import Codes

INDEX = "tokens.json"
TOKENS = "tokens"
"""Folder of a corpus that holds the codes of its media."""
CODES = "codes"
"""Folder of the tables that :class:`KeptCodes` reads: ``<split>-<shard>.parquet``."""
_METADATA = b"tokenizers"
_PLACE = (
    ("dialogue_id", pa.string()),
    ("turn", pa.int16()),
    ("part", pa.int16()),
    ("role", pa.string()),
    ("kind", pa.string()),
    ("asset", pa.string()),
)
_ARRAY = (("num_frames", pa.int32()), ("codes", pa.list_(pa.list_(pa.int32()))))
SPELLED = pa.schema([*_PLACE, ("in_row", pa.bool_()), *_ARRAY])
"""Beside rows of text; ``in_row`` is false where a row had no room for the turn."""
KEPT = pa.schema([*_PLACE, ("sha256", pa.string()), *_ARRAY])
"""Beside a corpus; ``sha256`` is of the medium that was encoded."""


def describe_codes(sample: Sample, piece: Piece, codes: Codes) -> dict[str, Any]:
    """Return what both kinds of table say of a medium."""
    return {
        "dialogue_id": sample.id,
        "turn": piece.turn,
        "part": piece.part,
        "role": piece.role,
        "kind": piece.kind,
        "asset": None if piece.medium is None else piece.medium.row["id"],
        "num_frames": codes.shape[1],
        "codes": codes.tolist(),
    }


def with_tokenizers(schema: pa.Schema, facts: Mapping[str, TokenizerFacts]) -> pa.Schema:
    """Return a schema that states the tokenizers."""
    stated = json.dumps({kind: fact.model_dump(mode="json") for kind, fact in facts.items()}, sort_keys=True)
    return schema.with_metadata({_METADATA: stated.encode()})


def read_tokenizers(path: Path) -> dict[str, Any]:
    """Return what a table states of its tokenizers, by kind.

    Raises:
        CorpusError: it cannot be read or states none.
    """
    try:
        return dict(json.loads(pq.read_schema(path).metadata[_METADATA]))
    except (OSError, ValueError, KeyError, TypeError) as exc:
        raise CorpusError(f"{path}: states no tokenizers ({type(exc).__name__}); take it away, and run again") from exc


class KeptIndex:
    """What the codes beside a corpus were made by.

    Attributes:
        identities: By kind, a hash over the tokenizer, its options and its weights where those are a folder.

    Raises:
        CorpusError: the index is missing or damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        index = read_json(folder / INDEX)
        try:
            self.identities = {str(kind): str(name) for kind, name in index["identities"].items()}
            self.facts = {kind: TokenizerFacts.model_validate(index["tokenizers"][kind]) for kind in self.identities}
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise CorpusError(f"{folder / INDEX}: names no tokenizers; take {folder} away, and run again") from exc


class KeptCodes:
    """The codes of one shard that lie beside a corpus.

    Raises:
        CorpusError: a table is damaged.
    """

    def __init__(self, folder: Path, shard: int) -> None:
        self._tables: list[pa.Table] = []
        self._places: dict[str, tuple[int, int]] = {}
        for number, path in enumerate(sorted((folder / CODES).glob(f"*-{shard:05d}.parquet"))):
            try:
                table = read_table(path, ["asset", "sha256", "codes"])
            except (OSError, pa.ArrowException) as exc:
                raise CorpusError(f"{path}: is damaged; `anyinstruct verify --fix`, and `run` again") from exc
            self._tables.append(table)
            self._places.update({name: (number, row) for row, name in enumerate(table["asset"].to_pylist())})

    def find(self, medium: Medium) -> Codes | None:
        """Return a medium's codes; None where there are none, or where they are of other bytes."""
        place = self._places.get(str(medium.row["id"]))
        if place is None:
            return None
        number, row = place
        table = self._tables[number]
        if table["sha256"][row].as_py() != sha256_hex(medium.data):
            return None
        return np.asarray(table["codes"][row].as_py(), dtype=np.int32)
