"""Know how large data and encoders are without reading either.

`data/sizes.csv` holds, with their source, the examples of each split and the mean number of subword
tokens of one as a model reads it: special tokens, all choices and all windows included.
"""

import csv
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from lib import paths, profile, tasks
from lib.profile import Profile
from lib.tasks import Source, Task

# What a world's settings call its corpora: training, evaluation (or development) examples.
_WORLD = {
    "ud_parsing": ("parsing_train", "parsing_evaluation"),
    "stsb": ("similarity_train", "similarity_evaluation"),
    "udpos": ("tagging_train", "tagging_evaluation"),
    "panx": ("ner_train", "ner_evaluation"),
    **dict.fromkeys(("mnli", "xnli"), ("nli_train", "nli_evaluation")),
    "pawsx": ("paraphrase_train", "paraphrase_evaluation"),
    **dict.fromkeys(("squad", "xquad"), ("qa_train", "qa_evaluation")),
    "mlqa": ("qa_train", "mlqa_evaluation"),
    "tydiqa": ("tydiqa_train", "tydiqa_evaluation"),
    "tatoeba": ("", "retrieval_pairs"),
    "bucc": ("", "bucc_pairs"),
    "cosmos_qa": ("cosmosqa_train", "intermediate_evaluation"),
    "commonsense_qa": ("commonsenseqa_train", "intermediate_evaluation"),
}


@dataclass(frozen=True)
class Size:
    """Say how many examples a split has, and how many subword tokens one has on average."""

    examples: int = 0
    tokens: float = 0.0

    def limited(self, examples: int) -> "Size":
        """Return the size of at most so many examples (0: all)."""
        return Size(min(self.examples, examples or self.examples), self.tokens)


@dataclass(frozen=True)
class Shape:
    """Hold the sizes of an encoder of XLM-R's architecture."""

    layers: int
    width: int
    feed_forward: int
    vocabulary: int
    positions: int = 514

    @property
    def layer_parameters(self) -> int:
        """Count the parameters of all layers: N, without embeddings, of Kaplan et al. 2020.

        (arXiv 2001.08361, equation 2.1), biases and normalisations included.
        """
        width, inner = self.width, self.feed_forward
        attention = 4 * (width * width + width)
        feed_forward = 2 * width * inner + inner + width
        return self.layers * (attention + feed_forward + 4 * width)

    @property
    def parameters(self) -> int:
        """Count the parameters of the encoder: embeddings and layers, no head and no pooler."""
        embeddings = (self.vocabulary + self.positions + 1) * self.width + 2 * self.width
        return embeddings + self.layer_parameters

    @property
    def output_parameters(self) -> int:
        """Count the weights that the MLM head multiplies by, the tied embeddings among them."""
        return self.width * self.width + self.vocabulary * self.width


# Conneau et al. 2020 (arXiv 1911.02116), section 3.1, and `config.json` of each at the hub: 250,002
# pieces, 512 positions after two that are never used.
XLM_R = {
    "xlm-roberta-base": Shape(12, 768, 3072, 250_002),
    "xlm-roberta-large": Shape(24, 1024, 4096, 250_002),
}


def shape_of(settings: Profile) -> Shape | None:
    """Return the sizes of a profile's encoder; None for one that only the hub knows."""
    encoder = settings.encoder
    if not encoder.path:
        return Shape(
            encoder.layers, encoder.hidden_size, encoder.feed_forward_size,
            encoder.vocabulary_size,
        )  # fmt: skip
    file = Path(profile.encoder_path(settings)) / "config.json"
    if not file.is_file():
        return XLM_R.get(encoder.path.removeprefix("FacebookAI/"))
    found = json.loads(file.read_text(encoding="utf-8"))
    keys = ("num_hidden_layers", "hidden_size", "intermediate_size", "vocab_size",
            "max_position_embeddings")  # fmt: skip
    return Shape(*(found[key] for key in keys)) if all(key in found for key in keys) else None


def of_training(settings: Profile, name: str) -> Size:
    """Return the size of a task's own training set; a row that is in no table is like its kind."""
    task = tasks.get(name)
    if settings.world is not None:
        return Size(_of_world(settings, task, 0), _tokens_of_world(task))
    known = _table().get((name, "training", "en"))
    return Size(task.published_size, known.tokens if known else _tokens_of_world(task))


def of_target_training(settings: Profile, name: str) -> Size:
    """Return the size of what a profile trains a target on.

    That of its own training set where it names no other, or one whose size is in no table.
    """
    found = [of_source(settings, tasks.training(each)) for each in settings.targets[name].train]
    if not found or not all(size.examples for size in found):
        return of_training(settings, name)
    examples = sum(size.examples for size in found)
    tokens = sum(size.examples * size.tokens for size in found)
    return Size(examples, tokens / examples)


def of_source(settings: Profile, source: Source) -> Size:
    """Return the size of a task's whole training set or development split, of others nothing."""
    for task in tasks.TASKS.values():
        if [tasks.training(each) for each in task.train] == [source]:
            return of_training(settings, task.name)
        if task.validation == source:
            return of_development(settings, task.name)
    return Size()


def of_development(settings: Profile, name: str) -> Size:
    """Return the size of a task's English development split; of a retrieval task nothing."""
    task = tasks.get(name)
    if task.validation is None or task.kind == "retrieval":
        return Size()
    if settings.world is not None:
        return Size(_of_world(settings, task, 1), _tokens_of_world(task))
    return _table().get((name, "development", "en"), Size())


def of_evaluation(settings: Profile, name: str, language: str) -> Size:
    """Return the size of a target's evaluation split in a language, nothing where it has none.

    XTREME's test splits; a validation split may be smaller. Retrieval counts both sides.
    """
    task = tasks.get(name)
    if task.kind == "retrieval" and language == settings.source_language:
        return Size()
    if settings.world is not None:
        return Size(_of_world(settings, task, 1), _tokens_of_world(task))
    return _table().get((name, "evaluation", language), Size())


@lru_cache
def _table() -> dict[tuple[str, str, str], Size]:
    with paths.SIZES.open(encoding="utf-8", newline="") as file:
        return {
            (row["task"], row["role"], row["language"]): Size(
                int(row["examples"] or 0), float(row["tokens"])
            )
            for row in csv.DictReader(file)
        }


def _of_world(settings: Profile, task: Task, place: int) -> int:
    from lib.world import Settings

    world = Settings(**(settings.world or {}))  # type: ignore[arg-type]
    names = _WORLD.get(task.name, (f"{task.name}_train", "intermediate_evaluation"))
    count: int = getattr(world, names[place], 0)
    if task.name == "anli" and not place:
        return 3 * count + world.nli_train + world.snli_train
    if task.name == "bucc":  # both sides, distractors included: half as many again on ours
        return 2 * count + round(2.5 * world.bucc_distractors)
    return count


def _tokens_of_world(task: Task) -> float:
    return _table()[task.kind, "world", ""].tokens
