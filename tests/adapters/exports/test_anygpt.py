from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.adapters.exports.anygpt import read_speller
from pipeline.adapters.published import PublishedCorpus
from pipeline.contracts.export import ExportSummary
from pipeline.contracts.plugins import read_options
from pipeline.execution.exports import ExportSetting
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.work.markdown import escape_markdown
from tests.support.corpora import TinyCorpus
from tests.support.exporting import export_here, export_to
from tests.support.tiny_tokenizers import options_for, save_tiny_tokenizer

USED = {"image": "vq-image", "music": "encodec", "speech": "dac"}


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Options that name a tokenizer for each kind."""
    root = tmp_path_factory.mktemp("tokenizers")
    return {kind: options_for(save_tiny_tokenizer(root / name, name), name) for kind, name in USED.items()}


@pytest.fixture(scope="module")
def written(
    tiny_original: TinyCorpus, tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, Any]
) -> tuple[Path, ExportSummary]:
    """The whole corpus with AnyGPT's wording; not to be changed."""
    out = tmp_path_factory.mktemp("anygpt") / "out"
    return out, export_to(tiny_original.root, out, "anygpt", chosen)


def read_rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(out.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def test_rows_parse_back_to_the_arrays_beside_them(
    tiny_original: TinyCorpus, written: tuple[Path, ExportSummary]
) -> None:
    out, summary = written
    speller = read_speller(out)
    rows = read_rows(out)
    assert {row["id"] for row in rows} == {
        row["id"] for shard in PublishedCorpus(tiny_original.root).shards for row in shard.rows("dialogue")
    }
    arrays = pq.read_table(out / "tokens").to_pylist()
    index = json.loads((out / "tokens.json").read_text())
    layers = {kind: alphabet["num_layers"] for kind, alphabet in index["alphabets"].items()}
    assert layers == {"image": 1, "music": 4, "speech": 1}
    for row in rows:
        (messages,) = row["conversation"]
        assert [m["role"] for m in messages] == ["user", "assistant"] * (len(messages) // 2)
        assert row["text"] == speller.chat(messages)
        found = [pair for message in messages for pair in speller.find_media(message["message"])]
        wanted = [array for array in arrays if array["dialogue_id"] == row["id"]]
        assert [kind for kind, _ in found] == [array["kind"] for array in wanted]
        for (kind, codes), array in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(codes, array["codes"][: layers[kind]])
            assert array["num_frames"] == codes.shape[1]
    media = {kind: sum(part.num_media.get(kind, 0) for part in summary.parts) for kind in USED}
    assert {kind: sum(array["kind"] == kind for array in arrays) for kind in USED} == media
    assert min(media.values()) > 0


def test_trainers_load_the_rows_and_the_vocabulary_has_every_token(
    tmp_path: Path, written: tuple[Path, ExportSummary]
) -> None:
    out, _ = written
    files = [str(path) for path in out.glob("train-*.jsonl")]
    loaded = datasets.load_dataset("json", data_files=files, split="train", cache_dir=str(tmp_path / "cache"))
    assert sorted(loaded["id"]) == sorted(row["id"] for row in read_rows(out))
    vocabulary = (out / "vocabulary.txt").read_text(encoding="utf-8").splitlines()
    assert len(vocabulary) == len(set(vocabulary)) == 4 + 6 + 32 * (1 + 4 + 1)
    speller = read_speller(out)
    used = {piece for row in read_rows(out) for piece, is_token in speller.split(row["text"]) if is_token}
    assert len(used) > 40 and used <= set(vocabulary)
    index = json.loads((out / "tokens.json").read_text())
    train = index["splits"]["train"]
    assert train["dialogues"] == len(loaded) and train["cut"] == train["too_long"] == 0
    assert index["tokenizers"]["music"]["model"] == "encodec"
    assert str(out.parent.parent) not in (out / "export.json").read_text() + (out / "tokens.json").read_text()


def test_long_dialogues_keep_their_first_whole_rounds(
    tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any], written: tuple[Path, ExportSummary]
) -> None:
    whole, cut = written[0], tmp_path / "cut"
    lengths = json.loads((whole / "tokens.json").read_text())["splits"]["train"]["length_quantiles"]
    most = lengths["0.5"]
    summary = export_to(tiny.root, cut, "anygpt", {**chosen, "max_tokens": most})
    before = {row["id"]: row["conversation"][0] for row in read_rows(whole)}
    after = {row["id"]: row["conversation"][0] for row in read_rows(cut)}
    counts = json.loads((cut / "tokens.json").read_text())["splits"]["train"]
    assert all(messages == before[name][: len(messages)] for name, messages in after.items())
    assert all(len(messages) % 2 == 0 for messages in after.values())
    assert counts["length_quantiles"]["1"] <= most < lengths["1"]
    assert len(before) - len(after) == counts["too_long"]
    assert counts["turns_cut"] == sum(map(len, before.values())) - sum(map(len, after.values())) > 0
    said = "\n".join(summary.remarks)
    assert f"train: rows of {counts['length_quantiles']['0.5']:,} tokens at the median" in said
    assert (f"cut to the first whole rounds that fit {most:,} tokens." in said) == bool(counts["cut"])
    assert (f"without a row: the first round alone is over {most:,} tokens." in said) == bool(counts["too_long"])
    assert f"train: {counts['turns_cut']} turns in no row" in said
    card = (cut / "README.md").read_text(encoding="utf-8")
    assert all(f"\n- {escape_markdown(remark)}\n" in card for remark in summary.remarks)
    arrays = pq.read_table(cut / "tokens", columns=["dialogue_id", "turn", "in_row"]).to_pylist()
    assert all(a["in_row"] == (a["turn"] < len(after.get(a["dialogue_id"], []))) for a in arrays)
    assert len(arrays) == pq.read_table(whole / "tokens").num_rows


def test_names_delimiters_and_layers_can_be_chosen(tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any]) -> None:
    options = {
        "speech": chosen["speech"],
        **read_options(
            [
                "image=words",
                "music=words",
                'strings={"speech": {"opening": "[[say", "closing": "say]]", "unit": "<v{}>", "layers": 2}}',
                'wording={"user": "<|user|>", "end_user": "<|end|>"}',
            ]
        ),
    }
    export_to(tiny.root, tmp_path / "out", "anygpt", options)
    texts = [row["text"] for row in read_rows(tmp_path / "out")]
    assert all(text.startswith("<|user|>") and "<|end|>\n[AnyGPT]: " in text for text in texts)
    assert any("[[say<v" in text for text in texts)
    assert not any("<soim>" in text or "<somu>" in text for text in texts)


def test_an_export_is_resumed_and_other_tokenizers_write_anew(
    tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any]
) -> None:
    setting = ExportSetting(tiny.root, tmp_path / "out", "anygpt", chosen)
    _, shards = export_here(setting)
    assert shards == [0, 1]
    before = {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.jsonl")}
    (tmp_path / "out" / "train-00001.jsonl").write_bytes(b"{}\n")
    _, shards = export_here(setting)
    assert shards == [1]
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").rglob("*.jsonl")} == before
    other = {**chosen, "speech": {**chosen["speech"], "codebooks": 2}}
    _, shards = export_here(ExportSetting(tiny.root, tmp_path / "out", "anygpt", other))
    assert shards == [0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "no tokenizer is chosen for any of image, music, speech; say which, e.g. --option music=encodec:"),
        ({"music": "encodec"}, "write TOKENIZER:MODEL"),
        ({"music": "encoder:a/b"}, "tokenizer 'encoder' is not installed; did you mean encodec"),
        ({"music": "vq-image:a/b"}, "licence of a/b is not known here"),
        ({"image": "mimi:kyutai/mimi"}, "tokenizer mimi: does not take image; there are vq-image"),
        ({"music": "encodec:facebook/encodec_32khz", "wording": {"end_user": "x"}}, "wording.end_user"),
    ],
)
def test_a_choice_that_cannot_be_is_told(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        ExportSetting(tmp_path, tmp_path, "anygpt", options).choose()


def test_media_that_nobody_spoke_of_are_asked_about(tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any]) -> None:
    with pytest.raises(CorpusError, match="and no tokenizer is chosen for it; say which"):
        export_to(tiny.root, tmp_path / "out", "anygpt", {"music": chosen["music"]})
