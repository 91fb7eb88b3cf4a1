"""Phase 2: train the encoder on an English intermediate task, or on a placebo of one."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lib import baselines, corpora, pretraining, scoring, tasks
from lib.corpora import Example
from lib.errors import InputError
from lib.profile import Condition, Profile
from lib.results import Cell, Run, finish, finish_together, read

SAMPLES = 12


def condition_of(settings: Profile, name: str) -> Condition:
    """Return a condition of the profile; raises InputError for an unknown one."""
    if name not in settings.conditions:
        expected = ", ".join(["all", *settings.conditions])
        raise InputError(f"condition: unknown {name!r}: profile {settings.name!r} has {expected}")
    return settings.conditions[name]


def conditions_of(settings: Profile, name: str, trained: bool = False) -> list[str]:
    """Return the conditions that a name stands for: itself, or all of the profile (`all`).

    With `trained`, only those that train an intermediate task.
    """
    if name != "all":
        condition_of(settings, name)
        return [name]
    return [key for key, how in settings.conditions.items() if how.task or not trained]


def seeds_of(settings: Profile, seed: int) -> list[int]:
    """Return the seeds that a number stands for: itself, or all of the profile (0)."""
    if seed:
        check_seed(settings, seed)
    return [seed] if seed else list(settings.seeds)


def check_seed(settings: Profile, seed: int) -> None:
    """Raise InputError for a seed that is not the profile's."""
    if seed not in settings.seeds:
        raise InputError(f"seed: {seed} is not in profile {settings.name!r}: "
                         f"expected one of {sorted(settings.seeds)}")  # fmt: skip


def parameters(settings: Profile, condition: str, seed: int) -> dict[str, Any]:
    """Return all that an intermediate training depends on, the encoder's parameters included."""
    check_seed(settings, seed)
    return {
        "encoder": pretraining.parameters(settings, settings.seeds[seed]),
        "condition": condition_of(settings, condition).model_dump(),
        "intermediate": settings.intermediate.model_dump(),
        "seed": seed,
    }


def run(settings: Profile, condition: str, seed: int) -> list[Run]:
    """Train under a condition (or `all`) with a seed (or 0: all); skip what is finished.

    Returns one run for each. Where there are several, a cell of that name is written last, so that
    a workflow has one file to wait for.
    """
    started = time.perf_counter()
    names, seeds = conditions_of(settings, condition, trained=True), seeds_of(settings, seed)
    runs = [run_one(settings, name, each) for name in names for each in seeds]
    if condition == "all" or not seed:
        finish_together(Cell(settings.name, "intermediate", seed, condition), runs, started)
    return runs


def run_one(settings: Profile, condition: str, seed: int) -> Run:
    """Train under one condition; skip what is finished. Needs, and if missing makes, phase 1.

    Raises InputError for a condition without training (`none`, `random`) and for missing data.
    """
    wanted = parameters(settings, condition, seed)
    here = Cell(settings.name, "intermediate", seed, condition)
    how = condition_of(settings, condition)
    if not how.task:
        raise InputError(f"condition: {condition!r} has no intermediate training; choose another")
    done = read(here, wanted)
    if done:
        return done
    from lib import encoder, training

    location = pretraining.location(settings, settings.seeds[seed])
    started = time.perf_counter()
    training.use_threads(settings.workflow.threads)
    tokenizer = encoder.load_tokenizer(*location)
    train = _train_masked if how.task == "mlm" else _train_task
    with corpora.recording() as data:
        facts, scores = train(settings, how, seed, location, tokenizer, here)
    facts["data"] = data
    return finish(here, wanted, facts, started=started, scores=scores)


def examples_of(settings: Profile, task: str, shuffled: bool, seed: int) -> list[Example]:
    """Load the training examples of an intermediate task, trees permuted for the placebo."""
    row = tasks.get(task)
    examples = corpora.load_training(settings, row, row.train, 0)
    if shuffled:
        rng = np.random.default_rng(seed)
        examples = [permute_tree(example, rng) for example in examples]
    return examples


def permute_tree(example: Example, rng: np.random.Generator) -> Example:
    """Move a tree's nodes to random words of its sentence: the same tree shape, no syntax."""
    number = len(example["words"])
    place = rng.permutation(number)
    heads, relations = [0] * number, [""] * number
    for old, new in enumerate(place):
        head = example["heads"][old]
        heads[new] = int(place[head - 1]) + 1 if head else 0
        relations[new] = example["relations"][old]
    return example | {"heads": heads, "relations": relations}


def _train_task(
    settings: Profile, how: Condition, seed: int, location: Any, tokenizer: Any, here: Cell
) -> tuple[dict[str, Any], pd.DataFrame]:  # fmt: skip
    from lib import batches, encoder, evaluation, features, heads, training

    budget, task = settings.intermediate, tasks.get(how.task)
    assert task.validation is not None
    examples = examples_of(settings, how.task, how.shuffled, seed)
    validation = corpora.load(settings, task.validation)
    made = features.make(task, examples, tokenizer, budget.max_sequence_length, how.pair)
    training.set_seed(seed)
    model = encoder.load(*location)
    head = heads.make(task, model, how.pair, parser=how.parser).to(training.device())
    measure = partial(
        evaluation.evaluate,
        task=task,
        examples=validation,
        tokenizer=tokenizer,
        length=budget.max_sequence_length,
        batch_tokens=4 * budget.batch_tokens,
        pair=how.pair,
    )
    before, _ = measure(head)
    lengths = [batches.number_of_tokens(feature) for feature in made]
    data = batches.Batches(
        made,
        batches.plan_updates(lengths, budget.batch_tokens, budget.updates, seed),
        partial(head.collate, pad_id=tokenizer.pad_token_id),
    )
    log = _fit(settings, head, data, here, seed)
    after, predictions = measure(head)
    encoder.save(model, tokenizer, here.work / "encoder")
    facts = {
        "tokens": data.tokens(),
        "updates": len(data),
        "examples": len(examples),
        "epochs": round(sum(map(len, data.plan)) / len(made), 2),
        "labels": _labels(examples),
        "head": type(head).__name__,
        "log": log,
        "samples": _samples(validation, predictions),
    }
    rows = [
        {"moment": moment, "metric": metric, "value": value, "n": scores.n, "split": "validation"}
        for moment, scores in (("before", before), ("after", after))
        for metric, value in scores.values.items()
    ]
    if not how.shuffled:
        rows += _baselines(examples, validation)
    return facts, pd.DataFrame(rows)


def _baselines(examples: Sequence[Example], validation: Sequence[Example]) -> list[dict[str, Any]]:
    """Score what needs no encoder, on the same validation set."""
    if "heads" in validation[0]:
        train, test = (
            [{"upos": e["upos"], "head": e["heads"], "deprel": e["relations"]} for e in part]
            for part in (examples, validation)
        )
        found = baselines.parse_baselines(train, test)
    else:
        pairs = [(example["sentence1"], example["sentence2"]) for example in validation]
        gold = [float(example["label"]) for example in validation]
        similarity = baselines.bag_of_words_similarity(pairs).tolist()
        found = {"bag_of_words": scoring.score_regression(gold, similarity)}
    return [
        {"moment": name, "metric": metric, "value": value, "n": scores.n, "split": "validation"}
        for name, scores in found.items()
        for metric, value in scores.values.items()
    ]


def _train_masked(
    settings: Profile, how: Condition, seed: int, location: Any, tokenizer: Any, here: Cell
) -> tuple[dict[str, Any], pd.DataFrame]:  # fmt: skip
    """Continue MLM on the very text of a task: same tokens and updates, no labels."""
    from lib import batches, encoder, heads, training

    budget, masking = settings.intermediate, settings.pretraining
    examples = examples_of(settings, how.text_of, False, seed)
    special = batches.SpecialTokens.of(tokenizer)
    ids = tokenizer(text_of(examples), add_special_tokens=False)["input_ids"]
    blocks = batches.cut_blocks(ids, masking.block_tokens, special)
    per_batch = max(1, budget.batch_tokens // masking.block_tokens)
    sizes: dict[str, int] = {settings.source_language: len(blocks)}
    plan = pretraining.sample_blocks(sizes, 1.0, budget.updates, per_batch, seed)
    training.set_seed(seed)
    model = encoder.load_for_mlm(*location)
    data = batches.MaskedBlocks(
        blocks, plan, special, len(tokenizer), masking.masking_probability, seed
    )
    log = _fit(settings, heads.MaskedLanguageModel(model), data, here, seed)
    encoder.save(model, tokenizer, here.work / "encoder")
    facts = {
        "tokens": len(data) * per_batch * masking.block_tokens,
        "updates": len(data),
        "examples": len(examples),
        "labels": 0,
        "head": "MaskedLanguageModel",
        "log": log,
    }
    rows = [
        {"moment": moment, "metric": "loss", "value": row["loss"], "n": 0, "split": "train"}
        for moment, row in (("before", log[0]), ("after", log[-1]))
    ]
    return facts, pd.DataFrame(rows)


def _fit(settings: Profile, model: Any, data: Any, here: Cell, seed: int) -> list[dict[str, float]]:
    from lib import training

    budget = settings.intermediate
    return training.train(
        model,
        data,
        here.work,
        learning_rate=budget.learning_rate,
        warmup_ratio=budget.warmup_ratio,
        weight_decay=budget.weight_decay,
        seed=seed,
        what=here.key,
    )


def text_of(examples: Sequence[Example]) -> list[str]:
    """Return the sentences of parsing or sentence-pair examples."""
    if "words" in examples[0]:
        return [" ".join(example["words"]) for example in examples]
    return [example[side] for example in examples for side in ("sentence1", "sentence2")]


def _labels(examples: Sequence[Example]) -> int:
    """Count the labels that a pass over the examples gives: arcs, or pairs."""
    return sum(len(example["words"]) if "words" in example else 1 for example in examples)


def _samples(examples: Sequence[Example], predictions: Sequence[Any]) -> list[dict[str, Any]]:
    """Keep a few examples beside their predictions, for a person to look at."""
    chosen = range(0, len(examples), max(1, len(examples) // SAMPLES))
    return [{**examples[i], "predicted": predictions[i]} for i in list(chosen)[:SAMPLES]]
