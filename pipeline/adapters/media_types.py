"""What encoded media are, by their first bytes: whatever else a row says of them may be wrong, or meant to mislead."""

from __future__ import annotations

UNKNOWN = "application/octet-stream"

_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav"}
_MPEG_LAYER_3 = (0xFB, 0xFA, 0xF3, 0xF2, 0xE3, 0xE2)
"""Second byte of an MP3 frame: MPEG 1, 2 or 2.5, layer III, with a checksum or without (ISO/IEC 11172-3, 2.4.1.3)."""


def find_media_type(data: bytes) -> str:
    """Return the media type of a picture or of sound in a format that corpora hold; :data:`UNKNOWN` for others."""
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] in _RIFF:
        return _RIFF[data[8:12]]
    if data[4:12] in (b"ftypavif", b"ftypavis"):
        return "image/avif"
    if len(data) > 1 and data[0] == 0xFF and data[1] in _MPEG_LAYER_3:
        return "audio/mpeg"
    return UNKNOWN
