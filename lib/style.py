"""Keep one style for every figure: colours, sizes, legends, labels, and files that never change."""

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

P = ParamSpec("P")
R = TypeVar("R")

# Palette `colorblind` and style `ticks` are seaborn's, whose import takes over half a second.
BLUE, ORANGE, GREEN, RED, PURPLE, BROWN, PINK = (
    "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc", "#ca9161", "#fbafe4",
)  # fmt: skip
INK, FLOOR = "0.2", "0.86"
LOOKS = {
    "none": (INK, "s", "none (no intermediate task)"),
    "ud_parsing": (BLUE, "o", "ud_parsing"),
    "stsb": (ORANGE, "D", "stsb"),
    "ud_parsing_shuffled": ("0.45", "v", "placebo: shuffled trees"),
    "mlm_on_ewt_text": ("0.6", "^", "placebo: MLM on parsing text"),
    "mlm_on_stsb_text": ("0.72", "<", "placebo: MLM on similarity text"),
    "random": (FLOOR, "_", "random encoder (floor)"),
}
PLACEBOS = ("ud_parsing_shuffled", "mlm_on_ewt_text", "mlm_on_stsb_text")
STYLE: dict[Any, Any] = {
    **dict.fromkeys(["figure.facecolor", "axes.facecolor", "patch.edgecolor"], "white"),
    **dict.fromkeys(["text.color", "axes.labelcolor", "axes.edgecolor"], ".15"),
    **dict.fromkeys(["xtick.color", "ytick.color"], ".15"),
    **dict.fromkeys(["xtick.direction", "ytick.direction"], "out"),
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": ".8",
    "grid.linestyle": "-",
    "lines.solid_capstyle": "round",
    "patch.force_edgecolor": True,
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}
BEYOND = "\nof two runs they may go on beyond the panel"  # of intervals, after `cut_at`


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Draw in the one style, leaving the reader's own settings alone."""

    @wraps(draw)
    def styled(*args: P.args, **kwargs: P.kwargs) -> R:
        with plt.rc_context(STYLE):
            return draw(*args, **kwargs)

    return styled


def canvas(width: float, height: float, rows: int = 1, columns: int = 1, **options) -> tuple:  # type: ignore[no-untyped-def]
    """Return a figure (inches) and its axes, of shape (rows, columns), closed for pyplot."""
    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, **options)
    # A notebook would otherwise show an open figure once more than asked.
    plt.close(figure)
    return figure, axes


def save(figure: Figure, table: pd.DataFrame, name: str, folder: Path) -> None:
    """Write a figure as `<name>.png` and `.svg`, and what it draws as `.csv`.

    The files hold no date and no random ids: drawn again, they are the same bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with plt.rc_context(STYLE | {"svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.png", dpi=200, metadata={"Software": None})
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")


def looks_of(conditions: Sequence[str]) -> dict[str, tuple]:
    """Return colour, marker and label of each condition; those not named above get their own."""
    spare = iter([GREEN, RED, PURPLE, BROWN, PINK] * len(conditions))
    return {name: LOOKS.get(name) or (next(spare), "o", name) for name in conditions}


def languages(number: Any) -> str:
    """Count languages in words."""
    return f"{number:.0f} language{'' if number == 1 else 's'}"


def counted(looks: dict[str, tuple], drawn: pd.DataFrame, of: str = "condition") -> dict:
    """Add to each label its number of replicates in `drawn`, where they are not all alike."""
    numbers = drawn.groupby(of)["replicates"].max()
    if numbers.nunique() <= 1:
        return looks
    return {
        name: (*look, f"{label}, n = {numbers[name]:.0f}") for name, (*look, label) in looks.items()
    }


def draw_interval(
    axes: Axes, place: float, row: pd.Series, look: tuple, upright: bool, size: float = 4.2
) -> None:
    """Draw one mean and its interval, upright or lying, at a place on the other axis."""
    colour, marker, _ = look
    ends = [row["low"], row["high"]]
    line = ([place, place], ends) if upright else (ends, [place, place])
    point = (place, row["mean"]) if upright else (row["mean"], place)
    axes.plot(*line, color=colour, lw=1.3, solid_capstyle="butt", zorder=3)
    axes.plot(*point, marker, color=colour, ms=size, mec="white", mew=0.5, zorder=4)


def cut_at(axes: Axes, rows: pd.DataFrame) -> bool:
    """End an axis where the means, and the intervals over three runs or more, end.

    Of two runs alone an interval is 25 times its standard error wide, and leaves no room for the
    others. Says whether one is cut off.
    """
    sure = rows.loc[rows["replicates"] > 2, ["low", "high"]]
    ends = pd.concat([rows["mean"], sure["low"], sure["high"]]).abs().max() * 1.15
    cut = bool((rows[["low", "high"]].abs() > ends).any(axis=None)) and not sure.empty
    if cut:
        axes.set_xlim(-ends, ends)
    return cut


def intervals_over(scope: str) -> str:
    """Say what the bars are; a single run has none."""
    return f"{scope}: no intervals" if scope[:2] == "1 " else f"95 % t intervals over {scope}"


def legend(figure: Figure, looks: dict[str, tuple], columns: int) -> None:
    """Name the conditions under the figure."""
    entries = [
        Patch(color=colour, label=label)
        if name == "random"
        else Line2D([], [], color=colour, marker=marker, ms=5, lw=1.3, label=label)
        for name, (colour, marker, label) in looks.items()
    ]
    figure.legend(handles=entries, loc="outside lower center", ncols=columns)


def language_labels(codes: pd.Series, names: pd.Series) -> list[str]:
    """Return the names of languages, or their codes where they are too many to have room."""
    return [names[code] if len(codes) <= 12 else code for code in codes]


def label_points(axes: Axes, at: np.ndarray, labels: Sequence[str], others: np.ndarray) -> None:
    """Write each label beside its point, where it covers the least.

    `at` has shape (labels, 2) and `others`, points that are better left visible too, (any, 2).
    """
    axes.figure.draw_without_rendering()  # type: ignore[union-attr]
    scale = 72 / axes.figure.dpi
    points = axes.transData.transform(at) * scale
    faint = axes.transData.transform(others) * scale
    box = axes.get_window_extent()
    left, right = box.x0 * scale, box.x1 * scale
    taken = [(px - 7, py - 7, px + 7, py + 7) for px, py in points]
    taken += [(px - 1.5, py - 1.5, px + 1.5, py + 1.5) for px, py in faint]
    for index, (label, (px, py)) in enumerate(zip(labels, points, strict=True)):
        width, height = 4.8 * len(label), 8.0
        best = (np.inf, 0.0, 0.0)
        for radius in (6, 10, 14):
            for angle in np.arange(8) * np.pi / 4:
                dx, dy = radius * np.cos(angle), radius * np.sin(angle)
                cx, cy = px + dx + np.sign(round(dx, 6)) * width / 2, py + dy
                here = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
                overlap = sum(
                    max(0.0, min(here[2], b[2]) - max(here[0], b[0]))
                    * max(0.0, min(here[3], b[3]) - max(here[1], b[1]))
                    for b in taken[:index] + taken[index + 1 :]
                )
                outside = 1e3 * (here[0] < left or here[2] > right)
                best = min(best, (overlap + outside + 2 * radius, cx, cy))
        _, cx, cy = best
        taken.append((cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2))
        offset = (cx - px, cy - py)
        text = axes.annotate(label, tuple(at[index]), offset, textcoords="offset points", zorder=5)
        text.set(size=7.5, color="0.25", ha="center", va="center")
