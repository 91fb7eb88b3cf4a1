"""Try other sizes and rates of an encoder on short budgets, and say how well each predicts text.

`python -m lib.trials small_cpu_encoders --minutes 4 '{}' '{layers: 4, hidden_size: 192}'` tries
keys of the profile's `encoder` and `pretraining`. They are judged by held-out text of the profile's
languages and its translations alone: no task, no test set. Rows are added to
`figures/<profile>/trials.csv`.
"""

import argparse
import copy
import csv
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import ValidationError

from lib import checks, paths, pretraining, profile
from lib.errors import InputError, Stopped
from lib.profile import Profile

MOST_UPDATES = 30_000
TIMED = 30  # updates
EMBEDDED = 4096  # tokens of a batch of sentences
# A trial makes an encoder of its own, for so many minutes.
WITHOUT_EFFECT = ("path", "revision", "tokens", "snapshots")


def changed(settings: Profile, keys: dict[str, Any]) -> Profile:
    """Return the profile with these keys of its encoder and pre-training; an encoder of our own.

    Raises InputError for a key that neither has or that a trial does not heed, and for a value
    that cannot be.
    """
    parts = {"encoder": settings.encoder, "pretraining": settings.pretraining}
    for key, value in keys.items():
        place = next((name for name, part in parts.items() if key in type(part).model_fields), "")
        if not place:
            raise InputError(f"trial: no key {key!r} in encoder or pretraining")
        if key in WITHOUT_EFFECT:
            raise InputError(f"trial: {key!r} has no effect on one; expected another key")
        try:
            parts[place] = type(parts[place]).model_validate(
                parts[place].model_dump() | {key: value}
            )
        except ValidationError as error:
            raise InputError(f"trial: {key}: {error.errors()[0]['msg']}, found {value!r}") from None
    own = parts["encoder"].model_copy(update={"path": ""})
    tried = settings.model_copy(update=parts | {"encoder": own})
    checks.check(tried, "trial")
    return tried


def run(settings: Profile, minutes: float, seed: int = 1) -> dict[str, Any]:
    """Train an encoder for about so many minutes, on a schedule of that length; say what came out.

    `loss` is of masked tokens of held-out text, in nats, mean over languages; `loss_of_character`
    the mean of each language's, times the tokens of its characters, by which vocabularies compare.
    """
    from lib import heads, text_blocks, training

    training.use_threads(settings.workflow.threads)
    budget, prepared = settings.pretraining, text_blocks.prepare(settings, seed)
    blocks, tokenizer = prepared.blocks, prepared.tokenizer
    model = pretraining.untrained(settings, prepared, seed)
    data = text_blocks.masked(settings, blocks, tokenizer, MOST_UPDATES, budget, seed)
    plan = data.plan

    def train(head: Any, updates: int) -> float:
        data.plan, started = plan[:updates], time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            training.train(
                head, data, Path(folder), learning_rate=budget.learning_rate,
                warmup_ratio=budget.warmup_ratio, weight_decay=budget.weight_decay, seed=seed,
                what="trial",
            )  # fmt: skip
        return time.perf_counter() - started

    each = train(heads.MaskedLanguageModel(copy.deepcopy(model)), TIMED) / TIMED
    updates = min(max(1, round(60 * minutes / each)), MOST_UPDATES)
    seconds = train(heads.MaskedLanguageModel(model), updates)
    found = pretraining.validated(model, blocks.held_out, tokenizer)
    tokens = updates * text_blocks.tokens_of_update(settings, budget.batch_tokens)
    characters = prepared.facts["characters"]
    losses = {code: loss for code, (_, loss, _) in found.items()}
    of_character = [losses[code] * blocks.tokens[code] / characters[code] for code in losses]
    return {
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "minutes": round(seconds / 60, 2),
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds),
        "loss": round(float(np.nanmean(list(losses.values()))), 4),
        "loss_of_character": round(float(np.nanmean(of_character)), 4),
        "masked_accuracy": round(float(np.nanmean([right for right, *_ in found.values()])), 4),
        "translations_found": _translations_found(model, tokenizer, prepared.facts),
    }


def _translations_found(model: Any, tokenizer: Any, facts: dict[str, Any]) -> float | None:
    from lib import evaluation, retrieval, transfer

    layer, shares = transfer.reported_layer(model.config.num_hidden_layers), []
    for pairs in filter(None, facts["held_out_pairs"].values()):
        sides = zip(*pairs, strict=True)
        one, other = (
            evaluation.embed(model.base_model, side, tokenizer, batch_tokens=EMBEDDED)[layer]
            for side in sides
        )
        for queries, candidates in ((one, other), (other, one)):
            nearest = retrieval.nearest_neighbours(queries, candidates)
            shares.append(np.mean(nearest == np.arange(len(pairs))))
    return round(float(np.mean(shares)), 4) if shares else None


def main(arguments: list[str] | None = None) -> None:
    """Run the trials that are asked for, and add a row of each to the profile's table."""
    parser = argparse.ArgumentParser(prog="python -m lib.trials", description=__doc__)
    parser.add_argument("profile", help="its languages, text and settings")
    parser.add_argument("keys", nargs="+", help="'{}', or changed keys: '{layers: 4}'")
    parser.add_argument("--minutes", type=float, default=4.0, help="of training, each")
    asked = parser.parse_args(arguments)
    if not asked.minutes > 0:
        raise InputError(f"--minutes: found {asked.minutes:g}, expected more than 0")
    settings = profile.load(asked.profile, whole=True)
    file = paths.figures(settings.name) / "trials.csv"
    trials = [(text, changed(settings, _mapping(text))) for text in asked.keys]
    for text, tried in trials:
        row = {"trial": text, **run(tried, asked.minutes)}
        file.parent.mkdir(parents=True, exist_ok=True)
        new = not file.is_file()
        with file.open("a", encoding="utf-8", newline="") as table:
            writer = csv.DictWriter(table, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def _mapping(text: str) -> dict[str, Any]:
    try:
        keys = yaml.safe_load(text)
    except yaml.YAMLError:
        keys = None
    if not isinstance(keys, dict):
        raise InputError(f"trial: {text!r}, expected a mapping such as {{layers: 4}}")
    return keys


if __name__ == "__main__":
    try:
        main()
    except (InputError, Stopped) as error:
        sys.exit(str(error))
