"""Pair the lines of two texts that say the same in the same order, some missing on either side.

A line to a line, by the most likely path (Gale & Church 1993, Computational Linguistics 19:75-102):
a translation is about as long as its original, and numbers and Latin names stand in both.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lib import corpora, tasks
from lib.errors import InputError
from lib.profile import Profile

# Ours, set by looking at pairs of the mirror's text, by no score of any task:
GAP = -2.0  # log-likelihood of a line without a translation
SPREAD = 0.25  # standard deviation of the log ratio of lengths of translations
SHARED = 0.5  # how much of a shared word's information counts, for words do not come singly
BAND = 2500  # lines by which the path may leave the diagonal
AROUND = 2  # lines before and after a pair that have to be as likely translations as it

LATIN = 0.5  # of the letters of a text that is written so
ROMANISED = 0.95  # of the letters of a line of another text
ROUNDING = 1e-6
_WORD = re.compile(r"[0-9]+|[A-Za-z]{2,}")

Floats = NDArray[np.float64]


Pair = tuple[str, str]


def load(
    settings: Profile, held_out: Mapping[str, Collection[str]]
) -> tuple[dict[str, list[Pair]], dict[str, list[Pair]]]:
    """Return, by language, lines of the source language with their translations, read and held out.

    They are those of the sources that `pretraining.translations` names. Held out is a pair with a
    line of `held_out`, lines of each language. Raises InputError for a source that the source
    language has no line of.
    """
    english = settings.source_language
    originals = _by_source(settings, english)
    for name in settings.pretraining.translations:
        if name not in originals:
            raise InputError(f"pretraining.translations: multilingual-text {english} has no source "
                             f"{name!r}; expected some of {', '.join(originals)}")  # fmt: skip
    read: dict[str, list[Pair]] = {}
    kept: dict[str, list[Pair]] = {}
    for code in settings.languages:
        if code == english:
            continue
        both: list[Pair] = []
        for name, lines in _by_source(settings, code).items():
            if name in settings.pretraining.translations:
                both += [(originals[name][i], lines[j]) for i, j in pair(originals[name], lines)]
        out = [one in held_out[english] or other in held_out[code] for one, other in both]
        read[code] = [pair for pair, without in zip(both, out, strict=True) if not without]
        kept[code] = [pair for pair, without in zip(both, out, strict=True) if without]
    return read, kept


def joined(pairs: Sequence[Pair]) -> list[str]:
    """Join the lines of each pair to one; every second has the translation first."""
    turned = [pair if place % 2 == 0 else pair[::-1] for place, pair in enumerate(pairs)]
    return [" ".join(lines) for lines in turned]


def _by_source(settings: Profile, code: str) -> dict[str, list[str]]:
    """Load the lines of a language, in its own script, by the source that they are from."""
    text = replace(tasks.TEXT, columns={"text": "text", "source": "source"})
    examples = corpora.load(settings, text, code)
    found = defaultdict(list)
    for example, own in zip(examples, in_own_script([e["text"] for e in examples]), strict=True):
        if own and example["text"].strip():
            found[example["source"]].append(example["text"])
    return dict(found)


def in_own_script(lines: Sequence[str]) -> list[bool]:
    """Say of each line whether it is in the script of most: Latin letters alone may not be.

    Names of things are, and romanised text; of a text in Latin letters every line is its own.
    """
    shares = np.array([_latin_share(line) for line in lines])
    return [bool(own) for own in (shares < ROMANISED) | (shares.mean() > LATIN)] if lines else []


def _latin_share(line: str) -> float:
    letters = [letter for letter in line if letter.isalpha()]
    return sum(letter < "\u0250" for letter in letters) / len(letters) if letters else 0.0


def pair(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of lines that translate one another, rising in both.

    Only lines that are likelier to be translations than not, by themselves and on the mean of the
    pairs around. Time and memory grow with the lines of `first` times the band.
    """
    fewer, more = sorted((len(first), len(second)))
    if not fewer or more > BAND * fewer:
        return []
    likelihood = _Likelihood(first, second)
    rows, columns = len(first), len(second)
    width = 2 * BAND + 1
    places = np.arange(width)
    # Row i holds the best scores of the first i lines with so many of the second: those from
    # `low` on, which follows the diagonal.
    lows = np.arange(rows + 1) * columns // rows - BAND
    best = np.where((places + lows[0] >= 0) & (places + lows[0] <= columns), 0.0, -np.inf)
    best += GAP * np.maximum(places + lows[0], 0)
    moves = np.zeros((rows, width), dtype=np.int8)
    for row in range(rows):
        low, step = lows[row + 1], lows[row + 1] - lows[row]
        before = np.concatenate([[-np.inf], best, np.full(step + 1, -np.inf)])
        here = places + low
        together = before[step : step + width] + likelihood.row(row, here - 1)
        alone = before[step + 1 : step + 1 + width] + GAP
        either = np.where((here >= 0) & (here <= columns), np.maximum(together, alone), -np.inf)
        best = np.maximum.accumulate(either - GAP * places) + GAP * places
        best[(here < 0) | (here > columns)] = -np.inf
        skipped = best > either + ROUNDING
        moves[row] = np.where(skipped, 2, np.where(together >= alone, 0, 1))
    path = _path(moves, lows, columns)
    alone = np.array([likelihood.of(*at) for at in path])
    if not path:
        return []
    window = np.full(2 * AROUND + 1, 1 / (2 * AROUND + 1))
    around = np.convolve(np.pad(alone, AROUND), window, mode="valid")
    return [at for at, own, mean in zip(path, alone, around, strict=True) if min(own, mean) > 0]


def _path(moves: NDArray[np.int8], lows: NDArray[np.int64], columns: int) -> list[tuple[int, int]]:
    """Follow the moves back: 0 pairs two lines, 1 skips one of the first text, 2 of the second."""
    row, column, found = len(moves), columns, []
    while row and column:
        move = moves[row - 1, column - lows[row]]
        if move == 0:
            found.append((row - 1, column - 1))
        row, column = row - (move != 2), column - (move != 1)
    return found[::-1]


class _Likelihood:
    """Log-likelihood that two lines are translations, over that they are any two lines."""

    def __init__(self, first: Sequence[str], second: Sequence[str]):
        self.lengths = [np.log([max(1, len(line)) for line in lines]) for lines in (first, second)]
        self.shift = self.lengths[1].mean() - self.lengths[0].mean()
        self.unrelated = max(np.sqrt(sum(part.var() for part in self.lengths)), SPREAD)
        self.words = [set(_WORD.findall(line.lower())) for line in first]
        lines_of = defaultdict(list)
        for place, line in enumerate(second):
            for word in set(_WORD.findall(line.lower())):
                lines_of[word].append(place)
        self.lines_of = {word: np.array(found) for word, found in lines_of.items()}
        often = Counter(word for words in self.words for word in words)
        total = max(len(first), len(second))
        self.information = {
            word: SHARED * np.log(total / max(often[word], len(found)))
            for word, found in self.lines_of.items()
        }

    def row(self, row: int, columns: NDArray[np.int64]) -> Floats:
        """Score a line with consecutive lines of the other text; places outside it get -inf."""
        scores = np.full(len(columns), -np.inf)
        low, high = max(columns[0], 0), min(columns[-1] + 1, len(self.lengths[1]))
        if low >= high:
            return scores
        ratios = self.lengths[1][low:high] - self.lengths[0][row] - self.shift
        inside = np.log(self.unrelated / SPREAD) + ratios**2 / 2 * (self.unrelated**-2 - SPREAD**-2)
        # In one order: sums of floating point follow it to the last bit.
        for word in sorted(self.words[row] & self.lines_of.keys()):
            found = self.lines_of[word]
            inside[found[(found >= low) & (found < high)] - low] += self.information[word]
        scores[low - columns[0] : high - columns[0]] = inside
        return scores

    def of(self, row: int, column: int) -> float:
        """Score two lines."""
        return float(self.row(row, np.array([column]))[0])
