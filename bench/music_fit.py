"""Do rendered pieces fit their descriptions? ``python -m bench.music_fit``.

Renders 30 descriptions that the arranger was not built with (bench/data/music_heldout.yaml) and measures the sound:

* tempo: on the mix, by the correlation of onsets with themselves; it agrees within 4 % of the range that the words
  allow, at any metrical level (half, third, double, triple), since listeners tap at several; strictly, at the very
  level;
* key and mode: on the mix, by a harmonic pitch class profile and the profiles of Krumhansl and Kessler; a named key
  must be met in tonic and mode, a mode that the words imply in mode alone;
* drums: on the mix, by a forest that has learnt random mixtures with and without them;
* instruments: part by part before mixing, by a forest that has learnt single notes; a named instrument agrees where a
  part is heard as its family, or has it as second likeliest of 24; strictly, where it is heard as that family outright.

Beside each share stands what chance would give: the same findings held against the other 29 descriptions.

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
from pipeline.adapters.hearing import agrees_in_tempo, measure_key, measure_tempo, to_mono
from pipeline.adapters.renderers.soundfont import SoundfontOptions
from pipeline.adapters.renderers.soundfont.renderer import SoundfontRenderer
from pipeline.adapters.renderers.soundfont.sounding import loudness
from pipeline.adapters.renderers.soundfont.theory import NOTE_NAMES
from pipeline.adapters.renderers.soundfont.vocabulary import load_vocabulary
from pipeline.contracts.render import Brief, Render
from pipeline.values.records import Modality

DATA = Path(__file__).parent / "data" / "music_heldout.yaml"
GOAL = 0.85
FIRST_SEED = 90_000


@dataclass(frozen=True)
class Heard:
    """What was measured off one piece.

    Attributes:
        key: Pitch class of the tonic, and mode.
        parts: A part's name and its two likeliest families, a part that sounds.
    """

    bpm: float
    key: tuple[int, str]
    has_drums: bool
    parts: tuple[tuple[str, tuple[str, ...]], ...]


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


def hear(text: str, seed: int, renderer: SoundfontRenderer, ears: Ears) -> Heard:
    """Render a description and measure the sound; raises RuntimeError where it is not rendered."""
    brief = Brief(id=f"fit-{seed}", modality=Modality.MUSIC, text=text, seed=seed, duration=10.0)
    outcome = renderer.render([brief])[0]
    if not isinstance(outcome, Render):
        raise RuntimeError(f"{text!r} was not rendered: {outcome.message}")
    mono = decode(outcome)
    played = renderer.perform(brief)
    parts = tuple(
        (part.name, tuple(ears.instruments.listen(to_mono(stem, renderer.sample_rate)))[:2])
        for part, stem in zip(played.score.parts, played.stems, strict=True)
        if loudness(stem, renderer.sample_rate) > 0
    )
    return Heard(measure_tempo(mono)[0], measure_key(mono), ears.drums.hears_drums(mono), parts)


def judge(case: Mapping[str, Any], heard: Heard) -> list[Verdict]:
    """Compare what was heard with what a description says."""
    low, high = case["tempo"]
    exactly = agrees_in_tempo(heard.bpm, low, high, (1.0,))
    verdicts = [
        Verdict("tempo", agrees_in_tempo(heard.bpm, low, high), exactly, f"{heard.bpm:.0f} BPM for {low} to {high}")
    ]
    if case["mode"] is not None:
        tonic, mode = heard.key
        agrees = mode == case["mode"] and case["key"] in (None, NOTE_NAMES[tonic])
        said = f"{NOTE_NAMES[tonic]} {mode} for {case['key'] or 'any'} {case['mode']}"
        verdicts.append(Verdict("key", agrees, agrees, said))
    if case["drums"] is not None:
        agrees = heard.has_drums == case["drums"]
        verdicts.append(Verdict("drums", agrees, agrees, f"drums {heard.has_drums}"))
    return verdicts + _judge_instruments(case["families"], heard.parts)


def _judge_instruments(families: Sequence[str], parts: Sequence[tuple[str, tuple[str, ...]]]) -> list[Verdict]:
    """One verdict a named instrument; a part serves one of them only."""
    left = list(parts)
    verdicts: list[Verdict] = []
    for wanted in families:
        names = set(wanted.split("|"))
        first = next((i for i, (_, heard) in enumerate(left) if heard[0] in names), None)
        match = first if first is not None else next((i for i, (_, h) in enumerate(left) if names & set(h)), None)
        told = "; ".join(f"{name} heard as {' or '.join(heard)}" for name, heard in left)
        verdicts.append(Verdict("instruments", match is not None, first is not None, f"{wanted} in {told}"))
        if match is not None and len(families) > 1:
            del left[match]
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
    heard = [hear(case["text"], FIRST_SEED + i, renderer, ears) for i, case in enumerate(cases)]
    own = [verdict for case, found in zip(cases, heard, strict=True) for verdict in judge(case, found)]
    for case, found in zip(cases, heard, strict=True):
        for verdict in judge(case, found):
            if not verdict.agrees:
                print(f"{verdict.kind}: {verdict.said} ({case['text']})")
    others = [v for i, case in enumerate(cases) for j, found in enumerate(heard) if i != j for v in judge(case, found)]
    print(f"load {loaded:.2f} s, {_speed(cases, renderer):.2f} s a piece of 10 s")
    shares = [_report(kind, own, others) for kind in ("tempo", "key", "drums", "instruments")]
    print(f"least agreement {min(shares):.3f} (goal {GOAL})")
    return 0 if min(shares) >= GOAL else 1


def _report(kind: str, own: Sequence[Verdict], others: Sequence[Verdict]) -> float:
    """Print a kind's share of agreement, strict share and chance, and return the first."""
    mine = [v for v in own if v.kind == kind]
    share = float(np.mean([v.agrees for v in mine]))
    strict = float(np.mean([v.strict for v in mine]))
    chance = float(np.mean([v.agrees for v in others if v.kind == kind]))
    agreeing = sum(v.agrees for v in mine)
    print(f"{kind}: {agreeing} of {len(mine)} agree ({share:.2f}; strictly {strict:.2f}; by chance {chance:.2f})")
    return share


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
