"""Read what others have published: facts in `data/published/`, each row with its source."""

from pathlib import Path

import pandas as pd

from lib import paths, scoring, tasks
from lib.errors import InputError

FOLDER = paths.PUBLISHED
CONFIDENCE = ("verbatim", "verbatim_secondary", "derived")
COLUMNS = {
    "averages": ["system", "snapshot", "rule", "value"],
    "averaging_rules": ["step", "rule"],
    "hyperparameters": ["code", "item", "value"],
    "intermediate_tasks": ["task", "item", "value"],
    "parsing": ["system", "encoder", "train", "test", "release", "input", "uas", "las"],
    "phang2020_abstract": ["version", "item", "value"],
    "retrieval_by_language": ["system", "task", "language", "metric", "split", "value"],
    "retrieval_recipes": ["code", "item", "value"],
    "target_tasks": ["task", "group", "train", "development", "test", "languages_in_paper",
                     "languages_in_code"],
    "task_scores": ["system", "snapshot", "task", "metric", "value"],
}  # fmt: skip
SOURCE = ["source", "confidence", "note"]
NUMBERS = {
    "averages": ["value"],
    "parsing": ["uas", "las"],
    "retrieval_by_language": ["value"],
    "task_scores": ["value"],
}
# The one table that was seen with both rows; the rows of two snapshots are not subtracted.
SNAPSHOT, BASELINE, STUDY = "RemBERT table 16", "XLM-R large", "X-STILTs"


def read(name: str, folder: Path = FOLDER) -> pd.DataFrame:
    """Read one table of published facts, text as text, numbers in points.

    Raises:
        InputError: naming file and row, for an unknown table, a missing column, a row without a
            source, a confidence that is none of `CONFIDENCE`, a fact from memory, or a value that
            should be a number and is none.
    """
    if name not in COLUMNS:
        raise InputError(f"published table {name!r}: expected one of {', '.join(COLUMNS)}")
    file = folder / f"{name}.csv"
    table = pd.read_csv(file, dtype=str, keep_default_na=False)
    expected = [*COLUMNS[name], *SOURCE]
    missing = [column for column in expected if column not in table]
    if missing:
        raise InputError(f"{file}: column {missing[0]!r} is missing, expected {expected}")
    for row, values in enumerate(table.to_dict("records"), 2):
        if not values["source"].strip():
            raise InputError(f"{file}: row {row}: no source, expected where the fact was seen")
        if any("memory" in text.lower() for text in values.values()):
            raise InputError(f"{file}: row {row}: from memory, expected what was seen")
        if values["confidence"] not in CONFIDENCE:
            raise InputError(f"{file}: row {row}: confidence {values['confidence']!r}, expected "
                             f"one of {', '.join(CONFIDENCE)}")  # fmt: skip
    for column in NUMBERS.get(name, []):
        numbers = pd.to_numeric(table[column], errors="coerce")
        if numbers.isna().any():
            row = int(numbers.isna().to_numpy().argmax())
            raise InputError(f"{file}: row {row + 2}: {column} {table[column].iloc[row]!r}, "
                             "expected a number")  # fmt: skip
        table[column] = numbers
    return table[expected]


def task_scores(system: str, snapshot: str, folder: Path = FOLDER) -> pd.Series:
    """Return a system's XTREME task scores in one snapshot, in points, indexed by target.

    By XTREME's rule: the metric that the task reports, for question answering half of F1 plus exact
    match. A task of which a snapshot gives less has no score.

    Raises:
        InputError: the snapshot has nothing of this system.
    """
    table = read("task_scores", folder)
    rows = table[(table["system"] == system) & (table["snapshot"] == snapshot)]
    if rows.empty:
        raise InputError(f"no task score of {system!r} in {snapshot!r}, expected a pair of "
                         "data/published/task_scores.csv")  # fmt: skip
    found = {}
    for name in scoring.XTREME:
        of_task = rows[rows["task"] == name].set_index("metric")["value"]
        metric = tasks.get(name).reported
        wanted = ["f1", "exact_match"] if metric == "score" else [metric]
        if set(wanted) <= set(of_task.index):
            found[name] = float(of_task[wanted].mean())
    return pd.Series(found, name=system, dtype=float)


def gains(folder: Path = FOLDER) -> pd.Series:
    """Return X-STILTs minus XLM-R large by target, in points, both from one snapshot.

    X-STILTs takes the best intermediate task for each target (Phang et al. 2020, abstract); neither
    side has an interval, nor has either retrieval task a score there.
    """
    study, baseline = (task_scores(system, SNAPSHOT, folder) for system in (STUDY, BASELINE))
    return (study - baseline).dropna().rename("gain")


def fact(name: str, folder: Path = FOLDER, **where: str) -> str:
    """Return the value of the one row of a table whose columns hold what `where` says.

    Raises InputError where there is no such row, or several.
    """
    table = read(name, folder)
    for column, value in where.items():
        table = table[table[column] == value]
    if len(table) != 1:
        raise InputError(f"{name}: {len(table)} rows with {where}, expected one")
    return str(table["value"].iloc[0])
