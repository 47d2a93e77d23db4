from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.published import PublishedCorpus
from pipeline.contracts.audit import Subject
from pipeline.values.errors import CorpusError
from pipeline.values.ids import sha256_hex
from tests.support.corpora import TinyCorpus


def strip(corpus: TinyCorpus, out: Path, *columns: str) -> Path:
    """A stranger's copy: the same tables under other names, without a ledger and without some columns."""
    for table in ("dialogues", "images", "speech"):
        for shard in range(2):
            rows = pq.read_table(corpus.table(table, shard))
            (out / table).mkdir(parents=True, exist_ok=True)
            kept = rows.drop_columns([name for name in columns if name in rows.column_names])
            pq.write_table(kept, out / table / f"part-{shard}.parquet", row_group_size=3)
    return out


def test_every_record_of_every_shard_is_there_with_its_media(tiny: TinyCorpus) -> None:
    corpus = PublishedCorpus(tiny.root)
    assert [shard.number for shard in corpus.shards] == [0, 1]
    index = [entry for shard in corpus.shards for entry in shard.index("image")]
    assert len(index) == tiny.ledger.tables["images"]
    shard = next(shard for shard in corpus.shards if shard.index("image"))
    items = list(shard.items("image", {name for name, _, _ in shard.index("image")}))
    assert [(item.id, item.dialogue_id) for item in items] == [entry[:2] for entry in shard.index("image")]
    assert items[0].media.size == (64, 64)
    assert items[0].data is not None
    assert sha256_hex(items[0].data) == shard.index("image")[0][2]


def test_only_what_is_wanted_is_read(tiny: TinyCorpus) -> None:
    shard = PublishedCorpus(tiny.root).shards[0]
    wanted = shard.index("speech")[1][0]
    (item,) = shard.items("speech", {wanted})
    samples, sample_rate = item.media
    assert (item.id, samples.ndim, sample_rate) == (wanted, 2, item.row["sample_rate"])


def test_a_few_dialogues_look_up_their_assets_and_those_that_they_name(tiny: TinyCorpus, tmp_path: Path) -> None:
    root = strip(tiny, tmp_path)
    path = root / "dialogues" / "part-0.parquet"
    rows = pq.read_table(path).to_pylist()
    owners = {name: owner for name, owner, _ in PublishedCorpus(root).shards[0].index("speech")}
    asker, other = (
        next(row for row in rows if row["id"] in owners.values()),
        next(row for row in reversed(rows) if row["id"] in owners.values()),
    )
    stolen = next(name for name, owner in owners.items() if owner == other["id"])
    asker["turns"][0]["parts"][0]["asset"] = stolen
    pq.write_table(pa.Table.from_pylist(rows, pq.read_schema(path)), path)
    shard = PublishedCorpus(root).shards[0]
    (item,) = shard.items("dialogue", {asker["id"]})
    assert item.look_up is not None
    subjects: tuple[Subject, ...] = ("image", "music", "speech")
    own = {name for subject in subjects for name, owner, _ in shard.index(subject) if owner == asker["id"]}
    assert asker["id"] != other["id"]
    assert item.look_up().by_id.keys() == own | {stolen}
    everyone = {name for name, _, _ in shard.index("dialogue")}
    assert all(
        item.look_up is not None and item.look_up().by_id.keys() == shard.read_assets().by_id.keys()
        for item in shard.items("dialogue", everyone)
    )


def test_a_dialogue_is_the_same_record_until_its_words_change(tiny: TinyCorpus) -> None:
    first = PublishedCorpus(tiny.root).shards[0].index("dialogue")
    assert first == PublishedCorpus(tiny.root).shards[0].index("dialogue")
    assert len({content for _, _, content in first}) == len(first)


def test_a_strangers_corpus_without_ledger_or_hashes_reads_alike(tiny: TinyCorpus, tmp_path: Path) -> None:
    ours = [PublishedCorpus(tiny.root).shards[n].index("image") for n in range(2)]
    theirs = PublishedCorpus(strip(tiny, tmp_path, "sha256", "provenance", "cell", "notes"))
    assert [shard.index("image") for shard in theirs.shards] == ours
    assert {item.id for item in theirs.shards[0].items("dialogue", {ours[0][0][1]})} == {ours[0][0][1]}


def test_a_table_without_a_needed_column_is_named(tiny: TinyCorpus, tmp_path: Path) -> None:
    corpus = PublishedCorpus(strip(tiny, tmp_path, "turns"))
    with pytest.raises(CorpusError, match=r"part-0\.parquet: has no column turns"):
        list(corpus.shards[0].items("dialogue", {"x"}))


def test_a_folder_that_holds_no_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="holds no finished corpus"):
        PublishedCorpus(tmp_path)
