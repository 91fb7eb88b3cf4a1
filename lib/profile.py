"""Load a profile and check it before anything runs.

A profile is a YAML file in `notebooks/profiles/`: which encoder, tasks, languages, conditions,
seeds and budgets. Budgets are in tokens, updates or epochs, never in seconds.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import yaml
from pandas import DataFrame
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib import paths, tasks, typology
from lib.errors import InputError


class Strict(BaseModel):
    """Refuse unknown keys and wrong types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Encoder(Strict):
    """Name an existing encoder (`path`), or size one of XLM-R's architecture to train ourselves."""

    path: str = ""
    revision: str = ""
    layers: int = 2
    hidden_size: int = 128
    attention_heads: int = 4
    feed_forward_size: int = 512
    vocabulary_size: int = 4000
    dropout: float = 0.1


class Pretraining(Strict):
    """Budget phase 1; `tokens: 0` takes the encoder as it is.

    `language_exponent` flattens the share of each language, q_i ∝ p_i^α (Conneau et al. 2020,
    arXiv 1911.02116, section 3.1).
    """

    tokens: int = 0
    batch_tokens: int = 1024
    block_tokens: int = 128
    learning_rate: float = 2e-3
    warmup_ratio: float = 0.06
    weight_decay: float = 0.01
    masking_probability: float = 0.15
    language_exponent: float = 0.3
    text_characters: int = 0
    checkpoint_updates: int = 500


class Intermediate(Strict):
    """Budget phase 2: every condition gets the same subword tokens in the same updates."""

    updates: int
    batch_tokens: int = 1024
    learning_rate: float = 3e-4
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    max_sequence_length: int = 256


class Target(Strict):
    """Budget one target task; `train` names other training data than the task's own."""

    updates: int = 0
    batch_tokens: int = 1024
    learning_rate: float = 5e-4
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    max_sequence_length: int = 256
    train: list[str] = Field(default_factory=list)
    train_examples: int = 0
    evaluation_examples: int = 0
    split: Literal["", "validation", "test"] = ""
    pooling: Literal["mean", "first"] = "mean"


class Condition(Strict):
    """Say what happens between pre-training and target fine-tuning.

    `task` empty is no training at all. `text_of` is the task on whose text MLM continues.
    `shuffled` permutes the trees of each sentence. `pair` names the
    model of a sentence pair: one encoder over both (`cross`), or two pooled vectors (`bi`).
    """

    task: str = ""
    random_encoder: bool = False
    text_of: str = ""
    shuffled: bool = False
    pair: Literal["cross", "bi"] = "cross"


class Workflow(Strict):
    """Say how the grid runs: threads of a cell, and whether a kernel runs one cell or several."""

    threads: int = 1
    kernel_per: Literal["target", "condition"] = "target"


class Profile(Strict):
    """Hold one checked profile."""

    name: str
    summary: str
    source_language: str = "en"
    languages: list[str]
    evaluation_languages: list[str] = Field(default_factory=list)
    all_languages_seeds: list[int] = Field(default_factory=list)
    world: dict[str, int | float] | None = None
    encoder: Encoder
    pretraining: Pretraining
    intermediate: Intermediate
    conditions: dict[str, Condition]
    targets: dict[str, Target]
    clean_targets: list[str]
    seeds: dict[int, int]
    workflow: Workflow = Workflow()

    @property
    def target_languages(self) -> list[str]:
        """List the languages of zero-shot evaluation: all but the source."""
        listed = self.evaluation_languages or self.languages
        return [code for code in listed if code != self.source_language]

    @property
    def language_table(self) -> DataFrame:
        """Return what is known of each language: `typology.languages` of the profile's data."""
        return typology.languages(data_root(self))

    def evaluated_languages(self, seed: int) -> list[str]:
        """List the languages that a seed evaluates, the source first."""
        every = seed in self.all_languages_seeds
        wanted = self.language_table.index if every else self.target_languages
        return [self.source_language, *(code for code in wanted if code != self.source_language)]


def load(name: str) -> Profile:
    """Load and check the profile of this name, or the YAML file of this path.

    Raises InputError, naming file and key, for a missing file, an unknown key, a wrong type, an
    unknown task or language, or a world that does not fit.
    """
    file = paths.profile_file(name)
    if not file.is_file():
        known = ", ".join(sorted(path.stem for path in paths.PROFILES.glob("*.yaml")))
        raise InputError(f"profile {name!r}: no file {file}; expected one of {known}")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        profile = Profile(name=file.stem, **(content or {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{file}: {key}: {_explain(first)}") from None
    except (yaml.YAMLError, TypeError) as error:
        raise InputError(f"{file}: not a YAML mapping: {' '.join(str(error).split())}") from None
    _check_names(profile, str(file))
    return profile


def _explain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return "unknown key; see lib/profile.py for the keys there are"
    return f"{error['msg']}, found {error['input']!r}"


def _check_names(profile: Profile, file: str) -> None:
    for name, condition in profile.conditions.items():
        for key in ("task", "text_of"):
            value = getattr(condition, key)
            if value and value not in tasks.INTERMEDIATE:
                expected = ", ".join(tasks.INTERMEDIATE)
                raise InputError(f"{file}: conditions.{name}.{key}: unknown task {value!r}: "
                                 f"expected one of {expected}")  # fmt: skip
        if (condition.task == "mlm") != bool(condition.text_of):
            raise InputError(f"{file}: conditions.{name}: `task: mlm` and `text_of` go together")
    for needed in ("none", "random"):
        if needed not in profile.conditions:
            raise InputError(f"{file}: conditions.{needed}: missing; it is always part of the grid")
    for target, settings in profile.targets.items():
        if target not in tasks.TARGETS:
            expected = ", ".join(tasks.TARGETS)
            raise InputError(f"{file}: targets.{target}: unknown task: expected one of {expected}")
        for source in settings.train:
            if source not in tasks.TRAINING:
                raise InputError(f"{file}: targets.{target}.train: unknown data {source!r}: "
                                 f"expected some of {', '.join(tasks.TRAINING)}")  # fmt: skip
    for target in profile.clean_targets:
        if target not in profile.targets:
            raise InputError(f"{file}: clean_targets: {target!r} is not one of the targets")
    if profile.world is not None:
        from lib.world import Settings

        try:
            world = Settings(**profile.world)  # type: ignore[arg-type]
        except TypeError as error:
            raise InputError(f"{file}: world: {error}") from None
        known = {"en", *(f"qa{chr(97 + i)}" for i in range(world.languages))}
    else:
        known = set(typology.languages(None).index)
    for key in ("languages", "evaluation_languages"):
        for code in getattr(profile, key):
            if code not in known:
                raise InputError(f"{file}: {key}: unknown language {code!r}: "
                                 f"expected some of {', '.join(sorted(known))}")  # fmt: skip
    if profile.source_language not in profile.languages:
        raise InputError(f"{file}: languages: the source {profile.source_language!r} is missing")


def data_root(profile: Profile) -> Path | None:
    """Return the folder that the profile's data come from, or None for the hub.

    A world has a folder of its own, named by its settings. Raises InputError where `DATA_ROOT`
    names no folder.
    """
    if profile.world is not None:
        return paths.worlds() / f"{profile.name}-{digest(profile.world)[:8]}"
    root = paths.mirror()
    if root is not None and not root.is_dir():
        raise InputError(f"DATA_ROOT: no such folder: {root}; expected a mirror of the hub")
    return root


def digest(value: Any) -> str:
    """Return the SHA-256 of a value's canonical JSON."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def origin(profile: Profile) -> Any:
    """Say where the data come from: the settings of a world, `mirror`, or `hub`."""
    if profile.world is not None:
        return {"world": profile.world}
    return "hub" if data_root(profile) is None else "mirror"


def check_data(profile: Profile) -> None:
    """Check, before anything runs, that a mirror holds the text and the training data.

    Raises InputError with id, configuration and folder of the first that is missing.
    """
    root = data_root(profile)
    if profile.world is not None or root is None:
        return
    needed = [("multilingual-text", code) for code in profile.languages]
    if not profile.pretraining.tokens:
        needed = []
    rows = [tasks.get(c.task) for c in profile.conditions.values() if c.task not in ("", "mlm")]
    names = [source for row in rows for source in row.train]
    for target, settings in profile.targets.items():
        names += settings.train or tasks.get(target).train
    needed += [(tasks.TRAINING[name].dataset, tasks.TRAINING[name].config) for name in names]
    for dataset, config in needed:
        if not (root / dataset / config).is_dir():
            raise InputError(f"DATA_ROOT: {root}: no {dataset}/{config}, which profile "
                             f"{profile.name!r} reads")  # fmt: skip
