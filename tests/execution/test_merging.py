"""Corpora joined: what several have, what they dispute, and what is said of where it came from."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.contracts.ledger import Ledger
from pipeline.contracts.storage import Row
from pipeline.execution import merging
from pipeline.execution.imports import ImportSetting
from pipeline.execution.merging import MergeRun, MergeSetting
from pipeline.execution.project import load_project
from pipeline.values.errors import CorpusError
from pipeline.values.merging import OnConflict
from pipeline.work.merging import MergeIndex, merge_facts
from tests.execution.test_imports import check_sound, read_all
from tests.support.corpora import TOPICS, TinyCorpus, copy_corpus, make_corpus, restate_table
from tests.support.exporting import export_to
from tests.support.gathering import bring, merge


def count_calls(ledger: Ledger) -> float:
    return sum(sums["calls"] for models in ledger.spend.values() for sums in models.values())


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    """A corpus about other topics; not to be changed."""
    return make_corpus(tmp_path_factory.mktemp("other"), tuple(f"old {topic}" for topic in TOPICS))


@pytest.fixture
def disputed(tiny: TinyCorpus, tmp_path: Path) -> tuple[TinyCorpus, str]:
    """The tiny corpus with another scenario for one sung dialogue, and that dialogue."""
    corpus = copy_corpus(tiny, tmp_path / "disputed")
    changed = next(row["id"] for row in corpus.rows("dialogues") if "music" in row["answers"])

    def change(rows: list[Row]) -> list[Row]:
        return [{**row, "scenario": "Something else."} if row["id"] == changed else row for row in rows]

    restate_table(corpus, "dialogues", 0, change)
    return corpus, changed


def test_two_corpora_become_one(tiny: TinyCorpus, other: TinyCorpus, tmp_path: Path) -> None:
    out = tmp_path / "merged"
    ledger = merge(MergeSetting((tiny.root, other.root), out))
    before = read_all(tiny.root) | read_all(other.root)
    after = read_all(out)
    assert after.keys() == before.keys() and len(after) == 12
    assert all(
        after[name]["row"] == known["row"] and after[name]["parts"] == known["parts"] for name, known in before.items()
    )
    sums = {name: tiny.ledger.counts[name] + other.ledger.counts[name] for name in tiny.ledger.counts}
    assert ledger.counts == sums and ledger.reasons["screen/duplicate"] == 2
    assert ledger.renderers["music"]["made"] == sum(c.ledger.renderers["music"]["made"] for c in (tiny, other))
    assert count_calls(ledger) == count_calls(tiny.ledger) + count_calls(other.ledger) > 0
    shards = [CorpusFolder(out).read_shard_ledger(entry) for entry in ledger.shards]
    assert [(shard.origin["corpus"], shard.origin["shard"]) for shard in shards] == [("tiny", n) for n in (0, 1, 0, 1)]
    assert len({shard.origin["ledger_sha256"] for shard in shards}) == 2
    check_sound(out)
    with pytest.raises(CorpusError, match="no manifest to run"):
        load_project(tiny.project.path, out)


def test_what_several_corpora_have_stands_once(tiny: TinyCorpus, other: TinyCorpus, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    merge(MergeSetting((tiny.root, other.root), first))
    ledger = merge(MergeSetting((other.root, tiny.root, first), second))
    assert read_all(second).keys() == read_all(first).keys()
    assert [(o["kept"], o["same"], o["lost"]) for o in ledger.origins] == [(6, 0, 0), (6, 0, 0), (0, 12, 4)]
    assert len(ledger.shards) == 4
    check_sound(second)


def test_an_export_that_was_imported_is_the_same_as_its_corpus(tiny: TinyCorpus, tmp_path: Path) -> None:
    export_to(tiny.root, tmp_path / "out", "hf")
    bring(ImportSetting(tmp_path / "out", tmp_path / "back"))
    ledger = merge(MergeSetting((tiny.root, tmp_path / "back"), tmp_path / "merged"))
    assert [(origin["kept"], origin["same"]) for origin in ledger.origins] == [(6, 0), (0, 6)]
    assert ledger.origins[1]["before"][0]["layout"] == "hf"
    check_sound(tmp_path / "merged")


def test_other_content_is_an_error_that_names_both(
    tiny: TinyCorpus, disputed: tuple[TinyCorpus, str], tmp_path: Path
) -> None:
    corpus, changed = disputed
    out = tmp_path / "merged"
    with pytest.raises(CorpusError, match=f"dialogue {changed}: .*{tiny.root} and {corpus.root} have it with other"):
        merge(MergeSetting((tiny.root, corpus.root), out))
    assert not (out / "ledger.json").exists() and not list(out.glob("*/*.parquet"))


def test_the_first_of_two_can_be_kept(tiny: TinyCorpus, disputed: tuple[TinyCorpus, str], tmp_path: Path) -> None:
    corpus, changed = disputed
    for number, corpora in enumerate(((tiny, corpus), (corpus, tiny))):
        out = tmp_path / f"merged-{number}"
        ledger = merge(MergeSetting((corpora[0].root, corpora[1].root), out, OnConflict.KEEP_FIRST))
        assert (ledger.origins[1]["conflicts"], ledger.origins[1]["same"], ledger.counts["kept"]) == (1, 5, 6)
        known = read_all(corpora[0].root)[changed]["row"]["scenario"]
        assert read_all(out)[changed]["row"]["scenario"] == known
        check_sound(out)


def test_the_later_of_two_can_get_another_id(
    tiny: TinyCorpus, disputed: tuple[TinyCorpus, str], tmp_path: Path
) -> None:
    corpus, changed = disputed
    third = copy_corpus(corpus, tmp_path / "third")
    out = tmp_path / "merged"
    ledger = merge(MergeSetting((tiny.root, corpus.root, third.root), out, OnConflict.RENAME))
    assert [origin["renamed"] for origin in ledger.origins] == [0, 1, 0]
    assert [origin["same"] for origin in ledger.origins] == [0, 5, 6]
    (renamed,) = [
        s.origin["renamed"]
        for e in ledger.shards
        if (s := CorpusFolder(out).read_shard_ledger(e)).origin.get("renamed")
    ]
    (new,) = renamed
    assert renamed[new] == changed
    found, known = read_all(out), read_all(corpus.root)[changed]
    assert found[new]["row"]["scenario"] == "Something else." and len(found) == 7
    assert [part["bytes"] for part in found[new]["parts"]] == [part["bytes"] for part in known["parts"]]
    assert all(part["asset"] is None or part["asset"].startswith(new) for part in found[new]["parts"])
    check_sound(out)


def test_a_stopped_merge_goes_on(
    tiny: TinyCorpus, other: TinyCorpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = merge(MergeSetting((tiny.root, other.root), tmp_path / "whole"))
    setting = MergeSetting((tiny.root, other.root), tmp_path / "merged")
    add, calls = merging.MergeRun._add, 0

    def break_off(run: MergeRun, *arguments: object) -> None:
        nonlocal calls
        calls += 1
        if calls == 25:
            raise KeyboardInterrupt
        add(run, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(merging.MergeRun, "_add", break_off)
        merge(setting)
    assert not (setting.out / "ledger.json").exists() and list((setting.out / "work" / "merge").glob("0*.json"))
    with pytest.raises(CorpusError, match="begun from other files or with other options"):
        merge(MergeSetting((other.root, tiny.root), setting.out))
    named = {"name": "", "card_sha256": ""}
    assert merge(setting).model_copy(update=named) == whole.model_copy(update=named)
    check_sound(setting.out)


def test_places_that_cannot_be_are_refused(tiny: TinyCorpus, other: TinyCorpus, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for corpora, out, message in (
        ((tiny.root,), tmp_path / "out", "name two corpora or more"),
        ((tiny.root, tiny.root), tmp_path / "out", "is named twice"),
        ((tiny.root, other.root), tiny.root / "out", "stands outside"),
        ((tiny.root, other.root), tmp_path / "full", "holds other files"),
        ((tiny.root, tmp_path / "none"), tmp_path / "out", "holds no finished corpus"),
    ):
        with pytest.raises(CorpusError, match=message):
            merge(MergeSetting(corpora, out))
    assert not (tmp_path / "out").exists()


def test_decisions_are_those_of_a_plain_dictionary() -> None:
    draw = random.Random(5)
    rows = [(corpus, name, draw.choice("ab")) for corpus in range(3) for name in draw.sample(range(30), 20)]
    index = MergeIndex(["x", "y", "z"])
    for corpus, name, content in rows:
        index.add(corpus, "dialogues", f"{name:016x}", content)
    found = index.resolve(OnConflict.KEEP_FIRST)
    first: dict[int, str] = {}
    for corpus, name, content in rows:
        dropped = f"{name:016x}" in found.dropped.get(corpus, set())
        assert dropped == (name in first)
        first.setdefault(name, content)
    renamed = index.resolve(OnConflict.RENAME)
    contents: dict[int, set[str]] = {}
    for corpus, name, content in rows:
        known = contents.setdefault(name, set())
        assert (f"{name:016x}" in renamed.dropped.get(corpus, set())) == (content in known)
        assert (f"{name:016x}" in renamed.renamed.get(corpus, {})) == (bool(known) and content not in known)
        known.add(content)


def test_one_that_was_kept_goes_before_one_that_was_lost() -> None:
    index = MergeIndex(["x", "y"])
    index.add(0, "failed", f"{7:016x}", "0")
    index.add(1, "dialogues", f"{7:016x}", "c")
    found = index.resolve(OnConflict.ERROR)
    assert (found.dropped, found.counts[0]["lost"]) == ({0: {f"{7:016x}"}}, 1)
    index.add(1, "rejected", f"{7:016x}", "0")
    with pytest.raises(CorpusError, match="y: has dialogue 0000000000000007 twice"):
        index.resolve(OnConflict.ERROR)
    with pytest.raises(CorpusError, match="is no id of a dialogue"):
        index.add(0, "dialogues", "seven", "c")


def test_facts_of_renderers_are_joined() -> None:
    first = {
        "renderer": "a",
        "is_draft": False,
        "made": 2,
        "options": {"width": 64, "steps": 9},
        "licences": {"m": "MIT"},
    }
    second = {
        "renderer": "b",
        "is_draft": True,
        "made": 3,
        "options": {"width": 32, "steps": 9},
        "licences": {"n": "BSD"},
    }
    assert merge_facts([first, second, first]) == {
        "renderer": "a and b",
        "is_draft": True,
        "made": 7,
        "options": {"width": "64 and 32", "steps": 9},
        "licences": {"m": "MIT", "n": "BSD"},
    }
