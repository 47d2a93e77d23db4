"""What holds for every renderer of the registry, ours or a stranger's, on the smallest models that there are.

How a renderer of your own is put through it stands in CONTRIBUTING.md.
"""

from __future__ import annotations

import importlib
import io
import json
import math
import pickle
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from functools import partial as bind
from importlib.metadata import entry_points
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.probes import probe_image, probe_sound
from pipeline.contracts.render import (
    AudioFacts,
    Brief,
    ImageFacts,
    Outcome,
    Render,
    Renderer,
    RendererOptions,
    RendererPlugin,
    RenderFailure,
)
from pipeline.contracts.watch import Drained
from pipeline.execution.project import ENTRY_POINTS, find_renderer
from pipeline.values.records import MEDIA, Modality
from pipeline.work.batching import BatchSize
from pipeline.work.render_loop import Made, RenderLoop
from tests.support.renderer_samples import SAMPLES, MakeSample, Sample, plain
from tests.support.small_memory import small_memory

# numpy tells diffusers' schedulers of an argument that torch's arrays do not know yet.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SEED = 5
HEAVY = (
    "PIL",
    "TTS",
    "diffusers",
    "numpy",
    "onnxruntime",
    "pretty_midi",
    "soundfile",
    "tokenizers",
    "torch",
    "transformers",
)
HOSTILE = (
    "",
    " \n\t",
    "../etc/passwd\0 %s {0} <b>",
    "\u202e\ud7ff кот 自転車 🎺",
    "<|endoftext|> [[h@l'oU]] </s>",
    "half a pair: \ud800",
    "a cat " * 5_000,
    "1e999 BPM",
)
"""Short where they can be spoken: a second of speech takes a neural voice a second of two cores."""


@dataclass
class Subject:
    """A renderer with what it is tried on."""

    plugin: RendererPlugin
    sample: Sample
    options: RendererOptions
    renderer: Renderer

    def load(self) -> Renderer:
        return self.plugin.load(self.options, ModelCache())

    def brief(self, place: int = 0, **changes: Any) -> Brief:
        text = self.sample.texts[place % len(self.sample.texts)]
        values = {"id": f"b{place}", "modality": self.plugin.modality, "text": text, "seed": 11 + place}
        return Brief.model_validate({**values, **self.sample.brief, **changes})

    @property
    def briefs(self) -> list[Brief]:
        return [self.brief(place) for place in range(len(self.sample.texts))]

    @cached_property
    def made(self) -> list[Render]:
        """What the briefs became in one batch."""
        return self.renders(self.briefs)

    def outcomes(self, briefs: Sequence[Brief], renderer: Renderer | None = None) -> list[Outcome]:
        made = (renderer or self.renderer).render(briefs)
        return [one() if callable(one) else one for one in made]

    def renders(self, briefs: Sequence[Brief], renderer: Renderer | None = None) -> list[Render]:
        outcomes = self.outcomes(briefs, renderer)
        assert all(isinstance(outcome, Render) for outcome in outcomes), outcomes
        return [outcome for outcome in outcomes if isinstance(outcome, Render)]

    def are_alike(self, one: Render, other: Render) -> bool:
        """Whether two renders are the same but for what the renderer states as its rounding."""
        if self.sample.tolerance == 0.0:
            return one == other
        first, second = read_media(one), read_media(other)
        return first.shape == second.shape and float(np.abs(first - second).max()) <= self.sample.tolerance


def read_media(render: Render) -> NDArray[np.float64]:
    """Decode: (height, width, 3) or (num_frames, num_channels), full scale being 1."""
    if isinstance(render.facts, ImageFacts):
        return np.asarray(Image.open(io.BytesIO(render.data)).convert("RGB")) / 255.0
    return decode_sound(render.data)[0].astype(np.float64)


def find_samples(config: pytest.Config) -> dict[str, MakeSample]:
    """Samples by name, for every registered renderer: its own module's, ours, or the plain one."""
    known = dict(SAMPLES)
    for name in config.getoption("renderer_samples"):
        known.update(importlib.import_module(name).SAMPLES)
    found: dict[str, MakeSample] = {}
    for point in entry_points(group=ENTRY_POINTS):
        mine = {name: make for name, make in known.items() if name.partition("/")[0] == point.name}
        found.update(mine or {point.name: bind(plain, point.name, find_renderer(point.name).modality)})
    return found


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "subject" in metafunc.fixturenames:
        samples = sorted(find_samples(metafunc.config).items())
        names = [name for name, _ in samples]
        metafunc.parametrize("subject", samples, ids=names, indirect=True, scope="module")


@pytest.fixture(scope="module")
def subject(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Subject]:
    name, make = request.param
    plugin = find_renderer(name.partition("/")[0])
    if reason := plugin.missing():
        pytest.skip(f"not installed: {reason}")
    with ExitStack() as ending:
        sample: Sample = make(tmp_path_factory.mktemp("weights"), ending)
        options = plugin.options.model_validate(sample.options)
        if torch := sys.modules.get("torch"):
            ending.callback(torch.set_num_threads, torch.get_num_threads())
            torch.set_num_threads(1)  # a second one costs models so small more than it gives
        yield Subject(plugin, sample, options, plugin.load(options, ModelCache()))


# What a plug-in says of itself


def test_a_plugin_says_what_it_is(subject: Subject, request: pytest.FixtureRequest) -> None:
    plugin, options = subject.plugin, subject.options
    assert f"[{plugin.name}" in request.node.name
    assert plugin.version
    assert plugin.modality in MEDIA
    assert plugin.missing() is None
    assert issubclass(plugin.options, RendererOptions)
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        plugin.options.model_validate({**subject.sample.options, "no such option": 1})
    licences = plugin.licences(options)
    assert set(plugin.models(options)) <= set(licences)
    assert all(licences.values())
    assert isinstance(plugin.is_commercial_use_allowed(options), bool)
    for brief in subject.briefs:
        assert 0.0 <= plugin.estimate(options, brief) < math.inf


def test_a_manifest_is_checked_without_an_engine(subject: Subject) -> None:
    """Everything but loading is asked of a plug-in in a process of its own, which then has no heavy library."""
    code = (
        "import sys, pickle, json; from pipeline.contracts.render import Brief\n"
        "name, stated, brief = pickle.loads(sys.stdin.buffer.read())\n"
        "from pipeline.execution.project import find_renderer\n"
        "before = set(sys.modules); plugin = find_renderer(name); options = plugin.options.model_validate(stated)\n"
        "plugin.models(options); plugin.licences(options); plugin.is_commercial_use_allowed(options)\n"
        "plugin.missing(); plugin.estimate(options, Brief.model_validate(brief))\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))"
    )
    stated = pickle.dumps((subject.plugin.name, dict(subject.sample.options), dict(subject.brief())))
    done = subprocess.run([sys.executable, "-c", code], input=stated, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert not set(HEAVY) & set(json.loads(done.stdout))


def test_what_made_the_media_is_stated_without_a_path(subject: Subject, tmp_path_factory: Any) -> None:
    stated = dict(subject.renderer.provenance())
    assert stated
    assert all(stated.values())
    assert str(tmp_path_factory.getbasetemp()) not in json.dumps(stated)
    assert stated == dict(subject.load().provenance())


# Order, count, sameness


def test_outcomes_come_in_the_order_of_the_briefs(subject: Subject) -> None:
    back = subject.renders(subject.briefs[::-1])[::-1]
    assert len(subject.made) == len(back) == len(subject.briefs)
    assert all(subject.are_alike(one, other) for one, other in zip(subject.made, back, strict=True))
    assert len({render.data for render in subject.made}) == len(subject.briefs)


def test_no_briefs_make_nothing(subject: Subject) -> None:
    assert list(subject.renderer.render([])) == []


def test_the_same_batch_gives_the_same_bytes_from_weights_loaded_anew(subject: Subject) -> None:
    made = subject.made
    with other_global_chance():
        assert subject.renders(subject.briefs, subject.load()) == made


@contextmanager
def other_global_chance() -> Iterator[None]:
    """Put the generators that belong to everybody elsewhere, and back again."""
    torch: Any = sys.modules.get("torch")
    of_python, of_numpy = random.getstate(), np.random.get_state()
    random.setstate(Random(99).getstate())
    np.random.set_state(np.random.RandomState(99).get_state())
    with torch.random.fork_rng(devices=[]) if torch else nullcontext():
        if torch:
            torch.manual_seed(99)
        yield
    random.setstate(of_python)
    np.random.set_state(of_numpy)


def test_a_brief_alone_makes_what_it_makes_in_a_batch(subject: Subject) -> None:
    for brief, render in zip(subject.briefs, subject.made, strict=True):
        [alone] = subject.renders([brief])
        assert subject.are_alike(alone, render)


def test_another_seed_makes_something_else_and_another_name_does_not(subject: Subject) -> None:
    again, other = subject.renders([subject.brief(id="x"), subject.brief(id="y", seed=12)])
    assert subject.are_alike(again, subject.made[0])
    assert subject.are_alike(other, subject.made[0]) is not subject.sample.has_chance


def test_what_is_stated_of_a_render_is_in_its_bytes(subject: Subject) -> None:
    for brief, render in zip(subject.briefs, subject.made, strict=True):
        if isinstance(render.facts, ImageFacts):
            found = probe_image(render.data)
            assert (brief.width, brief.height) == (render.facts.width, render.facts.height)
            assert (found.columns["width"], found.columns["height"]) == (render.facts.width, render.facts.height)
        else:
            found = probe_sound(render.data)
            check_sound(render.facts, found.columns, read_media(render))
        assert found.extension == render.extension
        json.dumps(dict(render.notes))


def check_sound(facts: AudioFacts, columns: Any, samples: NDArray[np.float64]) -> None:
    assert (facts.sample_rate, facts.channels) == (columns["sample_rate"], columns["channels"])
    assert facts.duration == pytest.approx(columns["duration"], abs=1e-4)
    assert facts.peak == pytest.approx(np.abs(samples).max(), abs=0.01)
    assert facts.rms == pytest.approx(np.sqrt(np.mean(samples**2)), abs=0.01)


# Failures


def test_a_bad_brief_fails_alone_and_says_which(subject: Subject) -> None:
    others = [modality for modality in Modality if modality is not subject.plugin.modality]
    wrong = [subject.brief(modality=modality, id=f"wrong-{modality}") for modality in others]
    first, last = subject.brief(0), subject.brief(1)
    outcomes = subject.outcomes([first, *wrong, last])
    assert len(outcomes) == len(wrong) + 2
    for brief, outcome in zip(wrong, outcomes[1:-1], strict=True):
        assert isinstance(outcome, RenderFailure)
        assert outcome.code
        assert brief.id in outcome.message
    for render, outcome in zip(subject.made[:2], (outcomes[0], outcomes[-1]), strict=True):
        assert isinstance(outcome, Render)
        assert subject.are_alike(render, outcome)
    assert [type(outcome) for outcome in subject.outcomes(wrong)] == [RenderFailure] * len(wrong)


def test_hostile_text_ends_in_an_outcome_and_writes_nothing(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    briefs = [subject.brief(id=f"h{place}", text=text) for place, text in enumerate(HOSTILE)]
    outcomes = subject.outcomes(briefs)
    assert len(outcomes) == len(briefs)
    assert all(
        isinstance(outcome, Render) or brief.id in outcome.message
        for brief, outcome in zip(briefs, outcomes, strict=True)
    )
    assert list(tmp_path.iterdir()) == []


# In the render loop: ending early, and too little memory


@dataclass
class EndsAfter:
    """A watch that ends the run after so many batches."""

    batches: int | None = None
    told: list[str] = field(default_factory=list)

    def note(self, event: str, **facts: object) -> None:
        self.told.append(event)

    def check(self) -> None:
        if self.batches is not None:
            if self.batches == 0:
                raise Drained("the run is ending")
            self.batches -= 1


def run_loop(
    subject: Subject, briefs: Sequence[Brief], batch: int, watch: EndsAfter | None = None
) -> dict[str, Render]:
    """Renders by brief, each stored once; what was stored before a drain where the watch ends the run."""
    stored: list[Made] = []
    loop = RenderLoop(subject.renderer, BatchSize(batch), SEED, 2, watch or EndsAfter(), stored.append)
    if watch is None:
        loop.run(briefs)
    else:
        with pytest.raises(Drained):
            loop.run(briefs)
    renders = {made.brief.id: made.outcome for made in stored if isinstance(made.outcome, Render)}
    assert len(renders) == len(stored)
    return renders


def test_a_run_that_is_cancelled_keeps_what_was_made_and_goes_on_to_the_same_bytes(subject: Subject) -> None:
    briefs = subject.briefs
    whole = run_loop(subject, briefs, batch=1)
    begun = run_loop(subject, briefs, batch=1, watch=EndsAfter(len(briefs) // 2))
    assert len(begun) == len(briefs) // 2
    rest = run_loop(subject, [brief for brief in briefs if brief.id not in begun], batch=1)
    assert {**begun, **rest} == whole
    assert not set(begun) & set(rest)


def test_where_memory_is_short_batches_are_halved_and_no_brief_is_lost(subject: Subject) -> None:
    if not subject.sample.is_batched:
        pytest.skip("a batch takes no more memory than one brief")
    # Of one text, lest a big batch of short ones fit where a small one of long ones does.
    briefs = [subject.brief(id=f"b{place}", seed=place) for place in range(8)]
    with small_memory() as memory:
        expected = run_loop(subject, briefs, batch=2)
        memory.room = memory.most
        made = run_loop(subject, briefs, batch=8)
    assert set(made) == set(expected) == {brief.id for brief in briefs}
    assert all(subject.are_alike(made[name], expected[name]) for name in made)
    # Eight did not fit, and neither did four.
    assert memory.num_refused == 2
