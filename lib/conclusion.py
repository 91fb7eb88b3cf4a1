"""Word the answer to the question from the numbers, so that it cannot drift from them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib import significance, statistics, style, tasks
from lib.comparison import Measured
from lib.pairing import COMPARED, pairs, varies
from lib.statistics import Interval, verdict
from lib.wording import ends, signed, spelt, trend

PAIRS = "classification"
NUMBER = "the number of such lines"


def primary(measured: Measured, table: pd.DataFrame, contrast: pd.DataFrame, scope: str) -> str:
    """Answer the question by the primary estimand: its mean and its trend with distance.

    `table` is what `Measured.table` returns and `contrast` what `statistics.contrast` does.
    """
    first, second = COMPARED
    row = table.iloc[0]
    slope = ends(row, ("slope", "slope_low", "slope_high"))
    better = verdict(
        ends(row),
        "is higher than",
        "is lower than",
        "is not detectably different from",
        "cannot be told from",
    )
    families, smallest = contrast[["families", "smallest_p"]].iloc[-1]
    average = statistics.average(measured.differences(pairs(measured.study)[0]), measured.clean)
    of = f", of {average}s over these targets," if average != "mean" else ""
    return (
        f"**Profile `{measured.study.name}`**: {row['languages']:.0f} languages, {scope}, "
        f"mean over {_targets(measured, contrast)}. The interval of a mean covers these runs, "
        "given languages and targets; that of a trend covers languages too.\n"
        f"Averaged over languages, the transfer gain of `{first}` {better} that of `{second}`: "
        f"{spelt(ends(row))}; given these runs, sign flips over {families:.0f} families give "
        f"p = {row['p']:.3g} (the smallest possible is {smallest:.3g}).\n"
        f"With distance the difference{of} {trend(slope)}: {spelt(slope, 10)} per 0.1 of distance."
    )


def _targets(measured: Measured, contrast: pd.DataFrame) -> str:
    """Name the targets of the primary mean, which clean ones are missing, and in which runs."""
    single = contrast[contrast["clean"] & (contrast["target"] != "clean mean")]
    words = ", ".join(name for name in measured.clean if name in set(single["target"]))
    if missing := [name for name in measured.clean if name not in set(single["target"])]:
        words += f" (not over {', '.join(missing)}, which has no finished pair of runs)"
    runs = contrast["replicates"].iloc[-1]
    if (single["replicates"] > runs).any():
        words += f", of the {runs:.0f} runs that have them all"
    return words


def measures(table: pd.DataFrame, in_source: Interval) -> list[str]:
    """Say whether the primary comparison comes out otherwise by another measure, and why it may.

    `in_source` is what `Measured.in_source` returns: what transfer gain takes off gain.
    """
    first, second = COMPARED
    names = {
        "gain": "plain gain",
        "log_odds_transfer_gain": "transfer gain in log-odds",
        "log_odds_gain": "plain gain in log-odds",
    }
    said = []
    for _, row in _asking(table, "sensitivity").iterrows():
        seen = verdict(
            ends(row),
            "is over",
            "is under",
            "is not detectably different from",
            "has no interval against",
        )
        size = spelt(ends(row)) if row["measure"] == "gain" else spelt(ends(row), 1, unit="")
        said.append(f"By {names[row['measure']]} `{first}` {seen} `{second}`: {size}.")
    seen = verdict(
        in_source,
        f"`{first}` does better there than `{second}`",
        f"`{first}` does worse there than `{second}`",
        "the two are not detectably different there",
        "there is no interval",
    )
    return [*said, f"Transfer gain takes off the gain in the source: {seen}, {spelt(in_source)}."]


def learnt(found: pd.DataFrame, measured: Measured) -> list[str]:
    """Say how well the compared tasks were learnt, by each model, and how pairs are read.

    `found` is what `comparison.learnt` returns.
    """
    said = []
    for _, row in found.iterrows():
        how = measured.study.conditions[row["condition"]]
        if how.task not in COMPARED or varies(how, {"pair", "parser"}):
            continue
        reached = f"a {row['metric']} of {row['mean']:.2f}"
        words = f"`{row['condition']}` reaches {reached} on validation data"
        if isinstance(row["baseline"], str):
            side = "under" if row["mean"] < row["baseline_value"] else "over"
            name = row["baseline"].replace("_", " ")
            words += f", {side} the {row['baseline_value']:.2f} of {name}, which needs no encoder"
        said.append(f"{words}.")
    targets = measured.study.targets
    pairs = {name: targets[name].pair for name in measured.clean if tasks.get(name).kind == PAIRS}
    if pairs:
        listed = ", ".join(f"`{name}` {pair}" for name, pair in pairs.items())
        own = measured.study.conditions[COMPARED[1]].pair
        said.append(f"How a pair of sentences is read: `{COMPARED[1]}` {own}; {listed}.")
    return said


def without_targets(table: pd.DataFrame) -> list[str]:
    """Say whether the primary comparison hangs on any one target: `without_each_target`."""
    said = []
    for measure, words in (("transfer_gain", "primary difference"), ("gain", "plain gain's")):
        rows = table[(table["measure"] == measure) & table["low"].notna()]
        if rows.empty:
            continue
        ordered = rows.sort_values("mean")
        least, most = ordered.iloc[0], ordered.iloc[-1]
        clear = int(((rows["low"] > 0) | (rows["high"] < 0)).sum())
        said.append(
            f"Without one target at a time the {words} lies between {signed(100 * least['mean'])} "
            f"(without {least['without']}) and {signed(100 * most['mean'])} points (without "
            f"{most['without']}); its interval leaves out 0 in {clear} of {len(rows)} cases."
        )
    return said


def lifts(floor: pd.DataFrame, count: int, lifted: int) -> str:
    """Say how much of `none` is above the floor, and whether this encoder can answer at all."""
    if floor["replicates"].max() < 2:
        return "With one run the noise of the floor is unknown."
    said = f"`none`: {lifted} of {count} scores are above the random floor, beyond noise."
    if lifted < count / 4:
        said += (
            " Fewer than a quarter: this encoder hardly transfers, and cannot answer the question."
        )
    return said


def beside(table: pd.DataFrame, conditions: pd.DataFrame) -> list[str]:
    """Say what each task does by itself, and against its placebos.

    `table` and `conditions` are what `Measured.table` and `Measured.of_conditions` return.
    """
    table, said = _adjusted(table), []
    for task in COMPARED:
        parts = []
        for measure, words in (("gain", "gain"), ("transfer_gain", "transfer gain")):
            kept = conditions[
                (conditions["condition"] == task)
                & (conditions["measure"] == measure)
                & (conditions["cells"] == "clean")
            ]
            if kept.empty:
                continue
            found = ends(kept.iloc[0])
            seen = verdict(found, "rises", "falls", "shows no detectable change", "has no interval")
            parts.append(f"its {words} over `none` {seen}: {spelt(found)}")
        if parts:
            said.append(f"`{task}`: {'; '.join(parts)}.")
        for _, row in _asking(table, "placebo").iterrows():
            if row["first"] == task:
                gains = row["measure"] == "gain"
                seen = verdict(
                    ends(row),
                    "gains more than" if gains else "transfers more than",
                    "gains less than" if gains else "transfers less than",
                    f"cannot be told{' by plain gain' if gains else ''} from",
                    "has no interval against",
                )
                label = style.LOOKS.get(row["second"], ("", "", row["second"]))[2]
                said.append(f"`{task}` {seen} its {label}: {_size(row)}.")
    return said


def variants(table: pd.DataFrame) -> list[str]:
    """Say whether the comparison comes out otherwise with other budgets, models or tasks.

    `table` is what `Measured.table` returns.
    """
    table = _adjusted(table)
    openings = {
        "examples": "On the same examples instead of the same tokens",
        "pair model": "With pairs read as two vectors",
        "parser": "With the other parsing head",
        "task": "With another task of a family",
    }
    said = []
    for question, opening in openings.items():
        for _, row in _asking(table, question).iterrows():
            seen = verdict(
                ends(row),
                "transfers more than",
                "transfers less than",
                "cannot be told from",
                "has no interval against",
            )
            said.append(f"{opening}, `{row['first']}` {seen} `{row['second']}`: {_size(row)}.")
    return said


def sizes(doublings: dict[str, Interval], runs: int) -> list[str]:
    """Say what a doubling of the examples adds (`comparison.per_doubling`), over so many runs."""
    said = []
    for of, added in doublings.items():
        if np.isnan(added.mean):
            continue
        what = "the difference" if of == "difference" else f"`{of}`'s transfer gain"
        seen = verdict(added, "grows", "falls", "shows no detectable change", "has no interval")
        said.append(
            f"With every doubling of the examples {what} {seen}: {spelt(added)}, {runs} runs."
        )
    return said


def families(ends: Interval, names: Sequence[str], runs: int) -> str:
    """Say how the families compare, where each has two tasks or more: `between_families`."""
    listed = ", ".join(f"`{name}`" for name in names)
    if np.isnan(ends.low):
        return f"Of the families nothing is said: fewer than two tasks on a side ({listed})."
    seen = verdict(
        ends,
        "Syntactic tasks transfer more than semantic-similarity ones",
        "Syntactic tasks transfer less than semantic-similarity ones",
        "Syntactic and semantic-similarity tasks cannot be told apart",
        "",
    )
    return f"{seen}, with tasks as what varies ({listed}): {spelt(ends)}, {runs} runs each."


def text(primary: str, lifts: str, *others: Sequence[str]) -> str:
    """Lay the answer out: the primary result, what it rests on, and all else as a list."""
    lines = [line for part in others for line in part]
    listed = "".join(f"- {line}\n" for line in lines)
    return f"{primary}\n{lifts}\n" + (f"\nSecondary:\n\n{listed}" if lines else "")


def _adjusted(table: pd.DataFrame) -> pd.DataFrame:
    """Add `p_holm`, of t tests, to the comparisons with placebos and variants, for their number."""
    others = ~table["question"].isin(["primary", "sensitivity"])
    tested = significance.adjusted(table[others].assign(p=significance.p_of_intervals))
    return table.assign(p_holm=pd.Series(tested["p_holm"].to_numpy(), table.index[others]))


def _size(row: pd.Series) -> str:
    """Write a comparison's mean and runs, and whether it stands after adjusting."""
    found = ends(row)
    leaves_out = found.low > 0 or found.high < 0
    lost = leaves_out and not row["p_holm"] < 0.05
    words = f", but not after adjusting for {NUMBER} (Holm p {row['p_holm']:.2g})" if lost else ""
    return f"{spelt(found)}, {row['replicates']:.0f} runs{words}"


def _asking(table: pd.DataFrame, question: str) -> pd.DataFrame:
    return table[(table["question"] == question) & (table["cells"] == "all")]
