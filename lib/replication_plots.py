"""Draw ours beside the published, and the ledger of claims: one function per figure."""

from textwrap import fill

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lib import style
from lib.evidence import UNTESTED
from lib.plots import Drawn
from lib.replication import BEST, OURS
from lib.style import intervals_over, styled

# Published points are hollow, ours are filled.
THEIRS = {
    "XLM-R large": (style.INK, "s", "XLM-R large, published"),
    "X-STILTs": (style.PURPLE, "D", "X-STILTs, published"),
    "XLM-R base": ("0.5", "o", "XLM-R base, published"),
}
LOOKS = style.looks_of(OURS) | {BEST: (style.GREEN, "P", BEST)}


def _hollow(axes: Axes, x: float, y: float, look: tuple, size: float = 5.5) -> None:
    axes.plot(x, y, look[1], ms=size, mfc="white", mec=look[0], mew=1.2, zorder=3)


def _legend(figure: Figure, hollow: list[tuple], filled: list[tuple], columns: int) -> None:
    """Name the marks under the figure: published ones hollow, ours with the line of an interval."""
    entries = [
        Line2D([], [], marker=marker, ls="", ms=5.5, mfc="white", mec=colour, mew=1.2, label=label)
        for colour, marker, label in hollow
    ]
    entries += [
        Line2D([], [], color=colour, marker=marker, ms=5, lw=1.3, label=label)
        for colour, marker, label in filled
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=columns)


def _title(figure: Figure, *lines: str) -> None:
    figure.suptitle("\n".join(lines), x=0.01, ha="left", size=9)


def _bands(axes: Axes, rows: int) -> None:
    for place in range(0, rows, 2):
        axes.axhspan(place - 0.5, place + 0.5, color="0.965", lw=0, zorder=0)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


@styled
def scores_beside_published(table: pd.DataFrame, scope: str) -> Drawn:
    """Draw XTREME task scores, ours and published, a row per target, in points.

    `table` is what `replication.scores` returns. Pale: ours where it is not XTREME's own score; the
    margin says how it differs.
    """
    targets = list(dict.fromkeys(table["target"]))
    figure, ((axes,),) = style.canvas(7, 1.7 + 0.46 * len(targets))
    reasons = {}
    ours = [name for name in OURS if name in set(table["system"])]
    for _, row in table.iterrows():
        place = targets.index(row["target"])
        if row["source"] != "ours":
            _hollow(axes, row["mean"], place - 0.28, THEIRS[row["system"]])
            continue
        lines, offset = len(axes.lines), 0.22 * ours.index(row["system"]) - 0.06
        style.draw_interval(axes, place + offset, row, LOOKS[row["system"]], upright=False)
        if not row["comparable"]:
            reasons[row["target"]] = row["why"]
            for line in axes.lines[lines:]:
                line.set_alpha(0.45)
    metrics = table.drop_duplicates("target").set_index("target")["metric"]
    axes.set_yticks(range(len(targets)), [f"{name}\n{metrics[name]}" for name in targets])
    _bands(axes, len(targets))
    axes.grid(axis="x", color="0.9", lw=0.6)
    margin = axes.secondary_yaxis("right")
    words = [fill(reasons.get(name, "").replace(", ", ",\n"), 30) for name in targets]
    margin.set_yticks(range(len(targets)), words, size=7.5, color="0.4")
    margin.tick_params(length=0)
    margin.spines["right"].set_visible(False)
    axes.set(xlim=(0, 100), xlabel="task score: mean over languages, English included (points)")
    _title(
        figure,
        f"XTREME task scores. Hollow: published; bars: {intervals_over(scope)}",
        "Pale: ours, and not XTREME's own score, for the reason in the margin",
    )
    hollow = [look for name, look in THEIRS.items() if name in set(table["system"])]
    _legend(figure, hollow, [LOOKS[name] for name in ours], 3)
    return figure, table


@styled
def gains_beside_published(table: pd.DataFrame, scope: str, about: str) -> Drawn:
    """Draw gains over no intermediate task by target: published on the left, ours on the right.

    `table` is what `replication.gains` returns; `about` says what ours were measured on. The panels
    have scales of their own: directions can be compared, sizes cannot.
    """
    targets = list(dict.fromkeys(table["target"]))
    published = table["replicates"].isna()
    ours = [name for name in LOOKS if name in set(table.loc[~published, "system"])]
    figure, axes = style.canvas(7, 1.7 + 0.36 * len(targets), columns=2, sharey=True)
    left, right = axes[0]
    for panel, part in ((left, table[published]), (right, table[~published])):
        for _, row in part.iterrows():
            place = targets.index(row["target"])
            if panel is left:
                _hollow(panel, row["mean"], place, THEIRS["X-STILTs"])
                continue
            offset = (ours.index(row["system"]) - (len(ours) - 1) / 2) * 0.24
            style.draw_interval(panel, place + offset, row, LOOKS[row["system"]], upright=False)
        panel.axvline(0, color=style.INK, lw=0.8, zorder=1)
        empty = "not seen" if panel is left else "not in this profile"
        for name in [each for each in targets if each not in set(part["target"])]:
            words = panel.text(
                0.98, targets.index(name), empty, transform=panel.get_yaxis_transform()
            )
            words.set(color="0.45", ha="right", va="center", size=7.5)
        panel.set_xlabel("gain (points)")
    system = table.loc[published, "system"].iloc[0]
    left.set_title(f"Published: {system}")
    right.set_title(f"Ours: {about}")
    _title(
        figure,
        "Gain over no intermediate task, mean over languages; scales differ",
        f"Left: XTREME, no intervals, seeds not known; right: {intervals_over(scope)}",
    )
    counts = table.groupby("target")["languages"].max()
    labels = [f"{n}\n{style.languages(counts[n])}" if counts[n] > 0 else n for n in targets]
    left.set_yticks(range(len(targets)), labels)
    _bands(left, len(targets))
    _bands(right, len(targets))
    runs = table.groupby("system")["replicates"].max()
    labelled = [(*LOOKS[name][:2], f"{LOOKS[name][2]}, n = {runs[name]:.0f}") for name in ours]
    _legend(figure, [THEIRS["X-STILTs"]], labelled, 4)
    return figure, table


@styled
def parsing_beside_published(table: pd.DataFrame, scope: str) -> Drawn:
    """Draw UAS and LAS after training to parse, baselines and published parsers, a row each.

    `table` is what `replication.parsing` returns.
    """
    rows = table.drop_duplicates(["system", "about"])[["system", "about", "kind"]]
    rows = rows.reset_index(drop=True)
    figure, ((axes,),) = style.canvas(7, 1.5 + 0.42 * len(rows))
    colours = {"ours": style.BLUE, "baseline": "0.55", "published": style.INK}
    for place, (_, own) in enumerate(rows.iterrows()):
        same = (table["system"] == own["system"]) & (table["about"] == own["about"])
        for _, row in table[same].iterrows():
            look = (colours[own["kind"]], "D" if row["metric"] == "las" else "o", "")
            offset = 0.12 if row["metric"] == "las" else -0.12
            if own["kind"] == "published":
                _hollow(axes, row["mean"], place + offset, look, 5)
            else:
                style.draw_interval(axes, place + offset, row, look, upright=False, size=5)
    axes.set_yticks(range(len(rows)), [f"{row.system}\n{row.about}" for row in rows.itertuples()])
    _bands(axes, len(rows))
    axes.grid(axis="x", color="0.9", lw=0.6)
    axes.set(xlim=(0, 101), xlabel="attachment score on English (points)")
    present = (rows["kind"] == "ours").any()
    given = f"Filled: ours, {intervals_over(scope)}" if present else "Of ours no run is here"
    _title(
        figure,
        f"Parsing English. {given}",
        "Hollow: published, EWT test set, without intervals. Other sentences, releases of UD",
        "and ways of input than ours: to be seen beside it, not compared",
    )
    _legend(figure, [], [(style.INK, "o", "UAS (head)"), (style.INK, "D", "LAS (and relation)")], 2)
    return figure, table


@styled
def retrieval_by_language(table: pd.DataFrame, target: str, scope: str) -> Drawn:
    """Draw retrieval by language, ours and XLM-R large's as published, in points.

    `table` is what `replication.retrieval` returns.
    """
    published = table[table["replicates"].isna()]
    order = published.sort_values("mean", ascending=False)["language"].tolist()
    ours = [name for name in [*OURS, "random"] if name in set(table["system"])]
    figure, ((axes,),) = style.canvas(7, 3.2)
    look = THEIRS["XLM-R large"]
    for _, row in published.iterrows():
        _hollow(axes, order.index(row["language"]), row["mean"], look)
    looks = LOOKS | {"random": ("0.55", "X", "random encoder (floor)")}
    for _, row in table[table["replicates"].notna()].iterrows():
        offset = (ours.index(row["system"]) - (len(ours) - 1) / 2) * 0.18
        place = order.index(row["language"]) + offset
        style.draw_interval(axes, place, row, looks[row["system"]], upright=True, size=3.5)
    axes.set_xticks(range(len(order)), order)
    axes.set(ylabel=f"{target}: {'F1' if target == 'bucc' else 'accuracy'} (points)")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    _title(
        figure,
        "Hollow: XLM-R large without training, mean pooling, layer 14 (Phang et al.'s code)",
        f"Filled: ours, another encoder or layer; {intervals_over(scope)}",
    )
    named = style.counted({name: looks[name] for name in ours}, table, "system")
    _legend(figure, [look], list(named.values()), 3)
    return figure, table


@styled
def claims_forest(ledger: pd.DataFrame, claimed: dict[int, float]) -> Drawn:
    """Draw the evidence on every claim of an effect, a line per claim and profile, in points.

    `ledger` is what `claims.ledger` returns; `claimed` maps a claim's number to the claimed gain.
    """
    drawn = ledger[(ledger["kind"] == "effect") & ledger["evidence"].notna()]
    claims = list(dict.fromkeys(ledger.loc[ledger["kind"] == "effect", "claim"]))
    statements = ledger.drop_duplicates("claim").set_index("claim")["statement"]
    seen = {*drawn["profile"]} - {"published"}
    # In the ledger's order, which the words at the right have, though a profile lack the first.
    profiles = [name for name in dict.fromkeys(ledger["profile"]) if name in seen]
    colours = [style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PURPLE, style.BROWN]
    looks = {
        name: (colours[index % len(colours)], "oDs^vP"[index % 6], name)
        for index, name in enumerate(profiles)
    }
    height = 0.2 * max(1, len(profiles))
    figure, ((axes,),) = style.canvas(7, 1.6 + len(claims) * max(0.44, height))
    notes: dict[int, list[str]] = {number: [] for number in claims}
    for place, number in enumerate(claims):
        if number in claimed:
            axes.plot(claimed[number], place, "|", color=style.INK, ms=17, mew=1.6, zorder=2)
        for _, row in drawn[drawn["claim"] == number].iterrows():
            if row["profile"] == "published":
                _hollow(axes, row["evidence"], place + 0.4, THEIRS["X-STILTs"], 4.5)
                continue
            offset = (profiles.index(row["profile"]) - (len(profiles) - 1) / 2) * 0.2
            point = row.rename({"evidence": "mean"})
            style.draw_interval(axes, place + offset, point, looks[row["profile"]], upright=False)
            name = f"{row['profile']}: " if len(profiles) > 1 else ""
            notes[number].append(f"{name}{row['verdict']}, n = {row['n']}")
    axes.axvline(0, color=style.INK, lw=0.8, zorder=1)
    axes.set_yticks(range(len(claims)), [f"{n}. {fill(statements[n], 44)}" for n in claims])
    axes.tick_params(axis="y", labelsize=7.5)
    _bands(axes, len(claims))
    margin = axes.secondary_yaxis("right")
    margin.set_yticks(
        range(len(claims)), ["\n".join(notes[n]) or UNTESTED for n in claims], size=7.5
    )
    margin.tick_params(length=0)
    margin.spines["right"].set_visible(False)
    axes.set_xlabel("gain, or difference of gains (points)")
    _title(
        figure,
        "Claims of effects: 95 % t intervals over n replicates",
        "Only XLM-R large on XTREME bears on a size; elsewhere the direction is judged",
    )
    published = (style.PURPLE, "D", "published, no interval")
    claim = (style.INK, "|", "size claimed")
    _legend(figure, [published, claim], list(looks.values()), 4)
    return figure, drawn.reset_index(drop=True)
