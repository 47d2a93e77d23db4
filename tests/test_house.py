"""The house around the code: what starts quickly, what README promises, what must stand in no file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

HEAVY = frozenset(
    {
        "cyllama",
        "datasets",
        "diffusers",
        "kokoro_onnx",
        "numpy",
        "onnxruntime",
        "openai",
        "piper",
        "pyarrow",
        "ray",
        "torch",
        "transformers",
    }
)

# Imports the command, asks it for help, then writes the top-level modules that this took as the last line.
ASK_FOR_HELP = """
import json, sys
from pipeline.cli.app import main
sys.argv = ["anyinstruct", "--help"]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("\\n" + json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

# Character classes keep this file from finding itself.
UNWANTED = {
    "a package registry's host": re.compile(r"py[p]i\.org|pythonhoste[d]\.org|npm[j]s\.(?:org|com)"),
    "a path of one machine": re.compile(r"""(?:^|[\s"'`=(:])/(?:wor[k]|far[m]|roo[t]|hom[e]|User[s]|op[t])/\w"""),
}


def tracked_files() -> list[Path]:
    """Files that git knows or would add; the tests also run from an unpacked archive, which has no such list."""
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, capture_output=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return [path for name in listing.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str | None:
    data = path.read_bytes()
    return None if b"\0" in data[:8192] else data.decode("utf-8", errors="replace")


def test_help_imports_no_engine() -> None:
    answer = subprocess.run([sys.executable, "-c", ASK_FOR_HELP], cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert "Usage" in answer.stdout
    assert HEAVY.intersection(json.loads(answer.stdout.splitlines()[-1])) == set()


def test_readme_names_every_command_and_no_other() -> None:
    import typer.main

    from pipeline.cli.app import app

    group = typer.main.get_command(app)
    commands: dict[str, object] = getattr(group, "commands", {})
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `([a-z-]+)` \|", readme.partition("## Commands")[2].partition("\n## ")[0], re.MULTILINE)
    assert sorted(named) == sorted(commands)


def test_readme_names_only_make_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md"):
        asked = set(re.findall(r"(?:^ {4}|`)make ([a-z]+)", (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE))
        assert asked
        assert asked <= targets, f"{name}: {sorted(asked - targets)}"


def test_every_declared_renderer_is_registered_and_loads() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = project["entry-points"]["anyinstruct.renderers"]
    found = {point.name: point for point in entry_points(group="anyinstruct.renderers")}
    assert declared.keys() <= found.keys(), "install the project again: its entry points have changed"
    for name, target in declared.items():
        assert found[name].value == target
        assert found[name].load().name == name


def test_constraints_pin_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    asked = [*project["dependencies"], *(line for extra in project["optional-dependencies"].values() for line in extra)]
    pins = re.findall(r"^([A-Za-z0-9._-]+)==\S+$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)

    def fold(name: str) -> str:
        return re.sub(r"[-_.]+", "-", name).lower()

    pinned = {fold(name) for name in pins}
    assert "tinysoundfont" in pinned
    for requirement in asked:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert name is not None, requirement
        assert fold(name[0]) in pinned, requirement


def test_no_file_names_a_registry_or_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {what}: {line.strip()[:80]}"
        for path in tracked_files()
        if (text := text_of(path)) is not None
        for number, line in enumerate(text.splitlines(), 1)
        for what, pattern in UNWANTED.items()
        if pattern.search(line)
    ]
    assert not found, "\n".join(found)
