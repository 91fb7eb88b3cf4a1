"""Measure encoders layer by layer, before and after each condition, in cells of their own.

`results/<profile>/representation/<condition>/<kind>/seed=<n>/`. The kinds are `lib.alignment`, for
`analysis_retrieval`, and `lib.knowledge`, for `analysis_representation`. Nothing is trained but
probes, so a cell takes seconds; what stands is read, and what is missing made.
"""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd

from lib import corpora, intermediate, pretraining
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell, finish, read
from lib.statistics import over_replicates, replicates

PHASE = "representation"
CONDITIONS = ("none", "random", "ud_parsing", "stsb", "ud_parsing_shuffled", "mlm_on_ewt_text",
              "mlm_on_stsb_text", "stsb-bi", "ud_parsing-deep_biaffine", "sick", "ccg", "mnli",
              "squad")  # fmt: skip
VALUES = ["measure", "pooling", "language", "layer"]
COLUMNS = ["condition", *VALUES, "value", "n", "seed", "encoder_seed"]
RUN = [*VALUES, "seed", "encoder_seed"]


@dataclass(frozen=True)
class Loaded:
    """Hold an encoder that is to be measured, on the device, with its tokenizer."""

    condition: str
    seed: int
    encoder_seed: int
    model: Any
    tokenizer: Any


class Measurement(Protocol):
    """Say what is measured of an encoder."""

    study: Profile

    @property
    def kind(self) -> str:
        """Name the measurement, in cells' paths."""

    @property
    def sizes(self) -> dict[str, Any]:
        """Return all settings that a value depends on."""

    def rows(self, loaded: Loaded) -> list[dict[str, Any]]:
        """Measure an encoder: `measure`, `language`, `layer` (or None), `value`, `n`, `pooling`."""


def measure(of: Measurement, conditions: tuple[str, ...] = CONDITIONS) -> pd.DataFrame:
    """Measure every encoder of a profile that is there; return one row per value (`COLUMNS`).

    Cells that are finished are read; a killed call loses the cell at work. A line says which
    conditions have how many encoders. Raises InputError where a cell was made with other settings,
    or where no encoder is there.
    """
    tables, there = [], Counter[str]()
    for seed in of.study.seeds:
        here = [name for name in conditions if name in of.study.conditions]
        for condition in (name for name in here if seed in of.study.seeds_of(name)):
            found = _measured(of, condition, seed)
            if found is not None:
                tables.append(found)
                there[condition] += 1
    if not tables:
        raise InputError(f"profile {of.study.name!r}: no encoder to measure; "
                         f"run `make figures PROFILE={of.study.name}` first")  # fmt: skip
    print("encoders measured:", ", ".join(f"{name} {number}" for name, number in there.items()))
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _measured(of: Measurement, condition: str, seed: int) -> pd.DataFrame | None:
    """Read or make one cell; None where there is no encoder."""
    study = of.study
    place = location(study, condition, seed)
    if place is None:
        return None
    wanted = intermediate.parameters(study, condition, seed)
    if not study.conditions[condition].task:
        del wanted["intermediate"]
    wanted |= {"measurement": of.sizes}
    here = Cell(study.name, PHASE, seed, condition, of.kind)
    done = read(here, wanted)
    if done:
        return done.scores
    started = time.perf_counter()
    with corpora.recording() as data:
        loaded = load(study, condition, seed)
        assert loaded is not None
        table = pd.DataFrame(of.rows(loaded), columns=[*VALUES, "value", "n"])
    table["layer"] = table["layer"].astype("Int64")
    table = table.assign(
        condition=condition, seed=seed, encoder_seed=study.seeds[seed]
    )  # fmt: skip
    from lib import encoder

    facts = {"data": data, **encoder.reading(loaded.model)}
    return finish(here, wanted, facts, started=started, scores=table).scores


def location(study: Profile, condition: str, seed: int) -> tuple[str, str] | None:
    """Return folder or hub id, and revision, of a condition's encoder; None where there is none.

    Unlike the phases, this trains nothing.
    """
    how = intermediate.condition_of(study, condition)
    if how.task:
        made = Cell(study.name, "intermediate", seed, condition)
        return (str(made.folder / "encoder"), "") if made.run_file.is_file() else None
    if not pretraining.cell(study, study.seeds[seed]).run_file.is_file():
        return None
    return pretraining.location(study, study.seeds[seed])


def load(study: Profile, condition: str, seed: int) -> Loaded | None:
    """Load the encoder that fine-tuning under a condition starts from; None where there is none."""
    place = location(study, condition, seed)
    if place is None:
        return None
    from lib import encoder, training

    how = intermediate.condition_of(study, condition)
    training.use_threads(study.workflow.threads)
    # Random weights are to be those of phase 3.
    training.set_seed(seed)
    tokenizer = encoder.load_tokenizer(*place)
    model = encoder.load(*place, study.encoder, random=how.random_encoder)
    return Loaded(condition, seed, study.seeds[seed], model, tokenizer)


def gains(table: pd.DataFrame, baseline: str = "none") -> pd.DataFrame:
    """Return every value under a condition minus the value under the baseline, same encoder.

    Columns: those of `measure`, `value` replaced by `gain`, and `replicate`. Values without a layer
    have no gain.
    """
    labelled = table[table["layer"].notna()].assign(replicate=replicates(table))
    start = labelled.loc[labelled["condition"] == baseline, [*RUN, "value"]]
    others = labelled[labelled["condition"] != baseline]
    paired = others.merge(start, on=RUN, suffixes=("", "_baseline"))
    paired["gain"] = paired["value"] - paired["value_baseline"]
    return paired.drop(columns=["value", "value_baseline"])


def contrast(table: pd.DataFrame, first: str, second: str) -> pd.DataFrame:
    """Return values under `first` minus those under `second`, paired by encoder and seed.

    Columns: measure, pooling, language, layer, seed, encoder_seed, n, replicate, gain. Empty where
    either condition is missing.
    """
    return gains(table[table["condition"].isin([first, second])], baseline=second)


def summary(frame: pd.DataFrame, by: list[str], value: str = "gain") -> pd.DataFrame:
    """Average over languages within each replicate; give t intervals over replicates, in points.

    `by` names columns; the result has them, mean, low, high (points), replicates, languages.
    """
    table = over_replicates(frame, by, value)
    table[["mean", "low", "high"]] *= 100
    return table
