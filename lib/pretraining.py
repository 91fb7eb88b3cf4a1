"""Phase 1: a tokenizer and an encoder trained from scratch by MLM, or an existing one."""

import hashlib
import shutil
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib import profile
from lib.errors import InputError
from lib.making import once
from lib.profile import Encoder, Pretraining, Profile
from lib.results import Cell, Run, finish, read

READ = (".safetensors", ".json", ".model", ".txt")  # what an encoder and its tokenizer lie in

LATER = ("translations", "aligned_embeddings", "snapshots")


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
    from lib import distributed, encoder, text_blocks, training

    here, wanted = cell(settings, encoder_seed), parameters(settings, encoder_seed)
    started = time.perf_counter()
    training.use_threads(settings.workflow.threads)
    budget = settings.pretraining
    if settings.encoder.path and not budget.tokens:
        path, revision = profile.encoder_path(settings, encoder_seed), settings.encoder.revision
        encoder.load_tokenizer(path, revision)
        model = encoder.load(path, revision, settings.encoder)
        size = sum(p.numel() for p in model.parameters())
        name = settings.encoder.path.replace("{seed}", str(encoder_seed))
        facts = {"encoder": name, "parameters_number": size, "encoder_files": files_of(path)}
        return finish(here, wanted, facts, started=started)

    prepared = text_blocks.prepare(settings, encoder_seed)
    tokenizer = prepared.tokenizer
    if settings.encoder.path:
        path, revision = profile.encoder_path(settings, encoder_seed), settings.encoder.revision
        model = encoder.load_for_mlm(path, revision, settings.encoder)
    else:
        model = untrained(settings, prepared, encoder_seed)
    log, facts, scores = _train(settings, encoder_seed, prepared, model, here)
    if not distributed.is_first():
        return Run(here, {})
    encoder.save(model, tokenizer, here.work / "encoder")
    facts |= {
        "log": log,
        "processes": distributed.processes(),
        "parameters_number": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "data": prepared.facts["data"],
        "padding": 0.0,
        **encoder.reading(model),
    }
    return finish(here, wanted, facts, started=started, scores=scores)


def files_of(encoder: str) -> dict[str, str]:
    """Return the SHA-256 of the files of an encoder that is a folder; of a hub's one nothing."""
    found = {}
    for file in sorted(Path(encoder).glob("*")):
        if file.suffix in READ:
            with file.open("rb") as content:
                found[file.name] = hashlib.file_digest(content, "sha256").hexdigest()
    return found


def untrained(settings: Profile, prepared: Any, seed: int) -> Any:
    """Return a new encoder of the profile's, random but for what it asks to be aligned."""
    from lib import aligned_embeddings, encoder, training

    training.set_seed(seed)
    tokenizer = prepared.tokenizer
    model = encoder.new(settings.encoder, len(tokenizer))
    if settings.pretraining.aligned_embeddings:
        aligned_embeddings.start(model, prepared.blocks.pairs, tokenizer.all_special_ids, seed)
    return model


def location(settings: Profile, encoder_seed: int) -> tuple[str, str]:
    """Return folder or hub id, and revision, of a seed's encoder; make it where it is missing."""
    done = run(settings, encoder_seed)
    if settings.encoder.path and not settings.pretraining.tokens:
        return profile.encoder_path(settings, encoder_seed), settings.encoder.revision
    return str(done.cell.folder / "encoder"), ""


def taken_from(
    settings: Profile, folder: str, suffix: str, revision: str = "", **changes: Any
) -> Profile:
    """Return the profile on an encoder that exists, under a name with a suffix, otherwise changed.

    What it makes stands beside the profile's own results, apart for each content of the encoder.
    """
    weights = Path(folder) / "model.safetensors"
    content = weights.read_bytes() if weights.is_file() else folder.encode()  # or it is a hub id
    taken = Encoder(path=folder, revision=revision, precision=settings.encoder.precision,
                    attention=settings.encoder.attention)  # fmt: skip
    budget = Pretraining(
        block_tokens=settings.pretraining.block_tokens,
        masking_probability=settings.pretraining.masking_probability,
    )
    name = f"{settings.name}-{suffix}-{hashlib.sha256(content).hexdigest()[:8]}"
    own = {"name": name, "encoder": taken, "pretraining": budget}
    return settings.model_copy(update=own | changes)


def snapshots(settings: Profile, encoder_seed: int) -> dict[int, Path]:
    """Return the folders of an encoder as it was on the way, by the tokens it had read.

    The finished one is among them. Raises InputError where it is not finished, or was not trained.
    """
    here = cell(settings, encoder_seed)
    if (done := read(here, parameters(settings, encoder_seed))) is None:
        raise InputError(
            f"{here.folder}: no finished encoder; run notebooks/1_pretrain.ipynb first"
        )
    if "tokens" not in done.facts:
        raise InputError("pretraining.tokens: found 0, expected an encoder that is trained here")
    found = here.folder.glob("snapshots/tokens=*")
    on_the_way = {int(folder.name.partition("=")[2]): folder for folder in found}
    return dict(sorted(on_the_way.items())) | {done.facts["tokens"]: here.folder / "encoder"}


def _snapshots(settings: Profile, tokenizer: Any, model: Any, into: Path, updates: int) -> Any:
    """Return what saves the encoder on the way, where the profile asks for it."""
    from transformers import TrainerCallback

    from lib import distributed, encoder, text_blocks

    budget = settings.pretraining
    of_update = text_blocks.tokens_of_update(settings, budget.batch_tokens)
    at = {updates // 2 ** (1 + halving) for halving in range(budget.snapshots)}

    class Snapshots(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step in at and distributed.is_first():
                tokens = state.global_step * of_update
                encoder.save(model, tokenizer, into / "snapshots" / f"tokens={tokens}")

    return Snapshots()


def _train(
    settings: Profile,
    seed: int,
    prepared: Any,
    model: Any,
    here: Cell,
) -> tuple[list[dict[str, float]], dict[str, Any], pd.DataFrame]:
    """Train by MLM; return the log, the counts and the masked accuracy per language."""
    from lib import distributed, heads, text_blocks, training

    budget, blocks, tokenizer = settings.pretraining, prepared.blocks, prepared.tokenizer
    of_update = text_blocks.tokens_of_update(settings, budget.batch_tokens)
    updates = max(1, budget.tokens // of_update)
    data = text_blocks.masked(settings, blocks, tokenizer, updates, budget, seed)
    # Checkpoints, and what is kept on the way, of this very training alone.
    alike = parameters(settings, seed) | {"processes": distributed.processes()}
    folder = here.checkpoints(alike)
    log = training.train(
        heads.MaskedLanguageModel(model),
        data,
        folder,
        learning_rate=budget.learning_rate,
        warmup_ratio=budget.warmup_ratio,
        weight_decay=budget.weight_decay,
        seed=seed,
        what=f"pretrain seed {seed}",
        checkpoint_updates=budget.checkpoint_updates,
        checkpoint_minutes=settings.workflow.checkpoint_minutes,
        callbacks=[_snapshots(settings, prepared.tokenizer, model, folder, updates)],
    )
    if (made := folder / "snapshots").is_dir() and distributed.is_first():
        shutil.rmtree(here.work / "snapshots", ignore_errors=True)
        shutil.copytree(made, here.work / "snapshots")
    seen = np.unique([i for batch in data.plan for i in batch], return_counts=True)[1]
    facts = {
        "tokens": updates * of_update,
        "updates": updates,
        "text_tokens": blocks.tokens,
        "pairs": prepared.facts["pairs"],
        "passes": round(float(seen.mean()), 2),
    }
    rows = [
        {"language": code, "metric": "masked_accuracy", "value": value, "n": n, "split": "held-out"}
        for code, (value, _, n) in validated(model, blocks.held_out, tokenizer).items()
    ]
    return log, facts, pd.DataFrame(rows)


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
