"""Phase 2: train the encoder on an English intermediate task, or on a placebo of one."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd

from lib import baselines, corpora, pretraining, tasks
from lib.corpora import Example
from lib.errors import InputError
from lib.examples import number_of_labels, permute_tree, samples, text_of
from lib.making import once
from lib.profile import Condition, Intermediate, Profile
from lib.results import Cell, Run, finish, finish_together
from lib.scoring import Scores
from lib.tasks import Task

MLM = "mlm"
HEAD = "head.safetensors"  # of a parser, beside its encoder


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


def runs_of(
    settings: Profile, condition: str, seed: int, trained: bool = False
) -> list[tuple[str, int]]:
    """Return the (condition, seed) that names stand for: `all` and 0 are all of the profile.

    With `trained`, only conditions that train an intermediate task, where `all` is asked for.
    Raises InputError for a seed that the profile, or the one condition, does not have.
    """
    names = conditions_of(settings, condition, trained)
    if seed:
        check_seed(settings, seed, condition)
    runs = [(name, each) for name in names for each in settings.seeds_of(name)]
    return [run for run in runs if seed in (0, run[1])]


def check_seed(settings: Profile, seed: int, condition: str = "all") -> None:
    """Raise InputError for a seed that is not the profile's, or not the condition's."""
    seeds = settings.seeds_of(condition)
    if seed not in seeds:
        whose = f" for {condition}" if seed in settings.seeds else ""
        raise InputError(f"seed: {seed} is not in profile {settings.name!r}{whose}: "
                         f"expected one of {sorted(seeds)}")  # fmt: skip


def parameters(settings: Profile, condition: str, seed: int) -> dict[str, Any]:
    """Return all that an intermediate training depends on, the encoder's parameters included."""
    how = condition_of(settings, condition)
    check_seed(settings, seed, condition)
    rows = [tasks.get(name) for name in (*how.trained, how.text_of) if name and name != MLM]
    return {
        "encoder": pretraining.parameters(settings, settings.seeds[seed]),
        "condition": how.model_dump(exclude={"budget", "seeds"}),
        "intermediate": settings.budget_of(condition).model_dump(),
        "seed": seed,
        "tasks": {row.name: corpora.described(row, row.train, ()) for row in rows},
    }


def run(settings: Profile, condition: str, seed: int) -> list[Run]:
    """Train under a condition (or `all`) with a seed (or 0: all); skip what is finished.

    Returns one run for each. Where there are several, a cell of that name is written last, so that
    a workflow has one file to wait for.
    """
    started = time.perf_counter()
    runs = [run_one(settings, *each) for each in runs_of(settings, condition, seed, trained=True)]
    if condition == "all" or not seed:
        finish_together(Cell(settings.name, "intermediate", seed, condition), runs, started)
    return runs


def run_one(settings: Profile, condition: str, seed: int) -> Run:
    """Train under one condition; skip what is finished. Needs, and if missing makes, phase 1.

    Raises InputError for a condition without training (`none`, `random`) and for missing data.
    """
    wanted = parameters(settings, condition, seed)
    here = Cell(settings.name, "intermediate", seed, condition)
    if not condition_of(settings, condition).task:
        raise InputError(f"condition: {condition!r} has no intermediate training; choose another")
    return once(here, wanted, partial(_make, settings, here, wanted))


def _make(settings: Profile, here: Cell, wanted: dict[str, Any]) -> Run:
    from lib import encoder, training

    condition, seed, how = here.condition, here.seed, settings.conditions[here.condition]
    location = pretraining.location(settings, settings.seeds[seed])
    started = time.perf_counter()
    training.use_threads(settings.workflow.threads)
    tokenizer = encoder.load_tokenizer(*location)
    job = _Job(settings, how, settings.budget_of(condition), seed, location, tokenizer, here)
    with corpora.recording() as data:
        facts, scores = _train_masked(job) if how.task == MLM else _train_tasks(job)
    return finish(here, wanted, facts | {"data": data}, started=started, scores=scores)


def parser_of(settings: Profile, condition: str, seed: int) -> tuple[Any, Any]:
    """Return the parser that a condition trained, and its tokenizer, ready to predict.

    Raises InputError where the condition trains no parser, or its cell is not finished.
    """
    from lib import encoder, heads

    how = condition_of(settings, condition)
    named = [task for task in how.trained if task and tasks.get(task).kind == "parsing"]
    if not named:
        raise InputError(f"condition: {condition!r} trains no parser; choose another")
    folder = Cell(settings.name, "intermediate", seed, condition).folder
    if not (folder / HEAD).is_file():
        raise InputError(f"{folder}: no parser; run `{settings.command()}` first")
    model = encoder.load(folder / "encoder", how=settings.encoder)
    head = heads.make(tasks.get(named[0]), model, parser=how.parser)
    heads.restore(head, folder / HEAD)
    return head.to(encoder.device()).eval(), encoder.load_tokenizer(folder / "encoder")


def examples_of(settings: Profile, task: str, how: Condition, seed: int) -> list[Example]:
    """Load the examples that a condition trains a task on: translated, or with permuted trees."""
    row = tasks.get(task)
    examples = corpora.load_training(settings, row, row.train, how.examples, how.translated)
    if how.shuffled:
        rng = np.random.default_rng(seed)
        examples = [permute_tree(example, rng) for example in examples]
    return examples


@dataclass
class _Job:
    """What a training of phase 2 needs to know."""

    settings: Profile
    how: Condition
    budget: Intermediate
    seed: int
    location: tuple[str, str]
    tokenizer: Any
    here: Cell

    def fit(self, model: Any, data: Any) -> list[dict[str, float]]:
        """Train a head or several; return the log."""
        from lib import training

        wanted = parameters(self.settings, self.here.condition, self.seed)
        minutes = self.settings.workflow.checkpoint_minutes
        return training.fit(model, data, self.budget, self.here, wanted, minutes)


@dataclass
class _Part:
    """One task of a training: its head on the shared encoder, its features, its validation."""

    task: Task
    head: Any
    examples: Sequence[Example]
    validation: Sequence[Example]
    features: Sequence[Any]
    lengths: Sequence[int]
    measure: Callable[[], tuple[Scores, list[Any]]]

    @classmethod
    def of(cls, job: _Job, name: str, model: Any) -> Self:
        """Load a task's data and put a fresh head on the encoder."""
        from lib import batches, encoder, evaluation, feature_cache, features, heads

        budget, row, how = job.budget, tasks.get(name), job.how
        assert row.validation is not None
        examples = examples_of(job.settings, name, how, job.seed)
        task = features.with_labels(row, examples)
        validation = corpora.load(job.settings, row.validation, limit=budget.evaluation_examples)
        length = budget.max_sequence_length
        made = feature_cache.make(task, examples, job.tokenizer, length, how.pair)
        head = heads.make(task, model, how.pair, how.pooling, how.parser).to(encoder.device())
        measure = partial(
            evaluation.evaluate, head, task, validation, job.tokenizer,
            length=length, batch_tokens=4 * budget.batch_tokens, pair=how.pair,
        )  # fmt: skip
        lengths = [batches.number_of_tokens(feature) for feature in made]
        return cls(task, head, examples, validation, made, lengths, measure)

    def planned(self, job: _Job, updates: int) -> Any:
        """Return the batches of so many updates."""
        from lib import batches

        plan = batches.plan_training(self.lengths, job.budget, job.seed, updates)
        collate = partial(self.head.collate, pad_id=job.tokenizer.pad_token_id)
        return batches.Batches(self.features, plan, collate, job.budget.tokens_at_once)


def _train_tasks(job: _Job) -> tuple[dict[str, Any], pd.DataFrame]:
    """Train a task, or several at once, with or without MLM on all languages beside them."""
    from lib import encoder, heads, mixture, training

    training.set_seed(job.seed)
    load = encoder.load_for_mlm if job.how.joint_mlm else encoder.load
    whole = load(*job.location, job.settings.encoder)
    model = whole.base_model
    parts = {name: _Part.of(job, name, model) for name in job.how.trained}
    order = _order(job, parts)
    updates = Counter(order)
    before = {name: part.measure()[0] for name, part in parts.items()}
    data = {name: part.planned(job, updates[name]) for name, part in parts.items()}
    all_heads = {name: part.head for name, part in parts.items()}
    tokens = {name: data[name].tokens() for name in parts}
    if job.how.joint_mlm:
        data[MLM], all_heads[MLM], tokens[MLM] = _joint(job, whole, updates[MLM])
    if len(data) == 1:
        (trained,), (batches,) = all_heads.values(), data.values()
    else:
        trained, batches = mixture.MixtureOfHeads(all_heads), mixture.Mixture(data, order)
    log = job.fit(trained, batches)
    after = {name: part.measure() for name, part in parts.items()}
    encoder.save(whole, job.tokenizer, job.here.work / "encoder")
    for part in parts.values():
        if part.task.kind == "parsing":
            heads.save(part.head, job.here.work / HEAD)
    facts = {
        "tokens": sum(tokens.values()),
        "updates": len(order),
        "examples": sum(len(part.examples) for part in parts.values()),
        "labels": sum(number_of_labels(part.examples) for part in parts.values()),
        "head": ", ".join(type(head).__name__ for head in all_heads.values()),
        "log": log,
        "epochs": {name: data[name].epochs() for name in parts},
        "padding": {name: data[name].padding() for name in parts},
        **encoder.reading(model),
        "updates_of": dict(updates),
        "tokens_of": tokens,
        "samples": [
            sample
            for name, part in parts.items()
            for sample in samples(name, part.validation, after[name][1])
        ],
    }
    found = {name: {"before": before[name], "after": after[name][0]} for name in parts}
    return facts, _scores(job.how, parts, found)


def _order(job: _Job, parts: dict[str, _Part]) -> list[str]:
    """Draw which task each update belongs to; MLM has its share of all updates.

    Epochs are those of all tasks together; MLM comes on top of them.
    """
    from lib import batches, mixture

    share, budget = job.how.joint_mlm, job.budget
    updates = budget.updates
    if not updates:
        each = (batches.number_of_updates(part.lengths, budget) for part in parts.values())
        updates = round(sum(each) / (1 - share))
    sizes = {name: len(part.examples) for name, part in parts.items()}
    shares = mixture.shares(sizes, job.how.cap, job.how.temperature)
    shares = {name: (1 - share) * of_task for name, of_task in shares.items()}
    return mixture.order(shares | ({MLM: share} if share else {}), updates, job.seed)


def _joint(job: _Job, model: Any, updates: int) -> tuple[Any, Any, int]:
    """Return the batches of MLM on the text of every language, its head, and its tokens."""
    from lib import heads, text_blocks

    settings = job.settings
    blocks = text_blocks.monolingual(settings, settings.seeds[job.seed], job.tokenizer)
    data = text_blocks.masked(settings, blocks, job.tokenizer, updates, job.budget, job.seed)
    head = heads.MaskedLanguageModel(model)
    tokens = text_blocks.tokens_of_update(settings, job.budget.batch_tokens)
    return data, head, updates * tokens


def _scores(
    how: Condition, parts: dict[str, _Part], found: dict[str, dict[str, Scores]]
) -> pd.DataFrame:
    """Return a row per task, moment and metric, with what needs no encoder beside them."""
    rows = []
    for name, part in parts.items():
        moments = dict(found[name])
        if not how.shuffled:
            moments |= baselines.of_task(part.task, part.examples, part.validation)
        rows += [
            {"task": name, "moment": moment, "metric": metric, "value": value, "n": scores.n,
             "split": "validation"}
            for moment, scores in moments.items()
            for metric, value in scores.values.items()
            if metric in moments["before"].values
        ]  # fmt: skip
    return pd.DataFrame(rows)


def _train_masked(job: _Job) -> tuple[dict[str, Any], pd.DataFrame]:
    """Continue MLM on the very text of a task: same tokens and updates, no labels."""
    from lib import batches, encoder, heads, text_blocks, training

    settings, masking = job.settings, job.settings.pretraining
    examples = examples_of(settings, job.how.text_of, job.how, job.seed)
    special = batches.SpecialTokens.of(job.tokenizer)
    ids = job.tokenizer(text_of(examples), add_special_tokens=False)["input_ids"]
    blocks = batches.cut_blocks(ids, masking.block_tokens, special)
    tokens = text_blocks.tokens_of_update(settings, job.budget.batch_tokens)
    lengths = [masking.block_tokens] * len(blocks)
    updates = batches.number_of_updates(lengths, job.budget)
    per_batch = tokens // masking.block_tokens
    plan = text_blocks.sample([len(blocks)], 1.0, updates, per_batch, job.seed)
    training.set_seed(job.seed)
    model = encoder.load_for_mlm(*job.location, settings.encoder)
    data = batches.MaskedBlocks(
        blocks, plan, special, len(job.tokenizer), masking.masking_probability, job.seed,
        job.budget.tokens_at_once,
    )  # fmt: skip
    log = job.fit(heads.MaskedLanguageModel(model), data)
    encoder.save(model, job.tokenizer, job.here.work / "encoder")
    facts = {
        "tokens": updates * tokens,
        "updates": updates,
        "examples": len(examples),
        "labels": 0,
        "head": "MaskedLanguageModel",
        "log": log,
        "padding": 0.0,
        **encoder.reading(model),
    }
    rows = [
        {"task": MLM, "moment": moment, "metric": "loss", "value": row["loss"], "n": 0,
         "split": "train"}
        for moment, row in (("before", log[0]), ("after", log[-1]))
    ]  # fmt: skip
    return facts, pd.DataFrame(rows)
