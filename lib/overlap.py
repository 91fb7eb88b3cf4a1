"""Measure how much text an intermediate task shares with a target: what is shared is no transfer.

A text is whatever of an example a model reads: a sentence, a side of a pair, a context, a question,
a choice. Two texts are *exactly* the same where they are so without case, punctuation and white
space. A text is *nearly* in other data where at least half of its word 5-grams stand there: that is
counted and shown, and decides nothing.
"""

import re
import time
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, islice
from typing import Any

import numpy as np
import pandas as pd

from lib import corpora, tasks, transfer
from lib.corpora import Example
from lib.errors import InputError
from lib.examples import text_of
from lib.intermediate import condition_of
from lib.profile import Condition, Profile, data_root
from lib.results import Cell, finish, read

WORDS = 5
# One word changed breaks five 5-grams, half of those of a 14-word sentence: a text that keeps half
# of them is a copy with a word or two changed, or has half of another copied into it.
NEAR = 0.5
# Half a per cent of what is evaluated cannot move a score by more than half a point, whatever was
# learnt of it. Corpora of one origin share far more: all of EWT is in udpos.English. Short phrases
# that meet by chance reach 0.34 % (the answers of CommonsenseQA, in udpos).
SAME_DATA = 0.005
# What is evaluated in the source language alone is taken off every other score in a transfer gain,
# and of many languages' texts it is few. Two short texts in 300, by chance, are not yet so many.
SAME_SOURCE_TEXT = 0.01
IN_SOURCE = "evaluation, source"
CHUNK = 50_000
COLUMNS = ["task", "target", "part", "n", "exact", "near", "task_n", "task_exact", "same_source"]
# Scripts without spaces between words: every character is a word. Thai; kana and ideographs.
_UNSPACED = re.compile("([\u0e00-\u0e7f\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff])")


class _Kept(dict[int, str]):
    """Map a character to itself where it is a letter, mark or digit, else to a space."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        self[code] = character if unicodedata.category(character)[0] in "LMN" else " "
        return self[code]


_KEPT = _Kept()


def words(text: str) -> list[str]:
    """Return the words of a text after NFKC and case folding, without punctuation and symbols."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = unicodedata.normalize("NFKC", folded).translate(_KEPT)
    return _UNSPACED.sub(r" \1 ", kept).split()


@dataclass(frozen=True, eq=False)
class Texts:
    """Hold the distinct texts of some data as hashes of 64 bits.

    `whole`: uint64 [texts], sorted; `grams`: uint64 [all 5-grams], text after text; `sizes`: int64
    [texts], how many of `grams` each text has: none under five words. Texts without a letter or
    digit are not counted. Two of a billion texts share a hash with a chance of about 3 %.
    """

    whole: np.ndarray
    grams: np.ndarray
    sizes: np.ndarray

    @classmethod
    def of(cls, texts: Iterable[str]) -> "Texts":
        """Hash texts, a chunk at a time."""
        rest = iter(texts)
        chunks = [_hashed(chunk) for chunk in iter(lambda: list(islice(rest, CHUNK)), [])]
        whole, grams, sizes = ([part[i] for part in chunks] for i in range(3))
        if not chunks:
            return cls(*_hashed([]))
        return cls(*_distinct(*map(np.concatenate, (whole, grams, sizes))))

    @cached_property
    def distinct_grams(self) -> np.ndarray:
        """Return the 5-grams, each once, sorted."""
        return np.unique(self.grams)

    def __len__(self) -> int:
        """Count the distinct texts."""
        return len(self.whole)


def _hashed(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return `whole`, `grams` and `sizes` of texts, each distinct one once."""
    split = [found for found in map(words, texts) if found]
    whole = _hashes(["".join(found) for found in split])
    lengths = np.array([len(found) for found in split], dtype=np.int64)
    single = _hashes(list(chain.from_iterable(split)))
    # A polynomial of the words' hashes, modulo 2^64; the multiplier is that of Knuth's generator.
    grams = np.zeros(max(0, len(single) - WORDS + 1), dtype=np.uint64)
    for place in range(WORDS):
        grams = grams * np.uint64(6364136223846793005) + single[place : place + len(grams)]
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(single))
    return _distinct(
        whole, grams[(left >= WORDS)[: len(grams)]], np.maximum(0, lengths - WORDS + 1)
    )


def _hashes(strings: list[str]) -> np.ndarray:
    """Return the 64-bit hashes of strings; the same in every process and on every machine."""
    return pd.util.hash_array(np.array(strings, dtype=object))


def _distinct(
    whole: np.ndarray, grams: np.ndarray, sizes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the first of each text, sorted by hash, its 5-grams with it."""
    unique, first = np.unique(whole, return_index=True)
    starts = (np.cumsum(sizes) - sizes)[first]
    kept = sizes[first]
    inside = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
    return unique, grams[np.repeat(starts, kept) + inside], kept


def compare(task: Texts, target: Texts) -> dict[str, int]:
    """Count the texts that an intermediate task's data and a target's share.

    `n` texts of the target, of which `exact` and `near` stand in the task's data; `task_n` texts of
    the task, of which `task_exact` stand in the target's.
    """
    exact = _among(target.whole, task.whole)
    found = np.concatenate([[0], np.cumsum(_among(target.grams, task.distinct_grams))])
    ends = np.cumsum(target.sizes)
    hits = found[ends] - found[ends - target.sizes]
    near = ~exact & (target.sizes > 0) & (hits >= NEAR * target.sizes)
    return {
        "n": len(target),
        "exact": int(exact.sum()),
        "near": int(near.sum()),
        "task_n": len(task),
        "task_exact": int(_among(task.whole, target.whole).sum()),
    }


def _among(values: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Say of each value whether it is among the chosen, which are sorted."""
    if not len(chosen):
        return np.zeros(len(values), dtype=bool)
    places = np.minimum(np.searchsorted(chosen, values), len(chosen) - 1)
    return np.asarray(chosen[places] == values)


def table(settings: Profile) -> pd.DataFrame:
    """Return what every intermediate task of a profile shares with every target, in counts.

    One row per task, target and part: the target's `train`ing data in the source language, what is
    evaluated (`evaluation`) in all languages, the source included, and in the source alone
    (`IN_SOURCE`). Columns: those of `compare`, `same_source` (the task and the target train on data
    of one name, see `tasks.TRAINING`, or on a translation) and `same_data` (that, or `SAME_DATA` of
    either side's texts, or `SAME_SOURCE_TEXT` of what is evaluated in the source).
    Counted once and kept in the result store; counted anew, with a line, where the profile reads
    other data now, or where the data are at hand and have changed.
    """
    here, wanted = Cell(settings.name, "overlap", 0), parameters(settings)
    try:
        done = read(here, wanted)
    except InputError:
        print(f"overlap: counted anew, for {here.run_file} is of other data than the profile's")
        done = None
    if done is None or _changed(settings, done.facts["data"]):
        started = time.perf_counter()
        with corpora.recording() as data:
            rows = list(_rows(settings))
        done = finish(here, wanted, {"rows": rows, "data": data}, started=started)
    found = pd.DataFrame(done.facts["rows"], columns=COLUMNS)
    source = found["part"] == IN_SOURCE
    enough = np.where(source, SAME_SOURCE_TEXT, SAME_DATA)
    own = (found["exact"] > 0) & (found["exact"] >= enough * found["n"])
    other = (found["task_exact"] > 0) & (found["task_exact"] >= SAME_DATA * found["task_n"])
    pairs = (own | other | found["same_source"]).groupby([found["task"], found["target"]])
    return found.assign(same_data=pairs.transform("any"))


def mark(scores: pd.DataFrame, settings: Profile, found: pd.DataFrame) -> pd.DataFrame:
    """Add the column `same_data` to a table of scores, by its condition and target.

    A condition of several tasks has the same data as a target where one of them has. `found`: of
    `table`.
    """
    shared = {name: _shared(settings, found, name) for name in scores["condition"].unique()}
    pairs = zip(scores["condition"], scores["target"], strict=True)
    return scores.assign(same_data=[target in shared[name] for name, target in pairs])


def clean_targets(settings: Profile, found: pd.DataFrame, conditions: Sequence[str]) -> list[str]:
    """Return the clean targets of a profile that have the same data as none of these conditions.

    Prints which declared ones are left out and why. Raises InputError where none is left.
    """
    kept = list(settings.clean_targets)
    for name in conditions:
        for target, why in _shared(settings, found, name).items():
            if target in settings.clean_targets:
                print(f"{target} leaves the primary result, for it shares data with {name}: {why}")
                kept = [each for each in kept if each != target]
    if settings.clean_targets and not kept:
        raise InputError(f"profile {settings.name!r}: clean_targets: every one shares data with "
                         f"{' or '.join(conditions)}")  # fmt: skip
    return kept


def _shared(settings: Profile, found: pd.DataFrame, condition: str) -> dict[str, str]:
    """Return the targets that have the same data as a condition, and what they share."""
    of_tasks = found["task"].isin(tasks_of(condition_of(settings, condition)))
    shared: dict[str, list[str]] = {}
    for row in found[of_tasks & found["same_data"]].to_dict("records"):
        reasons = shared.setdefault(row["target"], [])
        if row["same_source"] and row["part"] == "train":
            reasons.append(f"both train on {row['task']}'s data")
        elif row["exact"]:
            reasons.append(
                f"{row['exact']:,} of its {row['n']:,} texts ({row['part']}) are among "
                f"the {row['task_n']:,} of {row['task']}"
            )
    return {target: "; ".join(reasons) for target, reasons in shared.items()}


def shown(found: pd.DataFrame) -> pd.DataFrame:
    """Return the table for a reader: one column per target, per cent exact + near.

    `*` stands where task and target have the same data, a dash where a target trains on nothing.
    """
    shares = [(100 * found[kind] / found["n"]).map("{:.2f}".format) for kind in ("exact", "near")]
    cells = shares[0] + " + " + shares[1] + found["same_data"].map({True: " *", False: ""})
    wide = found.assign(cells=cells).pivot(index=["task", "part"], columns="target", values="cells")
    rows = found[["task", "part"]].drop_duplicates().sort_values("task", kind="stable")
    return wide.loc[list(rows.itertuples(index=False, name=None)), found["target"].unique()].fillna(
        "–"
    )


def parameters(settings: Profile) -> dict[str, Any]:
    """Return all that the counts depend on, but for the data's own revisions or hashes."""
    return {
        "tasks": {
            name: {"row": _row(task), "translated": _codes(settings, codes)}
            for name, (task, codes) in _tasks(settings).items()
        },
        "targets": {
            name: {
                "row": _row(name, budget.train),
                "train_examples": budget.train_examples,
                "split": corpora.evaluation_source(tasks.get(name), budget.split).split,
                "evaluation_examples": budget.evaluation_examples,
            }
            for name, budget in settings.targets.items()
        },
        "languages": _languages(settings),
        "near": [WORDS, NEAR],
        "parts": ["train", "evaluation", IN_SOURCE],
    }


def _row(name: str, train: Sequence[str] = ()) -> dict[str, Any]:
    row = tasks.get(name)
    return corpora.described(row, train or row.train, row.languages)


def tasks_of(condition: Condition) -> dict[str, tuple[str, list[str]]]:
    """Return the tasks on whose text a condition trains, with their labels or by MLM.

    Name in the table to task and the languages of a translated training set, which is other text
    than the English one and has a name of its own: `mnli (de, fr)`. Where `joint_mlm` stands beside
    a task, its text is that of pre-training, which says nothing of the task and is not counted.
    """
    named = [name for name in (condition.text_of, *condition.trained) if name not in ("", "mlm")]
    into = f" ({', '.join(condition.translated)})" if condition.translated else ""
    return {name + into: (name, condition.translated) for name in named}


def _tasks(settings: Profile) -> dict[str, tuple[str, list[str]]]:
    of_conditions = map(tasks_of, settings.conditions.values())
    return {name: task for named in of_conditions for name, task in named.items()}


def _codes(settings: Profile, translated: list[str]) -> list[str]:
    return settings.languages if "all" in translated else translated


def _languages(settings: Profile) -> list[str]:
    """Return every language that some run of the profile evaluates."""
    codes = (code for run in settings.runs for code in settings.evaluated_languages(*run))
    return list(dict.fromkeys(codes))


def _changed(settings: Profile, recorded: dict[str, str]) -> bool:
    """Say, with a line, whether data at hand are others than recorded; a hub's are pinned."""
    root = data_root(settings)
    if root is None or not root.is_dir():
        return False
    for key, version in recorded.items():
        dataset, _, config = key.rpartition("/")
        if dataset != tasks.CCGBANK and corpora.fingerprint(root, dataset, config) != version:
            print(f"overlap: counted anew, for {root / key} has changed")
            return True
    return False


def _rows(settings: Profile) -> Iterator[dict[str, Any]]:
    """Compare every intermediate task with every target; a target's texts are read once."""
    trained = {}
    for name, (task, codes) in _tasks(settings).items():
        examples = corpora.load_training(settings, tasks.get(task), tasks.get(task).train, 0, codes)
        trained[name] = tasks.get(task).train, Texts.of(texts_of(examples))
    for target, budget in settings.targets.items():
        row = tasks.get(target)
        names = budget.train or row.train
        parts = {}
        if names:
            examples = corpora.load_training(settings, row, names, budget.train_examples)
            parts["train"] = Texts.of(texts_of(examples))
        sets, _ = transfer.evaluation_sets(settings, row, budget, _languages(settings))
        parts["evaluation"] = Texts.of(chain.from_iterable(map(texts_of, sets.values())))
        if settings.source_language in sets:
            parts[IN_SOURCE] = Texts.of(texts_of(sets[settings.source_language]))
        for name, (sources, texts) in trained.items():
            same = {"same_source": bool({*names} & {*sources})}
            for part, of_target in parts.items():
                yield (
                    {"task": name, "target": target, "part": part}
                    | compare(texts, of_target)
                    | same
                )


def texts_of(examples: Sequence[Example]) -> Iterator[str]:
    """Yield every text of examples of any kind, the two sides of retrieval among them."""
    sides = [side for side in ("source", "target") if side in examples[0]]
    lists = [side for side in ("sources", "targets") if side in examples[0]]
    if not sides and not lists:
        yield from text_of(examples)
    for example in examples:
        yield from (example[side] for side in sides)
        yield from chain.from_iterable(example[side] for side in lists)
