"""Broken dialogues: a published row and its assets, sound, and then with one structural fault each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random

from pipeline.adapters.published import PublishedCorpus
from pipeline.contracts.audit import AssetFacts
from pipeline.contracts.storage import Row
from pipeline.values.languages import count_words

Assets = list[AssetFacts]
Damage = Callable[[Random, Row, Assets], None]


def read_published(root: Path) -> tuple[list[Row], list[AssetFacts]]:
    """Return the dialogues and assets of a tiny corpus, its clips as long as a voice would take."""
    rows: list[Row] = []
    assets: list[AssetFacts] = []
    for shard in PublishedCorpus(root).shards:
        items = list(shard.items("dialogue", {name for name, _, _ in shard.index("dialogue")}))
        rows += [item.row for item in items]
        assets += shard.read_assets().by_id.values()
    for facts in assets:
        if facts.subject == "speech":
            # The tones of the minimal renderer last as long whatever is said; a voice takes its time.
            facts.row["duration"] = 1.0 + 0.4 * count_words(facts.row["transcript"])
    return rows, assets


def plant(
    rng: Random, rows: Sequence[Row], assets: Sequence[AssetFacts]
) -> Iterator[tuple[str, str, Row, Assets, bool]]:
    """Yield measure, fault, row, assets and whether there is a fault: each row sound for each measure, then damaged."""
    for row in rows:
        own = [facts for facts in assets if facts.row["dialogue_id"] == row["id"]]
        for fault, (measure, damage) in FAULTS.items():
            yield measure, fault, row, own, False
            bad, bad_assets = copy.deepcopy(row), copy.deepcopy(own)
            damage(rng, bad, bad_assets)
            yield measure, fault, bad, bad_assets, True


def _swap_roles(rng: Random, row: Row, assets: Assets) -> None:
    turn = rng.choice(row["turns"])
    turn["role"] = "assistant" if turn["role"] == "user" else "user"


def _unknown_role(rng: Random, row: Row, assets: Assets) -> None:
    rng.choice(row["turns"])["role"] = rng.choice(("system", "tool", "", None))


def _drop_turn(rng: Random, row: Row, assets: Assets) -> None:
    row["turns"].pop(rng.randrange(len(row["turns"])))


def _no_turns(rng: Random, row: Row, assets: Assets) -> None:
    row["turns"] = rng.choice(([], None))


def _empty_turn(rng: Random, row: Row, assets: Assets) -> None:
    rng.choice(row["turns"])["parts"] = []


def _empty_part(rng: Random, row: Row, assets: Assets) -> None:
    rng.choice(_parts(row))["text"] = rng.choice(("", "  ", None))


def _unknown_kind(rng: Random, row: Row, assets: Assets) -> None:
    rng.choice(_parts(row))["kind"] = rng.choice(("video", "", None))


def _no_asset(rng: Random, row: Row, assets: Assets) -> None:
    rng.choice(_media(row))["asset"] = None


def _asset_twice(rng: Random, row: Row, assets: Assets) -> None:
    part = copy.deepcopy(rng.choice(_media(row)))
    rng.choice(row["turns"])["parts"].append(part)


def _text_with_asset(rng: Random, row: Row, assets: Assets) -> None:
    row["turns"][0]["parts"].append({"kind": "text", "text": "Look.", "asset": "x-00-09-a0"})


def _orphan(rng: Random, row: Row, assets: Assets) -> None:
    facts = rng.choice(assets)
    assets.append(AssetFacts(facts.subject, {**facts.row, "id": "x-00-09-a0"}))


def _stranger(rng: Random, row: Row, assets: Assets) -> None:
    rng.choice(assets).row["dialogue_id"] = "f" * 16


def _other_words(rng: Random, row: Row, assets: Assets) -> None:
    facts = rng.choice(assets)
    facts.row["transcript" if facts.subject == "speech" else "description"] = "something else"


def _edits_nothing(rng: Random, row: Row, assets: Assets) -> None:
    rng.choice(_parts(row))["edits"] = rng.choice(("0.0", "9.9", "7.0"))


def _missing_asset(rng: Random, row: Row, assets: Assets) -> None:
    assets.pop(rng.randrange(len(assets)))


def _undecodable(rng: Random, row: Row, assets: Assets) -> None:
    at = rng.randrange(len(assets))
    assets[at] = AssetFacts(assets[at].subject, assets[at].row, "0 bytes cannot be decoded")


def _wrong_size(rng: Random, row: Row, assets: Assets) -> None:
    facts = rng.choice(assets)
    if facts.subject == "image":
        facts.row["width"] = rng.choice((0, 1, 8))
    elif facts.subject == "music":
        facts.row["duration"] = rng.choice((0.0, 0.1, 5000.0))
    else:
        words = 2 * len(facts.row["transcript"].split())
        facts.row["duration"] = rng.choice((0.0, 0.01, 60.0 + 10 * words))


def _states_too_much(rng: Random, row: Row, assets: Assets) -> None:
    column = rng.choice(("gives", "answers"))
    row[column] = [*row[column], next(kind for kind in ("music", "image", "speech") if kind not in row[column])]


def _states_too_little(rng: Random, row: Row, assets: Assets) -> None:
    row["answers"] = row["answers"][:-1]


def _parts(row: Row) -> list[Row]:
    return [part for turn in row["turns"] for part in turn["parts"]]


def _media(row: Row) -> list[Row]:
    return [part for part in _parts(row) if part.get("asset") is not None]


FAULTS: Mapping[str, tuple[str, Damage]] = {
    "roles swapped": ("dialogue.schema_faults", _swap_roles),
    "unknown role": ("dialogue.schema_faults", _unknown_role),
    "turn dropped": ("dialogue.schema_faults", _drop_turn),
    "no turns": ("dialogue.schema_faults", _no_turns),
    "empty turn": ("dialogue.schema_faults", _empty_turn),
    "empty part": ("dialogue.schema_faults", _empty_part),
    "unknown modality": ("dialogue.schema_faults", _unknown_kind),
    "no asset": ("dialogue.reference_faults", _no_asset),
    "asset named twice": ("dialogue.reference_faults", _asset_twice),
    "text with an asset": ("dialogue.reference_faults", _text_with_asset),
    "asset that no part names": ("dialogue.reference_faults", _orphan),
    "asset of another dialogue": ("dialogue.reference_faults", _stranger),
    "asset of other words": ("dialogue.reference_faults", _other_words),
    "edit of nothing": ("dialogue.reference_faults", _edits_nothing),
    "missing asset": ("dialogue.media_faults", _missing_asset),
    "undecodable asset": ("dialogue.media_faults", _undecodable),
    "wrong size": ("dialogue.size_faults", _wrong_size),
    "states too much": ("dialogue.modality_faults", _states_too_much),
    "states too little": ("dialogue.modality_faults", _states_too_little),
}
"""By what is done: the measure that shall tell it, and the doing."""
