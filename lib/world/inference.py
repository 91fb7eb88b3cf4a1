"""Entailment triples and paraphrase pairs whose labels cannot be read off one sentence.

Both together say something: words counted on either side tell two of three labels. In a language
that negates by an affix it is four of five, for there a verb and its negation are two words.
"""

from dataclasses import replace

from lib.world import concepts
from lib.world.grammar import paraphrased
from lib.world.meaning import Entity, Event, Generator
from lib.world.questions import ask
from lib.world.similarity import exchange_roles, reword, same_frame, synonyms, words

LABELS = ("entailment", "neutral", "contradiction")


def triple(generator: Generator) -> tuple[Event, dict[str, Event]]:
    """Draw one hypothesis with three premises, one per label.

    As each hypothesis stands with every label, it says nothing about the label. The four kinds of
    premise (asserted or denied, with a place or without) and their additions are as frequent with
    each label, so that neither the premise nor its length does.
    """
    if generator.chance(0.1):
        return _embedded(generator)
    hypothesis = _hypothesis(generator)
    specific = _specify(hypothesis, generator)
    premises = {
        "entailment": _strengthen(specific, generator),
        "neutral": _unsettle(specific, generator),
        "contradiction": _contradict(hypothesis, generator),
    }
    # Another kind of the hypernym would still entail it.
    if hypothesis != specific and premises["neutral"].patient != specific.patient:
        premises["neutral"] = _other_agent(premises["neutral"], generator)
    return hypothesis, {
        label: _reworded(_enrich(premise, hypothesis, generator), generator)
        for label, premise in premises.items()
    }


def _reworded(premise: Event, generator: Generator) -> Event:
    """Use synonyms in some premises of every label, so that a new word need not mean neutral."""
    return paraphrased(premise, synonyms(premise)) if generator.chance(0.1) else premise


def _definite(entity: Entity | None) -> Entity | None:
    if entity is None or entity.kind != "noun":
        return entity
    return replace(entity, determiner="" if entity.number else "the", conjunct=None)


def _hypothesis(generator: Generator) -> Event:
    while True:
        event = generator.event(plain=True)
        if event.verb != "be" and event.agent:
            break
    patient = _definite(event.patient)
    negated = generator.chance(0.5)
    # A hypernym follows from its hyponym, unless it is denied.
    if (
        patient
        and patient.kind == "noun"
        and not (patient.number or negated)
        and generator.chance(0.15)
    ):
        hypernym = concepts.HYPERNYMS[patient.semantic_class]
        patient = replace(patient, head=hypernym, adjectives=(), material=None)
    event = replace(
        event,
        agent=_definite(event.agent),
        patient=patient,
        place=None,
        negated=negated,
        fronted=False,
    )
    return _placed(event, generator, generator.chance(0.5))


def _specify(event: Event, generator: Generator) -> Event:
    """Name the kind where the hypothesis has a hypernym."""
    patient = event.patient
    if patient and patient.head in concepts.HYPERNYMS.values():
        head = generator.choose(concepts.NOUNS[patient.semantic_class])
        return replace(event, patient=replace(patient, head=head))
    return event


def _placed(event: Event, generator: Generator, wanted: bool) -> Event:
    """Let an event have a place or none."""
    if bool(event.place) == wanted:
        return event
    if not wanted:
        return replace(event, place=None)
    adposition, entity = generator.place()
    place = _definite(entity)
    return replace(event, place=(adposition, place) if place else None)


def _strengthen(event: Event, generator: Generator) -> Event:
    """At times say more: where it happens, or, of what does not happen, that it does nowhere.

    What the event entails or contradicts, it then still does (natural logic: van Benthem 1986).
    """
    if bool(event.place) == event.negated and generator.chance(0.2):
        return _placed(event, generator, not event.negated)
    return event


def _contradict(event: Event, generator: Generator) -> Event:
    opposite = concepts.ANTONYMS.get(event.verb)
    if opposite and not event.negated and generator.chance(0.15):
        return replace(event, verb=opposite)
    return _strengthen(replace(event, negated=not event.negated), generator)


def _other_agent(event: Event, generator: Generator) -> Event:
    assert event.agent is not None
    verb = concepts.VERBS[event.verb]
    while True:
        agent = _definite(generator.participant(verb.agent, plain=True))
        if agent and agent.head != event.agent.head:
            return replace(event, agent=agent)


def _unsettle(event: Event, generator: Generator) -> Event:
    """Say too little to decide: at a place or not where it matters, or of others."""
    if generator.chance(0.4):
        denied = not event.place
        return _placed(replace(event, negated=denied), generator, denied)
    asserted = generator.chance(0.5)
    event = _placed(replace(event, negated=not asserted), generator, asserted)
    swapped = exchange_roles(event)
    if swapped and generator.chance(0.15):
        return swapped
    verb = concepts.VERBS[event.verb]
    if event.patient and verb.patient and generator.chance(0.8):
        given = event.patient.head
        while event.patient is None or event.patient.head == given:
            patient = _definite(generator.participant(verb.patient, plain=True))
            event = replace(event, patient=patient)
        if generator.chance(0.3):
            return event
    return _other_agent(event, generator)


def _enrich(premise: Event, mentioned: Event, generator: Generator) -> Event:
    """Say more about the agent: that holds whether the sentence is negated or not.

    Of an organisation nothing but when it does something, for what it does not do often, it may
    still do. `mentioned` may lend its patient, so that a missing word need not mean a neutral pair.
    """
    agent = premise.agent
    assert agent is not None
    if agent.kind == "organisation" or (agent.kind == "noun" and generator.chance(0.35)):
        if agent.kind == "noun" and not agent.adjectives:
            adjectives = generator.adjectives(agent.semantic_class)
            return replace(premise, agent=replace(agent, adjectives=adjectives))
        adverb = premise.adverb or generator.choose(concepts.TIMES)
        return premise if premise.negated else replace(premise, adverb=adverb)
    relative = generator.relative(agent.semantic_class)
    if mentioned.patient and mentioned.patient.head != (premise.patient and premise.patient.head):
        wanted = mentioned.patient.semantic_class
        fitting = [
            name
            for name, verb in concepts.VERBS.items()
            if verb.patient and wanted in verb.patient and not verb.recipient
            and agent.semantic_class in verb.agent and name != premise.verb
        ]  # fmt: skip
        if fitting and generator.chance(0.2):
            verb = generator.choose(fitting)
            relative = Event(verb, None, mentioned.patient, past=relative.past, gap="agent")
    return replace(premise, agent=replace(agent, relative=relative))


def _embedded(generator: Generator) -> tuple[Event, dict[str, Event]]:
    """Draw a triple whose hypothesis is the premise's relative clause, made a sentence."""
    while True:
        main = _hypothesis(generator)
        agent = main.agent
        if agent and main.patient and agent.semantic_class == "person":
            break
    clause = generator.relative("person")
    clause = replace(clause, patient=_definite(clause.patient), negated=generator.chance(0.5))
    hypothesis = replace(clause, agent=agent, gap=None)

    def premise(relative: Event, event: Event = main) -> Event:
        assert event.agent is not None
        return replace(event, agent=replace(event.agent, relative=relative))

    return hypothesis, {
        "entailment": _reworded(premise(clause), generator),
        "neutral": _reworded(premise(*_moved(clause, main, generator)), generator),
        "contradiction": _reworded(premise(_contradict(clause, generator)), generator),
    }


def _moved(clause: Event, main: Event, generator: Generator) -> tuple[Event, Event]:
    """Give the clause another patient, the main clause's where the verbs allow to trade them."""
    ours, theirs = concepts.VERBS[clause.verb], concepts.VERBS[main.verb]
    assert clause.patient and main.patient and ours.patient and theirs.patient
    mine, yours = clause.patient, main.patient
    if (
        yours.semantic_class in ours.patient
        and mine.semantic_class in theirs.patient
        and mine != yours
        and clause.verb != main.verb
    ):
        return replace(clause, patient=yours), replace(main, patient=mine)
    while True:
        other = _definite(generator.participant(ours.patient, plain=True))
        if other and other.head != mine.head:
            return replace(clause, patient=other), main


def paraphrase_pair(generator: Generator, same: bool) -> tuple[Event, Event]:
    """Draw two sentences of almost the same words that mean the same or do not.

    After PAWS (Zhang et al. 2019): those that do not differ in who does it to whom, in polarity or
    in one opposite; both kinds are reworded alike.
    """
    while True:
        base = generator.event(plain=True)
        swapped = exchange_roles(base)
        reworded = reword(base, generator)
        if swapped is None or swapped == base or reworded == base:
            continue
        if same:
            return base, reworded
        choice = generator.random.random()
        opposite = concepts.ANTONYMS.get(base.verb)
        if choice < 0.2:
            other = replace(base, negated=not base.negated)
        elif choice < 0.35 and opposite:
            other = replace(base, verb=opposite)
        else:
            other = swapped
        return base, reword(other, generator)


def unrelated(one: Event, other: Event) -> bool:
    """Say whether the second says nothing of what the first does: not done, nor its opposite."""
    predicate = concepts.meaning_of(one.quality or one.verb)
    said = {concepts.meaning_of(word) for word in words(other)}
    return said.isdisjoint({predicate, concepts.ANTONYMS.get(predicate, predicate)})


def related_pairs(generator: Generator) -> list[tuple[Event, Event, str]]:
    """Draw eight pairs of every relatedness: two triples, and a pair across them each way.

    Half are neutral, near and far, as in SICK (Marelli et al. 2014).
    """
    while True:
        (one, premises), (other, others) = triple(generator), triple(generator)
        far = [premises[generator.random.choice(LABELS)], others[generator.random.choice(LABELS)]]
        distinct = len({*premises.values(), *others.values()}) == 6
        if distinct and unrelated(other, far[0]) and unrelated(one, far[1]):
            break
    return [
        *((premises[label], one, label) for label in LABELS),
        *((others[label], other, label) for label in LABELS),
        (far[0], other, "neutral"),
        (far[1], one, "neutral"),
    ]


def told_triple(generator: Generator, others: int) -> list[tuple[tuple[Event, ...], Event, str]]:
    """Draw a triple whose premises stand among so many other sentences, at random places.

    These say nothing of what the hypothesis does, though often something of who does it.
    """
    while True:
        hypothesis, premises = triple(generator)
        if len(set(premises.values())) == 3:
            break
    items = []
    for label in LABELS:
        told = [premises[label]]
        while len(told) <= others:
            event = generator.event(plain=True)
            fitting = event.verb != "be" and concepts.VERBS[event.verb].agent
            agent = hypothesis.agent
            if fitting and agent and agent.semantic_class in fitting and generator.chance(0.5):
                event = replace(event, agent=agent)
            if unrelated(hypothesis, event) and event not in told:
                told.insert(generator.random.randint(0, len(told)), event)
        items.append((tuple(told), hypothesis, label))
    return items


def question_pairs(generator: Generator) -> list[tuple[Event, Event, bool]]:
    """Draw two questions that ask different things, each with both of them in other words.

    After QQP. They differ in who does it to whom, in polarity, in the verb or in a participant. As
    each sentence stands with both labels on its side of the pair, none tells the label.
    """
    while True:
        event = replace(generator.event(plain=True), negated=generator.chance(0.5))
        asked = generator.random.choice(("agent", "patient", "place"))
        if event.verb == "be" or event.patient is None or event.recipient:
            continue
        one, other = ask(event, asked), ask(_another(event, asked, generator), asked)
        mine, yours = reword(one, generator), reword(other, generator)
        if len({one, other, mine, yours}) == 4:
            return [(one, mine, True), (other, yours, True), (one, yours, False),
                    (other, mine, False)]  # fmt: skip


def _another(event: Event, asked: str, generator: Generator) -> Event:
    """Change something that is not asked for."""
    verb = concepts.VERBS[event.verb]
    change = generator.random.choice(("roles", "polarity", "verb", "participant"))
    if change == "roles" and (swapped := exchange_roles(event)):
        return swapped
    if change == "polarity":
        return replace(event, negated=not event.negated)
    if change == "participant" and asked == "agent" and verb.patient:
        return replace(event, patient=generator.participant(verb.patient, plain=True))
    if change == "participant":
        return replace(event, agent=generator.participant(verb.agent, plain=True))
    opposite, frames = concepts.ANTONYMS.get(event.verb), same_frame(event)
    if opposite and generator.chance(0.5):
        return replace(event, verb=opposite)
    return replace(event, verb=generator.choose(frames)) if frames else event
