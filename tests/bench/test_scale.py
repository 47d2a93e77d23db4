from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from bench.llm.driving import running_server
from bench.scale import __main__ as bench
from bench.scale.assets import measure_assets
from bench.scale.goals import Goal, judge_growth, judge_overhead
from bench.scale.keeping import make_or_recall
from bench.scale.manifests import Shape, grow, write_manifest
from bench.scale.measuring import CommandFailed, Made, Size, measure_size, read_raw
from bench.scale.plot import draw
from bench.scale.watching import Cost, Watched, watch
from pipeline.execution.project import load_project
from pipeline.work.planning import count_wanted, extend_plan
from pipeline.work.tables import TABLE_OF
from tests.support.projects import make


def answers(url: str, schema: dict[str, Any], seed: int) -> Any:
    body = {"messages": [], "seed": seed, "response_format": {"json_schema": {"name": "x", "schema": schema}}}
    with urllib.request.urlopen(f"{url}/chat/completions", json.dumps(body).encode(), timeout=10) as response:
        return json.loads(json.load(response)["choices"][0]["message"]["content"])


def test_the_endpoint_fits_a_schema_and_says_the_same_to_the_same() -> None:
    words = {"type": "string", "maxLength": 300}
    schema = {"type": "object", "properties": {"a": words, "b": {"type": "string", "maxLength": 40}}}
    with running_server(bench.ENDPOINT) as server:
        first, again, other = (answers(server.url, schema, seed) for seed in (1, 1, 2))
    assert first == again != other
    assert (len(first["a"].split()), len(first["b"].split())) == (12, 5)


def test_manifests_have_the_published_set_s_shape(tmp_path: Path) -> None:
    project = load_project(write_manifest(tmp_path, Shape(1080), "http://127.0.0.1:9/v1"))
    topics = project.written_topics()
    assert len({topic.id for topic in topics}) == 200
    plan = extend_plan([], topics, project.manifest, project.book)
    assert len(plan) == 1080
    kinds = [str(kind) for row in plan for turn in row.slot.turns for kind in turn.kinds]
    # 205,000 pictures, 113,000 pieces of music and 503,000 clips over 108,000 dialogues
    assert kinds.count("image") / 1080 == pytest.approx(1.9, rel=0.03)
    assert kinds.count("music") / 1080 == pytest.approx(1.05, rel=0.03)
    assert kinds.count("speech") / 1080 == pytest.approx(4.66, rel=0.03)
    grow(tmp_path, 200, 50)
    grown = load_project(tmp_path / "manifest.yaml")
    assert grown.written_topics()[:200] == topics
    assert count_wanted(grown.manifest, 250) == 1080 + 300


def test_text_alone_needs_no_renderer(tmp_path: Path) -> None:
    path = write_manifest(tmp_path, Shape(10, has_media=False), "http://127.0.0.1:9/v1")
    assert load_project(path).manifest.media == ()


def made(num_dialogues: int, **costs: Cost) -> Made:
    run = Watched(wall=10.0, costs={"driver": Cost(1.0, 200.0), **costs})
    assets = {"images": 2 * num_dialogues, "speech": 3 * num_dialogues}
    return Made(Shape(num_dialogues), run, 2 * num_dialogues, assets, [], Size(1, 1, 1))


def test_a_line_is_straight_where_every_dialogue_costs_the_same() -> None:
    straight = [made(n, Composer=Cost(5 + n / 100, 100)) for n in (100, 200, 400)]
    bent = [made(n, Composer=Cost(5 + n * n / 10000, 100 + n)) for n in (100, 200, 400)]
    assert [goal.value for goal in judge_growth(straight)] == pytest.approx([1.0, 0.0, 0.0])
    assert [goal.value for goal in judge_growth(bent)] == pytest.approx([2.0, 300.0, 0.0])


def test_what_starting_and_checking_take_is_no_overhead() -> None:
    sizes = [made(count, Composer=Cost(5 + 0.004 * count)) for count in (100, 400)]
    assert judge_overhead(sizes, checks=400 * 0.002).value == pytest.approx(1.0)  # 4 ms less 2, over two calls


def test_an_asset_is_rendered_and_packed_by_the_real_stages(tmp_path: Path) -> None:
    with running_server(bench.ENDPOINT) as server:
        manifest = write_manifest(tmp_path, Shape(24, per_shard=8), server.url)
        ledger, _ = make(manifest, tmp_path / "corpus", has_ray=False)
    assert ledger is not None
    before = sorted((tmp_path / "corpus").rglob("*"))
    assert 0.0 < measure_assets(tmp_path, tmp_path / "scratch") < 1.0
    assert sorted((tmp_path / "corpus").rglob("*")) == before
    for table, count in ledger.tables.items():
        if table in TABLE_OF.values():
            files = (tmp_path / "scratch" / "corpus" / table).glob("*.parquet")
            assert sum(pq.read_metadata(path).num_rows for path in files) == count


def test_missed_goals_are_told_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    goals = [Goal("plan", 2.0, 3.0, "s"), Goal("run", 20.0, 15.0, "s")]
    assert bench.tell(goals, made(100), slack=1.0) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "1 of 2 goals met; 100 dialogues in 10 s, 10.0/s"
    assert "MISSED" in said[-2]
    assert bench.tell(goals, made(100), slack=2.0) == 0


def test_a_command_is_watched_to_its_end(tmp_path: Path) -> None:
    seen = watch(["plan", str(tmp_path / "missing.yaml")], tmp_path / "log")
    assert seen.code != 0
    assert "missing.yaml" in seen.output
    assert list(seen.costs) == list(seen.memory) == ["driver"]
    assert seen.peak == seen.costs["driver"].peak > 1.0


def test_a_raw_read_reads_what_is_published(tmp_path: Path) -> None:
    for name in ("speech", "work"):
        (tmp_path / name).mkdir()
        pq.write_table(pa.table({"a": [1, 2, 3]}), tmp_path / name / "a.parquet")
    num_bytes, seconds = read_raw(tmp_path)
    assert num_bytes == (tmp_path / "speech" / "a.parquet").stat().st_size
    assert seconds > 0


def test_sizes_tell_published_files_from_others(tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "plan").write_bytes(b"12345")
    (tmp_path / "ledger.json").write_bytes(b"123")
    assert measure_size(tmp_path) == Size(2, 3, 8)


def test_a_size_that_was_measured_is_not_made_again(tmp_path: Path) -> None:
    one = made(100, Composer=Cost(5.0, 100.0))
    (tmp_path / "made.json").write_bytes(TypeAdapter(Made).dump_json(one))
    assert make_or_recall(tmp_path, one.shape, "http://127.0.0.1:7/v1") == one
    assert "127.0.0.1:7" in (tmp_path / "manifest.yaml").read_text(encoding="utf-8")
    with pytest.raises(CommandFailed, match="name another --folder"):
        make_or_recall(tmp_path, Shape(200), "http://127.0.0.1:7/v1")
    (tmp_path / "made.json").write_text("{", encoding="utf-8")
    with pytest.raises(CommandFailed, match=f"remove {tmp_path}"):
        make_or_recall(tmp_path, one.shape, "http://127.0.0.1:7/v1")


def test_growth_and_memory_are_drawn(tmp_path: Path) -> None:
    sizes = [made(count) for count in (100, 200)]
    sizes[-1].run.memory["_pack"] = [(0.0, 100.0), (2.0, 120.0)]
    draw(sizes, tmp_path / "growth.svg")
    drawn = (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert "<!-- dialogues -->" in drawn
    assert "<!-- Memory, 200 dialogues -->" in drawn
    assert "<!-- pack -->" in drawn
