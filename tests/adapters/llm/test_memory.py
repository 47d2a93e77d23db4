from __future__ import annotations

import asyncio
import json
import multiprocessing
from datetime import date, timedelta
from pathlib import Path

import pytest

from pipeline.adapters.llm.memory import KEPT_FOR, EndpointMemory


def remember(folder: Path | None, model: str = "m") -> EndpointMemory:
    memory = EndpointMemory(folder, "localhost:8000", model)
    memory.load()
    return memory


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.json")
    return path


def test_what_was_found_out_is_there_for_the_next_run(tmp_path: Path) -> None:
    remember(tmp_path).learn(ceiling=16, form="json_schema")
    remember(tmp_path).learn(reached=12)
    known = remember(tmp_path).load()
    assert (known.ceiling, known.reached, known.form) == (16, 12, "json_schema")
    assert remember(tmp_path, "other").load().ceiling is None
    assert set(json.loads(only_file(tmp_path).read_text())) == {"host", "model", "ceiling", "reached", "form", "day"}


def test_what_is_known_already_is_not_written_again(tmp_path: Path) -> None:
    memory = remember(tmp_path)
    memory.learn(ceiling=16)
    only_file(tmp_path).unlink()
    memory.learn(ceiling=16)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"ceiling": 3}', "[" * 100_000])
def test_a_damaged_file_is_as_good_as_none(damage: str, tmp_path: Path) -> None:
    remember(tmp_path).learn(ceiling=16)
    only_file(tmp_path).write_text(damage)
    memory = remember(tmp_path)
    assert memory.load().ceiling is None
    memory.learn(ceiling=17)
    assert remember(tmp_path).load().ceiling == 17


@pytest.mark.parametrize(
    ("change", "is_believed"),
    [
        ({}, True),
        ({"day": str(date.today() - KEPT_FOR)}, True),
        ({"day": str(date.today() - KEPT_FOR - timedelta(days=1))}, False),
        ({"model": "another"}, False),
        ({"host": "elsewhere"}, False),
        ({"ceiling": 0}, False),
        ({"form": "telepathy"}, False),
    ],
)
def test_only_what_is_young_and_ours_is_believed(change: dict[str, object], is_believed: bool, tmp_path: Path) -> None:
    remember(tmp_path).learn(ceiling=16)
    path = only_file(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert remember(tmp_path).load().ceiling == (16 if is_believed else None)


def test_without_a_folder_or_a_writable_one_a_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file" / "below"):
        memory = remember(folder)
        memory.learn(ceiling=16)
        assert memory.load().ceiling == 16

        async def be_alone(memory: EndpointMemory = memory) -> None:
            async with memory.alone():
                pass

        asyncio.run(be_alone())


def _hold(folder: Path, log: Path) -> None:
    async def hold() -> None:
        async with remember(folder).alone():
            with log.open("a") as file:
                file.write("in ")
            await asyncio.sleep(0.2)
            with log.open("a") as file:
                file.write("out ")

    asyncio.run(hold())


def test_one_process_at_a_time_finds_out(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_hold, args=(tmp_path, tmp_path / "log")) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert (tmp_path / "log").read_text() == "in out in out in out "
