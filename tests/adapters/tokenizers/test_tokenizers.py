from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.decoding import decode_picture, decode_sound
from pipeline.adapters.tokenizers.choosing import TokenizerChoice
from pipeline.contracts.tokenizer import Tokenizer
from pipeline.values.errors import ManifestError, ModelFileError, RenderError
from tests.support.tiny_tokenizers import NAMES, NUM_CODES, SIDE, options_for, save_tiny_tokenizer


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("tokenizers")
    return {name: save_tiny_tokenizer(root / name, name) for name in NAMES}


def open_tokenizer(folders: dict[str, Path], name: str, **options: object) -> Tokenizer:
    return TokenizerChoice.model_validate({**options_for(folders[name], name), **options}).open()


def media_for(name: str) -> list[bytes]:
    """Media of different lengths and contents."""
    noise = np.random.default_rng(0)
    if name != "vq-image":
        return [encode_audio(noise.uniform(-0.5, 0.5, (n, 2)).astype(np.float32), 8_000) for n in (4_000, 6_500, 4_000)]
    found = []
    for size in ((40, 30), (64, 64)):
        target = io.BytesIO()
        Image.fromarray(noise.integers(0, 255, (*size, 3), dtype=np.uint8)).save(target, "PNG")
        found.append(target.getvalue())
    return found


@pytest.mark.parametrize("name", NAMES)
def test_media_become_codes_in_range_whatever_else_is_in_the_batch(folders: dict[str, Path], name: str) -> None:
    tokenizer = open_tokenizer(folders, name)
    facts = tokenizer.facts
    media = [tokenizer.prepare(data) for data in media_for(name)]
    codes = tokenizer.encode(media)
    for medium, array in zip(media, codes, strict=True):
        frames = facts.frames or len(medium) / (facts.sample_rate or 0) * (facts.frames_per_second or 0)
        assert array.shape == (facts.num_codebooks, round(frames))
        assert 0 <= array.min() <= array.max() < facts.num_codes == NUM_CODES
        np.testing.assert_array_equal(tokenizer.encode([medium])[0], array)
    assert len({array.tobytes() for array in codes}) > 1, "what is heard or seen decides the codes"
    assert facts.fingerprint.startswith("sha256:")


@pytest.mark.parametrize("name", NAMES)
def test_codes_decode_to_media_of_their_length(folders: dict[str, Path], name: str) -> None:
    tokenizer = open_tokenizer(folders, name)
    media = [tokenizer.prepare(data) for data in media_for(name)]
    for medium, data in zip(media, tokenizer.decode(tokenizer.encode(media)), strict=True):
        if name == "vq-image":
            assert decode_picture(data).size == (SIDE, SIDE)
            continue
        samples, rate = decode_sound(data)
        assert rate == tokenizer.facts.sample_rate
        # Convolutions without full padding end a few samples before the last frame does.
        assert len(samples) == pytest.approx(len(medium), abs=rate / (tokenizer.facts.frames_per_second or 1))


@pytest.mark.parametrize("name", ["encodec", "mimi", "dac"])
def test_the_first_codebooks_are_the_same_however_many_are_kept(folders: dict[str, Path], name: str) -> None:
    whole, few = open_tokenizer(folders, name), open_tokenizer(folders, name, codebooks=2)
    media = [whole.prepare(data) for data in media_for(name)[:1]]
    np.testing.assert_array_equal(few.encode(media)[0], whole.encode(media)[0][:2])
    assert few.decode(few.encode(media)) == whole.decode([whole.encode(media)[0][:2]])
    with pytest.raises(RenderError, match="codebooks, 99 are asked for; state fewer"):
        open_tokenizer(folders, name, codebooks=99)


def test_what_cannot_be_loaded_is_told(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is no folder"):
        open_tokenizer({"dac": tmp_path / "nowhere"}, "dac")
    (tmp_path / "pickled").mkdir()
    (tmp_path / "pickled" / "config.json").write_text("{}")
    (tmp_path / "pickled" / "model.bin").write_bytes(b"x")
    with pytest.raises(RenderError, match="the weights are pickled"):
        open_tokenizer({"dac": tmp_path / "pickled"}, "dac")
    with pytest.raises(RenderError, match="is no multiple of 2"):
        open_tokenizer(folders, "vq-image", side=33)
    with pytest.raises(ManifestError, match="does not take image; there are vq-image"):
        TokenizerChoice.model_validate(options_for(folders["dac"], "dac")).check("image")
    with pytest.raises(ValueError, match="cannot be decoded as sound"):
        open_tokenizer(folders, "dac").prepare(b"no sound")
