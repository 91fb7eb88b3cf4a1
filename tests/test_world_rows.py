"""The world holds every task: the hub's columns, no leaks, answers that must be earned."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random

import pyarrow.parquet as pq
import pytest

from lib.errors import InputError
from lib.world import Settings, concepts, intermediate, write
from lib.world.categories import derive
from lib.world.corpora import Corpora
from lib.world.grammar import Grammar, paraphrased
from lib.world.inference import question_pairs
from lib.world.language import Language, draw_languages, source_parameters
from lib.world.layout import Repository
from lib.world.meaning import Entity, Event, Generator
from lib.world.mining import write_mining

FEW = Settings(
    seed=3, languages=2, text_sentences=80, text_validation=20, parsing_train=40,
    parsing_evaluation=20, similarity_train=40, similarity_evaluation=20, tagging_train=40,
    tagging_evaluation=20, ner_train=40, ner_evaluation=20, nli_train=42, nli_evaluation=21,
    paraphrase_train=30, paraphrase_evaluation=20, qa_train=40, qa_evaluation=20,
    retrieval_pairs=30,
)  # fmt: skip
ALL = replace(
    FEW, sick_train=64, qqp_train=40, paws_train=40, anli_train=30, snli_train=42,
    squad_v2_train=60, hellaswag_train=40, cosmosqa_train=40, commonsenseqa_train=40, ccg_train=230,
    intermediate_evaluation=24, mlqa_evaluation=20, tydiqa_train=40, tydiqa_evaluation=20,
    bucc_pairs=12, bucc_distractors=30, xnli_translated=1,
)  # fmt: skip
MAKE = (
    "import sys; from tests.test_world_rows import ALL, Path, write; write(Path(sys.argv[1]), ALL)"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write(folder, ALL)
    return folder


def rows(folder: Path, path: str) -> list[dict]:
    return pq.read_table(folder / f"{path}-00000-of-00001.parquet").to_pylist()


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def english(code: str = "en") -> Language:
    """Speak English words under the source's grammar."""
    words = {word: word for word in draw_languages(1, 1)[0].words}
    words |= {"-PL": "s", "-PST": "ed"}
    return Language(code, code, "English", "", "Latin", source_parameters(), words)


# The files


def test_what_is_always_written_keeps_its_bytes_and_nothing_else_is_written_unasked(
    world, tmp_path
):
    write(tmp_path, FEW)
    before, after = digests(tmp_path), digests(world)
    cards = {"google/xtreme/README.md", "nyu-mll/glue/README.md"}  # they list configurations
    assert all(after[path] == digest for path, digest in before.items() if path not in cards)
    added = {path.split("/")[0] for path in after.keys() - before.keys()}
    assert added == {
        "Rowan", "allenai", "bucc2018", "ccgbank", "facebook", "google",
        "google-research-datasets", "mteb", "nyu-mll", "rajpurkar", "sick", "stanfordnlp", "tau",
    }  # fmt: skip


def test_another_process_with_another_hash_seed_writes_the_same_bytes(world, tmp_path):
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", MAKE, tmp_path], check=True, cwd=root, env=environment)
    assert digests(tmp_path) == digests(world)


SQUAD = {
    "id": "string", "title": "string", "context": "string", "question": "string",
    "answers": {"text": ["string"], "answer_start": ["int32"]},
}  # fmt: skip
INFERENCE = ("entailment", "neutral", "contradiction")
# As the datasets' cards on the hub list them; those that are class labels by their names.
EXPECTED = [
    ("sick", "default", "train validation test",
     {"id": "string", "sentence_A": "string", "sentence_B": "string",
      "relatedness_score": "float32", "entailment": "string"}),
    ("nyu-mll/glue", "qqp", "train validation",
     {"question1": "string", "question2": "string", "label": ("not_duplicate", "duplicate"),
      "idx": "int32"}),
    ("google-research-datasets/paws", "labeled_final", "train test validation",
     {"id": "int32", "sentence1": "string", "sentence2": "string", "label": ("0", "1")}),
    ("facebook/anli", "plain_text",
     "train_r1 dev_r1 test_r1 train_r2 dev_r2 test_r2 train_r3 dev_r3 test_r3",
     {"uid": "string", "premise": "string", "hypothesis": "string", "label": INFERENCE,
      "reason": "string"}),
    ("facebook/xnli", "qab", "train",
     {"premise": "string", "hypothesis": "string", "label": INFERENCE}),
    ("stanfordnlp/snli", "plain_text", "test validation train",
     {"premise": "string", "hypothesis": "string", "label": INFERENCE}),
    ("rajpurkar/squad_v2", "squad_v2", "train validation", SQUAD),
    ("Rowan/hellaswag", "default", "train validation",
     {"ind": "int32", "activity_label": "string", "ctx_a": "string", "ctx_b": "string",
      "ctx": "string", "endings": ["string"], "source_id": "string", "split": "string",
      "split_type": "string", "label": "string"}),
    ("allenai/cosmos_qa", "default", "train validation",
     {"id": "string", "context": "string", "question": "string", "answer0": "string",
      "answer1": "string", "answer2": "string", "answer3": "string", "label": "int32"}),
    ("tau/commonsense_qa", "default", "train validation",
     {"id": "string", "question": "string", "question_concept": "string",
      "choices": {"label": ["string"], "text": ["string"]}, "answerKey": "string"}),
    ("google/xtreme", "MLQA.qab.qab", "validation test", SQUAD),
    ("google/xtreme", "tydiqa", "train validation", SQUAD),
    ("mteb/BUCC", "qab-en", "test",
     {"sentence1": ["string"], "sentence2": ["string"], "gold": [["int32"]]}),
]  # fmt: skip


def plain(feature) -> object:
    if isinstance(feature, dict):
        return {name: plain(inner) for name, inner in feature.items()}
    if hasattr(feature, "names"):
        return tuple(feature.names)
    return [plain(feature.feature)] if hasattr(feature, "feature") else feature.dtype


@pytest.mark.parametrize(("repository", "config", "splits", "expected"), EXPECTED)
def test_every_dataset_loads_with_the_columns_of_the_hub(
    world, tmp_path, repository, config, splits, expected
):
    from datasets import load_dataset

    data = load_dataset(str(world / repository), config, cache_dir=str(tmp_path))
    assert set(data) == set(splits.split())
    for split in data.values():
        assert {name: plain(feature) for name, feature in split.features.items()} == expected
        assert len(split) > 0


@pytest.mark.parametrize(
    "path",
    ["sick/default/train", "stanfordnlp/snli/plain_text/test", "Rowan/hellaswag/default/validation",
     "allenai/cosmos_qa/default/validation", "tau/commonsense_qa/default/train",
     "google/xtreme/tydiqa/train"],
)  # fmt: skip
def test_columns_are_those_of_the_real_files(world, mirror, path):
    ours, theirs = (
        json.loads(
            pq.read_schema(root / f"{path}-00000-of-00001.parquet").metadata[b"huggingface"]
        )["info"]["features"]
        for root in (world, mirror)
    )
    assert ours == theirs


def test_sizes_below_nothing_are_refused():
    with pytest.raises(InputError, match="sick_train"):
        Settings(sick_train=-1)
    with pytest.raises(InputError, match="bucc_distractors"):
        Settings(bucc_distractors=0)


# No leaks

SENTENCES = {
    "sentence1", "sentence2", "sentence_A", "sentence_B", "question", "question1", "question2",
    "premise", "hypothesis", "context", "ctx", "endings", "source_sentence", "text",
}  # fmt: skip


def sentences(world: Path) -> dict[str, set[str]]:
    """Collect every sentence of the source language, per file."""
    found: dict[str, set[str]] = {}
    for path in sorted(world.rglob("*.parquet")):
        config = path.parent.name
        other = re.search(r"(^|\.)q[a-z]{2}($|_|\.)", config) or config.startswith("tatoeba")
        if other or (config.startswith("udpos") and config != "udpos.English"):
            continue
        texts: list[str] = []
        for row in pq.read_table(path).to_pylist():
            if row.get("language", "en") != "en":
                continue
            if config == "tydiqa" and not row["id"].startswith("english"):
                continue
            if "tokens" in row:
                texts.append(" ".join(row["tokens"]))
            if config.endswith("-en"):
                row = {"text": row["sentence2"]}
            if path.parent.parent.name == "multilingual-text":
                # The short answer after a question is no sentence of its own.
                row["text"] = re.sub(r"\?[^.]*\.", "?", row["text"])
            for name in SENTENCES & row.keys():
                texts += row[name] if isinstance(row[name], list) else [row[name]]
        parts = {p.strip() for text in texts for p in text.replace("?", ".").split(" .")}
        found[str(path.relative_to(world))] = parts - {""}
    for path in sorted((world / "ccgbank").rglob("*.auto")):
        words = re.findall(r"<L \S+ \S+ \S+ (\S+) \S+>|(\n)", path.read_text(encoding="utf-8"))
        lines = " ".join(word or end for word, end in words).split("\n")
        found[str(path.relative_to(world))] = {line.strip(" .") for line in lines} - {""}
    for path in sorted((world / "bucc2018").glob("*.en")):
        lines = path.read_text(encoding="utf-8").splitlines()
        found["bucc2018/dev"] = {line.split("\t")[1].strip(" .") for line in lines}
    return found


def test_no_sentence_stands_in_two_splits_of_any_corpora(world):
    found = sentences(world)
    assert len(found) > 50 and all(found.values())
    for one, other in combinations(sorted(found), 2):
        # Parses and similarity over the same sentences; one English side against each language;
        # MNLI's training set among its translations.
        shared = [{path.split("/")[i] for path in (one, other)} for i in (1, -2)]
        same = ({"en_ewt", "stsb"}, {"qaa-en", "qab-en"}, {"xnli", "multi_nli"})
        if not any(pair in same for pair in shared):
            assert not found[one] & found[other], (one, other)


def test_translated_inference_is_the_training_set_line_by_line(world):
    mnli, english, other = (
        rows(world, f"{path}/train")
        for path in ("nyu-mll/multi_nli/default", "facebook/xnli/en", "facebook/xnli/qaa")
    )
    columns = ("premise", "hypothesis", "label")
    assert [tuple(row[c] for c in columns) for row in mnli] == [
        tuple(row[c] for c in columns) for row in english
    ]
    assert [row["label"] for row in other] == [row["label"] for row in mnli]
    assert not {row["premise"] for row in other} & {row["premise"] for row in mnli}


# Questions


def test_answers_stand_where_they_are_said_to_in_every_language(world):
    paths = [f"google/xtreme/MLQA.{code}.{code}/test" for code in ("en", "qaa", "qab")]
    for path in [*paths, "google/xtreme/tydiqa/train", "google/xtreme/tydiqa/validation"]:
        for row in rows(world, path):
            answer, start = row["answers"]["text"][0], row["answers"]["answer_start"][0]
            assert answer and row["context"][start : start + len(answer)] == answer
    same = [[row["id"] for row in rows(world, path)] for path in paths]
    assert same[0] == same[1] == same[2] and len(set(same[0])) == 20


def test_tydiqa_tells_languages_apart_by_the_name_before_the_id(world):
    names = [language.name.lower() for language in draw_languages(3, 2)]
    train = Counter(row["id"].split("-")[0] for row in rows(world, "google/xtreme/tydiqa/train"))
    assert train == {"english": 40}
    asked = rows(world, "google/xtreme/tydiqa/validation")
    assert Counter(row["id"].split("-")[0] for row in asked) == dict.fromkeys(names, 20)


def test_questions_without_an_answer_are_a_third_of_training_and_half_of_validation(world):
    for split, share in (("train", 1 / 3), ("validation", 1 / 2)):
        asked = rows(world, f"rajpurkar/squad_v2/squad_v2/{split}")
        empty = [row for row in asked if row["answers"] == {"text": [], "answer_start": []}]
        assert len(empty) == round(share * len(asked))


def test_each_question_of_a_pair_is_meant_alike_or_not_as_its_label_says():
    def meaning(event: Event) -> Event:
        return replace(paraphrased(event, dict(concepts.MEANING_OF)), fronted=False)

    generator = Generator(Random(1))
    for _ in range(300):
        group = question_pairs(generator)
        for one, other, same in group:
            assert (meaning(one) == meaning(other)) == same and one != other
        for side in (0, 1):
            labels = Counter((pair[side], pair[2]) for pair in group)
            assert len(labels) == 4 and set(labels.values()) == {1}


def test_in_round_r_of_anli_r_sentences_stand_around_the_one_that_decides(world):
    for number in (1, 2, 3):
        for part in ("train", "dev"):
            for row in rows(world, f"facebook/anli/plain_text/{part}_r{number}"):
                assert row["premise"].count(" .") == number + 1


# Labels that must be earned


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """Write more of what is tested for shortcuts, in English words."""
    folder = tmp_path_factory.mktemp("large")
    corpora = Corpora(1, [english()])
    glue = Repository(folder, "nyu-mll/glue")
    intermediate.write_sick(folder, corpora, 1200, 400)
    intermediate.write_qqp(glue, corpora, 1200, 400)
    intermediate.write_squad_v2(folder, corpora, 900, 400)
    for choice in (
        intermediate.write_hellaswag,
        intermediate.write_cosmosqa,
        intermediate.write_commonsenseqa,
    ):
        choice(folder, corpora, 800, 400)
    return folder


def accuracy(train: list[tuple[str, object]], held_out: list[tuple[str, object]]) -> float:
    """Score a model of word pairs that sees the texts and nothing else."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    grams = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    model = LogisticRegression(max_iter=300, C=0.3)
    model.fit(grams.fit_transform([text for text, _ in train]), [label for _, label in train])
    seen = grams.transform([text for text, _ in held_out])
    return float(model.score(seen, [label for _, label in held_out]))


def answerable(row: dict) -> bool:
    return bool(row["answers"]["text"])


SINGLE = [
    ("nyu-mll/glue/qqp", "question1", lambda row: row["label"]),
    ("nyu-mll/glue/qqp", "question2", lambda row: row["label"]),
    ("rajpurkar/squad_v2/squad_v2", "question", answerable),
    ("rajpurkar/squad_v2/squad_v2", "context", answerable),
    ("sick/default", "sentence_A", lambda row: row["entailment"]),
    ("sick/default", "sentence_B", lambda row: row["entailment"]),
]


@pytest.mark.parametrize(("path", "column", "label"), SINGLE)
def test_one_text_alone_does_not_tell_the_label(large, path, column, label):
    train, held_out = (
        [(row[column], label(row)) for row in rows(large, f"{path}/{split}")]
        for split in ("train", "validation")
    )
    commonest = max(Counter(label for _, label in held_out).values()) / len(held_out)
    assert accuracy(train, held_out) < commonest + 0.08


CHOICES = {
    "Rowan/hellaswag": lambda row: (row["endings"], int(row["label"])),
    "allenai/cosmos_qa": lambda row: ([row[f"answer{i}"] for i in range(4)], row["label"]),
    "tau/commonsense_qa": lambda row: (row["choices"]["text"], "ABCDE".index(row["answerKey"])),
}


@pytest.mark.parametrize("dataset", CHOICES)
def test_choices_alone_do_not_tell_which_is_right(large, dataset):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train, held_out = (
        [CHOICES[dataset](row) for row in rows(large, f"{dataset}/default/{split}")]
        for split in ("train", "validation")
    )
    flat = [(text, i == right) for texts, right in train for i, text in enumerate(texts)]
    grams = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    model = LogisticRegression(max_iter=300, C=0.3)
    model.fit(grams.fit_transform([text for text, _ in flat]), [right for _, right in flat])
    hits = [
        model.decision_function(grams.transform(texts)).argmax() == right
        for texts, right in held_out
    ]
    size = len(held_out[0][0])
    assert abs(sum(hits) / len(hits) - 1 / size) < 0.07
    places = Counter(right for _, right in train)
    assert len(places) == size and max(places.values()) < 1.3 * len(train) / size


DEED = re.compile(r"(.+?) (\w+)ed (.+?)(?: (?:in|near|behind) .+)? \.")
WHO = re.compile(r"who will (\w+) (.+?)(?: (?:in|near|behind) .+)? \?")
NEXT = {pair for chains in concepts.CONTINUATIONS.values() for pair in chains.items()}


def deeds(context: str) -> list[tuple[str, str, str]]:
    """Read who did what to what from a story in English words."""
    found = [DEED.fullmatch(f"{part.strip()} .") for part in context.split(" .") if part.strip()]
    return [match.groups() for match in found if match]  # type: ignore[misc]


def test_who_will_do_it_is_who_did_what_comes_before_and_nobody_else(large):
    for row in rows(large, "allenai/cosmos_qa/default/validation"):
        then, thing = WHO.fullmatch(row["question"]).groups()
        who = [
            person for person, verb, what in deeds(row["context"])
            if what == thing and (verb, then) in NEXT
        ]  # fmt: skip
        assert who == [row[f"answer{row['label']}"]]
        assert all(row[f"answer{i}"] in row["context"] for i in range(4))


def test_the_right_ending_goes_on_with_what_its_person_did_and_all_share_the_contexts_words(large):
    for row in rows(large, "Rowan/hellaswag/default/validation"):
        context = set(row["ctx"].split())
        told = {(person, verb, thing) for person, verb, thing in deeds(row["ctx"])}
        ends = [deeds(ending)[0] for ending in row["endings"]]
        fitting = [
            i for i, (person, then, thing) in enumerate(ends)
            if any(p == person and t == thing and (v, then) in NEXT for p, v, t in told)
        ]  # fmt: skip
        assert fitting == [int(row["label"])]
        assert len({len(set(ending.split()) - context) for ending in row["endings"]}) == 1


def test_one_noun_alone_can_be_eaten_or_sweet_or_slept_in(large):
    asked: Counter = Counter()
    for row in rows(large, "tau/commonsense_qa/default/validation"):
        word = row["question_concept"]
        classes = [concepts.CLASS_OF[noun] for noun in row["choices"]["text"]]
        right = classes["ABCDE".index(row["answerKey"])]
        assert len(set(classes)) == 5
        if word in concepts.ADJECTIVES:
            fitting, role = concepts.ADJECTIVES[word], "quality"
        elif row["question"].startswith("where"):
            fitting, role = ("place",), "place"
        else:
            verb = concepts.VERBS[word]
            first = row["question"].split().index(word) == 2  # what can VERB
            fitting, role = (verb.agent, "agent") if first else (verb.patient, "patient")
        assert [name for name in classes if name in fitting] == [right]
        asked[role] += 1
    assert len(asked) == 4


def test_a_question_without_an_answer_has_no_sentence_with_all_its_words(large):
    whole: dict[bool, list[bool]] = {True: [], False: []}
    for row in rows(large, "rajpurkar/squad_v2/squad_v2/validation"):
        asked = set(row["question"].split()) - {*concepts.QUESTION_WORDS, "?"}
        told = [set(part.split()) for part in row["context"].split(" .")]
        whole[answerable(row)].append(any(asked <= words for words in told))
    assert all(whole[True]) and sum(whole[False]) < 0.1 * len(whole[False])


def test_relatedness_runs_over_its_scale_and_shared_words_do_not_give_it(large):
    from scipy.stats import pearsonr

    graded = rows(large, "sick/default/train")
    grades = [row["relatedness_score"] for row in graded]
    assert min(grades) == 1 and max(grades) == 5 and len(set(grades)) > 12
    overlap = []
    for row in graded:
        one, other = (set(row[name].split()) for name in ("sentence_A", "sentence_B"))
        overlap.append(len(one & other) / len(one | other))
    assert pearsonr(overlap, grades).statistic < 0.85
    labels = Counter(row["entailment"] for row in graded)
    assert labels == {"NEUTRAL": 600, "ENTAILMENT": 300, "CONTRADICTION": 300}


# Mining


@pytest.fixture(scope="module")
def twins(tmp_path_factory) -> Path:
    """Write BUCC for a language that speaks as the source does: translations are the same text."""
    folder = tmp_path_factory.mktemp("twins")
    write_mining(folder, Corpora(1, [english(), english("qaa")]), ALL)
    return folder


def test_gold_pairs_are_the_translations_and_there_are_no_others(twins):
    (row,) = rows(twins, "mteb/BUCC/qaa-en/test")
    theirs, ours, gold = row["sentence1"], row["sentence2"], row["gold"]
    assert (len(theirs), len(ours), len(gold)) == (42, 57, 12)
    assert all(theirs[one - 1] == ours[other - 1] for one, other in gold)
    assert len(set(theirs) & set(ours)) == 12 and len({*theirs, *ours}) == 42 + 57 - 12
    assert any(one != other for one, other in gold)


def test_the_development_texts_are_those_of_the_shared_task(twins):
    sides = {}
    for code in ("qaa", "en"):
        lines = (twins / f"bucc2018/qaa-en.dev.{code}").read_text("utf-8").splitlines()
        assert lines[0].startswith(f"{code}-000000001\t")
        sides[code] = dict(line.split("\t") for line in lines)
    gold = (twins / "bucc2018/qaa-en.dev.gold").read_text("utf-8").splitlines()
    pairs = [line.split("\t") for line in gold]
    assert len(pairs) == 12
    assert all(sides["qaa"][one] == sides["en"][other] for one, other in pairs)
    (row,) = rows(twins, "mteb/BUCC/qaa-en/test")
    assert not set(sides["en"].values()) & set(row["sentence2"])


# Categories: a checker of derivations of its own, from the rules as textbooks give them


def category(text: str):
    """Read a category: an atom, or (result, slash, argument)."""
    if text.startswith("(") and _closing(text) == len(text) - 1:
        text = text[1:-1]
    depth = 0
    for place in range(len(text) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(text[place], 0)
        if text[place] in "/\\" and depth == 0:
            return category(text[:place]), text[place], category(text[place + 1 :])
    return text


def _closing(text: str) -> int:
    depth = 0
    for place, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if depth == 0:
            return place
    return -1


def unify(wanted, given, bound: dict[str, str]) -> bool:
    """Match categories; a bare S takes any feature, the same one throughout."""
    if isinstance(wanted, tuple) != isinstance(given, tuple):
        return False
    if isinstance(wanted, tuple):
        return wanted[1] == given[1] and all(
            unify(wanted[i], given[i], bound) for i in (0, 2)
        )  # fmt: skip
    if wanted == "S" and given.startswith("S"):
        return bound.setdefault("S", given) == given
    return wanted == given or (given == "S" and wanted.startswith("S"))


def bind(part, bound: dict[str, str]):
    if isinstance(part, tuple):
        return bind(part[0], bound), part[1], bind(part[2], bound)
    return bound.get(part, part)


def results(left, right) -> list:
    """List what two categories make: application, forward composition, coordination, the mark."""
    found = []
    if isinstance(left, tuple) and left[1] == "/":
        if unify(left[2], right, bound := {}):
            found.append(bind(left[0], bound))
        if (
            isinstance(right, tuple) and right[1] == "/" and unify(left[2], right[0], bound := {})
        ):  # fmt: skip
            found.append((bind(left[0], bound), "/", right[2]))
    if isinstance(right, tuple) and right[1] == "\\" and unify(right[2], left, bound := {}):
        found.append(bind(right[0], bound))
    if left == "conj":
        found.append(f"{right}[conj]")
    if right in (".", f"{left}[conj]"):
        found.append(left)
    return found


UNARY = {("N", "NP"), ("NP", r"S/(S\NP)")}


def check(text: str) -> tuple[object, list[tuple[str, str]]]:
    """Check one derivation in the AUTO format; give its category and its words with theirs."""
    pieces = re.findall(r"\(<T \S+ \d \d>|\(<L \S+ \S+ \S+ \S+ \S+>\)|\)", text)
    assert " ".join(pieces) == text.strip()
    words: list[tuple[str, str]] = []

    def read(place: int) -> tuple[str, int]:
        kind, name, *rest = pieces[place].removesuffix(">").removesuffix(">)").split()
        if kind == "(<L":
            words.append((rest[2], name))
            return name, place + 1
        head, count = map(int, rest)
        place += 1
        parts = []
        while pieces[place] != ")":
            part, place = read(place)
            parts.append(part)
        assert len(parts) == count and head < count
        if count == 1:
            assert (parts[0], name) in UNARY
        else:
            made = results(*map(category, parts))
            assert category(name) in made, (parts, name)
        return name, place + 1

    whole, end = read(0)
    assert end == len(pieces)
    return whole, words


def derivations(world: Path, section: str) -> list[str]:
    found = []
    for path in sorted((world / "ccgbank/data/AUTO" / section).glob("wsj_*.auto")):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert lines[0] == f"ID={path.stem}.1 PARSER=GOLD NUMPARSE=1"
        found += lines[1::2]
    return found


def test_every_derivation_is_well_formed_and_the_sections_are_those_of_ccgbank(world):
    sizes = {}
    seen: Counter = Counter()
    for folder in sorted((world / "ccgbank/data/AUTO").iterdir()):
        found = derivations(world, folder.name)
        sizes[folder.name] = len(found)
        for line in found:
            whole, words = check(line)
            assert whole == "S[dcl]" and words[-1] == (".", ".")
            seen.update(name for _, name in words)
    assert sizes == {"00": 24, "02": 100, "03": 100, "04": 30, "23": 24}
    assert len(seen) > 20 and seen[r"(S[dcl]\NP)/NP"] > 50


def test_an_ill_formed_derivation_is_seen():
    good = r"(<T S[dcl] 1 2> (<T NP 0 1> (<L N NNP NNP Ann N>) ) (<L S[dcl]\NP VBZ VBZ runs _>) )"
    assert check(good) == ("S[dcl]", [("Ann", "N"), ("runs", r"S[dcl]\NP")])
    with pytest.raises(AssertionError):
        check(good.replace(r"S[dcl]\NP", "S[dcl]/NP"))


NP = Entity("bread", determiner="the", adjectives=("sweet",))
BY_HAND = [
    (Event("give", Entity("given0", "person"), NP, Entity("king"), place=("in", Entity("river")),
           past=True, negated=True),
     "given0 N not (S\\NP)/(S\\NP) giveed ((S[dcl]\\NP)/PP)/NP the NP/N sweet N/N bread N to PP/NP "
     "king N in ((S\\NP)\\(S\\NP))/NP river N . ."),
    (Event("eat", Entity("dog", relative=Event("see", Entity("he", "pronoun"), gap="patient")), NP,
           modal="can", adverb="often", fronted=True),
     "often S/S dog N REL (NP\\NP)/(S[dcl]/NP) he NP see (S[dcl]\\NP)/NP "
     "can (S[dcl]\\NP)/(S[b]\\NP) eat (S[b]\\NP)/NP the NP/N sweet N/N bread N . ."),
    (Event("be", Entity("house", determiner="the", conjunct=Entity("boat"),
           possessor=Entity("given0", "person", name="surname0")), quality="old"),
     "the NP/N house N of (NP\\NP)/NP given0 N/N surname0 N and conj boat N "
     "be (S[dcl]\\NP)/(S[adj]\\NP) old S[adj]\\NP . ."),
]  # fmt: skip


@pytest.mark.parametrize(("meaning", "tagged"), BY_HAND)
def test_categories_are_those_worked_out_by_hand(meaning, tagged):
    whole, words = check(derive(Grammar(english()).sentence(meaning)).auto())
    assert whole == "S[dcl]"
    assert " ".join(f"{word} {name}" for word, name in words) == tagged
