"""Phase 2: train the encoder on an English intermediate task, or on a placebo of one."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lib import baselines, corpora, pretraining, tasks
from lib.corpora import Example
from lib.errors import InputError
from lib.profile import Condition, Profile
from lib.results import Cell, Run, finish, finish_together, read
from lib.scoring import Scores
from lib.tasks import Task

SAMPLES = 12
MLM = "mlm"


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
    train = _train_masked if how.task == MLM else _train_tasks
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


@dataclass
class _Part:
    """One task of a training: its head on the shared encoder, its batches, its validation."""

    task: Task
    head: Any
    examples: Sequence[Example]
    validation: Sequence[Example]
    features: Sequence[Any]
    measure: Callable[[], tuple[Scores, list[Any]]]
    data: Any = None

    def plan(self, updates: int, batch_tokens: int, pad_id: int, seed: int) -> None:
        """Plan so many updates."""
        from lib import batches

        lengths = [batches.number_of_tokens(feature) for feature in self.features]
        plan = batches.plan_updates(lengths, batch_tokens, updates, seed)
        self.data = batches.Batches(self.features, plan, partial(self.head.collate, pad_id=pad_id))

    def epochs(self) -> float:
        """Count how often the planned batches read the examples."""
        return round(sum(map(len, self.data.plan)) / len(self.features), 2)


def _part(
    settings: Profile, how: Condition, name: str, seed: int, tokenizer: Any, model: Any
) -> _Part:
    from lib import evaluation, features, heads, training

    budget, row = settings.intermediate, tasks.get(name)
    assert row.validation is not None
    examples = examples_of(settings, name, how.shuffled, seed)
    task = features.with_labels(row, examples)
    validation = corpora.load(settings, row.validation, limit=budget.evaluation_examples)
    made = features.make(task, examples, tokenizer, budget.max_sequence_length, how.pair)
    head = heads.make(task, model, how.pair, parser=how.parser).to(training.device())
    measure = partial(
        evaluation.evaluate, head, task, validation, tokenizer,
        length=budget.max_sequence_length, batch_tokens=4 * budget.batch_tokens, pair=how.pair,
    )  # fmt: skip
    return _Part(task, head, examples, validation, made, measure)


def _train_tasks(
    settings: Profile, how: Condition, seed: int, location: Any, tokenizer: Any, here: Cell
) -> tuple[dict[str, Any], pd.DataFrame]:  # fmt: skip
    """Train a task, or several at once, with or without MLM on all languages beside them."""
    from lib import encoder, heads, mixture, training

    budget = settings.intermediate
    training.set_seed(seed)
    joint = encoder.load_for_mlm(*location) if how.joint_mlm else None
    model = joint.base_model if joint else encoder.load(*location)
    parts = {name: _part(settings, how, name, seed, tokenizer, model) for name in how.trained}
    sizes = {name: len(part.examples) for name, part in parts.items()}
    shares = mixture.shares(sizes, how.cap, how.temperature)
    shares = {name: (1 - how.joint_mlm) * share for name, share in shares.items()}
    if joint:
        shares[MLM] = how.joint_mlm
    order = mixture.order(shares, budget.updates, seed)
    updates = Counter(order)
    before = {name: part.measure()[0] for name, part in parts.items()}
    for name, part in parts.items():
        part.plan(updates[name], budget.batch_tokens, tokenizer.pad_token_id, seed)
    all_heads = {name: part.head for name, part in parts.items()}
    data = {name: part.data for name, part in parts.items()}
    tokens = {name: part.data.tokens() for name, part in parts.items()}
    if joint:
        texts = pretraining.texts_of(settings)
        data[MLM], _, _ = pretraining.masked_text(
            settings, texts, tokenizer, updates[MLM], budget.batch_tokens, seed
        )
        all_heads[MLM] = heads.MaskedLanguageModel(joint).to(training.device())
        tokens[MLM] = updates[MLM] * pretraining.tokens_of_update(settings, budget.batch_tokens)
    if len(data) == 1:
        (trained,), (batches,) = all_heads.values(), data.values()
    else:
        trained, batches = mixture.MixtureOfHeads(all_heads), mixture.Mixture(data, order)
    log = _fit(settings, trained, batches, here, seed)
    after = {name: part.measure() for name, part in parts.items()}
    encoder.save(joint or model, tokenizer, here.work / "encoder")
    facts = {
        "tokens": sum(tokens.values()),
        "updates": budget.updates,
        "examples": sum(sizes.values()),
        "labels": sum(_labels(part.examples) for part in parts.values()),
        "head": ", ".join(type(head).__name__ for head in all_heads.values()),
        "log": log,
        "epochs": {name: part.epochs() for name, part in parts.items()},
        "updates_of": dict(updates),
        "tokens_of": tokens,
        "samples": [
            sample
            for name, part in parts.items()
            for sample in _samples(name, part.validation, after[name][1])
        ],
    }
    rows = []
    for name, part in parts.items():
        found = {"before": before[name], "after": after[name][0]}
        if not how.shuffled:
            found |= baselines.of_task(part.task, part.examples, part.validation)
        rows += [
            {"task": name, "moment": moment, "metric": metric, "value": value, "n": scores.n,
             "split": "validation"}
            for moment, scores in found.items()
            for metric, value in scores.values.items()
            if metric in before[name].values
        ]  # fmt: skip
    return facts, pd.DataFrame(rows)


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
        {"task": MLM, "moment": moment, "metric": "loss", "value": row["loss"], "n": 0,
         "split": "train"}
        for moment, row in (("before", log[0]), ("after", log[-1]))
    ]  # fmt: skip
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
    """Return the text of examples of any kind: all that the task's own model reads."""
    if "words" in examples[0]:
        return [" ".join(example["words"]) for example in examples]
    sides = [key for key in ("sentence1", "sentence2", "context", "question") if key in examples[0]]
    return [
        text
        for example in examples
        for text in [*(example[side] for side in sides), *example.get("choices", [])]
    ]


def _labels(examples: Sequence[Example]) -> int:
    """Count the labels that a pass over the examples gives: words, or one each."""
    return sum(len(example["words"]) if "words" in example else 1 for example in examples)


def _samples(
    task: str, examples: Sequence[Example], predictions: Sequence[Any]
) -> list[dict[str, Any]]:
    """Keep a few examples beside their predictions, for a person to look at."""
    chosen = range(0, len(examples), max(1, len(examples) // SAMPLES))
    kept = list(chosen)[:SAMPLES]
    return [{**examples[i], "task": task, "predicted": predictions[i]} for i in kept]


def look_at(run: Run) -> pd.DataFrame:
    """Return a run's samples as a table of what is read, right and predicted; trees have none."""
    rows = []
    for sample in run.samples:
        predicted = sample["predicted"]
        if "heads" in sample:
            continue
        if "tags" in sample:
            lines = zip(sample["words"], sample["tags"], predicted, strict=True)
            rows += [dict(zip(("word", "gold", "predicted"), line, strict=True)) for line in lines]
        elif "answers" in sample:
            gold = " | ".join(dict.fromkeys(sample["answers"])) or "(no answer)"
            rows += [{"question": sample["question"], "gold": gold, "predicted": predicted}]
        elif "choices" in sample:
            place = tasks.get(sample["task"]).labels.index
            given = " ".join(sample[key] for key in ("context", "question") if key in sample)
            gold, chosen = (sample["choices"][place(str(e))] for e in (sample["label"], predicted))
            rows += [{"given": given, "gold": gold, "predicted": chosen}]
        else:
            sides = {side: sample[side] for side in ("sentence1", "sentence2")}
            rows += [sides | {"gold": sample["label"], "predicted": predicted}]
    return pd.DataFrame(rows)
