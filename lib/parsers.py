"""Parse dependencies: two biaffine heads that the literature calls by one name, and a decoder.

`biaffine` (Glavaš & Vulić 2021) and `deep_biaffine` (Dozat & Manning 2017) differ in what stands
between encoder and arcs, and in decoding. A condition names the one it means.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from lib import precision
from lib.batches import Feature, pad
from lib.features import RELATIONS
from lib.heads import IGNORED, Head, Output

# Sizes and dropout of Dozat & Manning 2017, table 1.
ARC_SIZE, RELATION_SIZE, MLP_DROPOUT = 500, 100, 0.33


class BiaffineParser(Head):
    """Score arcs and relations by one biaffine each, straight on the encoder's output.

    Glavaš & Vulić 2021 (arXiv 2008.06788), section 2.1: a word is the mean of its subwords, the
    root is the start token, heads are decoded greedily. Relations are scored for the gold head in
    training and for the predicted head in evaluation.
    """

    def __init__(self, encoder: Any, arc_size: int = 0, relation_size: int = 0) -> None:
        width = encoder.config.hidden_size
        arc_size, relation_size = arc_size or width, relation_size or width
        super().__init__(encoder, len(RELATIONS), relation_size)
        self.arcs = nn.Linear(arc_size, arc_size)
        self.relations = nn.Parameter(torch.zeros(len(RELATIONS), relation_size, relation_size))
        self.head_output = nn.Linear(relation_size, len(RELATIONS), bias=False)
        for weight in (self.arcs.weight, self.relations, self.head_output.weight):
            nn.init.normal_(weight, std=0.02)
        nn.init.zeros_(self.arcs.bias)

    @staticmethod
    def collate(features: list[Feature], pad_id: int) -> dict[str, torch.Tensor]:
        """Add `words` [n, length] (0: none), `heads` and `labels`, both [n, words]."""
        words = [
            [0, *(i + 1 for i, size in enumerate(feature["sizes"]) for _ in range(size)), 0]
            for feature in features
        ]
        return Head.collate(features, pad_id) | {
            "words": pad(words, 0, torch.long),
            "heads": pad([feature["heads"] for feature in features], IGNORED, torch.long),
            "labels": pad([feature["labels"] for feature in features], IGNORED, torch.long),
        }

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        words: torch.Tensor,
        heads: torch.Tensor,
        labels: torch.Tensor,
    ) -> Output:
        """Return predictions [n, words, 2]: head (0: root) and relation number."""
        hidden = self.hidden(input_ids, attention_mask)
        nodes = _nodes(hidden, words, heads.shape[1])
        arcs = self._arc_scores(nodes)
        arcs = arcs.masked_fill(_impossible(words, heads.shape[1]), -1e4)
        arc_loss = _mean_loss(arcs.flatten(0, 1), heads.flatten())
        chosen = self._decode(arcs, words)
        # The loss reads the relation of the gold arc; evaluation reads that of the chosen one.
        gold = self._relation_scores(nodes, torch.where(heads != IGNORED, heads, chosen))
        relation_labels = labels.masked_fill(heads == IGNORED, IGNORED)
        relation_loss = _mean_loss(gold.flatten(0, 1), relation_labels.flatten())
        relations = gold if self.training else self._relation_scores(nodes, chosen)
        predictions = torch.stack([chosen, relations.argmax(-1)], dim=-1)
        return {"loss": arc_loss + relation_loss, "predictions": predictions}

    def _arc_scores(self, nodes: torch.Tensor) -> torch.Tensor:
        """Score every node as the head of every word: [n, words, 1 + words]."""
        return self.arcs(nodes[:, 1:]) @ nodes.transpose(1, 2)

    def _relation_scores(self, nodes: torch.Tensor, governor: torch.Tensor) -> torch.Tensor:
        """Score every relation of each word to its governor: [n, words, relations]."""
        return self._named(nodes[:, 1:], _of(nodes, governor))

    def _named(self, dependents: torch.Tensor, heads: torch.Tensor) -> torch.Tensor:
        """Score every relation of dependents to heads, both [n, words, size]."""
        # Of a parser's own products this is the one as costly as a layer of the encoder.
        with precision.products(self.encoder, dependents.device):
            biaffine = torch.einsum("nwi,rij,nwj->nwr", dependents, self.relations, heads)
        return biaffine.to(dependents.dtype) + self.output(dependents) + self.head_output(heads)

    def _decode(self, arcs: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        """Return the best head of each word by itself: [n, words]."""
        return arcs.argmax(-1)


class DeepBiaffineParser(BiaffineParser):
    """Score arcs and relations on four projections of the encoder's output; decode a tree.

    Dozat & Manning 2017 (arXiv 1611.01734), section 2: one ReLU layer each for a word as dependent
    and as head, of arcs and of relations (equations 4 to 9), dropout on all of them. Decoding is
    the maximum spanning tree with a single word on the root. As in `BiaffineParser`, and unlike the
    paper's LSTM, a word is the mean of its subwords and the root is the start token.
    """

    def __init__(self, encoder: Any) -> None:
        super().__init__(encoder, ARC_SIZE, RELATION_SIZE)
        width = encoder.config.hidden_size
        self.arc_dependent, self.arc_head = (
            _projection(width, ARC_SIZE),
            _projection(width, ARC_SIZE),
        )
        self.relation_dependent = _projection(width, RELATION_SIZE)
        self.relation_head = _projection(width, RELATION_SIZE)

    def _arc_scores(self, nodes: torch.Tensor) -> torch.Tensor:
        dependents, heads = self.arc_dependent(nodes[:, 1:]), self.arc_head(nodes)
        return self.arcs(dependents) @ heads.transpose(1, 2)

    def _relation_scores(self, nodes: torch.Tensor, governor: torch.Tensor) -> torch.Tensor:
        dependents = self.relation_dependent(nodes[:, 1:])
        return self._named(dependents, _of(self.relation_head(nodes), governor))

    def _decode(self, arcs: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        chosen = arcs.argmax(-1)
        if self.training:
            return chosen
        numbers = words.amax(1).tolist()
        for row, (scores, number) in enumerate(
            zip(arcs.detach().double().cpu().numpy(), numbers, strict=True)
        ):
            tree = maximum_spanning_tree(scores[:number, : number + 1])
            chosen[row, :number] = torch.from_numpy(tree).to(chosen)
        return chosen


KINDS: dict[str, Callable[[Any], BiaffineParser]] = {
    "biaffine": BiaffineParser,
    "deep_biaffine": DeepBiaffineParser,
}


def maximum_spanning_tree(scores: np.ndarray) -> np.ndarray:
    """Return the head of each word in the best tree with one word on the root.

    `scores`: finite float64 [words, 1 + words], of each node (0: the root) as the head of each
    word; a word is never its own head. Returns int64 [words]. Chu & Liu 1965 and Edmonds 1967;
    taking from every arc of the root more than any two trees differ by leaves one of them.
    """
    number = len(scores)
    penalised = np.full((number + 1, number + 1), -np.inf)
    penalised[1:] = scores
    penalised[1:, 0] -= 1 + 2 * number * np.ptp(scores)
    np.fill_diagonal(penalised, -np.inf)
    return _best_arborescence(penalised)[1:]


def _best_arborescence(scores: np.ndarray) -> np.ndarray:
    """Contract cycles until there is none: scores [node, head], node 0 the root, to heads."""
    heads = scores.argmax(1)
    heads[0] = 0
    cycle = _cycle(heads)
    if not len(cycle):
        return heads
    outside = np.setdiff1d(np.arange(len(scores)), cycle)
    # Entering the cycle at a node gives up the arc that the node has inside it.
    entering = scores[np.ix_(cycle, outside)] - scores[cycle, heads[cycle]][:, None]
    leaving = scores[np.ix_(outside, cycle)]
    last = len(outside)
    contracted = np.full((last + 1, last + 1), -np.inf)
    contracted[:last, :last] = scores[np.ix_(outside, outside)]
    contracted[last, :last] = entering.max(0)
    contracted[:last, last] = leaving.max(1)
    found = _best_arborescence(contracted)
    for place, node in enumerate(outside[1:], start=1):
        head = found[place]
        heads[node] = outside[head] if head < last else cycle[leaving[place].argmax()]
    entered = cycle[entering[:, found[last]].argmax()]
    heads[entered] = outside[found[last]]
    return heads


def _cycle(heads: np.ndarray) -> np.ndarray:
    """Return the nodes of a cycle, or none."""
    seen = np.zeros(len(heads), dtype=np.int64)
    for start in range(1, len(heads)):
        node = start
        while node and not seen[node]:
            seen[node] = start
            node = heads[node]
        if node and seen[node] == start:
            found = [node]
            while heads[found[-1]] != node:
                found.append(heads[found[-1]])
            return np.array(found)
    return np.array([], dtype=np.int64)


def _projection(width: int, size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, size), nn.ReLU(), nn.Dropout(MLP_DROPOUT))


def _mean_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Average cross entropy over the labels there are; 0 where there is none."""
    total = functional.cross_entropy(logits, labels, reduction="sum")
    return total / (labels != IGNORED).sum().clamp(min=1)


def _of(nodes: torch.Tensor, governor: torch.Tensor) -> torch.Tensor:
    """Pick the node that governs each word: [n, words, size]."""
    return nodes.gather(1, governor.unsqueeze(-1).expand(-1, -1, nodes.shape[-1]))


def _impossible(words: torch.Tensor, number: int) -> torch.Tensor:
    """Mark arcs to padding and from a word to itself: [n, words, 1 + words]."""
    nodes = torch.arange(number + 1, device=words.device)
    padding = nodes[None, None, :] > words.amax(1)[:, None, None]
    return padding | (nodes[None, None, :] == nodes[None, 1:, None])


def _nodes(hidden: torch.Tensor, words: torch.Tensor, number: int) -> torch.Tensor:
    """Average subwords into words, after node 0, the root: [n, 1 + words, width]."""
    sums = hidden.new_zeros(hidden.shape[0], number + 1, hidden.shape[2])
    counts = hidden.new_zeros(hidden.shape[0], number + 1)
    index = words.unsqueeze(-1).expand_as(hidden)
    sums = sums.scatter_add(1, index, hidden)
    counts = counts.scatter_add(1, words, torch.ones_like(words, dtype=hidden.dtype))
    nodes = sums / counts.clamp(min=1).unsqueeze(-1)
    return torch.cat([hidden[:, :1], nodes[:, 1:]], dim=1)
