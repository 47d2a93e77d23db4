from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.verdicts import VerdictBook
from pipeline.cli.export import choose_ids, export_corpus, parse_splits
from pipeline.contracts.plugins import read_options
from pipeline.contracts.review import Verdict
from pipeline.execution.audits import AuditSetting
from pipeline.execution.cluster import PoolShape
from pipeline.execution.driver import Silence
from pipeline.execution.exports import STATE, ExportSetting, ExportWork
from pipeline.execution.querying import find_ids
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.work.exporting import Selection, Splits
from tests.support.auditing import run_here
from tests.support.corpora import TOPICS, TinyCorpus
from tests.support.exporting import export_here, export_to


def ids_in(out: Path) -> list[str]:
    return [json.loads(line)["id"] for path in sorted(out.glob("*.jsonl")) for line in path.read_bytes().splitlines()]


def test_an_export_is_written_once_and_then_only_where_the_corpus_has_changed(tiny: TinyCorpus, tmp_path: Path) -> None:
    setting = ExportSetting(tiny.root, tmp_path / "out", "messages")
    summary, shards = export_here(setting)
    assert shards == [0, 1]
    again, shards = export_here(setting)
    assert (again, shards) == (summary, [])
    tiny.update([*TOPICS, "glass bells"])
    grown, shards = export_here(setting)
    assert 2 in shards
    assert sum(part.num_dialogues for part in grown.parts) == tiny.ledger.counts["kept"]
    assert len(ids_in(tmp_path / "out")) == len(set(ids_in(tmp_path / "out"))) == tiny.ledger.counts["kept"]


def test_other_options_write_anew_and_leave_no_file_behind(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "messages", read_options(["media=files", "descriptions=true"]))
    assert (tmp_path / "out" / "media").exists()
    summary = export_to(tiny.root, tmp_path / "out", "messages", {"media": "data"})
    there = {p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*") if p.is_file()}
    named = {file.path for part in summary.parts for file in part.files}
    assert {name for name in there if not name.startswith(STATE)} == named | {"README.md", "export.json"}


def test_a_damaged_part_is_written_again(tiny: TinyCorpus, tmp_path: Path) -> None:
    setting = ExportSetting(tiny.root, tmp_path / "out", "webdataset")
    summary, _ = export_here(setting)
    path = tmp_path / "out" / summary.parts[0].files[0].path
    whole = path.read_bytes()
    path.write_bytes(whole[:-512])
    _, shards = export_here(setting)
    assert (shards, path.read_bytes()) == ([summary.parts[0].shard], whole)


def test_what_a_killed_worker_left_is_thrown_away(tiny: TinyCorpus, tmp_path: Path) -> None:
    setting = ExportSetting(tiny.root, tmp_path / "out", "parquet")
    lock = CorpusLock.acquire(setting.out / STATE)
    leftover = setting.out / STATE / "staging-00000" / "train" / "train" / "zzz.parquet"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half a fi")
    work = ExportWork(setting, lock.epoch, Silence())
    work.export(0)
    lock.release()
    assert not leftover.exists()
    assert not list(setting.out.rglob("zzz.parquet"))
    parts = work.parts(work.corpus.shards[0])
    assert parts is not None
    assert len(parts) == 1


def test_no_topic_is_in_two_splits_and_growth_moves_none() -> None:
    rows = [{"id": f"d{n}", "topic": f"Topic {n % 700}"} for n in range(2100)]
    splits = Splits(shares={"train": 0.8, "valid": 0.1, "test": 0.1})
    of = {row["topic"]: splits.of(row) for row in rows}
    assert all(splits.of(row) == of[row["topic"]] for row in rows)
    shares = {name: sum(split == name for split in of.values()) / len(of) for name in splits.shares}
    # Three standard deviations of a binomial share over 700 topics.
    assert shares == pytest.approx(splits.shares, abs=0.05)
    assert splits.of({"id": "x", "topic": "  tOPIC   7 "}) == of["Topic 7"]
    assert {splits.of({"id": f"d{n}"}) for n in range(100)} == set(splits.shares)


def test_a_selection_takes_cells_and_queries(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "sing", "messages", cells=("sing",))
    wanted = find_ids(tiny.root, "cell = 'sing'")
    assert set(ids_in(tmp_path / "sing")) == wanted
    assert 0 < len(wanted) < tiny.ledger.counts["kept"]
    export_here(ExportSetting(tiny.root, tmp_path / "few", "messages", chosen_ids=wanted, selection=Selection()))
    assert set(ids_in(tmp_path / "few")) == wanted
    with pytest.raises(ManifestError, match="there are the columns id, topic"):
        find_ids(tiny.root, "colour = 3")
    with pytest.raises(ManifestError, match="was never audited"):
        choose_ids(tiny.root, None, is_passing=True)


def test_a_selection_takes_what_most_reviewers_say(tiny: TinyCorpus) -> None:
    first, second, third, *_ = sorted(find_ids(tiny.root, "cell = 'sing'") | find_ids(tiny.root, "true"))
    with pytest.raises(ManifestError, match=r"nobody has judged .*; run `anyinstruct review` on it first"):
        choose_ids(tiny.root, None, is_passing=False, verdict="accept")
    book = VerdictBook(tiny.root)
    for reviewer, dialogue, decision in (
        ("anna", first, "accept"),
        ("anna", second, "reject"),
        ("anna", third, "accept"),
        ("ben", third, "reject"),
    ):
        verdict = Verdict.model_validate({"dialogue_id": dialogue, "decision": decision})
        book.file(reviewer).append(verdict)
    assert choose_ids(tiny.root, None, is_passing=False, verdict="accept") == frozenset({first}), (
        "a tie is no acceptance"
    )
    assert choose_ids(tiny.root, None, is_passing=False, verdict="reject") == frozenset({second})
    assert choose_ids(tiny.root, f"id = '{second}'", is_passing=False, verdict="accept") == frozenset()
    with pytest.raises(ManifestError, match="--verdict 'good': is none of accept, reject"):
        choose_ids(tiny.root, None, is_passing=False, verdict="good")


def test_what_passes_for_want_of_an_audit_is_told(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    total = tiny.ledger.counts["kept"]
    run_here(AuditSetting(tiny.root, ("structure",), sample=2))
    choose_ids(tiny.root, None, is_passing=True)
    assert f"no audit has looked at {total - 2} dialogues of {total}, and" in capsys.readouterr().err
    run_here(AuditSetting(tiny.root, ("structure",)))
    choose_ids(tiny.root, None, is_passing=True)
    assert capsys.readouterr().err == ""


def test_a_name_that_no_dialogue_has_is_refused_and_an_export_that_stands_is_kept(
    tiny: TinyCorpus, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    export_to(tiny.root, out, "messages")
    before = ids_in(out)
    for selection, message in (
        (Selection(cells=("sings",)), r"--cell 'sings': no dialogue of .* has it; there are .*\bsing\b"),
        (Selection(meta_topics=("nowhere",)), "--meta-topic 'nowhere': no dialogue"),
    ):
        setting = ExportSetting(tiny.root, out, "messages", selection=selection)
        with pytest.raises(ManifestError, match=message):
            export_corpus(setting, PoolShape(), as_json=False)
    assert ids_in(out) == before


def test_a_corpus_that_is_none_leaves_nothing_where_the_export_would_stand(tmp_path: Path) -> None:
    with pytest.raises(CorpusError):
        export_corpus(ExportSetting(tmp_path / "nowhere", tmp_path / "out", "hf"), PoolShape(), as_json=False)
    assert not (tmp_path / "out").exists()


def test_a_query_over_damaged_dialogues_names_the_corpus(tiny: TinyCorpus) -> None:
    for path in (tiny.root / "dialogues").glob("*.parquet"):
        path.write_bytes(b"no parquet")
    with pytest.raises(CorpusError, match="its dialogues cannot be read"):
        find_ids(tiny.root, "true")


def test_the_card_says_how_to_read_it_and_names_no_file_twice(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf", splits={"train": 0.5, "test": 0.5})
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\n")
    assert "load_dataset" in card
    index = json.loads((tmp_path / "out" / "export.json").read_text())
    paths = [file["path"] for part in index["parts"] for file in part["files"]]
    assert len(paths) == len(set(paths))
    assert index["splits"]["shares"] == {"train": 0.5, "test": 0.5}


def test_words_of_the_command_line_are_read_or_refused() -> None:
    assert parse_splits(["train=0.9", "test=0.1"], "topic").shares == {"train": 0.9, "test": 0.1}
    for words, message in (
        (["train=0.9"], "add up to 0.9"),
        (["Train=1"], "a name is small letters"),
        (["x"], "write"),
        (["train=0.5", "train=0.5"], "named twice"),
    ):
        with pytest.raises(ManifestError, match=message):
            parse_splits(words, "topic")


def test_splits_keep_only_columns_of_topics_together() -> None:
    assert parse_splits([], "meta_topic").by == "meta_topic"
    with pytest.raises(ManifestError, match="--split-by: 'metatopic' is none of topic, meta_topic"):
        parse_splits([], "metatopic")


def test_an_export_never_overwrites_what_it_did_not_write(tiny: TinyCorpus, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for out, message in (
        (tmp_path / "mine", "holds files that are no export"),
        (tiny.root / "export", "outside of its corpus"),
        (tiny.root.parent, "outside of its corpus"),
    ):
        with pytest.raises(CorpusError, match=message):
            export_corpus(ExportSetting(tiny.root, out, "hf"), PoolShape(), as_json=False)
    export_to(tiny.root, tmp_path / "out", "hf")
    with pytest.raises(CorpusError, match="holds an export to 'hf'"):
        export_corpus(ExportSetting(tiny.root, tmp_path / "out", "parquet"), PoolShape(), as_json=False)
    with pytest.raises(ManifestError, match="export 'tfrecord' is not installed; there are anygpt, anyinstruct, hf"):
        ExportSetting(tiny.root, tmp_path / "x", "tfrecord").choose()


def test_a_stranger_s_corpus_is_exported_too(tiny: TinyCorpus, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger"
    for table in ("dialogues", "images", "music", "speech"):
        shutil.copytree(tiny.root / table, stranger / table)
    export_to(stranger, tmp_path / "theirs", "messages", {"media": "data"})
    export_to(tiny.root, tmp_path / "ours", "messages", {"media": "data"})
    assert sorted(ids_in(tmp_path / "theirs")) == sorted(ids_in(tmp_path / "ours"))
