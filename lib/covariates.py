"""Measure what else differs between languages than typology, to control for it.

Script, shared words, text in pre-training, kinship and place go with typological distance in real
languages; a slope on distance alone may be theirs.
"""

import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib import corpora, overlap, pretraining, profile, statistics, tasks, transfer
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell, finish, read

# In this order they enter a model, as far as there are languages enough.
CONTROLS = {
    "same_script": "same script as the source",
    "cognate_share": "share of cognates",
    "shared_names": "share of shared names",
    "lexical_overlap": "lexical overlap",
    "text_doublings": "pre-training text (log₂)",
    "genetic_distance": "genetic distance",
    "geographic_distance": "geographic distance",
}
TEXTS = 2000  # of a target and language, at most: a share of running words needs no more
MOST_INFLATION = 10.0  # a common limit, e.g. Kutner et al. 2005, Applied Linear Statistical Models
# Equal text comes out as more tokens in some languages than in others: that is their grammar.
LEAST_DOUBLINGS = 0.5
FEWEST_LEFT = 3  # degrees of freedom between languages


def table(settings: Profile, languages: pd.DataFrame) -> pd.DataFrame:
    """Return the covariates of a profile's zero-shot languages, shape (languages, covariates).

    `languages` is the profile's table of languages. A world knows its shares of cognates and shared
    names, of which none is shared in another script: there they stand for lexical overlap, which is
    not measured. Says in a line what is unknown.
    """
    source, codes = settings.source_language, settings.target_languages
    found = pd.DataFrame(index=pd.Index(codes, name="language"))
    found["same_script"] = (
        languages.loc[codes, "script"] == languages.loc[source, "script"]
    ).astype(float)
    known = [name for name in CONTROLS if name in languages]
    found[known] = languages.loc[codes, known].astype(float)
    shares = [name for name in ("cognate_share", "shared_names") if name in found]
    found[shares] = found[shares].mul(found["same_script"], axis=0)
    if settings.world is None:
        try:
            found["lexical_overlap"] = lexical_overlap(settings)
        except InputError as error:
            print(f"lexical overlap is unknown: {error}")
    text, origin = pretraining_text(settings, languages)
    if text is None:
        print(f"pre-training text per language is unknown: {origin}")
    elif (spread := float(np.ptp(np.log2(text.reindex(codes).dropna())))) < LEAST_DOUBLINGS:
        print(f"pre-training text differs between languages by a factor of {2**spread:.2f} only: "
              "it is no covariate")  # fmt: skip
    else:
        found["text_doublings"] = np.log2(text.reindex(codes))
    return found[[name for name in CONTROLS if name in found]]


def chosen(covariates: pd.DataFrame, distance: pd.Series) -> tuple[list[str], list[str]]:
    """Return the covariates that a model beside `distance` can hold, and why others are left out.

    In the order of the columns; left out is one that is unknown for more than a tenth of the
    languages, does not vary, is nearly a combination of the distance and those before it (variance
    inflation over 10), or leaves fewer than three degrees of freedom between languages.
    """
    kept: list[str] = []
    lines = []
    for name in map(str, covariates):
        known = covariates[[*kept, name]].dropna()
        why = ""
        if len(known) < 0.9 * len(covariates):
            why = f"unknown for {covariates[name].isna().sum()} of {len(covariates)} languages"
        elif known[name].nunique() < 2:
            why = "the same in every language"
        elif len(known) - len(kept) - 3 < FEWEST_LEFT:
            why = f"{len(known)} languages leave no room for it beside {len(kept)} controls"
        elif (factor := inflation(known, distance.loc[known.index])) > MOST_INFLATION:
            why = f"nearly a combination of distance and the others (variance × {factor:.0f})"
        if why:
            lines.append(f"{CONTROLS.get(name, name)} is left out: {why}")
        else:
            kept.append(name)
    return kept, lines


def inflation(covariates: pd.DataFrame, distance: pd.Series) -> float:
    """Return the highest variance inflation among distance and covariates, 1 / (1 - R²)."""
    columns = np.column_stack([distance.to_numpy(float), covariates.to_numpy(float)])
    correlations = np.corrcoef(columns.T)
    if np.linalg.cond(correlations) > 1e10:
        return np.inf
    return float(np.diag(np.linalg.inv(correlations)).max())


def pretraining_text(settings: Profile, languages: pd.DataFrame) -> tuple[pd.Series | None, str]:
    """Return how much text of each language the encoder was pre-trained on, and in which unit.

    Tokens that phase 1 counted, of its own tokenizer, mean over encoders; for an encoder that
    exists, those of the `run.json` beside it; for XLM-R GiB of CC-100 (Conneau et al. 2020). None,
    and the reason, for any other.
    """
    seeds = set(settings.seeds.values())
    files = [pretraining.cell(settings, seed).run_file for seed in seeds]
    files += [Path(profile.encoder_path(settings, seed)) / "run.json" for seed in seeds]
    counts = [
        record["text_tokens"]
        for file in files
        if file.is_file()
        for record in [json.loads(file.read_text(encoding="utf-8"))]
        if "text_tokens" in record
    ]
    if counts:
        return pd.DataFrame(counts).mean(), "subword tokens"
    if "xlm-roberta" in settings.encoder.path.lower() and "cc100_gib" in languages:
        return languages["cc100_gib"], "GiB"
    return None, f"nothing says what {settings.encoder.path or 'the encoder'} has read"


def lexical_overlap(settings: Profile) -> pd.Series:
    """Return each zero-shot language's share of running words that the source's text has, too.

    Of the text that the targets evaluate (retrieval has none of the source's own), at most 2,000
    texts of each side, averaged over targets (`statistics.language_means`, for a language may lack
    some). A word is what `overlap.words` takes for one: without case and punctuation, of scripts
    without spaces a character. Running words, not types, for what an encoder can build on is what
    it meets (Wu & Dredze 2019, arXiv 1904.09077, weigh subwords by their counts likewise); words,
    not subwords, so that the measure is the same for every encoder, and letters are not overlap.
    Counted once and kept in the result store; after a change of a mirror delete that cell.
    """
    here, wanted = Cell(settings.name, "lexical_overlap", 0), _parameters(settings)
    try:
        done = read(here, wanted)
    except InputError:
        print(f"lexical overlap: counted anew, for {here.run_file} is of other data")
        done = None
    if done is None:
        started = time.perf_counter()
        with corpora.recording() as data:
            rows = list(_rows(settings))
        done = finish(here, wanted, {"rows": rows, "data": data}, started=started)
    shares = pd.DataFrame(done.facts["rows"], columns=["target", "language", "difference"])
    if shares.empty:
        raise InputError("no target evaluates text of the source language and of another")
    means = statistics.language_means(shares.assign(replicate="1"), list(shares["target"].unique()))
    return means.set_index("language")["difference"].rename("lexical_overlap")


def shared_words(source: Iterable[str], other: Iterable[str]) -> float:
    """Return the share of the running words of `other` texts that occur in the `source` texts."""
    vocabulary = {word for text in source for word in overlap.words(text)}
    found = [word in vocabulary for text in other for word in overlap.words(text)]
    return float(np.mean(found)) if found else np.nan


def _rows(settings: Profile) -> Iterable[tuple[str, str, float]]:
    """Measure every language of every target that has a set in the source language."""
    source = settings.source_language
    for name in _targets(settings):
        codes = [source, *settings.target_languages]
        sets, _ = transfer.evaluation_sets(settings, tasks.get(name), settings.targets[name], codes)
        texts = {
            code: list(dict.fromkeys(overlap.texts_of(found)))[:TEXTS]
            for code, found in sets.items()
        }
        for code in texts:
            if code != source and source in texts:
                yield name, code, shared_words(texts[source], texts[code])


def _targets(settings: Profile) -> list[str]:
    return [name for name in settings.targets if tasks.get(name).kind != "retrieval"]


def _parameters(settings: Profile) -> dict[str, Any]:
    budgets = {name: settings.targets[name] for name in _targets(settings)}
    return {
        "data": profile.origin(settings),
        "languages": [settings.source_language, *settings.target_languages],
        "targets": {
            name: {"split": budget.split, "evaluation_examples": budget.evaluation_examples}
            for name, budget in budgets.items()
        },
        "texts": TEXTS,
    }
