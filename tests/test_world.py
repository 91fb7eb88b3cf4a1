"""The world keeps its promises: same bytes, no leaks, sound trees, labels that must be earned."""

import csv
import hashlib
import os
import re
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy.stats import pearsonr, spearmanr

from lib.errors import InputError
from lib.world import Settings, write
from lib.world.cards import card
from lib.world.concepts import meaning_of
from lib.world.corpora import Corpora
from lib.world.drawing import draw_tree
from lib.world.grammar import mix, paraphrased, realise
from lib.world.inference import LABELS
from lib.world.language import PARAMETERS, Language, distance, draw_languages, source_parameters
from lib.world.layout import UPOS_OF_TREEBANKS, UPOS_OF_XTREME
from lib.world.lexicon import SCRIPTS
from lib.world.meaning import Entity, Event, Generator
from lib.world.similarity import similarity, synonyms

SMALL = Settings(
    seed=3, languages=3, text_sentences=400, text_validation=40, parsing_train=160,
    parsing_evaluation=40, similarity_train=160, similarity_evaluation=40, tagging_train=160,
    tagging_evaluation=40, ner_train=160, ner_evaluation=40, nli_train=150, nli_evaluation=42,
    paraphrase_train=100, paraphrase_evaluation=40, qa_train=160, qa_evaluation=40,
    retrieval_pairs=60, parallel_share=0.2, mixed_share=0.3,
)  # fmt: skip
MAKE = (
    "import sys; from tests.test_world import Path, SMALL, write; write(Path(sys.argv[1]), SMALL)"
)


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write(folder, SMALL)
    return folder


@pytest.fixture(scope="module")
def languages() -> list[Language]:
    return draw_languages(1, 8)


def rows(folder: Path, path: str) -> list[dict]:
    return pq.read_table(folder / f"{path}-00000-of-00001.parquet").to_pylist()


def table(folder: Path) -> list[dict]:
    with (folder / "languages.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# The files


def test_another_process_with_another_hash_seed_writes_the_same_bytes(world, tmp_path):
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", MAKE, tmp_path], check=True, cwd=root, env=environment)
    assert digests(tmp_path) == digests(world)


def test_another_seed_draws_other_words_and_other_grammars():
    one, other = draw_languages(1, 8), draw_languages(2, 8)
    assert [lang.distance for lang in one] == [lang.distance for lang in other]
    assert all(a.words["dog"] != b.words["dog"] for a, b in zip(one, other, strict=True))
    pairs = zip(one[1:], other[1:], strict=True)
    assert sum(a.parameters != b.parameters for a, b in pairs) >= 6


STRINGS = "List(Value('string'))"
EXPECTED = [
    ("multilingual-text", "qaa", "train", {"text": "string", "source": "string"}),
    ("nyu-mll/glue", "stsb", "validation",
     {"sentence1": "string", "sentence2": "string", "label": "float32", "idx": "int32"}),
    ("google/xtreme", "PAWS-X.qab", "test",
     {"sentence1": "string", "sentence2": "string", "label": "string"}),
    ("google/xtreme", "XNLI", "test",
     {"language": "string", "sentence1": "string", "sentence2": "string", "gold_label": "string"}),
    ("google/xtreme", "tatoeba.qac", "validation",
     {"source_sentence": "string", "target_sentence": "string", "source_lang": "string",
      "target_lang": "string"}),
]  # fmt: skip


@pytest.mark.parametrize(("repository", "config", "split", "expected"), EXPECTED)
def test_plain_columns_load_as_from_the_hub(world, tmp_path, repository, config, split, expected):
    from datasets import load_dataset

    data = load_dataset(str(world / repository), config, split=split, cache_dir=str(tmp_path))
    assert {name: feature.dtype for name, feature in data.features.items()} == expected
    assert len(data) > 0


def test_tags_trees_and_answers_load_as_from_the_hub(world, tmp_path):
    from datasets import load_dataset

    def load(repository: str, config: str, split: str):
        return load_dataset(str(world / repository), config, split=split, cache_dir=str(tmp_path))

    tags = load("google/xtreme", "udpos.English", "train").features["pos_tags"].feature
    assert tags.names[:4] == ["ADJ", "ADP", "ADV", "AUX"] and len(tags.names) == 17
    entities = load("google/xtreme", "PAN-X.qaa", "test").features
    assert list(entities) == ["tokens", "ner_tags", "langs"]
    assert entities["ner_tags"].feature.names == [
        "O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC",
    ]  # fmt: skip
    trees = load("commul/universal_dependencies", "qab_world", "test").features
    assert list(trees) == ["idx", "text", "tokens", "lemmas", "upos", "xpos", "feats", "head",
                           "deprel", "deps", "misc"]  # fmt: skip
    assert trees["upos"].feature.names[:3] == ["NOUN", "PUNCT", "ADP"]
    assert trees["upos"].feature.names[-2:] == ["VERB", "AUX"] and len(UPOS_OF_TREEBANKS) == 18
    assert trees["head"].feature.dtype == "string"
    label = load("nyu-mll/multi_nli", "default", "train").features["label"]
    assert label.names == ["entailment", "neutral", "contradiction"]
    question = load("google/xtreme", "XQuAD.qac", "validation").features
    assert list(question) == ["id", "title", "context", "question", "answers"]
    assert question["answers"]["answer_start"].feature.dtype == "int32"


def test_every_dataset_has_the_splits_that_the_tasks_read(world):
    names = {language["code"]: language["name"] for language in table(world)}
    assert names["en"] == "English" and list(names) == ["en", "qaa", "qab", "qac"]
    assert all(name.isalpha() and name.istitle() for name in names.values())
    for code, name in names.items():
        rows(world, f"google/xtreme/udpos.{name}/test")
        for config in (f"PAN-X.{code}/validation", f"PAN-X.{code}/test", f"PAWS-X.{code}/test"):
            assert len(rows(world, f"google/xtreme/{config}")) == 40
    xnli = Counter(row["language"] for row in rows(world, "google/xtreme/XNLI/test"))
    assert xnli == dict.fromkeys(names, 42)


def test_settings_that_make_no_world_are_refused():
    with pytest.raises(InputError, match="qa_train"):
        Settings(qa_train=0)
    with pytest.raises(InputError, match="story_share"):
        Settings(story_share=1.5)
    with pytest.raises(InputError, match="similarity_train"):
        Settings(parsing_train=1000, similarity_train=100)
    with pytest.raises(InputError, match="languages"):
        draw_languages(1, 40)


def test_in_a_factorial_world_the_effect_of_each_parameter_can_be_told() -> None:
    drawn = draw_languages(1, 24, "factorial")[1:]
    source = source_parameters()
    differs = np.array(
        [[each.parameters[name] != source[name] for name in PARAMETERS] for each in drawn]
    )
    signs = 2 * differs.astype(int) - 1
    assert (signs.T @ signs == 24 * np.eye(12)).all(), "two parameters go together"
    assert (signs.sum(axis=0) == 0).all(), "a parameter differs in more or less than half"
    for one, other in combinations(range(12), 2):
        assert not ((signs[:, one] * signs[:, other]) @ signs).any(), "confounded with a pair"
    assert len({(each.script, each.cognate_share, each.shared_names) for each in drawn}) == 1
    assert len({tuple(each.parameters.items()) for each in drawn}) == 24


# No leaks


def sentences_of(world: Path) -> dict[str, dict[str, set[str]]]:
    """Collect, per corpus split and language, every sentence (questions too)."""
    codes = {language["name"]: language["code"] for language in table(world)}
    found: dict[str, dict[str, set[str]]] = {}
    for path in sorted(world.rglob("*.parquet")):
        config, split = path.parent.name, path.name.split("-")[0]
        task, _, suffix = config.partition(".")
        for row in pq.read_table(path).to_pylist():
            code = row.get("language") or codes.get(suffix) or suffix or "en"
            if path.parent.parent.name == "multilingual-text":
                task, code = "text", config
            elif config.endswith("_world") or config == "en_ewt":
                task, code = "treebank", config.removesuffix("_world").removesuffix("_ewt")
            texts = [" ".join(row["tokens"])] if "tokens" in row else []
            if task == "text":
                # The short answer after a question is no sentence of its own.
                row["text"] = re.sub(r"\?[^.]*\.", "?", row["text"])
            texts += [row[name] for name in row if name in (
                "sentence1", "sentence2", "premise", "hypothesis", "context", "question",
                "source_sentence", "text")]  # fmt: skip
            whole = found.setdefault(f"{task}/{split}", {}).setdefault(code, set())
            for text in texts:
                whole.update(part.strip() for part in text.replace("?", ".").split(" ."))
    for corpus in found.values():
        for said in corpus.values():
            said.discard("")
    return found


def test_no_sentence_stands_in_two_corpora(world):
    found = sentences_of(world)
    # Parses and similarity are issued over the same sentences, on purpose.
    same = {("stsb", "treebank")}
    names = sorted(found)
    assert len(names) > 20
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            pair = tuple(sorted((one.split("/")[0], other.split("/")[0])))
            if pair in same and one.split("/")[1] == other.split("/")[1]:
                continue
            for code in found[one].keys() & found[other].keys():
                assert not found[one][code] & found[other][code], (one, other, code)


def test_similarity_is_graded_over_the_very_sentences_that_are_parsed(world):
    for split in ("train", "validation"):
        parsed = {r["text"] for r in rows(world, f"commul/universal_dependencies/en_ewt/{split}")}
        graded = rows(world, f"nyu-mll/glue/stsb/{split}")
        assert parsed == {row[name] for row in graded for name in ("sentence1", "sentence2")}


def test_retrieval_pairs_are_unique_on_both_sides(world):
    pairs = rows(world, "google/xtreme/tatoeba.qab/validation")
    assert len({row["source_sentence"] for row in pairs}) == len(pairs) == 60
    assert len({row["target_sentence"] for row in pairs}) == len(pairs)
    assert {(row["source_lang"], row["target_lang"]) for row in pairs} == {("qab", "eng")}


def test_parallel_lines_hold_source_and_translation_and_only_where_asked(world):
    origins = Counter(row["source"] for row in rows(world, "multilingual-text/qaa/train"))
    assert 0.1 < origins["parallel"] / origins.total() < 0.3
    assert "parallel" not in {row["source"] for row in rows(world, "multilingual-text/en/train")}


def test_mixed_lines_hold_words_of_both_languages_in_about_equal_parts(world, languages):
    source = set(" ".join(r["text"] for r in rows(world, "multilingual-text/en/train")).split())
    for code in ("qab", "qac"):  # one shares few words with the source, one writes as the source
        lines = rows(world, f"multilingual-text/{code}/train")
        own = {w for r in lines if r["source"] == "sentence" for w in r["text"].split()}
        mixed = [r["text"].split() for r in lines if r["source"] == "mixed"]
        assert 0.2 < len(mixed) / len(lines) < 0.4
        words = [word for line in mixed for word in line if word not in ".?"]
        borrowed = sum(word in source and word not in own for word in words) / len(words)
        assert 0.3 < borrowed < 0.55
        assert sum(word in source or word in own for word in words) / len(words) > 0.8
    assert "mixed" not in {row["source"] for row in rows(world, "multilingual-text/en/train")}


def test_a_mixed_sentence_keeps_the_grammar_and_borrows_words_with_their_own_endings(languages):
    class Always(Random):
        def random(self):
            return 0.0

    source = languages[0]
    other = next(one for one in languages[:0:-1] if one.parameters["inflection"] != "isolating")
    event = Event("see", Entity("child"), Entity("dog", plural=True), past=True, negated=True)
    written = source.written
    borrowed = {
        "child": written["child"], "dog": written["dog"] + written["-PL"],
        "see": written["see"] + written["-PST"], "not": written["not"], ".": ".",
    }  # fmt: skip
    stems = [node.concept or "." for node in realise(event, other).nodes]
    assert mix(event, other, source, Always()).split() == [borrowed[stem] for stem in stems]


def test_a_story_in_running_text_ends_in_a_question_and_an_answer_from_the_story(world):
    stories = [r for r in rows(world, "multilingual-text/qac/train") if r["source"] == "story"]
    assert len(stories) > 10
    for row in stories:
        told, _, answer = row["text"].partition("?")
        assert answer.endswith(" .") and f" {answer.strip(' .')} " in f" {told}"


# Grammar


def test_trees_have_one_root_and_no_cycle_in_every_language(world):
    for config in ("en_ewt", "qaa_world", "qab_world", "qac_world"):
        for row in rows(world, f"commul/universal_dependencies/{config}/test"):
            heads = [int(head) for head in row["head"]]
            size = len(heads)
            assert len(row["tokens"]) == len(row["upos"]) == len(row["deprel"]) == size
            assert heads.count(0) == 1 and row["deprel"][heads.index(0)] == "root"
            for word in range(1, size + 1):
                steps = 0
                while word:
                    word, steps = heads[word - 1], steps + 1
                    assert steps <= size
            assert row["text"] == " ".join(row["tokens"])


def english(**changed: str) -> Language:
    """Speak English words under a grammar that differs as told."""
    grammar = {**source_parameters(), **changed}
    words = {word: word for word in draw_languages(1, 1)[0].words}
    words |= {"-PL": "s", "-PST": "ed", "-ACC": "um", "-DEF": "et", "-NEG": "less", "given0": "Ann"}
    return Language("en", "eng", "English", "", "Latin", grammar, words)


MEANING = Event(
    "paint",
    Entity("given0", "person"),
    Entity("boat", determiner="the", plural=True, adjectives=("red",)),
    place=("in", Entity("river", determiner="this")),
    past=True,
    negated=True,
)


def test_one_meaning_under_two_grammars_as_worked_out_by_hand():
    near = realise(MEANING, english())
    assert near.text == "Ann not painted the red boats in this river ."
    assert near.heads == (3, 3, 0, 6, 6, 3, 9, 9, 3, 3)
    assert near.relations == [
        "nsubj", "advmod", "root", "det", "amod", "obj", "case", "det", "obl", "punct",
    ]  # fmt: skip
    assert near.upos == [
        "PROPN", "PART", "VERB", "DET", "ADJ", "NOUN", "ADP", "DET", "NOUN", "PUNCT",
    ]  # fmt: skip
    assert near.entity_tags == ["B-PER"] + ["O"] * 9
    far = realise(
        MEANING,
        english(
            order_of_subject_object_verb="SOV",
            adposition_and_noun="postposition",
            adjective_and_noun="noun-adjective",
            demonstrative_and_noun="noun-demonstrative",
            case_marking="accusative",
            articles="affix",
            negation="affix",
        ),
    )
    assert far.text == "Ann boatsetum red river this in paintedless ."
    assert far.heads == (7, 7, 2, 7, 4, 4, 0, 7)
    assert far.relations == ["nsubj", "obj", "amod", "obl", "det", "case", "root", "punct"]
    assert [node.gloss for node in far.nodes][1] == "boat-PL-DEF-ACC"


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"order_of_subject_object_verb": "VSO"}, "not painted Ann the red boats in this river ."),
        ({"order_of_subject_object_verb": "OVS"}, "the red boats in this river not painted Ann ."),
        ({"inflection": "isolating"}, "Ann PST not paint the red PL boat in this river ."),
        ({"inflection": "prefixing"}, "Ann not edpaint the red sboat in this river ."),
        ({"articles": "none"}, "Ann not painted red boats in this river ."),
        ({"negation": "after-verb"}, "Ann painted not the red boats in this river ."),
        ({"case_marking": "ergative", "inflection": "isolating"},
         "ERG Ann PST not paint the red PL boat in this river ."),
    ],
)  # fmt: skip
def test_each_parameter_changes_what_its_name_says(changed, text):
    assert realise(MEANING, english(**changed)).text == text


def test_relative_clauses_possessors_and_questions_follow_their_parameters():
    clause = Event("write", None, Entity("letter", determiner="a"), gap="agent")
    owner = Entity("king", determiner="the")
    question = Event(
        "see",
        Entity("singer", determiner="the", relative=clause),
        Entity("what", "question"),
        question=True,
    )
    owned = Event("sleep", Entity("dog", determiner="the", possessor=owner))
    assert realise(question, english()).text == "what the singer REL write a letter see ?"
    assert realise(owned, english()).text == "the dog of the king sleep ."
    changed = english(
        relative_clause_and_noun="relative-noun",
        question_word="in-situ",
        genitive_and_noun="genitive-noun",
    )
    assert realise(question, changed).text == "write a letter REL the singer see what ?"
    assert realise(owned, changed).text == "of the king the dog sleep ."


def side(world: Path, config: str, relation: str) -> set[bool]:
    """Say on which sides of their heads the words with a relation stand (True: before)."""
    found = set()
    for row in rows(world, f"commul/universal_dependencies/{config}/test"):
        for place, (head, name) in enumerate(zip(row["head"], row["deprel"], strict=True), 1):
            if name == relation:
                found.add(place < int(head))
    return found


def test_word_order_in_the_treebanks_is_what_the_table_of_languages_says(world):
    for language in table(world):
        config = "en_ewt" if language["code"] == "en" else f"{language['code']}_world"
        assert side(world, config, "amod") == {language["adjective_and_noun"] == "adjective-noun"}
        assert side(world, config, "nummod") == {language["numeral_and_noun"] == "numeral-noun"}
        assert side(world, config, "acl:relcl") == {
            language["relative_clause_and_noun"] == "relative-noun"
        }
        order = language["order_of_subject_object_verb"]
        assert side(world, config, "obj") == {order.index("O") < order.index("V")}


def test_distance_is_the_share_of_parameters_that_differ_from_the_source(world):
    source, *others = table(world)
    for language in others:
        differing = sum(language[name] != source[name] for name in PARAMETERS)
        assert float(language["distance"]) == pytest.approx(differing / 12, abs=1e-4)


def test_languages_spread_from_near_to_far_with_two_at_each_distance(languages):
    counts = Counter(round(language.distance * 12) for language in languages[1:])
    assert counts == {2: 2, 4: 2, 6: 2, 8: 2}
    assert distance(languages[3].parameters, languages[3].parameters) == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_script_and_shared_words_do_not_stand_in_for_distance(seed):
    drawn = draw_languages(seed, 8)[1:]
    far = [language.distance for language in drawn]
    for covariate in (
        [float(language.script == "Latin") for language in drawn],
        [language.cognate_share for language in drawn],
        [language.shared_names for language in drawn],
    ):
        assert abs(spearmanr(far, covariate).statistic) < 1e-9
        assert len(set(covariate)) == 2
    assert {language.script for language in drawn} == set(SCRIPTS)
    assert max(language.shared_names for language in drawn) <= 0.2


def test_shared_words_are_as_many_as_stated(languages):
    source = languages[0]
    for language in languages[1:]:
        names = [name for name in language.famous if language.written[name] == source.words[name]]
        assert len(names) == round(40 * language.shared_names)


def test_words_are_spelled_in_the_script_of_the_language(languages):
    for language in languages:
        letters = set(SCRIPTS[language.script])
        own = [word for name, word in language.written.items() if name not in language.famous]
        assert all(set(word) <= letters for word in own)


# Labels


def test_similarity_runs_from_paraphrase_to_unrelated():
    base = replace(MEANING, verb="buy", negated=False, fronted=False)
    assert similarity(base, base) == 5
    assert similarity(base, replace(base, fronted=True)) == 5
    other_words = paraphrased(base, {"buy": "purchase", "boat": "ship"})
    assert other_words != base and similarity(base, other_words) == 5
    assert similarity(base, Event("sing", Entity("king"))) == 0
    denied = replace(base, negated=True)
    no_place = replace(base, place=None)
    assert 0 < similarity(base, denied) < similarity(base, no_place) < 5
    assert similarity(base, no_place) == similarity(no_place, base)


def test_whatever_is_said_in_other_words_is_a_paraphrase():
    generator = Generator(Random(3))
    for _ in range(2000):
        event = generator.event()
        assert similarity(event, paraphrased(event, synonyms(event))) == 5


def test_shared_words_alone_do_not_give_the_grade(languages):
    corpora = Corpora(1, languages[:1])
    from lib.world.datasets import similarity_rows

    graded = similarity_rows(corpora.families("test", 1200), 1200, languages[0])
    overlap = []
    for row in graded:
        one, other = (Counter(row[name].split()) for name in ("sentence1", "sentence2"))
        norm = sum(n * n for n in one.values()) * sum(n * n for n in other.values())
        overlap.append(sum(one[word] * other[word] for word in one) / norm**0.5)
    grades = [row["label"] for row in graded]
    assert pearsonr(overlap, grades).statistic < 0.85
    assert min(grades) == 0 and max(grades) == 5 and len(set(grades)) > 15


@pytest.fixture(scope="module")
def inferences(languages) -> list[tuple[str, str, str]]:
    corpora = Corpora(1, languages[:1])
    return [
        (realise(premise, languages[0]).text, realise(hypothesis, languages[0]).text, label)
        for premise, hypothesis, label in corpora.inferences("test", 3600, languages[:1])
    ]


@pytest.mark.parametrize(("side", "slack"), [("hypothesis", 0.03), ("premise", 0.06)])
def test_one_sentence_alone_does_not_tell_the_label(inferences, side, slack):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    texts = [row[1 if side == "hypothesis" else 0] for row in inferences]
    labels = [row[2] for row in inferences]
    assert Counter(labels) == dict.fromkeys(LABELS, 1200)
    grams = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
    model = LogisticRegression(max_iter=300).fit(grams.fit_transform(texts[:2400]), labels[:2400])
    assert abs(model.score(grams.transform(texts[2400:]), labels[2400:]) - 1 / 3) < slack


def test_what_is_not_done_at_a_time_says_nothing_of_whether_it_is_done():
    corpora = Corpora(1, draw_languages(1, 1)[:1])
    for premise, hypothesis, label in corpora.inferences("test", 3600, corpora.languages):
        of_the_same = meaning_of(premise.verb) == meaning_of(hypothesis.verb)
        if of_the_same and premise.negated and premise.adverb and not hypothesis.adverb:
            assert label == "neutral"


def test_words_on_both_sides_tell_more_where_negation_is_an_affix():
    """Show a limit of the pairs: what a reader of overlap alone would score, by language."""
    from sklearn.linear_model import LogisticRegression

    english = draw_languages(1, 1)[0]
    affix = replace(english, parameters={**english.parameters, "negation": "affix"})
    corpora = Corpora(1, [english])
    pairs = list(corpora.inferences("test", 3600, [english]))
    labels = [label for _, _, label in pairs]

    def counts(language: Language) -> list[list[int]]:
        made = [[realise(side, language).text.split() for side in pair[:2]] for pair in pairs]
        return [
            [len({*asked} - {*said}), len({*said} - {*asked}), len(said) - len(asked), len(asked),
             {*asked} <= {*said}] for said, asked in made
        ]  # fmt: skip

    model = LogisticRegression(max_iter=2000).fit(counts(english)[:2400], labels[:2400])
    scores = [model.score(counts(each)[2400:], labels[2400:]) for each in (english, affix)]
    assert scores == pytest.approx([0.67, 0.81], abs=0.02)


def test_every_kind_of_premise_is_as_frequent_with_each_label():
    corpora = Corpora(1, draw_languages(1, 1)[:1])
    kinds: dict[str, Counter] = {label: Counter() for label in LABELS}
    for premise, _, label in corpora.inferences("test", 3600, corpora.languages):
        kinds[label][premise.negated, premise.place is not None] += 1
    for kind in kinds["neutral"]:
        shares = [counter[kind] / counter.total() for counter in kinds.values()]
        assert max(shares) - min(shares) < 0.07


def test_length_does_not_tell_the_label(inferences):
    longer = {label: [] for label in LABELS}
    for premise, hypothesis, label in inferences:
        longer[label].append(len(premise.split()) - len(hypothesis.split()))
    means = [sum(values) / len(values) for values in longer.values()]
    assert max(means) - min(means) < 0.5


def test_answers_stand_where_they_are_said_to_and_other_sentences_share_their_words(world):
    contested = 0
    for path in ("rajpurkar/squad/plain_text/train", *(
        f"google/xtreme/XQuAD.{code}/validation" for code in ("en", "qaa", "qab", "qac")
    )):  # fmt: skip
        for row in rows(world, path):
            context, answer = row["context"], row["answers"]["text"][0]
            start = row["answers"]["answer_start"][0]
            assert answer and context[start : start + len(answer)] == answer
            assert start == 0 or context[start - 1] == " "
            asked = set(row["question"].split()) - {"?"}
            sentences = [set(part.split()) for part in context.split(" .") if part.strip()]
            assert 2 <= len(sentences) <= 3
            contested += sum(len(asked & words) >= 2 for words in sentences) > 1
    assert contested > 120


def test_the_source_is_ambiguous_but_mostly_told_by_the_words(world):
    train = rows(world, "google/xtreme/udpos.English/train")
    tags: dict[str, Counter] = {}
    for row in train:
        for token, tag in zip(row["tokens"], row["pos_tags"], strict=True):
            tags.setdefault(token, Counter())[UPOS_OF_XTREME[tag]] += 1
    total = sum(counter.total() for counter in tags.values())
    best = sum(max(counter.values()) for counter in tags.values())
    assert 0.9 < best / total < 0.985


# Cards


def test_a_tree_is_drawn_with_arrows_at_dependents():
    drawn = draw_tree(["the", "dog", "sleeps"], [2, 3, 0], ["det", "nsubj", "root"])
    assert drawn.splitlines() == ["the    ◄┐   det", "dog    ─┴◄┐ nsubj", "sleeps ───┘ root"]


def test_a_card_shows_grammar_gloss_tree_and_translation(languages):
    text = card(languages[8], languages[0], seed=1)
    assert "8 of 12 grammatical parameters differ" in text
    assert (
        "‘A child saw the dogs.’" in text and "‘The sailor does not buy three red lamps.’" in text
    )
    assert text.count("nsubj") >= 8 and text.count("**") == 2 * 8
