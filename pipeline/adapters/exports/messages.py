"""``messages``: chat JSON Lines with content parts, in the shapes that trainers take them.

``openai`` follows the content parts of the chat completions API; sound there is base64 WAV or MP3 and never a link, so
with ``media: files`` it stands as ``audio_url``, which vLLM takes. ``qwen`` follows the processors of Qwen2.5-Omni,
and ``llamafactory`` the ShareGPT-like rows of LLaMA-Factory with a tag for each medium, named in ``dataset_info.json``.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pipeline.adapters.decoding import decode_integers
from pipeline.contracts.export import ExportOptions, ExportSummary, Medium, Piece, Sample
from pipeline.values.errors import CorpusError

MIME = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "webp": "image/webp",
    "avif": "image/avif",
    "flac": "audio/flac",
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "ogg": "audio/ogg",
}
TAG = {"image": "<image>", "music": "<audio>", "speech": "<audio>"}


class MessagesOptions(ExportOptions):
    """How a row is shaped.

    Attributes:
        media: As files beside the rows, or inside them as base64. ``llamafactory`` knows files only.
        transcripts: Whose spoken words also stand as text, before the sound.
        descriptions: Whether the words that a picture or a piece of music was made from stand as text, before it.
    """

    style: Literal["openai", "qwen", "llamafactory"] = "openai"
    media: Literal["files", "data"] = "files"
    transcripts: Literal["nobody", "assistant", "everybody"] = "assistant"
    descriptions: bool = False


class Lines:
    """A JSON Lines file of one part, and the media that its rows name."""

    def __init__(self, options: MessagesOptions, staging: Path, split: str, shard: int) -> None:
        self._options = options
        self._staging = staging
        self._shard = shard
        self._split = split
        self._path = f"{split}-{shard:05d}.jsonl"
        self._file = (staging / self._path).open("w", encoding="utf-8")
        self._num_rows = 0

    def add(self, sample: Sample) -> None:
        """Write a dialogue as one line."""
        shape = _shape_llamafactory if self._options.style == "llamafactory" else _shape_parts
        row = {"id": sample.id, **shape(sample, self._options, self._place)}
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._num_rows += 1

    def close(self) -> Mapping[str, int]:
        """End the file."""
        self._file.close()
        return {self._path: self._num_rows}

    def _place(self, sample: Sample, piece: Piece, medium: Medium) -> str:
        """Return where a medium is found: a path below the output folder, or a data address."""
        if self._options.media == "data":
            return f"data:{MIME[medium.extension]};base64,{base64.b64encode(medium.data).decode()}"
        path = f"media/{self._split}-{self._shard:05d}/{sample.id}-{piece.place}.{medium.extension}"
        target = self._staging / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(medium.data)
        return path


_Place = Callable[[Sample, Piece, Medium], str]


def _shape_parts(sample: Sample, options: MessagesOptions, place: _Place) -> dict[str, Any]:
    messages: list[dict[str, Any]] = []
    for index, turn in enumerate(sample.row["turns"]):
        content: list[dict[str, Any]] = []
        for piece in (piece for piece in sample.pieces() if piece.turn == index):
            if words := _words(piece, options):
                content.append({"type": "text", "text": words})
            if piece.medium is not None:
                content.append(_part(sample, piece, piece.medium, options, place))
        messages.append({"role": turn["role"], "content": content})
    return {"messages": messages}


def _part(sample: Sample, piece: Piece, medium: Medium, options: MessagesOptions, place: _Place) -> dict[str, Any]:
    is_picture = medium.kind == "image"
    if options.style == "qwen":
        kind = "image" if is_picture else "audio"
        return {"type": kind, kind: place(sample, piece, medium)}
    if is_picture:
        return {"type": "image_url", "image_url": {"url": place(sample, piece, medium)}}
    if options.media == "files":
        return {"type": "audio_url", "audio_url": {"url": place(sample, piece, medium)}}
    data, name = (medium.data, "mp3") if medium.extension == "mp3" else (_as_wav(sample.id, medium), "wav")
    return {"type": "input_audio", "input_audio": {"data": base64.b64encode(data).decode(), "format": name}}


def _shape_llamafactory(sample: Sample, options: MessagesOptions, place: _Place) -> dict[str, Any]:
    images: list[str] = []
    audios: list[str] = []
    messages = []
    for index, turn in enumerate(sample.row["turns"]):
        texts = list(_tagged(sample, index, options, place, images, audios))
        messages.append({"role": turn["role"], "content": "\n".join(texts)})
    return {"messages": messages, "images": images, "audios": audios}


def _tagged(
    sample: Sample, turn: int, options: MessagesOptions, place: _Place, images: list[str], audios: list[str]
) -> Iterator[str]:
    for piece in (piece for piece in sample.pieces() if piece.turn == turn):
        if words := _words(piece, options):
            # A tag in the words themselves would stand for a medium that is not there.
            yield words.replace("<image>", "< image>").replace("<audio>", "< audio>").replace("<video>", "< video>")
        if piece.medium is not None:
            (images if piece.kind == "image" else audios).append(place(sample, piece, piece.medium))
            yield TAG[piece.kind]


def _words(piece: Piece, options: MessagesOptions) -> str:
    """Return what stands as text for a part; a medium that is missing is told by its words."""
    if piece.kind == "text" or piece.medium is None:
        return piece.text
    if piece.kind == "speech":
        said = {"nobody": (), "assistant": ("assistant",), "everybody": ("user", "assistant")}[options.transcripts]
        return piece.text if piece.role in said else ""
    return piece.text if options.descriptions else ""


def _as_wav(dialogue: str, medium: Medium) -> bytes:
    import soundfile

    try:
        samples, rate = decode_integers(medium.data)
    except ValueError as exc:
        raise CorpusError(f"dialogue {dialogue}: {medium.kind}: {exc}; run `anyinstruct verify` on the corpus") from exc
    target = io.BytesIO()
    soundfile.write(target, samples, rate, format="WAV", subtype="PCM_16")
    return target.getvalue()


class MessagesPlugin:
    """Needs nothing that the core does not bring."""

    name = "messages"
    version = "1"
    summary = "chat JSON Lines with content parts: trainers in the manner of OpenAI, Qwen-Omni and LLaMA-Factory"
    usage = 'datasets.load_dataset("json", data_files="FOLDER/train-*.jsonl")'
    options = MessagesOptions

    def missing(self) -> str | None:
        """Nothing can be missing."""
        return None

    def open(self, options: MessagesOptions, staging: Path, split: str, shard: int) -> Lines:
        """Begin ``<split>-<shard>.jsonl``."""
        return Lines(options, staging, split, shard)

    def configs(self, summary: ExportSummary) -> Sequence[Mapping[str, Any]]:
        """It is not for the Hub."""
        return ()

    def finish(self, options: MessagesOptions, out: Path, summary: ExportSummary) -> Sequence[str]:
        """Write the index that LLaMA-Factory looks its data sets up in."""
        if options.style != "llamafactory":
            return ()
        tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
        columns = {"messages": "messages", "images": "images", "audios": "audios"}
        info = {
            f"{split}-{part.shard:05d}": {
                "file_name": next(file.path for file in part.files if file.path.endswith(".jsonl")),
                "formatting": "sharegpt",
                "columns": columns,
                "tags": tags,
            }
            for split, parts in summary.splits.items()
            for part in parts
        }
        (out / "dataset_info.json").write_text(json.dumps(info, indent=1) + "\n", encoding="utf-8")
        return ("dataset_info.json",)


PLUGIN = MessagesPlugin()
