"""Draw the figures of the analysis of typology; scores and differences in points."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib import style
from lib.statistics import over_replicates
from lib.style import intervals_over, styled

Drawn = tuple[Figure, pd.DataFrame]
MEASURE = ["outcome", "condition", "measure"]


@styled
def by_distance(
    values: pd.DataFrame,
    slopes: pd.DataFrame,
    bands: pd.DataFrame,
    distances: pd.DataFrame,
    labels: dict[str, str],
    scope: str,
) -> Drawn:
    """Draw gain, transfer gain and difference against every measure of distance.

    `values` is what `trends.outcomes` returns, `slopes` and `bands` what `trends.against` does;
    `distances` has shape (languages, measures) and `labels` names the measures.
    """
    means = over_replicates(values, ["outcome", "condition", "language"], "value")
    points = pd.concat(
        [
            means.assign(measure=measure, distance=distances.loc[means["language"], measure].array)
            for measure in labels
        ]
    )
    kinds = {"language": points.drop(columns="languages"), "line": bands}
    drawn = pd.concat([part.assign(kind=kind) for kind, part in kinds.items()], ignore_index=True)
    drawn[["mean", "low", "high"]] *= 100
    drawn["unit"] = "points"
    outcomes = list(dict.fromkeys(values["outcome"]))
    figure, axes = style.canvas(
        7, 1.1 + 1.75 * len(labels), len(labels), len(outcomes), sharey="col"
    )
    looks = style.looks_of(list(dict.fromkeys(values["condition"])))
    for row, measure in zip(axes, labels, strict=True):
        for panel, outcome in zip(row, outcomes, strict=True):
            here = drawn[(drawn["measure"] == measure) & (drawn["outcome"] == outcome)]
            notes = []
            for condition, part in here.groupby("condition", sort=False):
                compared = " - " in str(condition)
                look = (style.INK, "o", "") if compared else looks[str(condition)]
                shift = {0: -0.006, 1: 0.006}[list(looks).index(str(condition)) % 2]
                _with_band(panel, part, look, 0.0 if compared else shift)
                keys = zip(MEASURE, (outcome, condition, measure), strict=True)
                found = slopes[np.all([slopes[key] == value for key, value in keys], axis=0)]
                notes.append((_slope_note(found.iloc[0]), look[0]))
            _write_notes(panel, notes)
            panel.axhline(0, color=style.INK, lw=0.7, zorder=1)
            panel.margins(x=0.05)
        row[len(row) // 2].set_xlabel(labels[measure])
    for column, outcome in zip(axes.T, outcomes, strict=True):
        compared = outcome == "difference"
        column[0].set_title(" − ".join(_pair(values)) if compared else outcome.capitalize())
        low, high = column[0].get_ylim()
        column[0].set_ylim(low, high + (0.16 if compared else 0.28) * (high - low))
    for row in axes:
        row[0].set_ylabel("points")
    counts = points.groupby("measure")["language"].nunique()
    bars = (
        "bars: " + intervals_over(scope) if "no intervals" not in intervals_over(scope) else scope
    )
    figure.suptitle(
        f"A point per language ({counts.max()}); {bars}\n"
        "bands: 95 %, over replicates and languages; b: slope in points per 0.1 of distance\n"
        "right: difference in transfer gain",
        size=8.5,
    )  # fmt: skip
    named = {name: look for name, look in looks.items() if " - " not in name}
    style.legend(figure, named, 3)
    return figure, drawn


def _pair(values: pd.DataFrame) -> list[str]:
    compared = values.loc[values["outcome"] == "difference", "condition"].iloc[0]
    return str(compared).split(" - ")


def _with_band(panel: Axes, part: pd.DataFrame, look: tuple, shift: float) -> None:
    """Draw the languages of one outcome, with intervals, and the line fitted to them.

    Two outcomes of a panel are shifted apart by a share of its width.
    """
    shift *= float(np.ptp(part["distance"]))
    band = part[part["kind"] == "line"]
    panel.fill_between(
        band["distance"], band["low"], band["high"], color=look[0], alpha=0.13, lw=0, zorder=0
    )
    panel.plot(band["distance"], band["mean"], color=look[0], lw=1.4, zorder=2)
    points = part[part["kind"] == "language"]
    x = points["distance"] + shift
    panel.vlines(x, points["low"], points["high"], color=look[0], lw=0.6, alpha=0.35, zorder=2)
    y = points["mean"]
    panel.plot(x, y, look[1], color=look[0], ms=3.6, mec="white", mew=0.4, zorder=4)


def _slope_note(row: pd.Series) -> str:
    slope, low, high = (10 * row[end] for end in ("mean", "low", "high"))
    ends = "" if np.isnan(low) else f" [{low:+.1f}, {high:+.1f}]"
    return f"b {slope:+.1f}{ends}, ρ {row['spearman']:+.2f}".replace("-", "−")


def _write_notes(panel: Axes, notes: Sequence[tuple[str, str]]) -> None:
    """Write the slopes at the top, in the colours of their lines."""
    for place, (words, colour) in enumerate(notes):
        panel.text(0.02, 0.985 - 0.105 * place, words, color=colour, size=7.5, va="top",
                   transform=panel.transAxes)  # fmt: skip


@styled
def coefficients(
    effects: pd.DataFrame, labels: dict[str, str], pair: tuple[str, str], scope: str
) -> Drawn:
    """Draw the coefficients of the mixed models, alone and with controls, per subset of cells.

    `effects` is what `trends.models` returns; `labels` names measures of distance and covariates.
    Of the other measures of distance than the first, only the distance itself is drawn.
    """
    drawn = effects.copy()
    drawn[["estimate", "standard_error", "low", "high"]] *= 100
    drawn[["slope", "slope_low", "slope_high"]] *= 100
    drawn["unit"] = "points per standard deviation; slope: per unit"
    measures = list(dict.fromkeys(drawn["measure"]))
    named = drawn["term"].where(drawn["term"] != "distance", drawn["measure"])
    drawn["label"] = named.map(labels)
    shown = drawn[(drawn["term"] == "distance") | (drawn["measure"] == measures[0])]
    order = [labels[measure] for measure in measures]
    order += [label for label in dict.fromkeys(shown["label"]) if label not in order]
    cells = list(dict.fromkeys(shown["cells"]))
    written = [fill(label, 24) for label in order]
    height = max(0.34, 0.17 * max(label.count("\n") + 1 for label in written))
    figure, axes = style.canvas(
        7, 1.6 + height * len(order), columns=len(cells), sharex=True, sharey=True
    )
    kinds = {False: (style.INK, "o", "distance alone"), True: (style.BLUE, "D", "with controls")}
    for panel, name in zip(axes[0], cells, strict=True):
        here = shown[shown["cells"] == name]
        for _, row in here.iterrows():
            place = order.index(row["label"]) + (0.15 if row["adjusted"] else -0.15)
            ends = row.rename({"estimate": "mean"})
            style.draw_interval(panel, place, ends, kinds[row["adjusted"]], upright=False)
        numbers = here.groupby("adjusted")[["languages", "rows"]].max().to_numpy().tolist()
        counts = [f"{languages} languages, {rows} cells" for languages, rows in numbers]
        if counts[1:] and counts[0] != counts[1]:
            counts[1] = f"with controls {counts[1]}"
        panel.set_title("\n".join([name, *dict.fromkeys(counts)]), size=8.5)
        panel.axvline(0, color=style.INK, lw=0.8, zorder=1)
        for place in range(0, len(order), 2):
            panel.axhspan(place - 0.5, place + 0.5, color="0.965", lw=0, zorder=0)
        panel.set(ylim=(len(order) - 0.5, -0.5))
        panel.tick_params(axis="y", length=0)
        panel.set_xlabel("points per\nstandard deviation")
    axes[0, 0].set_yticks(range(len(order)), written)
    figure.suptitle(
        f"Difference in transfer gain, {pair[0]} minus {pair[1]}: mixed model\n"
        f"95 % t intervals over languages, given these runs ({scope})",
        size=8.5,
    )
    handles = [
        Line2D([], [], color=colour, marker=marker, ms=5, lw=1.3, label=label)
        for kind, (colour, marker, label) in kinds.items()
        if kind in set(shown["adjusted"])
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure, drawn


@styled
def without_each_family(slopes: pd.DataFrame, pair: tuple[str, str], scope: str) -> Drawn:
    """Draw the slope of the difference on distance, each time without one family of languages.

    `slopes` is what `trends.without_each_family` returns; the shaded band is that of all families.
    """
    drawn = slopes.copy()
    drawn[["mean", "low", "high"]] *= 10
    drawn["unit"] = "points per 0.1 of distance"
    figure, ((axes,),) = style.canvas(5, 1.2 + 0.24 * len(drawn))
    whole = drawn.iloc[0]
    axes.axvspan(whole["low"], whole["high"], color="0.93", lw=0, zorder=0)
    for place, (_, row) in enumerate(drawn.iterrows()):
        look = (style.INK, "D", "") if place == 0 else (style.BLUE, "o", "")
        style.draw_interval(axes, place, row, look, upright=False)
    words = ["all families", *(f"without {name}" for name in drawn["left_out"][1:])]
    counted = zip(words, drawn["languages"], strict=True)
    axes.set_yticks(range(len(drawn)), [f"{name} (n = {n})" for name, n in counted])
    axes.axvline(0, color=style.INK, lw=0.8, zorder=1)
    axes.set_ylim(len(drawn) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("slope (points per 0.1 of distance)")
    axes.set_title(
        f"{pair[0]} minus {pair[1]} against distance\n95 % over replicates and languages;\n{scope}",
        size=8.5,
    )
    return figure, drawn


@styled
def parameter_effects(effects: pd.DataFrame, labels: dict[str, str], scope: str) -> Drawn:
    """Draw the main effect of every grammatical parameter on every outcome.

    `effects` is what `factorial.effects` returns, with a column `outcome`, panel by panel; `labels`
    names the parameters. Thin ends cover all parameters of a panel together.
    """
    drawn = effects.copy()
    drawn[["mean", "low", "high", "low_all", "high_all"]] *= 100
    drawn["unit"] = "points"
    outcomes = list(dict.fromkeys(drawn["outcome"]))
    first = drawn[drawn["outcome"] == outcomes[0]]
    order = first.sort_values("mean", kind="stable")["term"].tolist()
    figure, axes = style.canvas(7, 1.4 + 0.27 * len(order), columns=len(outcomes), sharey=True)
    for column, (panel, outcome) in enumerate(zip(axes[0], outcomes, strict=True)):
        here = drawn[drawn["outcome"] == outcome]
        for _, row in here.iterrows():
            place = order.index(row["term"])
            sure = row["low_all"] > 0 or row["high_all"] < 0
            look = (style.BLUE if sure else style.INK, "o", "")
            panel.plot([row["low_all"], row["high_all"]], [place] * 2, color=look[0], lw=0.6)
            style.draw_interval(panel, place, row, look, upright=False)
        for place in range(0, len(order), 2):
            panel.axhspan(place - 0.5, place + 0.5, color="0.965", lw=0, zorder=0)
        panel.axvline(0, color=style.INK, lw=0.8, zorder=1)
        panel.set(title=fill(outcome.replace(" - ", " − "), 20), ylim=(len(order) - 0.5, -0.5))
        panel.title.set_size(8.5)
        panel.set_xlabel("points")
        panel.tick_params(axis="y", length=0)
        panel.locator_params(axis="x", nbins=4)
        if column:
            panel.sharex(axes[0, 1])
    axes[0, 0].set_yticks(range(len(order)), [labels[term] for term in order])
    numbers = drawn.iloc[0]
    figure.suptitle(
        "What it does that a parameter differs from the source's, all others equal\n"
        f"{numbers['languages']} languages, {scope}; bars 95 % over replicates and languages,\n"
        f"thin ends for all {len(order)} parameters at once (blue where these leave out 0)",
        size=8.5,
    )
    return figure, drawn
