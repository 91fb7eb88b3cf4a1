"""Multiple choice: which sentence goes on, who will do it, what can be done to what.

No choice is right more often than another, and no word of the context singles one out: each needs
the story and what usually follows (`concepts.CONTINUATIONS`), or what words go together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

from lib.world import concepts
from lib.world.grammar import Grammar, realise
from lib.world.language import Language
from lib.world.meaning import Entity, Event, Generator
from lib.world.tree import Sentence


@dataclass(frozen=True)
class Choice:
    """What is told, what is asked, what there is to choose from, and which of it is right."""

    context: tuple[Event, ...]
    question: Event | None
    options: tuple[Event, ...] | tuple[Entity, ...]
    answer: int

    def sentences(self) -> Iterator[Event]:
        """Go through every whole sentence."""
        yield from self.context
        if self.question:
            yield self.question
        yield from (option for option in self.options if isinstance(option, Event))

    def say(self, language: Language) -> tuple[str, str, list[str]]:
        """Give the context, the question and the options in a language."""
        told = " ".join(realise(event, language).text for event in self.context)
        asked = realise(self.question, language).text if self.question else ""
        return told, asked, [_say(option, language) for option in self.options]


def _say(option: Event | Entity, language: Language) -> str:
    if isinstance(option, Event):
        return realise(option, language).text
    return Sentence.from_tree(Grammar(language).phrase(option, "root")).text


def _persons(generator: Generator, count: int) -> list[Entity]:
    """Draw persons, no two of whom a part of the name is shared by."""
    found: list[Entity] = []
    while len(found) < count:
        person = generator.participant(("person",), plain=True)
        if person.kind == "noun" and not person.number:
            person = replace(person, determiner="the")
        parts = {person.head, person.name} - {None}
        if all(parts.isdisjoint((other.head, other.name)) for other in found):
            found.append(person)
    return found


def _thing(generator: Generator, semantic_class: str) -> Entity:
    thing = generator.noun(semantic_class, plain=True)
    return thing if thing.number else replace(thing, determiner="the")


def _verbs(generator: Generator) -> tuple[str, list[str], list[str]]:
    """Draw a class, two things that are done to it, and what is done after each."""
    semantic_class = generator.random.choice(list(concepts.CONTINUATIONS))
    chains = concepts.CONTINUATIONS[semantic_class]
    first = generator.random.sample(list(chains), 2)
    return semantic_class, first, [chains[verb] for verb in first]


def endings(generator: Generator) -> list[Choice]:
    """Draw four contexts that share four endings, each the right one once (after HellaSwag).

    Two persons are told of; who did something to a thing goes on with it as one usually does. The
    endings name either person and either deed: all in the same words as the context.
    """
    semantic_class, first, then = _verbs(generator)
    thing = _thing(generator, semantic_class)
    persons = _persons(generator, 2)
    where = generator.place()
    options = [
        Event(verb, person, thing, place=where, past=True) for verb in then for person in persons
    ]
    items = []
    for right, (verb, person) in enumerate(product(first, persons)):
        other = persons[0] if person is persons[1] else persons[1]
        told = [_deed(verb, person, thing, generator), _aside(other, generator)]
        generator.random.shuffle(told)
        order = generator.random.sample(range(4), 4)
        shown = tuple(options[place] for place in order)
        items.append(Choice(tuple(told), None, shown, order.index(right)))
    return items


def _deed(verb: str, person: Entity, thing: Entity, generator: Generator) -> Event:
    place = generator.place() if generator.chance(0.7) else None
    return Event(verb, person, thing, place=place, past=True)


def _aside(person: Entity, generator: Generator) -> Event:
    """Let a person do something that nothing follows from."""
    verbs = [verb for verb, frame in concepts.VERBS.items() if frame.patient is None]
    return Event(generator.choose(verbs), person, place=generator.place(), past=True)


def culprits(generator: Generator) -> list[Choice]:
    """Draw a story of four persons and the question which of them will do something next.

    Two things undergo each of two deeds: neither the deed nor the thing alone tells who (after
    CosmosQA, whose answers are not said in the text).
    """
    semantic_class, first, then = _verbs(generator)
    things: list[Entity] = []
    while len(things) < 2:
        thing = _thing(generator, semantic_class)
        if all(thing.head != other.head for other in things):
            things.append(thing)
    persons = _persons(generator, 4)
    roles = list(product((0, 1), things))
    told = [
        _deed(first[deed], person, thing, generator)
        for person, (deed, thing) in zip(persons, roles, strict=True)
    ]
    right = generator.random.randrange(4)
    deed, thing = roles[right]
    question = replace(
        _deed(then[deed], Entity("who", "question"), thing, generator),
        modal="will", past=False, question=True,
    )  # fmt: skip
    generator.random.shuffle(told)
    order = generator.random.sample(range(4), 4)
    options = tuple(persons[place] for place in order)
    return [Choice(tuple(told), question, options, order.index(right))]


def common_sense(generator: Generator) -> list[Choice]:
    """Draw a question that a noun of one class answers, with nouns of four other classes.

    What one can eat, what can be sweet, where one can sleep: what the words of each class go with
    is all there is to know (after CommonsenseQA).
    """
    classes = generator.random.sample(list(concepts.NOUNS), 5)
    right = generator.random.randrange(5)
    question = generator.random.choice(_properties(classes[right], classes))
    options = tuple(Entity(generator.choose(concepts.NOUNS[name])) for name in classes)
    return [Choice((), _asked(question, generator), options, right)]


def _properties(right: str, classes: list[str]) -> list[tuple[str, str]]:
    """List the roles that a noun of the one class can fill, and of no other of the classes."""
    found = [("place", "")] if right == "place" else []
    for verb, frame in concepts.VERBS.items():
        if not frame.recipient:
            found += [("agent", verb)] if _only(right, classes, frame.agent) else []
            found += [("patient", verb)] if _only(right, classes, frame.patient or ()) else []
    found += [
        ("quality", adjective)
        for adjective, fitting in concepts.ADJECTIVES.items()
        if _only(right, classes, fitting)
    ]
    return found


def _only(right: str, classes: list[str], fitting: tuple[str, ...]) -> bool:
    return [name for name in classes if name in fitting] == [right]


def _asked(wanted: tuple[str, str], generator: Generator) -> Event:
    role, word = wanted
    what = Entity("what", "question")
    if role == "place":
        verb = generator.choose([verb for verb, f in concepts.VERBS.items() if f.patient is None])
        question = Event(verb, None, place=("in", Entity("where", "question")))
    else:
        question = Event(word or "be", None, place=generator.place())
    frame = concepts.VERBS.get(question.verb)
    if role == "quality":
        question = replace(question, verb="be", quality=word, agent=what)
    elif frame:
        agent = what if role == "agent" else generator.participant(frame.agent, plain=True)
        patient = generator.participant(frame.patient, plain=True) if frame.patient else None
        question = replace(question, agent=agent, patient=what if role == "patient" else patient)
    adverb = generator.choose(concepts.TIMES) if generator.chance(0.5) else None
    return replace(question, adverb=adverb, modal="can", question=True)
