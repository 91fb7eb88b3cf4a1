"""Draw what `lib.layers` measured: by layer, by condition, against distance."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib import style
from lib.statistics import Line
from lib.style import intervals_over, styled

Drawn = tuple[Figure, pd.DataFrame]
FEW = 7  # layers: up to so many have room for bars side by side; more get bands
RANDOM = "0.55"
LABELLED = 24  # points at most that have their names beside them


@styled
def by_layer(
    table: pd.DataFrame,
    titles: Sequence[str],
    label: str,
    scope: str,
    *,
    columns: int = 3,
    reference: Mapping[str, tuple[str, float]] | None = None,
    reported: int | None = None,
    zero: bool = False,
) -> Drawn:
    """Draw curves over the layers, a panel for each of `titles`, a line per condition.

    `table` is what `layers.curves` returns; `label` names the unit of the vertical axis.
    `reference` gives panels a dashed line and its name, `reported` marks the layer that the study
    reports; `zero` draws a line at 0, for differences. Bars or bands are intervals over replicates
    of means over languages, whose number is in the panel's title.
    """
    drawn = table[table["panel"].isin(titles)].copy()
    drawn["layer"] = drawn["layer"].astype(int)
    panels = [name for name in titles if name in set(drawn["panel"])]
    looks = style.counted(_looks(drawn["condition"]), drawn)
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width = min(7.0, 0.5 + 3.2 * columns)
    figure, axes = style.canvas(width, 0.75 + 2.05 * rows + 0.17 * len(looks), rows, columns)
    for number, (place, name) in enumerate(zip(axes.flat, panels, strict=False)):
        part = drawn[drawn["panel"] == name]
        _curves(place, part, looks)
        counted = style.languages(part["languages"].max())
        place.set_title(_wrapped(name, width / columns) + f"\n{counted}", fontsize=8.5)
        if zero:
            place.axhline(0, color=style.INK, lw=0.8, zorder=1)
        if reported is not None:
            place.axvline(reported, color="0.6", lw=0.8, ls=":", zorder=1)
        if reference and name in reference:
            said, value = reference[name]
            place.axhline(value, color="0.35", lw=0.9, ls="--", zorder=1, label=said)
        place.set_xticks(_ticks(part["layer"]))
        if number % columns == 0:
            place.set_ylabel(label)
        if number + columns >= len(panels):
            place.set_xlabel("layer (0: embeddings)")
    for place in axes.flat[len(panels) :]:
        place.axis("off")
    figure.suptitle(intervals_over(scope), x=0.01, ha="left", fontsize=8)
    named: dict[str, Any] = {}
    for place in axes.flat[: len(panels)]:
        handles, names = place.get_legend_handles_labels()
        named |= dict(zip(names, handles, strict=True))
    if len(named) > 1:
        figure.legend(list(named.values()), list(named), loc="outside lower center", ncols=columns)
    return figure, drawn.reset_index(drop=True)


def _looks(conditions: pd.Series) -> dict[str, tuple]:
    """Return each condition's look; placebos first, so that compared conditions lie on top."""
    present = list(dict.fromkeys(conditions))
    order = sorted(present, key=lambda name: name not in (*style.PLACEBOS, "random"))
    looks = style.looks_of(order)
    if order == [""]:  # a contrast
        looks = {"": (style.INK, "o", "")}
    if "random" in looks:
        looks["random"] = (RANDOM, "x", style.LOOKS["random"][2])
    return looks


def _wrapped(title: str, width: float) -> str:
    """Break a title where it is wider than its panel (inches)."""
    return fill(title, max(12, int(12.5 * width)))


def _ticks(layers: pd.Series) -> list[int]:
    """Return every layer, or every second, third, … where there are many."""
    last = int(layers.max())
    return list(range(int(layers.min()), last + 1, 1 + last // 9))


def _curves(axes: Axes, part: pd.DataFrame, looks: Mapping[str, tuple]) -> None:
    """Draw a panel's lines with bars side by side, or with bands where layers are many."""
    present = [name for name in looks if name in set(part["condition"])]
    few = part["layer"].nunique() <= FEW
    step = 0.5 / max(1, len(present))
    for number, name in enumerate(present):
        colour, marker, label = looks[name]
        line = part[part["condition"] == name].sort_values("layer")
        x = line["layer"].to_numpy(dtype=float)
        low, high = line["low"].to_numpy(dtype=float), line["high"].to_numpy(dtype=float)
        if few:
            x = x + (number - (len(present) - 1) / 2) * step
            axes.vlines(x, low, high, color=colour, lw=1.1, zorder=2)
        else:
            axes.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
        dashes = (0, (2, 1.5)) if name == "random" else "-"
        axes.plot(x, line["mean"], marker=marker, color=colour, ms=3.6, lw=1.1, ls=dashes,
                  label=label, mew=1 if marker == "x" else 0.4,
                  mec=colour if marker == "x" else "white", zorder=3)  # fmt: skip


@styled
def by_condition(
    table: pd.DataFrame, titles: Sequence[str], label: str, scope: str, columns: int = 3
) -> Drawn:
    """Draw one gain per condition as lying intervals, a panel for each of `titles`.

    `table` has columns panel, condition, mean, low, high, replicates. Each panel has a scale of its
    own, beyond which an interval over two runs may reach. Where conditions differ in replicates,
    their numbers stand beside their names in brackets.
    """
    drawn = table[table["panel"].isin(titles)].copy()
    panels = [name for name in titles if name in set(drawn["panel"])]
    present = dict.fromkeys(drawn["condition"])
    names = [name for name in style.LOOKS if name in present]
    names += [name for name in present if name not in style.LOOKS]
    looks = style.looks_of(names)
    numbers = drawn.groupby("condition")["replicates"].max()
    labels = [f"{name} ({numbers[name]})" if numbers.nunique() > 1 else name for name in names]
    columns = min(columns, len(panels))
    rows = -(-len(panels) // columns)
    width = min(7.0, 1.6 + 2.2 * columns)
    figure, axes = style.canvas(
        width, 0.7 + rows * (0.8 + 0.19 * len(names)), rows, columns, sharey=True
    )
    cut = False
    for number, (place, panel) in enumerate(zip(axes.flat, panels, strict=False)):
        part = drawn[drawn["panel"] == panel]
        cut |= style.cut_at(place, part)
        for _, row in part.iterrows():
            name = row["condition"]
            style.draw_interval(place, names.index(name), row, looks[name], upright=False)
        place.axvline(0, color=style.INK, lw=0.8, zorder=1)
        place.set_title(_wrapped(panel, (width - 1.6) / columns), fontsize=8.5)
        place.set(ylim=(len(names) - 0.4, -0.6))
        place.set_yticks(range(len(names)), labels)
        place.tick_params(axis="y", length=0)
        if number + columns >= len(panels):
            place.set_xlabel(label)
    for place in axes.flat[len(panels) :]:
        place.axis("off")
    counted = "; in brackets: runs of each" if numbers.nunique() > 1 else ""
    said = intervals_over(scope) + counted + style.BEYOND * cut
    figure.suptitle(said, x=0.01, ha="left", fontsize=8)
    return figure, drawn.reset_index(drop=True)


@styled
def gain_by_distance(
    means: pd.DataFrame,
    lines: Mapping[str, Line],
    distance: pd.Series,
    names: pd.Series,
    label: str,
    scope: str,
    conditions: Sequence[str],
) -> Drawn:
    """Draw each language's gain against its distance, a panel per condition, with fitted lines.

    `means` has columns condition, language, mean, low, high (points); `lines` what
    `statistics.slope` fits to shares. Bars: over replicates; bands: over replicates and languages.
    """
    drawn = means.assign(distance=means["language"].map(distance).to_numpy())
    figure, axes = style.canvas(7, 0.9 + 2.1 * len(conditions), rows=len(conditions), sharex=True)
    looks = style.looks_of(list(conditions))
    for place, condition in zip(axes[:, 0], conditions, strict=True):
        colour, marker, title = looks[condition]
        part = drawn[drawn["condition"] == condition].reset_index(drop=True)
        band = lines[condition].band.sort_values("distance")
        place.fill_between(band["distance"], band["low"] * 100, band["high"] * 100, color=colour,
                           alpha=0.15, lw=0)  # fmt: skip
        place.plot(band["distance"], band["mean"] * 100, color=colour, lw=1.3)
        part["at"] = _side_by_side(part["distance"])
        for _, row in part.iterrows():
            style.draw_interval(place, row["at"], row, (colour, marker, ""), upright=True)
        place.axhline(0, color=style.INK, lw=0.8, zorder=1)
        place.set_title(f"{title}: {len(part)} languages", fontsize=8.5)
        place.set_ylabel("gain (points)")
    for place, condition in zip(axes[:, 0], conditions, strict=True):
        part = drawn[drawn["condition"] == condition].reset_index(drop=True)
        if len(part) <= LABELLED:
            at = np.column_stack([_side_by_side(part["distance"]), part["mean"]])
            bars = np.concatenate(
                [np.column_stack([at[:, 0], part["low"] + share * (part["high"] - part["low"])])
                 for share in np.linspace(0, 1, 9)]
            )  # fmt: skip
            band = lines[condition].band.sort_values("distance")
            x = np.linspace(at[:, 0].min(), at[:, 0].max(), 60)
            fitted = np.interp(x, band["distance"], band["mean"] * 100)
            for height in (0 * x, fitted):  # the lines too are better left visible
                bars = np.concatenate([bars, np.column_stack([x, height])])
            known = bars[~np.isnan(bars).any(axis=1)]
            labels = style.language_labels(part["language"], names)
            style.label_points(place, at, labels, known)
    axes[-1][0].set_xlabel(label)
    figure.suptitle(f"{intervals_over(scope)}; bands also over languages", x=0.01, ha="left",
                    fontsize=8)  # fmt: skip
    return figure, drawn


def _side_by_side(distance: pd.Series) -> np.ndarray:
    """Move languages of one distance apart, so that their bars can be told from each other."""
    place = distance.groupby(distance).cumcount()
    number = distance.groupby(distance).transform("size")
    step = 0.02 * (distance.max() - distance.min())
    return (distance + (place - (number - 1) / 2) * step).to_numpy(dtype=float)
