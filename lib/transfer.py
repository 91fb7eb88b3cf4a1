"""Phase 3: fine-tune on the source language, evaluate zero-shot in every other."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lib import corpora, intermediate, pretraining, tasks
from lib.corpora import Example
from lib.errors import InputError
from lib.making import once
from lib.profile import Profile, Target, data_root
from lib.results import Cell, Run, finish, finish_together
from lib.scoring import Scores
from lib.tasks import Task

DEVELOPMENT = "development"  # the split of a score that is for looking at, never reported


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
    row = tasks.get(target)
    limited = () if settings.world is not None else languages  # a world has all in every task
    return earlier | {
        "target": budget.model_dump(),
        "name": target,
        "task": corpora.described(row, budget.train or row.train, limited),
        "languages": languages,
    }


def run(settings: Profile, condition: str, target: str, seed: int) -> list[Run]:
    """Fine-tune and evaluate; condition and target may be `all`, seed 0. Skips what is finished.

    Needs, and if missing makes, the earlier phases. Returns one run per condition, seed and target.
    Where one call stands for several, a cell of its name is written last, so that a workflow has
    one file to wait for.
    """
    named, targets = intermediate.runs_of(settings, condition, seed), targets_of(settings, target)
    started = time.perf_counter()
    runs = [_run_one(settings, name, which, each) for name, each in named for which in targets]
    if "all" in (condition, target) or not seed:
        together = Cell(settings.name, "transfer", seed, condition, target)
        finish_together(together, runs, started)
    return runs


def _run_one(settings: Profile, condition: str, target: str, seed: int) -> Run:
    here = Cell(settings.name, "transfer", seed, condition, target)
    wanted = parameters(settings, condition, target, seed)
    return once(here, wanted, partial(_make, settings, here, wanted))


def _make(settings: Profile, here: Cell, wanted: dict[str, Any]) -> Run:
    condition, target, seed = here.condition, here.target, here.seed
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
    model = encoder.load(*location, settings.encoder, random=how.random_encoder)
    task, budget = tasks.get(target), settings.targets[target]
    with corpora.recording() as data:
        sets, absent = evaluation_sets(settings, task, budget, wanted["languages"])
        job = Job(settings, here, task, budget, model, tokenizer, sets)
        untouched = not how.task and not how.random_encoder
        if task.evaluation and "gold" in task.evaluation.columns:
            facts = mine(job)
        elif task.kind == "retrieval":
            facts = retrieve(job, baseline=untouched)
        else:
            facts = _fine_tune(job, baseline=untouched)
    facts |= {"not_found": absent, "data": data, **encoder.reading(model)}
    scores = pd.DataFrame(job.rows).assign(
        condition=condition, target=target, seed=seed, encoder_seed=settings.seeds[seed]
    )
    scores["layer"] = scores["layer"].astype("Int64")
    predictions = pd.concat(job.predictions)
    return finish(here, wanted, facts, started=started, scores=scores, predictions=predictions)


@dataclass
class Job:
    """What a run of phase 3 needs to know, and the rows that it has found so far."""

    settings: Profile
    here: Cell
    task: Task
    budget: Target
    model: Any
    tokenizer: Any
    sets: dict[str, list[Example]]
    rows: list[dict[str, Any]] = field(default_factory=list)
    predictions: list[pd.DataFrame] = field(default_factory=list)

    @property
    def split(self) -> str:
        """Name the split that is evaluated."""
        return corpora.evaluation_source(self.task, self.budget.split).split

    def add(
        self, code: str, scores: Scores, split: str, reported: str = "", layer: int | None = None
    ) -> None:
        """Add a row for every metric; a development score is never the reported one."""
        self.rows += [
            {
                "language": code,
                "metric": metric,
                "value": value,
                "n": scores.n,
                "split": split,
                "layer": layer,
                "reported": metric == reported and split != DEVELOPMENT,
            }
            for metric, value in scores.values.items()
        ]

    def keep(
        self, code: str, identifiers: Sequence[str], scores: Scores, **said: Sequence[Any]
    ) -> None:
        """Keep what each example scored and, where named, what was `gold` and `predicted`."""
        table = {"language": code, "id": identifiers, "value": scores.per_example, **said}
        self.predictions.append(pd.DataFrame(table))

    def embed(self, texts: Sequence[str], file: Path | None = None) -> Any:
        """Pool the sentences' states of every layer."""
        from lib import evaluation

        return evaluation.embed(
            self.model, texts, self.tokenizer, file=file,
            batch_tokens=4 * self.budget.batch_tokens, pooling=self.budget.pooling,
        )  # fmt: skip


def evaluation_sets(
    settings: Profile, task: Task, budget: Target, languages: list[str]
) -> tuple[dict[str, list[Example]], list[str]]:
    """Load what each language is evaluated on; say in a line which configurations are not there.

    XTREME's own list of languages limits a real task; a world has every language in every task.
    """
    source = corpora.evaluation_source(task, budget.split)
    found, absent = {}, []
    if task.kind == "retrieval":  # the other side of every pair
        languages = [code for code in languages if code != settings.source_language]
    listed = [code for code in languages if settings.world is not None or code in task.languages]
    if 0 < len(listed) < len(languages):
        print(f"{task.name}: its row in lib/tasks.py lists {len(listed)} of these {len(languages)} "
              "languages, as XTREME does")  # fmt: skip
    for code in listed:
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


def _fine_tune(job: Job, baseline: bool) -> dict[str, Any]:
    """Train a fresh head and the encoder on the source language; score every language.

    With `baseline`, also what the training labels say without an encoder.
    """
    from lib import baselines, batches, encoder, evaluation, feature_cache, heads, training

    settings, task, budget, tokenizer = job.settings, job.task, job.budget, job.tokenizer
    names = budget.train or task.train
    examples = corpora.load_training(settings, task, names, budget.train_examples)
    length = budget.max_sequence_length
    made = feature_cache.make(task, examples, tokenizer, length, budget.pair)
    sets = [*_evaluated(job), *_development(job)]
    prepared = [
        evaluation.prepare(task, found, tokenizer, length, budget.pair) for _, _, found in sets
    ]
    head = heads.make(task, job.model, budget.pair, budget.pooling).to(encoder.device())
    lengths = [batches.number_of_tokens(feature) for feature in made]
    plan = batches.plan_training(lengths, budget, job.here.seed)
    data = batches.Batches(made, plan, partial(head.collate, pad_id=tokenizer.pad_token_id),
                           budget.tokens_at_once)  # fmt: skip
    here, minutes = job.here, settings.workflow.checkpoint_minutes
    wanted = parameters(settings, here.condition, here.target, here.seed)
    log = training.fit(head, data, budget, here, wanted, minutes)
    outputs = evaluation.run(head, prepared, tokenizer, 4 * budget.batch_tokens)
    for (code, split, found), ready, of_set in zip(sets, prepared, outputs, strict=True):
        scores, said = evaluation.score(task, found, ready, of_set, code)
        job.add(code, scores, split, task.reported)
        if split != DEVELOPMENT:
            identifiers, gold = [example["id"] for example in found], _labels(task, found)
            job.keep(code, identifiers, scores, gold=gold, predicted=said)
    for code, found in job.sets.items() if baseline else ():
        for name, scores in baselines.of_task(task, examples, found).items():
            named = {f"{name}_{metric}": value for metric, value in scores.values.items()}
            job.add(code, Scores(named, scores.per_example), job.split)
    return {
        "tokens": data.tokens(),
        "updates": len(data),
        "examples": len(examples),
        "epochs": data.epochs(),
        "padding": data.padding(),
        "trained_on": list(names),
        "log": log,
    }


def _labels(task: Task, examples: Sequence[Example]) -> list[Any]:
    """Return what is right of each example: tags, answers, or a label by its name."""
    key = {"tagging": "tags", "span": "answers"}.get(task.kind)
    return [example[key] if key else str(example["label"]) for example in examples]


def _evaluated(job: Job) -> list[tuple[str, str, list[Example]]]:
    """List each language, the split, and its examples."""
    return [(code, job.split, found) for code, found in job.sets.items()]


def _development(job: Job) -> list[tuple[str, str, list[Example]]]:
    """List the source language's validation set, unless that is what is evaluated anyway."""
    task, source = job.task, job.settings.source_language
    if not task.validation or develops_on_what_is_evaluated(task, job.budget.split):
        return []
    limit = job.budget.evaluation_examples
    found = corpora.load(job.settings, task.validation, source, limit, required=False)
    return [(source, DEVELOPMENT, found)] if found else []


def develops_on_what_is_evaluated(task: Task, split: str) -> bool:
    """Say whether a target's development set is what is evaluated: then it is read once."""
    own, evaluated = task.validation, corpora.evaluation_source(task, split)
    same = own is not None and own.dataset == evaluated.dataset
    return same and evaluated.split == "validation"


def reported_layer(layers: int) -> int:
    """Return the layer that retrieval reports: two thirds of the depth, fixed beforehand."""
    return round(2 * layers / 3)


def retrieve(job: Job, baseline: bool) -> dict[str, Any]:
    """Find each English sentence's translation by cosine, from every layer, without training.

    English asks among the sentences of the other language, as in XTREME's code (`similarity_search`
    of `utils_retrieve.py`) and jiant's; the other direction has other scores. With `baseline`, also
    by the character n-grams that the two sentences share.
    """
    from lib import baselines, retrieval, scoring

    chosen = reported_layer(job.model.config.num_hidden_layers)
    for code, pairs in job.sets.items():
        candidates = job.embed([pair["source"] for pair in pairs])
        queries = job.embed([pair["target"] for pair in pairs])
        for layer in range(len(queries)):
            found = retrieval.nearest_neighbours(queries[layer], candidates[layer])
            scores = scoring.score_retrieval(list(range(len(pairs))), found.tolist())
            reported = job.task.reported if layer == chosen else ""
            job.add(code, scores, job.split, reported, layer)
            if layer == chosen:
                names = [pair["id"] for pair in pairs]
                job.keep(code, names, scores, gold=range(len(pairs)), predicted=found.tolist())
    for code, pairs in job.sets.items() if baseline else ():
        found = baselines.character_ngram_neighbours(
            [pair["target"] for pair in pairs], [pair["source"] for pair in pairs]
        )
        scores = scoring.score_retrieval(list(range(len(pairs))), found.tolist())
        named = {f"character_ngram_{metric}": value for metric, value in scores.values.items()}
        job.add(code, Scores(named, scores.per_example), job.split)
    return {"pooling": job.budget.pooling}


def mine(job: Job) -> dict[str, Any]:
    """Mine pairs by their margin, from every layer, without training.

    The threshold is tuned on the development split; it is cross-fitted where that is missing or is
    itself evaluated, and the metric's name says so.
    """
    from lib import retrieval

    chosen = reported_layer(job.model.config.num_hidden_layers)
    settings, task = job.settings, job.task
    tuned_on = task.validation
    if job.split == "validation" or data_root(settings) is None:
        tuned_on = None
    thresholds: dict[str, list[float]] = {}
    for code, (example,) in job.sets.items():
        tuning = corpora.load(settings, tuned_on, code, required=False) if tuned_on else []
        if tuning:
            gold = _gold(tuning[0])
            thresholds[code] = [retrieval.tune(found, gold) for found in _mined(job, tuning[0])]
        for layer, found in enumerate(_mined(job, example)):
            cut = thresholds[code][layer] if tuning else None
            scores = retrieval.score_mining(found, _gold(example), cut)
            reported = task.reported + ("" if tuning else "_cross_fitted")
            job.add(code, scores, job.split, reported if layer == chosen else "", layer)
            if layer == chosen:
                pairs = [f"{first}-{second}" for first, second in example["gold"]]
                job.keep(code, pairs, scores)
    return {"pooling": job.budget.pooling, "thresholds": thresholds}


def _mined(job: Job, example: Example) -> Iterator[Any]:
    """Yield what each layer finds between two sides; each side is encoded once."""
    from lib import encoder, retrieval

    sides = [retrieval.distinct(example[side]) for side in ("sources", "targets")]
    files = [job.here.work / f"{side}.npy" for side in ("sources", "targets")]
    vectors = [
        job.embed([example[side][i] for i in places], file)
        for side, (places, _), file in zip(("sources", "targets"), sides, files, strict=True)
    ]
    for layer in range(len(vectors[0])):
        found = retrieval.mine(vectors[0][layer], vectors[1][layer], device=encoder.device())
        yield retrieval.in_files(found, *sides)
    for file in files:
        file.unlink()


def _gold(example: Example) -> list[tuple[int, int]]:
    """Return gold pairs as 0-based places in the two sides."""
    return [(first - 1, second - 1) for first, second in example["gold"]]
