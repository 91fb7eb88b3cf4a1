"""Draw what the benchmark found: how many times the speed of other recipes ours has."""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

from lib import style
from lib.benchmark import measuring

NAME = "speed"
TITLES = {
    "pretraining": "MLM pre-training",
    "fine_tuning": "Fine-tuning",
    "evaluation": "Zero-shot evaluation",
    "search": "Search for translations",
    "accelerator": "Training on a GPU",
}
# What ours is to reach, by part and the beginning of the other recipe's name.
AIMS = (
    ("pretraining", "examples", 2.5),
    ("fine_tuning", "examples", 3.0),
    ("fine_tuning", "best flags", 1.2),
    ("evaluation", "loop", 2.0),
    ("accelerator", "examples", 3.0),
    ("accelerator", "best flags", 1.2),
)
COLOURS = (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.BROWN, style.INK)
MARKERS = "oDs^v<"
TICKS = (0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30, 50, 100)
ROW, HEADING = 0.13, 0.55  # inches: a recipe of a case, and what stands around a panel


def write(folder: Path) -> bool:
    """Draw the CSV files of a folder into it, as `speed`; say whether there was anything to draw.

    Parts that were not measured are left out.
    """
    measured, accuracy = read(folder)
    if measured.empty and accuracy.empty:
        return False
    figure, table = draw(measured, accuracy)
    style.save(figure, table, NAME, folder)
    return True


def read(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of every part that compares with ours, and those of the accuracy guard."""
    files = [folder / f"{part}.csv" for part in TITLES]
    tables = [pd.read_csv(file) for file in files if file.is_file()]
    guard = folder / "accuracy.csv"
    measured = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
    return measured, pd.read_csv(guard) if guard.is_file() else pd.DataFrame()


@style.styled
def draw(measured: pd.DataFrame, accuracy: pd.DataFrame) -> tuple[Figure, pd.DataFrame]:
    """Draw a panel per part, and one of the scores that each recipe reaches, where there are any.

    `measured` is as of `measuring.side_by_side`, `accuracy` has target, recipe, seed and value (0
    to 1). A dot is the median over repeats, its line their range. Returns the figure and the table
    of what it draws.
    """
    found = _compared(measured) if len(measured) else pd.DataFrame(columns=["part"])
    scores = _scores(accuracy) if len(accuracy) else pd.DataFrame()
    parts = [part for part in TITLES if part in set(found["part"])]
    rows = [_rows(found[found["part"] == part]) for part in parts]
    rows += [_rows(scores)] if len(scores) else []
    heights = [HEADING + ROW * number for number in rows]
    figure, axes = style.canvas(7, sum(heights) + 0.4, len(rows), height_ratios=heights)
    for panel, part in zip(axes[:, 0], parts, strict=False):
        of_part = found[found["part"] == part]
        _ratios(panel, of_part, part, _limits(found))
        _name(panel, f"{TITLES[part]} (median and range, n = {_range(of_part['n'])} repeats)")
    if parts:
        axes[len(parts) - 1, 0].set_xlabel("times the speed of the other recipe")
    if len(scores):
        panel = axes[-1, 0]
        _dots(panel, scores, "mean")
        panel.axvline(0, color=style.INK, lw=0.8, zorder=1)
        _name(panel, f"Scores (mean and range, n = {_range(scores['n'])} seeds)")
        panel.set_xlabel(f"points above “{scores['recipe'].iloc[0]}”, whose mean is in brackets")
    if "hardware" in measured:
        figure.suptitle("\n".join(measured["hardware"].dropna().unique()), size=7)
    return figure, pd.concat([found, scores], ignore_index=True) if len(scores) else found


def _compared(measured: pd.DataFrame) -> pd.DataFrame:
    """Return the ratios of every part, in the order in which cases and recipes were measured."""
    tables = []
    for _, rows in measured.groupby("part", sort=False):
        cases, recipes = rows["case"].unique(), rows["recipe"].unique()
        compared = measuring.ratios(rows).set_index(["case", "recipe"])
        in_order = [key for key in product(cases, recipes) if key in compared.index]
        tables.append(compared.loc[in_order].reset_index())
    return pd.concat(tables, ignore_index=True)


def _scores(accuracy: pd.DataFrame) -> pd.DataFrame:
    """Return each target's and recipe's score, less the mean of the first recipe's, in points.

    Mean and range over seeds; a target is named with that mean.
    """
    means = accuracy.groupby(["target", "recipe"], sort=False)["value"].mean() * 100
    first = means.groupby("target", sort=False).first()
    table = accuracy.assign(
        case=[f"{target} ({first[target]:.1f})" for target in accuracy["target"]],
        value=accuracy["value"] * 100 - accuracy["target"].map(first),
        part="accuracy",
    )
    grouped = table.groupby(["part", "case", "recipe"], sort=False)["value"]
    return grouped.agg(mean="mean", lowest="min", highest="max", n="count").reset_index()


def _rows(table: pd.DataFrame) -> int:
    """Return the height that a panel needs: a row per case and recipe, and one between cases."""
    return int(table["case"].nunique() * (table["recipe"].nunique() + 1))


def _range(numbers: pd.Series) -> str:
    low, high = int(numbers.min()), int(numbers.max())
    return str(low) if low == high else f"{low} to {high}"


def _limits(found: pd.DataFrame) -> tuple[float, float]:
    """Return the ends of the axis of ratios, the same for all panels, with 1 and aims within."""
    aims = [aim for part, _, aim in AIMS if part in set(found["part"])]
    return min(found["lowest"].min(), 0.9) / 1.15, max(found["highest"].max(), *aims, 1.5) * 1.15


def _name(panel: Axes, title: str) -> None:
    panel.set_title(title, loc="left")
    panel.legend(loc="upper left", bbox_to_anchor=(1.0, 1.04), handletextpad=0.3)


def _ratios(panel: Axes, table: pd.DataFrame, part: str, limits: tuple[float, float]) -> None:
    """Draw a part's ratios, a line at 1, and one at each aim, in the colour it is for."""
    _dots(panel, table, "ratio")
    panel.axvline(1, color=style.INK, lw=0.8, zorder=1)
    recipes = list(dict.fromkeys(table["recipe"]))
    for of_part, name, aim in AIMS:
        meant = [recipe for recipe in recipes if recipe.startswith(name)]
        if of_part == part and meant:
            colour = COLOURS[recipes.index(meant[0]) % len(COLOURS)]
            label = f"aim: {aim:g} times"
            panel.axvline(aim, color=colour, lw=1, ls=(0, (4, 2)), zorder=1, label=label)
    panel.set(xscale="log", xlim=limits)
    panel.xaxis.set_major_locator(FixedLocator(TICKS))
    panel.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    panel.xaxis.set_minor_locator(NullLocator())


def _dots(panel: Axes, table: pd.DataFrame, column: str) -> None:
    """Draw a dot and its range for every case and recipe, recipes of a case under each other."""
    cases, recipes = (list(dict.fromkeys(table[name])) for name in ("case", "recipe"))
    step = 1 / (len(recipes) + 1)
    for number, recipe in enumerate(recipes):
        rows = table[table["recipe"] == recipe]
        places = np.array([cases.index(case) for case in rows["case"]])
        places = places + (number - (len(recipes) - 1) / 2) * step
        colour = COLOURS[number % len(COLOURS)]
        panel.hlines(places, rows["lowest"], rows["highest"], color=colour, lw=1.3, zorder=3)
        panel.plot(
            rows[column], places, MARKERS[number % len(MARKERS)], color=colour, ms=4.5,
            mec="white", mew=0.5, zorder=4, label=recipe,
        )  # fmt: skip
    for place in range(0, len(cases), 2):
        panel.axhspan(place - 0.5, place + 0.5, color="0.965", lw=0, zorder=0)
    panel.set_yticks(range(len(cases)), cases)
    panel.set_ylim(len(cases) - 0.5, -0.5)
    panel.tick_params(axis="y", length=0)
