"""Measure what an encoder's layers know of syntax and meaning, and how far training moved them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from lib import corpora, layers, probing, representation, scoring, tasks
from lib.corpora import Example
from lib.layers import Loaded, Panel, row_of
from lib.probing import Probe
from lib.profile import Profile

BATCH_TOKENS = 4096
LENGTH = 256
LABELS = ("upos", "relation", "direction")


@dataclass
class Knowledge:
    """Measure likeness to the encoder before, probes, similarity, and attention to heads.

    `training_sentences`: what probes train on, in the source language; `sentences`: what they, and
    attention, are tested on in each language; `words`: how many of those CKA compares.
    """

    study: Profile
    training_sentences: int = 300
    sentences: int = 200
    words: int = 400
    kind: str = "knowledge"
    _before: dict[int, dict[str, tuple[np.ndarray, np.ndarray]]] = field(
        default_factory=dict, init=False
    )

    @property
    def sizes(self) -> dict[str, Any]:
        """Return all settings that a value depends on."""
        numbers = {key: getattr(self, key) for key in ("training_sentences", "sentences", "words")}
        penalty = {"penalty": probing.PENALTY}
        return numbers | penalty | {"languages": self._codes}

    @property
    def _codes(self) -> list[str]:
        return [self.study.source_language, *self.study.target_languages]

    @cached_property
    def tagged(self) -> dict[str, list[Example]]:
        """The tagged test sentences of each language that has some."""
        return self._of_languages({code: tasks.get("udpos").evaluation for code in self._codes})

    @cached_property
    def trees(self) -> dict[str, list[Example]]:
        """The treebank of each language: EWT's validation set, the world's, or PUD's, if any."""
        own = tasks.get("ud_parsing").validation
        assert own is not None
        name = "{code}_world" if self.study.world is not None else "{code}_pud"
        other = replace(own, config=name, split="test")
        source = self.study.source_language
        return self._of_languages({code: own if code == source else other for code in self._codes})

    def _of_languages(self, places: dict[str, Any]) -> dict[str, list[Example]]:
        found = {
            code: corpora.load(self.study, place, code, self.sentences, required=False)
            for code, place in places.items()
        }
        return {code: some for code, some in found.items() if len(some) >= 10}

    @cached_property
    def training(self) -> dict[str, list[Example]]:
        """The sentences that probes train on: tagged ones, and trees."""
        wanted = {"tags": tasks.get("udpos"), "trees": tasks.get("ud_parsing")}
        return {
            name: corpora.load_training(self.study, task, task.train, self.training_sentences)
            for name, task in wanted.items()
        }

    @cached_property
    def similar(self) -> list[Example]:
        """The validation pairs of STS-B, if any."""
        place = tasks.get("stsb").validation
        assert place is not None
        return corpora.load(self.study, place, required=False)

    def rows(self, loaded: Loaded) -> list[dict[str, Any]]:
        """Measure an encoder; see `lib.layers`.

        `cka_words`, `cka_sentences`: linear CKA with the same encoder before the condition, on the
        same words, and means over the words of sentences, of UDPOS's test set. `probe_<label>`,
        `control_<label>`: accuracy of a probe of the source language, and of one of random labels
        by word type (source only); UPOS on UDPOS, the relation and the direction of a word's head
        on treebanks. `similarity`: Spearman of cosine with STS-B's labels. `attention`,
        `attention_by_relation`: share of words whose head the best attention head finds; `offset…`,
        without a layer, the best fixed offset.
        """
        tagged = _train(self, loaded, "tags", LABELS[:1])
        parsed = _train(self, loaded, "trees", LABELS[1:])
        before = self.before(loaded) if loaded.condition != "none" else {}
        rows: list[dict[str, Any]] = []
        for code, found in self.tagged.items():
            states = _states(loaded, found)
            rows += tagged.rows(code, found, states)
            kept = _compared(found, states, self.words)
            for name, first, second in zip(
                ("cka_words", "cka_sentences"), kept, before.get(code, ()), strict=False
            ):
                rows += [
                    row_of(name, code, layer, representation.linear_cka(*sides), first.shape[1])
                    for layer, sides in enumerate(zip(first, second, strict=True))
                ]
        for code, found in self.trees.items():
            rows += parsed.rows(code, found, _states(loaded, found))
            rows += _attention(loaded, code, found)
        return rows + self._similarity(loaded)

    def before(self, loaded: Loaded) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return the vectors that `none` gives words and sentences, by language; kept for a seed.

        Empty where the encoder before is not there.
        """
        seed = loaded.encoder_seed
        if seed not in self._before:
            self._before.clear()  # those of one encoder are enough in memory
            first = layers.load(self.study, "none", loaded.seed)
            if first is None:
                return {}
            self._before[seed] = {
                code: _compared(found, _states(first, found), self.words)
                for code, found in self.tagged.items()
            }
        return self._before[seed]

    def _similarity(self, loaded: Loaded) -> list[dict[str, Any]]:
        from scipy.stats import spearmanr

        from lib import evaluation

        if not self.similar:
            return []
        first, second = (
            evaluation.embed(
                loaded.model, [pair[side] for pair in self.similar], loaded.tokenizer,
                batch_tokens=BATCH_TOKENS,
            )
            for side in ("sentence1", "sentence2")
        )  # fmt: skip
        lengths = np.linalg.norm(first, axis=2) * np.linalg.norm(second, axis=2)
        cosines = (first * second).sum(axis=2) / np.maximum(lengths, 1e-12)
        gold = [float(pair["label"]) for pair in self.similar]
        return [
            row_of(
                "similarity", self.study.source_language, layer, spearmanr(row, gold)[0], len(gold)
            )
            for layer, row in enumerate(cosines)
        ]


@dataclass
class _Probes:
    """Hold probes of every layer, by label, and what the control task's words are labelled."""

    source: str
    trained: dict[str, list[Probe]]
    control: dict[str, tuple[list[Probe], list[str]]]

    def rows(self, code: str, found: Sequence[Example], states: np.ndarray) -> list[dict[str, Any]]:
        """Test them on a language's sentences."""
        rows = []
        for label, probes in self.trained.items():
            tests = {f"probe_{label}": (probes, labels_of(found, label))}
            if code == self.source and label in self.control:
                tests[f"control_{label}"] = self.control[label]
            for name, (some, gold) in tests.items():
                rows += [
                    row_of(name, code, layer, probe.accuracy(states[layer], gold), len(gold))
                    for layer, probe in enumerate(some)
                ]
        return rows


def _train(of: Knowledge, loaded: Loaded, data: str, labels: Sequence[str]) -> _Probes:
    """Train a probe and its control on every layer, for each label."""
    found = of.training[data]
    tests = (of.tagged if data == "tags" else of.trees).get(of.study.source_language, [])
    states = _states(loaded, found)
    words = [[word for example in some for word in example["words"]] for some in (found, tests)]
    trained, control = {}, {}
    for label in labels:
        gold = labels_of(found, label)
        random, random_of_tests = probing.control_labels(words, gold)
        trained[label] = [Probe.train(layer, gold) for layer in states]
        control[label] = [Probe.train(layer, random) for layer in states], random_of_tests
    return _Probes(of.study.source_language, trained, control)


def labels_of(found: Sequence[Example], label: str) -> list[str]:
    """Return the labels of all words of sentences: `upos`, `relation`, or `direction` of the head.

    Relations are without subtype. A head stands `before` or `after` its word, or is the `root`.
    """
    if label == "upos":
        return [tag for example in found for tag in example["tags"]]
    if label == "relation":
        names = (name for example in found for name in example["relations"])
        return [scoring.without_subtype(name) for name in names]
    return [
        "root" if head == 0 else "before" if head < place else "after"
        for example in found
        for place, head in enumerate(example["heads"], 1)
    ]


def _states(loaded: Loaded, found: Sequence[Example]) -> np.ndarray:
    from lib import states

    words = [example["words"] for example in found]
    return states.of_words(
        loaded.model, loaded.tokenizer, words, length=LENGTH, batch_tokens=BATCH_TOKENS
    )


def _compared(
    found: Sequence[Example], states: np.ndarray, words: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the states of a fixed sample of words, and the mean of each sentence's words."""
    number = states.shape[1]
    chosen = np.sort(np.random.default_rng(number).permutation(number)[:words])
    sizes = np.array([len(example["words"]) for example in found if example["words"]])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    return states[:, chosen], np.add.reduceat(states, starts, axis=1) / sizes[:, None]


def _attention(loaded: Loaded, code: str, found: Sequence[Example]) -> list[dict[str, Any]]:
    """Score attention heads, and fixed offsets, as finders of syntactic heads."""
    from lib import states

    words = [example["words"] for example in found]
    rights, offsets, folds, relations = [], [], [], []
    for number, weights in states.attention(
        loaded.model, loaded.tokenizer, words, length=LENGTH, batch_tokens=BATCH_TOKENS
    ):
        heads = found[number]["heads"]
        right, offset = representation.heads_found(weights, heads)
        rights.append(right)
        offsets.append(offset)
        folds += [number % 2 == 0] * right.shape[2]
        names = labels_of([found[number]], "relation")
        relations += [name for name, head in zip(names, heads, strict=True) if head]
    fold = np.array(folds, dtype=bool)
    candidates: list[tuple[str, int | None, np.ndarray]] = [
        ("attention", layer, right)
        for layer, right in enumerate(np.concatenate(rights, axis=2), 1)
    ]  # fmt: skip
    candidates.append(("offset", None, np.concatenate(offsets, axis=1)))
    rows = []
    for name, layer, right in candidates:
        value, counted = representation.best_share_by_kind(right, fold, relations)
        rows.append(row_of(name, code, layer, representation.best_share(right, fold), len(fold)))
        rows.append(row_of(f"{name}_by_relation", code, layer, value, counted))
    return rows


def offset_baseline(
    measured: pd.DataFrame, panels: Sequence[Panel], source: str
) -> dict[str, tuple[str, float]]:
    """Return name and share (points) of the best fixed offset, for panels of attention."""
    found = {}
    for panel in panels:
        part = measured[measured["measure"] == panel.measure.replace("attention", "offset")]
        part = part[(part["language"] == source) == (panel.where == "source")]
        if len(part):
            mean = part.groupby("language")["value"].mean().mean()
            found[panel.title] = ("best fixed offset", 100 * float(mean))
    return found


def conclusion(rows: pd.DataFrame) -> str:
    """Sum up in a sentence what differs beyond noise; `rows` is what `layers.adjusted` returns."""
    if rows["p_holm"].isna().all():
        return "Without both tasks in two runs at least, nothing can be said of their difference."
    clear = rows[rows["p_holm"] < 0.05]
    sides = [
        f"more after {name}: {'; '.join(part['panel']) or 'none'}"
        for name, part in (
            ("parsing", clear[clear["mean"] > 0]),
            ("similarity", clear[clear["mean"] < 0]),
        )
    ]
    verb = "differs" if len(clear) == 1 else "differ"
    return (f"{len(clear)} of {len(rows)} measures {verb} after adjusting for their number. "
            f"{'. '.join(side[0].upper() + side[1:] for side in sides)}.")  # fmt: skip
