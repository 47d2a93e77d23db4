"""Imports and merges that a SIGKILL ended: the same command goes on, and what comes out is as if nothing had been."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.files import PARTIAL
from pipeline.cli.gc import collect_garbage
from pipeline.execution import imports
from pipeline.execution.verification import Verification
from tests.support.corpora import TOPICS, TinyCorpus, make_corpus
from tests.support.exporting import export_to
from tests.support.gathering import PER_SHARD, gather, kill_gathering

NUM_KILLS = 4


@pytest.fixture(scope="module", params=["import", "merge"])
def sources(
    request: pytest.FixtureRequest, tiny_original: TinyCorpus, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, ...]:
    """An export to import, or two corpora to merge."""
    folder = tmp_path_factory.mktemp("sources")
    if request.param == "import":
        export_to(tiny_original.root, folder / "hf", "hf")
        return (folder / "hf",)
    return tiny_original.root, make_corpus(folder, tuple(f"old {topic}" for topic in TOPICS)).root


@pytest.fixture(autouse=True)
def _of_small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "DIALOGUES_A_SHARD", PER_SHARD)


def contents(root: Path) -> dict[str, bytes]:
    """Files of a corpus without how it came about, and without what `gc` takes away."""
    paths = [path for path in root.rglob("*") if path.is_file() and path.suffix != PARTIAL]
    paths = [path for path in paths if path.relative_to(root).parts[0] != "work"]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}


def test_what_a_kill_has_left_is_gone_on_with(sources: tuple[Path, ...], tmp_path: Path) -> None:
    gather(sources, tmp_path / "whole/out")
    whole = contents(tmp_path / "whole/out")
    assert "ledger.json" in whole
    outs = [tmp_path / f"killed-{number}/out" for number in range(NUM_KILLS)]
    points = kill_gathering(sources, outs)
    assert len(set(points)) == NUM_KILLS
    begun = [len(list((out / "work").glob("*/0*.json"))) for out in outs]
    assert min(begun) == 0
    assert len(set(begun)) > 1, "one was killed before the first shard, others between shards"
    left = [out for out in outs if list((out / "work").glob("*/staging-*/*"))]
    assert left
    for out in left[::2]:
        collect_garbage(out, dry_run=False)
        assert not list((out / "work").glob("*/staging-*/*.parquet"))
    for out in outs:
        gather(sources, out)
        assert contents(out) == whole
        assert not list((out / "work").rglob("staging-*"))
    for out in outs[:1]:
        collect_garbage(out, dry_run=False)
        check = Verification(CorpusFolder(out))
        check.run()
        assert check.findings == []
