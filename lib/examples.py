"""Look into examples: the text they hold, their labels, what was predicted for them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from lib import tasks
from lib.corpora import Example
from lib.results import Run

SAMPLES = 12


def permute_tree(example: Example, rng: np.random.Generator) -> Example:
    """Move a tree's nodes to random words of its sentence: the same tree shape, no syntax."""
    number = len(example["words"])
    place = rng.permutation(number)
    heads, relations = [0] * number, [""] * number
    for old, new in enumerate(place):
        head = example["heads"][old]
        heads[new] = int(place[head - 1]) + 1 if head else 0
        relations[new] = example["relations"][old]
    return example | {"heads": heads, "relations": relations}


def text_of(examples: Sequence[Example]) -> list[str]:
    """Return the text of examples of any kind: all that the task's own model reads."""
    if "words" in examples[0]:
        return [" ".join(example["words"]) for example in examples]
    sides = [key for key in ("sentence1", "sentence2", "context", "question") if key in examples[0]]
    return [
        text
        for example in examples
        for text in [*(example[side] for side in sides), *example.get("choices", [])]
    ]


def number_of_labels(examples: Sequence[Example]) -> int:
    """Count the labels that a pass over the examples gives: words, or one each."""
    return sum(len(example["words"]) if "words" in example else 1 for example in examples)


def samples(
    task: str, examples: Sequence[Example], predictions: Sequence[Any]
) -> list[dict[str, Any]]:
    """Keep a few examples beside their predictions, for a person to look at."""
    chosen = range(0, len(examples), max(1, len(examples) // SAMPLES))
    kept = list(chosen)[:SAMPLES]
    return [{**examples[i], "task": task, "predicted": predictions[i]} for i in kept]


def look_at(run: Run) -> pd.DataFrame:
    """Return a run's samples as a table of what is read, right and predicted; trees have none."""
    rows = []
    for sample in run.samples:
        predicted = sample["predicted"]
        if "heads" in sample:
            continue
        if "tags" in sample:
            lines = zip(sample["words"], sample["tags"], predicted, strict=True)
            rows += [dict(zip(("word", "gold", "predicted"), line, strict=True)) for line in lines]
        elif "answers" in sample:
            gold = " | ".join(dict.fromkeys(sample["answers"])) or "(no answer)"
            rows += [{"question": sample["question"], "gold": gold, "predicted": predicted}]
        elif "choices" in sample:
            place = tasks.get(sample["task"]).labels.index
            given = " ".join(sample[key] for key in ("context", "question") if key in sample)
            gold, chosen = (sample["choices"][place(str(e))] for e in (sample["label"], predicted))
            rows += [{"given": given, "gold": gold, "predicted": chosen}]
        else:
            sides = {s: sample[s] for s in ("sentence1", "sentence2") if s in sample}
            rows += [sides | {"gold": sample["label"], "predicted": predicted}]
    return pd.DataFrame(rows)
