"""Choose learning rates from one grid for all, by scores on English data other than the test set.

`python -m lib.rates small_cpu 3e-4 1e-3 3e-3` trains the compared intermediate tasks, and every
target on the encoder as it is, with each rate, and writes to `figures/<profile>/rates.csv` what
each reached on the source language's development data. A target without such data is left out;
one that the profile evaluates on its validation set, for want of labels, has that score `reported`.
"""

import argparse
import math
import sys

import pandas as pd

from lib import intermediate, pairing, paths, pretraining, profile, tasks, transfer
from lib.errors import InputError
from lib.profile import Budget, Profile
from lib.tasks import Task


def measure(settings: Profile, rates: list[float], seed: int) -> pd.DataFrame:
    """Train with each rate; columns name, rate, metric, value, n, split, reported; values 0 to 1.

    `reported` says that the study reports this very score, which then is the best of several. What
    is trained stands in `<results>/<profile>-rate=<rate>/`. Raises InputError for a rate that is no
    positive number, before any training.
    """
    for rate in rates:
        if not 0 < rate < math.inf:
            raise InputError(f"rates: found {rate:g}, expected a number more than 0")
    folder, revision = pretraining.location(settings, settings.seeds[seed])
    rows = []
    for rate in rates:
        changed = _with_rate(settings, folder, revision, rate)
        for name in (each for each in pairing.COMPARED if each in settings.conditions):
            scores = intermediate.run_one(changed, name, seed).scores
            after = scores[scores["moment"] == "after"].assign(reported=False)
            rows.append(_rows(tasks.get(name), rate, after))
        for name in settings.targets:
            if tasks.get(name).kind != "retrieval":
                (run,) = transfer.run(changed, "none", name, seed)
                rows.append(_rows(tasks.get(name), rate, _development(run.scores, tasks.get(name))))
    columns = ["name", "rate", "metric", "value", "n", "split", "reported"]
    return pd.concat(rows, ignore_index=True)[columns]


def _with_rate(settings: Profile, folder: str, revision: str, rate: float) -> Profile:
    """Return the profile with one rate for all, evaluated in the source language alone."""

    def at_rate(budget: Budget) -> Budget:
        return budget.model_copy(update={"learning_rate": rate})

    return pretraining.taken_from(
        settings,
        folder,
        f"rate={rate:g}",
        revision,
        languages=[settings.source_language],
        evaluation_languages=[],
        all_languages={},
        intermediate=at_rate(settings.intermediate),
        targets={name: at_rate(target) for name, target in settings.targets.items()},
    )


def _development(scores: pd.DataFrame, task: Task) -> pd.DataFrame:
    """Keep the scores of development data; the validation split of a target may be its test set."""
    assert task.evaluation is not None
    splits = [transfer.DEVELOPMENT]
    if task.evaluation.split != "validation":
        splits.append("validation")
    return scores[scores["split"].isin(splits)]


def _rows(task: Task, rate: float, scores: pd.DataFrame) -> pd.DataFrame:
    columns = ["metric", "value", "n", "split", "reported"]
    kept = scores.loc[scores["metric"] == task.reported, columns]
    return kept.assign(name=task.name, rate=rate)


def main(arguments: list[str] | None = None) -> None:
    """Measure, write the table, and say which rate was best for each."""
    parser = argparse.ArgumentParser(prog="python -m lib.rates", description=__doc__)
    parser.add_argument("profile", help="with the compared conditions and targets")
    parser.add_argument("rates", type=float, nargs="+", help="3e-4 1e-3 3e-3")
    asked = parser.parse_args(arguments)
    settings = profile.load(asked.profile, whole=True)
    table = measure(settings, asked.rates, min(settings.seeds))
    folder = paths.figures(settings.name)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "rates.csv", index=False, float_format="%.6g", lineterminator="\n")
    for target in dict.fromkeys(table.loc[table["reported"].astype(bool), "name"].astype(str)):
        tried = len(asked.rates)
        print(f"{target}: the profile reports this split: its score is the best of {tried}")
    for name, rows in table.groupby("name", sort=False):
        best = rows.sort_values("value").iloc[-1]
        print(f"{name}: {best['rate']:g}, {best['metric']} {100 * best['value']:.1f} of "
              + ", ".join(f"{100 * value:.1f}" for value in rows["value"]))  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
