"""A few dialogues with their media inside, as a page shows them that reaches nothing beyond itself.

Pictures are decoded and encoded anew, smaller; sound stands as the corpus holds it, after its header was read. What
does not fit the budget is left out, and says so.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Mapping, Sequence

from pipeline.adapters.decoding import SOUND_FORMATS, decode_picture
from pipeline.adapters.images import encode_image
from pipeline.adapters.published import MEDIUM_OF, PublishedCorpus, PublishedShard
from pipeline.contracts.audit import Subject
from pipeline.contracts.storage import Row
from pipeline.values.units import Bytes, Pixels
from pipeline.work.report_figures import ShownDialogue, ShownPart

SIDE: Pixels = 512
QUALITY = 80
SOUND_TYPES = {"flac": "audio/flac", "wav": "audio/wav", "mp3": "audio/mpeg", "ogg": "audio/ogg"}
SUBJECT_OF: Mapping[str, Subject] = {"image": "image", "music": "music", "speech": "speech"}


class Showcase:
    """Collects samples until their media fill the budget."""

    def __init__(self, corpus: PublishedCorpus, budget: Bytes) -> None:
        self._corpus = corpus
        self._left = budget

    def show(self, names: Sequence[str], findings: Mapping[str, Sequence[str]]) -> dict[str, ShownDialogue]:
        """Return dialogues by id; one that the tables do not have is left out.

        Args:
            findings: Sentences by dialogue.
        """
        found: dict[str, tuple[Row, dict[str, ShownPart]]] = {}
        for shard in self._corpus.shards:
            rows = list(shard.rows("dialogue", wanted=set(names))) if names else []
            media = self._media(shard, rows)
            found |= {row["id"]: (row, media) for row in rows}
        return {name: _shown(*found[name], findings.get(name, ())) for name in names if name in found}

    def _media(self, shard: PublishedShard, rows: Sequence[Row]) -> dict[str, ShownPart]:
        wanted: dict[Subject, set[str]] = {}
        for part in (part for row in rows for turn in row["turns"] or () for part in turn.get("parts") or ()):
            if part.get("asset") and part.get("kind") in SUBJECT_OF:
                wanted.setdefault(SUBJECT_OF[part["kind"]], set()).add(part["asset"])
        shown: dict[str, ShownPart] = {}
        for subject, ids in wanted.items():
            for row in shard.rows(subject, wanted=ids):
                data = (row.get(MEDIUM_OF[subject]) or {}).get("bytes") or b""
                shown[row["id"]] = self._embed(subject, data, row)
        return shown

    def _embed(self, subject: Subject, data: bytes, row: Row) -> ShownPart:
        note = ", ".join(_facts(subject, row, len(data)))
        try:
            address = _picture(data) if subject == "image" else _sound(data)
        except ValueError:
            return ShownPart(kind=subject, text="", note=f"cannot be decoded; {note}")
        if len(address) > self._left:
            return ShownPart(kind=subject, text="", note=f"left out, for the page would grow too large; {note}")
        self._left -= len(address)
        return ShownPart(kind=subject, text="", media=address, note=note)


def _shown(row: Row, media: Mapping[str, ShownPart], findings: Sequence[str]) -> ShownDialogue:
    return ShownDialogue(
        id=row["id"],
        topic=str(row.get("topic") or ""),
        cell=str(row.get("cell") or ""),
        turns=tuple(
            (str(turn.get("role") or ""), tuple(_part(part, media) for part in turn.get("parts") or ()))
            for turn in row["turns"] or ()
        ),
        findings=tuple(findings),
    )


def _part(part: Row, media: Mapping[str, ShownPart]) -> ShownPart:
    kind, text = str(part.get("kind") or "text"), str(part.get("text") or "")
    if kind not in SUBJECT_OF:
        return ShownPart(kind=kind, text=text)
    asset = media.get(part.get("asset") or "")
    if asset is None:
        return ShownPart(kind=kind, text=text, note="its asset is not in the tables")
    return asset.model_copy(update={"text": text})


def _facts(subject: Subject, row: Row, num_bytes: Bytes) -> Iterator[str]:
    if subject == "image" and row.get("width"):
        yield f"{row['width']} x {row['height']} pixels"
    if subject != "image" and row.get("duration") is not None:
        yield f"{row['duration']:.1f} s"
    if row.get("voice"):
        yield f"voice {row['voice']}"
    yield f"{num_bytes / 1000:,.0f} kB"
    if row.get("is_draft"):
        yield "draft"


def _picture(data: bytes) -> str:
    picture = decode_picture(data)
    picture.thumbnail((SIDE, SIDE))
    return _address("image/webp", encode_image(picture, "webp", QUALITY))


def _sound(data: bytes) -> str:
    import soundfile

    try:
        name = soundfile.info(io.BytesIO(data)).format
    except (soundfile.SoundFileError, TypeError) as exc:
        raise ValueError(f"{len(data)} bytes cannot be read as sound: {exc}") from exc
    if name not in SOUND_FORMATS:
        raise ValueError(f"sound of format {name}")
    return _address(SOUND_TYPES[SOUND_FORMATS[name]], data)


def _address(media_type: str, data: bytes) -> str:
    return f"data:{media_type};base64,{base64.b64encode(data).decode('ascii')}"
