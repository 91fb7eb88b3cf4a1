"""Read a meaning out in real English, for the translations on the cards."""

from collections.abc import Mapping

from lib.world import concepts
from lib.world.grammar import realise
from lib.world.language import Language, source_parameters
from lib.world.lexicon import AFFIXES
from lib.world.meaning import Event
from lib.world.tree import Node, Sentence

_PAST = {
    "see": "saw", "eat": "ate", "buy": "bought", "read": "read", "give": "gave", "sell": "sold",
    "find": "found", "write": "wrote", "build": "built", "lose": "lost", "send": "sent",
    "break": "broke", "teach": "taught", "leave": "left", "feed": "fed", "hide": "hid",
    "show": "showed", "sleep": "slept", "run": "ran", "sing": "sang", "fall": "fell",
    "carry": "carried", "notice": "noticed",
}  # fmt: skip
_PLURAL = {
    "child": "children",
    "wolf": "wolves",
    "knife": "knives",
    "fox": "foxes",
    "story": "stories",
}
_WORDS = {"REL": "that", "how_many": "how many", "wood": "wooden", "gold": "golden"}


def translate(meaning: Event, names: Mapping[str, str]) -> str:
    """Give an English translation; `names` spells the names of people and places."""
    english = {concept: concept for concept in _CONCEPTS}
    english |= {name: names[name].capitalize() for name in concepts.NAMES} | _WORDS
    language = Language("en", "eng", "English", "", "Latin", source_parameters(), english)
    sentence = realise(meaning, language)
    nodes = sentence.nodes
    words: list[str] = []
    for index, node in enumerate(nodes):
        if node.relation == "cop" or node.upos == "VERB":
            words.append(_finite(node, index, sentence))
        elif node.upos == "PART":
            if any(child.relation == "aux" for child in _siblings(index, sentence)):
                words.append("not")
        elif node.form == "a" and nodes[index + 1].form[0] in "aeiou":
            words.append("an")
        else:
            words.append(_noun(node))
    text = " ".join(words[:-1]) + words[-1]
    return text[0].upper() + text[1:]


_CONCEPTS = (*concepts.FUNCTION_WORDS, *concepts.CONTENT_WORDS, *AFFIXES)


def _siblings(index: int, sentence: Sentence) -> list[Node]:
    """Find the other dependents of a word's head, or a verb's own dependents."""
    node = sentence.nodes[index]
    head = index + 1 if node.upos == "VERB" else sentence.heads[index]
    return [
        other for other, above in zip(sentence.nodes, sentence.heads, strict=True) if above == head
    ]


def _has_plural_subject(index: int, sentence: Sentence) -> bool:
    subjects = [node for node in _siblings(index, sentence) if node.relation == "nsubj"]
    subject = subjects[0] if subjects else sentence.nodes[sentence.heads[index] - 1]
    joined = any(child.relation == "conj" for child in subject.right)
    return joined or subject.form == "they" or "Number=Plur" in subject.features


def _stem(node: Node) -> str:
    return node.gloss.split("-")[0]


def _noun(node: Node) -> str:
    if "Number=Plur" in node.features:
        stem = _stem(node)
        return _PLURAL.get(stem, stem + ("es" if stem.endswith("ch") else "s"))
    return node.form


def _finite(node: Node, index: int, sentence: Sentence) -> str:
    around = _siblings(index, sentence)
    auxiliary = any(child.relation == "aux" for child in around)
    negated = any(child.upos == "PART" for child in around) and not auxiliary
    plural = _has_plural_subject(index, sentence)
    past = "Tense=Past" in node.features
    stem = _stem(node)
    if stem == "be":
        form = ("were" if plural else "was") if past else ("are" if plural else "is")
        return f"{form} not" if negated else form
    if auxiliary:
        return stem
    if negated:
        return f"{'did' if past else 'do' if plural else 'does'} not {stem}"
    if past:
        return _PAST.get(stem, stem + ("d" if stem.endswith("e") else "ed"))
    if plural:
        return stem
    return stem[:-1] + "ies" if stem == "carry" else stem + ("es" if stem.endswith("ch") else "s")
