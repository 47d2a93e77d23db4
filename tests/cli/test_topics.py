from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.adapters.lock import CorpusLock
from pipeline.adapters.shipped import shipped
from pipeline.adapters.topic_files import read_topic_file
from pipeline.cli.app import app
from pipeline.cli.topic_expanding import CallLimit
from pipeline.contracts.watch import Drained
from pipeline.values.errors import CorpusError, EndpointError, ManifestError
from tests.support.endpoint import running_endpoint
from tests.support.projects import describe, write_manifest
from tests.support.stages import read_book
from tests.support.waiting import wait_until

TEXT = """\
# Ours, reviewed.
a kite festival on a windy beach

[night-markets]
noodles at a night market
lanterns floating on the river  # pretty

[laundry-day]
odd socks on a line
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "topics.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture
def own_cache(cache_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Models from the user's cache, vectors into a folder of the test's own."""
    monkeypatch.setenv("ANYINSTRUCT_MODELS", str(cache_root / "models"))
    monkeypatch.setenv("ANYINSTRUCT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def ask(*arguments: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["topics", *map(str, arguments)], catch_exceptions=True)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def test_topics_are_listed_with_their_lines(file: Path) -> None:
    assert [line.split() for line in ask("list", file, "--meta", "night-markets").splitlines()] == [
        ["5", "night-markets", "noodles", "at", "a", "night", "market"],
        ["6", "night-markets", "lanterns", "floating", "on", "the", "river"],
        ["2", "topics"],
    ]
    assert "odd socks" in ask("list", file, "--matching", "SOCKS|kettle")
    assert "1 topic\n" in ask("list", file, "--matching", "^a kite")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--meta", "cats"], r"--meta: 'cats' does not stand in meta_topics\.yaml; "),
        (["--matching", "("], r"--matching: '\(' is no regular expression"),
    ],
)
def test_a_wrong_choice_is_named(file: Path, arguments: list[str], expected: str) -> None:
    with pytest.raises(ManifestError, match=expected):
        ask("list", file, *arguments)


def test_an_added_topic_is_one_line_under_its_meta_topic(file: Path) -> None:
    said = ask("add", "dumplings by lamplight", "a paper boat", "--meta", "laundry-day", file, "--words-only")
    assert "2 of 2 topics added" in said
    assert file.read_text() == TEXT + "dumplings by lamplight\na paper boat\n"


def test_duplicates_are_refused_with_their_line(file: Path) -> None:
    said = ask("add", "Odd  SOCKS on a line", file, "--words-only", code=1)
    assert "refused: 'Odd SOCKS on a line' is 'odd socks on a line', line 9 of" in said
    said = ask("add", "noodles at the night market", "one and only", "one and only", file, "--words-only")
    assert "is nearly 'noodles at a night market', line 5 of" in said
    assert "'one and only' is 'one and only', a topic added before it" in said
    assert "1 of 3 topics added" in said


def test_meanings_are_compared_and_kept(file: Path, own_cache: Path) -> None:
    said = ask("add", "river lanterns floating at night", "ferries in the fog", file)
    assert "'river lanterns floating at night' says the same as 'lanterns floating on the river', line 6 of" in said
    assert "cosine 0.9" in said
    assert len(list((own_cache / "vectors").glob("*.npz"))) == 1
    said = ask("add", "river lanterns floating at night", file, "--anyway")
    assert "added anyway: " in said
    assert "1 of 1 topic added" in said
    ask("add", "river lanterns floating at night", file, "--anyway", code=1)


def test_a_file_is_added_under_its_headings(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("hand bells\n[night-markets]\nnoodles at a night market\nfried crickets in a paper bag\n")
    said = ask("add", "--file", other, "--meta", "laundry-day", file, "--words-only")
    assert "2 of 3 topics added" in said
    added = file.read_text().splitlines()
    assert added[added.index("[night-markets]") + 3] == "fried crickets in a paper bag"
    assert added[-1] == "hand bells"
    ask("add", "--file", other, file, "--words-only", code=1)
    assert "3 of 3 topics added" in ask("add", "--file", other, tmp_path / "new.txt", "--words-only")


def test_nothing_to_add_is_an_error(file: Path) -> None:
    with pytest.raises(ManifestError, match="name a topic before the file"):
        ask("add", file)
    with pytest.raises(ManifestError, match="would be read as a remark"):
        ask("add", "number # one", file)


def test_pruning_removes_lines_and_nothing_else(file: Path) -> None:
    file.write_text(TEXT + "noodles at the night market\n[night-markets]\nA kite festival on a WINDY beach\n")
    dry = ask("prune", file, "--words-only", "--dry-run")
    assert "2 topics would be removed; nothing was changed; 4 left" in dry
    assert "is nearly 'noodles at a night market', line 5" in dry
    ask("prune", file, "--words-only")
    assert file.read_text() == TEXT + "[night-markets]\n"
    ask("prune", file, "--meta", "night-markets", "--matching", "lantern")
    assert file.read_text() == TEXT.replace("lanterns floating on the river  # pretty\n", "") + "[night-markets]\n"
    before = file.stat().st_mtime_ns
    assert "0 topics removed" in ask("prune", file, "--words-only")
    assert file.stat().st_mtime_ns == before


def test_coverage_tells_counts_spread_and_gaps(file: Path, own_cache: Path, tmp_path: Path) -> None:
    said = ask("coverage", file, "--wanted", "2", "--plot", tmp_path / "plots" / "c.svg")
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["laundry-day"] == ["1", "0.0%", "1"]
    assert rows["night-markets"][:2] == ["2", "0.0%"]
    assert 0.3 < float(rows["night-markets"][2]) < 1
    assert rows["morning-kitchens"] == ["0", "2"]
    assert "No topic yet (98): morning-kitchens, " in said
    assert "Fewer than 2 (1): laundry-day (1)" in said
    assert "197 topics are missing" in said
    assert ET.parse(tmp_path / "plots" / "c.svg").getroot().tag.endswith("svg")
    assert "Every meta-topic has its 0 topics." in ask("coverage", file, "--wanted", "0", "--words-only")
    with pytest.raises(ManifestError, match=r"plots are written as \.svg"):
        ask("coverage", file, "--plot", "x.png")


def test_a_diff_of_two_files(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("odd socks on a line\nnoodles at the night market\nfresh rain\na kite festival on a windy beach\n")
    lines = ask("diff", file, other, "--words-only").splitlines()
    assert lines == [
        "~ noodles at a night market -> noodles at the night market (near 0.73)",
        "> [laundry-day] -> odd socks on a line",
        "- [night-markets] lanterns floating on the river",
        "+ fresh rain",
        "1 added, 1 removed, 1 moved, 1 reworded",
    ]
    assert ask("diff", file, file) == "0 added, 0 removed, 0 moved, 0 reworded\n"


def test_what_strangers_wrote_moves_no_cursor_and_is_no_markup(tmp_path: Path) -> None:
    file = tmp_path / "topics.txt"
    file.write_text("a [bold]red[/] herring [/nothing]\n")
    assert "a [bold]red[/] herring [/nothing]" in ask("list", file)


def expand(file: Path, url: str, *more: str, code: int = 0) -> str:
    metas = ["--meta", "night-markets", "--meta", "laundry-day"]
    return ask("expand", file, "--model", "tester", "--base-url", url, "--words-only", *metas, *more, code=code)


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "none")


def test_expanding_fills_the_file_in_rounds(file: Path, key: None) -> None:
    with running_endpoint() as endpoint:
        said = expand(file, endpoint.url, "--per-meta", "30", "--per-call", "12")
        assert "57 topics are missing from 2 of 2 meta-topics: 6 calls or more, with no limit." in said
        assert "57 topics added" in said
        assert len(endpoint.take()) == 6
        again = expand(file, endpoint.url, "--per-meta", "30", "--per-call", "12")
        assert "0 topics added" in again
        assert endpoint.take() == []
    entries = read_topic_file(file, read_book().meta_topics).entries
    counts = [sum(e.topic.meta_topic == name for e in entries) for name in ("", "night-markets", "laundry-day")]
    assert counts == [1, 30, 30]
    assert file.read_text().startswith(TEXT.partition("lanterns")[0])


def test_a_limit_of_calls_ends_it_and_the_same_command_goes_on(file: Path, tmp_path: Path, key: None) -> None:
    whole = tmp_path / "whole" / "topics.txt"
    whole.parent.mkdir()
    whole.write_text(TEXT)
    with running_endpoint() as endpoint:
        size = ("--per-meta", "20", "--per-call", "10")
        expand(whole, endpoint.url, *size)
        num_calls = len(endpoint.take())
        said = expand(file, endpoint.url, *size, "--max-calls", "2", code=3)
        assert "Stopped after 2 calls, as asked" in said
        assert len(endpoint.take()) == 2
        expand(file, endpoint.url, *size)
        assert len(endpoint.take()) == num_calls - 2
    assert file.read_text() == whole.read_text()


def test_a_killed_expansion_goes_on_from_its_journal(file: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole" / "topics.txt"
    whole.parent.mkdir()
    whole.write_text(TEXT)
    with running_endpoint() as endpoint:

        def command(path: Path) -> list[str]:
            metas = ["--meta", "night-markets", "--meta", "laundry-day", "--per-meta", "40", "--per-call", "10"]
            start = [sys.executable, "-m", "pipeline.cli.app", "topics", "expand", str(path), "--words-only"]
            return [*start, "--model", "tester", "--base-url", endpoint.url, *metas]

        environment = {**os.environ, "OPENAI_API_KEY": "none"}
        subprocess.run(command(whole), env=environment, check=True, capture_output=True)
        num_calls = len(endpoint.take())
        # Two are answered, the others never: so it is killed with some done and some to do.
        endpoint.answer_only(2)
        process = subprocess.Popen(command(file), env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        wait_until(lambda: len(endpoint.requests) >= 3)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        before = endpoint.take()
        endpoint.room = None
        assert len(before) < num_calls
        subprocess.run(command(file), env=environment, check=True, capture_output=True)
        repeated = len(before) + len(endpoint.take()) - num_calls
    # Two were in flight at the most: one call a meta-topic.
    assert 0 <= repeated <= 2
    assert file.read_text() == whole.read_text()


def test_an_interrupted_expansion_keeps_what_was_in_flight(file: Path) -> None:
    with running_endpoint() as endpoint:
        endpoint.answer_only(0)
        start = [sys.executable, "-m", "pipeline.cli.app", "topics", "expand", str(file), "--words-only"]
        metas = ["--meta", "night-markets", "--meta", "laundry-day", "--per-meta", "40", "--per-call", "10"]
        process = subprocess.Popen(
            [*start, "--model", "tester", "--base-url", endpoint.url, *metas],
            env={**os.environ, "OPENAI_API_KEY": "none"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        wait_until(lambda: len(endpoint.requests) == 2)
        process.send_signal(signal.SIGINT)
        said = ""
        assert process.stdout is not None
        for line in process.stdout:
            said += line
            if "Finishing what is in flight" in line:
                break
        endpoint.room = None
        said += process.communicate()[0]
        assert process.returncode == 130, said
        assert "Stopped; what was answered is kept. The same command goes on." in said
        assert len(endpoint.take()) == 2
    assert len(read_topic_file(file, read_book().meta_topics).entries) == 4 + 20


def test_a_manifest_says_who_writes_and_by_which_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_KEY", "none")
    shutil.copytree(shipped("prompts"), tmp_path / "prompts")
    template = tmp_path / "prompts" / "templates" / "topics.system.j2"
    template.write_text(template.read_text() + "\nThink of the sea.")
    new = tmp_path / "new.txt"
    with running_endpoint() as endpoint:
        path = write_manifest(tmp_path, describe(endpoint.url, prompts="prompts"))
        ask("expand", new, "--manifest", path, "--meta", "night-markets", "--per-meta", "3", "--words-only")
        (request,) = endpoint.take()
        ask("expand", new, "--manifest", path, "--meta", "laundry-day", "--per-meta", "3", "--words-only")
        assert len(endpoint.take()) == 1
    assert request["model"] == "tester"
    assert request["messages"][0]["content"].endswith("Think of the sea.")
    lines = new.read_text().splitlines()
    assert [line for line in lines if line.startswith("[")] == ["[laundry-day]", "[night-markets]"]
    assert len(lines) == 3 + 3 + 3


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name either --manifest or --model"),
        (["--model", "x", "--manifest", "y.yaml"], "name either --manifest or --model"),
        (["--manifest", "y.yaml", "--base-url", "http://x"], "--base-url goes with --model"),
        (["--model", "x", "--base-url", "http://127.0.0.1:1/v1", "--meta", "cats"], "'cats' does not stand in"),
        (["--model", "x", "--base-url", "localhost"], "^--base-url: 'localhost' is no http or https address"),
        (["--model", "x"], r"^--model: \$OPENAI_API_KEY is not set, .* or give --base-url, the address of a server"),
        (["--model", "x", "--base-url", "http://x/v1", "--budget", "1"], "^--budget: nobody stated what x costs"),
    ],
)
def test_what_expand_is_asked_must_make_sense(
    file: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(ManifestError, match=expected):
        ask("expand", file, *arguments)
    assert not file.with_name("topics.txt.work").exists()


def test_an_endpoint_that_is_not_there_is_told_by_the_option_and_costs_no_call(
    file: Path, key: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.adapters.llm.wire.MAX_TRIES", 1)
    command = ["topics", "expand", str(file), "--model", "tester", "--base-url", "http://127.0.0.1:9/v1"]
    result = CliRunner().invoke(app, [*command, "--words-only", "--meta", "night-markets"])
    assert isinstance(result.exception, EndpointError)
    assert "cannot be reached: connection refused; check --base-url and the network" in str(result.exception)
    assert "0 topics added, 0 left out, 0 calls; 1 open" in result.output


def test_a_budget_ends_it_before_a_call_that_might_exceed_it_and_more_goes_on(file: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole" / "topics.txt"
    whole.parent.mkdir()
    whole.write_text(TEXT)
    with running_endpoint() as endpoint:
        writer = {**describe(endpoint.url)["writer"], "price": {"input": 10, "output": 1000}}
        manifest = write_manifest(tmp_path, describe(endpoint.url, writer=writer))
        metas = ["--meta", "night-markets", "--meta", "laundry-day"]
        size = ["--manifest", str(manifest), "--words-only", *metas, "--per-meta", "20", "--per-call", "10"]
        said = ask("expand", whole, *size)
        num_calls = len(endpoint.take())
        spent = num_calls * (100 * 10 + 20 * 1000) / 1e6
        assert f"{spent:,.2f} USD" in said
        # At its worst a call costs 0.4 USD for 400 tokens, and its prompt; in truth it comes to 0.021 USD.
        said = ask("expand", file, *size, "--budget", "0.1", code=3)
        assert endpoint.take() == []
        assert "0 topics added to" in said
        assert "does not fit into the budget; 0.0000 of 0.1000 USD are spent" in said
        budget = f"{float(said.partition('may cost up to ')[2].partition(' USD')[0]) + 0.03:.4f}"
        ask("expand", file, *size, "--budget", budget, code=3)
        first = len(endpoint.take())
        assert first == 2
        # What earlier runs have spent counts: the same budget takes it no further.
        again = ask("expand", file, *size, "--budget", budget, code=3)
        assert endpoint.take() == []
        assert f"{first * 0.021:.4f} of {budget} USD are spent, earlier runs included" in again
        ask("expand", file, *size, "--budget", "5")
        assert len(endpoint.take()) == num_calls - first
    assert file.read_text() == whole.read_text()


def test_two_expansions_of_one_file_are_refused(file: Path, key: None) -> None:
    lock = CorpusLock.acquire(file.with_name("topics.txt.work") / "journal")
    try:
        with running_endpoint() as endpoint, pytest.raises(CorpusError, match=r"topics\.txt\.work: another run"):
            expand(file, endpoint.url)
    finally:
        lock.release()


def test_a_call_limit_counts_and_ends() -> None:
    watch = CallLimit(max_calls=1)
    watch.check()
    watch.note("call", record="x", purpose="y")
    watch.note("answer", usd=0.5, tokens=7)
    watch.note("record", stage="topics")
    assert (watch.calls, watch.tokens, watch.usd) == (1, 7, 0.5)
    watch.note("call", record="x", purpose="y")
    watch.note("unsent", record="x", purpose="y")
    assert watch.calls == 1
    with pytest.raises(Drained):
        watch.check()
    endless = CallLimit(None)
    endless.note("call")
    endless.check()
    endless.is_ending = True
    with pytest.raises(Drained):
        endless.check()
