"""Measure how the cost of every piece of the system grows, and fit the exponent.

Cost ~ size ^ exponent: 1 is linear. What all pairs must be compared for has 2.
"""

import gc
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from lib import style
from lib.benchmark.pieces import PIECES, Piece

COLOURS = (
    style.BLUE, style.ORANGE, style.GREEN, style.RED, style.PURPLE, style.BROWN, style.PINK,
    style.INK,
)  # fmt: skip
COLUMNS = ["part", "what", "against", "size", "repeat", "seconds"]


def measure(quick: bool = False) -> pd.DataFrame:
    """Time every piece at four sizes, three times each; quick: at two small sizes, once.

    Returns a row per piece, size and repeat: `COLUMNS`; `what` is the piece, `against` what its
    size counts.
    """
    gc.freeze()  # what stands already is not looked through again and again
    try:
        return pd.concat([_measured(piece, quick) for piece in PIECES], ignore_index=True)
    finally:
        gc.unfreeze()


def _measured(piece: Piece, quick: bool) -> pd.DataFrame:
    least = max(1, piece.sizes[0] // 20)
    sizes = (least, 2 * least) if quick else piece.sizes
    rows = []
    with TemporaryDirectory(prefix="scaling-") as folder:
        works = {}
        for size in sizes:
            inside = Path(folder) / str(size)
            inside.mkdir()
            works[size] = piece.make(size, inside)
        if not piece.own_clock:
            works[sizes[0]]()  # what is loaded or compiled once
        for repeat in range(1, 2 if quick else 4):
            for size, work in works.items():
                gc.collect()
                started = time.perf_counter()
                done = work()
                seconds = time.perf_counter() - started
                if piece.own_clock and isinstance(done, float):
                    seconds = done
                rows.append(["scaling", piece.what, piece.against, size, repeat, seconds])
    table = pd.DataFrame(rows, columns=COLUMNS)
    print(f"scaling      {piece.what:20} {piece.against:10} exponent "
          f"{exponents(table)['exponent'].iloc[0]:5.2f}", flush=True)  # fmt: skip
    return table


def exponents(measured: pd.DataFrame) -> pd.DataFrame:
    """Fit log seconds, medians over repeats, on log size by least squares: a row per piece.

    Columns: part, what, against, `exponent`, `sizes`, how many; `smallest` and `largest` of them;
    `seconds` at the largest.
    """
    rows = []
    for (part, what, against), group in measured.groupby(COLUMNS[:3], sort=False):
        medians = group.groupby("size")["seconds"].median()
        logs = np.log(np.maximum(medians.to_numpy(), 1e-9))
        exponent = np.polyfit(np.log(medians.index.to_numpy()), logs, 1)[0]
        rows.append(
            {"part": part, "what": what, "against": against, "exponent": exponent}
            | {"sizes": len(medians), "smallest": medians.index[0], "largest": medians.index[-1]}
            | {"seconds": medians.iloc[-1]}
        )
    return pd.DataFrame(rows)


summary = exponents


def write(folder: Path) -> bool:
    """Write the exponents of a folder's `scaling.csv` and their figure, `scaling_exponents`.

    Says whether there was anything to draw.
    """
    file = folder / "scaling.csv"
    if not file.is_file():
        return False
    measured = pd.read_csv(file)
    style.save(draw(measured), exponents(measured), "scaling_exponents", folder)
    return True


@style.styled
def draw(measured: pd.DataFrame) -> Figure:
    """Draw cost against size, both on logarithmic axes, a panel per what is counted.

    Lines join medians, bars span the repeats; the exponent stands beside the name.
    """
    fitted = exponents(measured)
    counted = list(fitted["against"].unique())
    rows = -(-len(counted) // 3)
    figure, axes = style.canvas(7.2, 0.6 + 2.6 * rows, rows, 3)
    for panel, against in zip(axes.flat, counted, strict=False):
        pieces = fitted[fitted["against"] == against]
        for (_, piece), colour in zip(pieces.iterrows(), COLOURS, strict=False):
            timed = measured[(measured["what"] == piece["what"]) & (measured["against"] == against)]
            seconds = timed.groupby("size")["seconds"].agg(["median", "min", "max"])
            panel.plot(seconds.index, seconds["median"], "o-", color=colour, ms=3, lw=1.2,
                       label=f"{piece['what']}: {piece['exponent']:.2f}")  # fmt: skip
            panel.vlines(seconds.index, seconds["min"], seconds["max"], color=colour, lw=1)
        panel.set(xscale="log", yscale="log", xlabel=against, ylabel="seconds")
        for axis in (panel.xaxis, panel.yaxis):
            low, high = axis.get_view_interval()
            wide = high / low > 50
            axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5)))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())
        panel.legend(loc="lower left", bbox_to_anchor=(-0.1, 1.0), fontsize=7, handlelength=1.2)
    for panel in axes.flat[len(counted) :]:
        panel.remove()
    figure.suptitle("Cost against size, with the fitted exponent: 1 is linear", x=0.02, ha="left",
                    fontsize=9.5)  # fmt: skip
    return figure
