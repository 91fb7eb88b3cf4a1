"""Cut text into blocks of tokens for MLM. What phase 1 reads is kept on disk, and can travel.

It lies in `<results>/.features/blocks-<hash>/`, so that every encoder seed, and a machine without
the text, reads what was cut once. The folder may be deleted at any time.
"""

import inspect
import json
import shutil
import sys
import tempfile
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lib import (
    batches,
    corpora,
    encoder,
    feature_cache,
    paths,
    profile,
    tasks,
    translations,
)  # fmt: skip
from lib.errors import InputError
from lib.profile import Budget, Pretraining, Profile, digest

HELD_OUT_EVERY = 50  # lines
HELD_OUT_BLOCKS = 64
HELD_OUT_PAIRS = 300  # of a language
TOKENIZER_CHARACTERS = 400_000  # of a language, for training a tokenizer
# What blocks are made by. Versions of packages are not among it: blocks travel between machines.
CODE = (batches.cut_blocks, encoder.train_tokenizer, translations, sys.modules[__name__])


@dataclass(frozen=True)
class Blocks:
    """Hold text as blocks of token ids [n, length], by language.

    `held_out` is no part of `read`, but the tokenizer has seen it. `pairs` are lines joined with
    their translations; their languages' held-out lines are left out of them, and nothing else is
    held out.
    """

    read: dict[str, torch.Tensor]
    held_out: dict[str, torch.Tensor]
    pairs: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def tokens(self) -> dict[str, int]:
        """Count the tokens of each language's text, held-out and paired lines not."""
        return {code: len(of) * (of.shape[1] - 1) for code, of in self.read.items()}


@dataclass(frozen=True)
class Prepared:
    """Hold all that phase 1 reads: the tokenizer, the blocks, and what they were made from.

    `facts` are `data` (as `corpora.recording`), `characters` of each language, how many lines
    are read in `pairs` with their translations, and of those held out the first, as text.
    """

    tokenizer: Any
    blocks: Blocks
    facts: dict[str, Any]


def prepare(settings: Profile, encoder_seed: int) -> Prepared:
    """Return the blocks of the profile's text, from disk where they were cut before.

    All seeds read the same, but where each has a tokenizer of an encoder of its own.
    Raises InputError for a language without text, or with too little for a block.
    """
    folder = kept_in(settings, encoder_seed)
    if (found := _read(settings, folder)) is None:
        with corpora.recording() as data:
            made = _make(settings, encoder_seed, data)
        try:
            _write(made, folder)
        except OSError as error:
            print(f"{folder.parent}: blocks are not kept: {error.strerror}", file=sys.stderr)
            return made
        found = _read(settings, folder) or made
    corpora.note(found.facts["data"])
    return found


def monolingual(settings: Profile, encoder_seed: int, tokenizer: Any) -> Blocks:
    """Return the blocks of every language's text, without pairs, as an encoder's tokenizer cuts it.

    The text may have changed since the encoder was made: then it is cut anew, and not kept.
    """
    found = prepare(settings, encoder_seed)
    if feature_cache.fingerprint(found.tokenizer) != feature_cache.fingerprint(tokenizer):
        return cut(texts_of(settings), tokenizer, settings.pretraining.block_tokens)
    return replace(found.blocks, pairs={})


def kept_in(settings: Profile, encoder_seed: int) -> Path:
    """Return the folder where the profile's blocks are kept."""
    own, budget = settings.encoder, settings.pretraining
    tokenizer: Any = [own.tokenizer, own.vocabulary_size]
    if own.path:
        tokenizer = feature_cache.fingerprint(_existing_tokenizer(settings, encoder_seed))
    wanted = {
        "data": profile.origin(settings),
        "languages": settings.languages,
        "tokenizer": tokenizer,
        "text": [budget.block_tokens, budget.text_characters, budget.translations],
        "code": [digest(inspect.getsource(each)) for each in CODE],
    }
    return paths.features() / f"blocks-{digest(wanted)[:16]}"


def _existing_tokenizer(settings: Profile, encoder_seed: int) -> Any:
    path = profile.encoder_path(settings, encoder_seed)
    return encoder.load_tokenizer(path, settings.encoder.revision)


def _make(settings: Profile, encoder_seed: int, data: dict[str, str]) -> Prepared:
    texts = texts_of(settings)
    if settings.encoder.path:
        tokenizer = _existing_tokenizer(settings, encoder_seed)
    else:
        tokenizer = tokenizer_of(settings, texts)
    pairs: dict[str, list[translations.Pair]] = {}
    others: dict[str, list[translations.Pair]] = {}
    if settings.pretraining.translations:
        held_out = {code: set(lines[::HELD_OUT_EVERY]) for code, lines in texts.items()}
        pairs, others = translations.load(settings, held_out)
    lines = {code: translations.joined(of) for code, of in pairs.items()}
    facts = {
        "data": data,
        "characters": {code: sum(map(len, lines)) for code, lines in texts.items()},
        "pairs": {code: len(of) for code, of in pairs.items()},
        "held_out_pairs": {code: of[:HELD_OUT_PAIRS] for code, of in others.items()},
    }
    return Prepared(
        tokenizer, cut(texts, tokenizer, settings.pretraining.block_tokens, lines), facts
    )


def _write(made: Prepared, folder: Path) -> None:
    """Write whole or not at all; another process may write the same."""
    narrow = torch.int16 if len(made.tokenizer) < 2**15 else torch.int32
    parts = {"read": made.blocks.read, "held_out": made.blocks.held_out, "pairs": made.blocks.pairs}
    tensors = {
        f"{part}/{code}": of.to(narrow)
        for part, found in parts.items()
        for code, of in found.items()
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".blocks-") as place:
        part = Path(place) / "blocks"
        made.tokenizer.save_pretrained(part)
        save_file(tensors, part / "blocks.safetensors")
        (part / "facts.json").write_text(json.dumps(made.facts), encoding="utf-8")
        try:
            part.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _read(settings: Profile, folder: Path) -> Prepared | None:
    """Return what is kept, or None where that is nothing, damaged, or of other text."""
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        tensors = load_file(folder / "blocks.safetensors")
        tokenizer = encoder.load_tokenizer(folder)
    except (ValueError, SafetensorError, InputError):
        shutil.rmtree(folder, ignore_errors=True)
        return None
    except OSError:
        return None
    root = corpora.prepare(settings)
    there = partial(corpora.fingerprint, root)
    for name, version in facts["data"].items():
        dataset, _, config = name.partition("/")
        # Where the text itself is not, the blocks have travelled here without it.
        if root and (root / dataset / config).is_dir() and there(dataset, config) != version:
            print(f"{name} has changed: it is cut anew", file=sys.stderr)
            shutil.rmtree(folder, ignore_errors=True)
            return None
    parts: dict[str, dict[str, torch.Tensor]] = {"read": {}, "held_out": {}, "pairs": {}}
    for name, of in tensors.items():
        part, _, code = name.partition("/")
        parts[part][code] = of.to(torch.int32)
    ordered = {part: {code: found[code] for code in settings.languages if code in found}
               for part, found in parts.items()}  # fmt: skip
    return Prepared(tokenizer, Blocks(**ordered), facts)


def texts_of(settings: Profile) -> dict[str, list[str]]:
    """Load the lines of text of every language of the profile.

    Raises InputError for a language without text.
    """
    return {code: _text(settings, code) for code in settings.languages}


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


def tokenizer_of(settings: Profile, texts: dict[str, list[str]]) -> Any:
    """Train the tokenizer of an encoder of our own on an even sample of every language."""
    sample = [line for lines in texts.values() for line in _head(lines, TOKENIZER_CHARACTERS)]
    kind, size = settings.encoder.tokenizer, settings.encoder.vocabulary_size
    return encoder.train_tokenizer(sample, size, kind)


def cut(
    texts: dict[str, list[str]],
    tokenizer: Any,
    length: int,
    pairs: dict[str, list[str]] | None = None,
) -> Blocks:
    """Cut lines into blocks of `length` tokens, every 50th line of a language held out.

    What is judged is an even sample of what is held out, for text comes source by source.
    Raises InputError for a language with too little text for a block.
    """
    special = batches.SpecialTokens.of(tokenizer)

    def blocks_of(lines: list[list[int]]) -> torch.Tensor:
        return batches.cut_blocks(lines, length, special)

    read, held_out = {}, {}
    for code, lines in texts.items():
        ids = tokenizer(lines, add_special_tokens=False)["input_ids"]
        read[code] = blocks_of([sequence for i, sequence in enumerate(ids) if i % HELD_OUT_EVERY])
        if not len(read[code]):
            raise InputError(f"multilingual-text {code}: too little text for a single block of "
                             f"{length} tokens")  # fmt: skip
        others = blocks_of(ids[::HELD_OUT_EVERY])
        even = np.linspace(0, len(others) - 1, min(len(others), HELD_OUT_BLOCKS)).round()
        held_out[code] = others[torch.from_numpy(even.astype(int))]
    paired = {}
    for code, lines in (pairs or {}).items():
        ids = tokenizer(lines, add_special_tokens=False)["input_ids"] if lines else []
        paired[code] = blocks_of(ids)
    none = [code for code, blocks in paired.items() if not len(blocks)]
    if none:
        print(f"multilingual-text: no translations, or too few for a block, of {', '.join(none)}")
    return Blocks(read, held_out, {code: of for code, of in paired.items() if len(of)})


def masked(
    settings: Profile,
    blocks: Blocks,
    tokenizer: Any,
    updates: int,
    budget: Pretraining | Budget,
    seed: int,
) -> batches.MaskedBlocks:
    """Plan `updates` masked batches over all languages; pairs are drawn as if each were one."""
    masking, special = settings.pretraining, batches.SpecialTokens.of(tokenizer)
    every = [*blocks.read.values(), *blocks.pairs.values()]
    sizes = [len(part) for part in every]
    per_batch = tokens_of_update(settings, budget.batch_tokens) // masking.block_tokens
    plan = sample(sizes, masking.language_exponent, updates, per_batch, seed)
    return batches.MaskedBlocks(
        torch.cat(every), plan, special, len(tokenizer), masking.masking_probability, seed,
        budget.tokens_at_once,
    )  # fmt: skip


def tokens_of_update(settings: Profile, batch_tokens: int) -> int:
    """Return the tokens of an update: as many whole blocks as fit."""
    block = settings.pretraining.block_tokens
    return max(1, batch_tokens // block) * block


def sample(
    sizes: list[int], exponent: float, updates: int, per_batch: int, seed: int
) -> list[list[int]]:
    """Draw the blocks of each batch: a language by q_i ∝ p_i^α, then its blocks in turn, shuffled.

    `sizes` are the blocks of each language; they are numbered through in order. Returns `updates`
    lists of `per_batch`.
    """
    rng = np.random.default_rng(seed)
    counts = np.array(sizes, dtype=float)
    shares = (counts / counts.sum()) ** exponent
    drawn = rng.choice(len(counts), size=updates * per_batch, p=shares / shares.sum())
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(int)
    order = np.empty(len(drawn), dtype=int)
    for language, size in enumerate(counts.astype(int)):
        places = np.flatnonzero(drawn == language)
        rounds = [rng.permutation(size) for _ in range(len(places) // size + 1)]
        order[places] = starts[language] + np.concatenate(rounds)[: len(places)]
    return order.reshape(updates, per_batch).tolist()
