"""Draw every figure of the compendium: one function per figure, one style.

A function returns the figure and the table of what it draws; `style.save` writes both. Scores,
gains and differences are drawn in points (share times 100).
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from lib import style
from lib.statistics import Line, over_replicates, replicates, verdict
from lib.style import intervals_over, styled

Drawn = tuple[Figure, pd.DataFrame]


@styled
def gains_by_target(gains: pd.DataFrame, scope: str, source_language: str = "en") -> Drawn:
    """Draw gain, transfer gain and that in log-odds of every condition by target, with intervals.

    `gains` is what `statistics.gains` returns; `scope` says what the intervals cover. Means are
    over the zero-shot languages: the source language is left out.
    """
    shown = gains[(gains["language"] != source_language) & (gains["condition"] != "random")]
    order = [name for name in style.LOOKS if name in set(shown["condition"])]
    conditions = order + sorted(set(shown["condition"]) - set(order))
    targets = list(dict.fromkeys(shown["target"]))
    looks, step = style.looks_of(conditions), 0.8 / len(conditions)
    figure, axes = style.canvas(
        7,
        1.5 + len(targets) * max(0.35, 0.14 * len(conditions)),
        columns=3,
        sharey=True,
    )
    titles = {
        "gain": ("Gain over none", "points"),
        "transfer_gain": (f"Transfer gain:\ngain minus that in {source_language}", "points"),
        "log_odds_transfer_gain": ("Transfer gain\nin log-odds", "log-odds"),
    }
    tables = []
    for panel, (measure, (title, unit)) in zip(axes[0], titles.items(), strict=True):
        table = over_replicates(shown, ["target", "condition"], measure)
        table[["mean", "low", "high"]] *= 100 if unit == "points" else 1
        tables.append(table.assign(measure=measure, unit=unit))
        for _, row in table.iterrows():
            offset = (conditions.index(row["condition"]) - (len(conditions) - 1) / 2) * step
            place = targets.index(row["target"]) + offset
            style.draw_interval(panel, place, row, looks[row["condition"]], upright=False)
        for place in set(range(len(targets))) - {targets.index(t) for t in table["target"]}:
            panel.text(0, place, f" no score in {source_language}", color="0.45", va="center")
        for place in range(0, len(targets), 2):
            panel.axhspan(place - 0.5, place + 0.5, color="0.965", lw=0, zorder=0)
        panel.axvline(0, color=style.INK, lw=0.8, zorder=1)
        panel.set(title=title, xlabel=unit, ylim=(len(targets) - 0.5, -0.5))
        panel.tick_params(axis="y", length=0)
    counts = shown.groupby("target")["language"].nunique()
    axes[0, 0].set_yticks(
        range(len(targets)), [f"{t}\n{style.languages(counts[t])}" for t in targets]
    )
    figure.suptitle(f"Mean over zero-shot languages\n{intervals_over(scope)}", size=8.5)
    drawn = pd.concat(tables, ignore_index=True)
    style.legend(figure, style.counted(looks, drawn), 3)
    return figure, drawn


@styled
def scores_by_language(
    table: pd.DataFrame,
    distance: pd.Series,
    names: pd.Series,
    scope: str,
    conditions: Sequence[str] = ("none", "ud_parsing", "stsb"),
    floor: str = "random",
) -> Drawn:
    """Draw scores by language, near to far from the source, one panel per target.

    A panel goes from 0 to 100, or less far where nothing in it is over 50. `table` is the tidy
    table of scores; `distance` and `names` are indexed by language. The floor is a shaded level
    behind the scores.
    """
    shown = table[table["condition"].isin([*conditions, floor]) & table["reported"].astype(bool)]
    shown = shown.assign(replicate=replicates(shown))
    drawn = over_replicates(shown, ["target", "metric", "condition", "language"], "value")
    drawn = drawn.drop(columns="languages").assign(unit="points")
    drawn[["mean", "low", "high"]] *= 100
    examples = shown.groupby(["target", "language"])["n"].max().rename("n").reset_index()
    drawn = drawn.merge(examples, on=["target", "language"])
    languages = sorted(set(drawn["language"]), key=lambda code: (distance[code], code))
    few = len(languages) <= 12
    targets = list(dict.fromkeys(drawn["target"]))
    columns = 2 if few else 1
    rows = -(-len(targets) // columns)
    figure, axes = style.canvas(7, 1.0 + rows * 1.65, rows, columns, sharex=True)
    looks = style.looks_of([c for c in [*conditions, floor] if c in set(drawn["condition"])])
    pointed = [name for name in looks if name != floor]
    for panel, target in zip(axes.flat, targets, strict=False):
        rows_here = drawn[drawn["target"] == target]
        for _, row in rows_here.iterrows():
            place = languages.index(row["language"])
            if row["condition"] == floor:
                panel.bar(place, row["mean"], width=1, color=style.FLOOR, lw=0, zorder=1)
                continue
            shift = (pointed.index(row["condition"]) - (len(pointed) - 1) / 2) * 0.24
            look = looks[row["condition"]]
            style.draw_interval(
                panel, place + shift, row, look, upright=True, size=4.2 if few else 3
            )
        low, high = rows_here["n"].min(), rows_here["n"].max()
        count = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        metrics = ", ".join(dict.fromkeys(rows_here["metric"]))
        panel.set_title(f"{target}: {metrics}, n = {count} per language")
        highest = rows_here[["mean", "high"]].max().max()
        panel.set(ylim=(0, 103 if highest > 50 else max(5, 1.2 * highest)))
        panel.set(xlim=(-0.6, len(languages) - 0.4))
        panel.grid(axis="y", color="0.93", lw=0.6, zorder=0)
        panel.set_axisbelow(True)
        labels = [names[code] for code in languages] if few else languages
        panel.set_xticks(range(len(languages)), labels, rotation=90 if few else 0)
        # With many targets, names under the lowest panel of a column are enough.
        named = len(targets) <= 6 or not few or targets.index(target) >= len(targets) - columns
        panel.tick_params(axis="x", labelbottom=named, labelsize=8 if few else 7)
    for spare in axes.flat[len(targets) :]:
        spare.set_visible(False)
    figure.supylabel("score (points)", size=8.5)
    order = "Languages from nearest to farthest from the source"
    figure.suptitle(f"{order}; {intervals_over(scope)}", size=8.5)
    style.legend(figure, style.counted(looks, drawn), 3)
    return figure, drawn


@styled
def difference_by_distance(
    means: pd.DataFrame,
    line: Line,
    distance: pd.Series,
    names: pd.Series,
    pair: tuple[str, str],
    targets: Sequence[str],
    distance_label: str,
    scope: str,
    average: str = "mean",
) -> Drawn:
    """Draw the difference in transfer gain against typological distance, a point per language.

    `means` is what `statistics.language_means` returns, `line` the `slope` fitted to it and
    `average` what `statistics.average` calls it. Faint dots are single replicates; the band covers
    replicates and languages.
    """
    points = over_replicates(means, ["language"], "difference").drop(columns="languages")
    points.insert(1, "distance", distance.loc[points["language"]].to_numpy())
    single = means.assign(distance=distance.loc[means["language"]].to_numpy())
    single = single.rename(columns={"difference": "mean"})
    kinds = {"language": points, "replicate": single, "line": line.band}
    drawn = pd.concat([part.assign(kind=kind) for kind, part in kinds.items()], ignore_index=True)
    drawn[["mean", "low", "high"]] *= 100
    drawn["unit"] = "points"
    points, single, band = (drawn[drawn["kind"] == kind] for kind in kinds)

    figure, ((axes,),) = style.canvas(7, 4.2)
    axes.axhline(0, color=style.INK, lw=0.8, zorder=1)
    axes.fill_between(band["distance"], band["low"], band["high"], color="0.9", lw=0, zorder=0)
    axes.plot(band["distance"], band["mean"], color="0.35", lw=1.6, zorder=2)
    axes.plot(single["distance"], single["mean"], "o", color="0.72", ms=2.5, mew=0, zorder=2)
    for x, group in single.groupby("distance"):
        axes.plot(
            [x, x], [group["mean"].min(), group["mean"].max()], color="0.8", lw=0.8, zorder=1.5
        )
    colours = [style.BLUE if value > 0 else style.ORANGE for value in points["mean"]]
    axes.scatter(points["distance"], points["mean"], c=colours, s=34, ec="white", lw=0.7, zorder=4)
    first, second = pair
    axes.set_xlabel(distance_label)
    axes.set_ylabel(f"difference in transfer gain (points)\n{first} minus {second}")
    for height, colour, winner in ((0.985, style.BLUE, first), (0.015, style.ORANGE, second)):
        arrow, side = ("↑", "top") if height > 0.5 else ("↓", "bottom")
        words = f"{arrow} {winner} helps transfer more"
        axes.text(
            0.01, height, words, color=colour, va=side, transform=axes.transAxes, weight="bold"
        )
    axes.margins(x=0.06, y=0.16)
    seen = verdict(
        line.slope,
        f"The farther the language, the more {first} gains on {second}",
        f"The farther the language, the more {second} gains on {first}",
        f"{first} minus {second}: no detectable trend with distance",
        f"{first} minus {second}: too few runs or languages to tell a trend",
    )
    figure.suptitle(seen, x=0.01, ha="left", size=10.5, weight="bold")
    slope, low, high = (10 * end for end in line.slope)
    given = f"{len(points)} languages, {scope}, {average} over {', '.join(targets)}"
    ends = "" if np.isnan(low) else f" [95 %: {low:+.2f}, {high:+.2f}]"
    numbers = f"slope {slope:+.2f}{ends} points per 0.1 of distance"
    axes.set_title(f"{numbers}\n{given}".replace("-", "−"), size=8, color="0.3")
    labels = style.language_labels(points["language"], names)
    others = pd.concat([band, single, band.assign(mean=0.0)])[["distance", "mean"]].to_numpy()
    style.label_points(axes, points[["distance", "mean"]].to_numpy(), labels, others)
    return figure, drawn


@styled
def contrast_forest(contrast: pd.DataFrame, pair: tuple[str, str], scope: str) -> Drawn:
    """Draw the difference in transfer gain by target and its mean over the clean targets.

    `contrast` is what `statistics.contrast` returns. Hollow: targets that share text or labels
    with an intermediate task, which the mean leaves out.
    """
    drawn = contrast.copy()
    drawn[["mean", "low", "high"]] *= 100
    drawn["unit"] = "points"
    figure, ((axes,),) = style.canvas(7, 1.2 + 0.38 * len(drawn))
    numbers: list[str] = []
    for place, (_, row) in enumerate(drawn.iterrows()):
        total = row["target"] == "clean mean"
        look = (style.INK, "D" if total else "o")
        style.draw_interval(axes, place, row, (*look, ""), upright=False)
        fill = style.INK if row["clean"] else "white"
        size = 8 if total else 6
        axes.plot(row["mean"], place, look[1], color=fill, mec=style.INK, mew=1, ms=size, zorder=5)
        p = f"p {row['p']:.2g}" if total else f"Holm p {row['p_holm']:.2g}"
        ends = f" [{row['low']:+.1f}, {row['high']:+.1f}]" if row["replicates"] > 1 else ""
        numbers.append(f"{row['mean']:+.1f}{ends}\n{p}".replace("-", "−"))
        if total:
            axes.axhline(place - 0.5, color="0.8", lw=0.8)
    labels = [
        f"{row.target}{'' if row.clean else ' (not clean)'}, {style.languages(row.languages)}"
        for row in drawn.itertuples()
    ]
    axes.axvline(0, color=style.INK, lw=0.8, zorder=1)
    axes.set_yticks(range(len(drawn)), labels)
    margin = axes.secondary_yaxis("right")
    margin.set_yticks(range(len(drawn)), numbers)
    margin.tick_params(length=0)
    margin.spines["right"].set_visible(False)
    axes.set_ylim(len(drawn) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    first, second = pair
    axes.set_xlabel(f"points (over 0: {first} helps transfer more)")
    axes.set_title(
        f"Difference in transfer gain, {first} minus {second}\n"
        f"{intervals_over(scope)}\np: sign flips over language families, given these runs"
    )
    return figure, drawn


@styled
def loss_curve(log: pd.DataFrame) -> Drawn:
    """Draw training loss against tokens seen, or against steps.

    `log` has columns `loss`, `step` or `tokens` (preferred), and may have `eval_loss`.
    """
    against = "tokens" if "tokens" in log else "step"
    figure, ((axes,),) = style.canvas(4.5, 2.6)
    names = {"loss": ("training", style.BLUE), "eval_loss": ("held-out", style.ORANGE)}
    present = [column for column in names if column in log]
    for column in present:
        label, colour = names[column]
        part = log[[against, column]].dropna()
        axes.plot(part[against], part[column], color=colour, label=label, lw=1.4)
    axes.set(xlabel={"tokens": "subword tokens seen", "step": "updates"}[against])
    axes.set(ylabel="loss (nats)", title="Loss while training")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.legend()
    return figure, log[[against, *present]].reset_index(drop=True)


@styled
def accuracy_by_language(frame: pd.DataFrame, title: str, label: str = "accuracy") -> Drawn:
    """Draw one score per language as lying bars, in the order given, with a floor where known.

    `frame` has columns `language` (code or name), `value` and perhaps `floor`, all shares.
    """
    drawn = frame[[c for c in ("language", "value", "floor", "n") if c in frame]]
    places = np.arange(len(drawn))
    figure, ((axes,),) = style.canvas(4.5, 1.0 + 0.17 * len(drawn))
    axes.hlines(places, 0, drawn["value"] * 100, color=style.BLUE, lw=1.2, alpha=0.5)
    axes.plot(drawn["value"] * 100, places, "o", color=style.BLUE, ms=5, label=label)
    if "floor" in drawn:
        axes.plot(drawn["floor"] * 100, places, "|", color=style.INK, ms=8, mew=1.6, label="floor")
        axes.legend(loc="lower right")
    axes.set_yticks(places, drawn["language"])
    axes.set(xlim=(0, 100), ylim=(len(drawn) - 0.5, -0.5), xlabel=f"{label} (points)", title=title)
    axes.tick_params(axis="y", length=0)
    return figure, drawn.reset_index(drop=True)


@styled
def dependency_tree(
    words: Sequence[str], heads: Sequence[int], relations: Sequence[str], title: str = ""
) -> Drawn:
    """Draw one parsed sentence: words in a row, arcs from head to dependent above them.

    `heads` are 1-based, 0 is the root, as in CoNLL-U.
    """
    widths = np.array(
        [max(len(w), len(r) * 0.8, 3) + 2.0 for w, r in zip(words, relations, strict=True)]
    )
    centres = np.cumsum(widths) - widths / 2
    arcs = sorted((abs(h - d), min(h, d), max(h, d), h, d) for d, h in enumerate(heads, 1) if h)
    levels: dict[tuple[int, int], int] = {}
    for _, left, right, _, _ in arcs:
        inside = [lv for (a, b), lv in levels.items() if a < right and b > left]
        levels[left, right] = 1 + max(inside, default=0)
    top = max(levels.values(), default=1)
    figure, ((axes,),) = style.canvas(max(3.0, widths.sum() * 0.085), 0.9 + 0.3 * top)
    for _, left, right, head, dependent in arcs:
        height = levels[left, right]
        # Arcs leave a head a little beside its middle, so that they do not meet those that arrive.
        start = centres[head - 1] + (0.6 if dependent > head else -0.6)
        end = centres[dependent - 1]
        bend = 0.6 if dependent > head else -0.6
        path = ([start, start + bend, end - bend, end], [0.15, height, height, 0.2])
        axes.plot(*path, color="0.5", lw=1, solid_joinstyle="round")
        axes.plot(end, 0.2, "v", color="0.3", ms=3.5)
        text = {"ha": "center", "va": "center", "size": 7, "color": style.BLUE}
        background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        axes.text((start + end) / 2, height, relations[dependent - 1], bbox=background, **text)
    for place, word, head in zip(centres, words, heads, strict=True):
        weight = "normal" if head else "bold"
        axes.text(place, -0.15, word, ha="center", va="top", size=9, weight=weight)
    axes.set(xlim=(0, widths.sum()), ylim=(-0.9, top + 0.4), title=title)
    axes.axis("off")
    return figure, pd.DataFrame({"word": words, "head": heads, "relation": relations})
