from __future__ import annotations

import json

import pytest

from pipeline.adapters.readings import FOLDER
from pipeline.adapters.store import ShardFolder
from pipeline.cli import screen as command
from pipeline.cli.screen import screen_manifest
from pipeline.contracts.watch import Watch
from pipeline.execution.limit_screen import LimitScreen
from pipeline.values.errors import CorpusError, ManifestError
from tests.support.corpora import TinyCorpus


class Here:
    """Workers of this process, instead of Ray's."""

    def __init__(self, screen: LimitScreen) -> None:
        self._screen = screen

    async def call(self, method: str, *arguments: object) -> object:
        return getattr(self._screen, method)(*arguments)

    async def collect(self) -> list[dict[str, object]]:
        return []

    async def drain(self) -> None:
        pass

    async def close(self) -> None:
        pass


class Quiet:
    def note(self, event: str, **facts: object) -> None:
        pass

    def check(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    watch: Watch = Quiet()
    monkeypatch.setattr(command, "Pool", lambda build, shape: Here(build(watch)))


def screen(tiny: TinyCorpus, *limits: str, as_json: bool = False) -> int:
    return screen_manifest(tiny.project.path, tiny.root, list(limits), as_json)


def test_limits_are_tried_and_nothing_is_rejected(tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]) -> None:
    before = tiny.ledger
    limits = ("image.contrast=2", "speech.loudness=-100")
    assert screen(tiny, *limits, as_json=True) == 0
    said = json.loads(capsys.readouterr().out)
    num_images = before.tables["images"]
    assert (said["dialogues"], said["rejected"], said["short_of_several"]) == (before.counts["kept"], num_images, 0)
    assert [(one["measure"], one["dialogues"]) for one in said["limits"]] == [
        ("image.contrast", num_images),
        ("speech.loudness", 0),
    ]
    assert said["cells"]["draw"] == {"rejected": num_images, "dialogues": num_images}
    assert screen(tiny, *limits) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "image.contrast >= 2" in told
    assert "Nothing was rejected" in told
    assert tiny.ledger == before


def test_a_shard_that_is_not_rendered_is_left_out_and_told(
    tiny: TinyCorpus, capsys: pytest.CaptureFixture[str]
) -> None:
    (tiny.folder.shard(0).folder / "image.json").unlink()
    assert screen(tiny, "image.contrast=2", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["not_rendered"] > 0
    assert list(ShardFolder(tiny.root / FOLDER / "00000").rows("picture-basics")) == []


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ((), "screen.limits: there are none; state some"),
        (
            ("image.contrst=1",),
            "screen.limits.image.contrst: no audit takes such a measure; did you mean image.contrast",
        ),
        (("image.contrast=high",), "write measure=number"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(
    tiny: TinyCorpus, limits: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ManifestError, match=message):
        screen(tiny, *limits)
    assert not (tiny.root / FOLDER).exists()


def test_a_corpus_that_was_never_planned_is_named(tiny: TinyCorpus) -> None:
    with pytest.raises(CorpusError, match="nothing is planned here yet"):
        screen_manifest(tiny.project.path, tiny.root / "elsewhere", ["image.contrast=2"], False)
