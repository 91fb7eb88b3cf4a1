"""Derivations of combinatory categorial grammar (CCG), as files of CCGbank's AUTO format.

Only of the source language, whose word order is English's: categories, rules and sections follow
CCGbank (Hockenmaier & Steedman 2007). Rules used: application, composition and type-raising (an
object taken out of its clause), N to NP, coordination, and the final mark.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lib.world.corpora import Corpora
from lib.world.grammar import Grammar
from lib.world.tree import Node

_PAST = "Tense=Past"
_PENN = {
    "ADJ": "JJ", "ADP": "IN", "ADV": "RB", "CCONJ": "CC", "DET": "DT", "NOUN": "NN", "NUM": "CD",
    "PART": "RB", "PRON": "PRP", "PROPN": "NNP", "PUNCT": ".", "SCONJ": "WDT",
}  # fmt: skip
_ADVERBIAL = r"(S\NP)\(S\NP)"
_TRAINING_SECTIONS = range(2, 22)
_PER_FILE = 100


@dataclass(frozen=True)
class Leaf:
    """A word and its category."""

    category: str
    node: Node

    def auto(self) -> str:
        """Write the word as CCGbank does; the last field is the category without indices."""
        tag = _penn(self.node)
        return f"(<L {self.category} {tag} {tag} {self.node.form} {self.category}>)"


@dataclass(frozen=True)
class Branch:
    """A constituent of one part or two; `head` is the place of the part that heads it."""

    category: str
    head: int
    parts: tuple["Derivation", ...]

    def auto(self) -> str:
        """Write the constituent with all its words as CCGbank does."""
        inner = " ".join(part.auto() for part in self.parts)
        return f"(<T {self.category} {self.head} {len(self.parts)}> {inner} )"


Derivation = Leaf | Branch


def derive(root: Node) -> Derivation:
    """Derive a whole sentence of the source language from its dependency tree."""
    mark = _child(root, "punct")
    assert mark is not None
    return Branch("S[dcl]", 0, (clause(root), Leaf(mark.form, mark)))


def clause(head: Node, gap: bool = False) -> Derivation:
    """Derive a clause: `S[dcl]`, `S[dcl]\\NP` without its subject, `S[dcl]/NP` with an object gap.

    Adjuncts attach below negation, negation below the modal.
    """
    modal, copula = _child(head, "aux"), _child(head, "cop")
    form = "S[b]" if modal else "S[dcl]"

    def predicate(sentence: str) -> str:
        return rf"({sentence}\NP)/NP" if gap else rf"{sentence}\NP"

    if copula:
        be = Leaf(rf"({form}\NP)/(S[adj]\NP)", copula)
        verb: Derivation = Branch(predicate(form), 0, (be, Leaf(r"S[adj]\NP", head)))
    else:
        verb = _complemented(head, predicate(form))
    for child in head.right:
        if child.relation == "advmod" or (child.relation == "obl" and child.role != "recipient"):
            verb = Branch(predicate(form), 0, (verb, _adjunct(child, _ADVERBIAL)))
    for child in head.left:
        if child.upos == "PART":
            verb = Branch(predicate(form), 1, (Leaf(r"(S\NP)/(S\NP)", child), verb))
    if modal:
        auxiliary = Leaf(r"(S[dcl]\NP)/(S[b]\NP)", modal)
        verb = Branch(predicate("S[dcl]"), 0, (auxiliary, verb))
    subject = _child(head, "nsubj")
    if subject is None:
        return verb
    if gap:
        raised = Branch(r"S/(S\NP)", 0, (noun_phrase(subject),))
        return Branch("S[dcl]/NP", 1, (raised, verb))
    sentence = Branch("S[dcl]", 1, (noun_phrase(subject), verb))
    for child in reversed(head.left):
        if child.relation in ("obl", "advmod") and child.upos != "PART":
            sentence = Branch("S[dcl]", 1, (_adjunct(child, "S/S"), sentence))
    return sentence


def _complemented(verb: Node, category: str) -> Derivation:
    """Give a verb its object and its recipient, each to the right."""
    arguments: list[tuple[str, Derivation]] = []
    for child in verb.right:
        if child.relation == "obj":
            arguments.append(("NP", noun_phrase(child)))
        elif child.role == "recipient":
            arguments.append(("PP", _adjunct(child, "PP")))
    steps = [category]
    for wanted, _ in reversed(arguments):
        steps.append(f"{_enclosed(steps[-1])}/{wanted}")
    derivation: Derivation = Leaf(steps.pop(), verb)
    for _, argument in arguments:
        derivation = Branch(steps.pop(), 0, (derivation, argument))
    return derivation


def _adjunct(node: Node, category: str) -> Derivation:
    """Derive an adverb, or a phrase whose preposition makes it of the category."""
    case = _child(node, "case")
    if case is None:
        return Leaf(category, node)
    return Branch(category, 0, (Leaf(f"{_enclosed(category)}/NP", case), noun_phrase(node)))


def noun_phrase(head: Node) -> Derivation:
    """Derive a noun phrase, its preposition or conjunction left out: `NP`."""
    surname = _child(head, "flat")
    phrase: Derivation = Leaf("NP" if head.upos == "PRON" else "N", head)
    if surname:
        phrase = Branch("N", 1, (Leaf("N/N", head), Leaf("N", surname)))
    for child in reversed(head.left):
        if child.relation in ("compound", "amod", "nummod"):
            phrase = Branch("N", 1, (Leaf("N/N", child), phrase))
        elif child.relation == "det":
            phrase = Branch("NP", 1, (Leaf("NP/N", child), phrase))
    if phrase.category == "N":
        phrase = Branch("NP", 0, (phrase,))
    for child in head.right:
        if child.relation == "nmod":
            phrase = Branch("NP", 0, (phrase, _adjunct(child, r"NP\NP")))
        elif child.relation == "acl:relcl":
            phrase = Branch("NP", 0, (phrase, _relative_clause(child)))
        elif child.relation == "conj":
            conjunction = _child(child, "cc")
            assert conjunction is not None
            second = Branch("NP[conj]", 1, (Leaf("conj", conjunction), noun_phrase(child)))
            phrase = Branch("NP", 0, (phrase, second))
    return phrase


def _relative_clause(head: Node) -> Derivation:
    marker = _child(head, "mark")
    assert marker is not None
    inner = clause(head, gap=_child(head, "nsubj") is not None)
    return Branch(r"NP\NP", 0, (Leaf(rf"(NP\NP)/({inner.category})", marker), inner))


def _child(node: Node, relation: str) -> Node | None:
    found = (child for child in (*node.left, *node.right) if child.relation == relation)
    return next(found, None)


def _enclosed(category: str) -> str:
    return f"({category})" if "/" in category or "\\" in category else category


def _penn(node: Node) -> str:
    """Give a word's Penn Treebank tag, as far as its form tells."""
    if node.upos == "AUX" and node.relation == "aux":
        return "MD"
    if node.upos in ("VERB", "AUX"):
        return "VBD" if _PAST in node.features else "VB" if _child(node, "aux") else "VBZ"
    plural = node.upos == "NOUN" and "Number=Plur" in node.features
    return "NNS" if plural else _PENN[node.upos]


def write_ccgbank(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write `ccgbank/data/AUTO/<section>/wsj_<section><file>.auto`.

    Training is sections 02 to 21, development 00, test 23; a hundred sentences are a file.
    """
    for split, count, sections in (
        ("train", train, _TRAINING_SECTIONS),
        ("development", evaluation, range(0, 1)),
        ("test", evaluation, range(23, 24)),
    ):
        drawn = corpora.sentences(f"ccgbank/{split}", count, [corpora.source])
        grammar = Grammar(corpora.source)
        derivations = [derive(grammar.sentence(meaning)).auto() for meaning in drawn]
        _write_sections(folder / "ccgbank" / "data" / "AUTO", derivations, sections)


def _write_sections(folder: Path, derivations: Sequence[str], sections: Sequence[int]) -> None:
    for start in range(0, len(derivations), _PER_FILE):
        number, turn = start // _PER_FILE % len(sections), start // _PER_FILE // len(sections)
        section = f"{sections[number]:02}"
        name = f"wsj_{section}{turn:02}"
        lines = [
            f"ID={name}.{index} PARSER=GOLD NUMPARSE=1\n{derivation}\n"
            for index, derivation in enumerate(derivations[start : start + _PER_FILE], start=1)
        ]
        (folder / section).mkdir(parents=True, exist_ok=True)
        (folder / section / f"{name}.auto").write_text("".join(lines), encoding="utf-8")
