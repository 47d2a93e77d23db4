from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipeline.execution.project import Project
from pipeline.execution.tokenizing import find_tokenizing
from pipeline.values.errors import ManifestError
from pipeline.values.manifest import Manifest
from pipeline.values.tokenizing import Tokenize
from tests.support.corpora import TinyCorpus
from tests.support.exporting import export_here, export_to
from tests.support.tiny_tokenizers import options_for, save_tiny_tokenizer


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
