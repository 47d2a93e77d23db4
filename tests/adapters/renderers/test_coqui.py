"""VITS through coqui-tts, on tiny random weights; XTTS has a file of its own."""

from __future__ import annotations

import json
import pickle
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `models` is not installed")
pytest.importorskip("TTS", reason="the extra `models` is not installed")

import torch
from safetensors.torch import save_file

from pipeline.adapters.audio import measure_audio
from pipeline.adapters.decoding import decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.renderers.coqui import PLUGIN, vits
from pipeline.adapters.renderers.coqui.espeak import choose_phonemizer, register_phonemizer
from pipeline.adapters.renderers.coqui.licences import LICENCES
from pipeline.adapters.speech_batches import BatchSpeechRenderer, Utterance
from pipeline.contracts.render import AudioFacts, Brief, Outcome, Render, RenderFailure, Voice
from pipeline.values.errors import ModelFileError, OutOfMemory, RenderError
from pipeline.values.records import Modality
from tests.support.tiny_coqui import SAMPLE_RATE, SPEAKERS, write_tiny_vits

SENTENCE = "The old lighthouse stood quietly above the bay."
VOICE = Voice(name="a", renderer="coqui", speaker=SPEAKERS[1], languages=("en-GB",), licence="MIT")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_vits(tmp_path_factory.mktemp("coqui") / "vits")


@pytest.fixture(scope="module")
def renderer(folder: Path) -> BatchSpeechRenderer:
    return load(folder)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "vits"))


def load(folder: Path | str, **options: Any) -> BatchSpeechRenderer:
    chosen = {"model": str(folder), "device": "cpu", "licence": "MIT", **options}
    checked: Any = PLUGIN.options.model_validate(chosen)
    loaded = PLUGIN.load(checked, ModelCache())
    assert isinstance(loaded, BatchSpeechRenderer)
    return loaded


def brief(text: str = SENTENCE, **changes: Any) -> Brief:
    values = {"id": "b", "modality": Modality.SPEECH, "text": text, "seed": 11, "voice": VOICE, **changes}
    return Brief.model_validate(values)


def render(renderer: BatchSpeechRenderer, *briefs: Brief) -> list[Outcome]:
    return [made() if callable(made) else made for made in renderer.render(briefs)]


def clip_of(outcome: Outcome) -> Render:
    assert isinstance(outcome, Render), outcome
    return outcome


def seconds_of(outcome: Outcome) -> float:
    facts = clip_of(outcome).facts
    assert isinstance(facts, AudioFacts)
    return facts.duration


def edit_config(folder: Path, **changes: Any) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return folder


def test_a_batch_is_spoken_in_order_and_the_same_batch_gives_the_same_bytes(renderer: BatchSpeechRenderer) -> None:
    briefs = [brief(id="long"), brief("Yes, I do.", id="short"), brief(id="other", voice=VOICE, seed=5)]
    outcomes = render(renderer, *briefs)
    for outcome in outcomes:
        samples, sample_rate = decode_sound(clip_of(outcome).data)
        assert sample_rate == SAMPLE_RATE
        assert clip_of(outcome).facts == measure_audio(samples, sample_rate)
        assert clip_of(outcome).notes["voice"] == "a"
    assert seconds_of(outcomes[1]) < seconds_of(outcomes[0])
    assert clip_of(outcomes[0]).data != clip_of(outcomes[2]).data
    assert render(renderer, *briefs) == outcomes


def test_an_utterance_does_not_depend_on_its_batch(renderer: BatchSpeechRenderer) -> None:
    other = VOICE.model_copy(update={"speaker": SPEAKERS[2]})
    utterances = [
        Utterance(SENTENCE, VOICE, 1.0, 1),
        Utterance("Yes.", other, 0.7, 2),
        Utterance(f"{SENTENCE} {SENTENCE}", VOICE, 1.4, 3),
        Utterance(SENTENCE, other, 1.0, 4),
    ]
    together = renderer._engine.speak(utterances)
    for utterance, mine in zip(utterances, together, strict=True):
        [alone] = renderer._engine.speak([utterance])
        assert not isinstance(alone, RenderFailure)
        assert not isinstance(mine, RenderFailure)
        assert mine.shape == alone.shape
        assert float(np.abs(mine - alone).max()) < 1e-5


def test_without_noise_it_speaks_as_coquis_own_inference_does(
    renderer: BatchSpeechRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = renderer._engine
    monkeypatch.setattr(engine._model, "inference_noise_scale", 0.0)
    monkeypatch.setattr(engine._model, "inference_noise_scale_dp", 0.0)
    utterance = Utterance(SENTENCE, VOICE, 1.0, 1)
    [mine] = engine.speak([utterance])
    ids = torch.tensor([engine._read(utterance)])
    with torch.random.fork_rng(devices=[]):
        theirs = engine._model.inference(ids, {"speaker_ids": torch.tensor([SPEAKERS.index(VOICE.speaker)])})
    wave = theirs["model_outputs"][0, 0].numpy()
    assert mine.shape == wave.shape
    # The end differs: coqui's decoder meets the edge of its input there, ours a stretch of silence.
    assert float(np.abs(mine - wave)[: -vits.TAIL * 256].max()) < 1e-6


def test_chance_is_the_briefs_own_and_the_global_generator_is_left_alone(renderer: BatchSpeechRenderer) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        state = torch.get_rng_state()
        [first] = render(renderer, brief())
        assert torch.equal(torch.get_rng_state(), state)
        torch.manual_seed(2)
        [again] = render(renderer, brief())
    assert again == first


def test_the_rate_sets_the_pace(renderer: BatchSpeechRenderer) -> None:
    slow, fast = render(renderer, brief(rate=0.75), brief(rate=1.5))
    assert seconds_of(fast) < 0.75 * seconds_of(slow)


def test_speakers_sound_different(renderer: BatchSpeechRenderer) -> None:
    voices = [VOICE.model_copy(update={"speaker": name}) for name in SPEAKERS]
    outcomes = render(renderer, *(brief(voice=voice) for voice in voices))
    assert len({clip_of(outcome).data for outcome in outcomes}) == len(SPEAKERS)


def test_a_bad_brief_fails_alone_and_the_others_keep_their_places(renderer: BatchSpeechRenderer) -> None:
    outcomes = render(
        renderer,
        brief(),
        brief("... !?"),
        brief(voice=None),
        brief(voice=VOICE.model_copy(update={"renderer": "kokoro"})),
        brief(voice=VOICE.model_copy(update={"speaker": "nobody"})),
        brief(voice=VOICE.model_copy(update={"languages": ("ja", "de-DE")})),
        brief(voice=VOICE.model_copy(update={"reference": Path("a.wav")})),
        brief(rate=9.0),
        brief(modality=Modality.MUSIC),
        brief("word " * 1000),
        brief(),
    )
    codes = [outcome.code if isinstance(outcome, RenderFailure) else "made" for outcome in outcomes]
    refused = ["unknown_voice", "unsupported_language", "unknown_voice"]
    bad = ["unspeakable", "bad_brief", "bad_brief", *refused, "bad_brief", "bad_brief", "text_too_long"]
    assert codes == ["made", *bad, "made"]
    assert "nobody" in str(outcomes[4])
    assert clip_of(outcomes[0]).data == clip_of(outcomes[-1]).data


def test_a_long_text_is_spoken_in_chunks_and_joined(renderer: BatchSpeechRenderer) -> None:
    one, four = render(renderer, brief(), brief(" ".join([SENTENCE] * 8)))
    assert 6 * seconds_of(one) < seconds_of(four) < 11 * seconds_of(one)


@pytest.mark.parametrize(
    "text", ["a.b,c;d!e" * 20, "Ça va? 你好 — “yes”…", "[[hello]] (en) {x} <b> \u202e abc\x00", "A" * 900]
)
def test_hostile_text_ends_in_an_outcome(renderer: BatchSpeechRenderer, text: str) -> None:
    [outcome] = render(renderer, brief(text))
    assert isinstance(outcome, Render | RenderFailure)


def test_samples_that_are_not_finite_are_refused(
    renderer: BatchSpeechRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def decode(latent: Any, g: Any) -> Any:
        return torch.full((latent.shape[0], 1, latent.shape[2] * 256), float("nan"))

    monkeypatch.setattr(renderer._engine._model.waveform_decoder, "forward", decode)  # type: ignore[attr-defined]
    [outcome] = render(renderer, brief())
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == "not_finite"


def test_a_model_that_asks_for_hours_is_cut_short_and_refused(
    renderer: BatchSpeechRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer._engine._model, "length_scale", 1e9)  # type: ignore[attr-defined]
    monkeypatch.setattr(vits, "MAX_UTTERANCE", 4.0)
    [outcome] = render(renderer, brief("Yes."))
    assert isinstance(outcome, RenderFailure)
    assert outcome.code == "too_long"


def test_an_out_of_memory_error_loses_nothing(renderer: BatchSpeechRenderer, monkeypatch: pytest.MonkeyPatch) -> None:
    model = renderer._engine._model  # type: ignore[attr-defined]
    flow = model.flow.forward

    def fit_two(latent: Any, *args: Any, **more: Any) -> Any:
        if latent.shape[0] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9 GiB")
        return flow(latent, *args, **more)

    monkeypatch.setattr(model.flow, "forward", fit_two)
    briefs = [brief(id=str(number), seed=number) for number in range(3)]
    with pytest.raises(OutOfMemory, match="3 utterances"):
        renderer.render(briefs)
    assert all(isinstance(outcome, Render) for outcome in render(renderer, *briefs[:2]))


def test_what_breaks_on_one_text_fails_that_text_and_a_lost_device_ends_the_run(
    renderer: BatchSpeechRenderer, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine: Any = renderer._engine
    infer = engine._infer

    def stumble(batch: Any) -> Any:
        if any(one.utterance.text == "Trip." for one in batch):
            raise RuntimeError("shapes do not match")
        return infer(batch)

    monkeypatch.setattr(engine, "_infer", stumble)
    first, second, third = render(renderer, brief(), brief("Trip."), brief())
    assert isinstance(second, RenderFailure)
    assert second.code == "engine"
    assert clip_of(first).data == clip_of(third).data

    def die(batch: Any) -> Any:
        raise torch.AcceleratorError("CUDA error: device-side assert triggered")

    monkeypatch.setattr(engine, "_infer", die)
    with pytest.raises(RenderError, match="device"):
        renderer.render([brief(), brief()])


def test_provenance_states_weights_libraries_device_and_dtype(renderer: BatchSpeechRenderer, copy: Path) -> None:
    about = dict(renderer.provenance())
    assert about["model"] == "vits"
    assert about["revision"].startswith("sha256:")
    assert about["dtype"] == "float32"
    assert about["device"].startswith("cpu")
    assert {"torch", "coqui-tts", "espeakng-loader", "soundfile"} <= set(about)
    assert load(copy).provenance() == about
    assert load(edit_config(copy, version="2")).provenance()["revision"] != about["revision"]


def test_bfloat16_is_close_and_as_long(renderer: BatchSpeechRenderer, folder: Path) -> None:
    [exact] = render(renderer, brief())
    [rough] = render(load(folder, dtype="bfloat16"), brief())
    assert seconds_of(rough) == pytest.approx(seconds_of(exact), abs=0.05)
    assert clip_of(rough).data != clip_of(exact).data


def test_safetensors_serve_as_well(renderer: BatchSpeechRenderer, copy: Path) -> None:
    tensors = torch.load(copy / "model.pth", weights_only=True)["model"]
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, copy / "model.safetensors")
    (copy / "model.pth").unlink()
    assert render(load(copy), brief()) == render(renderer, brief())


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.place),)

    def __init__(self, place: Path) -> None:
        self.place = str(place)


@pytest.mark.parametrize("name", ["model.pth", "speakers.pth"])
def test_a_pickle_that_would_run_code_is_refused_unrun(copy: Path, tmp_path: Path, name: str) -> None:
    trace = tmp_path / "ran"
    torch.save({"model": Bomb(trace)}, copy / name)
    with pytest.raises(ModelFileError, match="unpickling it could run code"):
        load(copy)
    assert not trace.exists()
    with (copy / "plain.pkl").open("wb") as file:
        pickle.dump(Bomb(trace), file)
    pickle.loads((copy / "plain.pkl").read_bytes())
    assert trace.exists(), "the pickle of this test does nothing, so refusing it proves nothing"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"audio": {"stats_path": "scale_stats.npy"}}, "stats_path names a pickled file"),
        ({"characters": {"characters_class": "os.path.Evil"}}, "must be one of coqui's own character sets"),
        ({"text_cleaner": "re"}, "must be one of coqui's own cleaners"),
        ({"model": "tacotron2"}, "model is 'tacotron2'; the renderer coqui drives vits and xtts"),
        ({"model_args": 7}, "must be objects"),
        ({"speakers_file": "/etc/passwd"}, None),
        ({"d_vector_file": "https://example.com/x.pth"}, None),
        (
            {"language_ids_file": "https://example.com/x.pth", "use_language_embedding": True},
            "asks for 'x.pth' .* not there",
        ),
    ],
)
def test_a_config_is_not_taken_at_its_word(copy: Path, changes: dict[str, Any], words: str | None) -> None:
    edit_config(copy, **changes)
    if words is None:  # the folder's own file is taken, or none is needed
        assert seconds_of(render(load(copy), brief())[0]) > 0.5
        return
    with pytest.raises((ModelFileError, RenderError), match=words):
        load(copy)


def test_what_a_folder_lacks_is_said(copy: Path, tmp_path: Path) -> None:
    (copy / "model.pth").write_bytes(b"PK\x03\x04 half a file")
    with pytest.raises(ModelFileError, match="cannot be read as weights"):
        load(copy)
    (copy / "model.pth").unlink()
    with pytest.raises(ModelFileError, match="weights must be in one file"):
        load(copy)
    (copy / "speakers.pth").unlink()
    with pytest.raises(ModelFileError, match=r"speakers\.pth"):
        load(copy)
    with pytest.raises(ModelFileError, match="no folder"):
        load(tmp_path / "nowhere")


def test_weights_of_another_config_are_refused(copy: Path) -> None:
    sizes = json.loads((copy / "config.json").read_text())["model_args"]
    with pytest.raises(RenderError, match="do not fit their config"):
        load(edit_config(copy, model_args={**sizes, "hidden_channels": 48}))


def test_a_config_with_comments_is_read(copy: Path) -> None:
    path = copy / "config.json"
    path.write_text("// from 2021\n" + path.read_text().replace("{", "{ /* a */", 1))
    assert load(copy)._engine.sample_rate == SAMPLE_RATE


def test_a_name_of_coquis_list_is_looked_for_where_coqui_keeps_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTS_HOME", str(tmp_path))
    with pytest.raises(ModelFileError, match="offline forbids"):
        load("tts_models/en/vctk/vits", licence=None, offline=True)
    with pytest.raises(ModelFileError, match="its list has no model"):
        load("tts_models/en/vctk/nothing", offline=True)
    place = tmp_path / "tts" / "tts_models--en--vctk--vits"
    place.mkdir(parents=True)
    with pytest.raises(ModelFileError, match="delete it and run again"):
        load("tts_models/en/vctk/vits", licence=None)
    place.rmdir()
    shutil.copytree(folder, place)
    loaded = load("tts_models/en/vctk/vits", licence=None, offline=True)
    assert loaded.provenance()["model"] == "tts_models--en--vctk--vits"
    monkeypatch.delenv("COQUI_TOS_AGREED", raising=False)
    with pytest.raises(ModelFileError, match="COQUI_TOS_AGREED=1"):
        load("tts_models/multilingual/multi-dataset/xtts_v2", licence=None, offline=True)


@cache
def phonemizer(language: str) -> Any:
    from TTS.tts.utils.text.phonemizers import get_phonemizer_by_name

    register_phonemizer()
    return get_phonemizer_by_name("espeak", language=language)


def test_phonemes_come_from_espeak_without_its_program() -> None:
    said = phonemizer("en").phonemize("Hello, world! It is fine.", separator="")
    assert said == "həlˈoʊ, wˈɜːld! ɪɾ ɪz fˈaɪn."
    assert phonemizer("fr-fr").phonemize("Bonjour.", separator="") == "bɔ̃ʒˈuʁ."
    with pytest.raises(RuntimeError, match="xx-none"):
        phonemizer("xx-none")


def test_a_model_that_reads_phonemes_is_given_them(copy: Path) -> None:
    speaking = load(edit_config(copy, use_phonemes=True, phoneme_language="en"))
    engine: Any = speaking._engine
    written = engine._model.tokenizer.decode(engine._read(Utterance("World.", VOICE, 1.0, 1)))
    assert "ɜ" in written
    assert seconds_of(render(speaking, brief())[0]) > 0.5


@pytest.mark.parametrize(
    ("settings", "chosen"),
    [
        ({"use_phonemes": True, "phoneme_language": "en"}, "espeak"),
        ({"use_phonemes": True, "phoneme_language": "en", "phonemizer": "gruut"}, "gruut"),
        ({"use_phonemes": True, "phoneme_language": "ja-jp"}, None),
        ({"use_phonemes": False, "phoneme_language": "en"}, None),
    ],
)
def test_the_phonemizer_that_a_config_means(settings: dict[str, Any], chosen: str | None) -> None:
    assert choose_phonemizer(settings) == chosen


def test_licences_are_those_of_coquis_list() -> None:
    import TTS

    listed = json.loads((Path(TTS.__file__).parent / ".models.json").read_text())["tts_models"]

    def plain(text: str) -> str:
        return text.casefold().replace(" ", "-").replace("licenseref-", "").removesuffix("-1.0")

    for name, licence in LICENCES.items():
        if name.startswith("tts_models/"):
            _, language, data, model = name.split("/")
            assert plain(listed[language][data][model]["license"]) == plain(licence), name
    hubs = {item["repo_id"] for data in listed["multilingual"].values() for item in data.values() if "repo_id" in item}
    assert {name for name in LICENCES if name.startswith("tts-hub/")} <= hubs


@pytest.mark.parametrize(
    ("options", "is_allowed"),
    [
        ({"model": "tts_models/en/vctk/vits"}, True),
        ({"model": "tts_models/yor/openbible/vits"}, True),
        ({"model": "tts_models/multilingual/multi-dataset/your_tts"}, False),
        ({"model": "coqui/XTTS-v2"}, False),
        ({"model": "./mine", "licence": "MIT"}, True),
        ({"model": "./mine", "licence": "CC-BY-NC-4.0"}, False),
        ({"model": "./mine", "licence": "my own words"}, False),
    ],
)
def test_whether_what_is_spoken_may_be_sold(options: dict[str, Any], is_allowed: bool) -> None:
    checked: Any = PLUGIN.options.model_validate(options)
    assert PLUGIN.is_commercial_use_allowed(checked) is is_allowed
    assert PLUGIN.licences(checked)[options["model"]] == (options.get("licence") or LICENCES[options["model"]])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "someone/else"}, "licence"),
        ({"model": "tts_models/en/vctk/fast"}, "licence"),
        ({"model": "tts_models/en"}, "no name of coqui's list"),
        ({"model": "tts_models/en/../vits", "licence": "MIT"}, "no name of coqui's list"),
        ({"model": "no hub id"}, "neither a hub id"),
        ({"model": "./mine", "licence": "MIT", "pitch": 2}, "pitch"),
        ({"model": "./mine", "licence": "MIT", "temperature": 0}, "temperature"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        PLUGIN.options.model_validate(options)
