"""Prints what bench.writing measures, a line a measure."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from bench.writing_measures import (
    DESCRIBED,
    NUM_OTHERS,
    ROLES,
    Probe,
    Relevance,
    compare_descriptions,
    compare_with_others,
    distinct,
    find_near_texts,
    find_near_vectors,
    find_swapped,
    list_descriptions,
    name_rule,
    rate_swap_proxy,
    ratio,
    share_of_questions,
    share_with_twin,
    subtract_roles,
    words_of,
    words_said,
)
from bench.writing_replay import Written
from pipeline.cli.show_dialogue import print_dialogue
from pipeline.contracts.embedding import Embedder
from pipeline.contracts.prompts import PromptBook
from pipeline.values.records import Part
from pipeline.values.units import Seconds
from pipeline.work import dialogues, scenarios

NUM_PRINTED = 20
NUM_NAMED = 5
STAGES = (scenarios.STAGE, dialogues.STAGE)


def print_dialogues(written: Sequence[Written]) -> None:
    """Print the first by id, failed ones among them: nobody has chosen them."""
    print(f"The first {min(NUM_PRINTED, len(written))} of {len(written)} dialogues by id, unselected:")
    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, force_terminal=False, width=200)
    for one in written[:NUM_PRINTED]:
        print()
        print_dialogue(one.found, "none", console)


def print_yield(written: Sequence[Written]) -> float:
    """Print what came of the plan; return the share of valid dialogues."""
    for stage in STAGES:
        count = sum(one.has(stage) for one in written)
        say(f"{stage} valid", f"{ratio(count, len(written)):.3f} ({count} of {len(written)} planned)")
    cells = Counter(one.planned.slot.cell for one in written)
    valid = Counter(one.planned.slot.cell for one in written if one.is_valid)
    say("valid by cell", ", ".join(f"{cell} {valid[cell]} of {count}" for cell, count in sorted(cells.items())))
    rows = [row for one in written for row in one.found.stage_rows.items()]
    lost = Counter(f"{stage}: {row['code']}" for stage, row in rows if row["status"] == "failed")
    for reason, count in lost.most_common():
        say("failed", f"{count} × {reason}")
    return ratio(valid.total(), len(written))


def print_refusals(written: Sequence[Written]) -> None:
    """Print how many answers were of no use, by rule, and how often a question had to be asked again."""
    tries = [one for dialogue in written for one in dialogue.tries]
    calls = sum(one.count("calls") for one in written)
    refused = [one for one in tries if one.problem is not None]
    say("LLM calls", f"{calls}; {len(refused)} answers refused ({ratio(len(refused), len(tries)):.3f})")
    if len(tries) != calls:
        say("", f"{len(tries)} answers were found in the journals, not {calls}: refusals are of those")
    for stage in STAGES:
        again = sum(one.attempt > 0 for one in tries if one.stage == stage)
        say(f"{stage} retries", f"{ratio(again, len(written)):.2f} a planned dialogue")
    for rule, count in Counter(f"{one.stage}: {name_rule(one.problem or '')}" for one in refused).most_common():
        say("refused", f"{count} × {rule}")


def print_cost(written: Sequence[Written], seconds: Seconds) -> None:
    """Print tokens and time by valid dialogue; what failed is part of the cost."""
    num_valid = max(1, sum(one.is_valid for one in written))
    read, cached, made = (
        sum(one.count(column) for one in written) / num_valid
        for column in ("prompt_tokens", "cached_tokens", "completion_tokens")
    )
    say("a valid dialogue", f"{read:,.0f} tokens read, {cached:,.0f} of them cached; {made:,.0f} written")
    say("", f"{seconds / num_valid:.1f} s ({seconds:,.0f} s with calls in flight in all, generated topics included)")


def print_shape(written: Sequence[Written]) -> None:
    """Print slots reached and lengths."""
    valid = [one for one in written if one.is_valid]
    reached = sum(one.has_its_slot for one in valid)
    say("slot reached", f"{ratio(reached, len(valid)):.3f} of the valid ones hold what was asked for, turn by turn")
    for role in ROLES:
        said = [words_said(turn) for one in valid for turn in one.turns if turn.role == role]
        say(f"words, {role}", _mean_words([text for text in said if text]) + " a turn")
    for kind in DESCRIBED:
        texts = [part.text for part in _parts(valid) if part.kind == kind]
        say(f"words, {kind}", f"{_mean_words(texts)} a description ({len(texts)} descriptions)")


def print_roles(written: Sequence[Written], book: PromptBook, model: Embedder) -> None:
    """Print how often users ask and in how many dialogues the roles look swapped, beside the demonstrations."""
    turns = [turn for one in written for turn in one.turns]
    shown = [turn for example in book.demonstrations.values() for turn in example.turns]
    asked, by_example = share_of_questions(turns), share_of_questions(shown)
    say("user asks", f"{asked:.3f} of turns have a question mark ({by_example:.3f} in the shipped demonstrations)")
    examples = [subtract_roles(example.turns, model.embed) for example in book.demonstrations.values()]
    known = np.stack([one for one in examples if one is not None])
    judged = [(one.planned.id, subtract_roles(one.turns, model.embed)) for one in written]
    found = {name: find_swapped(one[np.newaxis], known)[0] for name, one in judged if one is not None}
    names = [name for name, is_swapped in found.items() if is_swapped]
    say("roles look swapped", f"{ratio(len(names), len(found)):.3f} of {len(found)}, {_name_some(names)}")
    wrong = rate_swap_proxy(known)
    say("", f"by how users and assistants speak in {len(known)} demonstrations, of which it takes {wrong:.3f} for")
    say("", "swapped, each judged by the others; two roles that speak alike come to one half")


def print_variety(written: Sequence[Written]) -> None:
    """Print distinct-n over all texts and over the descriptions alone."""
    parts = _parts(written)
    descriptions = [part.text for part in parts if part.kind in DESCRIBED]
    for name, texts in (("all texts", [part.text for part in parts]), ("descriptions", descriptions)):
        shares = " ".join(f"{distinct(texts, length):.3f}" for length in (1, 2, 3))
        say("distinct-1/-2/-3", f"{shares} over {name} ({sum(len(words_of(text)) for text in texts):,} words)")


def print_twins(written: Sequence[Written], model: Embedder) -> float:
    """Print near-duplicates with their pairs; return the largest share of things that have a twin."""
    valid = [one for one in written if one.is_valid]
    texts = ["\n".join(part.text for part in _parts([one])) for one in valid]
    pairs = find_near_texts(texts)
    shares = [share_with_twin(pairs, len(texts))]
    say("near-duplicates", f"{shares[0]:.3f} of dialogues")
    for (i, j), similarity in pairs.items():
        say("", f"{valid[i].planned.id} and {valid[j].planned.id} (Jaccard {similarity:.2f})")
    for kind in DESCRIBED:
        every = list_descriptions({one.planned.id: one.turns for one in valid})
        described = [probe for probe in every if probe.kind == kind]
        near = find_near_vectors(model.embed([probe.text for probe in described]))
        shares.append(share_with_twin(near, len(described)))
        say("", f"{shares[-1]:.3f} of {kind} descriptions")
        for (i, j), cosine in near.items():
            say("", f"{described[i].name} and {described[j].name} (cosine {cosine:.2f})")
    return max(shares)


def print_relevance(written: Sequence[Written], book: PromptBook, model: Embedder) -> float | None:
    """Print how near descriptions are to their turns' words; return the share that is nearest to its own."""
    found = compare_descriptions({one.planned.id: one.turns for one in written}, model.embed)
    _say_relevance("relevance", "all descriptions, their turn's words", found)
    for kind in DESCRIBED:
        _say_relevance("", str(kind), [one for one in found if one.probe.kind == kind])
    for role in ROLES:
        _say_relevance("", f"the {role}'s", [one for one in found if one.probe.target == role])
    if any(len(one.others) < NUM_OTHERS for one in found):
        say("", f"too few dialogues here for {NUM_OTHERS} others each")
    examples = compare_descriptions({name: one.turns for name, one in book.demonstrations.items()}, model.embed)
    for kind in DESCRIBED:
        shown = [one for one in examples if one.probe.kind == kind]
        _say_relevance("", f"in the demonstrations, {kind}", shown)
    return ratio(sum(one.is_top for one in found), len(found)) if found else None


def print_topicality(written: Sequence[Written], model: Embedder) -> None:
    """Print how often scenarios and dialogues are nearest to their own topic."""
    targets = {one.planned.id: {"topic": [one.planned.topic.text]} for one in written}
    for kind, texts in (
        ("scenario", {one.planned.id: one.scenario for one in written}),
        ("dialogue", {one.planned.id: " ".join(part.text for part in _parts([one])) for one in written}),
    ):
        topics = {name: mine["topic"][0] for name, mine in targets.items()}
        probes = [Probe(name, name, kind, "topic", text, topics[name]) for name, text in texts.items() if text]
        found = compare_with_others(probes, targets, model.embed)
        _say_relevance("on topic" if kind == "scenario" else "", f"{kind}s, their topic", found)


def _say_relevance(name: str, what: str, found: Sequence[Relevance]) -> None:
    if found:
        top = ratio(sum(one.is_top for one in found), len(found))
        own = ratio(sum(one.own for one in found), len(found))
        others = ratio(sum(sum(one.others) / len(one.others) for one in found), len(found))
        said = f"{top:.3f} of {len(found)} nearest to their own (cosine {own:.2f}, to others' {others:.2f})"
        say(name, f"{what}: {said}")


def say(name: str, text: str) -> None:
    """Print one line of the report."""
    print(f"{name:<20}{text}")


def _parts(written: Sequence[Written]) -> list[Part]:
    return [part for one in written for turn in one.turns for part in turn.parts]


def _name_some(names: Sequence[str]) -> str:
    return ", ".join(names[:NUM_NAMED]) + (", …" if len(names) > NUM_NAMED else "") if names else "none"


def _mean_words(texts: Sequence[str]) -> str:
    return f"{ratio(sum(len(words_of(text)) for text in texts), len(texts)):.1f}"
