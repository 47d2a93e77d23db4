"""Whatever a manifest, a prompt or a topic file holds: an error that names the file, and never anything else."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.adapters.prompt_files import PromptFolder, TemplateFolder
from pipeline.adapters.shipped import shipped
from pipeline.adapters.yaml_file import read_document
from pipeline.execution.project import load_project
from pipeline.values.errors import AnyInstructError, ManifestError
from tests.support.projects import describe, write_manifest

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))
"""Of each test here; a campaign takes more."""

fuzzed = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 1, 2**31, 10**9, 10**18, 10**40, 1e308, float("nan"), float("-inf"), 0.5, "", " ", "\0", "a\0b",
    "../../../etc/passwd", "/etc/passwd", "/dev/zero", "~root", "\ud800", "\x1b[2J", "\u202e", "{{ 7 * 7 }}",
    "x" * 5_000, "CON", "C:\\x", "$HOME", "language:en", "all", "off", [], {}, [[]], {"a": 1}, [None],
    ["a\0b"], ["\ud800"],
    [1, 2, 3],
    {"list": []}, {"files": ["/dev/zero"]}, "2024-13-45", "http://[", "http://a:b@c", "file:///etc/passwd",
)  # fmt: skip


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """All places below a value of mappings and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in items:
        yield (*at, key)
        yield from places(child, (*at, key))


CHANGES = st.lists(
    st.tuples(st.integers(0, 10**6), st.sampled_from(HOSTILE), st.booleans()), min_size=1, max_size=2
)  # fmt: skip


def mutated(value: Any, changes: list[tuple[int, Any, bool]]) -> Any:
    root = copy.deepcopy(value)
    for number, hostile, is_out in changes:
        there = list(places(root))
        if not there:
            break
        *above, last = there[number % len(there)]
        holder = root
        for key in above:
            holder = holder[key]
        if is_out:
            del holder[last]
        else:
            holder[last] = hostile
    return root


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("manifests")
    write_manifest(made, describe("http://127.0.0.1:9/v1"))
    return made


def check(path: Path) -> None:
    """Load a manifest as every command does; an error of ours is all that may come."""
    before = sorted(path.parent.rglob("*"))
    try:
        project = load_project(path, path.parent / "corpus")
        project.written_topics()
    except AnyInstructError as exc:
        text = str(exc)
        assert text.strip()
        assert len(text) < 100_000
    assert sorted(path.parent.rglob("*")) == before


@fuzzed
@given(CHANGES)
def test_a_changed_manifest_is_good_or_an_error(folder: Path, changes: list[tuple[int, Any, bool]]) -> None:
    path = folder / "manifest.yaml"
    stated = mutated(describe("http://127.0.0.1:9/v1"), changes)
    path.write_text(yaml.safe_dump(stated, sort_keys=False), encoding="utf-8")
    check(path)


@fuzzed
@given(
    st.binary(max_size=200)
    | st.text(alphabet="a1:-{}[]&*!|>'\"#%@`,?. \n\t\\x0e+_~<=", max_size=200).map(str.encode)
)  # fmt: skip
@example(b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]")
@example(b"seed: 0x" + b"f" * 5000)
@example(b"seed: " + b"9" * 5000)
@example(b"seed: 0001-01-01 00:00:00 +23:59")
@example(b"<<: 3")
@example(b"? [a]\n: b")
@example(b"{" * 5000)
@example(b"- " * 5000)
@example(b"a: !!python/object/apply:os.system [id]")
@example(b"=: =")
def test_any_bytes_are_a_document_or_an_error(folder: Path, data: bytes) -> None:
    path = folder / "bytes.yaml"
    path.write_bytes(data)
    try:
        read_document(path)
    except ManifestError as exc:
        assert str(exc).startswith(str(path))
        assert len(str(exc)) < 2000


@fuzzed
@given(st.binary(max_size=120) | st.text(max_size=120).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(b"[\n")
@example(b"[night-markets]\n" + b"x" * 10_000)
def test_any_topic_file_is_topics_or_an_error(folder: Path, data: bytes) -> None:
    (folder / "topics.txt").write_bytes(data)
    path = folder / "with_file.yaml"
    stated = describe("http://127.0.0.1:9/v1", topics={"files": ["topics.txt"]})
    path.write_text(yaml.safe_dump(stated), encoding="utf-8")
    check(path)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped prompts, with few demonstrations and meta-topics, so that they are read in no time."""
    made = tmp_path_factory.mktemp("book") / "prompts"
    shutil.copytree(shipped("prompts"), made)
    first, *others = sorted((made / "demonstrations").glob("*.yaml"))
    for other in others:
        other.unlink()
    for path in (first, made / "meta_topics.yaml", made / "requirements.yaml"):
        some = yaml.safe_load(path.read_text("utf-8"))[:2]
        path.write_text(yaml.safe_dump(some, sort_keys=False, allow_unicode=True), encoding="utf-8")
    PromptFolder(made)
    return made


@fuzzed
@given(st.integers(0, 2), CHANGES)
def test_changed_prompts_are_good_or_an_error(prompts: Path, which: int, changes: list[tuple[int, Any, bool]]) -> None:
    (first,) = (prompts / "demonstrations").glob("*.yaml")
    path = (first, prompts / "meta_topics.yaml", prompts / "requirements.yaml")[which]
    good = path.read_bytes()
    path.write_text(yaml.safe_dump(mutated(yaml.safe_load(good), changes), sort_keys=False), encoding="utf-8")
    try:
        PromptFolder(prompts)
    except ManifestError as exc:
        assert str(prompts) in str(exc)
    finally:
        path.write_bytes(good)


@fuzzed
@given(st.text(alphabet="{}%#|()[]'\". abx1+/-~\n", max_size=60))
@example("{{ 1 + 'a' }}")
@example("{{ 1 / 0 }}")
@example("{{ topic[1][2] }}")
@example("{{ topic.__class__.__mro__ }}")
@example("{% for x in range(10 ** 9) %}x{% endfor %}")
@example("{% include '../../../../etc/passwd' %}")
@example("{% include '/etc/passwd' %}")
def test_any_template_is_filled_or_an_error(folder: Path, source: str) -> None:
    (folder / "templates").mkdir(exist_ok=True)
    (folder / "templates" / "one.j2").write_text(source, encoding="utf-8")
    try:
        text = TemplateFolder(folder).text("one", topic="{{ 7 * 7 }}")
    except ManifestError as exc:
        assert "one.j2" in str(exc)
    else:
        assert "root:" not in text
