"""Phase 1: a tokenizer and an encoder trained from scratch by MLM, or an existing one."""

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib import corpora, profile, tasks, translations
from lib.errors import InputError
from lib.making import once
from lib.profile import Budget, Pretraining, Profile
from lib.results import Cell, Run, finish, read

HELD_OUT_EVERY = 50
HELD_OUT_BLOCKS = 64
TOKENIZER_CHARACTERS = 400_000
LATER = ("translations",)


def cell(settings: Profile, encoder_seed: int) -> Cell:
    """Name the cell of an encoder."""
    return Cell(settings.name, "pretrain", encoder_seed)


def parameters(settings: Profile, encoder_seed: int) -> dict[str, Any]:
    """Return all that an encoder depends on."""
    return {
        "data": profile.origin(settings),
        "encoder": settings.encoder.model_dump(),
        "pretraining": _described(settings.pretraining),
        "languages": settings.languages,
        "encoder_seed": encoder_seed,
        "threads": settings.workflow.threads,
    }


def _described(budget: Pretraining) -> dict[str, Any]:
    """Return the budget as recorded: a key that came later, and is not used, changes no record."""
    return {key: value for key, value in budget.model_dump().items() if key not in LATER or value}


def run(settings: Profile, encoder_seed: int, processes: int = 0) -> Run:
    """Train the encoder of a seed, or take the existing one; skip what is finished.

    A killed run goes on from its last checkpoint. It trains in so many `processes`, where none are
    named on as many GPUs as the profile asks for and the machine has. Raises InputError for an
    encoder that cannot be loaded or a language without text.
    """
    here, wanted = cell(settings, encoder_seed), parameters(settings, encoder_seed)
    if encoder_seed not in settings.seeds.values():
        raise InputError(f"seed: {encoder_seed} is no encoder seed of profile {settings.name!r}: "
                         f"expected one of {sorted(set(settings.seeds.values()))}")  # fmt: skip
    return once(here, wanted, partial(_make, settings, encoder_seed, processes))


def _make(settings: Profile, encoder_seed: int, processes: int) -> Run:
    """Make the encoder here, or have several processes make it."""
    import torch

    from lib import distributed

    gpus = min(settings.workflow.resources.pretrain.gpus, torch.cuda.device_count())
    processes = processes or gpus
    if processes < 2 or not settings.pretraining.tokens:
        return _make_here(settings, encoder_seed)
    here = cell(settings, encoder_seed)
    file = here.work / "profile.json"
    file.write_text(settings.model_dump_json(), encoding="utf-8")
    distributed.launch("lib.pretraining", [str(file), str(encoder_seed)], processes)
    done = read(here, parameters(settings, encoder_seed))
    assert done
    return replace(done, fresh=True)


def _make_here(settings: Profile, encoder_seed: int) -> Run:
    from lib import distributed, encoder, training

    here, wanted = cell(settings, encoder_seed), parameters(settings, encoder_seed)
    started = time.perf_counter()
    training.use_threads(settings.workflow.threads)
    budget = settings.pretraining
    if settings.encoder.path and not budget.tokens:
        path, revision = profile.encoder_path(settings), settings.encoder.revision
        encoder.load_tokenizer(path, revision)
        model = encoder.load(path, revision, settings.encoder)
        size = sum(p.numel() for p in model.parameters())
        return finish(
            here,
            wanted,
            {"encoder": settings.encoder.path, "parameters_number": size},
            started=started,
        )

    with corpora.recording() as data:
        texts = texts_of(settings)
    if settings.encoder.path:
        path, revision = profile.encoder_path(settings), settings.encoder.revision
        tokenizer = encoder.load_tokenizer(path, revision)
        model = encoder.load_for_mlm(path, revision, settings.encoder)
    else:
        tokenizer = tokenizer_of(settings, texts)
        training.set_seed(encoder_seed)
        model = encoder.new(settings.encoder, len(tokenizer))
    log, facts, scores = _train(settings, encoder_seed, texts, tokenizer, model, here)
    if not distributed.is_first():
        return Run(here, {})
    encoder.save(model, tokenizer, here.work / "encoder")
    facts |= {
        "log": log,
        "processes": distributed.processes(),
        "parameters_number": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "data": data,
        "padding": 0.0,
        **encoder.reading(model),
    }
    return finish(here, wanted, facts, started=started, scores=scores)


def location(settings: Profile, encoder_seed: int) -> tuple[str, str]:
    """Return folder or hub id, and revision, of a seed's encoder; make it where it is missing."""
    done = run(settings, encoder_seed)
    if settings.encoder.path and not settings.pretraining.tokens:
        return profile.encoder_path(settings), settings.encoder.revision
    return str(done.cell.folder / "encoder"), ""


def texts_of(settings: Profile) -> dict[str, list[str]]:
    """Load the lines of text of every language of the profile.

    Raises InputError for a language without text.
    """
    return {code: _text(settings, code) for code in settings.languages}


def tokenizer_of(settings: Profile, texts: dict[str, list[str]]) -> Any:
    """Train the tokenizer of an encoder of our own on an even sample of every language."""
    from lib import encoder

    sample = [line for lines in texts.values() for line in _head(lines, TOKENIZER_CHARACTERS)]
    kind, size = settings.encoder.tokenizer, settings.encoder.vocabulary_size
    return encoder.train_tokenizer(sample, size, kind)


def pairs_of(settings: Profile, texts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Load the lines of translations that are read together, by language; none that is held out."""
    if not settings.pretraining.translations:
        return {}
    held_out = {code: set(lines[::HELD_OUT_EVERY]) for code, lines in texts.items()}
    return translations.load(settings, held_out)


def _text(settings: Profile, code: str) -> list[str]:
    lines = [e["text"] for e in corpora.load(settings, tasks.TEXT, code) if e["text"].strip()]
    lines = _head(lines, settings.pretraining.text_characters)
    if not lines:
        raise InputError(f"multilingual-text {code}: no line of text; expected some")
    return lines


def _head(lines: list[str], characters: int) -> list[str]:
    """Keep an even sample of lines of about so many characters (0: all)."""
    total = sum(map(len, lines))
    if not characters or total <= characters:
        return lines
    step = total / characters
    return [lines[int(i * step)] for i in range(int(len(lines) / step))]


def _train(
    settings: Profile,
    seed: int,
    texts: dict[str, list[str]],
    tokenizer: Any,
    model: Any,
    here: Cell,
) -> tuple[list[dict[str, float]], dict[str, Any], pd.DataFrame]:
    """Train by MLM; return the log, the counts and the masked accuracy per language."""
    from lib import distributed, heads, training

    budget = settings.pretraining
    updates = max(1, budget.tokens // tokens_of_update(settings, budget.batch_tokens))
    pairs = pairs_of(settings, texts)
    data, held_out, sizes = masked_text(settings, texts, tokenizer, updates, budget, seed, pairs)
    log = training.train(
        heads.MaskedLanguageModel(model),
        data,
        here.checkpoints(parameters(settings, seed) | {"processes": distributed.processes()}),
        learning_rate=budget.learning_rate,
        warmup_ratio=budget.warmup_ratio,
        weight_decay=budget.weight_decay,
        seed=seed,
        what=f"pretrain seed {seed}",
        checkpoint_updates=budget.checkpoint_updates,
        checkpoint_minutes=settings.workflow.checkpoint_minutes,
    )
    seen = np.unique([i for batch in data.plan for i in batch], return_counts=True)[1]
    facts = {
        "tokens": updates * tokens_of_update(settings, budget.batch_tokens),
        "updates": updates,
        "text_tokens": {code: n * (budget.block_tokens - 1) for code, n in sizes.items()},
        "pairs": {code: len(lines) for code, lines in pairs.items()},
        "passes": round(float(seen.mean()), 2),
    }
    rows = [
        {"language": code, "metric": "masked_accuracy", "value": value, "n": n, "split": "held-out"}
        for code, (value, _, n) in validated(model, held_out, tokenizer).items()
    ]
    return log, facts, pd.DataFrame(rows)


def tokens_of_update(settings: Profile, batch_tokens: int) -> int:
    """Return the tokens of an update: as many whole blocks as fit."""
    block = settings.pretraining.block_tokens
    return max(1, batch_tokens // block) * block


def masked_text(
    settings: Profile,
    texts: dict[str, list[str]],
    tokenizer: Any,
    updates: int,
    budget: Pretraining | Budget,
    seed: int,
    pairs: dict[str, list[str]] | None = None,
) -> tuple[Any, dict[str, Any], dict[str, int]]:
    """Cut text into blocks and plan `updates` masked batches over all languages.

    `pairs` are lines with their translations, which are drawn as if they were a language each, and
    of which none is held out.
    Returns the batches, the blocks of each language that were held out, and how many were not.
    Raises InputError for a language with too little text for a block.
    """
    import torch

    from lib import batches

    masking, special = settings.pretraining, batches.SpecialTokens.of(tokenizer)
    blocks, held_out = {}, {}
    for code, lines in texts.items():
        ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
        kept = [sequence for i, sequence in enumerate(ids) if i % HELD_OUT_EVERY]
        blocks[code] = batches.cut_blocks(kept, masking.block_tokens, special)
        if not len(blocks[code]):
            raise InputError(f"multilingual-text {code}: too little text for a single block of "
                             f"{masking.block_tokens} tokens")  # fmt: skip
        rest = batches.cut_blocks(ids[::HELD_OUT_EVERY], masking.block_tokens, special)
        held_out[code] = rest[:HELD_OUT_BLOCKS]
    sizes = {code: len(of_language) for code, of_language in blocks.items()}
    for code, lines in (pairs or {}).items():
        ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
        blocks[f"{code}, translated"] = batches.cut_blocks(ids, masking.block_tokens, special)
    numbers = {name: len(found) for name, found in blocks.items()}
    per_batch = tokens_of_update(settings, budget.batch_tokens) // masking.block_tokens
    plan = sample_blocks(numbers, masking.language_exponent, updates, per_batch, seed)
    every = torch.cat(list(blocks.values()))
    data = batches.MaskedBlocks(
        every, plan, special, len(tokenizer), masking.masking_probability, seed,
        budget.tokens_at_once,
    )  # fmt: skip
    return data, held_out, sizes


def sample_blocks(
    sizes: dict[str, int], exponent: float, updates: int, per_batch: int, seed: int
) -> list[list[int]]:
    """Draw the blocks of each batch: a language by q_i ∝ p_i^α, then its blocks in turn, shuffled.

    Blocks are numbered through the languages in order. Returns `updates` lists of `per_batch`.
    """
    rng = np.random.default_rng(seed)
    counts = np.array(list(sizes.values()), dtype=float)
    shares = (counts / counts.sum()) ** exponent
    drawn = rng.choice(len(counts), size=updates * per_batch, p=shares / shares.sum())
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int)
    order = np.empty(len(drawn), dtype=int)
    for language, size in enumerate(counts.astype(int)):
        places = np.flatnonzero(drawn == language)
        rounds = [rng.permutation(size) for _ in range(len(places) // size + 1)]
        order[places] = starts[language] + np.concatenate(rounds)[: len(places)]
    return order.reshape(updates, per_batch).tolist()


def validated(
    model: Any, held_out: dict[str, Any], tokenizer: Any
) -> dict[str, tuple[float, float, int]]:
    """Return per language of masked tokens the share predicted right, the loss, and their number.

    The loss is their mean cross-entropy, in nats.
    """
    import torch

    from lib import batches, heads

    special, vocabulary = batches.SpecialTokens.of(tokenizer), len(tokenizer)
    head = heads.MaskedLanguageModel(model).eval()
    device = next(model.parameters()).device
    found = {}
    for code, blocks in held_out.items():
        plan = [list(range(i, min(i + 16, len(blocks)))) for i in range(0, len(blocks), 16)]
        right, loss, total = 0, 0.0, 0
        data = batches.MaskedBlocks(blocks, plan, special, vocabulary, 0.15, seed=0)
        with torch.inference_mode():
            for number in range(len(data)):
                batch = {key: value.to(device) for key, value in data[number].items()}
                predicted, labels = head(**batch), batch["labels"]
                right += int((predicted["predictions"] == labels).sum())
                loss += float(predicted["loss"]) * len(labels) if len(labels) else 0.0
                total += len(labels)
        none = float("nan")
        found[code] = (right / total, loss / total, total) if total else (none, none, 0)
    return found


if __name__ == "__main__":  # one process of several: see `_make`
    from lib.distributed import work

    asked = Profile.model_validate_json(Path(sys.argv[1]).read_bytes())
    work(partial(_make_here, asked, int(sys.argv[2])))
