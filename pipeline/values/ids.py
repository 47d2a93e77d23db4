"""Identity and randomness, both derived from inputs.

An id is the first 16 hexadecimal digits of a SHA-256 over what the record stands for: 64 bits, so that among a
billion records the chance of one collision is about 3 %, and among the 108,000 dialogues of the published size
3e-10 (birthday bound n²/2^65).
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from random import Random
from typing import Any

from pydantic_core import to_json

ID_DIGITS = 16

# Kept, since json.dumps makes an encoder a call where it is not asked for its defaults.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value: sorted keys, no spaces, non-ASCII kept."""
    return _ENCODER.encode(value)


def encode_json(value: Any) -> bytes:
    """Return a JSON text of a value, short and in UTF-8, for what is read and never compared; a fifth of the time.

    Half a surrogate pair is written by its escape, as :func:`json.dumps` does.
    """
    try:
        return to_json(value)
    except ValueError:
        return json.dumps(value, separators=(",", ":")).encode()


def sha256_hex(data: bytes | str) -> str:
    """Return the SHA-256 of bytes, or of a text's UTF-8 form, as 64 hexadecimal digits."""
    return hashlib.sha256(data.encode("utf-8") if isinstance(data, str) else data).hexdigest()


def content_key(*parts: Any) -> str:
    """Hash JSON-able values into a 16-digit key; equal values give equal keys on every machine."""
    return sha256_hex(canonical_json(parts))[:ID_DIGITS]


def content_key_of_list(texts: Sequence[str]) -> str:
    """Return ``content_key`` of one list, given the canonical JSON of each of its items."""
    return sha256_hex(f"[[{','.join(texts)}]]")[:ID_DIGITS]


def normalise_text(text: str) -> str:
    """Fold case, width, and white space, so that two spellings of one topic are one topic."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def topic_id(text: str) -> str:
    """Id of a topic: the hash of its normalised text."""
    return content_key("topic", normalise_text(text))


def dialogue_id(topic: str, ordinal: int) -> str:
    """Id of the ``ordinal``-th dialogue (from 0) about a topic id."""
    return content_key("dialogue", topic, ordinal)


def part_id(dialogue: str, turn: int, part: int) -> str:
    """Id of a part by its dialogue id and place (both from 0)."""
    return f"{dialogue}-{turn:02d}-{part:02d}"


def asset_id(part: str, attempt: int) -> str:
    """Name of an asset: its part (a part has one brief) and the attempt that made it."""
    return f"{part}-a{attempt}"


def derive_seed(corpus_seed: int, record_id: str, purpose: str, attempt: int = 0) -> int:
    """Return a seed in [0, 2^63) that depends on nothing but the arguments."""
    digest = hashlib.sha256(canonical_json([corpus_seed, record_id, purpose, attempt]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def derive_unit(corpus_seed: int, record_id: str, purpose: str) -> float:
    """Return a number in [0, 1), uniform over records."""
    return derive_seed(corpus_seed, record_id, purpose) / 2**63


def derive_random(corpus_seed: int, record_id: str, purpose: str, attempt: int = 0) -> Random:
    """Return a private generator; the global one is never used."""
    return Random(derive_seed(corpus_seed, record_id, purpose, attempt))


def rank_by_hash(names: Sequence[str], *salt: Any) -> list[str]:
    """Order names by a salted hash (rendezvous hashing, Thaler and Ravishankar 1998).

    The first one is a fair draw; adding a name changes the draw of one record in ``len(names) + 1``, removing one
    changes only the records that had drawn it.
    """
    # The canonical JSON of [name, *salt], of which only the name differs. Digests sort as their digits do.
    tail = f",{canonical_json(salt)[1:]}".encode() if salt else b"]"
    return sorted(names, key=lambda name: hashlib.sha256(_open_list(name) + tail).digest())


@lru_cache(65536)
def _open_list(name: str) -> bytes:
    """Canonical JSON of a list up to the end of its first item; pools of names are ranked over and over."""
    return f"[{canonical_json(name)}".encode()
