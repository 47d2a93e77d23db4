"""What people see of an import and of a merge, and that other commands take what comes out."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.adapters.corpus import CorpusFolder
from pipeline.cli.app import app
from pipeline.values.errors import CorpusError, ManifestError
from tests.support.corpora import TinyCorpus, copy_corpus, restate_table
from tests.support.exporting import export_to


def call(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_an_imported_corpus_is_one_to_all_commands(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf")
    back = tmp_path / "back"
    said = call("import", tmp_path / "out", back)
    assert "6 dialogues imported, 0 rows left out" in said and f"verify {back}" in said
    assert "sound" in call("verify", back)
    assert "6 planned = 6 kept" in call("status", back)
    clip = tiny.rows("speech")[0]
    shown = call("show", back, clip["dialogue_id"])
    assert f"voice {clip['voice']}]" in shown and clip["transcript"] in shown
    assert "nobody knows what" in call("show", back, clip["dialogue_id"], "--trace")
    compared = call("diff", tiny.root, back)
    assert "kept" in compared
    call("report", back)
    assert clip["dialogue_id"] in (back / "report.html").read_text()


def test_rows_that_were_left_out_are_told_everywhere(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "messages")
    lines = next((tmp_path / "out").glob("*.jsonl"))
    lines.write_text('{"id": "\\u001b[31m", "messages": 5}\nno json\n' + lines.read_text())
    back = tmp_path / "back"
    said = call("import", tmp_path / "out", back)
    assert "left out: 1 row, row_unreadable" in said and "left out: 1 row, unknown_shape" in said
    told = call("failures", back)
    assert "failed import/unknown_shape: 1" in told and "mend it there" in told and lines.name in told
    assert "8 planned = 6 kept + 0 rejected + 2 failed" in call("status", back)
    call("report", back)
    assert "sound" in call("verify", back)


def test_what_is_meant_by_a_folder(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "anyinstruct")
    assert "written to" in call("import", tmp_path / "out" / "train", tmp_path / "topics")
    assert (tmp_path / "topics" / "manifest.yaml").is_file()
    call("import", tmp_path / "out", tmp_path / "corpus")
    call("import", tmp_path / "out" / "train", tmp_path / "part", "--from", "anyinstruct", "--language", "en")
    ledgers = [CorpusFolder(tmp_path / name).read_ledger() for name in ("corpus", "part")]
    assert [ledger.counts["kept"] for ledger in ledgers if ledger] == [6, 6]
    assert [ledger.manifest["language"] for ledger in ledgers if ledger] == ["und", "en"]
    with pytest.raises(ManifestError, match="--language: is for making a corpus"):
        call("import", tmp_path / "out" / "train", tmp_path / "other", "--language", "en")
    with pytest.raises(ManifestError, match="no layout 'anygpt' can be imported"):
        call("import", tmp_path / "out", tmp_path / "other", "--from", "anygpt")


def test_a_merge_says_what_it_took(tiny: TinyCorpus, tmp_path: Path) -> None:
    second = copy_corpus(tiny, tmp_path / "second")
    restate_table(
        second, "dialogues", 0, lambda rows: [{**row, "scenario": f"{row['scenario']}!"} for row in rows[:1]] + rows[1:]
    )
    with pytest.raises(CorpusError, match="--on-conflict keep-first, or --on-conflict rename"):
        call("merge", tiny.root, second.root, tmp_path / "merged")
    said = call("merge", tiny.root, second.root, tmp_path / "merged", "--on-conflict", "keep-first")
    assert "conflicts" in said and "6 dialogues" in said
    assert "sound" in call("verify", tmp_path / "merged")
    assert "merged" in call("status", tmp_path / "merged")
    with pytest.raises(CorpusError, match="there is no manifest to run"):
        call("run", tiny.project.path, "--corpus", tmp_path / "merged")
    with pytest.raises(CorpusError, match="begun from other files or with other options"):
        call("merge", tiny.root, second.root, tmp_path / "merged", "--on-conflict", "rename")
