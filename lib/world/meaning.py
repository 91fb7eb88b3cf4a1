"""What is said: entities and events without any word order, and their random generator."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import TypeVar

from lib.world import concepts

T = TypeVar("T")


@dataclass(frozen=True)
class Entity:
    """A participant: a noun with its modifiers, a name, a pronoun or a question word.

    `kind` is noun, person, organisation, location, pronoun or question. An organisation's `name`
    stands beside its noun (`head`); a person's `name` is the surname, if any.
    """

    head: str
    kind: str = "noun"
    name: str | None = None
    determiner: str = ""
    plural: bool = False
    number: str | None = None
    adjectives: tuple[str, ...] = ()
    material: str | None = None
    possessor: "Entity | None" = None
    location: "tuple[str, Entity] | None" = None
    relative: "Event | None" = None
    conjunct: "Entity | None" = None

    @property
    def semantic_class(self) -> str:
        """The class that verbs and adjectives select."""
        if self.kind == "noun":
            return concepts.CLASS_OF[concepts.meaning_of(self.head)]
        return "place" if self.kind == "location" else self.kind


@dataclass(frozen=True)
class Event:
    """A predication; `verb` is "be" with a `quality` for "the bread is hot".

    In a relative clause `gap` names the role that the modified noun fills; it is None here.
    `fronted` puts the adjunct first and changes no meaning.
    """

    verb: str
    agent: Entity | None
    patient: Entity | None = None
    recipient: Entity | None = None
    place: tuple[str, Entity] | None = None
    adverb: str | None = None
    quality: str | None = None
    modal: str | None = None
    past: bool = False
    negated: bool = False
    fronted: bool = False
    gap: str | None = None
    question: bool = False


class Generator:
    """Draw meanings at random; frequent concepts are frequent in every language."""

    def __init__(self, random: Random):
        self.random = random

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return self.random.random() < probability

    def choose(self, options: Sequence[T]) -> T:
        """Draw one of the options, those named first more often (nearly by Zipf's law)."""
        weights = [1 / (rank + 2) for rank in range(len(options))]
        return self.random.choices(options, weights)[0]

    def person(self) -> Entity:
        """Draw a named person, with a surname or without."""
        surname = self.choose(concepts.SURNAMES) if self.chance(0.35) else None
        return Entity(self.choose(concepts.GIVEN_NAMES), "person", name=surname)

    def organisation(self) -> Entity:
        """Draw a named organisation: its noun and the family or town it is called after."""
        noun = self.choose(concepts.ORGANISATIONS)
        return Entity(noun, "organisation", name=self.choose(concepts.FIRM_NAMES))

    def location(self) -> Entity:
        """Draw a named place."""
        return Entity(self.choose(concepts.LOCATIONS), "location")

    def noun(self, semantic_class: str, plain: bool = False) -> Entity:
        """Draw a noun phrase of a class; `plain` keeps clauses and phrases out of it."""
        head = self.choose(concepts.NOUNS[semantic_class])
        plural = self.chance(0.25)
        number = self.choose(concepts.NUMBERS) if plural and self.chance(0.45) else None
        # Trades stand bare like names ("smith sleeps"), so that a bare word may be either.
        bare = semantic_class == "person" and not plural and self.chance(0.4)
        determiner = self.random.choices(
            ("the", "", "this", "that") if plural else ("the", "a", "this", "that", "every"),
            (50, 40, 6, 6) if plural else (50, 33, 6, 6, 4),
        )[0]
        described = self.chance(0.15 if plain else 0.3)
        entity = Entity(
            head,
            determiner="" if bare or number else determiner,
            plural=plural,
            number=number,
            adjectives=self.adjectives(semantic_class) if described and not bare else (),
        )
        if semantic_class in ("artefact", "place") and self.chance(0.12 if plain else 0.3):
            entity = replace(entity, material=self.choose(concepts.MATERIALS))
        if plain or bare:
            return entity
        if semantic_class in ("artefact", "animal", "text", "place") and self.chance(0.14):
            owner = self.person() if self.chance(0.5) else self.noun("person", plain=True)
            return replace(entity, possessor=owner)
        if self.chance(0.08):
            return replace(entity, relative=self.relative(semantic_class))
        if semantic_class != "place" and self.chance(0.06):
            return replace(entity, location=self.place())
        return entity

    def adjectives(self, semantic_class: str, besides: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Draw one adjective that fits the class and does not clash with those given."""
        taken = {*besides, *(concepts.ANTONYMS.get(word, "") for word in besides)}
        fitting = [
            adjective
            for adjective, classes in concepts.ADJECTIVES.items()
            if semantic_class in classes and adjective not in taken
        ]
        return (self.choose(fitting),) if fitting else ()

    def participant(self, classes: tuple[str, ...], plain: bool = False) -> Entity:
        """Draw an entity of one of the classes: named, a pronoun, coordinated or a noun phrase."""
        semantic_class = self.choose(classes)
        if semantic_class == "organisation":
            return self.organisation()
        if semantic_class == "person" and self.chance(0.42):
            entity = self.person()
        elif semantic_class == "place" and self.chance(0.4):
            return self.location()
        else:
            entity = self.noun(semantic_class, plain)
        if not plain and not entity.relative and self.chance(0.05):
            entity = replace(entity, conjunct=self.noun(semantic_class, plain=True))
        return entity

    def place(self) -> tuple[str, Entity]:
        """Draw where something happens."""
        entity = self.location() if self.chance(0.55) else self.noun("place", plain=True)
        return self.choose(concepts.PLACE_ADPOSITIONS), entity

    def relative(self, semantic_class: str) -> Event:
        """Draw a relative clause whose agent or patient is a noun of the class."""
        gap = "agent" if semantic_class in ("person", "animal") else "patient"
        verbs = [
            name
            for name, verb in concepts.VERBS.items()
            if verb.patient and not verb.recipient
            and semantic_class in (verb.agent if gap == "agent" else verb.patient)
        ]  # fmt: skip
        name = self.choose(verbs)
        verb = concepts.VERBS[name]
        assert verb.patient is not None
        other = self.participant(verb.patient if gap == "agent" else verb.agent, plain=True)
        agent, patient = (None, other) if gap == "agent" else (other, None)
        return Event(name, agent, patient, past=self.chance(0.5), gap=gap)

    def event(self, plain: bool = False) -> Event:
        """Draw a whole sentence's meaning; `plain` keeps its noun phrases short."""
        if self.chance(0.12):
            return self.description()
        name = self.choose(tuple(concepts.VERBS))
        verb = concepts.VERBS[name]
        if not plain and self.chance(0.08):
            agent = Entity(self.random.choice(("he", "they")), "pronoun")
        else:
            agent = self.participant(verb.agent, plain)
        modal = self.choose(concepts.MODALS) if self.chance(0.15) else None
        place = self.place() if self.chance(0.35 if verb.patient else 0.7) else None
        adverb = None
        if self.chance(0.2 if verb.patient else 0.4):
            adverb = self.choose(concepts.MANNERS if self.chance(0.5) else concepts.TIMES)
        return Event(
            name,
            agent,
            self.participant(verb.patient, plain) if verb.patient else None,
            self.participant(("person",), plain=True) if verb.recipient else None,
            place=place,
            adverb=adverb,
            modal=modal,
            past=modal is None and self.chance(0.5),
            negated=self.chance(0.2),
            fronted=self.chance(0.2),
        )

    def description(self) -> Event:
        """Draw a sentence that says what something is like."""
        semantic_class = self.choose(tuple(concepts.NOUNS))
        subject = self.noun(semantic_class)
        if not subject.determiner and not subject.number:
            subject = replace(subject, determiner="the")
        quality = self.adjectives(semantic_class, besides=subject.adjectives)[0]
        past, negated = self.chance(0.4), self.chance(0.25)
        return Event("be", subject, quality=quality, past=past, negated=negated)
