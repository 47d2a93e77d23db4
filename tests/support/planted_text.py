"""Clean dialogues, and the same ones with one planted fault each, of graded severity: what text audits are held to.

``plant`` draws everything from the generator it is given, so a seed is a sample. Every row goes out clean as well, and
hard negatives, which look like faults and are none, go out beside them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random

import yaml

from pipeline.adapters.prompt_files import shipped_book
from pipeline.contracts.storage import Row
from pipeline.values.ids import content_key

PAIRS = Path(__file__).resolve().parents[2] / "bench" / "data" / "dialogue_pairs.yaml"

Damage = Callable[[Random, Row], None]

TOXIC = (
    "You are a stupid {}.",
    "Go away, you {}.",
    "What a {} you are, and everybody knows.",
    "{}, that is what I think of it.",
)
COARSE = ("asshole", "motherfucker", "cunt", "sh1t", "f*ck", "bitch", "shithead", "dipshit", "kill yourself", "faggot")
PRIVATE = (
    "Write to {}.{}{}@gmail.com about it.",
    "My address is {}_{}{}@web.de, ask for me.",
    "Reach me at ({area}) 736-50{two} after six.",
    "Dial +44 20 7946 09{two} and ask for Tom.",
    "The card is {card}, take it.",
    "Send the money to GB82 WEST 1234 5698 7654 32, please.",
)
FAMOUS = (
    "in the style of Studio Ghibli",
    "with Pikachu in the corner",
    "like a Wes Anderson film still",
    "a Nike logo on the shirt",
    "a cover of Bohemian Rhapsody",
    "Mickey Mouse waving",
    "sung by Taylor Swift",
    "HARRY POTTER on a broom",
    "a Star Wars spaceship",
    "beside a Coca-Cola can",
)
GERMAN = (
    "Das Boot liegt seit zwanzig Jahren im Schuppen und wartet auf einen ruhigen Abend.",
    "Kannst du mir bitte zeigen, wie das im nächsten Sommer aussehen würde?",
    "Ich habe gestern auf dem Markt ein altes Fahrrad gefunden und möchte es streichen.",
)
FOREIGN = (
    *GERMAN,
    "昨日の夜は雨が降っていましたから、散歩に行きませんでした。",
    "昨天晚上下雨了，所以我们没有去公园散步。",
)
UNSPEAKABLE = (
    "See https://recipes.net/bread for more.",
    "Run `make demo` first.",
    "| day | loaves |\n| Monday | 4 |",
    "**Important:** knead it twice.",
    "- flour\n- water\n- salt",
    "def bake(loaf): return loaf.warm()",
    "# Step one\nMix it all.",
    "So good 😋🍞 really.",
)
HARD_NEGATIVES = (
    "Kill the lights and let's shoot a photo before the sun is gone.",
    "We drove from Essex to Scunthorpe, past the cock on the church tower.",
    "A chimney sweep in Dick Van Dyke style, with a broom and a big grin.",
    "The bastard file and the nail punch lie by the snatch block.",
    "She assessed the passage from Moby Dick with great analysis.",
    "A pair of blue tits nested beside the ass and the ox.",
    "The band plays at 120 BPM in 4/4, from 19:30 on 2024-10-12, for $15.50.",
    "Our shop is at 12 High Street; call 555-0142 or mail help@example.com any time.",
    "An apple, a prince and a queen walk past the frozen lake in a marvel of light.",
    "Yes.",
    "Well, well, well. That will do.",
)


@cache
def clean_rows() -> tuple[Row, ...]:
    """Dialogues that people wrote: the demonstrations, and Japanese, Chinese and English ones of the bench."""
    rows = [
        _row(demo.id, "en", [(turn.role, [(str(part.kind), part.text) for part in turn.parts]) for turn in demo.turns])
        for demo in shipped_book().demonstrations.values()
    ]
    for number, family in enumerate(yaml.safe_load(PAIRS.read_text(encoding="utf-8"))):
        lines = family["base"].strip().splitlines()
        turns = [(("user", "assistant")[at % 2], [("speech", line)]) for at, line in enumerate(_said(lines))]
        rows.append(_row(f"pair-{number}", family["language"], turns))
    return tuple(rows)


def plant(rng: Random, rows: Sequence[Row]) -> Iterator[tuple[str, Row, bool]]:
    """Yield the name of a fault, a row, and whether it has the fault: each clean row for each fault, then a bad one."""
    for fault, damage in FAULTS.items():
        for row in rows:
            if fault in NEEDS and not NEEDS[fault](row):
                continue
            yield fault, row, False
            bad = copy.deepcopy(row)
            damage(rng, bad)
            bad["id"] = content_key(row["id"], fault)
            yield fault, bad, True
    for fault in FAULTS:
        for text in HARD_NEGATIVES:
            if fault in TEXT_FAULTS:
                yield fault, _row(text, "en", [("user", [("speech", text)]), ("assistant", [])]), False


def parts_of(row: Row, *kinds: str) -> list[Row]:
    """Parts of some modalities, all where none is named."""
    return [part for turn in row["turns"] for part in turn["parts"] if not kinds or part["kind"] in kinds]


def _row(name: str, language: str, turns: Sequence[tuple[str, Sequence[tuple[str, str]]]]) -> Row:
    made = [{"role": role, "parts": [{"kind": kind, "text": text} for kind, text in parts]} for role, parts in turns]
    return {"id": content_key(name), "language": language, "turns": made}


def _said(lines: Sequence[str]) -> list[str]:
    """Leave out descriptions, which are in English and begin with a small letter."""
    return [line for line in lines if not (line[0].isascii() and line[0].islower())]


def _add(rng: Random, row: Row, text: str, *kinds: str) -> None:
    part = rng.choice(parts_of(row, *kinds))
    words = part["text"]
    part["text"] = f"{words} {text}" if rng.random() < 0.5 else f"{text} {words}"


def _make_toxic(rng: Random, row: Row) -> None:
    _add(rng, row, rng.choice(TOXIC).format(rng.choice(COARSE)))


def _make_private(rng: Random, row: Row) -> None:
    digits = [rng.randrange(10) for _ in range(14)]
    card = "4" + "".join(map(str, digits))
    total = sum(sum(divmod(int(d) * (2 - at % 2), 10)) for at, d in enumerate(card))
    card += str(-total % 10)
    names = [rng.choice(("jo", "maria", "t.smith", "li")), rng.choice(("brown", "ito", "wu")), str(rng.randrange(100))]
    two, area = f"{rng.randrange(100):02d}", rng.choice(("212", "415", "617"))
    _add(rng, row, rng.choice(PRIVATE).format(*names, card=card, two=two, area=area))


def _make_famous(rng: Random, row: Row) -> None:
    _add(rng, row, rng.choice(FAMOUS), "image", "music")


def _make_foreign(rng: Random, row: Row) -> None:
    rng.choice(parts_of(row, "text", "speech"))["text"] = rng.choice(FOREIGN if row["language"] == "en" else GERMAN)


def _make_unspeakable(rng: Random, row: Row) -> None:
    part = rng.choice(parts_of(row, "speech"))
    part["text"] = f"{part['text']}\n{rng.choice(UNSPEAKABLE)}"


def _make_endless(rng: Random, row: Row) -> None:
    part = rng.choice(parts_of(row, "speech"))
    part["text"] = " and then we ".join(["went on down the long road by the river"] * rng.randint(8, 20))


def _make_loop(rng: Random, row: Row) -> None:
    part = rng.choice(parts_of(row))
    spaced = row["language"] == "en" or part["kind"] in ("image", "music")
    words = part["text"].split() if spaced else list(part["text"])
    start = rng.randrange(max(1, len(words) - 4))
    loop = words[start : start + rng.randint(4, 8)] * rng.randint(6, 12)
    part["text"] = part["text"] + (" " if spaced else "") + (" " if spaced else "").join(loop)


def _make_degenerate(rng: Random, row: Row) -> None:
    part = rng.choice(parts_of(row))
    whole = ("...", "string", "N/A", "[insert description]", "—", "lorem ipsum dolor sit amet")
    part["text"] = rng.choice((*whole, part["text"] + " {{name}}", "[image] " + part["text"]))


def _make_repeat(rng: Random, row: Row) -> None:
    turns = [turn for turn in row["turns"] if _is_long(turn)]
    source = rng.choice(turns)
    said = [copy.deepcopy(part) for part in source["parts"] if part["kind"] in ("text", "speech")]
    row["turns"] += [
        {"role": "user", "parts": said},
        {"role": "assistant", "parts": [{"kind": "text", "text": "Yes."}]},
    ]


def _make_endless_turn(rng: Random, row: Row) -> None:
    words = [f"word{rng.randrange(10**6)}" for _ in range(rng.randint(420, 900))]
    rng.choice(parts_of(row, "text", "speech"))["text"] = ". ".join(
        " ".join(words[at : at + 12]) for at in range(0, len(words), 12)
    )


def _is_long(turn: Mapping[str, list[Row]]) -> bool:
    said = [part for part in turn["parts"] if part["kind"] in ("text", "speech")]
    return sum(len(part["text"].split()) for part in said) >= 5


FAULTS: Mapping[str, Damage] = {
    "dialogue.profane_words": _make_toxic,
    "dialogue.personal_data": _make_private,
    "dialogue.famous_described": _make_famous,
    "dialogue.foreign_parts": _make_foreign,
    "dialogue.unfit_speech": _make_unspeakable,
    "dialogue.longest_sentence": _make_endless,
    "dialogue.looped_share": _make_loop,
    "dialogue.degenerate_parts": _make_degenerate,
    "dialogue.repeated_turns": _make_repeat,
    "dialogue.longest_turn": _make_endless_turn,
}
"""By the measure that shall tell it."""

TEXT_FAULTS = tuple(fault for fault in FAULTS if fault != "dialogue.famous_described")

NEEDS: Mapping[str, Callable[[Row], bool]] = {
    "dialogue.foreign_parts": lambda row: bool(parts_of(row, "text", "speech")),
    "dialogue.longest_turn": lambda row: bool(parts_of(row, "text", "speech")),
    "dialogue.famous_described": lambda row: bool(parts_of(row, "image", "music")),
    "dialogue.unfit_speech": lambda row: bool(parts_of(row, "speech")),
    "dialogue.longest_sentence": lambda row: bool(parts_of(row, "speech")),
    "dialogue.repeated_turns": lambda row: any(_is_long(turn) for turn in row["turns"]),
}
