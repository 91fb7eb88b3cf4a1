"""Ask of an encoder, as it was on the way of phase 1: does it transfer yet?

`python -m lib.growth small_cpu_encoders` fine-tunes each snapshot on a target and draws
`figures/<profile>/growth.png`. It is for looking at: how long an encoder trains is in its profile.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib import paths, pretraining, profile, style, transfer
from lib.errors import InputError
from lib.profile import Condition, Profile
from lib.style import styled


def measure(settings: Profile, target: str) -> pd.DataFrame:
    """Fine-tune each snapshot, and the floor: columns encoder_seed, tokens, language, value, floor.

    Values are the target's reported metric, from 0 to 1. What is measured stands in
    `<results>/<profile>-<tokens>-<hash>/`. Encoders that are not finished are left out, with a
    line. Raises InputError where none is.
    """
    rows = []
    seeds = sorted(set(settings.seeds.values()))
    ready = [seed for seed in seeds if pretraining.cell(settings, seed).run_file.is_file()]
    if ready and ready != seeds:
        print(f"encoder seeds {sorted({*seeds} - {*ready})} are not finished, and left out")
    for seed in ready or seeds:
        found = pretraining.snapshots(settings, seed)
        floor = _scores(settings, target, seed, found[max(found)], "floor", random_encoder=True)
        for tokens, folder in found.items():
            scores = _scores(settings, target, seed, folder, str(tokens))
            rows += [
                {"encoder_seed": seed, "tokens": tokens, "language": language, "value": value,
                 "floor": floor[language]}
                for language, value in scores.items()
            ]  # fmt: skip
    return pd.DataFrame(rows)


def _scores(
    settings: Profile, target: str, seed: int, folder: Path, name: str, random_encoder: bool = False
) -> dict[str, float]:
    """Return the reported score of each language from an encoder that exists."""
    conditions = {"none": Condition(random_encoder=random_encoder)}
    alone = pretraining.taken_from(
        settings, str(folder), name, conditions=conditions, seeds={seed: seed}
    )
    (run,) = transfer.run(alone, "none", target, seed)
    scores = run.scores
    reported = scores[scores["reported"]]
    return dict(zip(reported["language"], reported["value"], strict=True))


@styled
def growth(table: pd.DataFrame, target: str, source: str = "en") -> Figure:
    """Draw the score over the floor against the tokens read: the source, and zero-shot.

    Thin lines are languages, mean over encoders; thick ones the source, and the mean of the
    others; dots are single encoders.
    """
    table = table.assign(over=100 * (table["value"] - table["floor"]))
    figure, axes = style.canvas(3.5, 2.9)
    place = axes[0, 0]
    others = table[table["language"] != source]
    for _, part in others.groupby("language"):
        mean = part.groupby("tokens")["over"].mean()
        place.plot(mean.index, mean, color="0.8", lw=0.7, zorder=1)
    for colour, label, part in (
        (style.BLUE, "English", table[table["language"] == source]),
        (style.ORANGE, f"zero-shot, mean of {others['language'].nunique()} languages", others),
    ):
        single = part.groupby(["encoder_seed", "tokens"])["over"].mean().reset_index()
        mean = single.groupby("tokens")["over"].mean()
        place.plot(mean.index, mean, "-", color=colour, lw=1.6, label=label, zorder=3)
        place.plot(single["tokens"], single["over"], "o", color=colour, ms=3, zorder=3)
    place.axhline(0, color=style.INK, lw=0.8, zorder=2)
    read = sorted(table["tokens"].unique())
    place.set_xscale("log")
    place.set_xticks(read, [f"{tokens / 1e6:.3g}" for tokens in read])
    place.minorticks_off()
    place.set_xlabel("millions of tokens that the encoder has read")
    place.set_ylabel("points over the random encoder")
    encoders = table["encoder_seed"].nunique()
    place.set_title(f"{target}; {encoders} encoder{'s' if encoders > 1 else ''}, a dot each")
    figure.legend(loc="outside lower center", ncols=1)
    return figure


def main(arguments: list[str] | None = None) -> None:
    """Measure, write the table, and draw the figure."""
    parser = argparse.ArgumentParser(prog="python -m lib.growth", description=__doc__)
    parser.add_argument("profile", help="with pretraining.snapshots, its phase 1 finished")
    parser.add_argument("--target", default="udpos")
    asked = parser.parse_args(arguments)
    settings = profile.load(asked.profile, whole=True)
    if asked.target not in settings.targets:
        raise InputError(
            f"--target: {asked.target!r}, expected one of {', '.join(settings.targets)}"
        )
    table = measure(settings, asked.target)
    folder = paths.figures(settings.name)
    style.save(growth(table, asked.target), table, "growth", folder)
    zero_shot = table[table["language"] != settings.source_language]
    over = 100 * (zero_shot["value"] - zero_shot["floor"])
    for tokens, part in over.groupby(zero_shot["tokens"]):
        print(f"{tokens:>12,} tokens: zero-shot {np.mean(part):+.1f} points over the floor")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(str(error))
