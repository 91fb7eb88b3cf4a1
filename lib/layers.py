"""Measure encoders layer by layer, before and after each condition, in cells of their own.

`results/<profile>/representation/<condition>/<kind>/seed=<n>/`. The kinds are `lib.alignment`, for
`analysis_retrieval`, and `lib.knowledge`, for `analysis_representation`. Nothing is trained but
probes, so a cell takes seconds; what stands is read, and what is missing made.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

import pandas as pd

from lib import corpora, intermediate, pairing, pretraining
from lib.errors import InputError
from lib.making import once
from lib.profile import Profile
from lib.results import Cell, Run, finish
from lib.significance import adjusted as adjusted
from lib.significance import p_of_intervals
from lib.statistics import over_replicates, replicates, verdict
from lib.wording import ends, spelt

PHASE = "representation"
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


def row_of(measure: str, language: str, layer: int | None, value: float, n: int) -> dict[str, Any]:
    """Return one value as a row of `Measurement.rows`, of vectors that are means over tokens."""
    return {"measure": measure, "language": language, "layer": layer, "value": value, "n": n,
            "pooling": "mean"}  # fmt: skip


def compared(study: Profile) -> list[str]:
    """Name the conditions that figures by layer have room for: the question's, and placebos."""
    shown = ["none", "random", *pairing.COMPARED]
    shown += [name for task in pairing.COMPARED for name in pairing.placebos(study, task)]
    return [name for name in dict.fromkeys(shown) if name in study.conditions]


def measure(of: Measurement) -> pd.DataFrame:
    """Measure every encoder of a profile that is there; return one row per value (`COLUMNS`).

    All conditions but the steps of a learning curve. Cells that are finished are read; a killed
    call loses the cell at work. A line says which conditions have how many encoders. Raises
    InputError where a cell was made with other settings, or where no encoder is there.
    """
    tables, there = [], Counter[str]()
    for condition, seed in of.study.runs:
        if of.study.conditions[condition].examples:
            continue
        found = _measured(of, condition, seed)
        if found is not None:
            tables.append(found)
            there[condition] += 1
    if not tables:
        raise InputError(f"profile {of.study.name!r}: no encoder to measure; "
                         f"run `{of.study.command()}` first")  # fmt: skip
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
    return once(here, wanted, partial(_make, of, here, wanted)).scores


def _make(of: Measurement, here: Cell, wanted: dict[str, Any]) -> Run:
    study, condition, seed = of.study, here.condition, here.seed
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
    return finish(here, wanted, facts, started=started, scores=table)


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
    both = table[table["condition"].isin([first, second])]
    return gains(both, baseline=second).drop(columns="condition")


def selectivity(table: pd.DataFrame) -> pd.DataFrame:
    """Return accuracy of each probe minus that of its control, source language only.

    Rows as of `measure`, `selectivity_<label>`: what a probe finds in the states rather than learns
    by heart, word by word (Hewitt & Liang 2019, arXiv 1909.03368, section 2).
    """
    frames = []
    for control in sorted(set(table["measure"])):
        if control.startswith("control_"):
            label = control.removeprefix("control_")
            named = f"selectivity_{label}"
            real, memory = (
                table[table["measure"] == name].assign(measure=named)
                for name in (f"probe_{label}", control)
            )
            both = real.merge(memory[["condition", *RUN, "value"]], on=["condition", *RUN],
                              suffixes=("", "_control"))  # fmt: skip
            frames.append(both.assign(value=both["value"] - both["value_control"])[COLUMNS])
    return pd.concat(frames, ignore_index=True) if frames else table.head(0)


class Panel(NamedTuple):
    """Say what a panel of a figure shows: a measure, in the source language, the others, or all."""

    title: str
    measure: str
    where: Literal["source", "others", "all"] = "all"
    pooling: str = "mean"


def curves(
    frame: pd.DataFrame, panels: Sequence[Panel], source: str, value: str = "value",
    scale: float = 100,
) -> pd.DataFrame:  # fmt: skip
    """Average over a panel's languages within each replicate; give t intervals over replicates.

    `frame` is what `measure`, `gains` or `contrast` returns; `scale` brings shares to points.
    Columns: panel (its title), condition, layer, mean, low, high, replicates, languages, and `p`,
    two-sided, of the t test that the mean is 0. Panels without values are left out.
    """
    labelled = frame.assign(replicate=replicates(frame))
    if "condition" not in labelled:
        labelled["condition"] = ""
    tables = []
    for panel in panels:
        part = labelled[
            (labelled["measure"] == panel.measure) & (labelled["pooling"] == panel.pooling)
        ]
        if panel.where != "all":
            part = part[(part["language"] == source) == (panel.where == "source")]
        tables.append(
            over_replicates(part, ["condition", "layer"], value).assign(panel=panel.title)
        )
    if not tables:
        empty = over_replicates(labelled.head(0), ["condition", "layer"], value)
        tables.append(empty.assign(panel=""))
    table = pd.concat(tables, ignore_index=True)
    table[["mean", "low", "high"]] *= scale
    return table.assign(p=p_of_intervals(table))


def at_layer(table: pd.DataFrame, layer: int | None = None) -> pd.DataFrame:
    """Return the rows of a layer of what `curves` returns; of the last one, where none is named."""
    chosen = table["layer"].max() if layer is None else layer
    return table[table["layer"] == chosen].reset_index(drop=True)


def sentence(row: pd.Series, more: str, less: str, unit: str = "points") -> str:
    """Word one mean with its interval; `more` and `less` are for intervals over and under 0.

    `row` is one of `adjusted`. A line says so where an interval off 0 has an adjusted p-value that
    is not under 0.05.
    """
    runs = row["replicates"]
    alone = "one run only" if runs == 1 else f"no interval, {runs} encoders and no seed changes it"
    words = verdict(ends(row), more, less, "cannot be told from no difference", alone)
    if words in (more, less) and not row["p_holm"] < 0.05:
        words += ", but not after adjusting for the number of lines"
    p = f"; Holm p {row['p_holm']:.2g}" if row["p_holm"] == row["p_holm"] else ""
    numbers = spelt(ends(row), 1, 1, f" {unit}", p)
    subject = ", ".join(part for part in (row["condition"], row["panel"]) if part)
    return f"{subject}: {numbers}: {words}."
