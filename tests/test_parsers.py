"""Trees are the best there are, by brute force and by networkx; the deep head is the paper's."""

import itertools
from types import SimpleNamespace
from typing import Any

import networkx
import numpy as np
import pytest
import torch
from test_heads import PAD, feature, made

from lib.parsers import BiaffineParser, DeepBiaffineParser, maximum_spanning_tree


def is_tree(heads: Any) -> bool:
    """Say whether every word leads to the root."""
    for word in range(1, len(heads) + 1):
        for _ in heads:
            word = heads[word - 1] if word else 0
        if word:
            return False
    return True


def total(scores: np.ndarray, heads: Any) -> float:
    return float(scores[np.arange(len(heads)), np.asarray(heads)].sum())


@pytest.mark.parametrize("words", [1, 2, 3, 4, 5])
def test_no_tree_with_one_root_is_better(words: int) -> None:
    random = np.random.default_rng(words)
    trees = [
        heads
        for heads in itertools.product(range(words + 1), repeat=words)
        if heads.count(0) == 1 and is_tree(heads)
    ]
    assert len(trees) == words ** (words - 1)  # Cayley's rooted trees
    for _ in range(30):
        scores = random.normal(size=(words, words + 1)) * 5
        best = max(trees, key=lambda heads: total(scores, heads))
        assert maximum_spanning_tree(scores).tolist() == list(best)


def best_of_networkx(scores: np.ndarray) -> float:
    """Return the weight of the best tree under each single word on the root in turn."""
    words, found = len(scores), []
    for only in range(1, words + 1):
        graph = networkx.DiGraph()
        graph.add_edge(0, only, weight=scores[only - 1, 0])
        for word, head in itertools.permutations(range(1, words + 1), 2):
            graph.add_edge(head, word, weight=scores[word - 1, head])
        tree = networkx.maximum_spanning_arborescence(graph)
        found.append(sum(weight for _, _, weight in tree.edges(data="weight")))
    return max(found)


@pytest.mark.parametrize("seed", range(12))
def test_the_tree_weighs_what_that_of_networkx_weighs(seed: int) -> None:
    random = np.random.default_rng(seed)
    words = int(random.integers(6, 16))
    scores = random.normal(size=(words, words + 1))
    # Strong arcs in rings, so that greedy heads are cycles within cycles.
    for size in (2, 3, words):
        for i in range(size):
            scores[i, (i + 1) % size + 1] += 4 - size / words
    heads = maximum_spanning_tree(scores)
    assert is_tree(heads) and heads.tolist().count(0) == 1
    assert total(scores, heads) == pytest.approx(best_of_networkx(scores))


def test_a_long_sentence_of_cycles_is_one_tree() -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(250, 251))
    scores[np.arange(250), np.arange(250) // 2 * 2 + 1 + (np.arange(250) + 1) % 2] += 50
    heads = maximum_spanning_tree(scores)
    assert is_tree(heads) and heads.tolist().count(0) == 1


def test_of_two_words_that_both_want_the_root_one_gets_it() -> None:
    # Greedy: both on the root. With one root: 9 + 2 beats 8 + 1.
    assert maximum_spanning_tree(np.array([[9.0, -9, 1], [8, 2, -9]])).tolist() == [0, 1]


# The deep head


class Table(torch.nn.Module):
    """Stand in for an encoder: the hidden state of a token is its row."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=rows.shape[1], hidden_dropout_prob=0.0)
        self.rows = torch.nn.Parameter(torch.tensor(rows))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **other: Any
    ) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.rows[input_ids])


@pytest.fixture
def deep() -> DeepBiaffineParser:
    """Return a deep parser on a table of random vectors, every parameter random."""
    torch.manual_seed(3)
    head = DeepBiaffineParser(Table(np.random.default_rng(0).normal(size=(30, 4)))).double().eval()
    for name, parameter in head.named_parameters():
        if not name.startswith("encoder."):
            torch.nn.init.normal_(parameter, std=0.3)
    return head


def sentence(words: int) -> dict[str, Any]:
    return {
        "input_ids": [[0, *range(5, 5 + words), 2]],
        "sizes": [1] * words,
        "heads": [0, *range(1, words)],
        "labels": [i % 5 for i in range(words)],
    }


def test_the_deep_loss_is_that_of_the_papers_equations(deep: DeepBiaffineParser) -> None:
    def relu(layer: Any, vector: np.ndarray) -> np.ndarray:
        weight, bias = (part.detach().numpy() for part in (layer[0].weight, layer[0].bias))
        return np.maximum(weight @ vector + bias, 0)

    rows = deep.encoder.rows.detach().numpy()
    nodes = [rows[0], rows[5], rows[6], rows[7]]
    u1, u2 = deep.arcs.weight.detach().numpy(), deep.arcs.bias.detach().numpy()
    bilinear = deep.relations.detach().numpy()
    of_word, constant = (p.detach().numpy() for p in (deep.output.weight, deep.output.bias))
    of_head = deep.head_output.weight.detach().numpy()
    arcs, relations = [], []
    for word, (head, label) in enumerate([(0, 0), (1, 1), (2, 2)], start=1):
        dependent = relu(deep.arc_dependent, nodes[word])
        scores = {
            i: relu(deep.arc_head, nodes[i]) @ u1 @ dependent + relu(deep.arc_head, nodes[i]) @ u2
            for i in range(4)
            if i != word
        }
        arcs.append(np.log(sum(np.exp(list(scores.values())))) - scores[head])
        d, h = relu(deep.relation_dependent, nodes[word]), relu(deep.relation_head, nodes[head])
        named = [d @ matrix @ h for matrix in bilinear] + of_word @ d + of_head @ h + constant
        relations.append(np.log(np.exp(named - named.max()).sum()) + named.max() - named[label])
    found = deep(**deep.collate([sentence(3)], 1))["loss"].item()
    assert found == pytest.approx(np.mean(arcs) + np.mean(relations), rel=1e-9)


def test_the_deep_parser_says_trees_where_greedy_heads_are_none(deep: DeepBiaffineParser) -> None:
    lengths = [1, 7, 20]
    batch = deep.collate([sentence(n) for n in lengths], 1)
    decoded = deep(**batch)["predictions"][..., 0]
    greedy = BiaffineParser._decode(deep, *arcs_of(deep, batch))
    for row, number in zip(decoded, lengths, strict=True):
        heads = row[:number].tolist()
        assert is_tree(heads) and heads.count(0) == 1
    assert any(not is_tree(row[:n].tolist()) for row, n in zip(greedy, lengths, strict=True))


def arcs_of(head: DeepBiaffineParser, batch: dict[str, torch.Tensor]) -> tuple[Any, Any]:
    """Return what the head decodes from: arc scores and the words of each token."""
    seen: list[tuple[Any, Any]] = []
    decode = head._decode
    head._decode = lambda *given: (seen.append(given), decode(*given))[1]  # type: ignore
    head(**batch)
    return seen[0]


def test_relations_in_half_precision_are_near_and_the_loss_is_single(small_encoder: Any) -> None:
    head = made("parsing", small_encoder()).eval()
    torch.nn.init.normal_(head.relations, std=0.3)
    batch = head.collate([feature("parsing", words, words) for words in (3, 9)], PAD)
    nodes = torch.randn(2, 10, 16, generator=torch.Generator().manual_seed(0))
    expected = head._relation_scores(nodes, batch["heads"].clamp(min=0))
    head.encoder.precision = torch.bfloat16
    found = head._relation_scores(nodes, batch["heads"].clamp(min=0))
    # bfloat16 keeps eight bits; a score sums 256 products.
    torch.testing.assert_close(found, expected, atol=0.1, rtol=0.05)
    assert found.dtype == torch.float32 and not torch.equal(found, expected)
    assert head(**batch)["loss"].dtype == torch.float32
