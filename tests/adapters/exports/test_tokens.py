from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.exports.token_tables import KeptCodes
from pipeline.adapters.published import MEDIUM_OF, PublishedCorpus
from pipeline.adapters.tokenizers.choosing import TokenizerChoice
from pipeline.contracts.audit import Subject
from pipeline.contracts.export import Medium
from pipeline.execution.exports import ExportSetting
from pipeline.values.errors import CorpusError, ManifestError
from tests.support.corpora import TinyCorpus
from tests.support.exporting import export_here, export_to
from tests.support.tiny_tokenizers import NUM_CODES, options_for, save_tiny_tokenizer

USED = {"image": "vq-image", "music": "encodec", "speech": "mimi"}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("tokenizers")
    return {kind: options_for(save_tiny_tokenizer(root / name, name), name) for kind, name in USED.items()}


def media_of(root: Path) -> dict[str, bytes]:
    kinds: tuple[Subject, ...] = ("image", "music", "speech")
    return {
        row["id"]: row[MEDIUM_OF[kind]]["bytes"]
        for shard in PublishedCorpus(root).shards
        for kind in kinds
        for row in shard.rows(kind)
    }


def read_bytes(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("*.jsonl")}


def test_every_medium_has_its_codes_and_the_index_names_no_place(
    tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    out = tmp_path / "out"
    export_to(tiny.root, out, "tokens", chosen)
    table = pq.read_table(out / "codes").to_pylist()
    media = media_of(tiny.root)
    assert {row["asset"] for row in table} == set(media)
    speech = TokenizerChoice.model_validate(chosen["speech"]).open()
    row = next(row for row in table if row["kind"] == "speech")
    (codes,) = speech.encode([speech.prepare(media[row["asset"]])])
    np.testing.assert_array_equal(row["codes"], codes)
    assert all(0 <= code < NUM_CODES for row in table for layer in row["codes"] for code in layer)
    index = json.loads((out / "tokens.json").read_text())
    assert set(index["tokenizers"]) == set(index["identities"]) == set(USED)
    assert str(Path(chosen["image"]["model"]).parent) not in (out / "tokens.json").read_text()
    assert str(Path(chosen["image"]["model"]).parent) not in (out / "export.json").read_text()


def test_anygpt_takes_the_codes_of_a_corpus_where_nothing_is_stated(
    tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    export_to(tiny.root, tmp_path / "made", "anygpt", chosen)
    export_to(tiny.root, tiny.root / "tokens", "tokens", chosen)

    def refuse(choice: TokenizerChoice) -> None:
        raise AssertionError("weights are loaded although all codes lie there")

    monkeypatch.setattr(TokenizerChoice, "open", refuse)
    export_to(tiny.root, tmp_path / "taken", "anygpt")
    assert read_bytes(tmp_path / "taken") == read_bytes(tmp_path / "made")
    index = (tmp_path / "taken" / "tokens.json").read_text()
    assert index == (tmp_path / "made" / "tokens.json").read_text()
    matching = {**chosen, "speech": {**chosen["speech"], "device": "cpu"}}
    export_to(tiny.root, tmp_path / "stated", "anygpt", matching)
    assert read_bytes(tmp_path / "stated") == read_bytes(tmp_path / "made")
    other = {**chosen, "speech": {**chosen["speech"], "codebooks": 2}}
    with pytest.raises(AssertionError, match="weights are loaded"):
        export_to(tiny.root, tmp_path / "other", "anygpt", other)


def test_a_kind_without_codes_is_asked_about(tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any]) -> None:
    export_to(tiny.root, tiny.root / "tokens", "tokens", {"image": chosen["image"]})
    with pytest.raises(CorpusError, match="no tokenizer is chosen for it"):
        export_to(tiny.root, tmp_path / "out", "anygpt", {"music": "words"})
    taken = export_to(tiny.root, tmp_path / "words", "anygpt", {"music": "words", "speech": "words"})
    assert sum(part.num_dialogues for part in taken.parts) > 0


def test_codes_of_other_bytes_are_not_taken(tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any]) -> None:
    out = tiny.root / "tokens"
    export_to(tiny.root, out, "tokens", {"speech": chosen["speech"]})
    row = pq.read_table(out / "codes").to_pylist()[0]
    data = media_of(tiny.root)[row["asset"]]
    kept = [KeptCodes(out, shard.number) for shard in PublishedCorpus(tiny.root).shards]
    medium = Medium("speech", {"id": row["asset"]}, data, "flac")
    same = [codes for some in kept if (codes := some.find(medium)) is not None]
    np.testing.assert_array_equal(same[0], row["codes"])
    other = Medium("speech", {"id": row["asset"]}, data + b" ", "flac")
    assert all(some.find(other) is None for some in kept)
    for path in (out / "codes").glob("*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table.slice(0, 0), path)
    with pytest.raises(CorpusError, match="its codes do not lie beside the corpus; run `anyinstruct run` again"):
        export_to(tiny.root, tmp_path / "out", "anygpt", {"image": "words", "music": "words"})


def test_new_weights_in_the_same_folder_are_noticed(tiny: TinyCorpus, tmp_path: Path) -> None:
    folder = save_tiny_tokenizer(tmp_path / "model", "mimi")
    choice = {"speech": options_for(folder, "mimi")}
    setting = ExportSetting(tiny.root, tmp_path / "out", "tokens", choice)
    assert export_here(setting)[1] == [0, 1]
    assert export_here(setting)[1] == []
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    before = TokenizerChoice.model_validate(choice["speech"]).identity
    assert TokenizerChoice.model_validate(options_for(moved, "mimi")).identity == before
    save_tiny_tokenizer(folder, "mimi", seed=1)
    assert TokenizerChoice.model_validate(choice["speech"]).identity != before
    assert export_here(setting)[1] == [0, 1]


def test_nothing_to_tokenize_with_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no tokenizer is chosen; say which"):
        ExportSetting(tmp_path, tmp_path, "tokens").choose()
    with pytest.raises(ManifestError, match="tokenizer mimi: does not take image"):
        ExportSetting(tmp_path, tmp_path, "tokens", {"image": "mimi:kyutai/mimi"}).choose()


def test_mimi_spells_its_semantic_codebook_and_keeps_the_others(
    tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    """What a tokenizer of meaning and sound does: the language model sees the first layer, the array has all."""
    options = {"speech": chosen["speech"], "image": "words", "music": "words", "strings": {"speech": {"layers": 1}}}
    export_to(tiny.root, tmp_path / "out", "anygpt", options)
    index = json.loads((tmp_path / "out" / "tokens.json").read_text())
    assert index["alphabets"]["speech"]["num_layers"] == 1
    assert index["tokenizers"]["speech"]["num_codebooks"] == 4
    lines = [line for file in read_bytes(tmp_path / "out").values() for line in file.splitlines()]
    rows = {row["id"]: row for row in map(json.loads, lines)}
    arrays = pq.read_table(tmp_path / "out" / "tokens").to_pylist()
    assert arrays
    for array in arrays:
        assert len(array["codes"]) == 4
        spelled = "".join(index["alphabets"]["speech"]["unit"].format(code) for code in array["codes"][0])
        assert spelled in rows[array["dialogue_id"]]["text"]
