"""Look at single results: scores, flipped examples, and the trees that a parser draws.

What a choice shows is made here without any front end; `lib.explorer` lets a person choose.
"""

import io
import warnings
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd

from lib import corpora, flips, paths, plots, profile, results, statistics, style, tasks, transfer
from lib.corpora import Example
from lib.errors import InputError
from lib.profile import Profile

SHOWN = 4  # flipped examples in each direction
SENTENCES = 20  # to choose from for a tree
READABLE = range(4, 17)  # words of such a sentence
LONGEST = 60  # words of a sentence that is typed in


@dataclass(frozen=True)
class Choice:
    """Name what to look at: a score under two conditions, and a sentence for a parser.

    `parser` is a condition that trains one; `sentence` is words with spaces between them.
    """

    condition: str
    other: str
    target: str
    language: str
    parser: str = ""
    sentence: str = ""


@dataclass(frozen=True)
class View:
    """Hold what a choice shows: tables as HTML; trees as SVG, empty where there is none.

    `note` says why a tree is missing.
    """

    tables: str
    gold: str = ""
    predicted: str = ""
    note: str = ""


def profiles(study: Profile) -> list[str]:
    """List the profiles that have results here, this one first."""
    root = paths.results(study.name).parent
    found = sorted({file.parents[4].name for file in root.glob("*/transfer/*/*/seed=*/run.json")})
    known = [name for name in found if paths.profile_file(name).is_file()]
    return [study.name, *(name for name in known if name != study.name)]


def quiet(name: str) -> Profile:
    """Load a profile without the lines that say what it leaves out."""
    with redirect_stdout(io.StringIO()):
        return profile.load(name)


class SingleResults:
    """Look into one profile's results; what was read once is kept."""

    def __init__(self, study: Profile) -> None:
        """Read the scores; raises InputError where nothing is finished."""
        self.study = study
        with redirect_stdout(io.StringIO()):
            self.languages = study.language_table
            table = results.collect(study, everywhere=True)
        self.table = table[table["reported"].astype(bool)]
        self._parsers: dict[str, tuple[Any, Any]] = {}
        self._sentences: dict[str, list[Example]] = {}

    @cached_property
    def conditions(self) -> list[str]:
        """List the conditions that have scores, in the profile's order."""
        present = set(self.table["condition"])
        return [name for name in self.study.conditions if name in present]

    @cached_property
    def parsers(self) -> list[str]:
        """List the conditions that train a parser on real trees."""
        return [
            name
            for name, how in self.study.conditions.items()
            if not how.shuffled
            and any(tasks.get(task).kind == "parsing" for task in how.trained if task)
        ]

    def targets(self, condition: str, other: str) -> list[str]:
        """List the targets that both have a score in, of one language, in the profile's order."""
        return [name for name in self.study.targets if self.languages_of(condition, other, name)]

    def languages_of(self, condition: str, other: str, target: str) -> list[str]:
        """List the languages that both conditions have scores in, nearest to the source first."""
        rows = self.table[self.table["target"] == target]
        first, second = (
            set(rows.loc[rows["condition"] == name, "language"]) for name in (condition, other)
        )
        return sorted(first & second, key=lambda code: (self.languages["distance"][code], code))

    def first(self, condition: str = "ud_parsing", other: str = "none") -> Choice:
        """Return a choice to begin with: these conditions, or others where they have no scores.

        The target is the first that the study calls clean, the language the nearest that is not the
        source.
        """
        trained = [name for name in self.conditions if name != other]
        other = other if other in self.conditions else self.conditions[0]
        condition = condition if condition in self.conditions else [*trained, other][0]
        targets = self.targets(condition, other)
        if not targets:
            raise InputError(
                f"{condition!r} and {other!r} share no target with scores; "
                f"run `{self.study.command()}`"
            )
        target = next((name for name in self.study.clean_targets if name in targets), targets[0])
        codes = self.languages_of(condition, other, target)
        away = [code for code in codes if code != self.study.source_language]
        usual = condition if condition in self.parsers else (self.parsers or [""])[0]
        return Choice(condition, other, target, [*away, *codes][0], usual)

    def view(self, choice: Choice) -> View:
        """Return what a choice shows; what is missing is said in its place, never raised."""
        with redirect_stdout(io.StringIO()):
            parts = []
            for part in (self._scores, self._flips):
                try:
                    parts.append(part(choice))
                except InputError as error:
                    parts.append(f"<p>{escape(str(error))}</p>")
            return self._trees(choice, "".join(parts))

    def scores(self, choice: Choice) -> pd.DataFrame:
        """Return the scores under both conditions and their difference, with intervals.

        Columns: condition, mean, low, high (shares), replicates. Intervals are Student's t over
        replicates; the difference is paired by seeds.
        """
        here = self.table[
            (self.table["target"] == choice.target) & (self.table["language"] == choice.language)
        ]
        here = here.assign(replicate=statistics.replicates(here))
        sides = [here[here["condition"] == name] for name in (choice.condition, choice.other)]
        paired = sides[0].merge(
            sides[1], on=["language", "seed", "encoder_seed", "replicate"], suffixes=("", "_other")
        )
        paired["value"] = paired["value"] - paired["value_other"]
        paired["condition"] = f"{choice.condition} − {choice.other}"
        shown = pd.concat([*sides, paired], ignore_index=True)
        return statistics.over_replicates(shown, ["condition"], "value").drop(columns="languages")

    def _scores(self, choice: Choice) -> str:
        here = self.table[
            (self.table["target"] == choice.target)
            & (self.table["language"] == choice.language)
            & self.table["condition"].isin([choice.condition, choice.other])
        ]
        if here.empty:
            raise InputError(f"{choice.target} has no score in {choice.language!r}")
        table = self.scores(choice)
        points = [(100 * table[end]).map("{:.1f}".format) for end in ("mean", "low", "high")]
        interval = "[" + points[1] + ", " + points[2] + "]"
        table["points"] = points[0] + interval.where(table["replicates"] > 1, "").radd(" ")
        table["points"] = table["points"].str.replace("-", "−")
        row = self.languages.loc[choice.language]
        named = f"{choice.target} in {row['name']} ({choice.language})"
        intervals = style.intervals_over(statistics.scope(here))
        said = (
            f"{', '.join(here['metric'].unique())}, n = {here['n'].max():,} examples; "
            f"distance from the source {row['distance']:.2f}; {intervals}"
        )
        shown = table[["condition", "points", "replicates"]]
        return f"<p><b>{escape(named)}</b>: {escape(said)}</p>{_html(shown)}"

    def _flips(self, choice: Choice) -> str:
        if choice.condition == choice.other:
            return "<p>A condition does not differ from itself.</p>"
        first, second = choice.condition, choice.other
        found = flips.flips(self.study, first, second, choice.target, choice.language)
        counted = flips.counts(found).rename(
            columns={"both": "right under both", "only_first": f"only under {first}",
                     "only_second": f"only under {second}"}
        )  # fmt: skip
        counted["p"] = counted["p"].map("{:.2g}".format)
        parts = [
            "<p><b>Flips</b>: examples that are right under one condition alone, by seed. Right is "
            "wholly right. p: McNemar's exact test over the examples of one seed.</p>",
            _html(counted),
        ]
        for gained, name in ((True, first), (False, second)):
            steady = flips.steadiest(found, SHOWN, gained)
            words = "" if len(steady) else ": none"
            parts.append(f"<p>Steadiest flips, right under <b>{escape(name)}</b>{words}</p>")
            if len(steady):
                parts.append(_html(self._described(choice, steady)))
        return "".join(parts)

    def _described(self, choice: Choice, steady: pd.DataFrame) -> pd.DataFrame:
        said = flips.texts(self.study, choice.target, choice.language, list(steady["id"]))
        table = pd.DataFrame(said)
        for place, (column, name) in enumerate(
            (("right", choice.condition), ("right_other", choice.other))
        ):
            share = steady[column].astype(str) + " of " + steady["seeds"].astype(str)
            table.insert(place, f"seeds right, {name}", share)
        return table

    def sentences(self, language: str) -> list[Example]:
        """Return a few short sentences of a language, with gold trees where a treebank has it.

        A world has a treebank of each language; of a real one, the first that the mirror has under
        its code. Without one they are sentences of the tagging target, without trees.
        """
        if language not in self._sentences:
            with redirect_stdout(io.StringIO()):
                found = self._treebank(language)
                if not found and "udpos" in self.study.targets:
                    budget = self.study.targets["udpos"]
                    given = (self.study, tasks.get("udpos"), budget, [language])
                    try:
                        found = transfer.evaluation_sets(*given)[0][language]
                    except InputError:
                        found = []
            short = [example for example in found if len(example["words"]) in READABLE]
            self._sentences[language] = (short or found)[:SENTENCES]
        return self._sentences[language]

    def _treebank(self, language: str) -> list[Example]:
        ewt, root = tasks.TRAINING["ewt"], profile.data_root(self.study)
        configurations = [ewt.config] if language == self.study.source_language else []
        if not configurations and root is not None:
            folders = sorted((root / ewt.dataset).glob(f"{language}_*"))
            configurations = [folder.name for folder in folders]
        for configuration in configurations:
            source = replace(ewt, config=configuration, split="test")
            if found := corpora.load(self.study, source, required=False):
                return found
        return []

    def parse(self, condition: str, words: Sequence[str]) -> tuple[list[int], list[str]]:
        """Return heads (1-based, 0: root) and relations, by the parser of the first seed.

        Raises InputError where no parser is kept, or the sentence has no words or too many.
        """
        from lib import evaluation, features, intermediate

        if not 0 < len(words) <= LONGEST:
            raise InputError(f"sentence: {len(words)} words, expected 1 to {LONGEST}")
        seed = self.study.seeds_of(condition)[0]
        if condition not in self._parsers:
            self._parsers[condition] = intermediate.parser_of(self.study, condition, seed)
        head, tokenizer = self._parsers[condition]
        how, budget = self.study.conditions[condition], self.study.budget_of(condition)
        task = next(row for row in map(tasks.get, how.trained) if row.kind == "parsing")
        blank = {
            "words": list(words),
            "heads": [0] * len(words),
            "relations": ["root"] * len(words),
        }
        made = features.make(task, [blank], tokenizer, budget.max_sequence_length)
        (outputs,) = evaluation.run(head, [made], tokenizer, 4 * budget.batch_tokens)
        _, ((heads, relations),) = evaluation.score(task, [blank], made, outputs)
        return heads, relations

    def _trees(self, choice: Choice, tables: str) -> View:
        """Return the tables with the gold tree and the predicted one, whichever there is."""
        from lib import scoring

        known = self.sentences(choice.language)
        # By text: a word of a treebank may hold a space (Vietnamese).
        chosen = [e for e in known if choice.sentence in ("", " ".join(e["words"]))][:1]
        words = chosen[0]["words"] if chosen else choice.sentence.split()
        gold = next((e for e in chosen if "heads" in e), None)
        view = View(tables)
        if gold:
            drawn = _svg(words, gold["heads"], gold["relations"], "gold tree")
            view = replace(view, gold=drawn)
        if not choice.parser:
            return replace(view, note="no condition of this profile trains a parser")
        try:
            heads, relations = self.parse(choice.parser, words)
        except InputError as error:
            return replace(view, note=str(error))
        title = f"predicted by {choice.parser}, seed {self.study.seeds_of(choice.parser)[0]}"
        if gold:
            trees = [[gold["heads"]], [gold["relations"]], [heads], [relations]]
            right = scoring.score_parsing(*trees).values
            counts = [round(right[name] * len(words)) for name in ("uas", "las")]
            title += f": {counts[0]} of {len(words)} heads right, {counts[1]} with their relation"
        return replace(view, predicted=_svg(words, heads, relations, title))


def _html(table: pd.DataFrame) -> str:
    """Return a table with text of any direction, nothing cut."""
    with pd.option_context("display.max_colwidth", None):
        made = table.to_html(index=False, border=0)
    # Front ends set the text of tables to the right, in styles of their own.
    made = made.replace("<th>", '<th style="text-align: left">')
    return made.replace("<td>", '<td dir="auto" style="text-align: left">')


def _svg(words: Sequence[str], heads: Sequence[int], relations: Sequence[str], title: str) -> str:
    """Draw a tree whose words stay text, so that the reader's fonts write any script."""
    figure, _ = plots.dependency_tree(words, heads, relations, title)
    file = io.StringIO()
    with plt.rc_context({"svg.hashsalt": title, "svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
