"""Phase 3: fine-tune on the source language, evaluate zero-shot in every other."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any

import pandas as pd

from lib import corpora, intermediate, pretraining, tasks
from lib.errors import InputError
from lib.profile import Profile, Target, data_root
from lib.results import Cell, Run, finish, finish_together, read
from lib.tasks import Task


def targets_of(settings: Profile, target: str) -> list[str]:
    """Return the targets that a name stands for: itself, or all of the profile (`all`)."""
    if target == "all":
        return list(settings.targets)
    if target not in settings.targets:
        expected = ", ".join(["all", *settings.targets])
        raise InputError(f"target: unknown {target!r}: profile {settings.name!r} has {expected}")
    return [target]


def parameters(settings: Profile, condition: str, target: str, seed: int) -> dict[str, Any]:
    """Return all that a score depends on, the earlier phases' parameters included."""
    budget = settings.targets[target]
    languages = settings.evaluated_languages(condition, seed)
    earlier = intermediate.parameters(settings, condition, seed)
    if not intermediate.condition_of(settings, condition).task:
        del earlier["intermediate"]
    return earlier | {"target": budget.model_dump(), "name": target, "languages": languages}


def run(settings: Profile, condition: str, target: str, seed: int) -> list[Run]:
    """Fine-tune and evaluate; condition and target may be `all`, seed 0. Skips what is finished.

    Needs, and if missing makes, the earlier phases. Returns one run per condition, seed and target.
    Where one call stands for several, a cell of its name is written last, so that a workflow has
    one file to wait for.
    """
    names = intermediate.conditions_of(settings, condition)
    seeds, targets = intermediate.seeds_of(settings, seed), targets_of(settings, target)
    started = time.perf_counter()
    runs = [
        _run_one(settings, name, which, each)
        for name in names
        for each in seeds
        for which in targets
    ]
    if "all" in (condition, target) or not seed:
        together = Cell(settings.name, "transfer", seed, condition, target)
        finish_together(together, runs, started)
    return runs


def _run_one(settings: Profile, condition: str, target: str, seed: int) -> Run:
    wanted = parameters(settings, condition, target, seed)
    here = Cell(settings.name, "transfer", seed, condition, target)
    done = read(here, wanted)
    if done:
        return done
    how = intermediate.condition_of(settings, condition)
    if how.task:
        earlier = intermediate.run_one(settings, condition, seed)
        location = (str(earlier.cell.folder / "encoder"), "")
    else:
        location = pretraining.location(settings, settings.seeds[seed])
    from lib import encoder, training

    started = time.perf_counter()
    training.use_threads(settings.workflow.threads)
    training.set_seed(seed)
    tokenizer = encoder.load_tokenizer(*location)
    model = encoder.load(*location, random=how.random_encoder).to(training.device())
    task, budget = tasks.get(target), settings.targets[target]
    with corpora.recording() as data:
        sets, absent = evaluation_sets(settings, task, budget, wanted["languages"])
        if task.evaluation and "gold" in task.evaluation.columns:
            found = _mine(settings, here, task, budget, model, tokenizer, sets)
        elif task.kind == "retrieval":
            baseline = not how.task and not how.random_encoder
            found = _retrieve(task, budget, model, tokenizer, sets, baseline)
        else:
            found = _fine_tune(settings, here, task, budget, model, tokenizer, sets)
    rows, predictions, facts = found
    facts |= {"not_found": absent, "data": data}
    scores = pd.DataFrame(rows).assign(
        condition=condition, target=target, seed=seed, encoder_seed=settings.seeds[seed]
    )
    scores["layer"] = scores["layer"].astype("Int64")
    return finish(
        here, wanted, facts, started=started, scores=scores, predictions=pd.concat(predictions)
    )


def evaluation_sets(
    settings: Profile, task: Task, budget: Target, languages: list[str]
) -> tuple[dict[str, list[corpora.Example]], list[str]]:
    """Load what each language is evaluated on; say in a line which configurations are not there.

    XTREME's own list of languages limits a real task; a world has every language in every task.
    """
    source = corpora.evaluation_source(task, budget.split)
    found, absent = {}, []
    for code in languages:
        if settings.world is None and code not in task.languages:
            continue
        if task.kind == "retrieval" and code == settings.source_language:
            continue
        examples = corpora.load(settings, source, code, budget.evaluation_examples, required=False)
        if examples:
            found[code] = examples
        else:
            absent.append(code)
    if absent:
        print(f"{task.name}: {source.dataset} {source.config} {source.split} has no "
              f"{', '.join(absent)}")  # fmt: skip
    if not found:
        raise InputError(f"{task.name}: no language of the profile has {source.dataset} "
                         f"{source.config} {source.split}")  # fmt: skip
    return found, absent


def _fine_tune(
    settings: Profile,
    here: Cell,
    task: Task,
    budget: Target,
    model: Any,
    tokenizer: Any,
    sets: dict[str, list[corpora.Example]],
) -> tuple[list[dict[str, Any]], list[pd.DataFrame], dict[str, Any]]:
    from lib import batches, evaluation, features, heads, training

    names = budget.train or task.train
    examples = corpora.load_training(settings, task, names, budget.train_examples)
    made = features.make(task, examples, tokenizer, budget.max_sequence_length, budget.pair)
    head = heads.make(task, model, budget.pair, budget.pooling).to(training.device())
    lengths = [batches.number_of_tokens(feature) for feature in made]
    plan = batches.plan_training(lengths, budget, here.seed)
    data = batches.Batches(made, plan, partial(head.collate, pad_id=tokenizer.pad_token_id))
    log = training.fit(head, data, budget, here, here.seed)
    split = corpora.evaluation_source(task, budget.split).split
    jobs = [(code, split, found) for code, found in sets.items()]
    # An evaluation on the validation split already holds the source language's.
    if (
        task.validation
        and task.evaluation
        and (split != "validation" or task.validation.dataset != task.evaluation.dataset)
    ):
        limit = budget.evaluation_examples
        source = settings.source_language
        development = corpora.load(settings, task.validation, source, limit, required=False)
        jobs += [(source, "development", development)] if development else []
    rows, predictions = [], []
    for code, which, found in jobs:
        scores, _ = evaluation.evaluate(
            head,
            task,
            found,
            tokenizer,
            length=budget.max_sequence_length,
            batch_tokens=4 * budget.batch_tokens,
            pair=budget.pair,
            language=code,
        )
        rows += [
            _row(code, metric, value, scores.n, which, None, metric == task.reported)
            for metric, value in scores.values.items()
        ]
        if which != "development":
            predictions.append(_per_example(code, found, scores.per_example))
    facts = {
        "tokens": data.tokens(),
        "updates": len(data),
        "examples": len(examples),
        "epochs": data.epochs(),
        "trained_on": list(names),
        "log": log,
    }
    return rows, predictions, facts


def reported_layer(layers: int) -> int:
    """Return the layer that retrieval reports: two thirds of the depth, fixed beforehand."""
    return round(2 * layers / 3)


def _retrieve(
    task: Task,
    budget: Target,
    model: Any,
    tokenizer: Any,
    sets: dict[str, list[corpora.Example]],
    baseline: bool,
) -> tuple[list[dict[str, Any]], list[pd.DataFrame], dict[str, Any]]:
    """Find each sentence's translation by cosine, from every layer, without training.

    With `baseline`, also by the character n-grams that the two sentences share.
    """
    from lib import baselines, evaluation, retrieval, scoring

    embed = partial(
        evaluation.embed, model, tokenizer=tokenizer, batch_tokens=4 * budget.batch_tokens,
        pooling=budget.pooling,
    )  # fmt: skip
    chosen = reported_layer(model.config.num_hidden_layers)
    split = corpora.evaluation_source(task, budget.split).split
    rows: list[dict[str, Any]] = []
    predictions = []
    for code, pairs in sets.items():
        queries = embed([pair["source"] for pair in pairs])
        candidates = embed([pair["target"] for pair in pairs])
        for layer in range(len(queries)):
            found = retrieval.nearest_neighbours(queries[layer], candidates[layer])
            scores = scoring.score_retrieval(list(range(len(pairs))), found.tolist())
            value = scores.values[task.reported]
            rows.append(_row(code, task.reported, value, len(pairs), split, layer, layer == chosen))
            if layer == chosen:
                predictions.append(_per_example(code, pairs, scores.per_example))
    for code, pairs in sets.items() if baseline else ():
        found = baselines.character_ngram_neighbours(
            [pair["source"] for pair in pairs], [pair["target"] for pair in pairs]
        )
        scores = scoring.score_retrieval(list(range(len(pairs))), found.tolist())
        value = scores.values[task.reported]
        rows.append(_row(code, "character_ngram_accuracy", value, len(pairs), split, None, False))
    return rows, predictions, {"pooling": budget.pooling}


def _mine(
    settings: Profile,
    here: Cell,
    task: Task,
    budget: Target,
    model: Any,
    tokenizer: Any,
    sets: dict[str, list[corpora.Example]],
) -> tuple[list[dict[str, Any]], list[pd.DataFrame], dict[str, Any]]:
    """Mine pairs by their margin, from every layer, without training.

    The threshold is tuned on the development split; it is cross-fitted where that is missing or is
    itself evaluated, and the metric's name says so.
    """
    from lib import evaluation, retrieval, training

    def mined(example: corpora.Example) -> Iterator[retrieval.Mined]:
        """Yield what each layer finds; each side is encoded once."""
        sides = [retrieval.distinct(example[side]) for side in ("sources", "targets")]
        files = [here.work / f"{side}.npy" for side in ("sources", "targets")]
        vectors = [
            evaluation.embed(
                model, [example[side][i] for i in places], tokenizer, file=file,
                batch_tokens=4 * budget.batch_tokens, pooling=budget.pooling,
            )
            for side, (places, _), file in zip(("sources", "targets"), sides, files, strict=True)
        ]  # fmt: skip
        for layer in range(len(vectors[0])):
            found = retrieval.mine(vectors[0][layer], vectors[1][layer], device=training.device())
            yield retrieval.in_files(found, *sides)
        for file in files:
            file.unlink()

    chosen = reported_layer(model.config.num_hidden_layers)
    split = corpora.evaluation_source(task, budget.split).split
    tuned_on = None if split == "validation" or data_root(settings) is None else task.validation
    rows: list[dict[str, Any]] = []
    predictions = []
    thresholds: dict[str, list[float]] = {}
    for code, (example,) in sets.items():
        tuning = corpora.load(settings, tuned_on, code, required=False) if tuned_on else []
        if tuning:
            gold = _gold(tuning[0])
            thresholds[code] = [retrieval.tune(found, gold) for found in mined(tuning[0])]
        for layer, found in enumerate(mined(example)):
            cut = thresholds[code][layer] if tuning else None
            scores = retrieval.score_mining(found, _gold(example), cut)
            reported = task.reported + ("" if tuning else "_cross_fitted")
            for metric, value in scores.values.items():
                shown = layer == chosen and metric == reported
                rows.append(_row(code, metric, value, scores.n, split, layer, shown))
            if layer == chosen:
                pairs = [{"id": f"{first}-{second}"} for first, second in example["gold"]]
                predictions.append(_per_example(code, pairs, scores.per_example))
    return rows, predictions, {"pooling": budget.pooling, "thresholds": thresholds}


def _gold(example: corpora.Example) -> list[tuple[int, int]]:
    """Return gold pairs as 0-based places in the two sides."""
    return [(first - 1, second - 1) for first, second in example["gold"]]


def _row(
    code: str, metric: str, value: float, n: int, split: str, layer: int | None, reported: bool
) -> dict[str, Any]:
    """Return one row of scores; development scores are never the reported ones."""
    return {
        "language": code,
        "metric": metric,
        "value": value,
        "n": n,
        "split": split,
        "layer": layer,
        "reported": reported and split != "development",
    }


def _per_example(code: str, examples: list[corpora.Example], values: Any) -> pd.DataFrame:
    identifiers = [example["id"] for example in examples]
    return pd.DataFrame({"language": code, "id": identifiers, "value": values})
