"""A dialogue to a question for judges, and their answers to readings; both are strangers' text."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field, TypeAdapter, ValidationError

from pipeline.adapters.audits.judge.rubrics import RETRY, SCORES, SYSTEM, USER, Rubric, measure_of
from pipeline.adapters.images import encode_image
from pipeline.contracts.audit import Ask, AuditItem, Reading, Readings
from pipeline.contracts.chat import ChatRequest, Message, Picture
from pipeline.contracts.storage import Row
from pipeline.values.ids import content_key, derive_seed, sha256_hex
from pipeline.values.records import Modality, Record
from pipeline.values.units import Pixels
from pipeline.values.writer import WeightedModel

if TYPE_CHECKING:
    from pipeline.adapters.audits.judge import JudgeOptions

PURPOSE = "judge"

LONGEST_REASON = 300
"""Characters; the schema's limit, and where an endpoint heeds none, the end of what is kept."""

TOKENS_A_RUBRIC = 160
TOKENS_MORE = 60
"""Room for an answer: a reason of the longest kind, its score and the keys around them, whatever the rubrics."""

JPEG_QUALITY = 80

_FIELD_OF: Mapping[str, str] = {Modality.TEXT: "text", Modality.SPEECH: "transcript"}
"""What a part's words are called; all others are descriptions."""


class Verdict(Record):
    """One score and what it rests on."""

    reason: str = Field(min_length=1)
    score: int = Field(ge=SCORES[0], le=SCORES[-1], strict=True)


_VERDICTS = TypeAdapter(dict[str, Verdict])


class Judge:
    """Implements ``Inquirer``: one call a dialogue and model."""

    def __init__(self, options: JudgeOptions) -> None:
        self.sees_pictures = options.see_pictures
        self._options = options
        self._book = options.book
        self._rubrics = self._book.rubrics(options.rubrics)

    async def measure(self, item: AuditItem, pictures: Mapping[str, AuditItem], ask: Ask) -> Readings:
        """Return the score of each rubric that applies, and their mean; see ``Inquirer``."""
        turns = item.row["turns"] or ()
        is_typed = all(part.get("kind") == Modality.TEXT for turn in turns for part in _parts(turn))
        rubrics = [rubric for rubric in self._rubrics if not (rubric.needs_media and is_typed)]
        if not rubrics:
            return {}
        shown = await asyncio.to_thread(_shrink, turns, pictures, self._options.picture_pixels)
        names = [rubric.id for rubric in rubrics]
        found: list[tuple[WeightedModel, dict[str, Verdict]]] = []
        for judge in self._options.blend:
            request = self._request(item.id, judge.model, turns, shown, rubrics)
            verdicts = await ask(request, lambda text: parse_verdicts(text, names), self._word_problem)
            found.append((judge, verdicts))
        readings = {measure_of(rubric).name: _average(rubric.id, found) for rubric in rubrics}
        values = [reading.value for reading in readings.values() if reading.value is not None]
        return {**readings, measure_of(None).name: Reading(value=sum(values) / len(values))}

    def _request(
        self, record: str, model: str, turns: Sequence[Row], shown: Mapping[str, Picture], rubrics: Sequence[Rubric]
    ) -> ChatRequest:
        dialogue = state_dialogue(turns, list(shown))
        system = self._book.text(SYSTEM, rubrics=rubrics, see_pictures=bool(shown))
        user = self._book.text(USER, dialogue=dialogue, fence=fence_of(dialogue), rubrics=[r.id for r in rubrics])
        options = self._options
        return ChatRequest(
            record_id=record,
            purpose=PURPOSE,
            model=model,
            messages=(
                Message(role="system", content=system),
                Message(role="user", content=user, pictures=tuple(shown.values())),
            ),
            json_schema=verdicts_schema([rubric.id for rubric in rubrics]),
            schema_name="verdicts",
            temperature=options.temperature,
            top_p=options.top_p,
            repeat_penalty=options.repeat_penalty,
            max_tokens=TOKENS_MORE + TOKENS_A_RUBRIC * len(rubrics),
            seed=derive_seed(0, record, PURPOSE),
        )

    def _word_problem(self, problem: str) -> str:
        return self._book.text(RETRY, problem=problem)


def state_dialogue(turns: Sequence[Row], shown: Sequence[str]) -> str:
    """Return a dialogue as JSON, a line a turn, so that no text in it can look like a turn or end the data.

    Args:
        shown: Assets of the pictures that are attached, in their order.
    """
    lines = []
    for number, turn in enumerate(turns, 1):
        parts = [_state_part(part, shown) for part in _parts(turn)]
        lines.append(json.dumps({"turn": number, "role": turn.get("role"), "parts": parts}, ensure_ascii=False))
    return "[" + ",\n".join(lines) + "]"


def _parts(turn: Row) -> Sequence[Row]:
    """Return a turn's parts; a stranger's may have none."""
    return turn.get("parts") or ()


def _state_part(part: Row, shown: Sequence[str]) -> dict[str, Any]:
    kind, asset = str(part.get("kind")), part.get("asset")
    stated: dict[str, Any] = {"kind": kind, _FIELD_OF.get(kind, "description"): part.get("text")}
    if asset in shown:
        stated["picture"] = shown.index(asset) + 1
    return stated


def fence_of(dialogue: str) -> str:
    """Return the line around a dialogue: of its own hash, which no text can hold of itself."""
    return f"----- dialogue {content_key('fence', dialogue)} -----"


def verdicts_schema(names: Sequence[str]) -> dict[str, Any]:
    """JSON schema of an answer: the reason before the score, so that the score follows from it."""
    verdict = {
        "type": "object",
        "properties": {
            "reason": {"type": "string", "maxLength": LONGEST_REASON},
            "score": {"type": "integer", "enum": list(SCORES)},
        },
        "required": ["reason", "score"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": dict.fromkeys(names, verdict),
        "required": list(names),
        "additionalProperties": False,
    }


def parse_verdicts(text: str, names: Sequence[str]) -> dict[str, Verdict]:
    """Return an answer's verdicts.

    Raises:
        ValueError: says what to mend.
    """
    try:
        found = _VERDICTS.validate_json(text)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))[:80]
        raise ValueError(f"{where or 'the answer'}: {first['msg']}") from None
    if set(found) != set(names):
        raise ValueError(f"the object must have exactly the keys {', '.join(names)}")
    return found


def _average(name: str, found: Sequence[tuple[WeightedModel, Mapping[str, Verdict]]]) -> Reading:
    total = sum(judge.weight for judge, _ in found)
    value = sum(judge.weight * verdicts[name].score for judge, verdicts in found) / total
    reasons = [" ".join(verdicts[name].reason.split())[:LONGEST_REASON] for _, verdicts in found]
    if len(found) == 1:
        return Reading(value=value, detail=reasons[0])
    told = [f"{judge.model} ({verdicts[name].score}): " for judge, verdicts in found]
    return Reading(value=value, detail=" | ".join(map("".join, zip(told, reasons, strict=True))))


def _shrink(turns: Sequence[Row], pictures: Mapping[str, AuditItem], longest: Pixels) -> dict[str, Picture]:
    """Return the dialogue's pictures as small JPEGs, by asset in the order of its parts; one that is damaged is not."""
    shown: dict[str, Picture] = {}
    for name in [part.get("asset") for turn in turns for part in _parts(turn)]:
        item = pictures.get(name or "")
        if item is None or item.id in shown or item.data is None or item.decode is None:
            continue
        try:
            # Not by `media`, which would keep the whole picture for as long as the call takes.
            image = item.decode(item.data)
        except ValueError:
            continue  # an audit of its own says so; the judge has the description
        image.thumbnail((longest, longest))
        data = encode_image(image, "jpg", JPEG_QUALITY)
        shown[item.id] = Picture(sha256=sha256_hex(data), data=data)
    return shown
