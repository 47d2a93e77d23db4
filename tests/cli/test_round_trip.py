from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.adapters.decoding import decode_picture, decode_sound
from pipeline.adapters.published import MEDIUM_OF, PublishedCorpus, PublishedShard
from pipeline.adapters.tokenizers.choosing import TokenizerChoice
from pipeline.cli.report import report_corpus
from pipeline.cli.round_trip import make_round_trip, read_choices
from pipeline.contracts.audit import Subject
from pipeline.contracts.storage import Row
from pipeline.execution.audits import AuditSetting
from pipeline.execution.comparing import compare_corpora
from pipeline.execution.round_trip import RoundTripWork
from pipeline.values.errors import CorpusError, ManifestError
from pipeline.values.ids import sha256_hex
from tests.support.auditing import run_here
from tests.support.corpora import TinyCorpus
from tests.support.tiny_tokenizers import options_for, save_tiny_tokenizer


@pytest.fixture(scope="module")
def chosen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("tokenizers")
    used = {"image": "vq-image", "speech": "dac"}
    return {kind: options_for(save_tiny_tokenizer(root / name, name), name) for kind, name in used.items()}


def rows_of(root: Path, subject: Subject) -> list[Row]:
    return [row for shard in PublishedCorpus(root).shards for row in shard.rows(subject)]


def test_a_copy_differs_from_its_corpus_by_its_media_alone(
    tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "copy"
    assert make_round_trip(tiny.root, out, chosen) == 0
    assert "through tokens and back" in capsys.readouterr().out
    assert rows_of(out, "dialogue") == rows_of(tiny.root, "dialogue")
    assert rows_of(out, "music") == rows_of(tiny.root, "music")
    kinds: tuple[Subject, ...] = ("image", "speech")
    for kind in kinds:
        before, after = rows_of(tiny.root, kind), rows_of(out, kind)
        assert len(before) == len(after) > 0
        medium = MEDIUM_OF[kind]
        for old, new in zip(before, after, strict=True):
            was, now = old.pop(medium)["bytes"], new.pop(medium)["bytes"]
            assert was != now
            assert new["sha256"] == sha256_hex(now) != old["sha256"]
            if kind == "image":
                assert decode_picture(now).size == (old["width"], old["height"])
            else:
                samples, rate = decode_sound(now)
                assert (len(samples) / rate, rate) == (old["duration"], old["sample_rate"])
            changed = {name for name in old if old[name] != new[name]}
            assert changed <= {"sha256", "peak", "rms", "channels", "scores"}, "scores are those of the medium that was"


def test_shards_that_are_whole_are_not_made_again(
    tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "copy"
    make_round_trip(tiny.root, out, {"image": chosen["image"]})
    (out / ".round-trip" / "00001.json").unlink()
    copied: list[int] = []
    copy = RoundTripWork._copy

    def note(work: RoundTripWork, shard: PublishedShard) -> dict[str, Any]:
        copied.append(shard.number)
        return copy(work, shard)

    monkeypatch.setattr(RoundTripWork, "_copy", note)
    make_round_trip(tiny.root, out, {"image": chosen["image"]})
    assert copied == [1]


def test_a_copy_is_audited_and_a_report_says_what_its_tokens_cost(
    tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """Random weights say nothing of a tokenizer's quality; that both sides are measured alike is what counts here."""
    out = tmp_path / "copy"
    make_round_trip(tiny.root, out, chosen)
    with pytest.raises(CorpusError, match="has no reading of media that the corpus has too"):
        report_corpus(tiny.root, None, 0, 1.0, as_json=False, copy=out)
    for root in (tiny.root, out):
        run_here(AuditSetting(root, ("picture-basics", "speech-basics")))
    found = compare_corpora(tiny.root, out)
    medians = {pair.name: pair.medians for pair in found.measures}
    assert found.samples.num_changed > 0
    capsys.readouterr()
    report_corpus(tiny.root, None, 0, 1.0, as_json=True, copy=out)
    costs = {row["measure"]: row for row in json.loads(capsys.readouterr().out)["round_trip"]}
    assert costs
    for name, row in costs.items():
        assert (row["before"], row["after"]) == (medians[name].first, medians[name].second)
        assert row["difference"] == row["after"] - row["before"]
    assert any(row["difference"] for row in costs.values())
    report_corpus(tiny.root, tmp_path / "page.html", 0, 1.0, as_json=False, copy=out)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "What tokens cost" in page
    assert all(name in page for name in costs)
    with pytest.raises(CorpusError, match="is no copy that went through tokens"):
        report_corpus(tiny.root, None, 0, 1.0, as_json=True, copy=tiny.root)


def test_a_wrong_choice_or_place_is_told(tiny: TinyCorpus, tmp_path: Path, chosen: dict[str, Any]) -> None:
    for options, message in (
        ({}, "no tokenizer is stated; say which for any of image, music, speech, e.g. --option music=encodec:"),
        ({"text": "dac:a/b"}, "--option text: no kind of media that a tokenizer takes"),
        ({"image": "words"}, "--option image: 'words': write TOKENIZER:MODEL"),
        ({"image": chosen["speech"]}, "tokenizer dac: does not take image"),
    ):
        with pytest.raises(ManifestError, match=message):
            read_choices(options)
    assert isinstance(read_choices(chosen)["image"], TokenizerChoice)
    for place in (tiny.root, tiny.root / "copy", tmp_path):
        with pytest.raises(CorpusError, match=r"stands outside of its corpus|no such copy"):
            make_round_trip(tiny.root, place, chosen)
