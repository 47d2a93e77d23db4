"""Exports read back into corpora: what an export tells comes back, and what cannot be read is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.measuring import measure_medium
from pipeline.adapters.published import MEDIUM_OF, PublishedCorpus
from pipeline.execution import imports
from pipeline.execution.audits import AuditSetting
from pipeline.execution.imports import ImportSetting
from pipeline.execution.project import load_project
from pipeline.execution.verification import Verification, set_aside
from pipeline.values.errors import AnyInstructError, CorpusError
from tests.support.auditing import run_here
from tests.support.corpora import TinyCorpus, flip_byte
from tests.support.exporting import export_to
from tests.support.gathering import bring


def read_all(root: Path) -> dict[str, dict[str, Any]]:
    """Dialogues by id, each with its parts and their media in order."""
    found: dict[str, dict[str, Any]] = {}
    for shard in PublishedCorpus(root).shards:
        assets = {row["id"]: row for kind in MEDIUM_OF for row in shard.rows(kind)}
        for row in shard.rows("dialogue"):
            parts = [
                {**part, "role": turn["role"], "bytes": _bytes_of(assets, part)}
                for turn in row["turns"]
                for part in turn["parts"]
            ]
            found[row["id"]] = {"row": row, "parts": parts, "assets": assets}
    return found


def _bytes_of(assets: Mapping[str, Any], part: Mapping[str, Any]) -> bytes | None:
    row = assets.get(part["asset"])
    return None if row is None else row[MEDIUM_OF[part["kind"]]]["bytes"]


def check_sound(root: Path) -> None:
    result = Verification(CorpusFolder(root))
    result.run()
    assert [finding for finding in result.findings if finding.severity == "error"] == []
    assert result.num_dialogues


_FOLLOWING = ("gives", "answers", "num_rounds")
KEPT: Mapping[str, tuple[str, ...]] = {
    "hf": ("topic", "topic_id", "meta_topic", "language", "cell", "scenario", *_FOLLOWING),
    "parquet": ("topic", "topic_id", "meta_topic", "language", "cell", *_FOLLOWING),
    "webdataset": ("topic", "topic_id", "meta_topic", "language", "cell", "scenario", "provenance", *_FOLLOWING),
    "anyinstruct": ("topic", "topic_id", "scenario", *_FOLLOWING),
    "messages": _FOLLOWING,
}
"""Columns of a dialogue that an export carries, or that follow from what it carries."""


@pytest.mark.parametrize("kind", list(KEPT))
def test_an_export_comes_back_as_it_was(tiny: TinyCorpus, tmp_path: Path, kind: str) -> None:
    said = {"transcripts": "everybody", "descriptions": True} if kind == "messages" else {}
    export_to(tiny.root, tmp_path / "out", kind, said, splits={"train": 0.5, "test": 0.5})
    ledger = bring(ImportSetting(tmp_path / "out", tmp_path / "back"))
    before, after = read_all(tiny.root), read_all(tmp_path / "back")
    assert before.keys() == after.keys() and len(after) == 6
    for name, known in before.items():
        found = after[name]
        assert [found["row"][column] for column in KEPT[kind]] == [known["row"][column] for column in KEPT[kind]]
        for part, wanted in zip(found["parts"], known["parts"], strict=True):
            stated: tuple[str, ...] = ("role", "kind", "text", "bytes", "asset")
            stated += ("spoken", "edits") if kind in ("hf", "webdataset") else ()
            assert {key: part[key] for key in stated} == {key: wanted[key] for key in stated}
            if kind == "webdataset" and part["asset"]:
                # Loudness is measured anew, on what was encoded.
                rows = [{**side["assets"][part["asset"]], "peak": 0, "rms": 0} for side in (found, known)]
                assert rows[0] == rows[1]
            elif part["kind"] == "speech" and kind in ("hf", "parquet"):
                assert found["assets"][part["asset"]]["voice"] == known["assets"][wanted["asset"]]["voice"]
    assert ledger.counts == {"planned": 6, "kept": 6, "rejected": 0, "failed": 0}
    assert {name: count for name, count in ledger.tables.items()} == {
        name: count for name, count in tiny.ledger.tables.items() if name not in ("rejected", "failed")
    }
    check_sound(tmp_path / "back")


@pytest.mark.parametrize(
    "options",
    [
        {"style": "openai"},
        {"style": "qwen"},
        {"style": "llamafactory", "transcripts": "everybody"},
        {"style": "qwen", "media": "data"},
        {"style": "openai", "transcripts": "nobody"},
    ],
)
def test_chat_lines_come_back_as_far_as_they_tell(tiny: TinyCorpus, tmp_path: Path, options: dict[str, Any]) -> None:
    export_to(tiny.root, tmp_path / "out", "messages", options)
    bring(ImportSetting(tmp_path / "out", tmp_path / "back", language="en"))
    before, after = read_all(tiny.root), read_all(tmp_path / "back")
    told = {"nobody": (), "assistant": ("assistant",), "everybody": ("user", "assistant")}
    roles = told[options.get("transcripts", "assistant")]
    assert before.keys() == after.keys()
    for name, known in before.items():
        for part, wanted in zip(after[name]["parts"], known["parts"], strict=True):
            assert (part["kind"], part["bytes"]) == (wanted["kind"], wanted["bytes"])
            is_told = part["kind"] == "text" or (part["kind"] == "speech" and part["role"] in roles)
            assert part["text"] == (wanted["text"] if is_told else "")
        assert after[name]["row"]["language"] == "en"
    check_sound(tmp_path / "back")


def test_media_inside_chat_lines_come_back(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "messages", {"media": "data"})
    ledger = bring(ImportSetting(tmp_path / "out", tmp_path / "back"))
    assert ledger.tables == {k: v for k, v in tiny.ledger.tables.items() if k not in ("rejected", "failed")}
    for name, found in read_all(tmp_path / "back").items():
        pictures = [part["bytes"] for part in found["parts"] if part["kind"] == "image"]
        known = read_all(tiny.root)[name]["parts"]
        assert pictures == [part["bytes"] for part in known if part["kind"] == "image"]


def test_an_imported_corpus_says_what_it_is(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf")
    root = tmp_path / "back"
    ledger = bring(ImportSetting(tmp_path / "out", root))
    (origin,) = ledger.origins
    assert (origin["imported"], origin["layout"], origin["num_files"]) == ("tiny", "hf", 2)
    shards = [CorpusFolder(root).read_shard_ledger(entry) for entry in ledger.shards]
    files = sorted((tmp_path / "out").glob("data/*.parquet"))
    assert [shard.origin["file"] for shard in shards] == [f"data/{path.name}" for path in files]
    card = (root / "README.md").read_text()
    assert "imported from the layout hf" in card and origin["sha256"] in card and str(tmp_path) not in card
    licences = json.loads((tmp_path / "out" / "export.json").read_text())["licences"]
    assert all(licence in card for licence in licences.values() or ["not stated"])
    with pytest.raises(CorpusError, match="no manifest to run"):
        load_project(root)
    with pytest.raises(CorpusError, match="no manifest to run"):
        load_project(tiny.project.path, root)


def test_a_stopped_import_goes_on(tiny: TinyCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "DIALOGUES_A_SHARD", 2)
    export_to(tiny.root, tmp_path / "out", "hf")
    setting = ImportSetting(tmp_path / "out", tmp_path / "back")
    whole = bring(ImportSetting(tmp_path / "out", tmp_path / "whole"))
    calls = 0

    def break_off(kind: str, data: bytes) -> Any:
        nonlocal calls
        calls += 1
        if calls > 12:
            raise KeyboardInterrupt
        return measure_medium(kind, data)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(imports, "measure_medium", break_off)
        bring(setting)
    assert not (setting.out / "ledger.json").exists()
    with pytest.raises(CorpusError, match="no manifest to run"):
        load_project(tiny.project.path, setting.out)
    before = {path.name for path in (setting.out / "work" / "import").glob("0*.json")}
    assert before
    ledger = bring(setting)
    assert ledger.model_copy(update={"name": "", "card_sha256": ""}) == whole.model_copy(
        update={"name": "", "card_sha256": ""}
    )
    check_sound(setting.out)


def test_a_source_that_has_changed_is_refused(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "parquet")
    setting = ImportSetting(tmp_path / "out", tmp_path / "back")
    bring(setting)
    assert bring(setting).counts["kept"] == 6
    path = next((tmp_path / "out").glob("train/*.parquet"))
    pq.write_table(pq.read_table(path).slice(0, 3), path)
    with pytest.raises(CorpusError, match="have changed since"):
        bring(setting)


def test_rows_that_cannot_be_read_are_counted_and_listed(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf")
    path = min((tmp_path / "out").glob("data/*.parquet"))
    table = pq.read_table(path)
    rows = table.to_pylist()
    drawn = next(row for row in rows if row["images"])
    drawn["images"][0]["bytes"] = b"no picture"
    sung = next(row for row in rows if row["music"])
    sung["turns"] = sung["turns"][:3]
    other = next(row for row in rows if row is not drawn and row is not sung)
    rows.append(dict(other))
    rows.append({**other, "id": "../../etc/passwd", "images": [], "speech": [], "music": []})
    pq.write_table(table.from_pylist(rows, table.schema), path)
    ledger = bring(ImportSetting(tmp_path / "out", tmp_path / "back"))
    assert ledger.reasons == {
        "import/id_twice": 1,
        "import/medium_missing": 1,
        "import/medium_undecodable": 1,
        "import/roles_do_not_alternate": 1,
    }
    assert ledger.counts == {"planned": 8, "kept": 4, "rejected": 0, "failed": 4}
    failed = [row for path in (tmp_path / "back" / "failed").iterdir() for row in pq.read_table(path).to_pylist()]
    assert all(row["message"].startswith(f"data/{path.name} row ") for row in failed)
    check_sound(tmp_path / "back")


def test_folders_that_hold_nothing_are_refused(tiny: TinyCorpus, tmp_path: Path) -> None:
    for setting, message in (
        (ImportSetting(tmp_path / "none", tmp_path / "back", "hf"), "is no folder"),
        (ImportSetting(tiny.root, tmp_path / "back", "hfs"), "no layout 'hfs' can be imported"),
        (ImportSetting(tiny.root, tmp_path / "back", "parquet"), "has no column dialogue_id"),
        (ImportSetting(tiny.root, tiny.root / "back", "hf"), "stands outside of what it is imported from"),
    ):
        with pytest.raises(AnyInstructError, match=message):
            bring(setting)
    assert not (tmp_path / "back").exists()


def test_audits_take_what_says_little(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "messages", {"transcripts": "nobody"})
    bring(ImportSetting(tmp_path / "out", tmp_path / "back"))
    names = ("structure", "wording", "language", "speakable", "copies", "speech-basics", "music-basics")
    found, _ = run_here(AuditSetting(tmp_path / "back", names))
    clips = [summary for name, summary in found.items() if name.startswith("speech.")]
    assert clips and all(summary.num_records == tiny.ledger.tables["speech"] for summary in clips)


def test_what_is_damaged_is_imported_anew(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf")
    setting = ImportSetting(tmp_path / "out", tmp_path / "back")
    before = bring(setting)
    flip_byte(min(setting.out.glob("speech/*")), 100)
    result = Verification(CorpusFolder(setting.out))
    result.run()
    assert not result.is_sound
    renamed, left = set_aside(CorpusFolder(setting.out), list(result.damaged))
    assert len(renamed) == 1 and not left
    assert bring(setting) == before
    check_sound(setting.out)
