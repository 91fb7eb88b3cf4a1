"""Load a profile and check it before anything runs.

A profile is a YAML file in `notebooks/profiles/`: which encoder, tasks, languages, conditions,
seeds and budgets. Budgets are in tokens, updates or epochs, never in seconds.
"""

import hashlib
import json
import re
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pandas import DataFrame
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from lib import paths, typology, yaml_mapping
from lib.errors import InputError, quote

MAXIMUM_LENGTH = 512  # subword tokens that an encoder of our own reads at once


class Strict(BaseModel):
    """Refuse unknown keys, wrong types, and numbers that are infinite or none."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


Positive = Annotated[int, Field(ge=1)]
Natural = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]  # what NumPy's generators take


class Encoder(Strict):
    """Name an existing encoder (`path`), or size one of XLM-R's architecture to train ourselves.

    In a path `{seed}` stands for the encoder seed, where there is an encoder for each.
    `attention` says how it reads sequences of several lengths: `padded`, `packed` into one row
    without padding (`lib.packing`), or whichever pays on the device (`auto`). `precision` is that
    of its products: bfloat16 where the device has it (`auto`), or float32 anywhere.
    XLM-R's `initializer_range` is made for a width of 768: a width of 128 stays on a plateau of MLM
    with it for most of a short training, and wants about 0.06 (measured).
    """

    path: str = ""
    revision: str = ""
    attention: Literal["auto", "padded", "packed"] = "auto"
    precision: Literal["auto", "float32"] = "auto"
    layers: Positive = 2
    hidden_size: Positive = 128
    attention_heads: Positive = 4
    feed_forward_size: Positive = 512
    tokenizer: Literal["unigram", "bpe"] = "unigram"
    vocabulary_size: Positive = 4000
    dropout: Share = 0.1
    initializer_range: Rate = 0.02


class Pretraining(Strict):
    """Budget phase 1; `tokens: 0` takes the encoder as it is. `tokens_at_once` is as in `Budget`.

    `language_exponent` flattens the share of each language, q_i ∝ p_i^α (Conneau et al. 2020,
    arXiv 1911.02116, section 3.1). Lines of these sources of `multilingual-text`, `translations` of
    one another, are read in pairs too (TLM; Conneau & Lample 2019, arXiv 1901.07291, section 3.3);
    with `aligned_embeddings` tokens start near those that they stand with in such pairs.
    So many `snapshots` are kept on the way: after half of the tokens, a quarter of them, and so on.
    """

    tokens: Natural = 0
    batch_tokens: Positive = 1024
    block_tokens: Annotated[int, Field(ge=2)] = 128
    learning_rate: Rate = 2e-3
    warmup_ratio: Share = 0.06
    weight_decay: Share = 0.01
    masking_probability: Annotated[float, Field(gt=0, le=1)] = 0.15
    language_exponent: Share = 0.3
    text_characters: Natural = 0
    translations: list[str] = Field(default_factory=list)
    aligned_embeddings: bool = False
    snapshots: Natural = 0
    tokens_at_once: Natural = 0
    checkpoint_updates: Natural = 500


class Budget(Strict):
    """Budget a training: so many `updates`, or so many `epochs` of the training examples.

    A batch is filled up to `batch_tokens` subword tokens; with `batch_examples` it is so many
    features instead, whatever their length (a long context is several features). Of either, the
    device reads `tokens_at_once`, padding included (0: the whole batch); gradients are the same.
    `evaluation_examples` limits each evaluated split (0: all of it).
    """

    updates: Natural = 0
    epochs: Annotated[float, Field(ge=0)] = 0.0
    batch_tokens: Positive = 1024
    batch_examples: Natural = 0
    tokens_at_once: Natural = 0
    learning_rate: Rate = 5e-4
    warmup_ratio: Share = 0.1
    weight_decay: Share = 0.01
    max_sequence_length: Positive = 256
    evaluation_examples: Natural = 0


class Intermediate(Budget):
    """Budget phase 2: every condition without a budget of its own gets the same tokens."""

    learning_rate: Rate = 3e-4


class Target(Budget):
    """Budget one target task; `train` names other training data than the task's own.

    `pair` is the model of a sentence pair, as in a condition.
    """

    train: list[str] = Field(default_factory=list)
    train_examples: Natural = 0
    split: Literal["", "validation", "test"] = ""
    pooling: Literal["mean", "first"] = "mean"
    pair: Literal["cross", "bi"] = "cross"


class Condition(Strict):
    """Say what happens between pre-training and target fine-tuning.

    `task` empty is no training at all. `text_of` is the task on whose text MLM continues.
    `shuffled` permutes the trees of each sentence. `pair` names the model of a sentence pair: one
    encoder over both (`cross`), or two vectors (`bi`). `pooling` makes one vector of its tokens
    (`lib.heads.PairClassifier`), `parser` names the parsing head (`lib.parsers`). `translated`
    trains on translations of the training set into these languages, together, instead of on English
    (`all`: every language of the profile that has one, English included). `budget` stands in place
    of the profile's `intermediate`;
    `examples` trains on the first so many of the shuffled examples (0: all), on the same budget.
    `seeds` are those of the profile that run this condition (none named: all).

    `task: multitask` trains the `tasks` at once, mixed as `lib.mixture.shares` says with `cap` and
    `temperature`. `joint_mlm` is the share of the updates that are MLM on the text of every
    language of the profile, beside the task or tasks.
    """

    task: str = ""
    tasks: list[str] = Field(default_factory=list)
    cap: Natural = 0
    temperature: Rate = 1.0
    joint_mlm: Annotated[float, Field(ge=0, lt=1)] = 0.0
    random_encoder: bool = False
    text_of: str = ""
    shuffled: bool = False
    pair: Literal["cross", "bi"] = "cross"
    pooling: Literal["mean", "first"] = "mean"
    parser: Literal["biaffine", "deep_biaffine"] = "biaffine"
    translated: list[str] = Field(default_factory=list)
    examples: Natural = 0
    seeds: list[int] = Field(default_factory=list)
    budget: Intermediate | None = None

    @property
    def trained(self) -> list[str]:
        """The tasks whose labels are trained on."""
        return self.tasks if self.task == "multitask" else [self.task]


class Resources(Strict):
    """Say what a job of a phase asks a cluster for."""

    gpus: Natural = 0
    memory_gb: Positive = 8
    hours: Rate = 4.0


class PhaseResources(Strict):
    """Say what the jobs of each phase ask a cluster for; on one machine nothing is asked."""

    pretrain: Resources = Resources()
    intermediate: Resources = Resources()
    transfer: Resources = Resources()
    analysis: Resources = Resources()


class Workflow(Strict):
    """Say how the grid runs: threads of a cell, how many cells one kernel runs, how many at once.

    A kernel's start and imports take some 10 s of CPU. `target` starts one for every cell, which a
    cluster wants; `condition` one for all targets and seeds of a condition; `seed` one for all
    conditions and targets of a seed. `cells_per_device` kernels at most share the device of one
    machine (0: as many as the cores allow); on a cluster each has what `resources` says. A training
    leaves a checkpoint every `checkpoint_minutes` (0: never).
    """

    threads: Positive = 1
    cells_per_device: Natural = 0
    kernel_per: Literal["target", "condition", "seed"] = "target"
    resources: PhaseResources = PhaseResources()
    checkpoint_minutes: Annotated[float, Field(ge=0)] = 10.0


class Profile(Strict):
    """Hold one checked profile."""

    name: str
    summary: str
    source_language: Literal["en"] = "en"
    languages: list[str]
    evaluation_languages: list[str] = Field(default_factory=list)
    all_languages: dict[str, list[int]] = Field(default_factory=dict)
    world: dict[str, int | float | str] | None = None
    encoder: Encoder
    pretraining: Pretraining
    intermediate: Intermediate
    conditions: dict[str, Condition]
    targets: dict[str, Target]
    clean_targets: list[str]
    seeds: Annotated[dict[Seed, Seed], Field(min_length=1)]
    workflow: Workflow = Workflow()
    _file: str = PrivateAttr("")  # where it was named by its path

    def command(self, target: str = "figures") -> str:
        """Return the command that makes a target of the Makefile for this profile."""
        return f"make {target} PROFILE={shlex.quote(self._file or self.name)}"

    @property
    def target_languages(self) -> list[str]:
        """List the languages of zero-shot evaluation: all but the source."""
        listed = self.evaluation_languages or self.languages
        return [code for code in listed if code != self.source_language]

    def budget_of(self, condition: str) -> Intermediate:
        """Return the budget of a condition's intermediate training."""
        return self.conditions[condition].budget or self.intermediate

    def seeds_of(self, condition: str) -> list[int]:
        """List the seeds that run a condition, or any condition (`all`)."""
        named = [] if condition == "all" else self.conditions[condition].seeds
        return [seed for seed in self.seeds if seed in (named or self.seeds)]

    @property
    def encoder_ids(self) -> list[str]:
        """List the existing encoders: `encoder.path`, for each encoder seed where they differ."""
        seeds = sorted(set(self.seeds.values()))
        found = [self.encoder.path.replace("{seed}", str(seed)) for seed in seeds]
        return list(dict.fromkeys(found)) if self.encoder.path else []

    @property
    def runs(self) -> list[tuple[str, int]]:
        """List the runs of the grid: every condition with each of its seeds."""
        return [(name, seed) for name in self.conditions for seed in self.seeds_of(name)]

    @property
    def language_table(self) -> DataFrame:
        """Return what is known of each language: `typology.languages` of the profile's data."""
        return typology.languages(data_root(self))

    def evaluated_languages(self, condition: str, seed: int) -> list[str]:
        """List the languages that a run evaluates, the source first.

        `all_languages` names, by condition, the seeds that evaluate every language there is.
        """
        every = seed in self.all_languages.get(condition, [])
        wanted = list(self.language_table.index) if every else self.target_languages
        return [self.source_language, *(code for code in wanted if code != self.source_language)]


def load(name: str, whole: bool = False) -> Profile:
    """Load and check the profile of this name, or the YAML file of this path.

    Conditions whose data cannot be had are left out, with a line, unless it is wanted `whole`.
    Raises InputError, naming file and key, for a missing file, an unknown key, a wrong type, an
    unknown task or language, or a world that does not fit.
    """
    file = paths.profile_file(name)
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in paths.PROFILES.glob("*.yaml")))
        raise InputError(f"profile {name!r}: no file {file}; expected one of {known}")
    try:
        profile = Profile.model_validate(yaml_mapping.read(file) | {"name": file.stem})
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{file}: {key}: {_explain(first)}") from None
    profile._file = str(file) if name.endswith(".yaml") else ""
    from lib import checks

    checks.check(profile, str(file))
    return profile if whole else checks.without_missing(profile)


def encoder_path(profile: Profile, seed: int | None = None) -> str:
    """Return the existing encoder of an encoder seed (none named: the first): a folder, or an id.

    A folder is one of the repository, of the mirror, which has it under its id, or any other.
    """
    name = profile.encoder.path
    if "{seed}" in name:
        name = name.replace("{seed}", str(min(profile.seeds.values()) if seed is None else seed))
    mirror = data_root(profile) if profile.world is None else None
    for place in (paths.REPOSITORY, *([mirror] if mirror else [])):
        if (place / name).is_dir():
            return str(place / name)
    return name


def _explain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; see lib/profile.py for the keys there are"
    hint = ""
    if isinstance(error["input"], str) and re.fullmatch(r"[+-]?\d+e[+-]?\d+", error["input"]):
        number, _, power = error["input"].partition("e")
        hint = f"; YAML takes it for text: write {number}.0e{power}"
    return f"{error['msg']}, found {quote(error['input'])}{hint}"


def data_root(profile: Profile) -> Path | None:
    """Return the folder that the data come from (a world has its own), or None for the hub.

    Raises InputError where `DATA_ROOT` names no folder.
    """
    if profile.world is not None:
        return paths.worlds() / f"{profile.name}-{digest(_world(profile))[:8]}"
    root = paths.mirror()
    if root is not None and not root.is_dir():
        raise InputError(f"DATA_ROOT: no such folder: {root}; expected a mirror of the hub")
    return root


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(
        json.dumps(value, sort_keys=True, ensure_ascii=False).encode()
    ).hexdigest()


def _world(profile: Profile) -> dict[str, Any]:
    """Return every setting of the profile's world, defaults included, and the world's edition."""
    from lib.world import EDITION, Settings

    return asdict(Settings(**profile.world)) | {"edition": EDITION}  # type: ignore[arg-type]


def origin(profile: Profile) -> Any:
    """Say where the data come from: the settings of a world, `mirror`, or `hub`."""
    if profile.world is not None:
        return {"world": _world(profile)}
    return "hub" if data_root(profile) is None else "mirror"
