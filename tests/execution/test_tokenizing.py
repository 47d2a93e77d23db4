from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.adapters.yaml_file import load_yaml
from pipeline.execution.project import Project
from pipeline.execution.tokenizing import find_tokenizing
from pipeline.values.errors import ManifestError
from pipeline.values.manifest import Manifest
from pipeline.values.tokenizing import Tokenize
from tests.support.corpora import TOPICS, MadeUpChat, TinyCorpus, make_corpus
from tests.support.exporting import export_here, export_to
from tests.support.runs import kill_run, start_run
from tests.support.tiny_tokenizers import options_for, save_tiny_tokenizer
from tests.support.waiting import wait_until


def with_tokenizers(project: Project, section: dict[str, Any]) -> Project:
    stated = project.manifest.model_dump() | {"tokenize": section}
    return replace(project, manifest=Manifest.model_validate(stated))


def test_a_manifest_names_tokenizers_and_a_manifest_without_them_reads_as_before(tiny: TinyCorpus) -> None:
    assert "tokenize" not in tiny.project.manifest.model_dump()
    assert find_tokenizing(tiny.project) is None
    project = with_tokenizers(tiny.project, {"speech": "mimi:kyutai/mimi", "actors": 2, "num_gpus": 0.5})
    found = find_tokenizing(project)
    assert found is not None
    setting, stated = found
    assert setting.out == tiny.root / "tokens"
    assert (stated.actors, stated.num_gpus) == (2, 0.5)


def test_codes_follow_the_corpus_shard_by_shard(tiny: TinyCorpus, tmp_path: Path) -> None:
    choice = options_for(save_tiny_tokenizer(tmp_path / "mimi", "mimi"), "mimi")
    found = find_tokenizing(with_tokenizers(tiny.project, {"speech": choice}))
    assert found is not None
    summary, shards = export_here(found[0])
    assert shards == [0, 1]
    assert sum(file.num_rows for part in summary.parts for file in part.files) > 0
    assert export_here(found[0])[1] == []
    (tiny.root / "tokens" / "codes" / "train-00001.parquet").unlink()
    assert export_here(found[0])[1] == [1]
    export_to(tiny.root, tmp_path / "rows", "anygpt", {"image": "words", "music": "words"})
    assert list((tmp_path / "rows").glob("train-*.jsonl"))


def test_a_run_that_is_killed_while_it_encodes_is_gone_on_with(tmp_path: Path) -> None:
    """Through the command and Ray's workers as far as the kill; the same codes come out without either."""
    topics = tuple(f"{topic} of {place}" for topic in TOPICS for place in ("the north", "the south", "the isles"))
    corpus = make_corpus(tmp_path, topics, lambda _: MadeUpChat())
    choice = options_for(save_tiny_tokenizer(tmp_path / "mimi", "mimi"), "mimi")
    manifest = tmp_path / "encoded.yaml"
    stated = corpus.project.path.read_text(encoding="utf-8") + f"tokenize: {json.dumps({'speech': choice})}\n"
    manifest.write_text(stated, encoding="utf-8")
    receipts = corpus.root / "work/tokens"
    run = start_run(manifest, corpus.root)
    wait_until(lambda: run.poll() is not None or list(receipts.glob("0*.json")) != [])
    if run.poll() is None:
        kill_run(run)
    else:
        assert run.returncode == 0, run.communicate()[0].decode()
        run.communicate()
    begun = len(list(receipts.glob("0*.json")))
    found = find_tokenizing(replace(corpus.project, manifest=load_yaml(manifest, Manifest)))
    assert found is not None
    summary, shards = export_here(found[0])
    assert begun > 0
    assert len(shards) == len(corpus.ledger.shards) - begun
    whole = export_here(replace(found[0], out=tmp_path / "whole", beside=None))[0]
    assert [part.num_media for part in summary.parts] == [part.num_media for part in whole.parts]
    for file in (file for part in whole.parts for file in part.files):
        assert (corpus.root / "tokens" / file.path).read_bytes() == (tmp_path / "whole" / file.path).read_bytes()


def test_a_wrong_section_is_told(tiny: TinyCorpus) -> None:
    with pytest.raises(ValidationError, match="names no tokenizer; state one for image, music or speech"):
        Tokenize()
    for section, message in (
        ({"image": "mimi:kyutai/mimi"}, "tokenize: .*tokenizer mimi: does not take image"),
        ({"music": "encodec"}, "tokenize: .*write TOKENIZER:MODEL"),
        ({"speech": "encoder:a/b"}, "tokenize: .*tokenizer 'encoder' is not installed"),
    ):
        with pytest.raises(ManifestError, match=message):
            find_tokenizing(with_tokenizers(tiny.project, section))
