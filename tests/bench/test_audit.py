from __future__ import annotations

from pathlib import Path

import pytest

from bench.audit import __main__ as bench
from bench.audit.corpora import render_stock, write_corpus
from bench.audit.worker import Measured
from pipeline.adapters.audits import music_brief
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.published import PublishedCorpus
from pipeline.contracts.audit import SUBJECTS, AuditOptions
from pipeline.execution.audits import known_audits


def test_made_corpora_decode_and_no_two_media_are_the_same(tmp_path: Path, models: ModelCache) -> None:
    write_corpus(tmp_path / "4", 4, render_stock())
    (shard,) = PublishedCorpus(tmp_path / "4").shards
    assert {subject: len(shard.index(subject)) for subject in SUBJECTS} == {
        "dialogue": 4,
        "image": 4,
        "music": 4,
        "speech": 8,
    }
    assets = shard.read_assets().by_id
    assert [facts.problem for facts in assets.values()] == [""] * 16
    assert len({facts.row["sha256"] for facts in assets.values()}) == 16
    pieces = list(shard.items("music", shard.ids("music")))
    if music_brief.PLUGIN.missing() is None:
        auditor = music_brief.PLUGIN.load(AuditOptions(), models)
        assert isinstance(auditor, music_brief.MusicBrief)
        # What descriptions state is judged: they are found in the tables as published.
        assert all("music.key_margin" in readings for readings in auditor.measure(pieces))
    line = bench.measure(known_audits()["picture-basics"], tmp_path, [4])
    assert line.growth is None
    assert line.rate > 0
    assert line.megabytes > 0


@pytest.mark.parametrize(("growth", "is_met"), [(20.0, True), (40.0, False)])
def test_an_audit_whose_memory_grows_misses_its_goal(
    growth: float, is_met: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(corpus: Path, what: str, *tables: str) -> Measured:
        return Measured(1.0, 100.0) if corpus.name == "10" else Measured(2.0, 100.0 + growth)

    monkeypatch.setattr(bench, "_run", run)
    known = known_audits()
    line = bench.measure(known["picture-basics"], tmp_path, [10, 40])
    assert (line.rate, line.growth, line.is_met) == (30.0, growth, is_met)
    assert bench.measure(known["picture-twins"], tmp_path, [10, 40]).is_met
