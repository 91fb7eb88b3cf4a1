"""Short stories of several events, with a question about one that the others do not answer."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lib.world import concepts
from lib.world.grammar import realise
from lib.world.language import Language
from lib.world.meaning import Entity, Event, Generator
from lib.world.similarity import same_frame

ASKED = ("agent", "patient", "place", "count")


@dataclass(frozen=True)
class Story:
    """Events in order, which of them is asked about, and the question with its missing role.

    Without a target, none of the events answers the question.
    """

    events: tuple[Event, ...]
    target: int | None
    asked: str
    question: Event


def story(generator: Generator) -> Story:
    """Draw two or three events with repeated verbs, agents and patients, and a question.

    No other event fits the question, but others share its verb or its participants.
    """
    asked = generator.random.choice(ASKED)
    target = _answerable(generator, asked)
    question = ask(target, asked)
    events = [target]
    contest = _contest(asked)
    for index in range(generator.random.randint(1, 2)):
        # The first competes for the question, one way or the other; another fills the scene.
        draw = generator.random.choice((_same_verb, contest)) if index == 0 else _anything
        while True:
            other = draw(target, asked, generator)
            if not _fits(other, question) and other not in events:
                break
        events.append(other)
    generator.random.shuffle(events)
    return Story(tuple(events), events.index(target), asked, question)


def unanswerable(generator: Generator) -> Story:
    """Draw a story and a question, and tell something else in place of what answers it.

    What is told instead competes for the question as the rest does: its verb, or its participants
    (after SQuAD 2.0, Rajpurkar et al. 2018).
    """
    tale = story(generator)
    assert tale.target is not None
    target = tale.events[tale.target]
    draw = generator.random.choice((_same_verb, _contest(tale.asked)))
    while True:
        other = draw(target, tale.asked, generator)
        if not _fits(other, tale.question) and other not in tale.events:
            break
    events = tuple(other if event is target else event for event in tale.events)
    return Story(events, None, tale.asked, tale.question)


def _contest(asked: str) -> Callable[[Event, str, Generator], Event]:
    return _same_agent if asked == "patient" else _same_patient


def _answerable(generator: Generator, asked: str) -> Event:
    """Draw a transitive event that has what is asked for."""
    while True:
        event = replace(generator.event(plain=True), modal=None, negated=False, adverb=None)
        patient = event.patient
        if not patient or event.recipient:
            continue
        if asked in ("patient", "count") and patient.kind != "noun":
            continue
        return _dress(event, asked, generator)


def ask(event: Event, asked: str) -> Event:
    """Ask for one role of an event: one of `ASKED`."""
    question = replace(event, question=True, fronted=False)
    assert event.patient is not None
    if asked == "agent":
        return replace(question, agent=Entity("who", "question"))
    if asked == "patient":
        return replace(question, patient=Entity("what", "question"))
    if asked == "place":
        return replace(question, place=("in", Entity("where", "question")))
    return replace(question, patient=replace(event.patient, number="how_many"))


def _fits(event: Event, question: Event) -> bool:
    """Say whether an event could answer the question: all that the question names agrees."""

    def agrees(asked: Entity | None, given: Entity | None) -> bool:
        if asked is None or asked.kind == "question":
            return True
        return given is not None and asked.head == given.head

    asked_place = question.place[1] if question.place else None
    return (
        event.verb == question.verb
        and agrees(question.agent, event.agent)
        and agrees(question.patient, event.patient)
        and agrees(asked_place, event.place[1] if event.place else None)
    )


def _dress(event: Event, asked: str, generator: Generator) -> Event:
    """Give a distractor what is asked for, so that its type alone is no answer."""
    event = replace(event, modal=None, negated=False, recipient=None, adverb=None, quality=None)
    if asked == "place" and not event.place:
        event = replace(event, place=generator.place())
    if asked == "count" and event.patient and event.patient.kind == "noun":
        number = event.patient.number or generator.choose(concepts.NUMBERS)
        patient = replace(event.patient, number=number, plural=True, determiner="")
        event = replace(event, patient=patient)
    return event


def _same_verb(target: Event, asked: str, generator: Generator) -> Event:
    verb = concepts.VERBS[target.verb]
    assert verb.patient is not None
    agent = target.agent
    if asked == "agent" or generator.chance(0.5):
        agent = generator.participant(verb.agent, plain=True)
    patient = generator.participant(verb.patient, plain=True)
    return _dress(replace(target, agent=agent, patient=patient, place=None), asked, generator)


def _other_verb(target: Event, generator: Generator) -> str:
    others = same_frame(target)
    return generator.choose(others) if others else "leave" if target.verb == "see" else "see"


def _same_patient(target: Event, asked: str, generator: Generator) -> Event:
    verb = _other_verb(target, generator)
    agent = generator.participant(concepts.VERBS[verb].agent, plain=True)
    patient = target.patient
    if asked == "count" and patient:
        patient = replace(patient, number=generator.choose(concepts.NUMBERS))
    return _dress(
        replace(target, verb=verb, agent=agent, patient=patient, place=None), asked, generator
    )


def _same_agent(target: Event, asked: str, generator: Generator) -> Event:
    verb = _other_verb(target, generator)
    patient = generator.participant(concepts.VERBS[verb].patient or (), plain=True)
    return _dress(replace(target, verb=verb, patient=patient, place=None), asked, generator)


def _anything(target: Event, asked: str, generator: Generator) -> Event:
    while True:
        event = generator.event(plain=True)
        if event.verb != "be":
            return _dress(event, asked, generator)


def tell(tale: Story, language: Language) -> tuple[str, str, str, int]:
    """Say a story in a language: context, question, answer and its first character.

    Where nothing answers the question, the answer is empty and its place -1.
    """
    sentences = [realise(event, language) for event in tale.events]
    context = " ".join(sentence.text for sentence in sentences)
    question = realise(tale.question, language).text
    if tale.target is None:
        return context, question, "", -1
    target = sentences[tale.target]
    span = target.span(tale.asked)
    assert span is not None
    before = sum(len(sentence.text) + 1 for sentence in sentences[: tale.target])
    start = before + sum(len(token) + 1 for token in target.tokens[: span[0]])
    answer = " ".join(target.tokens[span[0] : span[1]])
    return context, question, answer, start
