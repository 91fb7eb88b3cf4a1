"""Set our numbers beside published ones, and say of each whether the two can be compared."""

import pandas as pd

from lib import evidence, published, scoring, statistics, tasks
from lib.errors import InputError
from lib.evidence import Study
from lib.results import Cell

OURS = ("none", "ud_parsing", "stsb")
BEST = "best of the nine"
NUMBERS = ["mean", "low", "high"]
# What is published of XTREME's scores: system, snapshot.
SYSTEMS = (
    ("XLM-R large", published.SNAPSHOT),
    ("XLM-R large", "VECO review"),
    ("X-STILTs", published.SNAPSHOT),
    ("XLM-R base", "XLM-Align README"),
)
COMPARED = ["target", "metric", "system", "source", *NUMBERS, "replicates", "comparable", "why"]


def scores(study: Study) -> pd.DataFrame:
    """Return task scores, ours and published, in points, one row per target and system.

    Ours are means over the languages that the profile has of a task, English included, with t
    intervals over replicates. `comparable` says whether that is XTREME's own score; `why` says what
    it is instead. Columns: `COMPARED`; `source` is `ours`, or the snapshot of a published row.
    """
    table = study.reported
    table = table.assign(replicate=statistics.replicates(table))
    shown = table[table["condition"].isin(OURS)]
    ours = statistics.over_replicates(shown, ["target", "metric", "condition"], "value")
    ours = ours.rename(columns={"condition": "system"})
    ours[NUMBERS] *= 100
    reasons = {target: differences(study, target) for target in ours["target"].unique()}
    ours["why"] = ours["target"].map(reasons)
    ours = ours.assign(source="ours", comparable=ours["why"] == "")
    rows = [
        (target, tasks.get(target).reported, system, snapshot, found[target], True, "")
        for system, snapshot in SYSTEMS
        for found in [published.task_scores(system, snapshot)]
        for target in map(str, found.index)
    ]
    names = ["target", "metric", "system", "source", "mean", "comparable", "why"]
    both = pd.concat([pd.DataFrame(rows, columns=names), ours], ignore_index=True)
    return _in_order(both)[COMPARED].reset_index(drop=True)


def differences(study: Study, target: str) -> str:
    """Say how a profile's score of a target differs from XTREME's; nothing where it does not."""
    settings, row = study.settings, tasks.get(target)
    if settings.world is not None:
        return "artificial languages"
    own = study.reported
    own = own[own["target"] == target]
    found = []
    there = len(set(own["language"]) & set(row.languages))
    if there < len(row.languages):
        found.append(f"{there} of {len(row.languages)} languages")
    split = row.evaluation.split if row.evaluation else ""
    if set(own["split"]) != {split}:
        found.append(f"{', '.join(sorted(set(own['split'])))} for {split} data")
    how = settings.targets[target]
    if how.evaluation_examples:
        found.append(f"{how.evaluation_examples} examples a language")
    if how.train:
        found.append("other training data")
    if target == "bucc" and set(own["metric"]) != {row.reported}:
        found.append("threshold not tuned on development data")
    return ", ".join(found)


def gains(study: Study) -> pd.DataFrame:
    """Return gains over `none` by target, in points: ours, and X-STILTs over XLM-R large.

    Ours: parsing, similarity, and, with two of Phang et al.'s nine tasks or more, the one that is
    best for each target in English (`evidence.best_per_target`, whose mean leaves English out).
    Columns: target, system, mean, low, high, replicates, languages; what is published has no
    interval.
    """
    several = evidence.to_choose_from(study.run)
    chosen = evidence.best_per_target(study, several)[1] if several else {}
    source = study.settings.source_language
    frames = []
    for system in (*OURS[1:], BEST):
        part = study.gains
        if system == BEST:
            taken = part["condition"] == part["target"].map(chosen)
            part = part[taken & (part["language"] != source)]
        else:
            part = part[part["condition"] == system]
        frames.append(statistics.over_replicates(part, ["target"], "gain").assign(system=system))
    ours = pd.concat(frames, ignore_index=True)
    ours[NUMBERS] *= 100
    theirs = published.gains().rename("mean").rename_axis("target").reset_index()
    theirs = theirs.assign(system=f"{published.STUDY} − {published.BASELINE}")
    both = pd.concat([theirs, ours], ignore_index=True)
    columns = ["target", "system", *NUMBERS, "replicates", "languages"]
    return _in_order(both)[columns].reset_index(drop=True)


def parsing(study: Study) -> pd.DataFrame:
    """Return UAS and LAS on English development data after training to parse, and published ones.

    Ours from the cells of phase 2: `ud_parsing`, with other parsers beside it, and two chains that
    know no grammar. Columns: system, kind (`ours`, `baseline`, `published`), about, metric, mean,
    low, high, replicates; in points. A profile whose cells are not here has published rows alone.
    """
    settings = study.settings
    names = [name for name, how in settings.conditions.items() if how.task == "ud_parsing"]
    plain = (
        "ud_parsing",
        *(name for name in names if settings.conditions[name].parser != "biaffine"),
    )
    rows = []
    for name in (name for name in plain if name in names):
        for seed in settings.seeds_of(name):
            cell = Cell(settings.name, "intermediate", seed, name)
            if not cell.run_file.is_file():
                continue
            table = pd.read_parquet(cell.folder / "scores.parquet")
            table = table[table["moment"].isin(["after", "left_arc", "right_arc"])]
            rows.append(table.assign(condition=name, seed=seed, encoder_seed=settings.seeds[seed]))
    theirs = published.read("parsing")
    about = theirs["encoder"] + ", UD " + theirs["release"] + ", input: " + theirs["input"]
    theirs = theirs.assign(about=about, kind="published")
    theirs = theirs.melt(["system", "kind", "about"], ["uas", "las"], "metric", "mean")
    columns = ["system", "kind", "about", "metric", *NUMBERS, "replicates"]
    if not rows:
        return theirs.reindex(columns=columns)
    cells = pd.concat(rows, ignore_index=True)
    cells = cells.assign(replicate=statistics.replicates(cells), language="en")
    ours = statistics.over_replicates(cells, ["condition", "moment", "metric"], "value")
    ours[NUMBERS] *= 100
    after = ours["moment"] == "after"
    # Every seed and parser is evaluated on the same sentences: one row of each chain.
    ours = ours[after | (ours["condition"] == ours["condition"].iloc[0])]
    chains = {"left_arc": "every word on the one before", "right_arc": "every word on the next"}
    ours["system"] = ours["condition"].where(ours["moment"] == "after", ours["moment"].map(chains))
    ours.loc[ours["moment"] != "after", ["low", "high"]] = float("nan")
    ours["kind"] = ours["moment"].map(lambda moment: "ours" if moment == "after" else "baseline")
    where = "artificial source language" if settings.world is not None else "EWT, development set"
    ours["about"] = f"{where}, words given, {cells['n'].max():,} sentences"
    return pd.concat([ours[columns], theirs], ignore_index=True).reindex(columns=columns)


def retrieval(study: Study, target: str) -> pd.DataFrame:
    """Return retrieval scores by language beside those of XLM-R large by Phang et al.'s code.

    Only languages that both have, in the same metric. Columns: language, system, mean, low, high,
    replicates; in points.

    Raises:
        InputError: saying why nothing can be set beside the published scores.
    """
    settings = study.settings
    if settings.world is not None:
        raise InputError(f"{target}: the languages of profile {settings.name!r} are artificial: "
                         "nothing published is about them")  # fmt: skip
    theirs = published.read("retrieval_by_language")
    theirs = theirs[theirs["task"] == target].rename(columns={"value": "mean"})
    table = study.reported
    table = table[(table["target"] == target) & table["condition"].isin([*OURS, "random"])]
    metrics = set(table["metric"])
    if not metrics or metrics != set(theirs["metric"]):
        found = ", ".join(sorted(metrics)) or "nothing"
        raise InputError(f"{target}: profile {settings.name!r} reports {found}, "
                         f"published is {theirs['metric'].iloc[0]}")  # fmt: skip
    table = table.assign(replicate=statistics.replicates(table))
    ours = statistics.over_replicates(table, ["language", "condition"], "value")
    ours[NUMBERS] *= 100
    ours = ours.rename(columns={"condition": "system"})
    shared = [code for code in theirs["language"] if code in set(ours["language"])]
    theirs = theirs.assign(system=f"{published.BASELINE}, published")
    both = pd.concat([theirs, ours], ignore_index=True)
    both = both[both["language"].isin(shared)]
    return both[["language", "system", *NUMBERS, "replicates"]].reset_index(drop=True)


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    """Sort rows by target, in XTREME's order."""
    order = {name: place for place, name in enumerate(scoring.XTREME)}
    return table.sort_values("target", key=lambda names: names.map(order), kind="stable")
