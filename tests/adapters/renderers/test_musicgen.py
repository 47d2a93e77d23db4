"""MusicGen through transformers, on tiny random weights of every kind, held against the library's own generation."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.music import Piece
from pipeline.adapters.renderers.musicgen import KINDS, PLUGIN, MusicgenOptions
from pipeline.contracts.render import AudioFacts, Brief, Finish, Outcome, Render, RenderFailure
from pipeline.values.errors import ModelFileError, OutOfMemory, RenderError
from pipeline.values.records import Modality

if TYPE_CHECKING:
    from tests.support.tiny_musicgen import Kind

WITHOUT = "the extra `models` is not installed"
torch = pytest.importorskip("torch", reason=WITHOUT)
transformers = pytest.importorskip("transformers", reason=WITHOUT)

FloatArray = NDArray[np.float32]
CELLO, SAMBA = "a slow sad cello", "samba"
LONG = "a very long and winding description of loud guitars drums and a choir of children in a church"
KINDS_OF_TINY: tuple[Kind, ...] = ("mono", "stereo", "melody")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Kind], Path]:
    from tests.support.tiny_musicgen import save_tiny_musicgen

    # Two threads on so little work wait for each other more than they compute.
    torch.set_num_threads(1)
    folders: dict[Kind, Path] = {}

    def folder_of(kind: Kind) -> Path:
        if kind not in folders:
            folders[kind] = save_tiny_musicgen(tmp_path_factory.mktemp(kind), kind)
        return folders[kind]

    return folder_of


@pytest.fixture(scope="session")
def engine(tiny: Callable[[Kind], Path]) -> Callable[..., Any]:
    from pipeline.adapters.renderers.musicgen.model import MusicgenEngine

    def make(kind: Kind, **changes: Any) -> Any:
        return MusicgenEngine(options_for(tiny(kind), **changes))

    return make


def options_for(folder: Path, **changes: Any) -> MusicgenOptions:
    return MusicgenOptions(**{"model": str(folder), "licence": "MIT", "device": "cpu", **changes})


def brief(text: str = CELLO, **changes: Any) -> Brief:
    values = {"id": "d-00-00", "modality": Modality.MUSIC, "text": text, "seed": 7, "duration": 0.6, **changes}
    return Brief.model_validate(values)


def finish(outcomes: Sequence[Outcome | Finish]) -> list[Outcome]:
    return [outcome() if callable(outcome) else outcome for outcome in outcomes]


def generate_greedily(kind: Kind, folder: Path, text: str, num_frames: int, guidance: float) -> FloatArray:
    """(num_samples, num_channels) as the library itself makes them."""
    classes = {"melody": transformers.MusicgenMelodyForConditionalGeneration}
    loaded = classes.get(kind, transformers.MusicgenForConditionalGeneration).from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    padding = {"padding": "max_length", "max_length": 32} if kind == "melody" else {}
    tokens = tokenizer([text], return_tensors="pt", **padding)
    wanted = {"do_sample": False, "guidance_scale": guidance, "max_new_tokens": num_frames + 3}
    with torch.inference_mode():
        wave = loaded.generate(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], **wanted)
    return np.asarray(wave[0].T.numpy(), dtype=np.float32)


@pytest.mark.parametrize("kind", KINDS_OF_TINY)
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_without_chance_it_makes_what_the_library_makes(
    kind: Kind, guidance: float, engine: Callable[..., Any], tiny: Callable[[Kind], Path]
) -> None:
    # One candidate a draw leaves nothing to chance.
    [made] = engine(kind, top_k=1, guidance=guidance).make([Piece(CELLO, 0.5, seed=7)])
    expected = generate_greedily(kind, tiny(kind), CELLO, num_frames=25, guidance=guidance)
    assert made.shape == expected.shape == (16_000, 2 if kind == "stereo" else 1)
    assert float(np.max(np.abs(expected))) > 0.01
    np.testing.assert_allclose(made, expected, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS_OF_TINY)
def test_a_piece_does_not_depend_on_its_batch(kind: Kind, engine: Callable[..., Any]) -> None:
    maker = engine(kind)
    pieces = [Piece(CELLO, 0.6, 7), Piece(LONG, 1.1, 8), Piece(SAMBA, 0.3, 9), Piece(CELLO, 0.6, 10)]
    together = maker.make(pieces)
    for piece, made in zip(pieces, together, strict=True):
        [alone] = maker.make([piece])
        assert made.shape == alone.shape
        assert float(np.max(np.abs(alone))) > 0.01
        np.testing.assert_allclose(made, alone, atol=1e-5)
    assert not np.allclose(together[0], together[3], atol=0.01)


def test_the_same_batch_gives_the_same_bits_and_leaves_the_global_generator_alone(engine: Callable[..., Any]) -> None:
    maker = engine("mono")
    pieces = [Piece(CELLO, 0.4, 7), Piece(SAMBA, 0.5, 8)]
    state = torch.get_rng_state()
    first = maker.make(pieces)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(5)
    for one, other in zip(first, maker.make(pieces), strict=True):
        assert one.tobytes() == other.tobytes()


@pytest.mark.parametrize(
    "changes", [{"guidance": 1.0}, {"guidance": 6.0}, {"temperature": 0.3}, {"top_k": 4}, {"top_p": 0.4}]
)
def test_every_option_of_the_draw_changes_the_music(changes: dict[str, float], engine: Callable[..., Any]) -> None:
    piece = Piece(CELLO, 0.4, 7)
    [usual], [changed] = engine("mono").make([piece]), engine("mono", **changes).make([piece])
    assert not np.allclose(usual, changed, atol=0.01)


def test_description_and_seed_change_the_music(engine: Callable[..., Any]) -> None:
    base, other_text, other_seed = engine("mono").make(
        [Piece(CELLO, 0.4, 7), Piece(SAMBA, 0.4, 7), Piece(CELLO, 0.4, 8)]
    )
    assert not np.allclose(base, other_text, atol=0.01)
    assert not np.allclose(base, other_seed, atol=0.01)


def test_draws_follow_the_softmax() -> None:
    from pipeline.adapters.renderers.musicgen.sampling import NOISE_STEPS, Noise

    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    noise = Noise([torch.Generator().manual_seed(3)], num_codebooks=1000, vocabulary=4)
    draws = torch.cat([(logits + noise.at(step)).argmax(dim=-1).flatten() for step in range(2 * NOISE_STEPS)])
    shares = torch.bincount(draws, minlength=4) / draws.numel()
    # Four standard deviations of a share among 32,000 draws are 0.011.
    np.testing.assert_allclose(shares.numpy(), torch.softmax(logits, 0).numpy(), atol=0.012)


def test_noise_is_fresh_at_every_step_and_the_items_own() -> None:
    from pipeline.adapters.renderers.musicgen.sampling import NOISE_STEPS, Noise

    def noise(*seeds: int) -> Any:
        drawn = Noise([torch.Generator().manual_seed(seed) for seed in seeds], num_codebooks=2, vocabulary=8)
        return torch.stack([drawn.at(step) for step in range(2 * NOISE_STEPS)])

    both, one = noise(1, 2), noise(2)
    assert torch.equal(both[:, 1], one[:, 0])
    assert len({step.numpy().tobytes() for step in one}) == 2 * NOISE_STEPS


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_the_decoder_computes_in_another_dtype(dtype: str, engine: Callable[..., Any]) -> None:
    maker = engine("mono", dtype=dtype)
    [made] = maker.make([Piece(CELLO, 0.4, 7)])
    assert maker.provenance()["dtype"] == dtype
    assert made.dtype == np.float32
    assert bool(np.isfinite(made).all())


def test_renders_are_cut_levelled_and_in_order(tiny: Callable[[Kind], Path]) -> None:
    renderer = PLUGIN.load(options_for(tiny("stereo"), loudness=-20.0), ModelCache())
    briefs = [
        brief(id="a", duration=0.613),
        brief(id="b", modality=Modality.IMAGE),
        brief(id="c", duration=31.0),
        brief(id="d", duration=0.1),
        brief(id="e", text="  \n"),
        brief(id="f", text="drums " * 500),
        brief(id="g", duration=1.0, text="'; DROP TABLE music; -- \u202e\U0001f3bb <extra_id_0> </s>"),
    ]
    outcomes = finish(renderer.render(briefs))
    codes = [one.code if isinstance(one, RenderFailure) else "made" for one in outcomes]
    assert codes == ["made", "wrong_modality", "bad_duration", "bad_duration", "bad_brief", "text_too_long", "made"]
    assert isinstance(outcomes[2], RenderFailure) and "0.3 to 30 s" in outcomes[2].message
    for outcome, duration in ((outcomes[0], 0.613), (outcomes[6], 1.0)):
        assert isinstance(outcome, Render) and isinstance(outcome.facts, AudioFacts)
        assert outcome.facts.duration == pytest.approx(duration, abs=1 / 32_000)
        assert (outcome.facts.sample_rate, outcome.facts.channels, outcome.extension) == (32_000, 2, "flac")
        assert outcome.notes["loudness"] == pytest.approx(-20.0, abs=0.1)
    assert renderer.render([]) == []
    assert finish(renderer.render(briefs[:1]))[0].model_dump()["facts"]["channels"] == 2


def test_an_mp3_is_made_where_it_is_asked_for(tiny: Callable[[Kind], Path]) -> None:
    renderer = PLUGIN.load(options_for(tiny("mono"), extension="mp3"), ModelCache())
    [outcome] = finish(renderer.render([brief()]))
    assert isinstance(outcome, Render)
    assert outcome.extension == "mp3"
    assert decode_sound(outcome.data)[1] == 32_000


def test_provenance_names_the_weights_and_no_path(tiny: Callable[[Kind], Path]) -> None:
    facts = PLUGIN.load(options_for(tiny("mono")), ModelCache()).provenance()
    assert facts["revision"].startswith("sha256:")
    assert {"torch", "transformers", "soundfile", "dtype", "device"} <= set(facts)
    assert str(tiny("mono").parent) not in json.dumps(dict(facts))


def test_a_batch_that_does_not_fit_is_told_and_a_smaller_one_is_made(engine: Callable[..., Any]) -> None:
    maker = engine("mono")
    pieces = [Piece(CELLO, 0.3, 7), Piece(SAMBA, 0.3, 8)]
    expected = maker.make(pieces[:1])

    def refuse_two(module: Any, args: Any, kwargs: dict[str, Any]) -> None:
        # Two rows an item, with and without description, of four codebooks.
        if kwargs["input_ids"].shape[0] > 8:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    maker._model.decoder.register_forward_pre_hook(refuse_two, with_kwargs=True)
    with pytest.raises(OutOfMemory, match=r"2 pieces of music of up to 0\.3 s"):
        maker.make(pieces)
    assert maker.make(pieces[:1])[0].tobytes() == expected[0].tobytes()


def test_weights_that_are_pickled_wrong_or_not_whole_are_refused(tiny: Callable[[Kind], Path], tmp_path: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(tiny("mono"), tmp_path / name))

    def load(folder: Path) -> None:
        PLUGIN.load(options_for(folder), ModelCache())

    pickled = copy("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(RenderError, match=r"pickled .*pytorch_model\.bin"):
        load(pickled)

    other = copy("other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "bert"}))
    with pytest.raises(RenderError, match="model_type 'bert', must be one of musicgen, musicgen_melody"):
        load(other)

    from safetensors.torch import load_file, save_file

    lacking = copy("lacking")
    tensors = load_file(lacking / "model.safetensors")
    dropped = next(name for name in tensors if "fc1" in name)
    save_file(
        {name: one for name, one in tensors.items() if name != dropped}, lacking / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(RenderError, match=f"lack 1 tensors .{dropped}"):
        load(lacking)

    cut = copy("cut")
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:2000])
    with pytest.raises(RenderError, match="model cut: cannot be loaded"):
        load(cut)

    (copy("bare") / "config.json").unlink()
    with pytest.raises(RenderError, match=r"model bare: config\.json cannot be read"):
        load(tmp_path / "bare")
    with pytest.raises(ModelFileError, match="no folder"):
        load(tmp_path / "nowhere")


def test_old_names_of_the_codecs_weights_are_read(tiny: Callable[[Kind], Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from pipeline.adapters.renderers.musicgen.model import MusicgenEngine

    # What Meta published was saved before torch renamed the parts of a normalised weight.
    folder = Path(shutil.copytree(tiny("mono"), tmp_path / "old"))
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}

    def rename(name: str) -> str:
        for new, old in names.items():
            name = name.replace(new, old)
        return name

    tensors = load_file(folder / "model.safetensors")
    renamed = {rename(name): one for name, one in tensors.items()}
    assert set(renamed) != set(tensors)
    save_file(renamed, folder / "model.safetensors", {"format": "pt"})
    piece = Piece(CELLO, 0.3, 7)
    [old], [new] = (MusicgenEngine(options_for(one)).make([piece]) for one in (folder, tiny("mono")))
    assert old.tobytes() == new.tobytes()


def test_licences_decide_on_commercial_use() -> None:
    for kind in KINDS:
        options = MusicgenOptions(model=f"facebook/musicgen-{kind}")
        assert PLUGIN.licences(options) == {options.model: "CC-BY-NC-4.0"}
        assert not PLUGIN.is_commercial_use_allowed(options)
    own = MusicgenOptions(model="./mine", licence="Apache-2.0")
    assert PLUGIN.is_commercial_use_allowed(own)
    assert not PLUGIN.is_commercial_use_allowed(own.model_copy(update={"licence": "CC-BY-NC-4.0"}))
    with pytest.raises(ValidationError, match="licence of somebody/music is not known"):
        MusicgenOptions(model="somebody/music")


@pytest.mark.parametrize(
    "wrong",
    [{"guidance": 0.5}, {"top_k": -1}, {"top_p": 0.0}, {"temperature": 0.0}, {"extension": "ogg"}, {"extra": 1}],
)
def test_options_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MusicgenOptions(**wrong)


def test_estimates_grow_with_model_duration_and_guidance() -> None:
    def seconds(model: str, duration: float = 10.0, guidance: float = 3.0) -> float:
        options = MusicgenOptions(model=f"facebook/musicgen-{model}", guidance=guidance)
        return PLUGIN.estimate(options, brief(duration=duration))

    assert 0 < seconds("small") < seconds("melody") == seconds("medium") < seconds("stereo-large") < 2
    assert seconds("small", 20.0) == pytest.approx(2 * seconds("small"))
    assert seconds("small", guidance=1.0) < seconds("small")
    assert seconds("small", float("nan")) == 0.0
