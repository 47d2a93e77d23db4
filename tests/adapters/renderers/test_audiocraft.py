"""MusicGen through audiocraft, where it is installed, on tiny random checkpoints."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.adapters.model_files import ModelCache
from pipeline.adapters.music import Piece
from pipeline.adapters.renderers.audiocraft import PLUGIN, AudiocraftOptions
from pipeline.contracts.render import AudioFacts, Brief, Render, RenderFailure
from pipeline.values.errors import RenderError
from pipeline.values.records import Modality

CELLO, SAMBA = "a slow sad cello", "samba"
LONG = "a very long and winding description of loud guitars drums and a choir of children in a church"
FULL = "old brass band"
"""Fourteen letters, a word boundary in front and the end: sixteen tokens, which no padding follows."""


def test_plugin_says_what_it_is() -> None:
    options = AudiocraftOptions(model="./mine", licence="MIT", codec="facebook/encodec_32khz")
    assert (PLUGIN.name, PLUGIN.modality, PLUGIN.is_draft) == ("audiocraft", Modality.MUSIC, False)
    assert PLUGIN.licences(options) == {"./mine": "MIT"}
    assert not PLUGIN.is_commercial_use_allowed(AudiocraftOptions())
    with pytest.raises(ValueError, match="neither a hub id"):
        AudiocraftOptions(text_encoder="t5-base")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], Path]:
    torch = pytest.importorskip("torch", reason="the extra `models` is not installed")
    pytest.importorskip("omegaconf", reason="audiocraft is not installed: make audiocraft")
    if PLUGIN.missing():
        pytest.skip(f"{PLUGIN.missing()}")
    from tests.support.tiny_audiocraft import save_tiny_audiocraft

    torch.set_num_threads(1)
    folders: dict[bool, Path] = {}

    def folder_of(is_stereo: bool) -> Path:
        if is_stereo not in folders:
            folders[is_stereo] = save_tiny_audiocraft(tmp_path_factory.mktemp(f"stereo-{is_stereo}"), is_stereo)
        return folders[is_stereo]

    return folder_of


def options_for(folder: Path, **changes: Any) -> AudiocraftOptions:
    parts = {"text_encoder": str(folder / "t5"), "codec": str(folder / "codec")}
    return AudiocraftOptions(**{"model": str(folder), "licence": "MIT", "device": "cpu", **parts, **changes})


def engine_for(folder: Path, **changes: Any) -> Any:
    from pipeline.adapters.renderers.audiocraft.model import AudiocraftEngine

    return AudiocraftEngine(options_for(folder, **changes))


@pytest.mark.parametrize("is_stereo", [False, True])
def test_without_chance_it_makes_what_audiocraft_makes(is_stereo: bool, tiny: Callable[[bool], Path]) -> None:
    import torch

    from pipeline.adapters.renderers.audiocraft.stand_ins import standing_in

    engine = engine_for(tiny(is_stereo), top_k=1)
    [made] = engine.make([Piece(FULL, 0.5, seed=7)])
    with standing_in():
        from audiocraft.models import MusicGen

        # A MusicGen wraps its codec for stereo itself.
        whole = MusicGen("tiny", engine._codec.model if is_stereo else engine._codec, engine._model)
        whole.set_generation_params(use_sampling=False, duration=0.5, cfg_coef=3.0)
        with torch.inference_mode():
            expected = whole.generate([FULL])[0].T.numpy()
    assert made.shape == expected.shape == (16_000, 2 if is_stereo else 1)
    assert float(np.max(np.abs(expected))) > 0.01
    np.testing.assert_allclose(made, expected, atol=1e-5)
    assert not {"xformers", "xformers.ops"} & set(sys.modules)


@pytest.mark.parametrize("is_stereo", [False, True])
def test_a_piece_does_not_depend_on_its_batch(is_stereo: bool, tiny: Callable[[bool], Path]) -> None:
    engine = engine_for(tiny(is_stereo))
    pieces = [Piece(CELLO, 0.6, 7), Piece(LONG, 0.9, 8), Piece(SAMBA, 0.3, 9), Piece(CELLO, 0.6, 10)]
    together = engine.make(pieces)
    for piece, made in zip(pieces, together, strict=True):
        [alone] = engine.make([piece])
        np.testing.assert_allclose(made, alone, atol=1e-5)
    assert [one.tobytes() for one in engine.make(pieces)] == [one.tobytes() for one in together]
    assert not np.allclose(together[0], together[3], atol=0.01)


def test_renders_come_with_their_provenance(tiny: Callable[[bool], Path]) -> None:
    renderer = PLUGIN.load(options_for(tiny(False), dtype="bfloat16", guidance=1.0), ModelCache())
    briefs = [
        Brief(id="a", modality=Modality.MUSIC, text=CELLO, seed=3, duration=0.5),
        Brief(id="b", modality=Modality.MUSIC, text=CELLO, seed=3, duration=40.0),
    ]
    made, refused = (one() if callable(one) else one for one in renderer.render(briefs))
    assert isinstance(made, Render) and isinstance(made.facts, AudioFacts)
    assert (made.facts.duration, made.facts.sample_rate, made.facts.channels) == (0.5, 32_000, 1)
    assert isinstance(refused, RenderFailure) and refused.code == "bad_duration"
    facts = renderer.provenance()
    assert facts["text_encoder"].startswith("t5 sha256:") and facts["codec"].startswith("codec sha256:")
    assert facts["audiocraft"] == "1.3.0"
    assert str(tiny(False).parent) not in json.dumps(dict(facts))


class Bomb:
    """What a pickle could hold."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("this must never be printed",))


def test_checkpoints_that_hold_code_or_something_else_are_refused(
    tiny: Callable[[bool], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    def copy(name: str) -> Path:
        return Path(shutil.copytree(tiny(False), tmp_path / name))

    packed = torch.load(tiny(False) / "state_dict.bin", weights_only=True)
    bomb = copy("bomb")
    torch.save({**packed, "extra": Bomb()}, bomb / "state_dict.bin")
    with pytest.raises(RenderError, match="holds more than tensors and text"):
        engine_for(bomb)
    assert "never be printed" not in capsys.readouterr().out

    melody = copy("melody")
    config = packed["xp.cfg"].replace("conditioners:\n", "conditioners:\n  self_wav: {model: chroma_stem}\n")
    torch.save({**packed, "xp.cfg": config}, melody / "state_dict.bin")
    with pytest.raises(RenderError, match="on description, self_wav"):
        engine_for(melody)

    other = copy("other")
    torch.save({**packed, "xp.cfg": packed["xp.cfg"].replace("dim: 32", "dim: 64")}, other / "state_dict.bin")
    with pytest.raises(RenderError, match=r"weights and configuration differ: .*size mismatch"):
        engine_for(other)

    torch.save({"best_state": {}}, copy("bare") / "state_dict.bin")
    with pytest.raises(RenderError, match=r"cannot be loaded: KeyError: 'xp\.cfg'"):
        engine_for(tmp_path / "bare")

    (copy("half") / "compression_state_dict.bin").unlink()
    with pytest.raises(RenderError, match=r"it has no compression_state_dict\.bin"):
        engine_for(tmp_path / "half")
