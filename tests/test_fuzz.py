"""Whatever a file holds, its reader gives what it promises or says in one line what is wrong.

The same examples every time; `FUZZ_EXAMPLES=20000` draws other ones, and as many of them. There is
no reader of CoNLL-U's text: trees come in columns, as the hub holds them.
"""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import networkx
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib import bitext, ccgbank, columns, multilingual_text, paths, profile, typology, workflow
from lib.errors import InputError
from lib.tasks import Source

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
fuzzed = settings(
    max_examples=EXAMPLES or 300,
    derandomize=not EXAMPLES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TINY = yaml.safe_load(paths.profile_file("tiny").read_text(encoding="utf-8"))
NO_SPACE = st.text(st.characters(exclude_categories=["Cs", "Z", "Cc"]), min_size=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


def read(call: Callable[[], Any]) -> Any:
    """Return what a reader gives, or None where it refuses, in a line, what it was given."""
    try:
        return call()
    except InputError as error:
        assert str(error) and len(str(error).splitlines()) == 1
        return None


@st.composite
def damaged(draw: st.DrawFn, good: str) -> str:
    """Cut pieces out of a text, and put others in."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(good)))
        end = draw(st.integers(start, min(len(good), start + 40)))
        good = good[:start] + draw(st.text(max_size=12)) + good[end:]
    return good


def of(*pieces: str) -> st.SearchStrategy[str]:
    """Return texts that are put together from pieces of a format, and of anything."""
    return st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=24).map("".join)


# Profiles


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the path of every value in nested mappings."""
    inside = content.items() if isinstance(content, dict) else ()
    return [path, *(each for key, value in inside for each in places(value, (*path, key)))]


NAMES = st.sampled_from(["en", "qaa", "udpos", "tatoeba", "ud_parsing", "stsb", "mlm", "multitask",
                         "all", "bi", "first", "bpe", "none"])  # fmt: skip
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=4,
)


def like(value: Any) -> st.SearchStrategy[Any]:
    """Return values of the same type, so that what comes out is a profile now and then."""
    kinds: dict[type, st.SearchStrategy[Any]] = {
        bool: st.booleans(), int: st.integers(0, 600), float: st.floats(0, 1), str: NAMES,
        list: st.lists(NAMES | st.integers(0, 3), max_size=4),
    }  # fmt: skip
    return kinds.get(type(value), VALUES)


@st.composite
def profiles(draw: st.DrawFn) -> str:
    """Return a profile of which some values are others, left out, or under other keys."""
    content = copy.deepcopy(TINY)
    for _ in range(draw(st.integers(1, 3))):
        *path, last = draw(st.sampled_from(places(content)[1:]))
        inside = content
        for key in path:
            inside = inside[key]
        do = draw(st.sampled_from(["like", "like", "other", "rename", "leave out", "add"]))
        if do == "rename":
            inside[draw(st.text(max_size=8) | st.integers() | NAMES)] = inside.pop(last)
        elif do == "leave out":
            del inside[last]
        elif do == "add":
            inside[draw(st.sampled_from(KEYS))] = draw(VALUES | st.integers(0, 600))
        else:
            inside[last] = draw(VALUES if do == "other" else like(inside[last]))
    return yaml.safe_dump(content, allow_unicode=draw(st.booleans()))


KEYS = sorted({
    *profile.Profile.model_fields, *profile.Encoder.model_fields, *profile.Condition.model_fields,
    *profile.Pretraining.model_fields, *profile.Target.model_fields,
    *profile.Workflow.model_fields, "multitask", "bucc", "pawsx",
})  # fmt: skip


@fuzzed
@given(
    st.text()
    | st.binary()
    | damaged(paths.profile_file("tiny").read_text(encoding="utf-8"))
    | profiles()
    | of("a: ", "- ", "\n", "  ", "&x ", "*x", "<<: ", "!!int ", "!!timestamp ", "{", "}", "[")
)
def test_a_profile_is_loaded_whole_or_refused(folder: Path, text: str | bytes) -> None:
    file = folder / "fuzzed.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    loaded = read(lambda: profile.load(str(file)))
    if loaded is not None:
        assert loaded.name == "fuzzed" and loaded.source_language in loaded.languages
        for cell, parameters in workflow.cells(loaded).items():
            assert cell.folder.resolve().is_relative_to(paths.results("fuzzed"))
            json.dumps(parameters, allow_nan=False)


# CCGbank


AUTO = of("ID=wsj_0201.1 PARSER=GOLD NUMPARSE=1\n", "(<T NP 0 2> ", "(<L N NN NN cat N>) ", ") ",
          "(<L ", "N>", "\n", "ID=", " ")  # fmt: skip


@fuzzed
@given(st.text() | st.binary() | AUTO)
def test_ccgbank_is_words_with_their_categories_or_refused(folder: Path, text: str | bytes) -> None:
    found = read(lambda: list(ccgbank._read(auto(folder, text))))
    for words, categories in found or ():
        assert len(words) == len(categories) > 0
        assert all(part and not part.split()[1:] for part in (*words, *categories))


def auto(folder: Path, text: str | bytes) -> Path:
    file = folder / "wsj_0201.auto"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def derivation(tree: Any) -> str:
    if isinstance(tree, tuple):
        word, category = tree
        return f"(<L {category} NN NN {word} {category}>)"
    return f"(<T NP 0 {len(tree)}> {' '.join(map(derivation, tree))} )"


def leaves(tree: Any) -> list[tuple[str, str]]:
    return [tree] if isinstance(tree, tuple) else [leaf for part in tree for leaf in leaves(part)]


CATEGORY = st.sampled_from(["N", "NP[nb]/N", r"(S[dcl]\NP)/NP", ".", "S/(S/NP)"])
TREES = st.recursive(
    st.tuples(NO_SPACE, CATEGORY), lambda inner: st.lists(inner, min_size=1, max_size=2)
)


@fuzzed
@given(st.lists(TREES, min_size=1, max_size=4), st.data())
def test_every_derivation_is_read_back_and_a_cut_one_is_refused(
    folder: Path, trees: list[Any], data: st.DataObject
) -> None:
    lines = [f"ID=wsj_0201.{i} PARSER=GOLD\n{derivation(tree)}" for i, tree in enumerate(trees)]
    found = list(ccgbank._read(auto(folder, "\n".join(lines))))
    assert [list(zip(*sentence, strict=True)) for sentence in found] == [*map(leaves, trees)]
    *whole, last = lines
    cut = data.draw(st.integers(1, len(last) - 1))
    number = 2 * len(lines) - ("\n" not in last[:cut].rstrip("\n"))
    with pytest.raises(InputError, match=f"line {number}: "):
        list(ccgbank._read(auto(folder, "\n".join([*whole, last[:cut]]))))


# BUCC


SIDE = st.text() | st.binary() | of("en-1", "en-2", "\t", "\n", "\r", "a b", " ", "\u2028")


@fuzzed
@given(SIDE, SIDE, of("en-1", "en-2", "\t", "\n") | st.text())
def test_buccs_sides_have_a_sentence_a_line_and_pairs_of_them(
    folder: Path, first: Any, second: Any, gold: Any
) -> None:
    files = sides(folder, first, second, gold)
    found = read(lambda: bitext.read(*files))
    if found is not None:
        sizes = []
        for file, side in zip(files[:2], ("sentence1", "sentence2"), strict=True):
            (sentences,) = found[side]
            assert len(sentences) == file.read_bytes().rstrip(b"\n").count(b"\n") + 1
            assert all(sentences) and not any("\n" in sentence for sentence in sentences)
            sizes.append(len(sentences))
        assert all(1 <= a <= sizes[0] and 1 <= b <= sizes[1] for a, b in found["gold"][0])


def sides(folder: Path, *texts: str | bytes) -> list[Path]:
    files = [folder / f"zh-en.dev.{part}" for part in ("zh", "en", "gold")]
    for file, text in zip(files, texts, strict=True):
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return files


SENTENCES = st.dictionaries(
    NO_SPACE,
    st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"])).filter(str.strip),
    min_size=1, max_size=5,
)  # fmt: skip


@fuzzed
@given(SENTENCES, SENTENCES, st.data())
def test_every_sentence_and_gold_pair_is_read_back(
    folder: Path, first: dict[str, str], second: dict[str, str], data: st.DataObject
) -> None:
    ids = st.tuples(st.sampled_from([*first]), st.sampled_from([*second]))
    gold = data.draw(st.lists(ids, min_size=1))
    texts = [
        "".join(f"{a}\t{b}\n" for a, b in rows) for rows in (first.items(), second.items(), gold)
    ]
    found = bitext.read(*sides(folder, *texts))
    assert found["sentence1"] == [[each.strip() for each in first.values()]]
    assert found["sentence2"] == [[each.strip() for each in second.values()]]
    assert found["gold"] == [[[[*first].index(a) + 1, [*second].index(b) + 1] for a, b in gold]]


# Columns, as the hub holds them


class Table(dict[str, list[Any]]):
    """Stand for a `datasets.Dataset` whose columns have no declared type."""

    @property
    def column_names(self) -> list[str]:
        return [*self]

    @property
    def features(self) -> dict[str, None]:
        return dict.fromkeys(self)

    def __len__(self) -> int:
        return len(next(iter(self.values()), []))


ITEM = st.none() | st.text(max_size=3) | st.integers(-2, 9) | st.floats()
HEADS = st.lists(st.integers(0, 4).map(str) | st.sampled_from(["_", "None", ""]) | ITEM, max_size=5)
CELL = (
    ITEM | st.lists(ITEM, max_size=3) | st.lists(st.lists(st.integers(-1, 4)), max_size=2)
    | st.fixed_dictionaries({}, optional={"text": st.lists(ITEM, max_size=2),
                                          "answer_start": st.lists(ITEM, max_size=2)})
)  # fmt: skip
SOURCES = [
    ["words", "tags"], ["sentence1", "label"], ["context", "choices", "label"],
    ["choice0", "choice1", "label"], ["identifier", "context", "answers"], ["text"],
    ["sources", "targets", "gold"],
]  # fmt: skip


@fuzzed
@given(st.data())
def test_any_columns_are_examples_or_refused(data: st.DataObject) -> None:
    names = data.draw(st.sampled_from(SOURCES))
    size = data.draw(st.integers(0, 3))
    table = Table()
    for name in names:
        likely = data.draw(st.sampled_from([CELL, ITEM, st.text(max_size=3), st.lists(ITEM)]))
        table[name] = data.draw(st.lists(likely, min_size=size, max_size=size))
    source = Source("any", "default", "train", {name: name for name in names})
    for example in read(lambda: columns.read(table, source)) or ():
        assert {*names} <= {*example} and example["id"].isdecimal()
        for name in ("sentence1", "identifier", "context", "text"):
            assert isinstance(example.get(name, ""), str)
        if "words" in names:
            assert len(example["words"]) == len(example["tags"])
        if "answers" in names:
            assert len(example["answers"]) == len(example["starts"])


@fuzzed
@given(st.lists(HEADS, min_size=1, max_size=3), st.data())
def test_heads_are_a_tree_or_refused(found: list[list[Any]], data: st.DataObject) -> None:
    def beside(heads: list[Any]) -> st.SearchStrategy[list[Any]]:
        values = st.text(min_size=1, max_size=2) | st.sampled_from(["_", None])
        return st.lists(values, min_size=len(heads), max_size=len(heads))

    table = Table(head=found, form=[["a"] * len(heads) for heads in found],
                  deprel=[data.draw(beside(heads)) for heads in found])  # fmt: skip
    source = Source("any", "default", "train",
                    {"words": "form", "heads": "head", "relations": "deprel"})  # fmt: skip
    for example in read(lambda: columns.read(table, source)) or ():
        heads = example["heads"]
        assert len(heads) == len(example["words"]) == len(example["relations"])
        if heads:
            tree = networkx.DiGraph([(head, word) for word, head in enumerate(heads, 1)])
            assert networkx.is_arborescence(tree) and tree.out_degree(0) == 1


# Tables that stand beside the data


@fuzzed
@given(
    st.text()
    | st.binary()
    | of("code,name,iso3,family,script,distance\n", "en,English,eng,A,B,0.0\n", ",", '"', "\n", "x")
)
def test_a_table_of_languages_is_read_or_refused(folder: Path, text: str | bytes) -> None:
    file = folder / "languages.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    typology._read.cache_clear()
    table = read(lambda: typology.languages(folder))
    if table is not None:
        assert table.index.is_unique and (table["distance"] >= 0).all()


@fuzzed
@given(st.text() | VALUES.map(json.dumps))
def test_checksums_of_text_are_read_or_refused(folder: Path, text: str) -> None:
    (folder / "checksums.json").write_bytes(text.encode())
    found = read(lambda: multilingual_text.verify(folder))
    assert found in (None, {})
