"""What a profile sets reaches what it is for: each setting and seed is seen where it is used."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch

from lib import (
    batches,
    corpora,
    evaluation,
    feature_cache,
    heads,
    intermediate,
    layers,
    mixture,
    pretraining,
    tasks,
    text_blocks,
    training,
    transfer,
)

SEED, ENCODER = 3, 2  # of a seed and its encoder: one in place of the other would be seen
SMALL = {"updates": 2, "batch_tokens": 192, "max_sequence_length": 64}
OWN = SMALL | {"max_sequence_length": 48, "evaluation_examples": 5}
Spy = Callable[[Any, str], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def study(every_row: Any) -> Any:
    made = every_row(
        "wired",
        seeds={SEED: ENCODER},
        pretraining={"tokens": 1000, "block_tokens": 32, "batch_tokens": 256,
                     "masking_probability": 0.4, "language_exponent": 0.7},
        conditions={
            "none": {}, "random": {"random_encoder": True}, "ud_parsing": {"task": "ud_parsing"},
            "stsb": {"task": "stsb"},
            "stsb-bi": {"task": "stsb", "pair": "bi", "pooling": "first", "budget": OWN},
            "placebo": {"task": "mlm", "text_of": "stsb"},
            "joint": {"task": "stsb", "joint_mlm": 0.5},
            "mixed": {"task": "multitask", "tasks": ["ud_parsing", "stsb"], "cap": 7,
                      "temperature": 2.0},
        },
        targets={
            "xnli": OWN | {"pooling": "first", "train_examples": 12},
            "tatoeba": {"pooling": "first", "batch_tokens": 64}, "mlqa": SMALL,
        },
        clean_targets=["xnli"],
    )  # fmt: skip
    pretraining.run(made, ENCODER)
    return made


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    """Return what notes the arguments of every call of a function of a module, and lets it work."""

    def watch(module: Any, name: str) -> list[dict[str, Any]]:
        real, seen = getattr(module, name), []
        signature = inspect.signature(real)

        def called(*given: Any, **named: Any) -> Any:
            bound = signature.bind(*given, **named)
            bound.apply_defaults()
            seen.append(bound.arguments)
            return real(*given, **named)

        monkeypatch.setattr(module, name, called)
        return seen

    return watch


def values(seen: list[dict[str, Any]], key: str) -> set[Any]:
    assert seen, "it was not called"
    return {each[key] for each in seen}


def test_a_target_is_trained_and_evaluated_as_its_profile_says(study: Any, spy: Spy) -> None:
    made, prepared = spy(feature_cache, "make"), spy(evaluation, "prepare")
    loaded, trained = spy(corpora, "load"), spy(corpora, "load_training")
    built, planned = spy(heads, "make"), spy(batches, "plan_training")
    seeded, placed = spy(training, "set_seed"), spy(pretraining, "location")
    (run,) = transfer.run(study, "none", "xnli", SEED)
    assert values(made, "length") == values(prepared, "length") == {48}
    assert values(loaded, "limit") == {5} and values(trained, "limit") == {12}
    assert values(built, "pooling") == {"first"}
    assert values(planned, "seed") == values(seeded, "seed") == {SEED}
    assert values(placed, "encoder_seed") == {ENCODER} == set(run.scores["encoder_seed"])


def test_answers_are_scored_by_the_rules_of_their_language(study: Any, spy: Spy) -> None:
    scored = spy(evaluation, "score")
    transfer.run(study, "none", "mlqa", SEED)
    of_sets = [(each["language"], each["examples"]) for each in scored]
    assert {language for language, _ in of_sets} == set(study.languages)
    row = tasks.get("mlqa").evaluation
    for language, examples in of_sets[: len(study.languages)]:  # then the development set
        assert examples == corpora.load(study, row, language)


def test_retrieval_pools_as_its_profile_says(study: Any, spy: Spy) -> None:
    embedded = spy(evaluation, "embed")
    transfer.run(study, "none", "tatoeba", SEED)
    assert values(embedded, "pooling") == {"first"} and values(embedded, "batch_tokens") == {256}


def test_a_condition_is_trained_as_its_profile_says(study: Any, spy: Spy) -> None:
    made, evaluated = spy(feature_cache, "make"), spy(evaluation, "evaluate")
    loaded, built = spy(corpora, "load"), spy(heads, "make")
    planned, seeded = spy(batches, "plan_training"), spy(training, "set_seed")
    placed = spy(pretraining, "location")
    intermediate.run(study, "stsb-bi", SEED)
    for seen in (made, evaluated):
        assert values(seen, "length") == {48} and values(seen, "pair") == {"bi"}
    assert values(loaded, "limit") == {5} and values(built, "pooling") == {"first"}
    assert values(planned, "seed") == values(seeded, "seed") == {SEED}
    assert values(placed, "encoder_seed") == {ENCODER}


def test_a_mixture_is_drawn_as_its_profile_says(study: Any, spy: Spy) -> None:
    shared, ordered = spy(mixture, "shares"), spy(mixture, "order")
    intermediate.run(study, "mixed", SEED)
    assert values(shared, "cap") == {7} and values(shared, "temperature") == {2.0}
    assert values(ordered, "seed") == {SEED}


def test_mlm_beside_a_task_reads_the_text_of_its_encoder(study: Any, spy: Spy) -> None:
    blocks, masked = spy(text_blocks, "monolingual"), spy(text_blocks, "masked")
    sampled = spy(text_blocks, "sample")
    intermediate.run(study, "joint", SEED)
    assert values(blocks, "encoder_seed") == {ENCODER} and values(masked, "seed") == {SEED}
    assert values(sampled, "exponent") == {0.7} and values(sampled, "seed") == {SEED}


def test_a_placebo_of_mlm_is_masked_as_pretraining_is(study: Any, spy: Spy) -> None:
    sampled, masked = spy(text_blocks, "sample"), spy(batches, "MaskedBlocks")
    intermediate.run(study, "placebo", SEED)
    assert values(sampled, "seed") == values(masked, "seed") == {SEED}
    assert values(masked, "probability") == {0.4}


def test_an_encoder_is_judged_by_text_that_it_has_not_read(study: Any, spy: Spy) -> None:
    judged = spy(pretraining, "validated")
    masked = spy(text_blocks, "masked")
    other = study.model_copy(update={"name": "wired-again", "seeds": {SEED: SEED}})
    pretraining.run(other, SEED)
    prepared = text_blocks.prepare(other, SEED)
    for code, blocks in judged[0]["held_out"].items():
        assert torch.equal(blocks, prepared.blocks.held_out[code])
    assert values(masked, "seed") == {SEED}


def test_a_set_is_shuffled_before_it_is_cut_short(study: Any) -> None:
    row = tasks.get("stsb")
    whole, some = (corpora.load_training(study, row, row.train, number) for number in (0, 8))
    assert some == whole[:8]
    numbers = [int(example["id"]) for example in whole]
    assert sorted(numbers) != numbers


def test_two_seeds_permute_trees_apart_and_translations_are_read(study: Any) -> None:
    how = study.conditions["ud_parsing"].model_copy(update={"shuffled": True})
    first, again, second = (
        intermediate.examples_of(study, "ud_parsing", how, seed) for seed in (1, 1, 2)
    )
    assert first == again != second
    how = study.conditions["stsb"].model_copy(update={"task": "mnli", "translated": ["qaa"]})
    foreign = intermediate.examples_of(study, "mnli", how, SEED)
    row = tasks.get("mnli")
    assert foreign == corpora.load_training(study, row, row.train, 0, ["qaa"])
    assert foreign != corpora.load_training(study, row, row.train, 0)


def test_analyses_read_the_encoder_that_fine_tuning_starts_from(study: Any) -> None:
    loaded = layers.load(study, "none", SEED)
    assert loaded is not None and loaded.encoder_seed == ENCODER
    from lib import encoder

    own = encoder.load(pretraining.cell(study, ENCODER).folder / "encoder", how=study.encoder)
    for one, other in zip(loaded.model.parameters(), own.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_sentence_is_embedded_alike_beside_a_longer_one(small_encoder: Any, letters: Any) -> None:
    model = small_encoder()
    alone = evaluation.embed(model, ["ab"], letters, batch_tokens=4)
    beside = evaluation.embed(model, ["ab", "cdefghijk"], letters, batch_tokens=400)
    assert torch.allclose(*(torch.tensor(found[:, 0]) for found in (alone, beside)), atol=1e-6)
