"""Names for numbers, so that signatures say what they count."""

from __future__ import annotations

from typing import Annotated

Seconds = Annotated[float, "seconds"]
Hertz = Annotated[int, "frames per second"]
Pixels = Annotated[int, "pixels"]
LUFS = Annotated[float, "loudness units relative to full scale, ITU-R BS.1770-4"]
USD = Annotated[float, "US dollars"]
Bytes = Annotated[int, "bytes"]
