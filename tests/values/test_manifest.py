"""Manifests: what is wrong in one is named with file, line, key, value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from pipeline.adapters.shipped import shipped
from pipeline.adapters.yaml_file import load_yaml
from pipeline.values.errors import ManifestError
from pipeline.values.manifest import Manifest
from pipeline.values.records import Modality
from pipeline.values.writer import Writer
from tests.support.stages import describe, manifest

GOOD = """\
schema_version: 1
name: small
seed: 3
topics:
  list: [kites, bread ovens]
size: {dialogues_per_topic: 2}
mix:
  - name: draw
    gives: [text]
    answers: [text, image]
    rounds: [1, 2]
  - {name: talk, gives: [speech], answers: [speech]}
writer:
  engine: openai
  model: made-up
  temperature: 0.7
render:
  image: {renderer: minimal-image}
  speech:
    renderer: minimal-speech
    voices: {user: [anna], assistant: dora}
"""

CORPORA = [path for path in sorted(shipped("manifests").glob("*.yaml")) if "writer:" in path.read_text("utf-8")]


def load(folder: Path, text: str | bytes) -> Manifest:
    path = folder / "corpus.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_yaml(path, Manifest)


def complaint(folder: Path, text: str | bytes) -> str:
    """What is said of a wrong manifest, without the folder."""
    with pytest.raises(ManifestError) as caught:
        load(folder, text)
    assert str(caught.value).count(f"{folder}/corpus.yaml") == str(caught.value).count("\n") + 1
    return str(caught.value).replace(f"{folder}/", "")


def test_the_good_manifest_says_what_it_says(tmp_path: Path) -> None:
    made = load(tmp_path, GOOD)
    assert made.topics.list == ("kites", "bread ovens")
    assert [cell.weight for cell in made.mix] == [1.0, 1.0]
    assert made.media == (Modality.IMAGE, Modality.SPEECH)
    assert made.size.dialogues_per_shard == 256
    assert made.render.section(Modality.MUSIC) is None


@pytest.mark.parametrize(
    ("good", "wrong", "expected"),
    [
        ("seed: 3", "sede: 3", "corpus.yaml:3: sede: no such key here; did you mean seed?"),
        ("    rounds:", "    round:", "corpus.yaml:11: mix.0.round: no such key here; did you mean rounds?"),
        ("temperature", "temprature", "corpus.yaml:16: writer.temprature: no such key here; did you mean temperature?"),
        ("seed: 3", "seed: many", "corpus.yaml:3: seed: must be a whole number (is 'many')"),
        ("seed: 3", "qqqqqq: 3", "qqqqqq: no such key here; there are budget, description, execution, intended_use, "),
        ("[kites, bread ovens]", "kites", "corpus.yaml:5: topics.list: must be a list, such as [a, b] (is 'kites')"),
        ("[kites, bread ovens]", "[kites, 7]", "corpus.yaml:5: topics.list.1: must be text (is 7)"),
        ("0.7", "2.5", "corpus.yaml:16: writer.temperature: must be 2.0 or less (is 2.5)"),
        ("_topic: 2", "_topic: 0", "size.dialogues_per_topic: must be 1 or more (is 0)"),
        ("rounds: [1, 2]", "rounds: [2, 1]", "mix.0: rounds [2, 1]: must rise and lie within 1 to 8"),
        ("rounds: [1, 2]", "rounds: [1, 9]", "corpus.yaml:8: mix.0: rounds [1, 9]: must rise and lie within 1 to 8"),
        ("rounds: [1, 2]", "images: [0, 2]", "mix.0: images [0, 2]: must rise and lie within 1 to 8"),
        ("rounds: [1, 2]", "music: [1, 5]", "mix.0: music [1, 5]: must rise and lie within 1 to 4"),
        ("rounds: [1, 2]", "rounds: [1]", "corpus.yaml:11: mix.0.rounds.1: is missing"),
        ("rounds: [1, 2]", "weight: 0", "corpus.yaml:11: mix.0.weight: must be over 0.0 (is 0)"),
        ("rounds: [1, 2]", "weight: .inf", "corpus.yaml:11: mix.0.weight: must be a finite number (is inf)"),
        ("gives: [text]", "gives: []", "corpus.yaml:9: mix.0.gives: must have at least 1 entry"),
        ("gives: [text]", "gives: [txt]", "must be 'text', 'speech', 'image' or 'music' (is 'txt')"),
        ("gives: [text]", "gives: [text, text]", "corpus.yaml:8: mix.0: gives names a modality twice"),
        (
            "answers: [text, image]\n    rounds: [1, 2]",
            "answers: [text, speech]\n    rounds: [1, 1]",
            "corpus.yaml:8: mix.0: answers mixes text and speech, which needs two turns: rounds must start at 2",
        ),
        ("name: talk", "name: draw", "corpus.yaml:7: mix: cell 'draw' stands twice"),
        (
            "name: small",
            "name: A Corpus",
            "corpus.yaml:2: name: must be 1 to 64 lower-case letters, digits, dots, hyphens and",
        ),
        ("  image: {renderer: minimal-image}\n", "", "render.image is missing, and a cell of the mix uses image"),
        ("  model: made-up\n", "", "corpus.yaml:13: writer: state either model, or models with weights"),
        ("  list: [kites, bread ovens]", "  files: []", "name at least one source of topics: list, files or generate"),
        ("schema_version: 1", "schema_version: 2", "corpus.yaml:1: schema_version: must be 1 (is 2)"),
        ("engine: openai", "engine: magic", "writer.engine: must be 'embedded', 'openai' or 'none' (is 'magic')"),
        (
            "{renderer: minimal-image}",
            "{renderer: minimal-image, width: 8}",
            "render.image.width: must be 16 or more (is 8)",
        ),
        ("[anna]", "[]", "corpus.yaml:21: render.speech.voices.user: must have at least 1 entry"),
        (
            "dora}",
            "dora}\n    rate: [2, 3]",
            "corpus.yaml:19: render.speech: rate [2.0, 3.0]: must rise and lie within",
        ),
        ("seed: 3", "seed: 3\nseed: 4", "corpus.yaml:4: seed: stands in line 3 already"),
        ("{dialogues_per_topic: 2}", "{max_dialogues: 1, max_dialogues: 2}", "max_dialogues: stands in line 6 already"),
        ("[kites, bread ovens]", "&all [kites]\n  files: *all", "corpus.yaml:6: aliases (*all) are not allowed"),
        ("seed: 3", "seed: !!int 3", "corpus.yaml:3: tags (!!int) are not allowed; quote the value"),
        ("seed: 3", "description: 2024-13-45", "corpus.yaml:3: '2024-13-45' is no value: month must be in 1..12"),
        ("seed: 3", "seed: 1" + "0" * 5000, f"corpus.yaml:3: {'1' + '0' * 79!r} is no value: Exceeds the limit"),
        ("seed: 3", "seed: 9223372036854775808", "corpus.yaml:3: seed: must be under 9223372036854775808"),
        ("seed: 3", "seed: [3", "corpus.yaml:4: not YAML: did not find expected ',' or ']'"),
        ("seed: 3", "\tseed: 3", "corpus.yaml:3: not YAML: "),
        ("image: {", "image: {batch: many, ", "render.image.batch: must be a whole number, or 'auto' (is 'many')"),
        (
            "  list: [",
            "  generate: {meta_topics: [7]}\n  list: [",
            "topics.generate.meta_topics.0: must be text (is 7)",
        ),
        ("  list: [", "  generate: {meta_topics: al}\n  list: [", "must be a list, such as [a, b], or 'all' (is 'al')"),
        ("model: made-up", "model: ''", "writer.model: must have at least 1 character (is '')"),
        ("  model: made-up", "  model: [a]", "corpus.yaml:15: writer.model: must be text"),
        ("seed: 3", "? [a]\n: 3", "corpus.yaml:3: a key must be text, and a list or a section stands there"),
        ("seed: 3", "7: 3", "corpus.yaml:3: 7: no such key here; there are budget, "),
        ("rounds: [1, 2]", "rounds: [1, 2, 3]", "corpus.yaml:11: mix.0.rounds: must have at most 2 entries"),
        ("size: {dialogues_per_topic: 2}", "size: 2", "corpus.yaml:6: size: must be keys with their values, such as"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, good: str, wrong: str, expected: str) -> None:
    assert good in GOOD
    assert expected in complaint(tmp_path, GOOD.replace(good, wrong, 1))


def test_all_faults_are_named_at_once(tmp_path: Path) -> None:
    said = complaint(tmp_path, GOOD.replace("seed: 3", "seed: many").replace("temperature", "temprature"))
    assert [line.split(": ")[0] for line in said.splitlines()] == ["corpus.yaml:3", "corpus.yaml:16"]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("localhost:8000/v1", "'localhost:8000/v1' is no http or https address; write one such as http://"),
        ("nonsense", "'nonsense' is no http or https address"),
        ("ftp://models/v1", "is no http or https address"),
        ("http://", "is no http or https address"),
        ("http://[::1/v1", "cannot be read as an address"),
        ("http://localhost:99999/v1", "cannot be read as an address"),
        (" http://localhost/v1", "is no http or https address"),
        ("http://me:sesame@localhost/v1", "holds a user name or password; keep keys in the environment variable"),
        ("me:sesame@localhost/v1", "is no http or https address"),
        ("http://sesame@[::1/v1", "cannot be read as an address"),
        ("http://localhost/v1?key=sesame", "holds something behind a ? or #"),
    ],
)
def test_an_address_of_an_endpoint_is_checked_with_the_manifest(tmp_path: Path, address: str, expected: str) -> None:
    said = complaint(tmp_path, GOOD.replace("  temperature: 0.7", f"  base_url: {address!r}"))
    assert said.startswith("corpus.yaml:16: writer.base_url: ")
    assert expected in said
    assert "sesame" not in said


def test_a_key_in_place_of_the_name_of_its_variable_is_not_repeated(tmp_path: Path) -> None:
    said = complaint(tmp_path, GOOD.replace("  temperature: 0.7", "  api_key_env: sk-sesame-0123"))
    assert said.startswith("corpus.yaml:16: writer.api_key_env: is no name of an environment variable")
    assert "sesame" not in said


def test_speech_needs_a_section(tmp_path: Path) -> None:
    text = GOOD.partition("  speech:\n")[0]
    assert "render.speech is missing, and a cell of the mix uses speech" in complaint(tmp_path, text)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    said = complaint(tmp_path, b"name: caf\xe9\n")
    assert said == "corpus.yaml: cannot be read: not UTF-8 (invalid continuation byte at byte 9)"


def test_a_file_with_control_characters(tmp_path: Path) -> None:
    said = complaint(tmp_path, "seed: 3\nname: a\x1b[2Jb\n")
    assert said == r"corpus.yaml:2: holds '\x1b', which may not stand in YAML"


@pytest.mark.parametrize("text", ["", "# nothing\n", "just words", "[1, 2]", "7"])
def test_a_file_that_is_no_mapping(tmp_path: Path, text: str) -> None:
    assert complaint(tmp_path, text).startswith(
        "corpus.yaml:1: the file: must be keys with their values, such as name: value"
    )


@pytest.mark.parametrize("depth", [101, 200_000])
def test_a_file_that_is_nested_without_end(tmp_path: Path, depth: int) -> None:
    assert complaint(tmp_path, "[" * depth + "]" * depth) == "corpus.yaml:1: nested more than 100 levels deep"
    assert complaint(tmp_path, "[" * depth) == "corpus.yaml:1: nested more than 100 levels deep"


def test_a_file_that_is_far_too_long(tmp_path: Path) -> None:
    path = tmp_path / "corpus.yaml"
    with path.open("wb") as file:
        file.truncate(32 * 2**20 + 1)  # a hole: it takes no room
    with pytest.raises(ManifestError, match=r"corpus\.yaml: over 32 MiB"):
        load_yaml(path, Manifest)


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"nowhere\.yaml: cannot be read: No such file or directory"):
        load_yaml(tmp_path / "nowhere.yaml", Manifest)
    with pytest.raises(ManifestError, match="cannot be read: Is a directory"):
        load_yaml(tmp_path, Manifest)


@pytest.mark.parametrize("path", CORPORA, ids=lambda path: path.stem)
def test_shipped_manifests_load(path: Path) -> None:
    made = load_yaml(path, Manifest)
    assert made.name == path.stem
    assert made.description.endswith(".")
    assert sum(cell.weight for cell in made.mix) > 0


def test_the_shipped_corpora_are_there() -> None:
    assert {"demo", "remote", "smoke"} <= {path.stem for path in CORPORA}


@pytest.mark.parametrize("path", CORPORA, ids=lambda path: path.stem)
def test_shipped_manifests_survive_a_round_trip(path: Path) -> None:
    made = load_yaml(path, Manifest)
    assert Manifest.model_validate(made.model_dump(mode="json")) == made
    assert Manifest.model_validate(yaml.safe_load(yaml.safe_dump(made.model_dump(mode="json")))) == made


@pytest.mark.parametrize(
    ("change", "is_other_output"),
    [
        ({"model": "another"}, True),
        ({"temperature": 0.5}, True),
        ({"top_p": 0.5}, True),
        ({"repeat_penalty": 1.2}, True),
        ({"max_tries": 7}, True),
        ({"style": "turns"}, True),
        ({"style": "whole"}, False),  # what the engine's own is
        ({"base_url": "http://localhost:1/v1"}, False),
        ({"api_key_env": "OTHER"}, False),
        ({"structured": "text"}, False),
        ({"in_flight": 9}, False),
        ({"structured": "text"}, False),
        ({"requests_per_minute": 60}, False),
        ({"tokens_per_minute": 9000}, False),
        ({"mode": "batch"}, False),
        ({"batch_poll_seconds": 5}, False),
        ({"timeout_seconds": 9}, False),
        ({"threads": 9}, False),
        ({"price": {"input": 1, "output": 1}}, False),
    ],
)
def test_a_fingerprint_covers_what_changes_the_words(change: dict[str, Any], is_other_output: bool) -> None:
    plain = {"engine": "openai", "model": "made-up"}
    changed, unchanged = Writer.model_validate(plain | change), Writer.model_validate(plain)
    is_other = changed.fingerprint(changed.blend[0].model) != unchanged.fingerprint("made-up")
    assert is_other == is_other_output


def test_the_engine_decides_style_and_concurrency_unless_stated() -> None:
    embedded = Writer(engine="embedded", model="m")
    assert (embedded.effective_style, embedded.records_in_flight) == ("turns", 4)
    remote = Writer(engine="openai", model="m")
    assert (remote.effective_style, remote.records_in_flight) == ("whole", 256)
    stated = Writer(engine="embedded", model="m", style="whole", in_flight=2)
    assert (stated.effective_style, stated.records_in_flight) == ("whole", 2)


def test_media_are_named_in_the_order_of_the_tables() -> None:
    cell = {"gives": ["speech", "music"], "answers": ["text", "image"], "rounds": [2, 2]}
    assert manifest(mix=[{"name": "all", **cell}]).media == (Modality.IMAGE, Modality.MUSIC, Modality.SPEECH)
    assert manifest(mix=[{"name": "words", "gives": ["text"], "answers": ["text"]}]).media == ()


@pytest.mark.parametrize("seconds", [[0.2, 1], [3, 2], [1, 301], [float("nan"), 1], [1, float("inf")]])
def test_music_lasts_a_possible_time(seconds: list[float]) -> None:
    music = {"renderer": "minimal-music", "seconds": seconds}
    with pytest.raises(ValidationError, match=r"must rise and lie within 0\.3 to 300|finite number"):
        manifest(render={**describe()["render"], "music": music})


def test_values_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        manifest().seed = 4  # type: ignore[misc]


@pytest.mark.parametrize(("said", "least"), [("off", None), ("'off'", None), ("0.8", 0.8), ("1", 1.0)])
def test_near_duplicates_are_a_share_or_off_as_yaml_has_it(tmp_path: Path, said: str, least: float | None) -> None:
    made = load(tmp_path, f"{GOOD}screen: {{near_duplicates: {said}}}\n")
    assert made.screen.min_similarity == least
    assert load(tmp_path, made_again(made)).screen == made.screen


@pytest.mark.parametrize("said", ["0.3", "1.5", "on", "much"])
def test_another_share_of_near_duplicates_is_refused(tmp_path: Path, said: str) -> None:
    said = complaint(tmp_path, f"{GOOD}screen: {{near_duplicates: {said}}}\n")
    assert "corpus.yaml:22: screen.near_duplicates" in said
    assert "must be 0.5 to 1, or off (is " in said


def made_again(made: Manifest) -> str:
    return yaml.safe_dump(made.model_dump(mode="json"))


def test_limits_of_the_screen_are_kept_and_not_written_where_there_are_none(tmp_path: Path) -> None:
    made = load(tmp_path, f"{GOOD}screen: {{limits: {{image.contrast: 0.05}}, audits: {{one: {{threads: 2}}}}}}\n")
    assert (made.screen.limits, made.screen.audits) == ({"image.contrast": 0.05}, {"one": {"threads": 2}})
    assert load(tmp_path, made_again(made)).screen == made.screen
    assert load(tmp_path, GOOD).screen.model_dump(mode="json") == {"near_duplicates": 0.6}


def test_how_far_a_repair_goes_is_kept_and_not_written_where_nobody_says(tmp_path: Path) -> None:
    made = load(tmp_path, f"{GOOD}repair: {{attempts: 5, rewrite: false}}\n")
    assert (made.repair.attempts, made.repair.rewrite) == (5, False)
    assert load(tmp_path, made_again(made)).repair == made.repair
    assert "repair" not in load(tmp_path, GOOD).model_dump(mode="json")


def test_a_repair_without_an_attempt_is_refused(tmp_path: Path) -> None:
    assert "corpus.yaml:22: repair.attempts: " in complaint(tmp_path, f"{GOOD}repair: {{attempts: 0}}\n")
