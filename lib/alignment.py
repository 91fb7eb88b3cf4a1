"""Measure how an encoder aligns languages, layer by layer: translations, isotropy, retrieval."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from lib import corpora, representation, tasks, transfer
from lib.corpora import Example
from lib.layers import PHASE, Loaded, Panel, curves, row_of
from lib.profile import Profile
from lib.results import Cell

POOLINGS = ("mean", "first")
BATCH_TOKENS = 4096


@dataclass
class Alignment:
    """Measure alignment of the source language with every other, on translations of Tatoeba.

    `pairs` limits the translations of a language that likeness and isotropy are measured on;
    `largest_side` the sentences of a side that retrieval is repeated on with the other pooling.
    """

    study: Profile
    pairs: int = 200
    largest_side: int = 5000
    kind: str = "alignment"

    @property
    def sizes(self) -> dict[str, Any]:
        """Return all settings that a value depends on."""
        return {
            "pairs": self.pairs,
            "largest_side": self.largest_side,
            "retrieval": {name: self.study.targets[name].model_dump() for name in self.targets},
            "languages": self.study.target_languages,
        }

    @property
    def targets(self) -> list[str]:
        """List the profile's retrieval targets."""
        return [name for name in self.study.targets if tasks.get(name).kind == "retrieval"]

    @cached_property
    def translations(self) -> dict[str, list[Example]]:
        """The first pairs of each language."""
        source = tasks.get("tatoeba").evaluation
        assert source is not None
        found = {
            code: corpora.load(self.study, source, code, self.pairs, required=False)
            for code in self.study.target_languages
        }
        return {code: pairs for code, pairs in found.items() if len(pairs) >= 4}

    @cached_property
    def sets(self) -> dict[str, dict[str, list[Example]]]:
        """The whole evaluation sets of the retrieval targets, by target and language.

        Languages with a side of more than `largest_side` sentences are left out, with a line.
        """
        codes = [self.study.source_language, *self.study.target_languages]
        found = {}
        for name in self.targets:
            every, _ = transfer.evaluation_sets(
                self.study, tasks.get(name), self.study.targets[name], codes
            )
            found[name] = {
                code: some for code, some in every.items() if _side(some) <= self.largest_side
            }
            if left_out := [code for code in every if code not in found[name]]:
                print(f"{name}: a side of {', '.join(left_out)} has more than "
                      f"{self.largest_side:,} sentences; one pooling only")  # fmt: skip
        return found

    def rows(self, loaded: Loaded) -> list[dict[str, Any]]:
        """Measure an encoder; see `lib.layers`.

        `cka_translations`: linear CKA of the vectors of both sides of the same translations.
        `mean_cosine`, `first_component`: isotropy, see `lib.representation`. Vectors are means over
        tokens. A retrieval target's scores are for the pooling that phase 3 does not use, for what
        it uses is in its own cells: measure `<target>/<metric>`.
        """
        rows = [row for name in self.targets for row in self._retrieval(loaded, name)]
        source = self.study.source_language
        for place, (code, pairs) in enumerate(self.translations.items()):
            foreign, ours = (
                self._embed(loaded, [pair[side] for pair in pairs]) for side in ("source", "target")
            )
            for layer, (first, second) in enumerate(zip(foreign, ours, strict=True)):
                likeness = representation.linear_cka(first, second)
                rows.append(row_of("cka_translations", code, layer, likeness, len(pairs)))
                sides = [(code, first), *([(source, second)] if place == 0 else [])]
                for language, vectors in sides:
                    for measure, value in (
                        ("mean_cosine", representation.mean_cosine(vectors)),
                        ("first_component", representation.first_component_share(vectors)),
                    ):
                        rows.append(row_of(measure, language, layer, value, len(vectors)))
        return rows

    def _embed(self, loaded: Loaded, texts: list[str]) -> Any:
        from lib import evaluation

        return evaluation.embed(loaded.model, texts, loaded.tokenizer, batch_tokens=BATCH_TOKENS)

    def _retrieval(self, loaded: Loaded, name: str) -> list[dict[str, Any]]:
        """Score retrieval with the other pooling, by the very code of phase 3."""
        budget = self.study.targets[name]
        (other,) = set(POOLINGS) - {budget.pooling}
        return retrieval_rows(self, loaded, name, other)


def retrieval_rows(of: Alignment, loaded: Loaded, name: str, pooling: str) -> list[dict[str, Any]]:
    """Score a retrieval target from every layer with a pooling, as phase 3 scores its own."""
    task, sets = tasks.get(name), of.sets[name]
    if not sets:
        return []
    budget = of.study.targets[name].model_copy(update={"pooling": pooling})
    here = Cell(of.study.name, PHASE, loaded.seed, loaded.condition, of.kind)
    job = transfer.Job(of.study, here, task, budget, loaded.model, loaded.tokenizer, sets)
    mined = task.evaluation is not None and "gold" in task.evaluation.columns
    transfer.mine(job) if mined else transfer.retrieve(job, baseline=False)
    return [
        row_of(f"{name}/{row['metric']}", row["language"], row["layer"], row["value"], row["n"])
        | {"pooling": pooling}
        for row in job.rows
    ]


def _side(found: list[Example]) -> int:
    """Return the sentences of the larger side of a language's set."""
    if "sources" in found[0]:
        return max(len(found[0]["sources"]), len(found[0]["targets"]))
    return len(found)


def panels(retrieval: pd.DataFrame, study: Profile) -> list[Panel]:
    """List a panel for each target and pooling of what `with_reported` returns."""
    found = []
    for measure, pooling in retrieval[["measure", "pooling"]].drop_duplicates().to_numpy():
        name, metric = measure.split("/")
        own = " (reported)" if pooling == study.targets[name].pooling else ""
        title = f"{name}, {metric}: {pooling} pooling{own}"
        found.append(Panel(title, measure, "others", pooling))
    return found


def ngram_baseline(
    scores: pd.DataFrame, wanted: list[Panel], languages: list[str]
) -> dict[str, tuple[str, float]]:
    """Return name and mean score (points) of character n-grams, for the panels that have one."""
    found = {}
    for panel in wanted:
        name, metric = panel.measure.split("/")
        rows = scores[
            (scores["target"] == name)
            & (scores["metric"] == f"character_ngram_{metric}")
            & scores["language"].isin(languages)
        ]
        if len(rows):
            mean = rows.groupby("language")["value"].mean().mean()
            found[panel.title] = ("character n-grams", 100 * float(mean))
    return found


def with_reported(measured: pd.DataFrame, scores: pd.DataFrame, study: Profile) -> pd.DataFrame:
    """Join the retrieval scores of phase 3's cells, of every layer, to those of the other pooling.

    `measured` is what `layers.measure` returns, `scores` what `results.collect` does. Returns the
    rows of retrieval alone, with the columns of `measured`; of each target, the metric that is
    reported.
    """
    frames = []
    for name in [name for name in study.targets if tasks.get(name).kind == "retrieval"]:
        own = scores[(scores["target"] == name) & scores["language"].isin(study.target_languages)]
        metrics = set(own.loc[own["reported"].astype(bool), "metric"])
        own = own[own["metric"].isin(metrics) & own["layer"].notna()]
        own = own.assign(
            measure=name + "/" + own["metric"], pooling=study.targets[name].pooling
        )  # fmt: skip
        frames.append(own[measured.columns])
        wanted = {f"{name}/{metric}" for metric in metrics}
        frames.append(measured[measured["measure"].isin(wanted)])
    return pd.concat(frames, ignore_index=True) if frames else measured.head(0)


def course(
    retrieval: pd.DataFrame,
    panel: Panel,
    source: str,
    reported: int,
    baselines: dict[str, tuple[str, float]],
) -> str:
    """Word how the score under `none` goes through the layers, beside the floor and n-grams."""
    table = curves(retrieval, [panel], source).set_index(["condition", "layer"])["mean"]
    none = table["none"]
    words = (
        f"{panel.title}: under `none` {none.iloc[0]:.1f} points at the embeddings, "
        f"{none[reported]:.1f} at layer {reported}, {none.iloc[-1]:.1f} at the last; "
        f"highest at layer {none.idxmax()} ({none.max():.1f})"
    )
    if "random" in table.index.get_level_values("condition"):
        words += f"; a random encoder {table['random'][reported]:.1f} at layer {reported}"
    if panel.title in baselines:
        name, value = baselines[panel.title]
        words += f"; {name} {value:.1f}"
    return words + "."
