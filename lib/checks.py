"""Check what a profile says against tables and data; leave out what cannot be had."""

import re
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lib import ccgbank, pairing, tasks, typology
from lib.errors import InputError
from lib.profile import MAXIMUM_LENGTH, Budget, Condition, Profile, data_root, encoder_path

# What is read of an existing encoder's settings, and of phase 1's by MLM in phase 2.
AS_IT_IS = {"path", "revision", "attention", "precision"}
OF_MLM = {"tokens", "block_tokens", "masking_probability", "language_exponent", "text_characters"}
FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


def check(profile: Profile, file: str) -> None:
    """Check names and what must go together, which the types of single values do not tell.

    Raises InputError naming the file and the first key that is wrong.
    """
    for where, name in (("name", profile.name), *(("conditions", n) for n in profile.conditions)):
        if not FOLDER.fullmatch(name):
            raise InputError(f"{file}: {where}: found {name!r}, expected a folder's name: letters, "
                             "digits, '_', '-', '.' and '+', a letter or digit first")  # fmt: skip
    _check_repeats(profile, file)
    encoder = profile.encoder
    if encoder.hidden_size % encoder.attention_heads:
        raise InputError(f"{file}: encoder.hidden_size: {encoder.hidden_size} is not a multiple of "
                         f"attention_heads, {encoder.attention_heads}")  # fmt: skip
    if not encoder.path:
        _check_own_encoder(profile, file)
    else:
        _check_given_encoder(profile, file)
    if 0 in (*profile.seeds, *profile.seeds.values()):
        raise InputError(f"{file}: seeds: 0 stands for all of them; expected other numbers")
    if "all" in profile.conditions:
        raise InputError(
            f"{file}: conditions.all: the name stands for every condition; choose another"
        )
    _check_budget(profile.intermediate, True, f"{file}: intermediate")
    for name, condition in profile.conditions.items():
        _check_condition(condition, f"{file}: conditions.{name}")
        if condition.budget:
            _check_budget(condition.budget, True, f"{file}: conditions.{name}.budget")
        budget = condition.budget or profile.intermediate
        if condition.task == "mlm" and budget.batch_examples and budget.epochs:
            raise InputError(f"{file}: conditions.{name}: MLM reads blocks of text, of which "
                             f"{budget.epochs:g} epochs of batch_examples = "
                             f"{budget.batch_examples} are no number: expected updates, or "
                             "batch_tokens alone")  # fmt: skip
        for code in condition.translated:
            if code not in (*profile.languages, "all"):
                raise InputError(
                    f"{file}: conditions.{name}.translated: unknown language {code!r}:"
                    f" expected all, or some of {', '.join(profile.languages)}"
                )
        other = [seed for seed in condition.seeds if seed not in profile.seeds]
        if other:
            raise InputError(f"{file}: conditions.{name}.seeds: {other[0]} is not one of the "
                             f"profile's, {', '.join(map(str, profile.seeds))}")  # fmt: skip
        if name == "none" and condition.seeds:
            raise InputError(f"{file}: conditions.none.seeds: found {condition.seeds}, expected "
                             "none named: gains start from every seed")  # fmt: skip
    for needed in ("none", "random"):
        if needed not in profile.conditions:
            raise InputError(f"{file}: conditions.{needed}: missing; it is always part of the grid")
    for target, settings in profile.targets.items():
        if target not in tasks.targets():
            expected = ", ".join(tasks.targets())
            raise InputError(f"{file}: targets.{target}: unknown task: expected one of {expected}")
        trained = tasks.get(target).kind != "retrieval"
        _check_budget(settings, trained, f"{file}: targets.{target}")
        if settings.pair == "bi" and tasks.get(target).kind != "classification":
            raise InputError(f"{file}: targets.{target}.pair: found 'bi', expected 'cross': "
                             f"{target} does not classify sentence pairs")  # fmt: skip
        if target == "bucc" and settings.evaluation_examples:
            raise InputError(f"{file}: targets.bucc.evaluation_examples: found "
                             f"{settings.evaluation_examples}, expected 0: its sides are mined "
                             "whole")  # fmt: skip
        for source in settings.train:
            if source not in tasks.TRAINING:
                raise InputError(f"{file}: targets.{target}.train: unknown data {source!r}: "
                                 f"expected some of {', '.join(tasks.TRAINING)}")  # fmt: skip
    for name, seeds in profile.all_languages.items():
        if name not in profile.conditions:
            raise InputError(f"{file}: all_languages: {name!r} is not one of the conditions")
        other = [seed for seed in seeds if seed not in profile.seeds_of(name)]
        if other:
            raise InputError(f"{file}: all_languages.{name}: {other[0]} is not one of its seeds, "
                             f"{', '.join(map(str, profile.seeds_of(name)))}")  # fmt: skip
    for target in profile.clean_targets:
        if target not in profile.targets:
            raise InputError(f"{file}: clean_targets: {target!r} is not one of the targets")
        if tasks.get(target).kind == "retrieval":
            raise InputError(f"{file}: clean_targets: {target!r} has no score in the source "
                             "language, and so no transfer gain: expected other targets"
                             )  # fmt: skip
    if profile.world is not None:
        from lib.world import Settings

        try:
            world = Settings(**profile.world)  # type: ignore[arg-type]
        except (TypeError, InputError) as error:
            raise InputError(f"{file}: world: {error}") from None
        known = {"en", *(f"qa{chr(97 + i)}" for i in range(world.languages))}
    else:
        known = set(typology.languages(None).index)
    for key in ("languages", "evaluation_languages"):
        for code in getattr(profile, key):
            if code not in known:
                raise InputError(f"{file}: {key}: unknown language {code!r}: "
                                 f"expected some of {', '.join(sorted(known))}")  # fmt: skip
    for phase, asked in profile.workflow.resources:
        if phase != "pretrain" and asked.gpus > 1:
            raise InputError(f"{file}: workflow.resources.{phase}.gpus: found {asked.gpus}, "
                             "expected 0 or 1: several train in phase 1 alone")  # fmt: skip
    if profile.source_language not in profile.languages:
        raise InputError(f"{file}: languages: the source {profile.source_language!r} is missing")
    if not profile.target_languages:
        key = "evaluation_languages" if profile.evaluation_languages else "languages"
        raise InputError(f"{file}: {key}: found the source alone, expected a language to transfer "
                         "to")  # fmt: skip


def check_analyses(profile: Profile) -> None:
    """Check that there is what the analyses compare: asked before a whole grid is run for them.

    Raises InputError naming the first key that is wrong.
    """
    for name in pairing.COMPARED:
        if name not in profile.conditions:
            raise InputError(f"profile {profile.name!r}: conditions.{name}: missing; the analyses "
                             f"compare {' and '.join(pairing.COMPARED)}")  # fmt: skip
    if not profile.clean_targets:
        raise InputError(f"profile {profile.name!r}: clean_targets: found none, expected one or "
                         "more targets that share no data with an intermediate task")  # fmt: skip


def without_missing(profile: Profile) -> Profile:
    """Leave out, with a line, the conditions that need what only the LDC has, or no hub."""
    kept = profile.conditions
    for needed, reason in (("ccg", _no_ccgbank), ("text", _no_text)):
        needing = [
            name
            for name, how in kept.items()
            if (needed == "ccg" and "ccg" in (*how.trained, how.text_of))
            or (needed == "text" and how.joint_mlm)
        ]
        if needing and profile.world is None and (why := reason(profile)):
            print(f"profile {profile.name!r} skips {', '.join(needing)}: {why}")
            kept = {name: how for name, how in kept.items() if name not in needing}
    return profile.model_copy(update={"conditions": kept})


def _no_ccgbank(profile: Profile) -> str:
    root = data_root(profile)
    return "" if root and (root / tasks.CCGBANK).is_dir() else ccgbank.missing()


def _are_kept(profile: Profile) -> bool:
    """Say whether blocks of the text have been cut before; of an encoder of the hub nothing is."""
    if profile.encoder.path and not Path(encoder_path(profile)).is_dir():
        return False
    from lib import text_blocks

    try:
        return text_blocks.kept_in(profile, min(profile.seeds.values())).is_dir()
    except InputError:
        return False


def _no_text(profile: Profile) -> str:
    """Say which text is missing for MLM on every language; an empty string where none is."""
    root, name = data_root(profile), tasks.TEXT.dataset
    if root is None:
        return f"{name} is not on the hub: lib.multilingual_text builds it into a DATA_ROOT"
    absent = [code for code in profile.languages if not any((root / name / code).glob("train-*"))]
    if absent and _are_kept(profile):
        return ""
    missing = f"{', '.join(absent[:4])}{f' and {len(absent) - 4} more' if absent[4:] else ''}"
    return f"{root / name} has no {missing}: lib.multilingual_text builds it" if absent else ""


def _check_repeats(profile: Profile, file: str) -> None:
    """Refuse a list that names something twice: it would be read, and counted, twice."""
    lists: dict[str, list[Any]] = {
        "languages": profile.languages,
        "evaluation_languages": profile.evaluation_languages,
        "clean_targets": profile.clean_targets,
    }
    for name, condition in profile.conditions.items():
        lists |= {f"conditions.{name}.translated": condition.translated,
                  f"conditions.{name}.seeds": condition.seeds}  # fmt: skip
    lists |= {f"targets.{name}.train": target.train for name, target in profile.targets.items()}
    for key, listed in lists.items():
        repeated = [value for value, number in Counter(listed).items() if number > 1]
        if repeated:
            raise InputError(f"{file}: {key}: {repeated[0]!r} is listed twice, expected once")


def _check_given_encoder(profile: Profile, file: str) -> None:
    """Refuse what an existing encoder settles by itself, and one that would count as several."""
    given: list[tuple[str, BaseModel, set[str]]] = [("encoder", profile.encoder, AS_IT_IS)]
    if not profile.pretraining.tokens:
        given.append(("pretraining", profile.pretraining, OF_MLM))
        numbers = sorted(set(profile.seeds.values()))
        if len(numbers) > 1 and "{seed}" not in profile.encoder.path:
            raise InputError(f"{file}: seeds: found encoders {', '.join(map(str, numbers))}, which "
                             "are one and the same: expected one number, or {seed} in encoder.path"
                             )  # fmt: skip
    for key, settings, kept in given:
        if ignored := sorted(settings.model_fields_set - kept):
            raise InputError(f"{file}: {key}.{ignored[0]}: is not read beside encoder.path"
                             f"{' without pretraining.tokens' * (key == 'pretraining')}; expected "
                             f"only {', '.join(sorted(kept))}")  # fmt: skip


def _check_own_encoder(profile: Profile, file: str) -> None:
    """Refuse an encoder without training, and what is longer than its positions."""
    if not profile.pretraining.tokens:
        raise InputError(f"{file}: pretraining.tokens: found 0, expected more, or an encoder.path")
    budgets: dict[str, Budget | None] = {"intermediate": profile.intermediate}
    budgets |= {f"conditions.{name}.budget": how.budget for name, how in profile.conditions.items()}
    budgets |= {f"targets.{name}": how for name, how in profile.targets.items()}
    lengths = {
        f"{key}.max_sequence_length": how.max_sequence_length for key, how in budgets.items() if how
    }
    if profile.pretraining.aligned_embeddings and not profile.pretraining.translations:
        raise InputError(f"{file}: pretraining.aligned_embeddings: found true without "
                         "pretraining.translations, expected sources to align by")  # fmt: skip
    lengths["pretraining.block_tokens"] = profile.pretraining.block_tokens
    for key, length in lengths.items():
        if length > MAXIMUM_LENGTH:
            raise InputError(f"{file}: {key}: found {length}, expected at most {MAXIMUM_LENGTH}, "
                             "what an encoder of our own reads")  # fmt: skip


def _check_budget(budget: Budget, trained: bool, where: str) -> None:
    """Refuse a training without a length, or with two, and any length where nothing trains."""
    given = {"updates": budget.updates, "epochs": budget.epochs}
    found = ", ".join(f"{key} = {value:g}" for key, value in given.items() if value) or "neither"
    if not trained and found != "neither":
        raise InputError(f"{where}.updates: found {found}, expected 0: retrieval is not trained")
    if trained and sum(value > 0 for value in given.values()) != 1:
        raise InputError(f"{where}.updates: found {found}, expected either updates, at least 1, or "
                         "epochs")  # fmt: skip


def _check_condition(condition: Condition, where: str) -> None:
    def refuse_unless(sound: bool, problem: str) -> None:
        if not sound:
            raise InputError(f"{where}{problem}")

    named = {"task": condition.task, "text_of": condition.text_of}
    named |= {f"tasks[{i}]": task for i, task in enumerate(condition.tasks)}
    for key, task in named.items():
        known = [*tasks.intermediate(), *(["multitask"] if key == "task" else [])]
        expected = f"expected one of {', '.join(known)}"
        refuse_unless(not task or task in known, f".{key}: unknown task {task!r}: {expected}")
        refuse_unless(key == "task" or task != "mlm", f".{key}: mlm has no text of its own")
    kinds = [tasks.get(task).kind for task in condition.trained if task]
    refuse_unless(not (condition.random_encoder and condition.task),
                  ".random_encoder: goes without a task")  # fmt: skip
    refuse_unless(condition.pair == "cross" or bool({"regression", "classification"} & {*kinds}),
                  ".pair: only a sentence-pair task has pairs")  # fmt: skip
    pooled = {"regression", "classification", "multiple_choice"} & {*kinds}
    problem = f".pooling: found {condition.pooling!r}: only sentence pairs and choices pool"
    refuse_unless(condition.pooling == "mean" or bool(pooled), problem)
    for task in condition.trained if condition.translated else []:
        refuse_unless(bool(task) and tasks.get(task).translated is not None,
                      f".translated: {task or 'no task'} has no translated data")  # fmt: skip
    refuse_unless(condition.budget is None or bool(condition.task), ".budget: goes with a task")
    refuse_unless(not condition.examples or (bool(kinds) and len(kinds) == 1),
                  f".examples: found {condition.examples}: goes with one task")  # fmt: skip
    refuse_unless(not condition.shuffled or kinds == ["parsing"],
                  ".shuffled: only a parsing task has trees")  # fmt: skip
    refuse_unless(condition.parser == "biaffine" or "parsing" in kinds,
                  ".parser: only a parsing task has a parser")  # fmt: skip
    refuse_unless((condition.task == "mlm") == bool(condition.text_of),
                  ": `task: mlm` and `text_of` go together")  # fmt: skip
    several = len(set(condition.tasks)) == len(condition.tasks) > 1
    refuse_unless(several if condition.task == "multitask" else not condition.tasks,
                  ".tasks: `task: multitask` takes two or more different tasks, others none; "
                  f"found {condition.tasks}")  # fmt: skip
    refuse_unless(not condition.joint_mlm or condition.task not in ("", "mlm"),
                  f".joint_mlm: {condition.joint_mlm} beside no task that has labels")  # fmt: skip
