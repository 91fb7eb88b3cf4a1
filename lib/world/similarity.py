"""Graded similarity of two meanings, and families of sentences that differ step by step."""

from collections.abc import Iterator
from dataclasses import replace

from lib.world import concepts
from lib.world.grammar import paraphrased
from lib.world.meaning import Entity, Event, Generator

_WEIGHTS = {"predicate": 4.0, "agent": 2.0, "patient": 2.0, "recipient": 1.0, "place": 1.0}


def similarity(one: Event, other: Event) -> float:
    """Grade how much two meanings share, from 0 (nothing) to 5 (paraphrases), in steps of 0.2.

    The weighted share of roles filled alike (the predicate weighs 4, agent and patient 2, recipient
    and place 1; opposites are 0.4 alike); another adverb, modal or tense takes 5 % off each, and
    opposite polarity half. Synonyms are the same wherever they stand. The scale is that of STS-B
    (Cer et al. 2017).
    """
    one, other = (paraphrased(event, dict(concepts.MEANING_OF)) for event in (one, other))
    first, second = _roles(one), _roles(other)
    scored = [
        (weight, _alike(first[role], second[role]))
        for role, weight in _WEIGHTS.items()
        if first[role] is not None or second[role] is not None
    ]
    shared = sum(weight * alike for weight, alike in scored) / sum(weight for weight, _ in scored)
    pairs = ((one.adverb, other.adverb), (one.modal, other.modal), (one.past, other.past))
    detail = sum(a == b for a, b in pairs)
    shared *= 0.85 + 0.05 * detail
    if one.negated != other.negated:
        shared *= 0.5
    return round(round(5 * shared / 0.2) * 0.2, 1)


def _roles(event: Event) -> dict[str, "str | Entity | None"]:
    return {
        "predicate": event.quality or event.verb,
        "agent": event.agent,
        "patient": event.patient,
        "recipient": event.recipient,
        "place": event.place and event.place[1],
    }


def _alike(one: "str | Entity | None", other: "str | Entity | None") -> float:
    if isinstance(one, Entity) and isinstance(other, Entity):
        return _same_entity(one, other)
    if one == other:
        return 1.0
    return 0.4 if isinstance(one, str) and concepts.ANTONYMS.get(one) == other else 0.0


def _same_entity(one: Entity, other: Entity) -> float:
    if one.head != other.head:
        return 0.0
    mine, yours = _modifiers(one), _modifiers(other)
    union = mine | yours
    return 0.7 + 0.3 * (len(mine & yours) / len(union) if union else 1.0)


def _modifiers(entity: Entity) -> set[tuple[str, object]]:
    found: set[tuple[str, object]] = {("adjective", word) for word in entity.adjectives}
    for name in ("name", "number", "plural", "material", "possessor", "location", "conjunct"):
        if value := getattr(entity, name):
            found.add((name, value))
    if entity.relative:
        found.add(("relative", entity.relative.verb))
    return found


def synonyms(event: Event) -> dict[str, str]:
    """Find the words of a meaning that can be exchanged for a synonym, both ways."""
    exchange = {**concepts.SYNONYMS, **concepts.MEANING_OF}
    return {word: exchange[word] for word in words(event) if word in exchange}


def words(event: Event) -> Iterator[str]:
    """Go through the content words of a meaning."""
    yield event.quality or event.verb
    if event.adverb:
        yield event.adverb
    for entity in (event.agent, event.patient, event.recipient, event.place and event.place[1]):
        if entity:
            yield entity.head
            yield from entity.adjectives
            if entity.relative:
                yield from words(entity.relative)


def has_adjunct(event: Event) -> bool:
    """Say whether an adjunct could be fronted."""
    return bool(event.place or event.adverb or event.recipient)


def reword(event: Event, generator: Generator) -> Event:
    """Say the same in other words: synonyms, or the adjunct moved to the other end."""
    exchange = synonyms(event)
    if exchange and (generator.chance(0.6) or not has_adjunct(event)):
        event = paraphrased(event, exchange)
        if generator.chance(0.6):
            return event
    return replace(event, fronted=not event.fronted) if has_adjunct(event) else event


def exchange_roles(event: Event) -> Event | None:
    """Swap who does it and to whom it is done, where the verb allows it."""
    agent, patient = event.agent, event.patient
    if not agent or event.verb == "be":
        return None
    verb = concepts.VERBS[concepts.meaning_of(event.verb)]
    classes = verb.patient or ()
    if event.recipient:
        if agent.semantic_class == event.recipient.semantic_class == "person":
            return replace(event, agent=event.recipient, recipient=agent)
    elif patient and patient.semantic_class in verb.agent and agent.semantic_class in classes:
        return replace(event, agent=patient, patient=agent)
    return None


def edit(event: Event, generator: Generator) -> Event:
    """Change one thing that matters, drawn at random.

    Small words and their places weigh more than many shared words: polarity, who does it to whom,
    what is done. So counting shared words does not give the grade.
    """
    change = generator.random.choice(
        ("polarity", "polarity", "roles", "roles", "predicate", "predicate", "predicate",
         "agent", "patient", "place", "quality")
    )  # fmt: skip
    agent, patient = event.agent, event.patient
    assert agent is not None
    if change == "polarity":
        return replace(event, negated=not event.negated)
    if event.quality:
        quality = generator.adjectives(agent.semantic_class, (event.quality,))
        return replace(event, quality=quality[0] if quality else event.quality)
    verb = concepts.VERBS[concepts.meaning_of(event.verb)]
    if change == "roles" and (swapped := exchange_roles(event)):
        return swapped
    if change == "agent":
        return replace(event, agent=generator.participant(verb.agent))
    if change == "patient" and verb.patient:
        return replace(event, patient=generator.participant(verb.patient))
    if change == "place":
        return replace(event, place=None if event.place else generator.place())
    if change == "quality" and patient and patient.kind == "noun":
        adjectives = () if patient.adjectives else generator.adjectives(patient.semantic_class)
        return replace(event, patient=replace(patient, adjectives=adjectives))
    opposite = concepts.ANTONYMS.get(concepts.meaning_of(event.verb))
    others = same_frame(event)
    if opposite and generator.chance(0.4):
        return replace(event, verb=opposite)
    return replace(event, verb=generator.choose(others)) if others else event


def same_frame(event: Event) -> list[str]:
    """List the other verbs that could stand in an event, for what its participants are."""
    agent, patient = event.agent, event.patient
    verb = concepts.VERBS[concepts.meaning_of(event.verb)]
    return [
        name
        for name, frame in concepts.VERBS.items()
        if frame is not verb
        and frame.recipient == verb.recipient
        and agent is not None
        and agent.semantic_class in (*frame.agent, "pronoun")
        and (patient is None) == (frame.patient is None)
        and (patient is None or patient.semantic_class in (frame.patient or ()))
    ]


def family(generator: Generator) -> tuple[Event, ...]:
    """Draw four related meanings: two that are nearly alike, then ever more distant ones."""
    base = generator.event(plain=generator.chance(0.5))
    near = reword(base, generator) if generator.chance(0.6) else edit(base, generator)
    third = edit(reword(base, generator) if generator.chance(0.6) else base, generator)
    fourth = reword(third, generator)
    for _ in range(generator.random.randint(1, 3)):
        fourth = edit(fourth, generator)
    return base, near, third, fourth
