"""What a run counts while it works."""

from __future__ import annotations

from pipeline.execution.tally import Tally


def test_what_is_made_again_comes_on_top_of_what_was_there() -> None:
    tally = Tally()
    tally.expect("image", 11, 11)
    tally.take([{"event": "render", "stage": "image", "code": None}] * 7)
    assert (tally.stages["image"].done, tally.stages["image"].total) == (18, 18)
    tally.expect("music", 5, 2)
    tally.take([{"event": "render", "stage": "music", "code": "blank"}])
    assert (tally.stages["music"].done, tally.stages["music"].total, tally.stages["music"].failed) == (3, 5, 1)
    assert tally.num_renders == 8
