from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from speechmos import dnsmos

from pipeline.adapters.audits.speech_quality import PLUGIN, WINDOW, QualityListener, cut_windows
from pipeline.adapters.audits.voice_activity import RATE, as_mono
from pipeline.adapters.model_files import ModelCache
from pipeline.contracts.audit import AuditItem
from tests.support.planted_delivery import FEW, plant_noise, read_short, score
from tests.support.spoken import speak


@pytest.fixture(scope="module")
def listener() -> QualityListener:
    return QualityListener()


def test_the_figures_are_those_of_upstream(listener: QualityListener, models: ModelCache) -> None:
    mono = as_mono(speak("Here is a picture of the old lighthouse."))
    upstream = dnsmos.run(mono, RATE)
    expected = [upstream[f"{name}_mos"] for name in ("ovrl", "sig", "bak")]
    assert listener.rate(mono) == pytest.approx(expected, abs=1e-3)


def test_windows_begin_a_second_apart_and_short_clips_are_repeated() -> None:
    long = np.arange(WINDOW + 2 * RATE + 5, dtype=np.float32)
    assert [int(window[0]) for window in cut_windows(long)] == [0, RATE, 2 * RATE]
    (repeated,) = cut_windows(np.arange(WINDOW - 5, dtype=np.float32))[:1]
    assert (len(repeated), repeated[-1]) == (WINDOW, 4.0)
    assert all(after[0] - before[0] == RATE for before, after in pairwise(cut_windows(long)))


def test_a_clip_without_a_frame_has_no_quality(listener: QualityListener) -> None:
    item = AuditItem("a", "d", {}, b"x", lambda _: (np.zeros((0, 1), np.float32), RATE))
    assert listener.measure([item]) == [{}]


def test_noise_is_told_from_quiet_and_clean_clips(models: ModelCache) -> None:
    planted = list(plant_noise(73, 2, FEW))
    (found,) = score(planted, read_short(planted, PLUGIN)).values()
    assert (found.recall, found.precision) == (1.0, 1.0), found
