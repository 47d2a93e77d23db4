"""Topics that the command adds to a finished corpus: their dialogues are made, and nothing else."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from pipeline.adapters.corpus import CorpusFolder
from pipeline.cli.app import app
from tests.support.endpoint import running_endpoint
from tests.support.projects import describe, make, write_manifest

TEXT = """\
kites over the dunes
[night-markets]
fried crickets in a paper bag
noodles under a red awning
[laundry-day]
odd socks on a line
"""
MIX = [{"name": "written", "gives": ["text"], "answers": ["text", "image"], "rounds": [1, 1]}]


def topic_of(request: dict[str, object]) -> str:
    messages = request["messages"]
    assert isinstance(messages, list)
    return str(messages[-1]["content"]).splitlines()[0].removeprefix("Topic: ")


def tables(corpus: Path) -> dict[str, bytes]:
    paths = [path for folder in ("dialogues", "images") for path in (corpus / folder).glob("*.parquet")]
    return {path.name: path.read_bytes() for path in paths}


def test_added_topics_make_their_dialogues_and_nothing_else(tmp_path: Path) -> None:
    file, corpus = tmp_path / "topics.txt", tmp_path / "corpus"
    file.write_text(TEXT)
    with running_endpoint() as endpoint:
        path = write_manifest(tmp_path, describe(endpoint.url, topics={"files": ["topics.txt"]}, mix=MIX))
        ledger, _ = make(path, corpus, has_ray=False)
        assert ledger is not None
        assert ledger.counts["kept"] == 4
        assert len(endpoint.take()) == 8
        made, plan = tables(corpus), CorpusFolder(corpus).read_plan()

        new = ["a ferry horn at dawn", "bells in the fog"]
        asked = ["topics", "add", *new, "noodles under the red awning", str(file), "--meta", "night-markets"]
        result = CliRunner().invoke(app, [*asked, "--words-only"])
        assert result.exit_code == 0, result.output
        assert "2 of 3 topics added" in result.output
        assert file.read_text() == TEXT.replace("awning\n", f"awning\n{new[0]}\n{new[1]}\n")

        ledger, _ = make(path, corpus, has_ray=False)
        assert ledger is not None
        assert ledger.counts == {"planned": 6, "kept": 6, "rejected": 0, "failed": 0}
        assert sorted(map(topic_of, endpoint.take())) == sorted(new * 2)
        # Old shards are the files that they were; the plan has grown at its end.
        assert {name: data for name, data in tables(corpus).items() if name in made} == made
        grown = CorpusFolder(corpus).read_plan()
        assert grown[: len(plan)] == plan
        assert [(row.topic.text, row.topic.meta_topic) for row in grown[len(plan) :]] == [
            (text, "night-markets") for text in new
        ]
        _, again = make(path, corpus, has_ray=False)
        assert again.was_idle
        assert endpoint.take() == []
