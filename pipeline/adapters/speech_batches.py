"""Speech by engines that speak several chunks at once: what differs from :mod:`pipeline.adapters.speech`.

A batch of briefs is cut into chunks, the chunks are spoken in groups of about one length, and each brief's clips are
joined, levelled, gated and encoded in a :data:`~pipeline.contracts.render.Finish`, beside the accelerator.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial as bind
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pipeline.adapters.provenance import describe_software
from pipeline.adapters.speech import Chunk, SpeechOptions, finish_speech, join_clips, plan_chunks, refuse_brief
from pipeline.contracts.render import Brief, Finish, Outcome, RenderFailure, Voice
from pipeline.values.ids import derive_seed
from pipeline.values.units import Hertz

if TYPE_CHECKING:
    from pipeline.adapters.audio import Samples


class Utterance(NamedTuple):
    """One chunk of a brief, to be spoken in one go.

    Attributes:
        rate: 1.0 is the voice's own pace, 1.1 ten percent faster.
        seed: Derived from the brief's seed and the chunk's place; the only randomness that the engine may use.
    """

    text: str
    voice: Voice
    rate: float
    seed: int


class BatchSpeechEngine(Protocol):
    """An engine that speaks several utterances at once."""

    name: str
    sample_rate: Hertz

    def refuse(self, voice: Voice) -> RenderFailure | None:
        """Say why this voice cannot be spoken here, or None."""
        ...

    def speak(self, utterances: Sequence[Utterance]) -> Sequence[Samples | RenderFailure]:
        """Return (num_frames,) raw samples an utterance, in order; none at all where it has no sound.

        Raises:
            OutOfMemory: so many at once do not fit.
            RenderError: the engine cannot work at all.
        """
        ...

    def provenance(self) -> Mapping[str, str]:
        """What speaks, beyond the options; see ``Renderer.provenance``."""
        ...


class BatchSpeechRenderer:
    """A renderer around an engine that speaks several chunks at once. Same batch, same bytes."""

    def __init__(self, engine: BatchSpeechEngine, options: SpeechOptions) -> None:
        self._engine = engine
        self._options = options

    def render(self, briefs: Sequence[Brief]) -> list[Outcome | Finish]:
        """Return one outcome per brief, in order. What is wrong with one brief fails that brief only.

        At most as many chunks are spoken at once as there are briefs, so that the memory of a batch grows with the
        briefs and not with the length of their texts.

        Raises:
            OutOfMemory: the batch does not fit; nothing of it was made.
        """
        chunks: dict[int, list[Chunk]] = {}
        utterances: dict[tuple[int, int], Utterance] = {}
        refusals: dict[int, RenderFailure] = {}
        for place, brief in enumerate(briefs):
            voice = brief.voice
            refusal = refuse_brief(brief, self._engine.name) or (self._engine.refuse(voice) if voice else None)
            if refusal is not None or voice is None:
                refusals[place] = refusal or RenderFailure(code="bad_brief", message=f"brief {brief.id} has no voice")
                continue
            chunks[place] = plan_chunks(brief)
            for number, chunk in enumerate(chunks[place]):
                seed = derive_seed(brief.seed, str(number), "chunk")
                utterances[place, number] = Utterance(chunk.text, voice, brief.rate, seed)
        spoken = self._speak(utterances, max(1, len(briefs)))
        outcomes: list[Outcome | Finish] = []
        for place, brief in enumerate(briefs):
            if place in refusals:
                outcomes.append(refusals[place])
            else:
                clips = [spoken[place, number] for number in range(len(chunks[place]))]
                outcomes.append(bind(self._finish, brief, clips, chunks[place]))
        return outcomes

    def provenance(self) -> Mapping[str, str]:
        """The engine's, and the encoder's version."""
        return {**self._engine.provenance(), **describe_software("soundfile")}

    def _speak(
        self, utterances: Mapping[tuple[int, int], Utterance], width: int
    ) -> dict[tuple[int, int], Samples | RenderFailure]:
        # Chunks of about one length share a group, since the longest decides what a group costs.
        order = sorted(utterances, key=lambda key: (len(utterances[key].text), key))
        spoken: dict[tuple[int, int], Samples | RenderFailure] = {}
        for start in range(0, len(order), width):
            group = order[start : start + width]
            spoken.update(zip(group, self._engine.speak([utterances[key] for key in group]), strict=True))
        return spoken

    def _finish(self, brief: Brief, clips: Sequence[Samples | RenderFailure], chunks: Sequence[Chunk]) -> Outcome:
        import numpy as np

        heard: list[Samples] = []
        for clip in clips:
            if isinstance(clip, RenderFailure):
                return clip.model_copy(update={"message": f"brief {brief.id}: {clip.message}"})
            if not np.isfinite(clip).all():
                message = f"brief {brief.id}: speech holds samples that are not finite; another dtype may help"
                return RenderFailure(code="not_finite", message=message)
            heard.append(clip)
        samples = join_clips(heard, chunks, self._engine.sample_rate)
        return finish_speech(samples, self._engine.sample_rate, brief, self._options)
