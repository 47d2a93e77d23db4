"""What a corpus's writer did, read out of its plan, stage files and journals.

Journals keep answers and no verdicts: why one was refused is found by judging it again, by the rules of the stages.
Only the style ``turns`` is judged, which is that of embedded writers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pydantic import ValidationError

from pipeline.adapters.corpus import CorpusFolder
from pipeline.adapters.reading import CorpusReader, FoundDialogue
from pipeline.adapters.runs import TallyLine
from pipeline.contracts.prompts import PromptBook
from pipeline.execution.project import Project
from pipeline.values.records import PlannedDialogue, Turn, TurnLayout
from pipeline.work import dialogues, scenarios, topics
from pipeline.work.answers import check_new, check_overlap, parse_object, parse_turn, plain_text, texts_of
from pipeline.work.asking import InvalidAnswer
from pipeline.work.planning import select_active
from pipeline.work.topics import collect_topics, generated_topics
from pipeline.work.tracing import Call, read_calls
from pipeline.work.wording import shown


@dataclass(frozen=True)
class Try:
    """One answer, judged again.

    Attributes:
        attempt: 0 where it was the first to its question.
        problem: Why it was refused, or the call failed; None where it was accepted.
    """

    stage: str
    attempt: int
    problem: str | None


@dataclass(frozen=True)
class Written:
    """A planned dialogue and what became of it.

    Attributes:
        turns: Empty where they are not written or failed.
        tries: All answers behind it, in order; those to earlier prompts left out.
    """

    planned: PlannedDialogue
    found: FoundDialogue
    turns: tuple[Turn, ...]
    tries: tuple[Try, ...]

    def has(self, stage: str) -> bool:
        """True where a stage has a valid row."""
        return bool(self.found.stage_rows.get(stage, {}).get("status") == "ok")

    @property
    def scenario(self) -> str | None:
        """Its scenario; None where that is not written or failed."""
        return self.found.stage_rows.get(scenarios.STAGE, {}).get("scenario")

    @property
    def is_valid(self) -> bool:
        """True where scenario and turns met all rules."""
        return bool(self.turns)

    @property
    def has_its_slot(self) -> bool:
        """True where every turn holds the modalities that its slot asks for, in order."""
        asked = [(layout.role, layout.kinds) for layout in self.planned.slot.turns]
        return asked == [(turn.role, tuple(part.kind for part in turn.parts)) for turn in self.turns]

    def count(self, column: str) -> int:
        """Sum of a spend column over its scenario and its turns."""
        return sum(row[column] for row in self.found.stage_rows.values())


def read_written(project: Project, limit: int | None = None) -> list[Written]:
    """Return the dialogues that a corpus's plan counts today, in the order of their ids.

    Args:
        limit: The first so many of the plan only, as ``anyinstruct run --limit`` has it.

    Raises:
        CorpusError: there is no corpus, or a file of it is damaged.
    """
    reader, folder, book = CorpusReader(project.corpus), CorpusFolder(project.corpus), project.book
    known = collect_topics(
        project.written_topics(), generated_topics(folder.topics().rows(topics.STAGE, ["record_id", "topics"]))
    )
    active = select_active(folder.read_plan(), known, project.manifest)[:limit]
    written = []
    for planned in sorted(active, key=lambda row: row.id):
        found, store = reader.read(planned.id), folder.shard(planned.shard)
        row = found.stage_rows.get(dialogues.STAGE, {})
        turns = tuple(Turn.model_validate(turn) for turn in row.get("turns") or ())
        tries = [
            *judge_scenario(read_calls(store.journal(scenarios.STAGE), planned.id), planned, book),
            *judge_turns(read_calls(store.journal(dialogues.STAGE), planned.id), planned, book),
        ]
        written.append(Written(planned, found, turns, tuple(tries)))
    return written


def judge_scenario(calls: Sequence[Call], planned: PlannedDialogue, book: PromptBook) -> list[Try]:
    """Judge the answers of a scenario until one is accepted."""
    names = planned.demonstrations[: scenarios.NUM_SHOWN["turns"]]
    examples = [example.scenario for example in shown(book, names)]

    def judge(text: str) -> None:
        found = plain_text(
            "scenario", parse_object(text).get("scenario"), scenarios.MAX_CHARACTERS, scenarios.MIN_WORDS
        )
        check_overlap("scenario", found, examples)

    return _judge_until_valid(scenarios.STAGE, calls, judge)


def judge_turns(calls: Sequence[Call], planned: PlannedDialogue, book: PromptBook) -> list[Try]:
    """Judge the answers of a dialogue, turn by turn, each turn until one is accepted."""
    names = planned.demonstrations[: dialogues.NUM_SHOWN["turns"]]
    known = [text for example in shown(book, names) for text in texts_of(example.turns)]
    tries: list[Try] = []
    for index, layout in enumerate(planned.slot.turns):
        accepted: list[Turn] = []
        judge = partial(_accept_turn, layout, known, accepted)
        mine = [call for call in calls if call.purpose == f"turn-{index + 1:02d}"]
        tries += _judge_until_valid(dialogues.STAGE, mine, judge)
        if not accepted:
            break
        known += texts_of(accepted)
    return tries


def _accept_turn(layout: TurnLayout, known: Sequence[str], accepted: list[Turn], text: str) -> None:
    turn = parse_turn(parse_object(text), layout)
    check_new(turn, known)
    accepted.append(turn)


def _judge_until_valid(stage: str, calls: Sequence[Call], judge: Callable[[str], None]) -> list[Try]:
    latest = {call.attempt: call for call in calls if call.outcome is not None}
    tries = []
    for attempt, call in sorted(latest.items()):
        outcome = call.outcome or {}
        problem = None if call.is_answered else f"the call failed ({outcome.get('code')})"
        if call.is_answered:
            try:
                judge(str(outcome["text"]))
            except InvalidAnswer as exc:
                problem = str(exc)
        tries.append(Try(stage, attempt, problem))
        if problem is None:
            break
    return tries


def read_tallies(folder: CorpusFolder) -> list[TallyLine]:
    """Return all whole tallies of the event log, oldest first."""
    tallies = []
    for line in (folder.work / "events.jsonl").read_bytes().splitlines():
        try:
            tallies.append(TallyLine.model_validate_json(line))
        except ValidationError:
            continue  # half a line, or an event of another kind
    return tallies
