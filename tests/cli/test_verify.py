from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.readings import FOLDER
from pipeline.adapters.store import ShardFolder
from pipeline.cli.verify import verify_corpus
from pipeline.contracts.storage import Row
from pipeline.execution.verification import MAX_EXAMPLES, Verification
from pipeline.values.errors import CorpusError
from pipeline.work.auditing import SCHEMA
from tests.support.corpora import (
    MadeUpChat,
    TinyCorpus,
    flip_byte,
    make_corpus,
    restate_root,
    restate_shard,
    restate_table,
)


def look(corpus: TinyCorpus) -> dict[str, list[str]]:
    """Findings by code: where each is."""
    result = Verification(CorpusFolder(corpus.root))
    result.run()
    found: dict[str, list[str]] = {}
    for finding in result.findings:
        found.setdefault(finding.code, []).append(finding.where)
    return found


def contents(root: Path) -> dict[str, bytes]:
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def change_first(rows: list[Row], **columns: object) -> list[Row]:
    return [{**rows[0], **columns}, *rows[1:]]


def test_a_fresh_corpus_is_sound_and_left_untouched(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(tiny.root)
    assert verify_corpus(tiny.root, fix=False) == 0
    out = capsys.readouterr().out
    assert out.startswith("sound: ")
    assert "6 dialogues" in out
    assert "0 errors, 0 notes" in out
    assert contents(tiny.root) == before


def test_a_corpus_whose_mix_moved_dialogues_to_another_cell_is_sound(tiny: TinyCorpus) -> None:
    """Stage files then carry renders of parts that no dialogue has any more."""
    former = tiny.ledger.matrix
    tiny.update(draw_weight=3)
    assert tiny.ledger.matrix != former
    assert look(tiny) == {}


def test_a_corpus_without_its_work_folder_is_sound(tiny: TinyCorpus, tmp_path: Path) -> None:
    (tiny.root / "work").rename(tmp_path / "elsewhere")
    assert look(tiny) == {}


def test_a_flipped_byte_in_an_asset_is_found_set_aside_and_rebuilt(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tiny.table("images")
    sound = path.read_bytes()
    flip_byte(path, len(sound) // 2)
    assert look(tiny) == {"hash_differs": [f"images/{path.name}"]}
    assert verify_corpus(tiny.root, fix=True) == 1
    assert "anyinstruct run" in capsys.readouterr().out
    assert not path.exists()
    assert path.with_name(path.name + ".damaged").exists()
    assert not tiny.folder.is_published(tiny.ledger.shards[0]), "this is what makes a run pack the shard again"
    tiny.update()
    assert path.read_bytes() == sound
    assert tiny.chat.requests == []
    assert look(tiny) == {}, "publishing has removed the damaged file, which no ledger names"


def test_a_cut_stage_file_is_found_and_made_again_from_the_journal(tiny: TinyCorpus) -> None:
    store = tiny.folder.shard(1)
    receipt = store.receipt("music")
    assert receipt is not None
    path = store.folder / receipt.file
    path.write_bytes(path.read_bytes()[:-50])
    assert look(tiny) == {"size_differs": [f"work/shards/00001/{receipt.file}"]}
    assert verify_corpus(tiny.root, fix=True) == 1
    tiny.update()
    assert store.receipt("music") == receipt
    assert list(look(tiny)) == ["set_aside"]


def test_a_stage_file_of_the_right_size_and_wrong_bytes_is_found(tiny: TinyCorpus) -> None:
    receipt = tiny.folder.shard(0).receipt("scenarios")
    assert receipt is not None
    flip_byte(tiny.root / "work/shards/00000" / receipt.file, 100)
    assert look(tiny) == {"hash_differs": [f"work/shards/00000/{receipt.file}"]}


@pytest.mark.parametrize("table", ["dialogues", "images", "speech", "failed", "rejected"])
def test_a_missing_published_file_is_named_and_nothing_is_concluded_from_its_rows(tiny: TinyCorpus, table: str) -> None:
    shard = next(n for n in (0, 1) if any(file.table == table for file in tiny.shard_ledger(n).files))
    path = tiny.table(table, shard)
    path.unlink()
    assert look(tiny) == {"file_missing": [f"{table}/{path.name}"]}


def test_a_reference_to_an_asset_that_is_not_there_is_found(tiny: TinyCorpus) -> None:
    name = tiny.rows("images")[0]["id"]
    dialogue = tiny.rows("images")[0]["dialogue_id"]
    restate_table(tiny, "images", 0, lambda rows: rows[1:])
    found = look(tiny)
    assert found["reference_dangling"] == [f"dialogues/{tiny.table('dialogues').name}: {dialogue}"]
    assert name.startswith(dialogue)
    assert "ledger.json" in found["count_wrong"], "the root's row count is off by one too"


def test_a_table_of_another_version_is_no_damage(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    path = restate_table(tiny, "images", 0, lambda rows: rows, without="scores")
    assert "other_version" in look(tiny)
    assert verify_corpus(tiny.root, fix=True) == 1
    assert path.exists(), "what is whole is never set aside"
    assert "run its manifest" in " ".join(capsys.readouterr().out.replace("`", "").split())


def test_an_asset_without_a_dialogue_is_found(tiny: TinyCorpus) -> None:
    stray = "0" * 16 + "-00-00-a0"
    restate_table(tiny, "images", 0, lambda rows: change_first(rows, id=stray))
    found = look(tiny)
    assert len(found["asset_orphan"]) == 1
    assert len(found["reference_dangling"]) == 1


@pytest.mark.parametrize(
    ("table", "columns", "code"),
    [
        ("images", {"width": 65}, "asset_size"),
        ("images", {"sha256": "0" * 64}, "asset_hash_differs"),
        ("images", {"role": "nobody"}, "asset_misplaced"),
        ("images", {"description": "something else"}, "words_differ"),
        ("music", {"duration": 1.5}, "asset_size"),
        ("music", {"sample_rate": 16_000}, "asset_size"),
        ("speech", {"voice": "stranger"}, "count_wrong"),
        ("images", {"image": {"bytes": b"\x89PNG\r\n\x1a\nnot really", "path": "x.png"}}, "asset_undecodable"),
        ("music", {"audio": {"bytes": b"", "path": "x.flac"}}, "asset_undecodable"),
        ("images", {"image": None}, "row_invalid"),
    ],
)
def test_a_column_that_does_not_tell_the_truth_is_found(
    tiny: TinyCorpus, table: str, columns: dict[str, object], code: str
) -> None:
    restate_table(tiny, table, 0, lambda rows: change_first(rows, **columns))
    assert code in look(tiny)


def test_turns_out_of_order_and_other_modalities_than_claimed_are_found(tiny: TinyCorpus) -> None:
    def change(rows: list[Row]) -> list[Row]:
        return change_first(rows, turns=rows[0]["turns"][::-1], gives=["music"])

    restate_table(tiny, "dialogues", 0, change)
    assert {"turn_order", "modality_differs"} <= set(look(tiny))


def test_a_dialogue_that_stands_twice_is_found(tiny: TinyCorpus) -> None:
    restate_table(tiny, "dialogues", 0, lambda rows: [*rows, rows[0]])
    assert {"id_twice", "asset_twice", "count_wrong"} <= set(look(tiny))


def test_wrong_counts_are_found_in_a_shard_and_in_the_root(tiny: TinyCorpus) -> None:
    counts = dict(tiny.ledger.counts)
    restate_root(tiny, counts={**counts, "kept": counts["kept"] + 1})
    assert look(tiny) == {"count_wrong": ["ledger.json", "ledger.json"]}
    restate_root(tiny, counts=counts)
    reasons = tiny.shard_ledger(1).reasons
    restate_shard(tiny, 1, reasons={**reasons, "dialogues/refused": 7})
    assert look(tiny) == {"count_wrong": [tiny.ledger.shards[1].path, "ledger.json"]}
    assert verify_corpus(tiny.root, fix=True) == 1
    tiny.update()
    assert tiny.ledger.counts == counts
    assert "count_wrong" not in look(tiny)


def test_a_changed_card_or_ledger_is_found_and_mended(tiny: TinyCorpus) -> None:
    card, ledger = (tiny.root / "README.md").read_text(), (tiny.root / "ledger.json").read_text()
    (tiny.root / "README.md").write_text(card + "and a lie\n")
    assert look(tiny) == {"hash_differs": ["README.md"]}
    (tiny.root / "ledger.json").write_text("{")
    assert "ledger_damaged" in look(tiny)
    assert verify_corpus(tiny.root, fix=True) == 1
    tiny.update()
    assert (tiny.root / "ledger.json").read_text() == ledger
    assert (tiny.root / "README.md").read_text() == card


def test_a_ledger_of_a_later_version_is_refused_and_never_set_aside(tiny: TinyCorpus) -> None:
    path = tiny.root / "ledger.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 99}))
    with pytest.raises(CorpusError, match="schema version 99"):
        verify_corpus(tiny.root, fix=True)
    assert path.exists()


def test_foreign_and_left_over_files_and_damaged_journal_lines_are_notes(tiny: TinyCorpus) -> None:
    (tiny.root / "images/holiday.png").write_bytes(b"hello")
    (tiny.root / "music/train-00000.parquet.7.partial").write_bytes(b"half")
    (tiny.root / "work/shards/00000/scenarios-000000000000.parquet").write_bytes(b"former")
    journal = tiny.root / "work/shards/00000/scenarios-e00001.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    assert look(tiny) == {
        "unreferenced": ["work/shards/00000/scenarios-000000000000.parquet", "images/holiday.png"],
        "journal_damaged": ["work/shards/00000/scenarios"],
        "partial": ["music/train-00000.parquet.7.partial"],
    }
    assert verify_corpus(tiny.root, fix=False) == 0


def test_many_findings_of_one_kind_are_counted_and_not_all_told(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    restate_table(tiny, "speech", 0, lambda rows: [{**row, "duration": 9.0} for row in rows])
    num_rows = len(tiny.rows("speech"))
    assert num_rows > MAX_EXAMPLES
    assert len(look(tiny)["asset_size"]) == MAX_EXAMPLES
    verify_corpus(tiny.root, fix=False)
    out = capsys.readouterr().out
    assert f"and {num_rows - MAX_EXAMPLES} more of these" in out
    assert f"{num_rows} errors" in out


def test_text_of_strangers_cannot_steer_the_terminal(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    restate_table(tiny, "images", 0, lambda rows: change_first(rows, role="\x1b[2J[red]boo[/red]"))
    verify_corpus(tiny.root, fix=False)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "[red]boo[/red]" in "".join(out.split())


def test_a_path_that_leaves_the_corpus_is_refused(tiny: TinyCorpus) -> None:
    files = tiny.shard_ledger(0).files
    outside = files[0].model_copy(update={"path": "../tiny.yaml"})
    restate_shard(tiny, 0, files=(outside, *files[1:]))
    assert "path_outside" in look(tiny)


def test_what_cannot_be_rebuilt_is_not_set_aside(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (tiny.root / "work/shards").glob("*/*"):
        path.unlink()
    path = tiny.table("images")
    flip_byte(path, 1000)
    assert verify_corpus(tiny.root, fix=True) == 1
    assert path.exists()
    assert "left as it is" in capsys.readouterr().out


def test_an_empty_corpus_is_called_empty_with_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = make_corpus(tmp_path, ("kites",), lambda plan: MadeUpChat(refused={row.id for row in plan}))
    assert empty.ledger.counts == {"planned": 1, "kept": 0, "rejected": 0, "failed": 1}
    assert verify_corpus(empty.root, fix=False) == 0
    out = capsys.readouterr().out
    assert out.startswith("EMPTY: ")
    assert "0 dialogues" in out
    assert "Not one dialogue is kept: 0 dialogues rejected, 1 dialogue failed (dialogues/refused 1)." in out
    assert f"anyinstruct status {empty.root}" in out


def test_a_corpus_of_which_nothing_is_published_is_called_empty(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny.root / "ledger.json").unlink()
    assert verify_corpus(tiny.root, fix=False) == 0
    out = capsys.readouterr().out
    assert "EMPTY: " in out
    assert "Nothing is published yet. Go on: anyinstruct run " in out


def test_a_folder_that_is_no_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="is no corpus"):
        verify_corpus(tmp_path, fix=False)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ([("image.beauty", 1.0)], "'image.beauty' is no measure that the shard's ledger names"),
        ([("image.contrast", 1.0), ("image.contrast", 0.5)], "'image.contrast' stands twice"),
        ([("image.contrast", float("nan"))], "'image.contrast' is nan"),
    ],
)
def test_scores_that_no_audit_explains_are_found(
    tiny: TinyCorpus, scores: list[tuple[str, float]], message: str
) -> None:
    wrong = [{"measure": measure, "value": value} for measure, value in scores]
    restate_table(tiny, "images", 0, lambda rows: change_first(rows, scores=wrong))
    restate_shard(tiny, 0, measures=("image.contrast",))
    result = Verification(CorpusFolder(tiny.root))
    result.run()
    [found] = [finding for finding in result.findings if finding.severity == "error"]
    assert found.code == "score_invalid"
    assert message in found.message


def test_rejections_for_limits_are_counted_anew(tiny: TinyCorpus) -> None:
    restate_shard(tiny, 0, shortfalls={"image.contrast": 1})
    assert look(tiny)["count_wrong"]


def test_damaged_readings_are_found_and_set_aside(tiny: TinyCorpus) -> None:
    (tiny.root / FOLDER / "00000").mkdir(parents=True)
    store = ShardFolder(tiny.root / FOLDER / "00000")
    receipt = store.commit("picture-basics", SCHEMA, [], order_key="", num_ok=0, num_failed=0)
    flip_byte(store.folder / receipt.file, 10)
    assert look(tiny) == {"hash_differs": [f"audits/00000/{receipt.file}"]}
    assert verify_corpus(tiny.root, fix=True) == 1
    assert store.receipt("picture-basics") is None, "this is what makes an audit measure again"
