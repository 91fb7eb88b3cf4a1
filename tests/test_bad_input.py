"""Every bad input ends in one line that names it, an exit code, and results as they were.

One table: profiles, folders named by the environment, files of data, encoders, results, and what
notebooks and commands are asked for. A row says what is wrong, through which door it comes in, and
what the line must name. `test_bad_examples` has what single examples may hold.
"""

import contextlib
import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from lib import (
    corpora,
    encoder,
    hub_mirror,
    multilingual_text,
    paths,
    plan,
    profile,
    report,
    transfer,
    verification,
    workflow,
)
from lib.errors import InputError

BUDGET = {"updates": 1, "batch_tokens": 64, "max_sequence_length": 24}

Door = Callable[["Study"], tuple[int, str]]


# A study of which some cells are finished


def real_content() -> dict[str, Any]:
    """Return a profile of real languages; the encoder of its second seed is yet to be taken."""
    return {
        "summary": "One update.", "languages": ["en", "de", "zh"],
        "encoder": {"path": "ours/letters-{seed}"}, "pretraining": {}, "intermediate": BUDGET,
        "conditions": {"none": {}, "random": {"random_encoder": True},
                       "ud_parsing": {"task": "ud_parsing"}, "stsb": {"task": "stsb"},
                       "ccg": {"task": "ccg"}},
        "targets": {"udpos": BUDGET, "tatoeba": {}, "bucc": {}},
        "clean_targets": ["udpos"], "seeds": {1: 1, 2: 2},
    }  # fmt: skip


@dataclass
class Study:
    """A folder with a mirror, CCGbank, two profiles and results; `patch` undoes what it sets."""

    folder: Path
    patch: pytest.MonkeyPatch

    @property
    def mirror(self) -> Path:
        return self.folder / "mirror"

    @property
    def encoder(self) -> Path:
        return self.mirror / "ours" / "letters-2"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def profile(self, name: str) -> Path:
        return self.folder / f"{name}.yaml"

    def change(self, name: str, key: str, value: Any) -> None:
        """Change one value of a profile or, with `...`, leave it out."""
        content = yaml.safe_load(self.profile(name).read_text(encoding="utf-8"))
        *path, last = key.split(".")
        inside = content
        for part in path:
            inside = inside[part]
        if value is ...:
            del inside[last]
        else:
            inside[last] = value
        self.profile(name).write_text(yaml.safe_dump(content), encoding="utf-8")

    def listing(self) -> dict[str, str]:
        """Return the hash of every result; what is not one may change."""
        return {
            str(file.relative_to(self.results)): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in sorted(self.results.rglob("*"))
            if file.is_file() and not {".work", ".features", ".lock"} & {*file.parts}
        }


def write_mirror(write: Callable[..., None], root: Path) -> None:
    """Write good data for every task of the real profile, and CCGbank beside them."""
    upos = datasets.List(datasets.ClassLabel(names=list(corpora.tasks.UPOS)))
    words = {"tokens": [["a", "b"], ["c"], ["d", "e"], ["f"]],
             "pos_tags": [[7, 15], [7], [15, 7], [7]]}  # fmt: skip
    for config, split in (("English", "train"), ("English", "validation"), ("German", "test")):
        write("google/xtreme", f"udpos.{config}", split, words, pos_tags=upos)
    trees = {"tokens": [["a", "b"], ["c", "d", "e"]], "head": [["0", "1"], ["2", "0", "2"]],
             "deprel": [["root", "obj"], ["det", "root", "obj"]],
             "upos": [["X", "X"], ["X", "X", "X"]]}  # fmt: skip
    pairs = {"sentence1": list("abcd"), "sentence2": list("efgh"), "label": [0.0, 5.0, 2.5, 1.0]}
    for split in ("train", "validation"):
        write("commul/universal_dependencies", "en_ewt", split, trees)
        write("nyu-mll/glue", "stsb", split, pairs)
    sides = {"source_sentence": list("abcd"), "target_sentence": list("efgh")}
    write("google/xtreme", "tatoeba.deu", "validation", sides)
    mined = {"sentence1": [["ab", "c"]], "sentence2": [["de", "f"]], "gold": [[[1, 1], [2, 2]]]}
    write("mteb/BUCC", "zh-en", "test", mined)
    texts = {"zh": "zh-1\tab\nzh-2\tc\n", "en": "en-1\tde\nen-2\tf\n", "gold": "zh-1\ten-1\n"}
    (root / "bucc2018").mkdir()
    for part, text in texts.items():
        (root / "bucc2018" / f"zh-en.dev.{part}").write_text(text, encoding="utf-8")
    for section in ("00", "02"):
        folder = root.parent / "ccgbank" / "AUTO" / section
        folder.mkdir(parents=True)
        (folder / f"wsj_{section}01.auto").write_text(
            f"ID=wsj_{section}01.1 PARSER=GOLD NUMPARSE=1\n"
            "(<T NP 0 2> (<L NP/N DT DT a NP/N>) (<L N NN NN b N>) )\n", encoding="utf-8"
        )  # fmt: skip


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory,
    writer: Callable[[Path], Any],
    letters: Any,
    micro_content: Callable[[], Any],
) -> Path:
    """Make the study: mirror, encoder, profiles, and the results of some of their cells."""
    folder = tmp_path_factory.mktemp("finished")
    mirror = folder / "mirror"
    write_mirror(writer(mirror), mirror)
    sizes = profile.Encoder(
        layers=2, hidden_size=16, attention_heads=2, feed_forward_size=32, dropout=0.0
    )
    for seed in (1, 2):
        encoder.save(encoder.new(sizes, 31), letters, mirror / "ours" / f"letters-{seed}")
    for name, content in (("real", real_content()), ("artificial", micro_content())):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        enter(folder, patch)
        for name, target in (("real", "udpos"), ("artificial", "tatoeba")):
            transfer.run(profile.load(str(folder / f"{name}.yaml")), "none", target, 1)
    return folder


def enter(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Let the environment name the study's folders."""
    roots = {"DATA_ROOT": "mirror", "CCGBANK_ROOT": "ccgbank", "RESULTS_ROOT": "results"}
    for variable, name in roots.items():
        patch.setenv(variable, str(folder / name))
    corpora._table.cache_clear()


@pytest.fixture
def study(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """Return a copy of the study for one fault."""
    made = Study(tmp_path / "study", monkeypatch)
    shutil.copytree(finished, made.folder)
    enter(made.folder, monkeypatch)
    return made


# Doors: each is called as from outside, and returns its exit code and what it said


def command(main: Callable[..., int], study: Study, *given: str) -> tuple[int, str]:
    """Call the main function of a module with a command line."""
    study.patch.setattr(sys, "argv", ["module", *given])
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = main()
    return status, said.getvalue().rstrip("\n")


def figures(name: str = "artificial", *more: str) -> Door:
    """`make figures`, which must not get as far as to call Snakemake."""

    def door(study: Study) -> tuple[int, str]:
        study.patch.setattr(workflow, "_call", lambda *given: pytest.fail("the grid was started"))
        return command(workflow.main, study, str(study.profile(name)), *more)

    return door


def tool(module: Any, *given: str) -> Door:
    """`python -m lib.…`, with `{study}` in place of the study's folder."""
    return lambda study: command(
        module.main, study, *(each.format(study=study.folder) for each in given)
    )


def notebook(name: str, **given: Any) -> Door:
    """A notebook's code cells, with the cell of parameters that papermill adds."""

    def door(study: Study) -> tuple[int, str]:
        parameters = {"profile": str(study.profile("real"))} | given
        content = json.loads((paths.NOTEBOOKS / f"{name}.ipynb").read_text(encoding="utf-8"))
        names: dict[str, Any] = {"__name__": "__main__", "In": []}
        try:
            for cell in content["cells"]:
                sources = ["".join(cell["source"])] if cell["cell_type"] == "code" else []
                if "parameters" in cell["metadata"].get("tags", ()):
                    lines = [f"{key} = {value!r}" for key, value in parameters.items()]
                    sources.append("\n".join(["# Parameters", *lines]))
                for source in sources:
                    names["In"].append(source)
                    exec(source, names)
        except InputError as error:
            return 1, str(error)
        return 0, ""

    return door


# The table


class Bad(NamedTuple):
    """Say what is wrong, what makes it so, where it comes in, and what the line must hold."""

    what: str
    plant: Callable[[Study], Any]
    door: Door
    said: tuple[str, ...]


def key(name: str, value: Any, *said: str) -> Bad:
    """A profile in which one value is changed; the line begins with the file and the key."""
    shown = "left out" if value is ... else str(value)[:30]
    return Bad(f"{name}: {shown}", lambda study: study.change("artificial", name, value),
               figures(), ("artificial.yaml: " + (said or (name,))[0], *said[1:]))  # fmt: skip


def text(what: str, content: str | bytes, *said: str) -> Bad:
    """A profile that is another text altogether."""
    raw = content.encode() if isinstance(content, str) else content
    return Bad(what, lambda study: study.profile("artificial").write_bytes(raw), figures(),
               ("artificial.yaml: ", *said))  # fmt: skip


def nothing(study: Study) -> None:
    """Plant nothing: what is asked for is wrong."""


def asked(notebook_name: str, *said: str, **given: Any) -> Bad:
    what = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return Bad(f"{notebook_name} {what}", nothing, notebook(notebook_name, **given), said)


def folder_variable(variable: str, value: str, door: Door, *said: str) -> Bad:
    def plant(study: Study) -> None:
        study.patch.setenv(variable, value.format(study=study.folder))

    return Bad(f"{variable}={value}", plant, door, (f"{variable}: ", *said))


def data(what: str, file: str, edit: Callable[[Path], Any], door: Door, *said: str) -> Bad:
    return Bad(f"{file} {what}", lambda study: edit(study.mirror / file), door, said)


def configuration(*said: str, **changes: Any) -> Bad:
    def edit(file: Path) -> None:
        file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8")) | changes))

    return data(", ".join(changes), "ours/letters-2/config.json", edit, ENCODER, "letters", *said)


def half(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def put(content: str | bytes) -> Callable[[Path], Any]:
    raw = content.encode() if isinstance(content, str) else content
    return lambda file: file.write_bytes(raw)


def rows(**columns: list[Any]) -> Callable[[Path], Any]:
    """Write another table in place of a file."""
    return lambda file: datasets.Dataset.from_dict(columns).to_parquet(file)


def heads(*found: list[str]) -> Callable[[Path], Any]:
    words = [["a"] * len(each) for each in found]
    return rows(tokens=words, head=list(found), deprel=[["obj"] * len(e) for e in found],
                upos=[["X"] * len(each) for each in found])  # fmt: skip


def weights(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], Any]:
    def edit(file: Path) -> None:
        found = load_file(file)
        change(found)
        save_file(found, file, metadata={"format": "pt"})

    return edit


def pickled(file: Path) -> None:
    torch.save(load_file(file), file.with_name("pytorch_model.bin"))
    file.unlink()


def result(what: str, file: str, edit: Callable[[Path], Any], door: Door, *said: str) -> Bad:
    return Bad(f"{file} {what}", lambda study: edit(study.results / file), door, said)


ENCODER = notebook("1_pretrain", encoder_seed=2)
PARSING = notebook("2_intermediate", condition="ud_parsing", seed=1)
TAGGING = notebook("3_transfer", target="udpos", condition="random", seed=1)
SUPERTAGS = notebook("2_intermediate", condition="ccg", seed=1)
TATOEBA = notebook("3_transfer", target="tatoeba", condition="none", seed=1)
MINING = notebook("3_transfer", target="bucc", condition="none", seed=1)
BUILD = ("--folder", "{study}/mirror", "--root", "{study}/mirror", "--languages")
EWT = "commul/universal_dependencies/en_ewt/train-00000-of-00001.parquet"
UDPOS = "google/xtreme/udpos.German/test-00000-of-00001.parquet"
PAIRS = "google/xtreme/tatoeba.deu/validation-00000-of-00001.parquet"
TREE = ("universal_dependencies en_ewt train example 0: ",)
NODE = "(<T NP 0 2> (<L NP/N DT DT a NP/N>)"
LEAF = "(<L N NN NN b N>)"

PROFILES = [
    # Keys
    key("bugdet", 3),
    key("name", "other", "name: unknown key"),
    key("encoder.hiden_size", 16),
    key("pretraining.epochs", 3),
    key("targets.udpos.learning_rat", 0.1),
    key("conditions.stsb.budget", {"updtes": 3}, "conditions.stsb.budget.updtes"),
    key("a\nb", 3, "a b"),
    key("seeds", ...),
    key("encoder", ...),
    key("conditions.none", ...),
    key("conditions.random", ...),
    # Types
    key("intermediate.updates", "many", "intermediate.updates", "'many'"),
    key("intermediate.updates", 2.5, "intermediate.updates", "2.5"),
    key("encoder.dropout", "1e-1", "encoder.dropout", "'1e-1'"),
    key("languages", "en"),
    key("seeds", {"one": 1}),
    key("conditions", [], "conditions"),
    key("targets.udpos", None),
    # Numbers
    key("intermediate.updates", 0, "intermediate.updates", "at least 1"),
    key("intermediate.batch_tokens", -5, "intermediate.batch_tokens", "-5"),
    key("intermediate.epochs", -1.0, "intermediate.epochs", "-1.0"),
    key("intermediate.learning_rate", float("nan"), "intermediate.learning_rate", "nan"),
    key("targets.udpos.learning_rate", float("inf"), "targets.udpos.learning_rate", "inf"),
    key("targets.udpos.learning_rate", -1e-3, "targets.udpos.learning_rate", "-0.001"),
    key("targets.udpos.updates", -1, "targets.udpos.updates", "-1"),
    key("targets.udpos.max_sequence_length", 513, "targets.udpos.max_sequence_length", "512"),
    key("encoder.hidden_size", 15, "encoder.hidden_size", "15", "attention_heads"),
    key("encoder.layers", 0),
    key("pretraining.masking_probability", 1.5),
    key("pretraining.masking_probability", 0.0),
    key("pretraining.block_tokens", 1),
    key("pretraining.aligned_embeddings", True, "pretraining.aligned_embeddings",
        "pretraining.translations"),
    key("pretraining.block_tokens", 513, "pretraining.block_tokens", "513", "512"),
    key("pretraining.tokens", 0, "pretraining.tokens", "encoder.path"),
    key("pretraining.learning_rate", float("nan")),
    key("workflow.threads", 0),
    key("workflow.checkpoint_minutes", float("nan")),
    key("workflow.resources", {"transfer": {"gpus": -1}}, "workflow.resources.transfer.gpus"),
    # Names
    key("languages", ["en", "qaa", "qaz"], "languages", "'qaz'"),
    key("languages", ["qaa", "qab"], "languages", "'en'"),
    key("languages", ["en", "qaa", "qaa"], "languages", "'qaa' is listed twice"),
    key("languages", ["en"], "languages", "source alone"),
    key("evaluation_languages", ["de"], "evaluation_languages", "'de'"),
    key("all_languages", {"nne": [1]}, "all_languages", "'nne'"),
    key("all_languages", {"none": [9]}, "all_languages.none", "9"),
    key("clean_targets", ["panx"], "clean_targets", "'panx'"),
    key("clean_targets", ["udpos", "udpos"], "clean_targets", "'udpos' is listed twice"),
    key("targets.mlqua", {}),
    key("targets.stsb", {}),
    key("targets.udpos.train", ["udpos_de"], "targets.udpos.train", "'udpos_de'"),
    key("targets.udpos", {"updates": 3, "train": ["udpos_en"] * 2}, "targets.udpos.train", "twice"),
    key("targets.xquad.pooling", "max", "targets.xquad.pooling", "'max'"),
    key("targets.xquad.split", "train", "targets.xquad.split", "'train'"),
    key("conditions.stsb.task", "sts-b", "conditions.stsb.task", "'sts-b'"),
    key("conditions.stsb.task", "xnli", "conditions.stsb.task", "'xnli'"),
    key("conditions.stsb.pair", "tri", "conditions.stsb.pair", "'tri'"),
    key("conditions.ud_parsing.parser", "triaffine", "conditions.ud_parsing.parser"),
    key("conditions.mlm_on_ewt_text.text_of", "ewt", "conditions.mlm_on_ewt_text.text_of", "'ewt'"),
    key("conditions", {"../outside": {}}, "conditions: found '../outside'"),
    key("conditions.all", {}),
    key("workflow.kernel_per", "phase", "workflow.kernel_per", "'phase'"),
    # What goes together
    key("targets.xquad.pair", "bi", "targets.xquad.pair", "'bi'"),
    key("targets.udpos", {"updates": 3, "epochs": 2.0}, "targets.udpos.updates"),
    key("targets.tatoeba", {"epochs": 2.0}, "targets.tatoeba.updates", "not trained"),
    key("targets.bucc", {"evaluation_examples": 9}, "targets.bucc.evaluation_examples"),
    key("conditions.mlm_on_ewt_text.text_of", ..., "conditions.mlm_on_ewt_text", "text_of"),
    key("conditions.mlm_on_ewt_text.examples", -1),
    key("conditions.ud_parsing.text_of", "stsb", "conditions.ud_parsing", "text_of"),
    key("conditions.ud_parsing.tasks", ["stsb", "qqp"]),
    key("conditions.ud_parsing.task", "multitask", "conditions.ud_parsing.tasks"),
    key("conditions.ud_parsing.pooling", "first"),
    key("conditions.none.joint_mlm", 0.5),
    key("conditions.stsb.joint_mlm", 1.0),
    key("conditions.stsb.temperature", 0.0),
    key("conditions.stsb.translated", ["qaa"]),
    key("conditions.stsb.shuffled", True),
    key("conditions.stsb.parser", "deep_biaffine"),
    key("conditions.stsb.random_encoder", True),
    key("conditions.stsb.seeds", [9], "conditions.stsb.seeds", "9"),
    key("conditions.stsb.budget", {"epochs": 0.0}, "conditions.stsb.budget.updates"),
    key("conditions.mlm_on_ewt_text.budget", {"epochs": 3.0, "batch_examples": 32},
        "conditions.mlm_on_ewt_text", "batch_examples = 32"),
    key("conditions.none.translated", ["all"]),
    key("conditions.none.budget", {"updates": 3}),
    key("conditions.none.examples", 9),
    key("conditions.none.seeds", [1]),
    key("seeds", {}),
    key("seeds", {0: 1}, "seeds: 0"),
    key("seeds", {1: 0}, "seeds: 0"),
    key("seeds", {-1: 1}),
    key("seeds", {1: 2**32}, "seeds.1"),
    # Worlds
    key("world.langages", 3, "world", "langages"),
    key("world.languages", 27, "world: languages", "27"),
    key("world.languages", "three", "world: languages", "'three'"),
    key("world.qa_train", 0, "world: qa_train", "0"),
    key("world.mixed_share", 1.5, "world: mixed_share", "1.5"),
    key("world.design", "square", "world: design", "'square'"),
    key("world.design", "factorial", "world: languages", "24"),
    # Texts
    text("empty", "", "not a YAML mapping"),
    text("list", "- a\n- b\n", "not a YAML mapping", "['a', 'b']"),
    text("scalar", "just text", "not a YAML mapping", "'just text'"),
    text("unclosed", "a: [1\n", "not a YAML mapping", "line 2"),
    text("tab", "a: 1\n\tb: 2\n", "not a YAML mapping", "line 2"),
    text("anchor to nowhere", "a: *b\n", "not a YAML mapping", "'b'"),
    text("key twice", "summary: a\nsummary: b\n", "'summary' stands twice"),
    text("two documents", "a: 1\n---\nb: 2\n", "not a YAML mapping"),
    text("date that is none", "summary: 2020-13-01\n", "month"),
    text("code", "summary: !!python/object/apply:os.getcwd []\n", "python/object/apply"),
    text("another encoding", "summary: é\n".encode("latin-1"), "utf-8"),
    text("too deep", "[" * 5000, "not a YAML mapping"),
    Bad("missing", lambda study: study.profile("artificial").unlink(), figures(),
        ("artificial.yaml", "tiny")),
    Bad("no analysis", lambda study: study.change("artificial", "conditions.stsb", ...), figures(),
        ("conditions.stsb: missing",)),
    *(Bad(f"bad for {module.__name__}", lambda study: study.change("real", "seeds", {}),
          tool(module, "{study}/real.yaml", *more), ("real.yaml: seeds",))
      for module, more in ((plan, ()), (report, ()), (verification, ()),
                           (hub_mirror, ("--folder", "{study}/new")))),
]  # fmt: skip

ASKED = [
    asked("1_pretrain", "'encoder_sed'", encoder_sed=1),
    asked("1_pretrain", "seed: 9", encoder_seed=9),
    asked("1_pretrain", "'encoder_seed' is '1'", encoder_seed="1"),
    asked("1_pretrain", "'wrold'", profile="wrold"),
    asked("2_intermediate", "condition: unknown 'parsing'", condition="parsing", seed=1),
    asked("2_intermediate", "condition: 'none'", condition="none", seed=1),
    asked("2_intermediate", "seed: 7", condition="ud_parsing", seed=7),
    asked("2_intermediate", "seed: -1", condition="ud_parsing", seed=-1),
    asked("3_transfer", "target: unknown 'xnli'", target="xnli", condition="none", seed=1),
    asked("3_transfer", "condition: unknown ''", target="udpos", condition="", seed=1),
    asked("3_transfer", "'seed' is 1.0", target="udpos", condition="none", seed=1.0),
    asked("3_transfer", "'target' is ['udpos']", target=["udpos"], condition="none", seed=1),
    Bad("cores", nothing, figures("real", "--cores", "two"), ("cores: 'two'",)),
    Bad("no cores", nothing, figures("real", "--cores", "0"), ("cores: '0'",)),
    Bad("executor", nothing, figures("real", "--executor", "spark"), ("EXECUTOR: 'spark'",)),
    Bad("jobs", nothing, figures("real", "--executor", "slurm", "--jobs", "many"),
        ("JOBS: 'many'",)),
    Bad("teraflops", nothing, tool(plan, "{study}/real.yaml", "--teraflops", "-1"),
        ("--teraflops: -1",)),
    Bad("mirror of a world", nothing, tool(hub_mirror, "{study}/artificial.yaml", "--folder", "m"),
        ("'artificial' reads a world",)),
    Bad("language of text", nothing,
        tool(multilingual_text, *BUILD, "xx", "--characters", "9"), ("'xx'",)),
    Bad("characters of text", nothing,
        tool(multilingual_text, *BUILD, "de", "--characters", "0"), ("characters: 0",)),
]  # fmt: skip

FOLDERS = [
    folder_variable("DATA_ROOT", "{study}/real.yaml", figures("real"), "real.yaml is a file"),
    folder_variable("DATA_ROOT", "{study}/nowhere", figures("real"), "nowhere"),
    folder_variable("DATA_ROOT", "{study}/nowhere", TATOEBA, "nowhere"),
    folder_variable("DATA_ROOT", "~nobody_of_that_name/x", figures("real"), "nobody_of_that_name"),
    folder_variable("DATA_ROOT", "{study}/mirror/ours", figures("real"), "profile 'real' reads"),
    folder_variable("CCGBANK_ROOT", "{study}/real.yaml", figures("real"), "real.yaml is a file"),
    folder_variable("CCGBANK_ROOT", "{study}/nowhere", figures("real"), "nowhere"),
    folder_variable("CCGBANK_ROOT", "{study}/nowhere",
                    tool(hub_mirror, "{study}/real.yaml", "--folder", "{study}/new"),
                    "nowhere"),
    folder_variable("RESULTS_ROOT", "{study}/real.yaml", figures("real"), "real.yaml is a file"),
    folder_variable("RESULTS_ROOT", "{study}/real.yaml/x", TATOEBA, "real.yaml is a file"),
    Bad("HF_DATASETS_CACHE is a file",
        lambda study: study.patch.setattr(datasets.config, "HF_DATASETS_CACHE",
                                          study.profile("real")), TATOEBA, ("HF_DATASETS_CACHE",)),
    folder_variable("WORLDS_ROOT", "{study}/real.yaml", figures(), "real.yaml is a file"),
]  # fmt: skip

DATA = [
    data("cut in half", PAIRS, half, TATOEBA, "tatoeba.deu", "not a whole parquet"),
    data("empty", PAIRS, put(""), TATOEBA, "tatoeba.deu", "not a whole parquet"),
    data("a pointer", PAIRS, put("version https://git-lfs.github.com/spec/v1\n"), TATOEBA,
         "tatoeba.deu", "not a whole parquet"),
    data("without rows", PAIRS, rows(source_sentence=[], target_sentence=[]), TATOEBA,
         "tatoeba.deu", "no row"),
    data("renamed column", PAIRS, rows(source=["a"], target_sentence=["b"]), TATOEBA,
         "tatoeba.deu", "'source_sentence'", "source"),
    data("numbers for text", PAIRS, rows(source_sentence=[1, 2], target_sentence=["b", "c"]),
         TATOEBA, "tatoeba.deu", "example 0", "source_sentence is 1"),
    data("missing", PAIRS, Path.unlink, TATOEBA, "tatoeba: no language"),
    data("broken card", "google/xtreme/README.md", put("---\nconfigs: [\n---\n"), TATOEBA,
         "google/xtreme", "README.md"),
    data("tags for words that are not there", UDPOS,
         rows(tokens=[["a"], ["b"]], pos_tags=[["X", "X"], ["NOUN"]]), TAGGING,
         "udpos.German", "example 0: 1 tokens, 2 pos_tags"),
    data("an unknown tag", UDPOS, rows(tokens=[["a"], ["b"]], pos_tags=[["Y"], ["NOUN"]]), TAGGING,
         "udpos", "example 0", "'Y'"),
    data("a circle", EWT, heads(["0", "3", "2"]), PARSING, *TREE, "word 2 is above itself"),
    data("two roots", EWT, heads(["0", "0", "2"]), PARSING, *TREE, "2 roots"),
    data("no root", EWT, heads(["2", "1"]), PARSING, *TREE, "above itself"),
    data("head out of range", EWT, heads(["0", "4"]), PARSING, *TREE, "from 0 to 2"),
    data("fewer heads than words", EWT, rows(tokens=[["a", "b"]], head=[["0"]],
         deprel=[["root"]], upos=[["X"]]), PARSING, *TREE, "2 tokens, 1 head"),
    data("an unknown relation", EWT, rows(tokens=[["a", "b"]], head=[["0", "1"]],
         deprel=[["root", "friend"]], upos=[["X", "X"]]), PARSING, "ud_parsing", "'friend'"),
    data("a column too few", EWT, rows(tokens=[["a", "b"]], head=[["0", "1"]]), PARSING,
         "universal_dependencies", "deprel"),
    data("an unknown id", "bucc2018/zh-en.dev.gold", put("zh-9\ten-1\n"), MINING,
         "zh-en.dev.gold:1", "zh-9"),
    data("a line without a tab", "bucc2018/zh-en.dev.zh", put("zh-1 ab\n"), MINING,
         "zh-en.dev.zh:1", "a tab"),
    data("a line without an id", "bucc2018/zh-en.dev.en", put("en-1\td\n\te\n"), MINING,
         "zh-en.dev.en:2", "an id"),
    data("an id twice", "bucc2018/zh-en.dev.zh", put("zh-1\ta\nzh-1\tb\n"), MINING,
         "zh-en.dev.zh", "twice"),
    data("another encoding", "bucc2018/zh-en.dev.zh", put("zh-1\té\n".encode("utf-16")), MINING,
         "zh-en.dev.zh", "UTF-8"),
    *(data(what, "../ccgbank/AUTO/02/wsj_0201.auto", put(content), SUPERTAGS, "wsj_0201.auto", line)
      for what, content, line in (
        ("cut off between leaves", f"ID=1\n{NODE}", "line 2"),
        ("cut off in a leaf", f"ID=1\n{NODE} (<L N NN", "line 2"),
        ("cut off after an id", f"ID=1\n{NODE} {LEAF} )\nID=2\n", "line 3"),
        ("a leaf too short", f"ID=1\n{NODE} (<L N b>) )\n", "line 2"),
        ("another treebank", "(S (NP (NN Rain)))\n", "line 1"),
        ("another encoding", "ID=é\n".encode("latin-1"), "byte 3"))),
    data("renamed column", "languages.csv", put("code,label\nen,English\n"), TATOEBA,
         "languages.csv", "'name'"),
    data("distance that is no number", "languages.csv",
         put("code,name,iso3,family,script,distance\nen,E,eng,I,L,0\nde,G,deu,I,L,near\n"), TATOEBA,
         "languages.csv", "'distance'"),
    data("language twice", "languages.csv",
         put("code,name,iso3,family,script,distance\n" + "en,E,eng,I,L,0\n" * 2), TATOEBA,
         "languages.csv", "'en'"),
    data("no table", "languages.csv", put('code,"name\n'), TATOEBA, "languages.csv"),
    data("another encoding", "languages.csv", put(b"code,name\n\xff\xfe,a\n"), TATOEBA,
         "languages.csv"),
    Bad("the committed table is not there",
        lambda study: study.patch.setattr(paths, "LANGUAGES", study.folder / "languages.csv"),
        TATOEBA, ("languages.csv", "no such file")),
    Bad("checksums of text", lambda study: damage_text(study),
        tool(multilingual_text, *BUILD, "de", "--characters", "9"), ("checksums.json",)),
]  # fmt: skip


def without_tokenizer(folder: Path) -> None:
    """Leave what `model.save_pretrained` alone writes."""
    for file in folder.glob("*token*"):
        file.unlink()


LETTERS = "ours/letters-2"
ENCODERS = [
    data("missing", LETTERS, shutil.rmtree, ENCODER, "letters"),
    data("missing", f"{LETTERS}/config.json", Path.unlink, ENCODER, "letters", "config"),
    data("cut in half", f"{LETTERS}/config.json", half, ENCODER, "letters", "config.json"),
    data("a list", f"{LETTERS}/config.json", put("[1]"), ENCODER, "letters"),
    data("missing", f"{LETTERS}/tokenizer.json", Path.unlink, ENCODER, "letters", "tokenizer"),
    data("no tokenizer at all", LETTERS, without_tokenizer, ENCODER, "letters", "no tokenizer"),
    data("cut in half", f"{LETTERS}/tokenizer.json", half, ENCODER, "letters", "tokenizer"),
    data("missing", f"{LETTERS}/model.safetensors", Path.unlink, ENCODER, "letters", "safetensors"),
    data("pickled", f"{LETTERS}/model.safetensors", pickled, ENCODER, "letters", "safetensors"),
    data("cut in half", f"{LETTERS}/model.safetensors", half, ENCODER, "letters"),
    data("empty", f"{LETTERS}/model.safetensors", put(""), ENCODER, "letters"),
    data("a weight missing", f"{LETTERS}/model.safetensors",
         weights(lambda found: found.pop("roberta.encoder.layer.1.output.dense.weight")), ENCODER,
         "letters", "encoder.layer.1.output.dense.weight"),
    configuration("word_embeddings", "31", vocab_size=99),
    configuration("31 tokens", vocab_size=9),
    configuration("<pad>", pad_token_id=0),
    configuration("weight", "[16]", hidden_size=32),
    configuration("hidden_size", "'wide'", hidden_size="wide"),
    configuration("layer.1.", "not in its configuration", num_hidden_layers=1),
    configuration("modulo", num_attention_heads=0),
    configuration("code of its own", model_type="martian", architectures=["Martian"],
                  auto_map={"AutoConfig": "martian.C", "AutoModel": "martian.M"}),
    configuration("martian", model_type="martian"),
]  # fmt: skip

RUN = "real/transfer/none/udpos/seed=1/run.json"


def another_encoder(study: Study) -> None:
    for seed in (1, 2):
        shutil.copytree(study.encoder, study.encoder.with_name(f"others-{seed}"))
    study.change("real", "encoder.path", "ours/others-{seed}")


RESULTS = [
    result("cut in half", RUN, half, figures("real"), RUN, "delete"),
    result("a list", RUN, put("[]"), figures("real"), RUN),
    result("another encoding", RUN, put(b"\xff{}"), figures("real"), RUN),
    Bad("another budget", lambda study: study.change("real", "targets.udpos.updates", 2),
        figures("real"), (RUN, "updates = 1, asked for 2")),
    Bad("no encoder", lambda study: study.change("real", "encoder.path", "ours/nowhere-{seed}"),
        figures("real"), ("encoder.path: 'ours/nowhere-1'", "encoder.revision")),
    Bad("another encoder", another_encoder, figures("real"),
        ("run.json", "encoder.path = 'ours/letters-{seed}'")),
    Bad("one encoder that counts as two",
        lambda study: study.change("real", "encoder.path", "ours/letters-1"), figures("real"),
        ("seeds", "encoders 1, 2, which are one and the same", "{seed} in encoder.path")),
    Bad("a size of an encoder that is there",
        lambda study: study.change("real", "encoder.layers", 12), figures("real"),
        ("encoder.layers", "is not read beside encoder.path")),
    Bad("a rate of a phase that trains nothing",
        lambda study: study.change("real", "pretraining.learning_rate", 0.1), figures("real"),
        ("pretraining.learning_rate", "without pretraining.tokens")),
    Bad("retrieval among the clean targets",
        lambda study: study.change("real", "clean_targets", ["udpos", "tatoeba"]), figures("real"),
        ("clean_targets", "'tatoeba' has no score in the source language")),
    Bad("a number that YAML takes for text",
        lambda study: study.change("real", "targets.udpos.learning_rate", "1e-4"), figures("real"),
        ("learning_rate", "write 1.0e-4")),
]  # fmt: skip


def damage_text(study: Study) -> None:
    folder = study.mirror / multilingual_text.NAME
    folder.mkdir()
    (folder / "checksums.json").write_text("{", encoding="utf-8")


TABLE = [*PROFILES, *ASKED, *FOLDERS, *DATA, *ENCODERS, *RESULTS]


@pytest.mark.parametrize("bad", TABLE, ids=[f"{i}-{bad.what}" for i, bad in enumerate(TABLE)])
def test_bad_input_is_one_line_an_exit_code_and_no_change(
    study: Study, bad: Bad, record: Any
) -> None:
    bad.plant(study)
    before = study.listing()
    status, said = bad.door(study)
    assert before and status != 0
    assert said and len(said.splitlines()) == 1
    for part in bad.said:
        assert part in said
    assert study.listing() == before
    record("a profile, parameter, file or folder that cannot be")


def test_an_encoder_that_was_replaced_is_found(study: Study) -> None:
    settings = profile.load(str(study.profile("real")))

    def said() -> list[str]:
        return [line for line in verification.verify(settings).problems if "letters" in line]

    assert not said()
    weights = study.encoder.with_name("letters-1") / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    (line,) = said()
    assert line.endswith("letters-1/model.safetensors is another file than the study began with")


def test_the_same_study_without_a_fault_goes_through_every_door(study: Study) -> None:
    for door in (ENCODER, PARSING, TAGGING, SUPERTAGS, TATOEBA, MINING):
        assert door(study) == (0, "")
    assert tool(plan, "{study}/real.yaml")(study) == (0, "")
    for name in ("real", "artificial"):
        with pytest.raises(pytest.fail.Exception, match="the grid was started"):
            figures(name)(study)
