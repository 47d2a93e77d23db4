from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from pipeline.adapters.audio import encode_audio
from pipeline.adapters.audits.agreement import MUSIC_TEXT, PICTURE_TEXT, Agreement, MusicTextOptions, PictureTextOptions
from pipeline.adapters.audits.picture_safety import PLUGIN as SAFETY
from pipeline.adapters.audits.picture_safety import PictureSafetyOptions
from pipeline.adapters.decoding import decode_picture, decode_sound
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem, Readings, Sketch
from pipeline.values.errors import RenderError

pytest.importorskip("torch")
pytest.importorskip("transformers")

from tests.support.tiny_towers import save_tiny_towers

TEXTS = ("a red fox", "an old harbour at night in the rain", "kites")


def picture(name: str, text: str, colour: tuple[int, int, int]) -> AuditItem:
    buffer = io.BytesIO()
    image = Image.new("RGB", (40, 40), colour)
    image.paste((0, 0, 0), (5, 5, 20, 30))
    image.save(buffer, "PNG")
    return AuditItem(name, name, {"description": text}, buffer.getvalue(), decode_picture)


def pictures() -> list[AuditItem]:
    colours = ((200, 30, 10), (10, 30, 200), (240, 240, 60))
    return [picture(f"p{i}", text, colour) for i, (text, colour) in enumerate(zip(TEXTS, colours, strict=True))]


def piece(name: str, text: str, seconds: float) -> AuditItem:
    samples = np.sin(np.arange(round(seconds * 8_000)) * 0.3).astype(np.float32)[:, None] * 0.4
    return AuditItem(name, name, {"description": text}, encode_audio(samples, 8_000), decode_sound)


def compare(comparer: Any, items: Sequence[AuditItem]) -> dict[str, Readings]:
    sketches = zip(items, comparer.sketch(items), strict=True)
    return dict(comparer.compare([Sketch(i.id, i.dialogue_id, data) for i, data in sketches if data is not None]))


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_pictures_are_compared_with_their_descriptions(tmp_path: Path, kind: Any) -> None:
    save_tiny_towers(tmp_path, kind)
    options = PictureTextOptions(model=str(tmp_path), licence="MIT", device="cpu")
    comparer: Any = PICTURE_TEXT.load(options, ModelCache())
    found = compare(comparer, pictures())
    assert {tuple(readings) for readings in found.values()} == {
        ("image.text_cosine", "image.text_margin", "image.text_rank")
    }
    cosines = {name: readings["image.text_cosine"].value for name, readings in found.items()}
    assert len({round(value or 0.0, 5) for value in cosines.values()}) == 3
    cut = {name for name, readings in found.items() if readings["image.text_cosine"].detail}
    assert cut == {"p1"}
    alone = compare(comparer, pictures()[:1])["p0"]
    assert alone["image.text_cosine"].value == pytest.approx(cosines["p0"], abs=2e-3)
    assert "image.text_margin" not in alone


def test_music_is_compared_window_by_window_and_always_alike(tmp_path: Path) -> None:
    save_tiny_towers(tmp_path, "clap")
    comparer: Any = MUSIC_TEXT.load(MusicTextOptions(model=str(tmp_path), licence="MIT", device="cpu"), ModelCache())
    items = [piece("m0", "a slow cello", 3.0), piece("m1", "samba", 23.0), piece("m2", "", 2.0)]
    first, second = comparer.sketch(items), comparer.sketch(items)
    assert first == second
    assert [data is None for data in first] == [False, False, True]


class Known:
    """Lays what is alike on the same axis, so that what the comparison should say is known."""

    def embed_texts(self, texts: Sequence[str]) -> tuple[Any, list[bool]]:
        axes = np.eye(4, dtype=np.float32)
        return axes[[int(text) for text in texts]] + 0.1, [False] * len(texts)

    def embed_media(self, media: Sequence[Any]) -> Any:
        return np.eye(4, dtype=np.float32)[[round(one.getpixel((0, 0))[0] / 50) for one in media]] + 0.1


def test_swapped_pictures_have_no_margin() -> None:
    shown = [0, 1, 2, 3, 0, 1, 2, 3]
    items = [picture(f"p{i}", str(axis), (axis * 50, 0, 0)) for i, axis in enumerate(shown)]
    items += [picture("swapped", "0", (150, 0, 0))]
    found = compare(Agreement("image", Known), items)
    margins = {name: readings["image.text_margin"].value or 0.0 for name, readings in found.items()}
    ranks = {name: readings["image.text_rank"].value or 0.0 for name, readings in found.items()}
    assert margins["swapped"] < 0.0 < min(value for name, value in margins.items() if name != "swapped")
    assert ranks["swapped"] > 0.9


def test_descriptions_of_the_same_dialogue_are_no_foils() -> None:
    items = [picture(f"p{i}", str(i), (i * 50, 0, 0)) for i in range(3)]
    same = [AuditItem(one.id, "d", one.row, one.data, one.decode) for one in items]
    assert all("image.text_margin" not in readings for readings in compare(Agreement("image", Known), same).values())


def test_the_path_of_a_folder_is_not_published(tmp_path: Path) -> None:
    options = PictureTextOptions(model=str(tmp_path / "my-clip"), licence="MIT")
    assert options.as_published()["model"] == "my-clip"
    assert PICTURE_TEXT.licences(options) == {"my-clip": "MIT"}


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    save_tiny_towers(tmp_path, "clap")
    comparer: Any = PICTURE_TEXT.load(
        PictureTextOptions(model=str(tmp_path), licence="MIT", device="cpu"), ModelCache()
    )
    with pytest.raises(RenderError, match=r"cannot be loaded|choose a CLIP"):
        comparer.sketch(pictures())


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    save_tiny_towers(tmp_path, "clip")
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    comparer: Any = PICTURE_TEXT.load(
        PictureTextOptions(model=str(tmp_path), licence="MIT", device="cpu"), ModelCache()
    )
    with pytest.raises(RenderError, match="pickle"):
        comparer.sketch(pictures())


def safety(folder: Path, *labels: str) -> PictureSafetyOptions:
    return PictureSafetyOptions(model=str(folder), licence="MIT", device="cpu", unsafe_labels=labels)


def test_safety_adds_the_named_labels(tmp_path: Path) -> None:
    save_tiny_towers(tmp_path, "classifier")
    values = []
    for labels in (("nsfw",), ("Gore",), ("normal",), ("nsfw", "gore", "normal")):
        auditor: Any = SAFETY.load(safety(tmp_path, *labels), ModelCache())
        values.append([readings["image.unsafe"].value for readings in auditor.measure(pictures())])
    assert np.sum(values[:3], axis=0) == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)
    assert values[3] == pytest.approx([1.0, 1.0, 1.0], abs=1e-5)


def test_safety_names_the_labels_there_are(tmp_path: Path) -> None:
    save_tiny_towers(tmp_path, "classifier")
    with pytest.raises(RenderError, match=r"no label 'porn'; unsafe_labels may name gore, normal, nsfw"):
        SAFETY.load(safety(tmp_path, "porn"), ModelCache())
    with pytest.raises(ValidationError, match="at least 1 item"):
        safety(tmp_path)
