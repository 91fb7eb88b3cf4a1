"""Draw what a study of so many replicates and languages would see."""

import pandas as pd

from lib import style
from lib.plots import Drawn
from lib.power import Components

TITLES = {
    "mean": "Mean over languages:\nt interval over zero",
    "families": "Mean over languages:\nsign flips, p ≤ 0.05",
    "trend": "Trend, per 0.1 of distance:\ninterval over zero",
}
# By true difference: colour, marker, label. The three first are told apart by marker too.
LOOKS = {
    0.02: (style.BLUE, "o", "2 points"),
    0.01: (style.ORANGE, "D", "1 point"),
    0.005: (style.GREEN, "^", "0.5 points"),
    0.0: ("0.55", "x", "no difference (false alarms)"),
}


def _measured(parts: Components) -> str:
    """Say in a line what the variances come from."""
    return (
        f"variances measured from {parts.replicates} replicates, {parts.languages} languages, "
        f"{parts.families} families"
    )


@style.styled
def power_curves(table: pd.DataFrame, parts: Components) -> Drawn:
    """Draw power against replicates, a column per question and a row per number of languages.

    `table` is what `power.table` returns. Bands: at the two ends of the 95 % interval of the
    variance between replicates.
    """
    drawn = table.copy()
    drawn[["power", "low", "high"]] *= 100
    drawn["unit"] = "per cent of studies"
    languages, runs = sorted(set(drawn["languages"])), sorted(set(drawn["replicates"]))
    figure, axes = style.canvas(7, 1.7 + 1.55 * len(languages), len(languages), 3,
                                sharex=True, sharey=True)  # fmt: skip
    for row, count in enumerate(languages):
        for column, (question, title) in enumerate(TITLES.items()):
            panel = axes[row, column]
            here = drawn[(drawn["question"] == question) & (drawn["languages"] == count)]
            for difference, (colour, marker, _) in LOOKS.items():
                part = here[here["difference"] == difference].sort_values("replicates")
                places = [runs.index(number) for number in part["replicates"]]
                line = "-" if difference else ":"
                if difference:
                    ends = part[["low", "high"]].agg(["min", "max"], axis=1)
                    shade = {"color": colour, "alpha": 0.13, "lw": 0}
                    panel.fill_between(places, ends["min"], ends["max"], **shade)
                panel.plot(places, part["power"], line, marker=marker, color=colour, ms=4, lw=1.3)
            panel.axhline(80, color=style.INK, lw=0.7, ls="--", zorder=1)
            panel.set(ylim=(-3, 103), xlim=(-0.3, len(runs) - 0.7))
            panel.set_xticks(range(len(runs)), runs)
            panel.set_yticks([0, 20, 40, 60, 80, 100])
            if row == 0:
                panel.set_title(title, size=8.5)
        axes[row, 0].set_ylabel(f"{count} languages")
    for panel in axes[-1]:
        panel.set_xlabel("replicates")
    figure.supylabel("studies that see it (%)", size=8.5)
    figure.suptitle(
        f"How often a true difference is seen; {_measured(parts)}\n"
        "bands: 95 % interval of the variance between replicates; dashed: 80 %",
        size=8.5,
    )
    style.legend(figure, {look[2]: look for look in LOOKS.values()}, 4)
    return figure, drawn


@style.styled
def smallest_difference(table: pd.DataFrame, parts: Components) -> Drawn:
    """Draw the smallest true difference that 80 % of studies see, against replicates.

    `table` is what `power.smallest` returns. Bars as the bands of `power_curves`.
    """
    drawn = table.copy()
    drawn[["difference", "low", "high"]] *= 100
    drawn["unit"] = "points"
    languages, runs = sorted(set(drawn["languages"])), sorted(set(drawn["replicates"]))
    palette = zip((style.BLUE, style.ORANGE, style.GREEN), "oD^", languages, strict=False)
    looks = {count: (colour, mark, f"{count} languages") for colour, mark, count in palette}
    figure, axes = style.canvas(7, 3.6, columns=2, sharey=True)
    labels = {"mean": "Mean over languages", "trend": "Trend, per 0.1 of distance"}
    for panel, (question, title) in zip(axes[0], labels.items(), strict=True):
        here = drawn[drawn["question"] == question].rename(columns={"difference": "mean"})
        for _, row in here.iterrows():
            shift = (languages.index(row["languages"]) - (len(languages) - 1) / 2) * 0.22
            place = runs.index(row["replicates"]) + shift
            style.draw_interval(panel, place, row, looks[row["languages"]], upright=True)
        for level in (0.5, 1, 2):
            panel.axhline(level, color="0.8", lw=0.8, zorder=0)
        panel.set_yscale("log")
        panel.set_yticks([0.2, 0.5, 1, 2, 5, 10, 20, 50], ["0.2", "0.5", 1, 2, 5, 10, 20, 50])
        panel.minorticks_off()
        panel.set_xticks(range(len(runs)), runs)
        panel.set(title=title, xlabel="replicates")
    axes[0, 0].set_ylabel("points")
    figure.suptitle(
        f"Smallest true difference that 80 % of studies see; {_measured(parts)}\n"
        "bars: 95 % interval of the variance between replicates",
        size=8.5,
    )
    style.legend(figure, {look[2]: look for look in looks.values()}, 3)
    return figure, drawn
