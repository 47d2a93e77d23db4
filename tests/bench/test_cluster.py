from __future__ import annotations

from pathlib import Path

import pytest

from bench.cluster.__main__ import scale, tell
from bench.cluster.scaling import IN_FLIGHT, LATENCY, Pace, RunFailed, read_pace, write_for
from pipeline.execution.project import load_project


def _calls(composers: int, starts: list[float], rounds: int) -> list[tuple[float, float]]:
    """Calls of composers that always have as many out as they may."""
    return [
        (start + number * LATENCY, start + (number + 1) * LATENCY)
        for start in starts[:composers]
        for number in range(rounds)
        for _ in range(IN_FLIGHT)
    ]


def test_the_pace_is_that_of_all_composers_together() -> None:
    pace = read_pace(_calls(1, [3.0], 10), 1)
    assert (pace.calls, pace.start, pace.span) == (40, 0.0, 5.0)
    assert pace.rate == pytest.approx(IN_FLIGHT / LATENCY)
    # The second comes 2.25 s later, in the middle of the first one's fifth round, and ends as much later.
    pair = read_pace(_calls(2, [3.0, 5.25], 10), 2)
    assert pair.start == 2.25
    assert pair.rate == pytest.approx(2 * IN_FLIGHT / LATENCY * (2.75 + 5.0) / (2 * 5.0))
    with pytest.raises(RunFailed, match="3 composers never worked at the same time"):
        read_pace(_calls(2, [0.0, 0.0], 3), 3)


def test_a_pace_under_the_goal_fails_the_measurement(capsys: pytest.CaptureFixture[str]) -> None:
    found = [Pace(1, 40, 0.0, 5.0, 8.0), Pace(2, 80, 1.0, 5.0, 15.2), Pace(4, 160, 1.0, 5.0, 29.0)]
    assert scale(found[:2]) == pytest.approx(0.95)
    assert tell(found, 0.9) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "1 to 4 nodes, 4 calls of 0.5 s a composer: 0.906 of linear (at least 0.9): met"
    )
    assert tell(found, 0.91) == 1


def test_every_composer_has_the_same_number_of_calls(tmp_path: Path) -> None:
    project = load_project(write_for(tmp_path, "http://127.0.0.1:9/v1", 3, 24))
    assert project.manifest.execution.composers.max == 3
    assert project.manifest.writer.in_flight == 3 * IN_FLIGHT
    assert project.manifest.size.max_dialogues == 24
