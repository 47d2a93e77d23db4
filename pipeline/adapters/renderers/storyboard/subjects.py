"""What a description is read into: its subjects, and the place, time, weather and style around them."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipeline.adapters.renderers.storyboard.vocabulary import Person, Thing

MAX_SUBJECTS = 8
DOERS = ("animal", "bird", "creature", "insect", "fish")
# Dishes and drinks whose picture shows what they are in.
WITH_CONTAINER = ("steaming-bowl", "cooked-rice", "green-salad", "bowl-with-spoon", "curry-rice", "pot-of-food",
                  "spaghetti", "honey-pot", "~jam-jar", "bucket")  # fmt: skip


@dataclass(slots=True)
class Subject:
    """Something that the description names.

    Attributes:
        relation: How it is placed towards ``to``, an index into the subjects; `held`, `worn` and `with` say what
            another one has.
        certain: False for a guess: an unknown noun, or the first half of a compound.
        half: The first half of a compound.
    """

    word: str
    what: Thing | Person
    count: int = 1
    colour: str | None = None
    size: float = 1.0
    pose: str = ""
    hair: str = ""
    sex: str = ""
    old: bool = False
    young: bool = False
    relation: str = ""
    to: int | None = None
    depth: str = ""
    certain: bool = True
    half: bool = False

    @property
    def is_person(self) -> bool:
        """Whether it is drawn as a figure."""
        return isinstance(self.what, Person)

    @property
    def is_doer(self) -> bool:
        """Whether it can hold, wear or ride something."""
        return isinstance(self.what, Person) or self.what.kind in DOERS


@dataclass(slots=True)
class Reading:
    """All that a description says to the painter; empty where it says nothing."""

    subjects: list[Subject] = field(default_factory=list)
    place: str = ""
    time: str = ""
    weather: str = ""
    moods: list[str] = field(default_factory=list)
    style: str = ""
    sex: str = ""
    is_close: bool = False
    background: str | None = None


def keep_setting(reading: Reading, former: Reading) -> None:
    """Fill in what the description of a changed picture says nothing of with what that of the former one said."""
    reading.place = reading.place or former.place
    reading.time = reading.time or former.time
    reading.weather = reading.weather or former.weather
    reading.style = reading.style or former.style
    reading.background = reading.background or former.background


def trim(reading: Reading) -> None:
    """Keep the first few subjects, certain ones before guesses, and mend what pointed at the others."""
    subjects = reading.subjects
    certain = sum(subject.certain for subject in subjects)
    ranked = sorted(range(len(subjects)), key=lambda at: (not subjects[at].certain, at))
    room = MAX_SUBJECTS if certain >= MAX_SUBJECTS else max(certain, min(MAX_SUBJECTS - 2, len(subjects)))
    if certain:
        ranked = [at for at in ranked if not subjects[at].half]
    kept = sorted(ranked[:room])
    places = {old: new for new, old in enumerate(kept)}
    for subject in subjects:
        subject.to = places.get(subject.to) if subject.to is not None else None
        if subject.to is None:
            subject.relation = ""
    reading.subjects = [subjects[at] for at in kept]


def fills(container: Subject, content: Subject) -> bool:
    """Whether the picture of a content shows its container too."""
    if isinstance(container.what, Person) or isinstance(content.what, Person):
        return False
    if container.what.kind not in ("vessel", "drink", "food", "object"):
        return False
    return content.what.kind == "drink" or content.what.picture in WITH_CONTAINER
