"""Each export, read back by those that it is for."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pyarrow.parquet as pq
import pytest
import soundfile
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

from pipeline.adapters.published import MEDIUM_OF, PublishedCorpus
from pipeline.cli.importing import import_published
from tests.support.corpora import TinyCorpus
from tests.support.exporting import export_to


def everything(tiny: TinyCorpus) -> dict[str, dict[str, Any]]:
    """Dialogues of a corpus by id, each with the bytes of its media in order."""
    found: dict[str, dict[str, Any]] = {}
    for shard in PublishedCorpus(tiny.root).shards:
        assets = {row["id"]: row[MEDIUM_OF[kind]]["bytes"] for kind in MEDIUM_OF for row in shard.rows(kind)}
        for row in shard.rows("dialogue"):
            parts = [part for turn in row["turns"] for part in turn["parts"]]
            media = [(part["kind"], assets[part["asset"]]) for part in parts if part["asset"]]
            found[row["id"]] = {"row": row, "parts": parts, "media": media}
    return found


def test_datasets_loads_and_streams_what_hf_wrote(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf", splits={"train": 0.5, "test": 0.5})
    wanted = everything(tiny)
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert sum(len(split) for split in loaded.values()) == len(wanted)
    for name in loaded:
        split = loaded[name]
        assert isinstance(split.features["images"].feature, datasets.Image)
        assert isinstance(split.features["speech"].feature, datasets.Audio)
        plain = split.cast_column("music", datasets.List(datasets.Audio(decode=False)))
        plain = plain.cast_column("speech", datasets.List(datasets.Audio(decode=False)))
        for row in plain:
            known = wanted[row["id"]]
            assert [part["text"] for turn in row["turns"] for part in turn["parts"]] == [
                part["text"] for part in known["parts"]
            ]
            for kind, column in (("music", "music"), ("speech", "speech")):
                assert [medium["bytes"] for medium in row[column]] == [d for k, d in known["media"] if k == kind]
            assert [image.size for image in row["images"]] == [
                Image.open(io.BytesIO(data)).size for kind, data in known["media"] if kind == "image"
            ]
    streamed = datasets.load_dataset(str(tmp_path / "out"), split="train", streaming=True)
    streamed = streamed.cast_column("music", datasets.List(datasets.Audio(decode=False)))
    streamed = streamed.cast_column("speech", datasets.List(datasets.Audio(decode=False)))
    assert [row["id"] for row in streamed] == loaded["train"]["id"]


def test_the_place_of_a_part_finds_its_medium(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf")
    wanted = everything(tiny)
    rows = pq.read_table(tmp_path / "out" / "data").to_pylist()
    columns = {"image": "images", "music": "music", "speech": "speech"}
    for row in rows:
        parts = [part for turn in row["turns"] for part in turn["parts"] if part["asset"]]
        found = [(part["kind"], row[columns[part["kind"]]][part["place"]]["bytes"]) for part in parts]
        assert found == wanted[row["id"]]["media"]


def test_webdataset_reads_a_sample_a_dialogue(tiny: TinyCorpus, tmp_path: Path) -> None:
    summary = export_to(tiny.root, tmp_path / "out", "webdataset")
    tars = [str(tmp_path / "out" / file.path) for part in summary.parts for file in part.files]
    wanted = everything(tiny)
    samples = read_tars(tars)
    assert [sample["__key__"] for sample in samples] == list(wanted)
    for sample in samples:
        record = json.loads(sample["json"])
        fields = [part["field"] for turn in record["turns"] for part in turn["parts"] if part.get("field")]
        assert [sample[name] for name in fields] == [data for _, data in wanted[sample["__key__"]]["media"]]
        assert record["topic"] == wanted[sample["__key__"]]["row"]["topic"]


def test_duckdb_counts_the_parts_that_parquet_wrote(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "parquet")
    wanted = everything(tiny)
    wanted_columns = "dialogue_id, kind, text, media"
    with duckdb.connect() as session:
        rows = session.execute(
            f"SELECT {wanted_columns} FROM '{tmp_path}/out/*/*.parquet' ORDER BY dialogue_id, turn, part"
        ).fetchall()
    assert Counter(row[1] for row in rows) == Counter(p["kind"] for known in wanted.values() for p in known["parts"])
    for name, known in wanted.items():
        mine = [row for row in rows if row[0] == name]
        assert [(row[1], row[3]) for row in mine if row[3] is not None] == known["media"]
        assert [row[2] for row in mine] == [part["text"] for part in known["parts"]]


@pytest.mark.parametrize("media", ["files", "data"])
def test_chat_lines_carry_every_picture_and_sound(tiny: TinyCorpus, tmp_path: Path, media: str) -> None:
    export_to(tiny.root, tmp_path / "out", "messages", {"media": media, "transcripts": "nobody"})
    for name, known in everything(tiny).items():
        row = next(line for line in chat_lines(tmp_path / "out") if line["id"] == name)
        assert [message["role"] for message in row["messages"]] == [turn["role"] for turn in known["row"]["turns"]]
        content = [part for message in row["messages"] for part in message["content"]]
        assert [part["text"] for part in content if part["type"] == "text"] == [
            part["text"] for part in known["parts"] if part["kind"] == "text"
        ]
        sent = [part for part in content if part["type"] != "text"]
        assert len(sent) == len(known["media"])
        for part, (kind, data) in zip(sent, known["media"], strict=True):
            found = open_part(part, tmp_path / "out")
            if part["type"] == "input_audio":
                assert soundfile.read(io.BytesIO(found), dtype="int16")[0].tolist() == pcm(data)
            else:
                assert (found, kind == "image") == (data, part["type"] == "image_url")


def test_llamafactory_rows_have_a_tag_for_each_medium(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "messages", {"style": "llamafactory"})
    info = json.loads((tmp_path / "out" / "dataset_info.json").read_text())
    rows = [
        json.loads(line)
        for entry in info.values()
        for line in (tmp_path / "out" / entry["file_name"]).read_bytes().splitlines()
    ]
    wanted = everything(tiny)
    assert {row["id"] for row in rows} == set(wanted)
    for row in rows:
        text = "".join(message["content"] for message in row["messages"])
        assert (text.count("<image>"), text.count("<audio>")) == (len(row["images"]), len(row["audios"]))
        pictures = [data for kind, data in wanted[row["id"]]["media"] if kind == "image"]
        assert [(tmp_path / "out" / path).read_bytes() for path in row["images"]] == pictures


def read_tars(tars: list[str]) -> list[dict[str, Any]]:
    """All samples by webdataset's own readers; its data set leaves the files for the collector to close."""
    with contextlib.ExitStack() as files:
        streams = [{"url": name, "stream": files.enter_context(open(name, "rb"))} for name in tars]
        return list(group_by_keys(tar_file_expander(streams)))


def chat_lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(out.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def open_part(part: dict[str, Any], out: Path) -> bytes:
    """Bytes of a content part, by its address."""
    if part["type"] == "input_audio":
        assert part["input_audio"]["format"] == "wav"
        return base64.b64decode(part["input_audio"]["data"])
    address = str(part[part["type"]]["url"])
    if address.startswith("data:"):
        return base64.b64decode(address.partition(";base64,")[2])
    return (out / address).read_bytes()


def pcm(data: bytes) -> list[Any]:
    samples: list[Any] = soundfile.read(io.BytesIO(data), dtype="int16")[0].tolist()
    return samples


def test_the_published_layout_is_imported_back_word_for_word(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "anyinstruct")
    import_published(tmp_path / "out" / "train", tmp_path / "back")
    back = {
        row["id"]: row
        for line in (tmp_path / "back" / "dialogues.jsonl").read_bytes().splitlines()
        if (row := json.loads(line))
    }
    wanted = everything(tiny)
    assert set(back) == set(wanted)
    for name, known in wanted.items():
        assert (back[name]["topic"], back[name]["scenario"]) == (known["row"]["topic"], known["row"]["scenario"])
        for turn, ours in zip(back[name]["turns"], known["row"]["turns"], strict=True):
            drawn = [(part["kind"], part["text"]) for part in ours["parts"] if part["kind"] in ("image", "music")]
            said = " ".join(part["text"] for part in ours["parts"] if part["kind"] in ("text", "speech"))
            assert [(p["kind"], p["text"]) for p in turn["parts"] if p["kind"] != "text"] == drawn
            assert [p["text"] for p in turn["parts"] if p["kind"] == "text"] == ([said] if said else [])


def test_tars_of_the_published_layout_hold_what_its_rows_name(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "anyinstruct")
    members: dict[str, bytes] = {}
    for path in sorted((tmp_path / "out" / "train").glob("*.tar")):
        with tarfile.open(path) as tar:
            members |= {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
    rows = [json.loads(line) for line in (tmp_path / "out" / "train" / "metadata.json").read_bytes().splitlines()]
    named = []
    for row in rows:
        media = everything(tiny)[row["id"]]["media"]
        for kind in ("image", "music", "speech"):
            found = [turn[kind] for turn in row["chat"] if kind in turn]
            paths = [path for some in found for path in (some if isinstance(some, list) else [some])]
            assert [members[path] for path in paths] == [data for k, data in media if k == kind]
            named += paths
    assert sorted(named) == sorted(members)
