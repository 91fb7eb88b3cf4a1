"""Read a table's columns as examples, and refuse what cannot be one.

A refusal is one line that names the data and the example: its place in the file, from 0. What is
odd but can be read is kept, and a line says how much of it there is. Checks take whole columns, so
that half a million examples cost little.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, NoReturn

from lib.errors import InputError, quote
from lib.tasks import Source

Example = dict[str, Any]
LISTS = ("words", "tags", "heads", "relations", "upos", "choices", "sources", "targets", "gold")
UNLABELLED = (None, -1, "-1", "")
NOTHING = (None, "None", "_", "")  # what stands for no head, or no relation


def read(table: Any, source: Source, language: str = "") -> list[Example]:
    """Return the examples of a `datasets.Dataset`, of one language where the source mixes several.

    Raises InputError for a renamed column, and for an example with a value of a wrong type, lists
    of unequal length, heads that are no tree, an answer without text, or a gold pair of sentences
    that are not there; also where no example has a label, a word or text. Examples without a label
    are left out, and empty sentences kept, with a line that counts them.
    """
    named = [*source.columns.values()]
    named += [source.language_column] if source.language_column else []
    for column in named:
        if column.partition(".")[0] not in table.column_names:
            raise InputError(f"{_where(source)}: no column {column!r}; found {table.column_names}")
    found = _Columns(source, _kept(table, source, language), {})
    for ours, theirs in source.columns.items():
        values = _values(table, theirs, found)
        found.values[ours] = [values[i] for i in found.ids]
    if not found.ids:
        return []
    found.check_types()
    if "heads" in found.values:
        found.keep_basic_trees()
    found.check_texts()
    if "answers" in found.values:
        found.split_answers()
    if "gold" in found.values:
        found.check_pairs()
    return found.labelled(found.examples())


def _where(source: Source) -> str:
    return f"{source.dataset} {source.config} {source.split}"


def _kept(table: Any, source: Source, language: str) -> Sequence[int]:
    """Return the places of a language's examples, where a file mixes several."""
    if source.identifier_prefix:
        names = table[source.columns["identifier"]][:]
        return [i for i, name in enumerate(names) if str(name).startswith(source.identifier_prefix)]
    if source.language_column and language:
        return [i for i, code in enumerate(table[source.language_column][:]) if code == language]
    return range(len(table))


def _values(table: Any, column: str, found: "_Columns") -> list[Any]:
    """Return a column, or the field of a struct, with class labels as names.

    A number that names no label stays a number.
    """
    import datasets

    outer, _, inside = column.partition(".")
    if inside:
        rows = table[outer][:]
        found.refuse_any(
            rows, lambda row: not isinstance(row, dict) or inside not in row,
            lambda row: f"{outer} is {quote(row)}, expected a field {inside!r}",
        )  # fmt: skip
        return [row[inside] for row in rows]
    feature = table.features[column]
    values = table[column][:]
    if isinstance(feature, datasets.ClassLabel):
        names = dict(enumerate(feature.names))
        return [names.get(value, value) for value in values]
    inner = getattr(feature, "feature", None)
    if isinstance(inner, datasets.ClassLabel):
        names = dict(enumerate(inner.names))
        return [row and [names.get(value, value) for value in row] for row in values]
    return values


def _fits(pair: Any, sizes: tuple[int, int]) -> bool:
    """Say whether a gold pair is of places that there are."""
    if not isinstance(pair, list) or len(pair) != 2:
        return False
    return all(
        isinstance(place, int) and 1 <= place <= size
        for place, size in zip(pair, sizes, strict=True)
    )


def _circle(heads: Sequence[int]) -> int:
    """Return a word from which the way up, head by head, comes back to it; 0 where none."""
    below_root = {0}
    for word in range(1, len(heads) + 1):
        way: dict[int, None] = {}
        while word not in below_root and word not in way:
            way[word] = None
            word = heads[word - 1]
        if word in way:
            return word
        below_root.update(way)
    return 0


@dataclass
class _Columns:
    """Hold columns under our names, with what a refusal must say."""

    source: Source
    ids: Sequence[int]
    values: dict[str, list[Any]]

    def refuse(self, place: int, problem: str) -> NoReturn:
        """Name the data and the example."""
        raise InputError(f"{_where(self.source)} example {self.ids[place]}: {problem}")

    def refuse_any(
        self, rows: Sequence[Any], wrong: Callable[[Any], bool], problem: Callable[[Any], str]
    ) -> None:
        """Refuse the first row that is wrong."""
        for place, row in enumerate(rows):
            if wrong(row):
                self.refuse(place, problem(row))

    def say(self, number: int, what: str) -> None:
        """Print how many examples are odd."""
        if number:
            print(f"{_where(self.source)}: {number:,} of {len(self.ids):,} examples {what}")

    def check_types(self) -> None:
        """Refuse text where a list is expected, and a list where text is; lists must match."""
        for ours, rows in self.values.items():
            if ours in LISTS:
                self._check_type(ours, rows, list, "a list")
            elif ours == "answers":
                self._check_type(ours, rows, dict, "a struct")
            elif ours != "label":
                self._check_type(ours, rows, str, "text")
        for place, label in enumerate(self.values.get("label", ())):
            if isinstance(label, list | dict):
                column = self.source.columns["label"]
                self.refuse(place, f"{column} is {quote(label)}, expected one value")
        for ours in ("tags", "heads", "relations", "upos"):
            if ours in self.values:
                self._check_as_many(ours)

    def _check_type(self, ours: str, rows: Sequence[Any], kind: type, name: str) -> None:
        if set(map(type, rows)) != {kind}:
            place = [type(row) is kind for row in rows].index(False)
            column = self.source.columns[ours]
            self.refuse(place, f"{column} is {quote(rows[place])}, expected {name}")

    def _check_as_many(self, ours: str) -> None:
        words, others = ([*map(len, self.values[name])] for name in ("words", ours))
        if words != others:
            place = [a == b for a, b in zip(words, others, strict=True)].index(False)
            names = [self.source.columns[name] for name in ("words", ours)]
            self.refuse(place, f"{words[place]} {names[0]}, {others[place]} {names[1]}: "
                               "expected as many")  # fmt: skip

    def keep_basic_trees(self) -> None:
        """Keep the words of the basic tree: a multiword token or empty node has no head."""
        of_words = [name for name in ("words", "heads", "relations", "upos") if name in self.values]
        for place, (heads, relations) in enumerate(
            zip(self.values["heads"], self.values["relations"], strict=True)
        ):
            kept = [i for i, head in enumerate(heads) if head not in NOTHING]
            lost = {*range(len(heads))} - {*kept}
            named = [i for i in lost if relations[i] not in NOTHING]
            if named:
                self.refuse(place, f"word {self.values['words'][place][named[0]]!r} has a relation "
                                   "but no head")  # fmt: skip
            for name in of_words if lost else ():
                self.values[name][place] = [self.values[name][place][i] for i in kept]
            try:
                numbers = [int(heads[i]) if isinstance(heads[i], int | str) else -1 for i in kept]
            except ValueError:
                numbers = [-1]
            if any(not 0 <= head <= len(kept) or head == i for i, head in enumerate(numbers, 1)):
                self.refuse(place, f"heads are {quote(heads)}: expected numbers from 0 to "
                                   f"{len(kept)}, none of the word itself")  # fmt: skip
            if kept and (numbers.count(0) != 1 or _circle(numbers)):
                circle = _circle(numbers)
                found = f"word {circle} is above itself" if circle else f"{numbers.count(0)} roots"
                self.refuse(place, f"heads are {quote(heads)}: {found}, expected a tree with one "
                                   "root")  # fmt: skip
            self.values["heads"][place] = numbers

    def check_texts(self) -> None:
        """Refuse what is no text inside a list; count what is empty."""
        for ours, rows in self.values.items():
            column = self.source.columns[ours]
            if ours in ("words", "tags", "relations", "choices", "sources", "targets"):
                if set(map(type, chain.from_iterable(rows))) - {str}:
                    place = [all(type(item) is str for item in row) for row in rows].index(False)
                    self.refuse(place, f"{column} is {quote(rows[place])}, expected text alone")
                self._say_empty(rows.count([]), f"empty {column}")
            elif ours not in ("label", "answers", "heads", "upos", "gold"):
                self._say_empty(sum(not t or t.isspace() for t in rows), f"blank {column}")

    def _say_empty(self, number: int, what: str) -> None:
        if number == len(self.ids):
            raise InputError(f"{_where(self.source)}: every example has {what}")
        self.say(number, f"have {what} and are kept")

    def split_answers(self) -> None:
        """Part answers from where they start."""
        theirs, rows = self.source.columns["answers"], self.values["answers"]

        def wrong(row: dict[str, Any]) -> bool:
            texts, starts = row.get("text"), row.get("answer_start")
            return not (
                isinstance(texts, list)
                and isinstance(starts, list)
                and len(texts) == len(starts)
                and all(isinstance(text, str) for text in texts)
                and all(isinstance(start, int) for start in starts)
            )

        self.refuse_any(rows, wrong, lambda row: f"{theirs} is {quote(row)}, expected as many "
                                                 "`text` as `answer_start`")  # fmt: skip
        blank = sum(not text.strip() for row in rows for text in row["text"])
        self.refuse_any(
            rows, lambda row: any(not text.strip() for text in row["text"]),
            lambda row: f"an answer without text, one of {blank:,}: expected text, or no answer at "
                        "all; answers are stripped from some test sets",
        )  # fmt: skip
        self.values["starts"] = [row["answer_start"] for row in rows]
        self.values["answers"] = [row["text"] for row in rows]

    def check_pairs(self) -> None:
        """Refuse gold pairs that are not there, or twice: places in the two sides, from 1."""
        if len(self.ids) > 1:
            raise InputError(f"{_where(self.source)}: {len(self.ids)} rows, expected one, of lists")
        gold = self.values["gold"][0]
        first, second = (len(self.values[side][0]) for side in ("sources", "targets"))
        if not gold:
            self.refuse(0, "no gold pair, expected one at least")
        for pair in gold:
            if not _fits(pair, (first, second)):
                self.refuse(0, f"gold pair {pair}: expected places from 1 to {first} and {second}")
        different = len(set(map(tuple, gold)))
        if different < len(gold):
            self.refuse(0, f"{len(gold)} gold pairs, {different} different: expected each once")

    def examples(self) -> list[Example]:
        """Turn columns into rows; columns `choice0`, `choice1`, … become the list `choices`."""
        names = [name for name in self.values if name.startswith("choice") and name != "choices"]
        if names:
            choices = zip(*(self.values[name] for name in names), strict=True)
            self.values["choices"] = [list(row) for row in choices]
        columns, rows = list(self.values), zip(*self.values.values(), strict=True)
        return [
            {"id": str(i)} | dict(zip(columns, row, strict=True))
            for i, row in zip(self.ids, rows, strict=True)
        ]

    def labelled(self, examples: list[Example]) -> list[Example]:
        """Leave out examples without a label, with a line; refuse a split that has none."""
        if "label" not in self.values:
            return examples
        kept = [example for example in examples if example["label"] not in UNLABELLED]
        if not kept:
            raise InputError(f"{_where(self.source)}: no example has a label; labels are stripped "
                             "from some test sets")  # fmt: skip
        self.say(len(examples) - len(kept), "have no label and are left out")
        names = self.source.labels
        for example in kept if names else ():
            example["label"] = names.get(example["label"], example["label"])
        return kept
