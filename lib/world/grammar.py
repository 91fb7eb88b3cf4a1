"""One grammar for all languages: meanings become dependency trees as the parameters say."""

from collections.abc import Callable
from dataclasses import replace
from random import Random

from lib.world.language import Language
from lib.world.meaning import Entity, Event
from lib.world.tree import Node, Sentence

_ENTITY_TYPE = {"person": "PER", "organisation": "ORG", "location": "LOC"}
_PARTICLES = ("PST", "PL", "ACC", "ERG")
_SHARED_FEATURES = {"Number=Plur": "-PL", "Tense=Past": "-PST"}


def realise(meaning: Event, language: Language) -> Sentence:
    """Say a meaning in a language: one sentence with its gold tree, tags and entities."""
    return Sentence.from_tree(Grammar(language).sentence(meaning))


def mix(meaning: Event, language: Language, source: Language, random: Random) -> str:
    """Say a meaning as a bilingual may: in the language's grammar, half of its words the source's.

    A borrowed word takes the source's own endings for plural and past, and no others.
    """
    words = []
    for node in realise(meaning, language).nodes:
        word = node.form
        if node.concept and node.concept not in _PARTICLES and random.random() < 0.5:
            features = node.features.split("|")
            endings = [ending for name, ending in _SHARED_FEATURES.items() if name in features]
            word = "".join(source.written[part] for part in (node.concept, *endings))
        words.append(word)
    return " ".join(words)


class Grammar:
    """Build the tree of a sentence under one language's parameters (see `language.PARAMETERS`)."""

    def __init__(self, language: Language):
        self.language = language
        parameters = language.parameters
        self.order = parameters["order_of_subject_object_verb"]
        self.object_first = self.order.index("O") < self.order.index("V")
        self.preposition = parameters["adposition_and_noun"] == "preposition"
        self.genitive_first = parameters["genitive_and_noun"] == "genitive-noun"
        self.adjective_first = parameters["adjective_and_noun"] == "adjective-noun"
        self.demonstrative_first = parameters["demonstrative_and_noun"] == "demonstrative-noun"
        self.numeral_first = parameters["numeral_and_noun"] == "numeral-noun"
        self.relative_first = parameters["relative_clause_and_noun"] == "relative-noun"
        self.question_initial = parameters["question_word"] == "initial"
        self.case = parameters["case_marking"]
        self.inflection = parameters["inflection"]
        self.articles = parameters["articles"]
        self.negation = parameters["negation"]
        self.names = 0

    # Words

    def word(self, concept: str, upos: str, relation: str) -> Node:
        """Make the node of an uninflected word."""
        form = self.language.written[concept]
        return Node(form, form, upos, relation, self.language.words[concept], concept, concept)

    def inflect(self, node: Node, affixes: list[tuple[str, str]]) -> None:
        """Attach affixes (with the features they express) from the stem outwards."""
        for affix, _ in affixes:
            written, sounds, label = (
                self.language.written[affix],
                self.language.words[affix],
                affix[1:],
            )
            if self.inflection == "prefixing":
                node.form = written + node.form
                node.sounds, node.gloss = f"{sounds}-{node.sounds}", f"{label}-{node.gloss}"
            else:
                node.form += written
                node.sounds, node.gloss = f"{node.sounds}-{sounds}", f"{node.gloss}-{label}"
        node.features = "|".join(sorted(feature for _, feature in affixes)) or "_"

    # Noun phrases

    def phrase(self, entity: Entity, relation: str, case: str = "", adposition: str = "") -> Node:
        """Build a noun phrase; `case` is "ACC", "ERG" or none."""
        node = self.head(entity, relation, case)
        if entity.material:
            node.add(self.word(entity.material, "NOUN", "compound"), self.adjective_first)
        for adjective in entity.adjectives:
            node.add(self.word(adjective, "ADJ", "amod"), self.adjective_first)
        if entity.number == "how_many":
            node.add(self.word("how_many", "DET", "det"), self.numeral_first)
        elif entity.number:
            node.add(self.word(entity.number, "NUM", "nummod"), self.numeral_first)
        if entity.determiner in ("this", "that", "every"):
            node.add(self.word(entity.determiner, "DET", "det"), self.demonstrative_first)
        elif entity.determiner and self.articles == "word":
            node.add(self.word(entity.determiner, "DET", "det"), True)
        if entity.possessor:
            owner = self.phrase(entity.possessor, "nmod", adposition="of")
            node.add(owner, self.genitive_first)
        if entity.location:
            inside, place = entity.location
            node.add(self.phrase(place, "nmod", adposition=inside), self.genitive_first)
        if entity.relative:
            node.add(self.relative_clause(entity.relative), self.relative_first)
        if entity.conjunct:
            conjunct = self.phrase(entity.conjunct, "conj", case)
            conjunct.add(self.word("and", "CCONJ", "cc"), True)
            node.add(conjunct, False)
        if case and self.inflection == "isolating":
            node.add(self.word(case, "ADP", "case"), self.preposition)
        if adposition:
            node.add(self.word(adposition, "ADP", "case"), self.preposition)
        return node

    def head(self, entity: Entity, relation: str, case: str) -> Node:
        """Build the head of a noun phrase with its affixes and the other words of its name."""
        upos = {"noun": "NOUN", "pronoun": "PRON", "question": "PRON"}.get(entity.kind, "PROPN")
        node = self.word(entity.head, upos, relation)
        if kind := _ENTITY_TYPE.get(entity.kind):
            self.names += 1
            node.entity = f"{kind}#{self.names}"
        affixes: list[tuple[str, str]] = []
        if entity.plural and self.inflection == "isolating":
            node.add(self.word("PL", "DET", "det"), True)
        elif entity.plural:
            affixes.append(("-PL", "Number=Plur"))
        if entity.determiner == "the" and self.articles == "affix":
            affixes.append(("-DEF", "Definite=Def"))
        if case and self.inflection != "isolating":
            affixes.append((f"-{case}", f"Case={case.capitalize()}"))
        self.inflect(node, affixes)
        if entity.kind == "person" and entity.name:
            surname = self.word(entity.name, "PROPN", "flat")
            surname.entity = node.entity
            node.add(surname, False)
        elif entity.kind == "organisation" and entity.name:
            name = self.word(entity.name, "PROPN", "compound")
            name.entity = node.entity
            node.add(name, self.adjective_first)
        return node

    # Clauses

    def verb_group(self, event: Event) -> tuple[Node, list[Node]]:
        """Build the finite word and the row of words around it: particles, auxiliary, negation."""
        copula = event.verb == "be"
        verb = self.word(event.verb, "AUX" if copula else "VERB", "cop" if copula else "root")
        affixes: list[tuple[str, str]] = []
        if event.past and self.inflection != "isolating":
            affixes.append(("-PST", "Tense=Past"))
        if event.negated and self.negation == "affix":
            affixes.append(("-NEG", "Polarity=Neg"))
        self.inflect(verb, affixes)
        row = [verb]
        auxiliaries_first = not self.object_first

        def put(node: Node, first: bool) -> None:
            row.insert(0 if first else len(row), node)

        if event.negated and self.negation != "affix":
            put(self.word("not", "PART", "advmod"), self.negation == "before-verb")
        if event.past and self.inflection == "isolating":
            put(self.word("PST", "AUX", "aux"), auxiliaries_first)
        if event.modal:
            put(self.word(event.modal, "AUX", "aux"), auxiliaries_first)
        return verb, row

    def clause(self, event: Event, relation: str) -> Node:
        """Build a clause: its subject, object, verb and adjuncts in the language's order."""
        verb, row = self.verb_group(event)
        head = verb
        transitive = event.patient is not None or event.gap == "patient"
        parts: dict[str, list[Node]] = {"S": [], "O": [], "V": row}
        if event.agent:
            case = "ERG" if self.case == "ergative" and transitive else ""
            parts["S"] = [self.argument(event.agent, "nsubj", "agent", case)]
        if event.patient:
            case = "ACC" if self.case == "accusative" else ""
            parts["O"] = [self.argument(event.patient, "obj", "patient", case)]
        if event.quality:
            head = self.word(event.quality, "ADJ", "root")
            parts["O"] = [head]
        adjuncts = self.adjuncts(event)
        sequence: list[Node] = []
        for part in self.order:
            # Adjuncts stand before the verb and its object where the object comes first.
            if part == "V" and self.object_first:
                sequence += adjuncts[:]
                adjuncts = []
            sequence += parts[part]
        sequence += adjuncts
        if event.fronted:
            self.move_first(sequence, lambda node: node.relation in ("obl", "advmod"))
        if event.question and self.question_initial:
            self.move_first(sequence, lambda node: node.role.startswith("asked"))
        head.relation = relation
        head.arrange(sequence)
        return head

    def argument(self, entity: Entity, relation: str, role: str, case: str) -> Node:
        """Build a core argument and note its role, or that it is asked for."""
        node = self.phrase(entity, relation, case)
        asked = entity.kind == "question" or entity.number == "how_many"
        node.role = f"asked {role}" if asked else role
        for child in (*node.left, *node.right):
            if child.relation == "nummod" and role == "patient":
                child.role = "count"
        return node

    def adjuncts(self, event: Event) -> list[Node]:
        """Build recipient, place and adverb, in this order."""
        adjuncts = []
        if event.recipient:
            recipient = self.phrase(event.recipient, "obl", adposition="to")
            recipient.role = "recipient"
            adjuncts.append(recipient)
        if event.place:
            adposition, entity = event.place
            if entity.kind == "question":
                place = self.word("where", "ADV", "advmod")
                place.role = "asked place"
            else:
                place = self.phrase(entity, "obl", adposition=adposition)
                place.role = "place"
            adjuncts.append(place)
        if event.adverb:
            adjuncts.append(self.word(event.adverb, "ADV", "advmod"))
        return adjuncts

    @staticmethod
    def move_first(sequence: list[Node], wanted: Callable[[Node], bool]) -> None:
        """Move the last constituent that fits to the front, if there is one."""
        for index in range(len(sequence) - 1, -1, -1):
            if wanted(sequence[index]) and sequence[index].upos != "PART":
                sequence.insert(0, sequence.pop(index))
                return

    def relative_clause(self, event: Event) -> Node:
        """Build a clause without the noun it modifies, marked on the side away from that noun."""
        clause = self.clause(event, "acl:relcl")
        clause.add(self.word("REL", "SCONJ", "mark"), not self.relative_first)
        return clause

    def sentence(self, event: Event) -> Node:
        """Build a whole sentence with its final mark."""
        root = self.clause(event, "root")
        mark = "?" if event.question else "."
        root.add(Node(mark, mark, "PUNCT", "punct", sounds=mark, gloss=mark), False)
        return root


def paraphrased(event: Event, words: dict[str, str]) -> Event:
    """Replace words by synonyms throughout a meaning; the keys are words, the values synonyms."""

    def entity(old: Entity | None) -> Entity | None:
        if old is None:
            return None
        return replace(
            old,
            head=words.get(old.head, old.head),
            adjectives=tuple(words.get(word, word) for word in old.adjectives),
            possessor=entity(old.possessor),
            relative=paraphrased(old.relative, words) if old.relative else None,
            conjunct=entity(old.conjunct),
            location=_place(old.location, entity),
        )

    return replace(
        event,
        verb=words.get(event.verb, event.verb),
        agent=entity(event.agent),
        patient=entity(event.patient),
        recipient=entity(event.recipient),
        place=_place(event.place, entity),
        adverb=event.adverb and words.get(event.adverb, event.adverb),
        quality=event.quality and words.get(event.quality, event.quality),
    )


def _place(
    place: tuple[str, Entity] | None, change: Callable[[Entity | None], Entity | None]
) -> tuple[str, Entity] | None:
    if place is None:
        return None
    changed = change(place[1])
    assert changed is not None
    return place[0], changed
