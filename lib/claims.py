"""Keep the ledger of the twenty claims about Phang et al. 2020 that this compendium bears on.

Each is stated in our own words, with what would bear on it and how that is computed. What is
claimed of data and design is checked against the task table, the profiles and published facts; what
is claimed of an effect against the scores of every profile that has any.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import pandas as pd

from lib import evidence, findings, paths, profile, results
from lib.errors import InputError
from lib.evidence import REFERENCE, SUPPORTED, UNDECIDED, UNTESTED, Study, elsewhere
from lib.findings import Finding
from lib.profile import Profile

# In place of a profile: what the task table, the profiles and the published facts say together, and
# what is published of an effect.
TABLE, PUBLISHED = "any", "published"
COLUMNS = ["claim", "statement", "kind", "profile", "evidence", "unit", "low", "high", "n",
           "verdict", "note"]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Claim:
    """State one claim; `bears` says what evidence would bear on it.

    `check` decides a claim about data or design. Of an effect, `plays` names the conditions of a
    profile that play the part, `needs` says so in words, and `found` weighs their scores; `printed`
    gives what is published of it. `claimed` is the claimed gain in points, where there is one.
    """

    number: int
    statement: str
    kind: Literal["data", "design", "effect"]
    bears: str
    check: Callable[[], Finding] | None = None
    plays: Callable[[Profile], list[str]] = lambda _: []
    needs: str = ""
    found: Callable[[Study, list[str]], Finding] | None = None
    printed: Callable[[], Finding] | None = None
    claimed: float = np.nan


def _with(target: str, settings: Profile) -> list[str]:
    return evidence.each_alone(settings) if target in settings.targets else []


_MEAN = "mean gain over all targets where {} alone goes before, XLM-R large on XTREME"
_EACH = "tasks of the nine, each alone"
_LESS = partial(
    findings.in_abstract, "MLM beside, or translation", UNDECIDED, "less is stated than is claimed"
)

CLAIMS = (
    Claim(number=1, kind="design", check=findings.encoder,
          statement="XLM-R large is the encoder that every experiment sets out from.",
          bears="the encoder of the profile that replicates the study"),
    Claim(number=2, kind="design", check=findings.nine_targets,
          statement="The targets are nine tasks of XTREME.",
          bears="the targets of the profile that replicates the study"),
    Claim(number=3, kind="data", check=findings.forty_languages,
          statement="A task of XTREME is evaluated zero-shot in as many as 40 languages.",
          bears="the languages of each task in XTREME's own code"),
    Claim(number=4, kind="effect", found=partial(findings.gain, 8.2), claimed=8.2,
          printed=partial(findings.other_version, "gain of SQuAD"),
          plays=lambda settings: evidence.alone(settings, "squad", "squad_v2"),
          needs="SQuAD (1.1, else 2.0) alone",
          statement="SQuAD first raises target scores on development data by 8.2 points.",
          bears=_MEAN.format("SQuAD")),
    Claim(number=5, kind="effect", found=partial(findings.gain, 7.5), claimed=7.5,
          plays=lambda settings: evidence.alone(settings, "mnli"), needs="MNLI alone",
          statement="MNLI first raises target scores on development data by 7.5 points.",
          bears=_MEAN.format("MNLI")),
    Claim(number=6, kind="effect", found=partial(findings.gain, 7.0), claimed=7.0,
          plays=lambda settings: evidence.alone(settings, "hellaswag"), needs="HellaSwag alone",
          statement="HellaSwag first raises target scores on development data by 7.0 points.",
          bears=_MEAN.format("HellaSwag")),
    Claim(number=7, kind="effect", found=partial(findings.gain_of_several, 8.7), claimed=8.7,
          plays=evidence.several, needs="several tasks at once",
          statement="All nine intermediate tasks at once raise target scores by 8.7 points.",
          bears="the same gain where all nine are trained together"),
    Claim(number=8, kind="effect", found=findings.retrieval,
          printed=partial(findings.in_abstract, "where gains are large", SUPPORTED),
          plays=lambda settings: _with("tatoeba", settings), needs=_EACH,
          statement="Nearly every intermediate task lifts retrieval, BUCC and Tatoeba, by a lot.",
          bears="gain in retrieval under each task, and how far it exceeds that in other targets"),
    Claim(number=9, kind="data", check=findings.no_training_data,
          statement="Of the targets the two that retrieve sentences, BUCC and Tatoeba, "
                    "come without training data.",
          bears="the training sets in the task table"),
    Claim(number=10, kind="effect",
          found=partial(findings.of_each, targets=("tydiqa",)),
          printed=partial(findings.on_leaderboard, "tydiqa"),
          plays=lambda settings: _with("tydiqa", settings), needs=_EACH,
          statement="TyDiQA gains reliably, whichever of many intermediate tasks goes before.",
          bears="gain in TyDiQA under each task: how many lie over zero"),
    Claim(number=11, kind="effect", found=partial(findings.no_gain, target="xnli"),
          printed=partial(findings.on_leaderboard, "xnli"),
          plays=lambda settings: _with("xnli", settings), needs=_EACH,
          statement="XNLI gains nothing from an intermediate task.",
          bears="mean gain in XNLI, and whether all of its interval is under one point"),
    Claim(number=12, kind="effect", found=partial(findings.best, 5.4), claimed=5.4,
          printed=partial(findings.in_abstract, "gain, best task per target", SUPPORTED,
                          number=True),
          plays=evidence.to_choose_from, needs="two or more of the nine, to choose from",
          statement="With the best model chosen for each target, XTREME's score rises by 5.4.",
          bears="mean gain where each target takes the task that is best on development data"),
    Claim(number=13, kind="effect", found=findings.beats, printed=_LESS,
          plays=evidence.with_masking,
          needs="a task alone and beside MLM on all languages",
          statement="English tasks alone do better than with multilingual MLM beside them.",
          bears="gain of a task alone minus gain of the same with MLM on every language"),
    Claim(number=14, kind="effect", found=findings.beats, printed=_LESS,
          plays=evidence.translated,
          needs="a task in English and translated into all languages",
          statement="English training data do better than their translations by machine.",
          bears="gain of a task in English minus gain of the same in translation"),
    Claim(number=15, kind="design", check=findings.nine_intermediate,
          statement="Nine English intermediate tasks are compared, of questions and answers, "
                    "of tagging, and of classifying sentences and words.",
          bears="the rows of the task table that the replicating profile trains"),
    Claim(number=16, kind="data", check=partial(findings.size, "anli", "anli+", 1_104_934),
          statement="ANLI+ has 1,104,934 examples to train on.",
          bears="the size in the task table, and the sum of its parts' published sizes"),
    Claim(number=17, kind="data", check=partial(findings.size, "mnli", "mnli", 392_702),
          statement="MNLI has 392,702 examples to train on.",
          bears="the size in the task table, and its published size"),
    Claim(number=18, kind="data", check=findings.squad_v2,
          statement="SQuAD 2.0 asks for spans of text from Wikipedia.",
          bears="the kind of the row in the task table, and the dataset's card"),
    Claim(number=19, kind="data", check=findings.hellaswag,
          statement="HellaSwag asks how a caption of a video, or a text of WikiHow, goes on.",
          bears="the kind of the row in the task table, and published counts by source"),
    Claim(number=20, kind="design", check=findings.three_phases,
          statement="Three phases follow one another: MLM, an intermediate task, the targets.",
          bears="the phases that this compendium runs"),
)  # fmt: skip


def overview() -> pd.DataFrame:
    """Return the claims as a table: number, statement, kind, what would bear on it."""
    rows = [(each.number, each.statement, each.kind, each.bears) for each in CLAIMS]
    return pd.DataFrame(rows, columns=["claim", "statement", "kind", "what bears on it"])


def studies(own: Profile) -> list[Study]:
    """Return a profile and every other that has scores, `tiny` left out unless it is the own.

    Its own scores are those of its runs; of others those committed in `figures/<profile>/`, else
    those of their runs. Raises InputError where the own profile has no finished run.
    """
    found = [Study(own, results.collect(own))]
    for file in sorted(paths.PROFILES.glob("*.yaml")):
        if file.stem in (own.name, "tiny"):
            continue
        committed = paths.figures(file.stem) / "scores.csv"
        try:
            settings = profile.load(file.stem, whole=True)
            table = pd.read_csv(committed) if committed.is_file() else results.collect(settings)
            study = Study(settings, results.listed(table, settings))
            found += [study] if study.conditions else []
        except InputError:
            continue
    return found


def ledger(found_in: Sequence[Study]) -> pd.DataFrame:
    """Return the evidence for and against every claim, a row per claim and profile.

    Columns: `COLUMNS`; evidence, low and high in `unit`, `n` replicates. A claim about data or
    design has one row, of profile `any`; what is published of an effect has one too, of profile
    `published`. Of an effect, a profile without the conditions that play
    the part, and the reference profile where it has not been run, have a row that says what is
    needed and which profiles have it.
    """
    rows: list[tuple] = []
    for claim in CLAIMS:
        own = (claim.number, claim.statement, claim.kind)
        if claim.check:
            rows.append((*own, TABLE, *_columns(claim.check())))
            continue
        if claim.printed:
            rows.append((*own, PUBLISHED, *_columns(claim.printed())))
        for study in found_in:
            rows.append((*own, study.settings.name, *_columns(_weigh(claim, study))))
        if REFERENCE not in {study.settings.name for study in found_in}:
            names = ", ".join(claim.plays(profile.load(REFERENCE, whole=True))[:2])
            note = f"the setting of the claim: `make figures PROFILE={REFERENCE}` ({names}, …)"
            rows.append((*own, REFERENCE, *_columns(_untested(note))))
    return pd.DataFrame(rows, columns=COLUMNS)


def _weigh(claim: Claim, study: Study) -> Finding:
    """Weigh a claim by a profile's scores, or say what it needs."""
    present = claim.plays(study.run)
    if claim.found and present:
        found = claim.found(study, present)
        return found if study.is_reference else found._replace(verdict=elsewhere(found.verdict))
    having = [name for name in _profiles() if claim.plays(profile.load(name, whole=True))]
    return _untested(f"needs {claim.needs}: profiles {', '.join(having)}")


def _profiles() -> list[str]:
    return sorted(file.stem for file in paths.PROFILES.glob("*.yaml"))


def _untested(note: str) -> Finding:
    return Finding(np.nan, np.nan, np.nan, 0, "", UNTESTED, note)


def _columns(found: Finding) -> tuple:
    return (found.value, found.unit, found.low, found.high, found.n, found.verdict, found.note)
