"""Dialogues chosen by what audits have read of them."""

from __future__ import annotations

import pytest

from pipeline.adapters.readings import CorpusReadings
from pipeline.cli.export import choose_ids
from pipeline.execution.audits import AuditSetting
from pipeline.execution.querying import find_ids
from pipeline.values.errors import ManifestError
from tests.support.auditing import run_here
from tests.support.corpora import TinyCorpus, copy_corpus


@pytest.fixture(scope="module")
def audited(tiny_original: TinyCorpus, tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    """The tiny corpus with readings of pictures and of music."""
    corpus = copy_corpus(tiny_original, tmp_path_factory.mktemp("audited"))
    run_here(AuditSetting(corpus.root, ("picture-basics", "music-basics")))
    return corpus


def worst(corpus: TinyCorpus, measure: str) -> dict[str, float]:
    """Worst values by dialogue, from the readings' rows."""
    found: dict[str, float] = {}
    readings = CorpusReadings(corpus.root)
    for audit in readings.audits:
        for stated in audit.measures:
            for row in readings.rows(audit) if stated.name == measure else ():
                value = row.readings[measure].value
                if value is not None:
                    choose = min if stated.better == "higher" else max
                    found[row.dialogue_id] = choose(found.get(row.dialogue_id, value), value)
    return found


def cut(values: dict[str, float]) -> float:
    """A value that some are below and some are not."""
    return sorted(set(values.values()))[len(set(values.values())) // 2]


@pytest.mark.parametrize("measure", ["image.contrast", "image.detail"])
def test_a_query_goes_by_the_worst_of_a_dialogues_records(audited: TinyCorpus, measure: str) -> None:
    values = worst(audited, measure)
    limit = cut(values)
    assert find_ids(audited.root, f"{measure} >= {limit!r}") == {k for k, v in values.items() if v >= limit}
    without = find_ids(audited.root, "true") - values.keys()
    assert without
    assert find_ids(audited.root, f"{measure} is null") == without


def test_scores_columns_and_cells_go_together(audited: TinyCorpus) -> None:
    everything = find_ids(audited.root, "true")
    either = find_ids(audited.root, "image.contrast >= 0 or music.silent_share is not null or cell = 'sing'")
    assert either == everything
    assert find_ids(audited.root, "cell = 'sing' and image.contrast >= 0") == frozenset()
    chosen = choose_ids(audited.root, "cell = 'draw' and image.contrast >= 0", is_passing=False)
    assert chosen == worst(audited, "image.contrast").keys()
    assert find_ids(audited.root, "topic = 'image.nothing'") == frozenset(), "words in quotes name no measure"


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("image.contrst > 1", "image.contrst: no audit of .* has taken it; did you mean image.contrast?"),
        ("speech.pace > 1", "speech.pace: no audit of .* has taken it"),
        ("topc = 'x'", r"did you mean topic\? there are the columns id, topic.*image.contrast"),
        ("imge.contrast > 1", r"did you mean image.contrast\? there are"),
        ("image.contrast >", "Parser Error"),
        ("image.contrast = 'wide'", "Conversion Error"),
    ],
)
def test_a_wrong_condition_is_told_with_the_nearest_name(audited: TinyCorpus, where: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        find_ids(audited.root, where)


def test_without_an_audit_there_is_no_score(tiny: TinyCorpus) -> None:
    with pytest.raises(
        ManifestError, match=r"image.contrast: .* was never audited; run `anyinstruct audit` on it first"
    ):
        find_ids(tiny.root, "image.contrast > 0.1")
