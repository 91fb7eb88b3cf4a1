"""A family of artificial languages, written out as a mirror of the hub."""

import csv
from pathlib import Path

from lib.world.cards import write_cards
from lib.world.corpora import Corpora
from lib.world.datasets import (
    write_further_questions,
    write_inference,
    write_paraphrases,
    write_questions,
    write_retrieval,
    write_tagging,
    write_text,
    write_treebanks,
)
from lib.world.intermediate import write_intermediate
from lib.world.language import PARAMETERS, Language, draw_languages
from lib.world.layout import Repository
from lib.world.mining import write_mining
from lib.world.settings import EDITION, Settings

__all__ = ["EDITION", "Settings", "write"]


def write(folder: Path, settings: Settings) -> None:
    """Write the whole world: corpora in the hub's layout, `languages.csv` and `cards/`.

    The same settings give the same bytes. Raises InputError for settings that make no world.
    """
    languages = draw_languages(settings.seed, settings.languages, settings.design)
    corpora = Corpora(settings.seed, languages)
    folder.mkdir(parents=True, exist_ok=True)
    write_languages(folder, languages)
    write_cards(folder, languages, settings.seed)
    glue = Repository(folder, "nyu-mll/glue")
    write_treebanks(folder, glue, corpora, settings)
    xtreme = Repository(folder, "google/xtreme")
    write_tagging(xtreme, corpora, settings)
    write_inference(folder, xtreme, corpora, settings)
    write_paraphrases(xtreme, corpora, settings)
    write_questions(folder, xtreme, corpora, settings)
    write_retrieval(xtreme, corpora, settings)
    write_text(folder, corpora, settings)
    # After all that is always written, whose sentences they would else take.
    write_further_questions(xtreme, corpora, settings)
    write_mining(folder, corpora, settings)
    write_intermediate(folder, glue, corpora, settings)
    xtreme.close("The target tasks in the world's languages, as in XTREME.")
    glue.close("Graded similarity of meanings, over the sentences of the source treebank.")


def write_languages(folder: Path, languages: list[Language]) -> None:
    """Write one row per language: codes, covariates, distance and every grammatical parameter."""
    with (folder / "languages.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        fixed = ("code", "iso3", "name", "family", "script", "distance", "cognate_share")
        table.writerow([*fixed, "shared_names", *PARAMETERS])
        for language in languages:
            values = [getattr(language, column) for column in (*fixed, "shared_names")]
            values[5] = f"{language.distance:.4f}"
            table.writerow([*values, *(language.parameters[name] for name in PARAMETERS)])
