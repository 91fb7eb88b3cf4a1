"""Labels of the artificial languages, against accounts of their own of what follows and is alike.

What follows is natural logic over facts (van Benthem 1986): a sentence asserts or denies that
something of a kind takes place. An assertion follows from one of a narrower kind, a denial from one
of a wider kind.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from random import Random

import pytest

from lib.world import concepts
from lib.world.grammar import paraphrased
from lib.world.inference import LABELS, told_triple, triple
from lib.world.meaning import Entity, Event, Generator
from lib.world.questions import ASKED, Story, story, unanswerable
from lib.world.similarity import similarity

# What follows


def plainly(event: Event) -> Event:
    """Use no synonyms."""
    return paraphrased(event, dict(concepts.MEANING_OF))


def facts(sentence: Event) -> Iterator[Event]:
    """Go through what a sentence says: itself, and what a relative clause says of its agent."""
    agent = sentence.agent
    assert agent is not None
    yield replace(sentence, agent=known(agent))
    if clause := agent.relative:
        own = {"agent": clause.agent, "patient": clause.patient}
        yield replace(clause, gap=None, **own | {clause.gap: known(agent)})


def known(entity: Entity) -> Entity:
    """Leave out what is added of one who is known: it picks out no other."""
    return replace(entity, adjectives=(), relative=None)


def narrower(one: Event, other: Event) -> bool:
    """Say whether whatever is of the first kind is of the second."""
    patient = one.patient
    if patient and patient.kind == "noun":
        wider = concepts.HYPERNYMS[patient.semantic_class]
        if other.patient and other.patient.head == wider:
            patient = replace(patient, head=wider, adjectives=(), material=None)
    return (
        (one.verb, one.agent, one.recipient) == (other.verb, other.agent, other.recipient)
        and (one.past, one.modal) == (other.past, other.modal)
        and patient == other.patient
        and other.place in (None, one.place)
        and other.adverb in (None, one.adverb)
    )


def follows(premise: Event, hypothesis: Event) -> set[str]:
    """Return what the facts of a premise make of a hypothesis, each on its own."""
    asked = next(facts(plainly(hypothesis)))
    opposite = replace(asked, verb=concepts.ANTONYMS.get(asked.verb, ""))
    found = set()
    for fact in facts(plainly(premise)):
        if not fact.negated and narrower(fact, asked):
            found.add("contradiction" if asked.negated else "entailment")
        if fact.negated and narrower(asked, fact):
            found.add("entailment" if asked.negated else "contradiction")
        if not fact.negated and (narrower(fact, opposite) or narrower(opposite, fact)):
            found.add("entailment" if asked.negated else "contradiction")
    return found or {"neutral"}


@pytest.mark.parametrize(
    ("told", "asked", "label"),
    [
        ({"place": True}, {}, "entailment"),
        ({}, {"place": True}, "neutral"),
        ({"negated": True}, {"negated": True, "place": True}, "entailment"),
        ({"negated": True, "place": True}, {"negated": True}, "neutral"),
        ({"negated": True, "place": True}, {}, "neutral"),
        ({"place": True}, {"negated": True}, "contradiction"),
        ({}, {"patient": "beast"}, "entailment"),
        ({"negated": True}, {"negated": True, "patient": "beast"}, "neutral"),
        ({"patient": "beast", "negated": True}, {}, "contradiction"),
        ({"verb": "purchase"}, {}, "entailment"),
        ({"verb": "sell"}, {}, "contradiction"),
    ],
)
def test_what_follows_is_what_one_would_say(told: dict, asked: dict, label: str) -> None:
    def event(verb: str = "buy", patient: str = "goat", negated=False, place=False) -> Event:
        where = ("in", Entity("market", determiner="the")) if place else None
        what = Entity(patient, determiner="the")
        return Event(verb, Entity("king", determiner="the"), what, negated=negated, place=where)

    assert follows(event(**told), event(**asked)) == {label}


def test_labels_of_inference_follow_but_for_one_pair_in_a_thousand() -> None:
    # A relative clause of the same verb, or a wider one, at times decides what should stay open.
    generator, wrong = Generator(Random(5)), Counter[str]()
    for _ in range(6000):
        hypothesis, premises = triple(generator)
        for label, premise in premises.items():
            wrong[label] += follows(premise, hypothesis) != {label}
    assert wrong.total() / 18_000 < 0.001
    assert (wrong["entailment"] + wrong["contradiction"]) / 12_000 < 0.0005


def test_sentences_around_the_one_that_decides_decide_nothing() -> None:
    generator = Generator(Random(6))
    for _ in range(300):
        for told, hypothesis, label in told_triple(generator, 3):
            found = Counter(frozenset(follows(event, hypothesis)) for event in told)
            assert len(told) == 4 and label in LABELS
            assert found[frozenset({"neutral"})] >= 3, (told, hypothesis)


# What is alike

BASE = Event("buy", Entity("king"), Entity("boat"), place=("in", Entity("market")), past=True)


@pytest.mark.parametrize(
    ("changes", "of_five"),
    [
        # Of 4 for the predicate, 2 for agent and patient each, 1 for the place, 9 in all.
        ({"verb": "build"}, 5 / 9),
        ({"verb": "sell"}, (0.4 * 4 + 5) / 9),
        ({"agent": Entity("smith")}, 7 / 9),
        ({"patient": Entity("cart")}, 7 / 9),
        ({"patient": Entity("boat", adjectives=("big",))}, (7 + 2 * 0.7) / 9),
        ({"patient": Entity("boat", plural=True)}, (7 + 2 * 0.7) / 9),
        ({"place": None}, 8 / 9),
        ({"place": ("in", Entity("forest"))}, 8 / 9),
        # A recipient is one more role.
        ({"recipient": Entity("singer")}, 9 / 10),
        # Another adverb, modal or tense: 5 % each. Opposite polarity: half.
        ({"adverb": "today"}, 0.95),
        ({"modal": "can", "past": False}, 0.9),
        ({"negated": True}, 0.5),
        ({"negated": True, "agent": Entity("smith"), "adverb": "today"}, 0.5 * 0.95 * 7 / 9),
    ],
)
def test_similarity_is_the_weighted_share_of_what_is_the_same(
    changes: dict, of_five: float
) -> None:
    other = replace(BASE, **changes)
    # In steps of 0.2, the nearest.
    assert (
        similarity(BASE, other)
        == similarity(other, BASE)
        == pytest.approx(5 * of_five, abs=0.10001)
    )


# What answers a question


def answers(tale: Story) -> list[int]:
    """List the events that answer a question: all it names is in them, and what it asks for is."""
    asked = tale.question

    def same(one: Entity | None, other: Entity | None) -> bool:
        return one is None or (other is not None and one.head == other.head)

    place = asked.place[1] if asked.place and tale.asked != "place" else None
    return [
        number
        for number, event in enumerate(tale.events)
        if event.verb == asked.verb
        and (tale.asked == "agent" or same(asked.agent, event.agent))
        and (tale.asked == "patient" or same(asked.patient, event.patient))
        and same(place, event.place and event.place[1])
    ]


def test_one_sentence_of_a_story_answers_its_question_and_of_the_others_none() -> None:
    generator, near = Generator(Random(7)), Counter[str]()
    for _ in range(2000):
        tale = story(generator)
        assert answers(tale) == [tale.target]
        assert answers(unanswerable(generator)) == []
        others = [event for place, event in enumerate(tale.events) if place != tale.target]
        near[tale.asked] += any(
            event.verb == tale.question.verb
            or (event.agent and tale.question.agent and event.agent == tale.question.agent)
            or (event.patient and event.patient.head == getattr(tale.question.patient, "head", ""))
            for event in others
        )
    assert set(near) == set(ASKED)
    # What is told beside it shares the verb or a participant in almost every story.
    assert sum(near.values()) / 2000 > 0.9
