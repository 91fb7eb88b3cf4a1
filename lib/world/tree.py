"""Words of a sentence and the dependency tree over them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property


@dataclass
class Node:
    """A word with its dependents, those on the left and those on the right in order of speech."""

    form: str
    lemma: str
    upos: str
    relation: str
    sounds: str
    gloss: str
    concept: str = ""
    features: str = "_"
    entity: str = ""
    role: str = ""
    left: list["Node"] = field(default_factory=list)
    right: list["Node"] = field(default_factory=list)

    def add(self, child: "Node", before: bool) -> None:
        """Attach a dependent outside of those already on that side."""
        if before:
            self.left.insert(0, child)
        else:
            self.right.append(child)

    def arrange(self, sequence: list["Node"]) -> None:
        """Attach the constituents of a sequence that holds this very node, in that order."""
        here = next(i for i, node in enumerate(sequence) if node is self)
        self.left = sequence[:here] + self.left
        self.right = self.right + sequence[here + 1 :]

    def words(self) -> Iterator["Node"]:
        """Go through the words from first to last."""
        for child in self.left:
            yield from child.words()
        yield self
        for child in self.right:
            yield from child.words()


@dataclass(frozen=True)
class Sentence:
    """A sentence's words in order; `heads` are 1-based, 0 for the root."""

    nodes: tuple[Node, ...]
    heads: tuple[int, ...]

    @classmethod
    def from_tree(cls, root: Node) -> "Sentence":
        """Lay a tree out in a line."""
        nodes = tuple(root.words())
        position = {id(node): index for index, node in enumerate(nodes, start=1)}
        heads = [0] * len(nodes)
        for node in nodes:
            for child in (*node.left, *node.right):
                heads[position[id(child)] - 1] = position[id(node)]
        return cls(nodes, tuple(heads))

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """The written words."""
        return tuple(node.form for node in self.nodes)

    @cached_property
    def text(self) -> str:
        """The tokens joined by single spaces, punctuation detached."""
        return " ".join(self.tokens)

    @property
    def upos(self) -> list[str]:
        """Universal part-of-speech tags."""
        return [node.upos for node in self.nodes]

    @property
    def relations(self) -> list[str]:
        """Universal dependency relations."""
        return [node.relation for node in self.nodes]

    @cached_property
    def entity_tags(self) -> list[str]:
        """IOB2 tags; a name's words are neighbours and names never touch one of their own type."""
        tags: list[str] = []
        for index, node in enumerate(self.nodes):
            inside = index > 0 and node.entity and self.nodes[index - 1].entity == node.entity
            kind = node.entity.partition("#")[0]
            tags.append(f"{'I' if inside else 'B'}-{kind}" if kind else "O")
        return tags

    def span(self, role: str) -> tuple[int, int] | None:
        """Give the half-open word range of the phrase with a role, its adposition left out."""
        for node in self.nodes:
            if node.role == role:
                inner = [word for word in node.words() if word not in _markers(node)]
                ids = {id(word) for word in inner}
                places = [index for index, word in enumerate(self.nodes) if id(word) in ids]
                return places[0], places[-1] + 1
        return None


def _markers(node: Node) -> list[Node]:
    return [child for child in (*node.left, *node.right) if child.relation == "case"]
