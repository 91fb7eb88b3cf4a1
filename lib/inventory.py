"""List every split that a profile reads, without reading any: what a mirror of it must hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lib import bitext, corpora, revisions, tasks
from lib.errors import InputError
from lib.profile import Profile, data_root, encoder_path
from lib.tasks import Source

# Of `translation`, what is not there is done without.
Role = Literal["text", "training", "translation", "development", "evaluation"]
BITEXT = "bucc2018"  # on no hub: the shared task's own files


@dataclass(frozen=True)
class Split:
    """Name one split, and the first task that reads it."""

    source: Source
    role: Role
    task: str
    language: str

    @property
    def name(self) -> str:
        """Return `<id>/<configuration>/<split>`, its place in the hub's layout."""
        return f"{self.source.dataset}/{self.source.config}/{self.source.split}"

    @property
    def hub_id(self) -> str:
        """Return the id of its repository, where the hub has it now."""
        return revisions.HUB_IDS.get(self.source.dataset, self.source.dataset)

    @property
    def on_hub(self) -> bool:
        """Say whether a hub repository holds it: those of the hub have an owner."""
        return "/" in self.hub_id

    def stands_in(self, root: Path) -> bool:
        """Say whether a mirror holds it."""
        folder = root / self.source.dataset
        if any((folder / self.source.config).glob(f"{self.source.split}-*.parquet")):
            return True
        return bool(bitext.files(folder, self.source.config, self.source.split))


def of(settings: Profile) -> list[Split]:
    """List the splits of a profile, each once, in the order of their roles.

    Of a world nothing: it is written here, whole. CCGbank is left out: `lib.profile` sees to it.
    Of translated training sets for `all` languages those of XNLI are listed.
    """
    root = data_root(settings)
    if settings.world is not None:
        return []
    found: dict[str, Split] = {}
    for task, role, language, source in _read(settings):
        split = Split(corpora.of_language(source, language, root), role, task, language)
        if source.dataset != tasks.CCGBANK:
            found.setdefault(split.name, split)
    return sorted(found.values(), key=lambda split: get_args(Role).index(split.role))


def check(settings: Profile) -> None:
    """Check, before anything runs, that encoder, text and training data can be had.

    Raises InputError with id, configuration and folder of the first that a mirror lacks, or, where
    there is no mirror, that no hub has; then for an encoder that is no folder, and without the
    commit at which the hub has it.
    """
    root = data_root(settings)
    for split in of(settings):
        if split.role not in ("text", "training"):
            continue
        if root is None and not split.on_hub:
            raise InputError(f"DATA_ROOT: not set, and no hub has {split.name}, which profile "
                             f"{settings.name!r} reads: expected a mirror that holds it "
                             "(data/README.md)")  # fmt: skip
        if root is not None and not split.stands_in(root):
            raise InputError(f"DATA_ROOT: {root}: no {split.source.dataset}/{split.source.config}/"
                             f"{split.source.split}-*.parquet, which profile {settings.name!r} "
                             "reads")  # fmt: skip
    for seed in settings.seeds.values() if settings.encoder.path else ():
        place = encoder_path(settings, seed)
        if not Path(place).is_dir() and not settings.encoder.revision:
            raise InputError(f"encoder.path: {place!r} is no folder of repository, DATA_ROOT "
                             "or here; of an encoder of the hub expected encoder.revision, the "
                             "commit to read it at")  # fmt: skip


def reads_text(settings: Profile) -> list[str]:
    """Name what reads the unlabelled text of every language: phase 1, and joint conditions."""
    joint = [name for name, how in settings.conditions.items() if how.joint_mlm]
    return [*(["pretraining"] if settings.pretraining.tokens else []), *joint]


def _read(settings: Profile) -> Iterator[tuple[str, Role, str, Source]]:
    for code in settings.languages if reads_text(settings) else ():
        yield "mlm", "text", code, tasks.TEXT
    for how in settings.conditions.values():
        for name in filter(None, [*how.trained, how.text_of]):
            task = tasks.get(name)
            if task.kind == "mlm":
                continue
            if how.translated and task.translated:
                role: Role = "translation" if "all" in how.translated else "training"
                for code in _translations(settings, how.translated):
                    yield name, role, code, task.translated
            else:
                yield from ((name, "training", "", tasks.training(each)) for each in task.train)
            if name in how.trained and task.validation:
                yield name, "development", "", task.validation
    for name in settings.targets:
        yield from _of_target(settings, name)


def _of_target(settings: Profile, name: str) -> Iterator[tuple[str, Role, str, Source]]:
    task, how = tasks.get(name), settings.targets[name]
    for each in how.train or task.train:
        yield name, "training", "", tasks.training(each)
    source = corpora.evaluation_source(task, how.split)
    mined = task.kind == "retrieval"
    if task.validation and not mined:
        yield name, "development", settings.source_language, task.validation
    for code in evaluated(settings, name):
        yield name, "evaluation", code, source
        if mined and task.validation and task.validation != source:
            yield name, "development", code, task.validation


def evaluated(settings: Profile, target: str) -> list[str]:
    """List the languages in which any run evaluates a target."""
    every = [run for run in settings.runs if run[0] in settings.all_languages]
    runs = every or [("none", next(iter(settings.seeds)))]
    codes = dict.fromkeys(code for run in runs for code in settings.evaluated_languages(*run))
    return of_target(settings, target, list(codes))


def of_target(settings: Profile, target: str, languages: list[str]) -> list[str]:
    """Keep the languages that a target is evaluated in: XTREME's list limits a real one."""
    task = tasks.get(target)
    return [
        code
        for code in languages
        if (settings.world is not None or code in task.languages)
        and (task.kind != "retrieval" or code != settings.source_language)
    ]


def _translations(settings: Profile, languages: list[str]) -> list[str]:
    """Name the languages of a translated training set: `facebook/xnli` has XNLI's."""
    if "all" not in languages:
        return languages
    known = tasks.get("xnli").languages
    return [code for code in settings.languages if code in known]
