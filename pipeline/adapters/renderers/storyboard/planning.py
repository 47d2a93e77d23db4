"""Decides where a scene is set and which part of the picture each cluster belongs to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from random import Random

from pipeline.adapters.renderers.storyboard.placing import Cluster, flies
from pipeline.adapters.renderers.storyboard.subjects import Reading
from pipeline.adapters.renderers.storyboard.vocabulary import Person, Place, Thing, Vocabulary

# Where people are when nothing says so, and what an unreadable description gets.
EVERYDAY = ("street", "park", "living", "meadow", "village", "garden")
ANYWHERE = ("meadow", "mountains", "beach", "street", "forest", "living", "harbour", "garden")
TABLE_KINDS = ("food", "drink", "vessel", "object", "tool", "toy", "garment", "instrument", "decor")
MOVABLE = ("~table", "~bench", "chair", "~rug", "~hammock", "~campfire", "door")
WET_WEATHER = ("rain", "storm", "snow", "fog", "wind", "autumn")


@dataclass(slots=True)
class Plan:
    """Clusters by the part of the picture that they belong to."""

    main: list[Cluster] = field(default_factory=list)
    back: list[Cluster] = field(default_factory=list)
    sky: list[Cluster] = field(default_factory=list)
    table: list[Cluster] = field(default_factory=list)


def choose_place(reading: Reading, vocabulary: Vocabulary, random: Random) -> str:
    """Return the named place, or where the things named are mostly found."""
    if reading.place:
        return reading.place
    votes: Counter[str] = Counter()
    for at, subject in enumerate(reading.subjects):
        what = subject.what
        names = [what.picture, what.kind] if isinstance(what, Thing) else [what.bust, what.whole, what.gear]
        if isinstance(what, Person) and what.home:
            votes[what.home] += 4
            continue
        named = [name for name in names if name in vocabulary.homes]
        if named:
            weight = 4 if at == 0 else 1 if named[0] == names[1] else 2
            if isinstance(what, Thing) and (what.at == "far" or what.kind in ("tree", "boat", "craft", "furniture")):
                weight = 2 if what.picture in MOVABLE else 5  # these cannot be carried to somewhere else
            votes[vocabulary.homes[named[0]]] += weight
    if not votes:
        return random.choice(EVERYDAY if reading.subjects else ANYWHERE)
    place = max(votes.items(), key=lambda item: item[1])[0]
    if place == "forest" and reading.weather == "snow":
        return "pines"
    outdoors = any(subject.is_doer for subject in reading.subjects) and reading.weather in WET_WEATHER
    if vocabulary.places[place].inside and outdoors:
        return "street"
    return place


def sort_clusters(clusters: list[Cluster], place: Place) -> Plan:
    """Part clusters into those on the ground, at the back, in the sky and on a table."""
    plan = Plan()
    grounded = [cluster for cluster in clusters if not _lies_on_table(cluster) and not flies(cluster.lead)]
    for cluster in clusters:
        what = cluster.lead.what
        if flies(cluster.lead) and not (place.ground == "seabed" or (place.space and len(clusters) == 1)):
            plan.sky.append(cluster)
        elif _lies_on_table(cluster) and ((place.inside and place.tables) or (not grounded and _is_food(cluster))):
            plan.table.append(cluster)
        elif (
            cluster.lead.depth == "back"
            or (swims(cluster) and place.ground in ("pier", "beach"))
            or (isinstance(what, Thing) and (what.at == "far" or what.kind == "tree") and len(clusters) > 1)
        ):
            plan.back.append(cluster)
        else:
            plan.main.append(cluster)
    if plan.table and all(_is_small(cluster) for cluster in plan.main):
        plan.table, plan.main = [cluster for cluster in clusters if cluster in plan.table or cluster in plan.main], []
    afloat = place.ground in ("pier", "beach")
    if not plan.main and not plan.table and plan.back and not (afloat and any(map(swims, plan.back))):
        plan.main, plan.back = plan.back[:3], plan.back[3:]
    return plan


def _lies_on_table(cluster: Cluster) -> bool:
    what = cluster.lead.what
    return isinstance(what, Thing) and what.at == "table" and what.kind in TABLE_KINDS and what.size < 1.0


def is_low(cluster: Cluster) -> bool:
    """Whether it is a single thing so low that the usual height would make it a monument."""
    return len(cluster.pieces) == 1 and isinstance(cluster.lead.what, Thing) and cluster.lead.what.size < 1.4


def _is_small(cluster: Cluster) -> bool:
    what = cluster.lead.what
    return isinstance(what, Thing) and what.size < 0.8 and what.kind in (*TABLE_KINDS, "plant")


def _is_food(cluster: Cluster) -> bool:
    return isinstance(cluster.lead.what, Thing) and cluster.lead.what.kind in ("food", "drink")


def swims(cluster: Cluster) -> bool:
    """Whether it belongs into the water."""
    what = cluster.lead.what
    if isinstance(what, Person):
        return what.whole in ("swimming", "rowing-boat", "surfing") or cluster.lead.pose in ("swim", "row", "surf")
    return what.at == "water" or what.picture in ("duck", "swan", "lotus", "turtle", "otter", "seal")
