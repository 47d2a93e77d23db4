"""Ogg files with stable bytes: libogg numbers a stream by chance, and here it is numbered by what it holds."""

from __future__ import annotations

import zlib

_HEADER = 27
"""Bytes of a page before its table of segments (RFC 3533, section 6); the fields used are named below."""

_SERIAL, _CHECKSUM, _NUM_SEGMENTS = slice(14, 18), slice(22, 26), 26

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def renumber_stream(data: bytes, serial: int) -> bytes:
    """Give a file's one stream another serial number, and its pages the checksums that go with it.

    Args:
        serial: 32 bits. Streams that may be joined into one file should differ in it.

    Raises:
        ValueError: the bytes are no sequence of whole Ogg pages.
    """
    pages = bytearray(data)
    start = 0
    while start < len(pages):
        if pages[start : start + 4] != b"OggS" or start + _HEADER > len(pages):
            raise ValueError(f"no Ogg page begins at byte {start} of {len(pages)}")
        body = start + _HEADER + pages[start + _NUM_SEGMENTS]
        end = body + sum(pages[start + _HEADER : body])
        if end > len(pages):
            raise ValueError(f"the Ogg page at byte {start} of {len(pages)} is cut off")
        page = pages[start:end]
        page[_SERIAL] = serial.to_bytes(4, "little")
        page[_CHECKSUM] = bytes(4)
        page[_CHECKSUM] = _checksum(page).to_bytes(4, "little")
        pages[start:end] = page
        start = end
    return bytes(pages)


def _checksum(page: bytes | bytearray) -> int:
    """The CRC of Ogg: the polynomial of zlib's, but high bit first, from 0 and without a final inversion.

    Reversing the bits of every byte and of the result turns zlib's into it, at the speed of C.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)
