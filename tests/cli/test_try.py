"""``try``: files, sums and refusals, with the renderers that run anywhere."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.adapters.probes import probe_image, probe_sound
from pipeline.adapters.renderers import minimal
from pipeline.cli.app import main
from pipeline.contracts.plugins import read_options
from pipeline.contracts.render import Brief, Render, RenderFailure
from pipeline.execution import trial
from pipeline.execution.trial import try_texts
from pipeline.execution.trial_project import Wishes, project_of
from pipeline.values.errors import ManifestError, RenderError
from pipeline.values.ids import derive_seed
from pipeline.values.records import Modality
from tests.support.projects import describe, write_manifest

MINIMAL = ("image", "a kite", "--renderer", "minimal-image")
HOSTILE = "../../etc/passwd\x1b[2J\n$(rm -rf x)"

Ran = tuple[int, str, str]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command line in an empty folder; return exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)

    def run_it(*words: str) -> Ran:
        monkeypatch.setattr(sys, "argv", ["anyinstruct", "try", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run_it


def read(said: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(said)
    return document


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "tries").iterdir())}


def test_each_text_is_rendered_so_often_and_each_file_told(run: Any, tmp_path: Path) -> None:
    code, out, err = run("image", "a kite", "a ball", "--renderer", "minimal-image", "--n", "3")
    assert (code, err) == (0, "")
    made = files(tmp_path)
    assert list(made) == [f"minimal-image-{text:02d}-{copy:02d}.png" for text in (1, 2) for copy in (1, 2, 3)]
    assert len(set(made.values())) == 6
    for name in made:
        assert f"tries/{name}: 64x64, " in out
    assert f"seed {derive_seed(0, '01-02-00-00', 'image')}, " in out
    assert "DRAFT, to look at and not to train on" in out
    assert "6 made, 0 failed; loaded in " in out
    assert "s an item; peak memory " in out


def test_the_same_seed_makes_the_same_bytes_and_nothing_is_overwritten(run: Any, tmp_path: Path) -> None:
    run(*MINIMAL)
    run(*MINIMAL)
    run(*MINIMAL, "--seed", "7")
    made = files(tmp_path)
    assert list(made) == ["minimal-image-01-01-2.png", "minimal-image-01-01-3.png", "minimal-image-01-01.png"]
    assert made["minimal-image-01-01.png"] == made["minimal-image-01-01-2.png"] != made["minimal-image-01-01-3.png"]


def test_the_words_name_no_file_and_reach_no_terminal_raw(run: Any, tmp_path: Path) -> None:
    _, out, _ = run("image", HOSTILE, "--renderer", "minimal-image", "--out", str(tmp_path / "tries"))
    assert list(files(tmp_path)) == ["minimal-image-01-01.png"]
    assert "\x1b" not in out
    _, out, _ = run("speech", HOSTILE, "--renderer", "minimal-speech", "--voice", "nobody\x1b[2J")
    assert "\x1b" not in out


def test_pictures_are_made_by_the_storyboard_unless_said_otherwise(run: Any, tmp_path: Path) -> None:
    options = ("--size", "96x64", "--option", "format=jpg", "--option", "quality=60")
    code, out, _ = run("image", "a lighthouse in fog", *options, "--json")
    [item] = read(out)["items"]
    assert code == 0
    assert (item["width"], item["height"]) == (96, 64)
    probed = probe_image((tmp_path / item["path"]).read_bytes())
    assert (probed.extension, probed.columns) == ("jpg", {"width": 96, "height": 64})


def test_music_is_made_by_the_soundfont_and_as_long_as_asked_for(run: Any, tmp_path: Path) -> None:
    code, out, err = run("music", "calm piano", "--seconds", "1.5", "--option", "format=opus", "--json")
    document = read(out)
    [item] = document["items"]
    assert (code, err) == (0, "")
    assert document["renderer"] == "soundfont"
    assert item["path"] == "tries/soundfont-01-01.opus"
    assert (item["duration"], item["sample_rate"], item["channels"]) == (1.5, 48_000, 2)
    assert probe_sound((tmp_path / item["path"]).read_bytes()).columns["duration"] == 1.5
    assert item["bytes"] == (tmp_path / item["path"]).stat().st_size
    assert document["peak_memory_bytes"] > 10_000_000
    assert document["seconds_an_item"] > 0
    assert document["provenance"]["soundfont"].startswith("sha256:")


def test_speech_is_spoken_in_its_spoken_form_by_the_voice_and_at_the_rate_asked_for(run: Any) -> None:
    said = ("speech", "It costs 3 €.", "--renderer", "piper", "--json")
    [usual] = read(run(*said)[1])["items"]
    [fast] = read(run(*said, "--voice", "joe", "--rate", "1.5")[1])["items"]
    assert usual["spoken"] == "It costs three euros."
    assert (usual["voice"], usual["rate"], fast["rate"]) == ("joe", 1.0, 1.5)
    assert fast["duration"] < 0.85 * usual["duration"]


def test_a_voice_may_be_drawn_out_of_a_set_or_by_its_language() -> None:
    def voices(num_each: int = 1, **wishes: Any) -> set[str]:
        project = project_of(Wishes(Modality.SPEECH, renderer="kokoro", **wishes), seed=0)
        briefs = try_texts(project, Modality.SPEECH, ["Hello"], num_each).briefs.values()
        return {brief.voice.name for brief in briefs if brief.voice is not None}

    assert voices() == {"af_alloy"}
    assert voices(language="en-GB") == {"bf_alice"}
    assert voices(voices=["language:fr"]) == {"ff_siwis"}
    assert len(voices(num_each=20, voices=["2 of language:en"])) == 2


def test_gpu_memory_is_told_where_torch_held_some(monkeypatch: pytest.MonkeyPatch) -> None:
    class Cuda:
        is_initialized = staticmethod(lambda: True)
        is_available = staticmethod(lambda: True)
        device_count = staticmethod(lambda: 2)
        max_memory_allocated = staticmethod(lambda index: 100 + index)

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=Cuda))
    assert trial.peak_gpu_memory() == 201
    monkeypatch.setattr(Cuda, "is_initialized", staticmethod(lambda: False))
    assert trial.peak_gpu_memory() is None
    monkeypatch.delitem(sys.modules, "torch")
    assert trial.peak_gpu_memory() is None


def test_what_fails_is_told_with_its_reason_and_the_rest_is_made(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(brief: Brief) -> Render | RenderFailure:
        if brief.text == "bad":
            return RenderFailure(code="blank", message=f"brief {brief.id}: attempt {brief.attempt} is grey all over")
        return minimal.make_gradient(brief)

    monkeypatch.setattr(minimal.IMAGE, "_make", make)
    words = ("image", "good", "bad", "--renderer", "minimal-image")
    code, out, _ = run(*words)
    assert code == 1
    assert list(files(tmp_path)) == ["minimal-image-01-01.png"]
    # Tried again with another seed, as in a run, before it counts as failed.
    assert "02-01-00-00 'bad': failed: blank: brief 02-01-00-00: attempt 1 is grey all over (seed" in out
    assert "1 made, 1 failed" in out
    document = read(run(*words, "--json")[1])
    assert document["num_failed"] == 1
    assert document["items"][1] | {"render_seconds": 0} == {
        "text": "bad",
        "seed": derive_seed(0, "02-01-00-00", "image", 1),
        "attempt": 1,
        "render_seconds": 0,
        "path": None,
        "code": "blank",
        "message": "brief 02-01-00-00: attempt 1 is grey all over",
    }


def test_ctrl_c_keeps_whole_what_is_made_and_says_what_is_not(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(minimal.MinimalRenderer):
        num_batches = 0

        def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
            self.num_batches += 1
            if self.num_batches == 3:
                raise KeyboardInterrupt
            return super().render(briefs)

    renderer = Interrupted(minimal.IMAGE.modality, minimal.make_gradient)
    monkeypatch.setattr(minimal.IMAGE, "load", lambda options, models: renderer)
    code, out, _ = run(*MINIMAL, "--n", "9")
    assert code == 130
    assert len(files(tmp_path)) == 2
    assert "2 made, 0 failed; stopped before the other 7; " in out


def test_what_was_made_before_a_renderer_broke_down_is_summed_up(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Breaking(minimal.MinimalRenderer):
        num_batches = 0

        def render(self, briefs: Sequence[Brief]) -> list[Render | RenderFailure]:
            self.num_batches += 1
            if self.num_batches == 3:
                raise RenderError("the accelerator is gone")
            return super().render(briefs)

    monkeypatch.setattr(
        minimal.IMAGE, "load", lambda options, models: Breaking(minimal.IMAGE.modality, minimal.make_gradient)
    )
    code, out, err = run(*MINIMAL, "--n", "9")
    assert (code, err) == (1, "error: the accelerator is gone\n")
    assert len(files(tmp_path)) == 2
    assert "2 made, 0 failed; stopped before the other 7; " in out
    code, out, err = run(*MINIMAL, "--n", "9", "--json")
    assert (code, err) == (1, "error: the accelerator is gone\n")
    assert len(read(out)["items"]) == 2


def test_a_tone_stands_in_for_speech_without_a_voices_file(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("speech", "Good morning.", "--renderer", "minimal-speech", "--json")
    [item] = read(out)["items"]
    assert (code, item["voice"]) == (0, "minimal_tone")


def test_ctrl_c_while_weights_load_says_so(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(options: Any, models: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(minimal.IMAGE, "load", load)
    code, out, _ = run(*MINIMAL)
    assert code == 130
    assert "Stopped while the renderer was loading." in out


def test_a_renderer_names_no_path_by_its_extension(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def make(brief: Brief) -> Render:
        return minimal.make_gradient(brief).model_copy(update={"extension": "/../../x"})

    monkeypatch.setattr(minimal.IMAGE, "_make", make)
    code, _, err = run(*MINIMAL)
    assert code == 1
    assert "is no extension" in err
    assert files(tmp_path) == {}


def test_a_renderer_that_cannot_work_is_one_line(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(options: Any, models: Any) -> Any:
        raise RenderError("the weights are torn")

    monkeypatch.setattr(minimal.IMAGE, "load", load)
    assert run(*MINIMAL) == (1, run(*MINIMAL)[1], "error: the weights are torn\n")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("video", "x"), "'video' is nothing that is rendered; name image, music, speech"),
        (("text", "x"), "'text' is nothing that is rendered"),
        (("image", "x", "--renderer", "kokoro"), "kokoro makes speech, not image"),
        (("image", "x", "--renderer", "story-board"), "did you mean storyboard?"),
        (("image", "x", "--renderer", "storyboard", "--model", "a/b"), "--model: storyboard takes none; its options"),
        (("image", "x", "--model", "a/b"), "the licence of a/b is not known here"),
        (("image", "x", "--model", "a/b", "--option", "model=c/d"), "state one of them"),
        (("music", "x", "--model", "not a model"), "render.music.options.model: "),
        (("image", "x", "--option", "quality=many"), "render.image.options.quality: must be a whole number"),
        (("image", "x", "--option", "qualty=3"), "qualty: no such key here; did you mean quality?"),
        (("image", "x", "--option", "quality"), "--option 'quality': write key=value"),
        (("image", "x", "--option", "quality=[1"), "begins as JSON and is none"),
        (("image", "x", "--size", "large"), "--size 'large': write pixels, e.g. 512 or 768x512"),
        (("image", "x", "--size", "8"), "render.image.width: must be 16 or more"),
        (("music", "x", "--seconds", "0.1"), "seconds [0.1, 0.1]: must rise and lie within 0.3 to 300"),
        (("image", "x", "--seconds", "3"), "--seconds is of music, and this is about image: leave it out"),
        (("music", "x", "--voice", "joe"), "--voice is of speech, and this is about music: leave it out"),
        (("speech", "x", "--voice", "joe"), "'joe' is no voice of kokoro but of piper"),
        (("speech", "x", "--voice", "lang:en"), "'lang:en' is no set of voices"),
        (("speech", "x", "--voice", "af_sky", "--language", "en"), "state one of them"),
        (("speech", "x", "--renderer", "piper", "--language", "fr"), "piper has no voice for the language 'fr'"),
        (("speech", "x", "--rate", "9"), "must rise and lie within 0.5 to 2"),
        (("speech", "x", "--emotion", "calm"), "render.speech.emotions: kokoro cannot be told how to speak"),
        (("speech", "x", "--file", "none.yaml"), "none.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_loads(
    run: Any, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], expected: str
) -> None:
    def explode(*arguments: Any) -> Any:
        raise AssertionError("it went on")

    monkeypatch.setattr(trial, "RenderLoop", explode)
    code, out, err = run(*words)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert expected in err
    assert "Traceback" not in err


def test_a_folder_that_cannot_be_made_is_named(run: Any, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    code, _, err = run(*MINIMAL, "--out", "taken/tries")
    assert code == 1
    assert "taken/tries: cannot be made" in err


def test_a_manifest_is_tried_as_it_stands(run: Any, tmp_path: Path) -> None:
    made = describe("http://localhost:1/v1")
    made["render"]["music"] = {"renderer": "minimal-music", "seconds": [4, 5], "attempts": 1}
    path = str(write_manifest(tmp_path, made))
    first = read(run("music", "a tune", "--manifest", path, "--json")[1])
    assert first["renderer"] == "minimal-music"
    # The manifest's seed, unless another is stated.
    assert first["items"][0]["seed"] == derive_seed(5, "01-01-00-00", "music")
    other = read(run("music", "a tune", "--manifest", path, "--seed", "9", "--json")[1])
    assert other["items"][0]["seed"] == derive_seed(9, "01-01-00-00", "music")
    spoken = read(run("speech", "Hello", "--manifest", path, "--n", "30", "--json")[1])["items"]
    assert {item["voice"] for item in spoken} == {"anna", "ben", "carl"}
    assert len({item["rate"] for item in spoken}) > 5
    code, _, err = run("image", "x", "--manifest", path, "--renderer", "storyboard", "--size", "64")
    assert code == 1
    assert "--manifest takes its section as it stands: leave out --renderer, --size, or --manifest" in err


def test_a_manifest_without_the_section_says_so(run: Any, tmp_path: Path) -> None:
    made = describe("http://localhost:1/v1", render={"image": {"renderer": "minimal-image"}})
    made["mix"] = [{"name": "draw", "gives": ["text"], "answers": ["image"], "rounds": [1, 1]}]
    code, _, err = run("music", "x", "--manifest", str(write_manifest(tmp_path, made)))
    assert code == 1
    assert "render.music: no cell of the mix uses music" in err


def test_options_are_texts_that_the_model_reads_and_lists_are_json() -> None:
    assert read_options(["steps=20", "negative_prompt=no", 'loras=[{"model": "a/b"}]', "empty=", "none=null"]) == {
        "steps": "20",
        "negative_prompt": "no",
        "loras": [{"model": "a/b"}],
        "empty": "",
        "none": None,
    }
    with pytest.raises(ManifestError, match="write key=value"):
        read_options(["=3"])


def test_neither_ray_nor_torch_is_imported_for_embedded_renderers(tmp_path: Path) -> None:
    code = (
        "import sys; from pipeline.cli.app import main\n"
        "sys.argv = ['anyinstruct', 'try', 'image', 'x', '--renderer', 'minimal-image']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        "sys.exit(bool({'ray', 'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
