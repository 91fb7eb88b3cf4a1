"""Turn further corpora of the source language into the rows of the hub's intermediate tasks.

Each is written where its size is not 0 (`settings.Settings`).
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from random import Random

from lib.world import choices, inference, questions
from lib.world.categories import write_ccgbank
from lib.world.choices import Choice
from lib.world.corpora import Corpora
from lib.world.datasets import Row, question_rows
from lib.world.grammar import realise
from lib.world.layout import NLI_LABELS, Repository
from lib.world.meaning import Event, Generator, T
from lib.world.settings import Settings
from lib.world.similarity import similarity


def write_intermediate(
    folder: Path, glue: Repository, corpora: Corpora, settings: Settings
) -> None:
    """Write every intermediate task that the settings ask for, in the source language."""
    evaluation = settings.intermediate_evaluation
    if settings.sick_train:
        write_sick(folder, corpora, settings.sick_train, evaluation)
    if settings.qqp_train:
        write_qqp(glue, corpora, settings.qqp_train, evaluation)
    if settings.paws_train:
        write_paws(folder, corpora, settings.paws_train, evaluation)
    if settings.anli_train:
        write_anli(folder, corpora, settings.anli_train, evaluation)
    if settings.snli_train:
        write_snli(folder, corpora, settings.snli_train, evaluation)
    if settings.squad_v2_train:
        write_squad_v2(folder, corpora, settings.squad_v2_train, evaluation)
    if settings.hellaswag_train:
        write_hellaswag(folder, corpora, settings.hellaswag_train, evaluation)
    if settings.cosmosqa_train:
        write_cosmosqa(folder, corpora, settings.cosmosqa_train, evaluation)
    if settings.commonsenseqa_train:
        write_commonsenseqa(folder, corpora, settings.commonsenseqa_train, evaluation)
    if settings.ccg_train:
        write_ccgbank(folder, corpora, settings.ccg_train, evaluation)


def write_sick(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write SICK: relatedness from 1 to 5, `similarity` on that scale, beside the entailment."""
    repository = Repository(folder, "sick")
    for split, count in (("train", train), ("validation", evaluation), ("test", evaluation)):
        drawn = corpora.items(
            f"sick/{split}", count, [corpora.source], inference.related_pairs, lambda pair: pair[:2]
        )
        rows: list[Row] = [
            {
                "id": f"{split}-{index}",
                "sentence_A": realise(premise, corpora.source).text,
                "sentence_B": realise(hypothesis, corpora.source).text,
                "relatedness_score": round(1 + 0.8 * similarity(premise, hypothesis), 1),
                "entailment": label.upper(),
            }
            for index, (premise, hypothesis, label) in enumerate(shuffled(drawn, corpora, split))
        ]
        repository.write("default", split, "sick", rows)
    repository.close("Graded relatedness and entailment in the source language.")


def write_qqp(glue: Repository, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write QQP: two questions that ask the same, or do not."""

    def draw(generator: Generator) -> Sequence[tuple[Event, Event, bool]]:
        pairs = inference.question_pairs(generator)
        said = {realise(q, corpora.source).text for one, other, _ in pairs for q in (one, other)}
        return pairs if len(said) == 4 else []

    for split, count in (("train", train), ("validation", evaluation)):
        drawn = corpora.items(
            f"qqp/{split}", count, [corpora.source], draw, lambda pair: pair[:2]
        )  # fmt: skip
        rows: list[Row] = [
            {
                "question1": realise(one, corpora.source).text,
                "question2": realise(other, corpora.source).text,
                "label": int(same),
                "idx": index,
            }
            for index, (one, other, same) in enumerate(shuffled(drawn, corpora, split))
        ]
        glue.write("qqp", split, "qqp", rows)


def write_paws(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write PAWS, drawn as PAWS-X is, from sentences of its own."""
    repository = Repository(folder, "google-research-datasets/paws")
    for split, count in (("train", train), ("test", evaluation), ("validation", evaluation)):
        drawn = corpora.paraphrases(f"paws/{split}", count, [corpora.source])
        rows: list[Row] = [
            {
                "id": index + 1,
                "sentence1": realise(one, corpora.source).text,
                "sentence2": realise(other, corpora.source).text,
                "label": int(same),
            }
            for index, (one, other, same) in enumerate(drawn)
        ]
        repository.write("labeled_final", split, "paws", rows)
    repository.close("Paraphrases and near misses in the source language.")


def write_anli(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write ANLI: in round r, r other sentences stand around the one that decides."""
    repository = Repository(folder, "facebook/anli")
    for part, count in (("train", train), ("dev", evaluation), ("test", evaluation)):
        for number in (1, 2, 3):
            split = f"{part}_r{number}"
            drawn = corpora.items(
                f"anli/{split}", count, [corpora.source],
                lambda generator, number=number: (  # type: ignore[misc]
                    inference.told_triple(generator, number)
                ),
                lambda item: (*item[0], item[1]),
            )  # fmt: skip
            rows: list[Row] = [
                {
                    "uid": f"{split}-{index}",
                    "premise": " ".join(realise(event, corpora.source).text for event in told),
                    "hypothesis": realise(hypothesis, corpora.source).text,
                    "label": NLI_LABELS.index(label),
                    "reason": "",
                }
                for index, (told, hypothesis, label) in enumerate(shuffled(drawn, corpora, split))
            ]
            repository.write("plain_text", split, "anli", rows)
    repository.close("Inference from several sentences in the source language.")


def write_snli(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write SNLI, drawn as MNLI is, from sentences of its own."""
    repository = Repository(folder, "stanfordnlp/snli")
    for split, count in (("test", evaluation), ("validation", evaluation), ("train", train)):
        drawn = corpora.inferences(f"snli/{split}", count, [corpora.source])
        rows: list[Row] = [
            {
                "premise": realise(premise, corpora.source).text,
                "hypothesis": realise(hypothesis, corpora.source).text,
                "label": NLI_LABELS.index(label),
            }
            for premise, hypothesis, label in shuffled(drawn, corpora, split)
        ]
        repository.write("plain_text", split, "snli", rows)
    repository.close("Natural language inference in the source language.")


def write_squad_v2(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write SQuAD 2.0: a third of the questions have no answer in training, half in validation."""
    repository = Repository(folder, "rajpurkar/squad_v2")
    for split, count, answerable in (("train", train, 2), ("validation", evaluation, 1)):

        def draw(generator: Generator, answerable: int = answerable) -> list[questions.Story]:
            answered = [questions.story(generator) for _ in range(answerable)]
            return [*answered, questions.unanswerable(generator)]

        tales = corpora.items(
            f"squad_v2/{split}", count, [corpora.source], draw,
            lambda tale: (*tale.events, tale.question),
        )  # fmt: skip
        rows = question_rows(shuffled(tales, corpora, split), corpora.source, split)
        repository.write("squad_v2", split, "squad", rows)
    repository.close("Questions with an answer or without one in the source language.")


def write_hellaswag(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write HellaSwag: which of four sentences goes on with the story."""
    repository = Repository(folder, "Rowan/hellaswag")

    def row(index: int, split: str, item: Choice) -> Row:
        context, _, options = item.say(corpora.source)
        return {
            "ind": index, "activity_label": "World", "ctx_a": context, "ctx_b": "", "ctx": context,
            "endings": options, "source_id": f"world~{split}-{index}",
            "split": "train" if split == "train" else "val", "split_type": "indomain",
            "label": str(item.answer),
        }  # fmt: skip

    for split, count in (("train", train), ("validation", evaluation)):
        rows = choice_rows(corpora, f"hellaswag/{split}", count, choices.endings, row)
        repository.write("default", split, "hellaswag", rows)
    repository.close("How a story goes on, four choices, in the source language.")


def write_cosmosqa(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write CosmosQA: who will do what the story does not yet say."""
    repository = Repository(folder, "allenai/cosmos_qa")

    def row(index: int, split: str, item: Choice) -> Row:
        context, question, options = item.say(corpora.source)
        return {
            "id": f"{split}-{index}",
            "context": context,
            "question": question,
            **{f"answer{place}": option for place, option in enumerate(options)},
            "label": item.answer,
        }

    for split, count in (("train", train), ("validation", evaluation)):
        rows = choice_rows(corpora, f"cosmosqa/{split}", count, choices.culprits, row)
        repository.write("default", split, "cosmos_qa", rows)
    repository.close("What a story leads to, four choices, in the source language.")


def write_commonsenseqa(folder: Path, corpora: Corpora, train: int, evaluation: int) -> None:
    """Write CommonsenseQA: which of five nouns goes with the verb or adjective asked about."""
    repository = Repository(folder, "tau/commonsense_qa")

    def row(index: int, split: str, item: Choice) -> Row:
        _, question, options = item.say(corpora.source)
        assert item.question is not None
        told: Mapping[str, list[str]] = {"label": list("ABCDE"), "text": options}
        return {
            "id": f"{split}-{index}",
            "question": question,
            "question_concept": corpora.source.written[item.question.quality or item.question.verb],
            "choices": told,
            "answerKey": "ABCDE"[item.answer],
        }

    for split, count in (("train", train), ("validation", evaluation)):
        rows = choice_rows(corpora, f"commonsenseqa/{split}", count, choices.common_sense, row)
        repository.write("default", split, "commonsense_qa", rows)
    repository.close("What words go together, five choices, in the source language.")


def choice_rows(
    corpora: Corpora,
    corpus: str,
    count: int,
    draw: Callable[[Generator], list[Choice]],
    row: Callable[[int, str, Choice], Row],
) -> list[Row]:
    """Draw items of multiple choice and give them in the columns that `row` fills."""

    def distinct(generator: Generator) -> list[Choice]:
        """Refuse options that two words of one form make the same."""
        group = draw(generator)
        said = [item.say(corpora.source)[2] for item in group]
        return group if all(len(set(options)) == len(options) for options in said) else []

    drawn = corpora.items(corpus, count, [corpora.source], distinct, Choice.sentences)
    split = corpus.partition("/")[2]
    return [row(i, split, item) for i, item in enumerate(shuffled(drawn, corpora, corpus))]


def shuffled(items: Sequence[T], corpora: Corpora, name: str) -> list[T]:
    """Put items that were drawn in groups into an order that tells nothing of their labels."""
    return Random(f"{corpora.seed}/shuffle/intermediate/{name}").sample(items, len(items))
