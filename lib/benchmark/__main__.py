"""Run the benchmark's parts and keep what they find: `python -m lib.benchmark [part ...]`.

A part is a module of this package whose `measure(quick)` returns rows as `measuring.side_by_side`
does; `quick` is the smallest setting, for tests. Its CSV stands in `figures/benchmark`, in `gpu/`
there where a GPU was measured. What is printed is its `summary`, or else how its recipes compare.
In the end the figures `speed` and `scaling_exponents` are drawn of all that stands there; `figure`
as a part does only that.
"""

import argparse
import importlib
import sys

from lib import paths
from lib.benchmark import measuring
from lib.errors import InputError

PARTS = (
    "pretraining", "fine_tuning", "evaluation", "search", "scaling", "overhead",
    "side_by_side_cells", "accuracy",
)  # fmt: skip
FIGURE = "figure"
GPU_PARTS = ("accelerator", "side_by_side_cells", "search", "accuracy")


def main() -> int:
    """Read the command line, measure, write; an InputError is one line on standard error.

    Of several parts, one that cannot be measured here is left out with its line.
    """
    every = ", ".join(dict.fromkeys([*PARTS, *GPU_PARTS, FIGURE]))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {every} (default: all that a CPU measures)")
    parser.add_argument("--gpu", action="store_true", help="the parts that a GPU measures")
    parser.add_argument("--quick", action="store_true", help="the smallest setting; keeps nothing")
    parser.add_argument("--threads", type=int, default=1, help="of each recipe (default: 1)")
    arguments = parser.parse_args()
    parts = arguments.parts or (GPU_PARTS if arguments.gpu else PARTS)
    unknown = [part for part in parts if part not in (*PARTS, *GPU_PARTS, FIGURE)]
    if unknown:
        print(f"error: part: unknown {unknown[0]!r}: expected one of {every}", file=sys.stderr)
        return 2
    import torch

    from lib import training

    training.use_threads(arguments.threads)
    without = arguments.gpu and not torch.cuda.is_available()
    if without:
        print("no GPU: each part runs to its end in its smallest setting, and no number is kept")
        # Its smallest setting trains an encoder for minutes, and what it finds is no speed.
        parts = [part for part in parts if part != "accuracy"]
    for part in parts:
        if part == FIGURE:
            continue
        try:
            _measure(part, arguments.quick or without)
        except InputError as error:
            if len(parts) == 1:
                print(f"error: {error}", file=sys.stderr)
                return 2
            print(f"{part} is left out: {error}", flush=True)
    from lib.benchmark import figure, scaling

    for folder in (paths.figures("benchmark"), paths.figures("benchmark") / "gpu"):
        figure.write(folder)
        scaling.write(folder)
    return 0


def _measure(part: str, quick: bool) -> None:
    """Measure a part; write its rows and print what they come to, unless it was but tried."""
    import torch

    module = importlib.import_module(f"lib.benchmark.{part}")
    measured = module.measure(quick)
    if measured.empty or quick:
        return
    folder = paths.figures("benchmark") / ("gpu" if torch.cuda.is_available() else "")
    folder.mkdir(parents=True, exist_ok=True)
    table = measured.assign(hardware=measuring.hardware())
    table.to_csv(folder / f"{part}.csv", index=False, float_format="%.6g")
    summary = getattr(module, "summary", measuring.ratios)
    print(summary(measured).round(2).to_string(index=False), flush=True)


if __name__ == "__main__":
    sys.exit(main())
