"""The data card: what its header makes ``datasets`` load, and that nobody's text breaks it."""

from __future__ import annotations

import io
import re
from importlib import import_module
from pathlib import Path
from typing import Any

import datasets
import duckdb
import pytest
import soundfile
import yaml

from pipeline.contracts.ledger import Ledger, ShardLedger
from pipeline.work.card import write_card
from pipeline.work.markdown import code_span, escape_markdown
from tests.support.corpora import TinyCorpus, make_corpus

HOSTILE = (
    "---\nconfigs: []\n---\n# Hi <script>alert(1)</script> | [x](https://e.example) `ls` {{ ledger }} \x1b[31m\u202e"
)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    return make_corpus(tmp_path_factory.mktemp("card"))


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    return tmp_path / "cache"


def shard_ledgers(corpus: TinyCorpus) -> list[ShardLedger]:
    return [corpus.shard_ledger(shard) for shard in range(len(corpus.ledger.shards))]


def split_card(card: str) -> tuple[dict[str, Any], str]:
    found = re.fullmatch(r"---\n(.*?)\n---\n(.*)", card, re.DOTALL)
    assert found is not None
    header: dict[str, Any] = yaml.safe_load(found[1])
    return header, found[2]


def rewrite(corpus: TinyCorpus, **changes: object) -> str:
    return write_card(corpus.ledger.model_copy(update=changes), shard_ledgers(corpus))


def test_configs_list_exactly_the_files_that_are_there(corpus: TinyCorpus) -> None:
    header, _ = split_card((corpus.root / "README.md").read_text(encoding="utf-8"))
    listed: dict[str, list[str]] = {}
    for config in header["configs"]:
        (files,) = config["data_files"]
        assert files["split"] == "train"
        listed[config["config_name"]] = files["path"]
    there: dict[str, list[str]] = {}
    for path in sorted(corpus.root.glob("*/*.parquet")):
        if path.parent.name != "work":
            there.setdefault(path.parent.name, []).append(f"{path.parent.name}/{path.name}")
    assert listed == there
    assert [c["config_name"] for c in header["configs"] if c.get("default")] == ["dialogues"]


def test_header_says_what_the_hub_asks_for(corpus: TinyCorpus) -> None:
    header, _ = split_card(rewrite(corpus))
    assert header["pretty_name"] == "tiny"
    assert header["language"] == ["en"]
    assert header["size_categories"] == ["n<1K"]
    assert {"any-to-any", "synthetic"} <= set(header["tags"])


@pytest.mark.parametrize(
    ("kept", "category"),
    [(999, "n<1K"), (1_000, "1K<n<10K"), (108_000, "100K<n<1M"), (20_000_000, "n>10M")],
)
def test_size_category(corpus: TinyCorpus, kept: int, category: str) -> None:
    header, _ = split_card(rewrite(corpus, counts={"planned": kept, "kept": kept}))
    assert header["size_categories"] == [category]


@pytest.mark.parametrize(
    ("writer", "media", "expected"),
    [
        ("Apache-2.0", "Apache-2.0", "apache-2.0"),
        ("Apache-2.0", "CC0-1.0", "other"),
        ("Apache-2.0", None, "apache-2.0"),
        ("GPL-3.0-or-later", "GPL-3.0-or-later", "other"),
        (None, "Apache-2.0", "other"),
    ],
)
def test_licence_is_named_only_where_all_models_share_it(
    corpus: TinyCorpus, writer: str | None, media: str | None, expected: str
) -> None:
    facts = {**corpus.ledger.renderers["image"], "licences": {"weights": media} if media else {}}
    card = rewrite(
        corpus, writer={"models": {"m": 1.0}, "engine": "embedded", "licence": writer}, renderers={"image": facts}
    )
    header, body = split_card(card)
    assert header["license"] == expected
    assert ("do not share one licence" in body) == (expected == "other")


def test_drafts_are_called_previews(corpus: TinyCorpus) -> None:
    assert "Previews, not training data." in rewrite(corpus)
    real = {name: {**facts, "is_draft": False} for name, facts in corpus.ledger.renderers.items()}
    assert "training data" not in rewrite(corpus, renderers=real)


def test_counts_stand_in_the_card_and_a_wrong_sum_is_called_wrong(corpus: TinyCorpus) -> None:
    body = split_card(rewrite(corpus))[1]
    counts = corpus.ledger.counts
    row = " | ".join(str(counts[name]) for name in ("planned", "kept", "rejected", "failed"))
    assert f"| {row} |" in body
    assert "`dialogues/refused` | 1 |" in body
    assert "do not add up" not in body
    assert "do not add up" in rewrite(corpus, counts={**counts, "kept": counts["kept"] + 1})


def test_matrix_says_wanted_and_kept(corpus: TinyCorpus) -> None:
    body = split_card(rewrite(corpus, matrix={"draw": {"share": 0.25, "planned": 5, "kept": 4}}))[1]
    assert "| `draw` | text | text, image | 25.0% | 100.0% | 5 | 4 |" in body


def test_spend_without_a_price_is_not_called_free(corpus: TinyCorpus) -> None:
    ledger = corpus.ledger
    assert re.search(r"\| scenarios \| `made-up` \| 8 \|.*\| 0\.0\d{3} \|", rewrite(corpus))
    unpriced = rewrite(corpus, writer={**ledger.writer, "price_usd_per_million": {}}, num_lost_calls=3)
    assert re.search(r"\| scenarios \| `made-up` \| 8 \|.*\| not known \|", unpriced)
    assert "3 more were in flight" in unpriced


def test_hostile_text_breaks_neither_header_nor_body(corpus: TinyCorpus) -> None:
    card = rewrite(
        corpus,
        name=HOSTILE,
        description=HOSTILE,
        reasons={HOSTILE: 2},
        voices={HOSTILE: 1},
        writer={"models": {HOSTILE: 1.0}, "engine": HOSTILE, "licence": HOSTILE, "price_usd_per_million": {}},
    )
    header, body = split_card(card)
    assert header["pretty_name"].startswith("--- configs: [] --- # Hi <script>")
    assert header["configs"][0]["config_name"] == "dialogues"
    assert "\x1b" not in card
    assert "\u202e" not in card
    outside_code = re.sub(r"`[^`]*`", "", body.partition("```")[0])
    assert "<script>" not in outside_code
    assert "](https" not in outside_code
    assert not re.search(r"^---$", body, re.MULTILINE)
    for line in body.splitlines():
        if line.startswith("| words |"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 4


def test_a_corpus_of_nothing_has_a_card_without_configs(corpus: TinyCorpus) -> None:
    ledger: Ledger = corpus.ledger.model_copy(update={"counts": {"planned": 1, "failed": 1}, "spend": {}, "voices": {}})
    header, body = split_card(write_card(ledger, []))
    assert "configs" not in header
    assert "load_dataset" not in body


def test_datasets_loads_dialogues_and_images_decode(corpus: TinyCorpus, cache: Path) -> None:
    loaded = datasets.load_dataset(str(corpus.root), "dialogues", split="train")
    assert loaded.num_rows == corpus.ledger.counts["kept"]
    named = [part["asset"] for row in loaded for turn in row["turns"] for part in turn["parts"] if part["asset"]]
    images = datasets.load_dataset(str(corpus.root), "images", split="train")
    assert images.num_rows == corpus.ledger.tables["images"]
    for row in images:
        assert row["image"].size == (row["width"], row["height"])
        assert row["id"] in named


def test_datasets_decodes_the_audio_where_its_decoder_loads(corpus: TinyCorpus, cache: Path) -> None:
    """datasets decodes audio through torchcodec alone, which needs FFmpeg's shared libraries on the machine."""
    try:
        import_module("torchcodec")
    except (ImportError, OSError, RuntimeError) as exc:
        pytest.skip(f"torchcodec does not load here: {type(exc).__name__}")
    for table in ("music", "speech"):
        loaded = datasets.load_dataset(str(corpus.root), table, split="train")
        assert loaded.num_rows == corpus.ledger.tables[table] > 0
        for row in loaded:
            samples = row["audio"].get_all_samples()
            assert samples.sample_rate == row["sample_rate"]
            assert samples.duration_seconds == pytest.approx(row["duration"], abs=0.01)
            assert float(samples.data.abs().max()) == pytest.approx(row["peak"], abs=1e-3)


def test_what_the_card_says_about_loading_works(
    corpus: TinyCorpus, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.root)
    _, body = split_card((corpus.root / "README.md").read_text(encoding="utf-8"))
    script, query = re.findall(r"```(?:python|sql)\n(.*?)```", body, re.DOTALL)
    names: dict[str, Any] = {}
    exec(script.replace("path/to/this/folder", str(corpus.root)), names)
    for table in ("music", "speech"):
        for row in names[table]:
            samples, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]))
            assert rate == row["sample_rate"]
            assert len(samples) / rate == pytest.approx(row["duration"], abs=0.01)
    parts = duckdb.connect().execute(query).fetchall()
    assert len(parts) == sum(corpus.ledger.tables[table] for table in ("images", "music", "speech"))


def test_escaped_text_is_one_harmless_line() -> None:
    assert escape_markdown("a\n# b |\x07 <i>") == "a \\# b \\| \\<i\\>"
    assert escape_markdown("- x") == "\\- x"
    assert escape_markdown("1. x") == "1\\. x"
    assert escape_markdown("version 2.4.6, well-known") == "version 2.4.6, well-known"
    assert code_span("a`b|c\n") == "`a'b\\|c`"
    assert code_span("") == "` `"
