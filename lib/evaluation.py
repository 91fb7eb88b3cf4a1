"""Run a trained head over examples and score what it says.

`evaluate` is for one set of examples of any kind with a head; `prepare`, `run` and `score` are its
steps, for several sets in one pass; `embed` makes what retrieval reads.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

from lib import answers, feature_cache, features, scoring
from lib import encoder as encoders
from lib.batches import Batches, Feature, for_evaluation
from lib.corpora import Example
from lib.errors import InputError
from lib.heads import Head
from lib.scoring import Scores
from lib.tasks import Task

LONGEST_ANSWER = 30  # subword tokens, as in XTREME's code
Outputs = Iterator[tuple[Sequence[int], np.ndarray]]  # the indices of a batch, what a model returns


def evaluate(
    head: Head,
    task: Task,
    examples: Sequence[Example],
    tokenizer: Any,
    *,
    length: int,
    batch_tokens: int,
    pair: str = "cross",
    language: str = "en",
) -> tuple[Scores, list[Any]]:
    """Score a head on one language's examples; return the scores and one prediction per example.

    Raises InputError as `prepare` does.
    """
    made = prepare(task, examples, tokenizer, length, pair)
    (outputs,) = run(head, [made], tokenizer, batch_tokens)
    return score(task, examples, made, outputs, language)


def run(
    head: Head, sets: Sequence[list[Feature]], tokenizer: Any, batch_tokens: int
) -> list[list[Any]]:
    """Return one raw prediction per feature of every set, in order.

    All sets, those of all languages say, are read in one pass, sorted by length: little padding and
    no half-empty batch at the end of each.
    """
    together = [feature for made in sets for feature in made]
    collate = partial(head.collate, pad_id=tokenizer.pad_token_id)
    outputs: list[Any] = [None] * len(together)
    for indices, predictions in predict(head, for_evaluation(together, batch_tokens, collate)):
        for index, row in zip(indices, predictions, strict=True):
            outputs[index] = row
    ends = np.cumsum([len(made) for made in sets]).tolist()
    return [outputs[end - len(made) : end] for made, end in zip(sets, ends, strict=True)]


def score(
    task: Task,
    examples: Sequence[Example],
    made: list[Feature],
    outputs: list[Any],
    language: str = "en",
) -> tuple[Scores, list[Any]]:
    """Score what `run` returned for what `prepare` made of examples; as `evaluate`.

    `language` is the examples', for the rules of MLQA. An empty sentence gets no tag and no tree, a
    question of a blank context the answer "".
    """
    if task.kind == "tagging":
        tags = [["O"] * len(example["words"]) for example in examples]
        for feature, output in zip(made, outputs, strict=True):
            first = feature["first"]
            named = [task.labels[i] for i in output[: len(feature["starts"])]]
            tags[feature["example"]][first : first + len(named)] = named
        scores = scoring.score_tagging([example["tags"] for example in examples], tags)
        if task.reported == "accuracy":  # chunks of supertags mean nothing
            scores = Scores({"accuracy": scores.values["accuracy"]}, scores.per_example)
        return scores, tags
    if task.kind == "parsing":
        trees = _trees(examples, made, outputs)
        scores = scoring.score_parsing(
            [example["heads"] for example in examples],
            [example["relations"] for example in examples],
            [heads for heads, _ in trees],
            [relations for _, relations in trees],
        )
        return scores, trees
    if task.kind == "regression":
        low, high = task.label_range
        values = [low + (high - low) * float(output) for output in outputs]
        gold = [float(example["label"]) for example in examples]
        return scoring.score_regression(gold, values), values
    if task.kind in ("classification", "multiple_choice"):
        names = [task.labels[int(output)] for output in outputs]
        return scoring.score_classification([str(e["label"]) for e in examples], names), names
    _say_too_long(task, made, language)
    found, no_answer = _answers(examples, made, outputs)
    gold_answers = [example["answers"] for example in examples]
    if task.answer_rules == "squad_v2":
        said = ["" if margin > 0 else each for each, margin in zip(found, no_answer, strict=True)]
        return answers.score_answers_or_none(gold_answers, found, no_answer), said
    return answers.score_answers(gold_answers, found, language, rules=task.answer_rules), found


def _say_too_long(task: Task, made: list[Feature], language: str) -> None:
    """Say how many right answers are longer than any that is given: a small vocabulary has such."""
    asked = {feature["example"] for feature in made}
    long = [each for each in made if each["labels"][1] - each["labels"][0] >= LONGEST_ANSWER]
    if number := len({feature["example"] for feature in long}):
        print(f"{task.name}, {language}: {number:,} of {len(asked):,} answers are longer than "
              f"{LONGEST_ANSWER} subword tokens, the longest that is given")  # fmt: skip


def _check_answered(task: Task, examples: Sequence[Example]) -> None:
    for example in examples:
        if not example["answers"]:
            name = example.get("identifier", example["id"])
            raise InputError(f"{task.name}: question {name} has no answer, expected one at least")


def prepare(
    task: Task, examples: Sequence[Example], tokenizer: Any, length: int, pair: str = "cross"
) -> list[Feature]:
    """Make the features of examples that are to be evaluated.

    Raises InputError for a question without an answer where the task has an answer to each, and as
    `features.make` does: before a training, so that none is lost.
    """
    if task.kind == "span" and task.answer_rules != "squad_v2":
        _check_answered(task, examples)
    return feature_cache.make(task, examples, tokenizer, length, pair)


def predict(head: torch.nn.Module, batches: Batches) -> Outputs:
    """Yield the indices of each batch with the head's predictions as an array."""
    head.eval()
    device = next(head.parameters()).device
    yield from _read(batches, device, lambda batch: head(**batch)["predictions"].cpu().numpy())


def _read(
    batches: Batches, device: torch.device, model: Callable[[dict[str, torch.Tensor]], np.ndarray]
) -> Outputs:
    """Yield what a model returns of each batch; a batch too large for the memory is halved.

    Raises InputError where the memory does not hold a single example.
    """
    waiting = deque(batches.plan)
    while waiting:
        indices = waiting.popleft()
        batch = batches.collate([batches.features[i] for i in indices])
        try:
            with torch.inference_mode():
                found = model({key: value.to(device) for key, value in batch.items()})
        except RuntimeError as error:
            if not encoders.is_out_of_memory(error):
                raise
            found, cause = None, str(error).partition("\n")[0]
        if found is not None:
            yield indices, found
            continue
        if len(indices) == 1:
            raise InputError(f"out of memory on one example ({cause}): lower max_sequence_length")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(f"out of memory on {len(indices)} examples: they are read in two halves", flush=True)
        middle = len(indices) // 2
        waiting.extendleft([indices[middle:], indices[:middle]])


def _trees(examples: Sequence[Example], made: list[Feature], outputs: list[Any]) -> list[Any]:
    """Read heads and relations; the root of a later piece of a long sentence hangs on the first's.

    Returns (heads, relations) per example, heads 1-based, 0 for the root.
    """
    trees = [([0] * len(e["words"]), ["dep"] * len(e["words"])) for e in examples]
    for feature, output in zip(made, outputs, strict=True):
        heads, relations = trees[feature["example"]]
        first = feature["first"]
        for i in range(len(feature["starts"])):
            head, relation = int(output[i][0]), features.RELATIONS[int(output[i][1])]
            heads[first + i] = head + first if head else 0
            relations[first + i] = relation
            if head == 0 and first > 0:
                heads[first + i] = heads[:first].index(0) + 1 if 0 in heads[:first] else first
    return trees


def _answers(
    examples: Sequence[Example], made: list[Feature], outputs: list[Any]
) -> tuple[list[str], list[float]]:
    """Read the best span over all windows of a context, and by how much no answer is better.

    No answer scores what the start token scores in the window where it scores least (Devlin et al.
    2019, arXiv 1810.04805, section 4.3, as in their code).
    """
    best = [(-np.inf, "")] * len(examples)
    none = [np.inf] * len(examples)
    for feature, output in zip(made, outputs, strict=True):
        begins, ends = feature["begins"], feature["ends"]
        inside = np.array(begins) >= 0
        of_start, of_end = np.where(inside, output[: len(begins)].T, -np.inf)
        # Row i, column j: from token i to j tokens on.
        padded = np.pad(of_end, (0, LONGEST_ANSWER - 1), constant_values=-np.inf)
        totals = of_start[:, None] + sliding_window_view(padded, LONGEST_ANSWER)
        first, further = divmod(int(np.argmax(totals)), LONGEST_ANSWER)
        example = feature["example"]
        none[example] = min(none[example], float(output[0].sum()))
        if totals[first, further] > best[example][0]:
            text = examples[example]["context"][begins[first] : ends[first + further]]
            best[example] = (float(totals[first, further]), text.strip())
    margins = [empty - total for (total, _), empty in zip(best, none, strict=True)]
    return [text for _, text in best], margins


def embed(
    encoder: Any,
    texts: Sequence[str],
    tokenizer: Any,
    *,
    batch_tokens: int,
    pooling: str = "mean",
    file: Path | None = None,
) -> np.ndarray:
    """Pool the hidden states of every layer: [layers + 1, sentences, width], float32.

    Layer 0 is the embeddings. Only pooled vectors are kept, never hidden states; in half precision
    in `file` where one is named: a side of BUCC has 400,000 sentences, 20 GB from XLM-R large.
    """
    made = features.sentences(texts, tokenizer, encoders.MAXIMUM_LENGTH)
    collate = partial(Head.collate, pad_id=tokenizer.pad_token_id)
    batches = for_evaluation(made, batch_tokens, collate)
    device = next(encoder.parameters()).device
    encoder.eval()
    layers = encoder.config.num_hidden_layers + 1
    shape = (layers, len(texts), encoder.config.hidden_size)
    if file is None:
        vectors: np.ndarray = np.zeros(shape, dtype=np.float32)
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        vectors = np.lib.format.open_memmap(file, mode="w+", dtype=np.float16, shape=shape)

    def pooled(batch: dict[str, torch.Tensor]) -> np.ndarray:
        states = encoders.read(encoder, **batch, every_layer=True)
        mask = batch["attention_mask"]
        means = [encoders.pool(each.float(), mask, pooling) for each in states]
        return torch.stack(means).cpu().numpy()

    for indices, of_batch in _read(batches, device, pooled):
        vectors[:, indices] = of_batch
    return vectors
