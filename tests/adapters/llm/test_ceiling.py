from __future__ import annotations

from pipeline.adapters.llm.ceiling import FIRST_PATIENCE, START, Ceiling, Turn


class Endpoint:
    """Plays rounds against a ceiling: as many calls as the limit allows, of which so many are served."""

    def __init__(self, ceiling: Ceiling, admits: int) -> None:
        self.ceiling = ceiling
        self.admits = admits
        self.num_started = 0
        self.num_refused = 0
        self.now = 0.0

    def play_round(self, retry_after: float = 1.0) -> None:
        ceiling = self.ceiling
        turns = [Turn(self.num_started + index, index + 1, self.now, 0) for index in range(ceiling.limit)]
        self.num_started += len(turns)
        ceiling.is_full = True
        in_flight = len(turns)
        for turn in turns[self.admits :]:
            in_flight -= 1
            self.num_refused += 1
            ceiling.refuse(turn, in_flight, self.num_started, self.now + retry_after, self.now)
        self.now += 2.0
        for turn in turns[: self.admits]:
            ceiling.serve(turn, 2.0, 10**6)


def new(wanted: int = 64, found: int | None = None, start: int = START) -> Ceiling:
    return Ceiling(wanted, found, start)


def test_it_doubles_with_each_round_up_to_what_is_wanted() -> None:
    ceiling = new(100)
    endpoint = Endpoint(ceiling, 1000)
    limits = []
    for _ in range(6):
        limits.append(ceiling.limit)
        endpoint.play_round()
    assert limits == [8, 16, 32, 64, 100, 100]
    assert (ceiling.reached, ceiling.found) == (100, None)


def test_a_limit_that_is_not_in_the_way_does_not_grow() -> None:
    ceiling = new()
    for number in range(100):
        ceiling.serve(Turn(number, 3, 0.0, 0), 1.0, 10**6)
    assert ceiling.limit == START
    assert ceiling.reached == 3


def test_the_first_refusals_leave_what_is_served() -> None:
    ceiling = new()
    endpoint = Endpoint(ceiling, 16)
    for _ in range(3):
        endpoint.play_round()
    assert (ceiling.limit, ceiling.found, ceiling.proven) == (16, 16, 16)
    assert endpoint.num_refused == 16
    assert ceiling.held_until == 0.0


def test_at_a_ceiling_more_is_tried_seldom_and_then_boldly() -> None:
    ceiling = new(found=16)
    endpoint = Endpoint(ceiling, 16)
    for _ in range(FIRST_PATIENCE):
        assert ceiling.limit == 16
        endpoint.play_round()
    assert ceiling.limit == 17
    endpoint.play_round()
    assert (ceiling.limit, endpoint.num_refused) == (16, 1)
    endpoint.admits = 1000
    limits = []
    for _ in range(2 * FIRST_PATIENCE + 6):
        endpoint.play_round()
        limits.append(ceiling.limit)
    assert limits[-6:] == [19, 23, 31, 47, 64, 64]


def test_a_remembered_ceiling_that_no_longer_holds_is_left_in_one_round() -> None:
    ceiling = new(found=64)
    endpoint = Endpoint(ceiling, 16)
    endpoint.play_round()
    assert ceiling.limit == 16
    endpoint.play_round()
    assert (ceiling.limit, endpoint.num_refused) == (16, 48)


def test_refused_again_within_the_lowered_limit_it_slows_down_and_waits() -> None:
    ceiling = new(found=20)
    ceiling.serve(Turn(0, 1, 0.0, 0), 2.0, 64)
    ceiling.refuse(Turn(20, 20, 0.0, 0), 19, 21, 10.0, 5.0)
    assert (ceiling.limit, ceiling.held_until) == (19, 0.0)
    ceiling.refuse(Turn(21, 19, 0.0, 0), 18, 22, 11.0, 6.0)
    assert (ceiling.limit, ceiling.held_until) == (13, 11.0)
    # Those that were under way at the time say nothing new, but that it takes longer.
    ceiling.refuse(Turn(15, 15, 0.0, 0), 3, 22, 12.0, 6.5)
    assert (ceiling.limit, ceiling.held_until) == (13, 12.0)


def test_without_a_time_the_pauses_double() -> None:
    ceiling = new(found=20)
    pauses = []
    now, number = 0.0, 0
    for _ in range(5):
        ceiling.refuse(Turn(number, 1, now, 0), 0, number + 1, None, now)
        pauses.append(ceiling.held_until - now)
        number, now = number + 1, max(now, ceiling.held_until) + 0.01
    assert [round(pause, 2) for pause in pauses[1:]] == [0.5, 1.0, 2.0, 4.0]


def test_one_straggler_is_no_overload_and_a_quarter_of_a_round_is() -> None:
    ceiling = new(found=20)
    for number in range(5):
        ceiling.time_out(Turn(number, number, 0.0, 0), 20)
    assert ceiling.limit == 20
    ceiling.time_out(Turn(6, 6, 0.0, 0), 20)
    assert ceiling.limit == 14


def test_others_can_tell_the_ceiling() -> None:
    ceiling = new(wanted=32, start=32)
    ceiling.set(10)
    assert (ceiling.limit, ceiling.found) == (10, 10)
    ceiling.set(50)
    assert ceiling.limit == 32
