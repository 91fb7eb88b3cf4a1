"""Run the benchmark's parts and keep what they find: `python -m lib.benchmark [part ...]`.

A part is a module of this package whose `measure(quick)` returns rows as `measuring.side_by_side`
does; `quick` is the smallest setting, for tests. Its CSV stands in `figures/benchmark`.
"""

import argparse
import importlib
import sys

from lib import paths
from lib.benchmark import measuring
from lib.errors import InputError

PARTS = ("pretraining", "fine_tuning", "evaluation", "search", "scaling", "overhead")


def main() -> int:
    """Read the command line, measure, write; an InputError is one line on standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="the smallest setting, for a test")
    parser.add_argument("--threads", type=int, default=1, help="of each recipe (default: 1)")
    arguments = parser.parse_args()
    folder = paths.figures("benchmark")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        from lib import training

        training.use_threads(arguments.threads)
        for part in arguments.parts or PARTS:
            if part not in PARTS:
                raise InputError(f"part: unknown {part!r}: expected one of {', '.join(PARTS)}")
            measured = importlib.import_module(f"lib.benchmark.{part}").measure(arguments.quick)
            table = measured.assign(hardware=measuring.hardware())
            table.to_csv(folder / f"{part}.csv", index=False, float_format="%.6g")
            print(measuring.ratios(measured).round(2).to_string(index=False), flush=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
