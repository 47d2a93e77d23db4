"""Ties what a description names together: who holds or wears what, what stands on, in or beside what."""

from __future__ import annotations

from pipeline.adapters.renderers.storyboard.subjects import Reading, Subject, fills
from pipeline.adapters.renderers.storyboard.vocabulary import Person, Thing

PLACING = ("on", "in", "under", "over", "behind", "front", "beside", "riding")
TAKING = ("holding", "wearing", "with")
# Garments in the vocabulary's sense that are carried and not worn.
CARRIED = ("umbrella", "closed-umbrella", "luggage", "briefcase", "handbag", "backpack", "purse", "folding-hand-fan",
           "~saddle")  # fmt: skip


class Binding:
    """Holds what waits for its noun and the relation that waits for its object."""

    def __init__(self) -> None:
        self.reading = Reading()
        self.relation = ""
        self.joined: list[int] = []  # subjects linked by "and", which share a relation
        self.after_of = False
        self.current: int | None = None
        self.doer: int | None = None
        self.forget()

    def add(self, word: str, what: Thing | Person, many: int, *, certain: bool = True) -> None:
        """Take up a subject with all that waited for it."""
        subject = Subject(
            word=word, what=what, count=max(many, self.count or 1), colour=self.colour, size=self.size, pose=self.pose,
            hair=self.hair, sex=self.sex, old=self.old, young=self.young, certain=certain,
        )  # fmt: skip
        if self.count is not None and self.count > 1:
            subject.count = self.count
        subjects = self.reading.subjects
        index = len(subjects)
        subjects.append(subject)
        self.forget()
        previous = self.current
        if self.relation in PLACING and self.joined:
            self._place(index)
        elif self.relation in TAKING and (self.doer is not None or previous is not None):
            self._give(index, previous)
            return
        elif previous is None or not self.joined or not certain:
            self.joined = [index]
        else:
            self.joined.append(index)
        if certain or previous is None:
            self.current = index
        if subject.is_doer:
            self.doer = index

    def forget(self) -> None:
        """Let go of what waited for a noun."""
        self.count: int | None = None
        self.colour: str | None = None
        self.size = 1.0
        self.pose = ""
        self.hair = ""
        self.sex = ""
        self.old = False
        self.young = False

    def clothe(self) -> None:
        """Give a colour that no noun followed ("a woman in green") to the last subject."""
        if self.colour is not None and self.current is not None and self.relation in ("in", "wearing", ""):
            index = self.doer if self.relation and self.doer is not None else self.current
            subject = self.reading.subjects[index]
            subject.colour = subject.colour or self.colour
        self.colour = None

    def _place(self, index: int) -> None:
        for other in self.joined:
            subject = self.reading.subjects[other]
            if subject.to is None and other != index:
                worn = self.relation == "in" and self._is_garment(index) and subject.is_doer
                if worn:
                    self.reading.subjects[index].relation = "worn"
                    self.reading.subjects[index].to = other
                    self.relation = ""
                    return
                subject.relation, subject.to = self.relation, index
        self.joined = [index]
        self.relation = ""

    def _give(self, index: int, previous: int | None) -> None:
        """Tie something to who holds or wears it, or to what it stands with."""
        subject = self.reading.subjects[index]
        if self.after_of and previous is not None and fills(self.reading.subjects[previous], subject):
            # A bowl of ramen is one thing, and its picture has the bowl.
            self.reading.subjects[previous].what = subject.what
            self.reading.subjects.pop()
            self.current, self.relation = previous, ""
            return
        owner = self.doer if self.doer is not None and (self.relation != "with" or subject.is_doer) else previous
        if owner is None or owner == index:
            self.current = index
            self.joined = [index]
            return
        if self.relation == "with" and self.doer is not None and self._is_garment(index):
            owner = self.doer
        worn = self.relation == "wearing" or (self.relation == "with" and self._is_garment(index))
        subject.relation = "worn" if worn else ("held" if self.relation == "holding" else "with")
        subject.to = owner
        if subject.is_doer and subject.relation == "with":
            self.doer = self.current = index
            self.joined = [owner, index]

    def _is_garment(self, index: int) -> bool:
        what = self.reading.subjects[index].what
        return isinstance(what, Thing) and what.kind == "garment" and what.picture not in CARRIED
