"""The loop between briefs and their storing: batches, memory, threads, another attempt, a drain."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pytest

from pipeline.contracts.render import Brief, Finish, ImageFacts, Outcome, Render, RenderFailure
from pipeline.contracts.watch import Drained
from pipeline.values.errors import CorpusError, OutOfMemory, RenderError
from pipeline.values.ids import derive_seed
from pipeline.values.records import Modality
from pipeline.work.batching import BatchSize
from pipeline.work.render_loop import Made, RenderLoop
from tests.support.stages import Notes

SEED = 7


def brief(number: int, width: int = 64) -> Brief:
    seed = derive_seed(SEED, f"b{number}", "image")
    return Brief(id=f"b{number}", modality=Modality.IMAGE, text="a kite", seed=seed, width=width, height=64)


def picture(of: Brief) -> Render:
    return Render(data=f"{of.id} {of.seed}".encode(), extension="png", facts=ImageFacts(width=64, height=64))


@dataclass
class Gpu:
    """Renders as many as fit.

    Attributes:
        fits: Most briefs that its memory holds.
        batches: Ids of each batch that it made.
    """

    fits: int = 1000
    finish: Callable[[Brief], Outcome | Finish] = picture
    batches: list[list[str]] = field(default_factory=list)

    def render(self, briefs: Sequence[Brief]) -> Sequence[Outcome | Finish]:
        if len(briefs) > self.fits:
            raise OutOfMemory(f"{len(briefs)} pictures do not fit")
        self.batches.append([one.id for one in briefs])
        return [self.finish(one) for one in briefs]

    def provenance(self) -> dict[str, str]:
        return {}


def loop(gpu: Gpu, stored: list[Made], batch: int = 4, watch: Notes | None = None, attempts: int = 2) -> RenderLoop:
    return RenderLoop(gpu, BatchSize(batch), SEED, attempts, watch or Notes(), stored.append)


def test_a_batch_that_does_not_fit_is_halved_and_no_brief_is_lost() -> None:
    gpu, stored = Gpu(fits=3), list[Made]()
    one = loop(gpu, stored, batch=8)
    one.run([brief(number) for number in range(8)])
    assert sorted(made.brief.id for made in stored) == [f"b{number}" for number in range(8)]
    assert [len(batch) for batch in gpu.batches] == [2, 2, 2, 2]
    assert one.size.value == 2


def test_one_brief_that_does_not_fit_alone_ends_the_run_with_its_name() -> None:
    with pytest.raises(RenderError, match="one brief alone does not fit: b1"):
        loop(Gpu(fits=0), []).run([brief(1)])


def test_pictures_of_other_sizes_share_no_batch() -> None:
    gpu = Gpu()
    loop(gpu, []).run([brief(1, 64), brief(2, 128), brief(3, 64), brief(4, 128)])
    assert gpu.batches == [["b1", "b3"], ["b2", "b4"]]


def test_finishing_runs_on_other_threads_while_the_next_batch_is_made() -> None:
    second_began, finished_on = threading.Event(), list[str]()

    def finish(of: Brief) -> Finish:
        if of.id == "b2":
            second_began.set()

        def wait_for_the_second() -> Outcome:
            finished_on.append(threading.current_thread().name)
            # A loop that finished a batch before it began the next would wait here for ever.
            assert second_began.wait(120)
            return picture(of)

        return wait_for_the_second

    stored = list[Made]()
    loop(Gpu(finish=finish), stored, batch=1).run([brief(1), brief(2)])
    assert [made.brief.id for made in stored] == ["b1", "b2"]
    assert threading.current_thread().name not in finished_on


def test_what_fails_at_its_finish_is_tried_again_with_the_next_seed() -> None:
    def finish(of: Brief) -> Finish:
        blank = of.id == "b1" or (of.id == "b2" and of.attempt == 0)
        return lambda: RenderFailure(code="blank", message="one colour") if blank else picture(of)

    stored = list[Made]()
    loop(Gpu(finish=finish), stored).run([brief(1), brief(2), brief(3)])
    by_id = {made.brief.id: made for made in stored}
    assert len(stored) == 3
    assert by_id["b2"].brief.attempt == 1
    assert by_id["b2"].brief.seed == derive_seed(SEED, "b2", "image", 1)
    assert by_id["b3"].brief.attempt == 0
    assert isinstance(by_id["b1"].outcome, RenderFailure)
    assert by_id["b1"].brief.attempt == 1


def test_a_drain_stores_every_batch_that_was_made() -> None:
    watch, stored = Notes(), list[Made]()

    def finish(of: Brief) -> Outcome:
        watch.is_draining = of.id == "b2"
        return picture(of)

    gpu = Gpu(finish=finish)
    with pytest.raises(Drained):
        loop(gpu, stored, batch=1, watch=watch).run([brief(1), brief(2), brief(3)])
    assert gpu.batches == [["b1"], ["b2"]]
    assert [made.brief.id for made in stored] == ["b1", "b2"]


def test_an_outcome_that_cannot_be_stored_ends_the_run() -> None:
    def refuse(made: Made) -> None:
        raise CorpusError("no space left")

    one = RenderLoop(Gpu(), BatchSize(1), SEED, 2, Notes(), refuse)
    with pytest.raises(CorpusError, match="no space"):
        one.run([brief(number) for number in range(20)])


def test_a_renderer_that_loses_count_is_found_out() -> None:
    class Forgetful(Gpu):
        def render(self, briefs: Sequence[Brief]) -> Sequence[Outcome | Finish]:
            return super().render(briefs)[1:]

    with pytest.raises(RenderError, match="1 outcomes for 2 briefs"):
        loop(Forgetful(), []).run([brief(1), brief(2)])
