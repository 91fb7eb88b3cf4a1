"""Heads ignore padding, compute the losses that their papers state, and learn."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from lib import batches, evaluation, heads, parsers, tasks
from lib.batches import Feature
from lib.errors import InputError

ROWS = {"tagging": "udpos", "parsing": "ud_parsing", "deep_parsing": "ud_parsing",
        "classification": "xnli",
        "regression": "stsb", "bi": "stsb", "bi_classification": "xnli",
        "multiple_choice": "hellaswag", "span": "xquad"}  # fmt: skip
KINDS = list(ROWS)
VOCABULARY, PAD = 31, 1


def made(kind: str, encoder: Any) -> heads.Head:
    torch.manual_seed(0)
    pair = "bi" if kind.startswith("bi") else "cross"
    parser = "deep_biaffine" if kind == "deep_parsing" else "biaffine"
    return heads.make(tasks.get(ROWS[kind]), encoder, pair, parser=parser)


def feature(kind: str, words: int, seed: int) -> Feature:
    """Make a random feature of this many words, one or two subwords each."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 3, words).tolist()
    ids = [0, *rng.integers(4, VOCABULARY - 1, sum(sizes)).tolist(), 2]
    found: Feature = {"example": 0, "first": 0, "input_ids": [ids], "sizes": sizes}
    if kind in ("tagging", "parsing", "deep_parsing"):
        found["starts"] = (1 + np.concatenate([[0], np.cumsum(sizes)[:-1]])).tolist()
        found["labels"] = rng.integers(0, 17, words).tolist()
        found["heads"] = [0, *range(1, words)]
    elif kind == "span":
        found["begins"] = [-1, -1, *range(len(ids) - 3), -1]
        found["ends"] = [-1, -1, *range(1, len(ids) - 2), -1]
        found["labels"] = sorted(rng.integers(2, len(ids) - 1, 2).tolist())
    else:
        classes = kind.endswith("classification")
        found["labels"] = int(rng.integers(3)) if classes else float(rng.random())
        if kind == "multiple_choice":
            lengths = rng.integers(1, words + 1, 4)
            choices = [rng.integers(4, VOCABULARY - 1, size).tolist() for size in lengths]
            found |= {"input_ids": [[*ids, *more, 2] for more in choices]}
            found["labels"] = int(rng.integers(4))
        if kind.startswith("bi"):
            found["input_ids"] = [ids, [0, *rng.integers(4, VOCABULARY - 1, words).tolist(), 2]]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_read_back_on_the_same_encoder_says_the_same(
    kind: str, small_encoder: Any, tmp_path: Path
) -> None:
    encoder = small_encoder()
    head, other = made(kind, encoder), made(kind, encoder)
    for weight in (value for name, value in head.named_parameters() if "encoder" not in name):
        torch.nn.init.normal_(weight)
    heads.save(head, tmp_path / "head.safetensors")
    batch = head.collate([feature(kind, words, words) for words in (3, 6)], PAD)
    assert not torch.equal(other.output.weight, head.output.weight)
    heads.restore(other, tmp_path / "head.safetensors")
    assert output(other, batch)["loss"] == output(head, batch)["loss"]
    saved = load_file(tmp_path / "head.safetensors")
    own = {name for name, _ in head.named_parameters()} - {
        f"encoder.{name}" for name, _ in encoder.named_parameters()
    }
    assert set(saved) == own


def test_weights_of_another_kind_of_head_are_refused(small_encoder: Any, tmp_path: Path) -> None:
    file = tmp_path / "head.safetensors"
    heads.save(made("span", small_encoder()), file)
    with pytest.raises(InputError, match=r"head\.safetensors: not the weights of a BiaffineParser"):
        heads.restore(made("parsing", small_encoder()), file)


def output(head: heads.Head, batch: dict[str, torch.Tensor]) -> heads.Output:
    head.eval()
    with torch.no_grad():
        return head(**batch)


# Padding


@pytest.mark.parametrize("kind", KINDS)
def test_what_stands_in_the_padding_changes_nothing(kind: str, small_encoder: Any) -> None:
    head = made(kind, small_encoder())
    batch = head.collate([feature(kind, 3, 1), feature(kind, 9, 2)], PAD)
    padded = batch["attention_mask"] == 0
    assert padded.any()
    before = output(head, batch)
    noise = torch.randint(4, VOCABULARY - 1, batch["input_ids"].shape)
    after = output(head, batch | {"input_ids": torch.where(padded, noise, batch["input_ids"])})
    assert torch.equal(before["loss"], after["loss"])
    assert torch.equal(before["predictions"], after["predictions"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_longer_neighbour_changes_no_prediction(kind: str, small_encoder: Any) -> None:
    head = made(kind, small_encoder())
    short, long = feature(kind, 3, 1), feature(kind, 9, 2)
    alone = output(head, head.collate([short], PAD))
    batch = head.collate([short, long], PAD)
    if not batch["labels"].is_floating_point():
        # Cross entropy leaves -100 out, so that the loss is the short one's alone.
        batch["labels"][1] = -100
        if "heads" in batch:
            batch["heads"][1] = -100
    together = output(head, batch)
    first = alone["predictions"][0]
    beside = together["predictions"][0][: len(first)] if first.ndim else together["predictions"][0]
    torch.testing.assert_close(beside, first, atol=1e-5, rtol=1e-5)
    if not batch["labels"].is_floating_point():
        torch.testing.assert_close(together["loss"], alone["loss"], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["parsing", "deep_parsing"])
def test_no_arc_points_to_padding_or_to_the_word_itself(kind: str, small_encoder: Any) -> None:
    head = made(kind, small_encoder())
    words = [1, 2, 5, 12]
    batch = head.collate([feature("parsing", n, n) for n in words], PAD)
    for seed in range(20):
        torch.manual_seed(seed)
        torch.nn.init.normal_(head.arcs.weight, std=3.0)
        torch.nn.init.normal_(head.arcs.bias, std=3.0)
        chosen = output(head, batch)["predictions"][..., 0]
        for row, number in zip(chosen, words, strict=True):
            governors = row[:number].tolist()
            assert max(governors) <= number
            assert all(governor != i + 1 for i, governor in enumerate(governors))


@pytest.mark.parametrize("kind", KINDS)
def test_sets_read_in_one_pass_are_read_as_each_alone(kind: str, small_encoder: Any) -> None:
    head, tokenizer = made(kind, small_encoder()), SimpleNamespace(pad_token_id=PAD)
    sets = [[feature(kind, words, words + seed) for words in sizes]
            for seed, sizes in enumerate([(9, 3, 14), (2,), (), (5, 12, 4, 8)])]  # fmt: skip
    together = evaluation.run(head, sets, tokenizer, 60)
    assert [len(outputs) for outputs in together] == [3, 1, 0, 4]
    for features, outputs in zip(sets, together, strict=True):
        for one, found in zip(features, outputs, strict=True):
            ((alone,),) = evaluation.run(head, [[one]], tokenizer, 60)
            inside = tuple(slice(0, size) for size in np.shape(alone))
            np.testing.assert_allclose(np.asarray(found)[inside], alone, atol=1e-5)


def test_no_answer_is_scored_outside_the_context(small_encoder: Any) -> None:
    head = made("span", small_encoder())
    features = [feature("span", 3, 1), feature("span", 9, 2)]
    logits = output(head, head.collate(features, PAD))["predictions"]
    for row, one in zip(logits, features, strict=True):
        inside = [i for i, begin in enumerate(one["begins"]) if begin >= 0]
        outside = [i for i in range(1, len(row)) if i not in inside]
        assert row[outside].max() < row[inside].min() - 1000


# Losses


class Table(torch.nn.Module):
    """Stand in for an encoder: the hidden state of a token is its row."""

    def __init__(self, rows: np.ndarray) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=rows.shape[1], hidden_dropout_prob=0.0)
        self.rows = torch.nn.Parameter(torch.tensor(rows, dtype=torch.float32))

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **other: Any
    ) -> SimpleNamespace:
        return SimpleNamespace(last_hidden_state=self.rows[input_ids])


def cross_entropy(scores: dict[int, float], gold: int) -> float:
    return float(np.log(sum(np.exp(list(scores.values())))) - scores[gold])


def test_the_parser_loss_is_that_of_the_formula_by_hand() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(10, 4))
    head = parsers.BiaffineParser(Table(rows)).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    rows = head.encoder.rows.detach().numpy()
    # Word 1 is tokens 5 and 6, word 2 is 7, word 3 is 8; word 3's head is outside the piece.
    one = {"input_ids": [[0, 5, 6, 7, 8, 2]], "sizes": [2, 1, 1], "heads": [2, 0, -100],
           "labels": [4, 9, 1]}  # fmt: skip
    nodes = [rows[0], (rows[5] + rows[6]) / 2, rows[7], rows[8]]
    weight, bias = head.arcs.weight.detach().numpy(), head.arcs.bias.detach().numpy()
    biaffine, of_head = head.relations.detach().numpy(), head.head_output.weight.detach().numpy()
    of_word, constant = head.output.weight.detach().numpy(), head.output.bias.detach().numpy()
    arcs, relations = [], []
    for word, governor, label in ((1, 2, 4), (2, 0, 9)):
        d, g = nodes[word], nodes[governor]
        scores = {i: (weight @ d + bias) @ nodes[i] for i in range(4) if i != word}
        arcs.append(cross_entropy(scores, governor))
        named = {
            r: d @ biaffine[r] @ g + of_word[r] @ d + constant[r] + of_head[r] @ g
            for r in range(len(constant))
        }
        relations.append(cross_entropy(named, label))
    expected = np.mean(arcs) + np.mean(relations)
    found = output(head, head.collate([one], PAD))["loss"].item()
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_masked_loss_is_that_of_transformers(small_encoder: Any) -> None:
    model = small_encoder(mlm=True).eval()
    special = batches.SpecialTokens(0, 2, PAD, VOCABULARY - 1, (0, 1, 2, 3, VOCABULARY - 1))
    blocks = torch.randint(4, VOCABULARY - 1, (6, 20))
    blocks[:, 0] = 0
    data = batches.MaskedBlocks(blocks, [list(range(6))], special, VOCABULARY, 0.3, 1)
    batch = data[0]
    labels = torch.full_like(blocks, -100)
    labels[batch["chosen"]] = blocks[batch["chosen"]]
    with torch.no_grad():
        ours = heads.MaskedLanguageModel(model).eval()(**batch)
        theirs = model(batch["input_ids"], labels=labels)
    torch.testing.assert_close(ours["loss"], theirs.loss)
    assert torch.equal(ours["predictions"], theirs.logits[batch["chosen"]].argmax(-1))


def test_the_taggers_loss_is_the_mean_over_all_words_of_the_batch(small_encoder: Any) -> None:
    head = made("tagging", small_encoder())
    parts = [feature("tagging", n, n) for n in (2, 7)]
    losses = [output(head, head.collate([part], PAD))["loss"].item() for part in parts]
    together = output(head, head.collate(parts, PAD))["loss"].item()
    assert together == pytest.approx((2 * losses[0] + 7 * losses[1]) / 9, rel=1e-5)


def test_the_bi_encoder_is_symmetric_and_gives_cosines_of_means(small_encoder: Any) -> None:
    model = small_encoder().eval()
    head = made("bi", model)
    one = feature("bi", 6, 1)
    turned = one | {"input_ids": one["input_ids"][::-1]}
    same = one | {"input_ids": [one["input_ids"][0]] * 2}
    found = output(head, head.collate([one, turned, same], PAD))["predictions"]
    with torch.no_grad():
        vectors = [
            model(torch.tensor([ids])).last_hidden_state[0].mean(0) for ids in one["input_ids"]
        ]
    cosine = functional.cosine_similarity(*vectors, dim=0).item()
    assert found.tolist() == pytest.approx([cosine, cosine, 1.0], abs=1e-5)


def test_the_bi_classifier_reads_both_means_and_their_distance(small_encoder: Any) -> None:
    model = small_encoder().eval()
    head = made("bi_classification", model)
    one = feature("bi_classification", 6, 1)
    found = output(head, head.collate([one, feature("bi_classification", 9, 2)], PAD))
    with torch.no_grad():
        u, v = (
            model(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
            for ids in one["input_ids"]
        )
    weight, bias = head.output.weight.detach().numpy(), head.output.bias.detach().numpy()
    logits = weight @ np.concatenate([u, v, np.abs(u - v)]) + bias
    assert found["predictions"][0] == logits.argmax()
    alone = output(head, head.collate([one], PAD))["loss"].item()
    expected = np.log(np.exp(logits).sum()) - logits[one["labels"]]
    assert alone == pytest.approx(expected, rel=1e-4)


def test_a_head_drops_some_of_what_it_reads_in_training_alone(small_encoder: Any) -> None:
    head = made("tagging", small_encoder())
    head.dropout.p = 0.5
    ids = torch.tensor([[0, 5, 6, 2]])
    first, second = (head.hidden(ids, torch.ones_like(ids)) for _ in range(2))
    assert not torch.equal(first, second) and (first == 0).any()
    head.eval()
    assert torch.equal(*(head.hidden(ids, torch.ones_like(ids)) for _ in range(2)))


def test_the_head_on_the_first_token_is_the_stock_one_of_transformers(small_encoder: Any) -> None:
    from transformers import XLMRobertaForSequenceClassification

    model = small_encoder().eval()
    head = heads.make(tasks.get("xnli"), model, pooling="first").eval()
    stock = XLMRobertaForSequenceClassification(model.config).eval()
    stock.roberta.load_state_dict(model.state_dict())
    for parameter in stock.classifier.parameters():
        torch.nn.init.normal_(parameter)
    head.dense.load_state_dict(stock.classifier.dense.state_dict())
    head.output = stock.classifier.out_proj
    ids = torch.tensor([[0, 5, 6, 2], [0, 7, 2, PAD]])
    with torch.no_grad():
        logits = head.output(head.pooled(ids, (ids != PAD).long()))
        expected = stock(input_ids=ids, attention_mask=(ids != PAD).long()).logits
    assert torch.allclose(logits, expected, atol=1e-5) and logits.abs().max() > 0.1
    # Two vectors that are compared by their cosine have no such layer (Reimers & Gurevych 2019).
    assert heads.make(tasks.get("stsb"), model, "bi", "first").dense is None


def test_choices_compete_within_their_example(small_encoder: Any) -> None:
    model = small_encoder().eval()
    head = made("multiple_choice", model)
    torch.nn.init.normal_(head.output.weight, std=1.0)
    parts = [feature("multiple_choice", n, n) for n in (3, 8)]
    found = output(head, head.collate(parts, PAD))
    weight, bias = head.output.weight.detach().numpy()[0], head.output.bias.item()
    losses = []
    for part, predicted in zip(parts, found["predictions"].tolist(), strict=True):
        with torch.no_grad():
            means = [
                model(torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()
                for ids in part["input_ids"]
            ]
        scores = {i: float(weight @ mean + bias) for i, mean in enumerate(means)}
        assert predicted == max(scores, key=scores.__getitem__)
        losses.append(cross_entropy(scores, part["labels"]))
    assert found["loss"].item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_a_regressor_gives_the_squared_error(small_encoder: Any) -> None:
    for kind in ("regression", "bi"):
        head = made(kind, small_encoder())
        parts = [feature(kind, n, n) for n in (2, 5, 7)]
        found = output(head, head.collate(parts, PAD))
        gold = np.array([part["labels"] for part in parts])
        expected = np.mean((found["predictions"].numpy() - gold) ** 2)
        assert found["loss"].item() == pytest.approx(expected, rel=1e-5)


def test_a_piece_without_a_single_arc_inside_leaves_the_loss_finite(small_encoder: Any) -> None:
    head = made("parsing", small_encoder())
    piece = feature("parsing", 1, 1) | {"heads": [-100]}
    assert torch.isfinite(output(head, head.collate([piece], PAD))["loss"])


# Learning


@pytest.mark.parametrize("kind", KINDS)
def test_eight_examples_can_be_learned_by_heart(kind: str, small_encoder: Any) -> None:
    head = made(kind, small_encoder(layers=1)).train()
    batch = head.collate([feature(kind, 4, seed) for seed in range(8)], PAD)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-2, weight_decay=0.0)
    losses = []
    for _ in range(80):
        loss = head(**batch)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.15 * losses[0]


def test_every_parameter_of_a_head_is_trained(small_encoder: Any) -> None:
    for kind in set(KINDS) - {"bi"}:
        head = made(kind, small_encoder())
        head(**head.collate([feature(kind, 4, seed) for seed in range(8)], PAD))["loss"].backward()
        for name, parameter in head.named_parameters():
            if not name.startswith("encoder."):
                assert parameter.grad is not None and parameter.grad.abs().sum() > 0, (kind, name)
