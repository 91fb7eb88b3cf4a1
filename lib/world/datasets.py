"""Turn the corpora into the rows of the hub's datasets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from lib.world.corpora import Corpora
from lib.world.grammar import realise
from lib.world.language import Language
from lib.world.layout import ENTITY_TAGS, NLI_LABELS, UPOS_OF_TREEBANKS, UPOS_OF_XTREME, Repository
from lib.world.meaning import Event
from lib.world.questions import Story, tell
from lib.world.settings import Settings
from lib.world.similarity import similarity

Row = dict[str, object]


def write_treebanks(folder: Path, glue: Repository, corpora: Corpora, settings: Settings) -> None:
    """Write UD parsing, and graded similarity over the very sentences of its source splits."""
    treebanks = Repository(folder, "commul/universal_dependencies")
    sizes = {
        "train": (settings.parsing_train, settings.similarity_train),
        "validation": (settings.parsing_evaluation, settings.similarity_evaluation),
    }
    for split, (sentences, pairs) in sizes.items():
        families = corpora.families(f"treebank/{split}", sentences)
        members = [member for family in families for member in family]
        Random(f"{corpora.seed}/shuffle/{split}").shuffle(members)
        rows = [treebank_row(i, meaning, corpora.source) for i, meaning in enumerate(members)]
        treebanks.write("en_ewt", split, "treebank", rows)
        glue.write("stsb", split, "stsb", similarity_rows(families, pairs, corpora.source))
    test = corpora.sentences("treebank/test", settings.parsing_evaluation, corpora.languages)
    for language in corpora.languages:
        config = "en_ewt" if language is corpora.source else f"{language.code}_world"
        rows = [treebank_row(i, meaning, language) for i, meaning in enumerate(test)]
        treebanks.write(config, "test", "treebank", rows)
    treebanks.close("Gold dependency trees of the world's languages, in Universal Dependencies.")


def treebank_row(index: int, meaning: Event, language: Language) -> Row:
    """Give the CoNLL-U columns of a sentence."""
    sentence = realise(meaning, language)
    size = len(sentence.tokens)
    heads = [str(head) for head in sentence.heads]
    return {
        "idx": str(index),
        "text": sentence.text,
        "tokens": list(sentence.tokens),
        "lemmas": [node.lemma for node in sentence.nodes],
        "upos": [UPOS_OF_TREEBANKS.index(tag) for tag in sentence.upos],
        "xpos": ["_"] * size,
        "feats": [node.features for node in sentence.nodes],
        "head": heads,
        "deprel": sentence.relations,
        "deps": [f"{head}:{name}" for head, name in zip(heads, sentence.relations, strict=True)],
        "misc": ["_"] * size,
    }


def similarity_rows(
    families: Sequence[tuple[Event, ...]], pairs: int, source: Language
) -> list[Row]:
    """Pair the members of families, and of neighbouring families, until there are enough.

    The first two rounds use every sentence.
    """
    rounds = [((0, 0), (0, 1)), ((0, 2), (1, 3)), ((0, 0), (0, 2)), ((0, 3), (0, 1)),
              ((0, 2), (0, 3)), ((0, 0), (1, 1)), ((0, 1), (0, 2)), ((0, 0), (0, 3))]  # fmt: skip
    rows: list[Row] = []
    for (shift, first), (other_shift, second) in rounds:
        for index in range(len(families)):
            if len(rows) == pairs:
                return rows
            one = families[(index + shift) % len(families)][first]
            other = families[(index + other_shift) % len(families)][second]
            texts = [realise(meaning, source).text for meaning in (one, other)]
            rows.append(
                {
                    "sentence1": texts[0],
                    "sentence2": texts[1],
                    "label": similarity(one, other),
                    "idx": len(rows),
                }
            )
    return rows


def write_tagging(xtreme: Repository, corpora: Corpora, settings: Settings) -> None:
    """Write udpos and PAN-X: train and validation in the source, test in every language."""
    source = [corpora.source]
    for task, kind, train, evaluation in (
        ("udpos", "udpos", settings.tagging_train, settings.tagging_evaluation),
        ("PAN-X", "panx", settings.ner_train, settings.ner_evaluation),
    ):
        plan = (
            ("train", train, source),
            ("validation", evaluation, source if task == "udpos" else corpora.languages),
            ("test", evaluation, corpora.languages),
        )
        for split, count, languages in plan:
            named = Random(f"{corpora.seed}/{task}/{split}")
            meanings = corpora.sentences(
                f"{task}/{split}", count, languages,
                # Entity recognition is about sentences with names, for the most part.
                lambda s, named=named, task=task: (  # type: ignore[misc]
                    task == "udpos" or set(s.entity_tags) != {"O"} or named.random() < 0.15
                ),
            )  # fmt: skip
            for language in languages:
                name = language.name if task == "udpos" else language.code
                rows = [tagging_row(meaning, language, kind) for meaning in meanings]
                xtreme.write(f"{task}.{name}", split, kind, rows)


def tagging_row(meaning: Event, language: Language, kind: str) -> Row:
    """Give a sentence's words with their tags or entities."""
    sentence = realise(meaning, language)
    tokens = list(sentence.tokens)
    if kind == "udpos":
        return {"tokens": tokens, "pos_tags": [UPOS_OF_XTREME.index(tag) for tag in sentence.upos]}
    tags = [ENTITY_TAGS.index(tag) for tag in sentence.entity_tags]
    return {"tokens": tokens, "ner_tags": tags, "langs": [language.code] * len(tokens)}


def write_inference(folder: Path, xtreme: Repository, corpora: Corpora, settings: Settings) -> None:
    """Write MNLI in the source, XNLI (all languages in one config) for evaluation.

    Where the settings ask for it, MNLI's training set is in every language in `facebook/xnli`.
    """
    mnli, translated = Repository(folder, "nyu-mll/multi_nli"), Repository(folder, "facebook/xnli")
    for split, count in (
        ("train", settings.nli_train),
        ("validation_matched", settings.nli_evaluation),
    ):
        drawn = corpora.inferences(f"multi_nli/{split}", count, [corpora.source])
        Random(f"{corpora.seed}/shuffle/multi_nli/{split}").shuffle(drawn)
        rows: list[Row] = [
            {
                "promptID": index,
                "pairID": f"{index}{label[0]}",
                "premise": realise(premise, corpora.source).text,
                "hypothesis": realise(hypothesis, corpora.source).text,
                "genre": "world",
                "label": NLI_LABELS.index(label),
            }
            for index, (premise, hypothesis, label) in enumerate(drawn)
        ]
        mnli.write("default", split, "multi_nli", rows)
        for language in corpora.languages if settings.xnli_translated and split == "train" else ():
            rows = [
                {
                    "premise": realise(premise, language).text,
                    "hypothesis": realise(hypothesis, language).text,
                    "label": NLI_LABELS.index(label),
                }
                for premise, hypothesis, label in drawn
            ]
            translated.write(language.code, split, "snli", rows)
    mnli.close("Natural language inference in the source language.")
    if settings.xnli_translated:
        translated.close("The training set of MNLI in every language.")
    for split in ("validation", "test"):
        drawn = corpora.inferences(f"XNLI/{split}", settings.nli_evaluation, corpora.languages)
        rows = [
            {
                "language": language.code,
                "sentence1": realise(premise, language).text,
                "sentence2": realise(hypothesis, language).text,
                "gold_label": label,
            }
            for language in corpora.languages
            for premise, hypothesis, label in drawn
        ]
        xtreme.write("XNLI", split, "xnli", rows)


def write_paraphrases(xtreme: Repository, corpora: Corpora, settings: Settings) -> None:
    """Write PAWS-X: train in the source, validation and test in every language."""
    for split, count, languages in (
        ("train", settings.paraphrase_train, [corpora.source]),
        ("validation", settings.paraphrase_evaluation, corpora.languages),
        ("test", settings.paraphrase_evaluation, corpora.languages),
    ):
        drawn = corpora.paraphrases(f"PAWS-X/{split}", count, languages)
        for language in languages:
            rows: list[Row] = [
                {
                    "sentence1": realise(one, language).text,
                    "sentence2": realise(other, language).text,
                    "label": str(int(same)),
                }
                for one, other, same in drawn
            ]
            xtreme.write(f"PAWS-X.{language.code}", split, "pawsx", rows)


def write_questions(folder: Path, xtreme: Repository, corpora: Corpora, settings: Settings) -> None:
    """Write SQuAD in the source, XQuAD in every language for evaluation."""
    squad = Repository(folder, "rajpurkar/squad")
    for split, count in (("train", settings.qa_train), ("validation", settings.qa_evaluation)):
        tales = corpora.stories(f"squad/{split}", count, [corpora.source])
        squad.write("plain_text", split, "squad", question_rows(tales, corpora.source, split))
    squad.close("Extractive question answering in the source language.")
    tales = corpora.stories("XQuAD/validation", settings.qa_evaluation, corpora.languages)
    for language in corpora.languages:
        rows = question_rows(tales, language, "xquad")
        xtreme.write(f"XQuAD.{language.code}", "validation", "squad", rows)


def write_further_questions(xtreme: Repository, corpora: Corpora, settings: Settings) -> None:
    """Write MLQA and TyDiQA-GoldP where the settings ask for them.

    MLQA asks the same in every language; TyDiQA's languages have each their own stories, in one
    config, told apart by the id's prefix.
    """
    if settings.mlqa_evaluation:
        for split in ("test", "validation"):
            tales = corpora.stories(f"MLQA/{split}", settings.mlqa_evaluation, corpora.languages)
            for language in corpora.languages:
                rows = question_rows(tales, language, f"mlqa-{split}")
                xtreme.write(f"MLQA.{language.code}.{language.code}", split, "squad", rows)
    if settings.tydiqa_train:
        for split, count, languages in (
            ("train", settings.tydiqa_train, corpora.languages[:1]),
            ("validation", settings.tydiqa_evaluation, corpora.languages),
        ):
            rows = []
            for language in languages:
                tales = corpora.stories(f"tydiqa/{split}/{language.code}", count, [language])
                rows += question_rows(tales, language, f"{language.name.lower()}-{split}")
            xtreme.write("tydiqa", split, "squad", rows)


def question_rows(tales: Sequence[Story], language: Language, name: str) -> list[Row]:
    """Give stories in SQuAD's columns; a story's id is the same in every language."""
    rows: list[Row] = []
    for index, tale in enumerate(tales):
        context, question, answer, start = tell(tale, language)
        answers: Mapping[str, list[object]] = {"text": [answer], "answer_start": [start]}
        if not answer:
            answers = {"text": [], "answer_start": []}
        rows.append(
            {
                "id": f"{name}-{index}",
                "title": f"story_{index}",
                "context": context,
                "question": question,
                "answers": answers,
            }
        )
    return rows


def write_retrieval(xtreme: Repository, corpora: Corpora, settings: Settings) -> None:
    """Write tatoeba: translations of the same meanings into every other language."""
    meanings = corpora.sentences("tatoeba", settings.retrieval_pairs, corpora.languages)
    for language in corpora.languages[1:]:
        rows: list[Row] = [
            {
                "source_sentence": realise(meaning, language).text,
                "target_sentence": realise(meaning, corpora.source).text,
                "source_lang": language.iso3,
                "target_lang": corpora.source.iso3,
            }
            for meaning in meanings
        ]
        xtreme.write(f"tatoeba.{language.iso3}", "validation", "tatoeba", rows)


def write_text(folder: Path, corpora: Corpora, settings: Settings) -> None:
    """Write unlabelled text: the same meanings in every language, each in an order of its own.

    Of the other languages' lines, a share is a source sentence followed by its translation, and a
    share mixes words of the source into each sentence, as web text does with English (Blevins &
    Zettlemoyer 2022).
    """
    repository = Repository(folder, "multilingual-text")
    for split, count in (
        ("train", settings.text_sentences),
        ("validation", settings.text_validation),
    ):
        drawn = corpora.lines(f"text/{split}", count, settings.story_share)
        for language in corpora.languages:
            random = Random(f"{corpora.seed}/text/{split}/{language.code}")
            rows: list[Row] = []
            for line in random.sample(drawn, len(drawn)):
                place = 1.0 if language is corpora.source else random.random()
                text, origin = line.say(language), "story" if line.story else "sentence"
                if place < settings.parallel_share:
                    text, origin = f"{line.say(corpora.source)} {text}", "parallel"
                elif place < settings.parallel_share + settings.mixed_share:
                    text, origin = line.mix(language, corpora.source, random), "mixed"
                rows.append({"text": text, "source": origin})
            repository.write(language.code, split, "text", rows)
    repository.close("Running text of the world's languages for masked language modelling.")
