"""Do rendered pieces fit their descriptions? ``python -m bench.music_fit``.

Renders 30 descriptions that the arranger was not built with (bench/data/music_heldout.yaml) and measures the sound:

* tempo: on the mix, by the correlation of onsets with themselves; it agrees within 8 % of the range that the words
  allow, at any metrical level (half, double, triple), since listeners tap at several. The share at the very level is
  printed beside it;
* key and mode: on the mix, by a harmonic pitch class profile and key profiles; a named key must be met in tonic and
  mode, a mode that the words imply in mode alone;
* drums: on the mix, by a forest that has learnt random mixtures with and without them;
* instruments: part by part before mixing, by a forest that has learnt single notes; a named instrument agrees where a part is heard as its
  family, or has it as second likeliest of 24; strictly, where it is heard as that family outright.

The last line is the figure: the smallest of the four shares. It exits with 1 where that is under the goal.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from bench.music_drums import DrumEar
from bench.music_ear import InstrumentEar, decode
from bench.music_measures import agrees_in_tempo, measure_key, measure_tempo, to_mono
from pipeline.adapters.renderers.soundfont import SoundfontOptions
from pipeline.adapters.renderers.soundfont.renderer import SoundfontRenderer
from pipeline.adapters.renderers.soundfont.sounding import FloatArray, loudness
from pipeline.adapters.renderers.soundfont.theory import NOTE_NAMES
from pipeline.adapters.renderers.soundfont.vocabulary import load_vocabulary
from pipeline.contracts.render import Brief, Render
from pipeline.values.records import Modality

DATA = Path(__file__).parent / "data" / "music_heldout.yaml"
GOAL = 0.85
FIRST_SEED = 90_000


@dataclass(frozen=True)
class Verdict:
    """One check of one piece; ``strict`` is the narrower reading where there is one."""

    kind: str
    agrees: bool
    strict: bool
    said: str


@dataclass(frozen=True)
class Ears:
    """Everything that listens to timbre."""

    instruments: InstrumentEar
    drums: DrumEar


def judge(case: Mapping[str, Any], seed: int, renderer: SoundfontRenderer, ears: Ears) -> list[Verdict]:
    """Render one description and compare what is heard with what it says."""
    brief = Brief(id=f"fit-{seed}", modality=Modality.MUSIC, text=case["text"], seed=seed, duration=10.0)
    outcome = renderer.render([brief])[0]
    if not isinstance(outcome, Render):
        return [Verdict("tempo", False, False, f"not rendered: {outcome.message}")]
    mono = decode(outcome)
    verdicts = [_judge_tempo(mono, case["tempo"])]
    if case["mode"] is not None:
        verdicts.append(_judge_key(mono, case["key"], case["mode"]))
    if case["drums"] is not None:
        heard = ears.drums.hears_drums(mono)
        verdicts.append(Verdict("drums", heard == case["drums"], heard == case["drums"], f"drums {heard}"))
    return verdicts + _judge_instruments(brief, case["families"], renderer, ears.instruments)


def _judge_tempo(mono: FloatArray, tempo: Sequence[float]) -> Verdict:
    bpm, _ = measure_tempo(mono)
    low, high = tempo
    exactly = agrees_in_tempo(bpm, low, high, (1.0,))
    return Verdict("tempo", agrees_in_tempo(bpm, low, high), exactly, f"{bpm:.0f} BPM for {low} to {high}")


def _judge_key(mono: FloatArray, key: str | None, mode: str) -> Verdict:
    tonic, heard = measure_key(mono)
    agrees = heard == mode and (key is None or NOTE_NAMES[tonic] == key)
    return Verdict("key", agrees, agrees, f"{NOTE_NAMES[tonic]} {heard} for {key or 'any'} {mode}")


def _judge_instruments(
    brief: Brief, families: Sequence[str], renderer: SoundfontRenderer, ear: InstrumentEar
) -> list[Verdict]:
    """One verdict a named instrument; a part serves one of them only."""
    played = renderer.perform(brief)
    sample_rate = renderer.sample_rate
    parts: list[tuple[str, list[str]]] = []
    for part, stem in zip(played.score.parts, played.stems, strict=True):
        if loudness(stem, sample_rate) > 0:
            parts.append((part.name, list(ear.listen(to_mono(stem, sample_rate)))[:2]))
    verdicts: list[Verdict] = []
    for wanted in families:
        names = set(wanted.split("|"))
        first = next((i for i, (_, heard) in enumerate(parts) if heard[0] in names), None)
        match = first if first is not None else next((i for i, (_, h) in enumerate(parts) if names & set(h)), None)
        told = "; ".join(f"{name} heard as {' or '.join(heard)}" for name, heard in parts)
        verdicts.append(Verdict("instruments", match is not None, first is not None, f"{wanted} in {told}"))
        if match is not None and len(families) > 1:
            del parts[match]
    return verdicts


def main() -> int:
    """Print every disagreement, the shares, the speed, and last the figure."""
    warnings.filterwarnings("ignore", module="librosa")
    cases = yaml.safe_load(DATA.read_text(encoding="utf-8"))
    started = time.perf_counter()
    renderer = SoundfontRenderer(SoundfontOptions())
    loaded = time.perf_counter() - started
    vocabulary = load_vocabulary()
    ears = Ears(InstrumentEar(vocabulary), DrumEar(vocabulary))
    verdicts: list[Verdict] = []
    for index, case in enumerate(cases):
        for verdict in judge(case, FIRST_SEED + index, renderer, ears):
            verdicts.append(verdict)
            if not verdict.agrees:
                print(f"{verdict.kind}: {verdict.said} ({case['text']})")
    print(f"load {loaded:.2f} s, {_speed(cases, renderer):.2f} s a piece of 10 s")
    shares: list[float] = []
    for kind in ("tempo", "key", "drums", "instruments"):
        own = [v for v in verdicts if v.kind == kind]
        shares.append(float(np.mean([v.agrees for v in own])))
        strict = float(np.mean([v.strict for v in own]))
        print(f"{kind}: {sum(v.agrees for v in own)} of {len(own)} agree ({shares[-1]:.2f}; strictly {strict:.2f})")
    print(f"least agreement {min(shares):.3f} (goal {GOAL})")
    return 0 if min(shares) >= GOAL else 1


def _speed(cases: Sequence[Mapping[str, Any]], renderer: SoundfontRenderer) -> float:
    """Median seconds for ten seconds of music."""
    seconds: list[float] = []
    for index, case in enumerate(cases[:10]):
        started = time.perf_counter()
        renderer.render([Brief(id="speed", modality=Modality.MUSIC, text=case["text"], seed=index, duration=10.0)])
        seconds.append(time.perf_counter() - started)
    return float(np.median(seconds))


if __name__ == "__main__":
    sys.exit(main())
