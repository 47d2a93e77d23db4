"""How good a clip sounds: DNSMOS P.835, which tells what listeners would say of speech, background and both.

The package speechmos brings the weights. They are run here, on one thread, as upstream runs them (Reddy et al. 2022,
"DNSMOS P.835"): windows of 9.01 s a second apart, shorter clips repeated, then a polynomial a scale. Upstream's own
code would load a second model and as many threads as there are cores.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.adapters.audits.plain import PlainAudit
from pipeline.adapters.audits.voice_activity import RATE, as_mono
from pipeline.contracts.audit import AuditItem, Measure, Reading, Readings

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from pipeline.adapters.audits.voice_activity import Mono

WEIGHTS = Path("dnsmos_models") / "sig_bak_ovr.onnx"
"""In the package's folder."""

WINDOW = int(9.01 * RATE)

POLYNOMIALS = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}
"""From what the network gives out, in its order, to the scale of 1 to 5; highest power first, as upstream has it."""

MEASURES = (
    Measure(
        name="speech.quality",
        unit="MOS",
        better="higher",
        summary="Overall quality by DNSMOS P.835, from 1 to 5; voices that whisper score no better than noise.",
    ),
    Measure(
        name="speech.signal_quality",
        unit="MOS",
        better="higher",
        summary="Quality of the voice itself by DNSMOS P.835, from 1 to 5.",
    ),
    Measure(
        name="speech.background_quality",
        unit="MOS",
        better="higher",
        limit=2.4,
        summary="How little the background disturbs by DNSMOS P.835, from 1 to 5.",
    ),
)


class QualityListener:
    """Rates clips one by one; implements ``Auditor``."""

    def __init__(self) -> None:
        import onnxruntime

        spec = find_spec("speechmos")
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError("speechmos")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(Path(spec.origin).parent / WEIGHTS), options, providers=["CPUExecutionProvider"]
        )

    def measure(self, items: Sequence[AuditItem]) -> Sequence[Readings]:
        """Return the readings of each clip, in order; none of a clip without a frame."""
        return [self._measure(as_mono(item.media)) for item in items]

    def _measure(self, mono: Mono) -> Readings:
        if not len(mono):
            return {}
        overall, signal, background = (Reading(value=value) for value in self.rate(mono))
        return {
            "speech.quality": overall,
            "speech.signal_quality": signal,
            "speech.background_quality": background,
        }

    def rate(self, mono: Mono) -> tuple[float, float, float]:
        """Return the overall quality, the voice's and the background's, each from 1 to 5.

        Args:
            mono: (num_frames,) at 16 kHz, at least one.
        """
        import numpy as np

        windows = cut_windows(mono)
        raw = np.concatenate([self._session.run(None, {"input_1": window[None]})[0] for window in windows])
        scale = {
            name: float(np.polyval(factors, raw[:, column]).mean())
            for column, (name, factors) in enumerate(POLYNOMIALS.items())
        }
        return scale["overall"], scale["signal"], scale["background"]


def cut_windows(mono: Mono) -> list[npt.NDArray[np.float32]]:
    """Return the windows that are rated, a second apart; a shorter clip is doubled until it fills one."""
    import numpy as np

    while len(mono) < WINDOW:
        mono = np.concatenate([mono, mono])
    starts = range(0, len(mono) - WINDOW + 1, RATE)
    return [mono[start : start + WINDOW] for start in starts]


PLUGIN = PlainAudit(
    name="speech-quality",
    version="1",
    about="speech",
    takes=MEASURES,
    make=QualityListener,
    is_default=False,
    packages=("onnxruntime", "speechmos"),
    extra="audits",
    weights={"DNSMOS P.835": "MIT"},
)
