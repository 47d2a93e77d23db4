"""What gc, verify, status and buckets make of codes and verdicts beside a corpus."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.exports.token_tables import KeptCodes
from pipeline.adapters.files import STAGING
from pipeline.adapters.objects.choosing import only_published, only_state
from pipeline.cli.gc import collect_garbage
from pipeline.cli.status import print_status
from pipeline.execution.beside import TokenFiles
from pipeline.execution.exports import ExportSetting
from pipeline.execution.tokenizing import find_tokenizing
from pipeline.execution.verification import Verification, set_aside
from pipeline.values.errors import CorpusError
from pipeline.values.manifest import Manifest
from tests.support.corpora import TinyCorpus, copy_corpus, flip_byte
from tests.support.exporting import export_here
from tests.support.object_store import Machine
from tests.support.tiny_tokenizers import options_for, save_tiny_tokenizer

SECOND = "codes/train-00001.parquet"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_tokenizer(tmp_path_factory.mktemp("weights") / "mimi", "mimi")


@pytest.fixture(scope="module")
def encoded_original(tiny_original: TinyCorpus, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    corpus = copy_corpus(tiny_original, tmp_path_factory.mktemp("encoded"))
    export_here(setting_of(corpus, weights))
    return corpus


@pytest.fixture
def encoded(encoded_original: TinyCorpus, tmp_path: Path) -> TinyCorpus:
    """A tiny corpus with the codes of its speech."""
    return copy_corpus(encoded_original, tmp_path)


def setting_of(corpus: TinyCorpus, weights: Path) -> ExportSetting:
    stated = corpus.project.manifest.model_dump() | {"tokenize": {"speech": options_for(weights, "mimi")}}
    found = find_tokenizing(replace(corpus.project, manifest=Manifest.model_validate(stated)))
    assert found is not None
    return found[0]


def look(corpus: TinyCorpus) -> dict[str, list[str]]:
    """Findings by code: where each is."""
    result = Verification(corpus.folder)
    result.run()
    found: dict[str, list[str]] = {}
    for finding in result.findings:
        found.setdefault(finding.code, []).append(finding.where)
    return found


def mend(corpus: TinyCorpus) -> None:
    check = Verification(corpus.folder)
    check.run()
    assert set_aside(check.folder, list(check.damaged))[1] == []


def test_codes_are_part_of_a_sound_corpus_and_of_no_interest_to_gc(
    encoded: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    assert look(encoded) == {}
    collect_garbage(encoded.root, dry_run=True)
    assert "tokens/" not in capsys.readouterr().out
    count = TokenFiles(encoded.folder).count()
    assert count is not None
    assert count.num_media == sum(len(encoded.rows("speech", shard)) for shard in range(2))
    print_status(encoded.root, follow=False)
    assert f"tokens: codes of {count.num_media} media in 2 shards: speech by mimi" in capsys.readouterr().out


def test_a_damaged_table_of_codes_is_found_set_aside_and_encoded_anew(encoded: TinyCorpus, weights: Path) -> None:
    path = encoded.root / "tokens" / SECOND
    sound = path.read_bytes()
    flip_byte(path, len(sound) // 2)
    assert look(encoded) == {"hash_differs": [f"tokens/{SECOND}"]}
    with pytest.raises(CorpusError, match=r"train-00001.parquet: is damaged; `anyinstruct verify --fix`"):
        KeptCodes(encoded.root / "tokens", 1)
    mend(encoded)
    assert look(encoded).keys() == {"file_missing", "set_aside"}
    assert export_here(setting_of(encoded, weights))[1] == [1]
    assert path.read_bytes() == sound
    assert look(encoded).keys() == {"set_aside"}


@pytest.mark.parametrize(
    ("name", "code"), [("work/tokens/00001.json", "receipt_damaged"), ("tokens/tokens.json", "index_damaged")]
)
def test_what_names_codes_is_mended_too(encoded: TinyCorpus, weights: Path, name: str, code: str) -> None:
    before = pq.read_table(encoded.root / "tokens" / SECOND)
    (encoded.root / name).write_text('{"key": 3}', encoding="utf-8")
    assert look(encoded)[code] == [name]
    assert TokenFiles(encoded.folder).find_unneeded({0}) == [] or code == "index_damaged"
    mend(encoded)
    export_here(setting_of(encoded, weights))
    assert look(encoded).keys() == {"set_aside"}
    assert pq.read_table(encoded.root / "tokens" / SECOND).equals(before)


def test_codes_of_former_media_are_told_and_those_of_a_shard_that_is_gone_are_garbage(
    encoded: TinyCorpus, weights: Path
) -> None:
    unneeded = TokenFiles(encoded.folder).find_unneeded
    assert unneeded({0, 1}) == []
    assert unneeded({0}) == [encoded.root / "tokens" / SECOND]
    encoded.update(draw_weight=3)
    assert "codes_stale" in look(encoded)
    export_here(setting_of(encoded, weights))
    assert look(encoded) == {}


def test_leftovers_of_a_kill_are_garbage_and_codes_that_nobody_can_tell_are_not(encoded: TinyCorpus) -> None:
    staging = encoded.root / "work/tokens" / f"{STAGING}00001" / "train" / SECOND
    staging.parent.mkdir(parents=True)
    shutil.copy(encoded.root / "tokens" / SECOND, staging)
    stray = encoded.root / "tokens/codes/test-00007.parquet"
    shutil.copy(encoded.root / "tokens" / SECOND, stray)
    assert look(encoded) == {"unreferenced": ["tokens/codes/test-00007.parquet"]}
    collect_garbage(encoded.root, dry_run=False)
    assert not staging.exists()
    assert not stray.exists()
    assert look(encoded) == {}
    shutil.rmtree(encoded.root / "work")
    collect_garbage(encoded.root, dry_run=False)
    assert (encoded.root / "tokens" / SECOND).exists()


def test_lines_of_verdicts_that_cannot_be_read_are_told(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny.root / "reviews").mkdir()
    name = tiny.rows("dialogues")[0]["id"]
    line = f'{{"dialogue_id": "{name}", "decision": "accept"}}\n'
    (tiny.root / "reviews/ann.jsonl").write_text(line + '{"dialogue_id"\n', encoding="utf-8")
    assert look(tiny) == {"verdicts_damaged": ["reviews/ann.jsonl"]}
    print_status(tiny.root, follow=False)
    assert "reviews: verdicts of 1 reviewer on 1 dialogue" in capsys.readouterr().out
    collect_garbage(tiny.root, dry_run=False)
    assert (tiny.root / "reviews/ann.jsonl").exists()


def test_codes_and_verdicts_go_into_a_bucket_and_another_machine_encodes_nothing_again(
    encoded: TinyCorpus, weights: Path, machine: Machine
) -> None:
    assert only_published("tokens/codes/train-00000.parquet")
    assert not only_state("tokens/codes/train-00000.parquet")
    assert only_state("reviews/ann.jsonl")
    with machine("a").writing(may_be_new=True) as root:
        shutil.copytree(encoded.root, root, dirs_exist_ok=True)
        left = root / "work/tokens" / f"{STAGING}00001" / "half.parquet"
        left.parent.mkdir()
        left.write_bytes(b"half")
    with machine("b").writing() as root:
        there = CorpusFolder(root)
        assert TokenFiles(there).count() == TokenFiles(encoded.folder).count()
        assert not list(root.rglob(f"{STAGING}*"))
        elsewhere = replace(encoded, project=replace(encoded.project, corpus=root))
        assert export_here(setting_of(elsewhere, weights))[1] == []
