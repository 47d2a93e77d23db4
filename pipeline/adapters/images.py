"""Pixels to bytes, and the gates that a made picture passes first: for every renderer that makes pictures of pixels.

PNG, WebP and JPEG encode to the same bytes for the same pixels and library. Pillow and numpy are imported inside the
functions: this module is imported to validate manifests.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image

    Picture = npt.NDArray[np.uint8]

ImageExtension = Literal["png", "webp", "jpg"]

MIN_SPREAD = 2.0
"""Smallest standard deviation, in 255ths, that some channel of a picture must have. Chosen, not measured: above the
step or so by which a decoder's rounding spreads one colour, and far below any picture with a thing in it."""

_GRID = 4
"""Every so many pixels are looked at, each way; a sixteenth of the work, and what fills less is hardly a picture."""


def is_blank(picture: Picture) -> bool:
    """Whether a picture has one colour all over, but for noise.

    Args:
        picture: (height, width, 3).
    """
    sample = picture[::_GRID, ::_GRID].reshape(-1, picture.shape[-1])
    return bool(sample.std(axis=0).max() < MIN_SPREAD)


def encode_picture(picture: Picture, extension: ImageExtension, quality: int) -> bytes:
    """Encode a picture.

    Args:
        picture: (height, width, 3), red, green, blue.
        quality: Of WebP and JPEG, 1 to 100; PNG is exact.
    """
    from PIL import Image

    return encode_image(Image.fromarray(picture), extension, quality)


def encode_image(image: Image, extension: ImageExtension, quality: int) -> bytes:
    """Encode what Pillow holds as red, green and blue; as :func:`encode_picture`."""
    buffer = io.BytesIO()
    if extension == "png":
        image.save(buffer, format="PNG", compress_level=6)
    elif extension == "webp":
        image.save(buffer, format="WEBP", quality=quality, method=4)
    else:
        image.save(buffer, format="JPEG", quality=quality)
    return buffer.getvalue()
