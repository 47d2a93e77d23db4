from __future__ import annotations

import pytest

from pipeline.cli.repair import say_fates
from pipeline.execution.repairing import RepairReport


@pytest.mark.parametrize(
    ("num_mended", "num_short", "said"),
    [
        (0, 0, "No asset falls short of the limits."),
        (1, 0, "Of 1 asset that fell short, 1 passes now."),
        (3, 1, "Of 4 assets that fell short, 3 pass now; 1 does not, and the screen rejects its dialogue."),
        (0, 2, "Of 2 assets that fell short, 0 pass now; 2 do not, and the screen rejects their dialogues."),
    ],
)
def test_what_became_of_assets_is_said_in_a_sentence(num_mended: int, num_short: int, said: str) -> None:
    assert say_fates(RepairReport(1, num_mended, num_short)) == said
