"""Draw the comparisons of conditions beside the primary one: one function per figure."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lib import style
from lib.pairing import COMPARED
from lib.plots import Drawn
from lib.statistics import over_replicates
from lib.style import styled

FAMILIES = {
    "syntactic": style.BLUE,
    "semantic similarity": style.ORANGE,
    "placebo": "0.6",
}
QUESTIONS = {
    "primary": "primary",
    "examples": "same examples, not tokens",
    "pair model": "pair read as two vectors",
    "parser": "other parsing head",
    "size": "fewer examples",
    "task": "other tasks of a family",
    "placebo": "against placebos",
}


@styled
def gains_by_condition(table: pd.DataFrame) -> Drawn:
    """Draw gain and transfer gain of every condition, means over targets, by family.

    `table` is what `comparison.Measured.of_conditions` returns. Hollow: over the targets alone
    whose data the condition has trained on.
    """
    drawn = table.assign(unit="points")
    drawn[["mean", "low", "high"]] *= 100
    order = [*FAMILIES, *sorted(set(drawn["family"]) - set(FAMILIES))]
    listed = drawn.drop_duplicates("condition").copy()
    listed["place"] = listed["family"].map(order.index)
    names = listed.sort_values(["place"], kind="stable")["condition"].tolist()
    family = listed.set_index("condition")["family"]
    figure, axes = style.canvas(7, 1.3 + 0.21 * len(names), columns=2, sharey=True)
    titles = {"gain": "Gain", "transfer_gain": "Transfer gain"}
    cut = False
    for panel, (measure, title) in zip(axes[0], titles.items(), strict=True):
        rows = drawn[drawn["measure"] == measure]
        cut |= style.cut_at(panel, rows)
        for _, row in rows.iterrows():
            clean = row["cells"] == "clean"
            place = names.index(row["condition"]) + (0 if clean else 0.28)
            colour = FAMILIES.get(row["family"], style.INK)
            style.draw_interval(panel, place, row, (colour, "o", ""), upright=False, size=4.5)
            if not clean:
                panel.plot(
                    row["mean"], place, "o", color="white", mec=colour, mew=0.9, ms=3.6, zorder=5
                )
        panel.axvline(0, color=style.INK, lw=0.8, zorder=1)
        panel.set(title=title, xlabel="points", ylim=(len(names) - 0.4, -0.6))
        panel.tick_params(axis="y", length=0)
        for edge in range(1, len(names)):
            if family[names[edge]] != family[names[edge - 1]]:
                panel.axhline(edge - 0.5, color="0.85", lw=0.8, zorder=0)
    runs = drawn.groupby("condition")["replicates"].max()
    axes[0, 0].set_yticks(range(len(names)), [f"{name} ({runs[name]})" for name in names])
    colours = [FAMILIES.get(family[name], style.INK) for name in names]
    for label, colour in zip(axes[0, 0].get_yticklabels(), colours, strict=True):
        label.set_color(colour if colour != "0.6" else "0.45")
    present = [name for name in FAMILIES if name in set(family)]
    same = drawn[drawn["cells"] != "clean"]
    words = ", ".join(f"{_colour(name)} {name}" for name in present)
    hollow = "hollow: over targets whose data it has trained on; " if len(same) else ""
    figure.suptitle(
        f"Mean over clean targets and zero-shot languages; {words}\n"
        f"{hollow}95 % t intervals over runs, as many as in parentheses{style.BEYOND * cut}",
        size=8.5,
    )
    return figure, drawn


def _colour(family: str) -> str:
    return {"syntactic": "blue:", "semantic similarity": "orange:", "placebo": "grey:"}[family]


@styled
def comparisons(table: pd.DataFrame) -> Drawn:
    """Draw every comparison's clean mean difference in transfer gain, by what it asks.

    `table` is what `comparison.Measured.table` returns.
    """
    kept = table[(table["measure"] == "transfer_gain") & (table["cells"] == "all")]
    kept = kept.assign(place=kept["question"].map(list(QUESTIONS).index), unit="points")
    drawn = kept.sort_values("place", kind="stable").reset_index(drop=True)
    drawn = drawn.drop(columns=["place", "slope", "slope_low", "slope_high"])
    drawn[["mean", "low", "high"]] *= 100
    figure, ((axes,),) = style.canvas(7, 1.1 + 0.24 * len(drawn))
    labels, numbers, before = [], [], ""
    for place, row in drawn.iterrows():
        colour = style.BLUE if row["question"] == "primary" else style.INK
        size = 7.0 if row["question"] == "primary" else 4.5
        style.draw_interval(axes, float(str(place)), row, (colour, "D", ""), False, size)
        if row["question"] != before:
            before = row["question"]
            if place:
                axes.axhline(float(str(place)) - 0.5, color="0.85", lw=0.8, zorder=0)
            text = axes.annotate(
                QUESTIONS[before], (1, float(str(place))), (4, 0),
                xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
            )  # fmt: skip
            text.set(size=8, color="0.35")
        labels.append(f"{row['first']} − {row['second']}")
        numbers.append(int(row["replicates"]))
    runs = [f"{label} ({number})" for label, number in zip(labels, numbers, strict=True)]
    axes.set_yticks(range(len(drawn)), runs)
    axes.axvline(0, color=style.INK, lw=0.8, zorder=1)
    axes.set(ylim=(len(drawn) - 0.4, -0.6), xlabel="difference in transfer gain (points)")
    axes.tick_params(axis="y", length=0)
    cut = style.cut_at(axes, drawn)
    axes.set_title(
        "Clean mean, first minus second condition\n"
        f"95 % t intervals over runs, as many as in parentheses{style.BEYOND * cut}"
    )
    return figure, drawn


@styled
def learning_curve(by_size: pd.DataFrame, pair: Sequence[str] = COMPARED) -> Drawn:
    """Draw transfer gain against the number of intermediate examples, and the difference.

    `by_size` is what `comparison.Measured.by_size` returns.
    """
    table = over_replicates(by_size.assign(language=""), ["of", "examples"], "value")
    drawn = table.drop(columns="languages").assign(unit="points")
    drawn[["mean", "low", "high"]] *= 100
    figure, axes = style.canvas(7, 3.0, columns=2, sharex=True)
    looks = style.looks_of(list(pair)) | {"difference": (style.INK, "s", f"{pair[0]} − {pair[1]}")}
    for panel, shown in zip(axes[0], (list(pair), ["difference"]), strict=True):
        for number, name in enumerate(shown):
            colour, marker, label = looks[name]
            part = drawn[drawn["of"] == name].sort_values("examples")
            # A little apart, so that the intervals of the two do not cover each other.
            x = part["examples"] * (1 + 0.05 * (number - (len(shown) - 1) / 2))
            ends = np.abs(part[["low", "high"]].to_numpy().T - part["mean"].to_numpy())
            panel.errorbar(
                x, part["mean"], ends, color=colour, marker=marker, ms=5, lw=1.3, label=label
            )
        panel.axhline(0, color="0.7", lw=0.8, zorder=0)
        panel.set(xscale="log", xlabel="intermediate examples")
        ticks = sorted(set(drawn["examples"]))
        panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.set_xticks([], minor=True)
    axes[0, 0].set_ylabel("transfer gain (points)")
    axes[0, 1].set_ylabel("difference (points)")
    figure.legend(loc="outside lower center", ncols=3)
    runs = int(drawn["replicates"].max())
    figure.suptitle(
        "The same updates of the same number of tokens, on fewer or more examples\n"
        f"mean over clean targets and zero-shot languages; 95 % t intervals over {runs} runs",
        size=8.5,
    )
    return figure, drawn
