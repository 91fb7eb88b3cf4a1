"""Nothing that is read can run: no code of others, no pickle, no shell, no open server.

Over every file that git tracks, and by syntax trees, in which a comment or a text is no call.
"""

import ast
import json
import pickle
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from lib import encoder, multilingual_text, paths, profile, revisions, tasks
from lib.errors import InputError

PICKLES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
PICKLED_WEIGHTS = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".h5", ".npy", ".npz"}
READS_PICKLES = {"read_pickle", "to_pickle", "unsafe_load", "full_load", "unsafe_load_all"}
SHELLS = {"os.system", "os.popen", "get_ipython", "eval", "exec", "__import__", "compile"}
LOADERS = {"from_pretrained", "from_config"}
WITHOUT_WEIGHTS = ("AutoConfig.", "AutoTokenizer.")
# What a notebook may name; who runs one need not read more than `lib` to know what it does.
OF_NOTEBOOKS = {"lib", "pandas", "numpy", "IPython", "importlib"}
COMMIT = re.compile(r"[0-9a-f]{40}")
# Read at a branch and at a tag; the hub's own name of either could move. Which commits they are
# could not be looked up when this was written: there was no network.
UNPINNED = {"RobZamp/sick": "refs/convert/parquet", "commul/universal_dependencies": "2.5"}


def tracked(*endings: str) -> list[Path]:
    """List the files that git tracks; skip where this is no checkout."""
    command = ["git", "-C", str(paths.REPOSITORY), "ls-files", "-z"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a checkout of git: no list of tracked files")
    files = [paths.REPOSITORY / name for name in done.stdout.split("\0") if name]
    return [file for file in files if not endings or file.name.endswith(endings)]


def cells(file: Path) -> list[str]:
    content = json.loads(file.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def name_of(node: ast.expr) -> str:
    """Return the dotted name of what is called, as far as it is one."""
    if isinstance(node, ast.Attribute):
        return f"{name_of(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def distrusted(source: str) -> Iterator[str]:
    """Say of Python what it does that would run what it reads."""
    for node in ast.walk(ast.parse(source)):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        yield from (f"imports {name}" for name in modules if name.split(".")[0] in PICKLES)
        if not isinstance(node, ast.Call):
            continue
        called, last = name_of(node.func), name_of(node.func).rpartition(".")[2]
        given = {word.arg: getattr(word.value, "value", ...) for word in node.keywords if word.arg}
        for word in ("trust_remote_code", "allow_pickle", "shell"):
            if given.get(word, False) is not False:
                yield f"{called}({word}={given[word]})"
        if called == "torch.load" and given.get("weights_only") is not True:
            yield "torch.load without weights_only=True"
        if called in ("torch.save", "os.system", "os.popen") or last in READS_PICKLES:
            yield f"calls {called}"
        if last in LOADERS and given.get("trust_remote_code") is not False:
            yield f"{called} without trust_remote_code=False"
        if last == "from_pretrained" and "revision" not in given:
            yield f"{called} without a revision"
        weights = last == "from_pretrained" and not called.startswith(WITHOUT_WEIGHTS)
        if weights and given.get("use_safetensors") is not True:
            yield f"{called} without use_safetensors=True"


def shells(source: str) -> Iterator[str]:
    """Say of a notebook's cell what it runs, or could run, beside Python's calls of `lib`."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:  # `!`, `%` and `%%` are no Python
        yield f"is no Python: {(error.text or '').strip()}"
        return
    for node in ast.walk(tree):
        modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            modules = [node.module or ""]
        yield from (f"imports {name}" for name in modules if name.split(".")[0] not in OF_NOTEBOOKS)
        if isinstance(node, ast.Call) and name_of(node.func) in SHELLS:
            yield f"calls {name_of(node.func)}"


# What is planted is found


@pytest.mark.parametrize(
    "planted",
    [
        "import pickle",
        "from joblib import load",
        "AutoModel.from_pretrained(x, revision=r, use_safetensors=True, trust_remote_code=True)",
        "AutoModel.from_pretrained(x, revision=r, use_safetensors=True)",
        "AutoModel.from_pretrained(x, revision=r, trust_remote_code=False)",
        "AutoConfig.from_pretrained(x, trust_remote_code=False)",
        "AutoModel.from_config(x)",
        "load_dataset(x, trust_remote_code=flag)",
        "torch.load(x)",
        "torch.load(x, weights_only=False)",
        "torch.save(model, x)",
        "np.load(x, allow_pickle=True)",
        "pd.read_pickle(x)",
        "yaml.unsafe_load(x)",
        "subprocess.run(x, shell=True)",
        "os.system('ls')",
    ],
)
def test_what_would_run_what_is_read_is_found(planted: str) -> None:
    assert list(distrusted(f"def f(x):\n    return 1\n{planted}\n"))


@pytest.mark.parametrize(
    "planted",
    ["!pip install x", "%pip install x", "%%bash\nls", "import subprocess", "from os import system",
     "get_ipython().system('ls')", "exec(x)", "__import__('os')", "import requests"],
)  # fmt: skip
def test_a_shell_in_a_notebook_is_found(planted: str) -> None:
    assert list(shells(f"a = 1\n{planted}\n"))


def test_words_alone_are_not_taken_for_calls() -> None:
    said = "'''No pickle, no torch.load, no trust_remote_code=True.'''\n# import pickle\n"
    assert not list(distrusted(f"{said}torch.load(x, weights_only=True)"))
    assert not list(shells(f"{said}'!pip install x'"))


# What is ours


def test_no_code_of_ours_runs_what_it_reads() -> None:
    files = [file for file in tracked(".py") if (paths.REPOSITORY / "lib") in file.parents]
    assert len(files) > 50
    sources = [(file, file.read_text(encoding="utf-8")) for file in files]
    sources += [(file, source) for file in tracked(".ipynb") for source in cells(file)]
    assert not [f"{file}: {what}" for file, source in sources for what in distrusted(source)]


def test_no_other_file_asks_for_code_of_others() -> None:
    wanted = re.compile(r"trust_remote_code\W{1,3}(true|1)\b|allow_pickle\W{1,3}(true|1)\b", re.I)
    files = tracked("Snakefile", "Makefile", ".yaml", ".yml", ".toml", ".json", ".sh", "run")
    assert paths.REPOSITORY / "Snakefile" in files
    assert not [file for file in files if wanted.search(file.read_text(encoding="utf-8"))]
    assert wanted.search("encoder: {trust_remote_code: true}")


def test_no_notebook_runs_a_shell_or_installs_anything() -> None:
    notebooks = tracked(".ipynb")
    assert len(notebooks) >= 9
    assert not [
        f"{file.name}: {what}"
        for file in notebooks
        for source in cells(file)
        for what in shells(source)
    ]


def test_no_weights_are_committed_but_safetensors() -> None:
    assert not [file for file in tracked() if file.suffix in PICKLED_WEIGHTS]
    assert tracked(".safetensors")


def test_what_the_hub_gives_is_pinned_to_a_commit() -> None:
    read = [source for row in tasks.TASKS.values() for source in (row.validation, row.evaluation)]
    read += [*tasks.TRAINING.values(), *(row.translated for row in tasks.TASKS.values())]
    names = {revisions.HUB_IDS.get(source.dataset, source.dataset) for source in read if source}
    on_hub = {name for name in names if "/" in name}
    assert on_hub <= set(revisions.REVISIONS)
    pinned = revisions.REVISIONS | {multilingual_text.WIKIPEDIA: multilingual_text.REVISION}
    other = {name: at for name, at in pinned.items() if not COMMIT.fullmatch(at)}
    assert other == UNPINNED


def test_every_profile_pins_the_encoder_that_it_takes_from_the_hub() -> None:
    asked = 0
    for file in tracked(".yaml"):
        settings = yaml.safe_load(file.read_text(encoding="utf-8")).get("encoder") or {}
        path = settings.get("path", "").replace("{seed}", "1")
        if path and not (paths.REPOSITORY / path).is_dir():
            asked += 1
            assert COMMIT.fullmatch(settings.get("revision", "")), file
    assert asked >= 2


# What others hand us


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the encoder in the repository."""
    return Path(
        shutil.copytree(profile.encoder_path(profile.load("small_cpu")), tmp_path / "encoder")
    )


class Marks:
    """Leave a mark as soon as it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return Path.touch, (self.mark,)


def test_pickled_weights_are_refused_unread(folder: Path, tmp_path: Path) -> None:
    (folder / "model.safetensors").unlink()
    for name in ("pytorch_model.bin", "model.safetensors.bin", "model.pt"):
        (folder / name).write_bytes(pickle.dumps(Marks(tmp_path / "mark")))
    for load in (encoder.load, encoder.load_for_mlm):
        with pytest.raises(InputError, match="safetensors"):
            load(folder)
    assert not (tmp_path / "mark").exists()
    pickle.loads((folder / "model.pt").read_bytes())
    assert (tmp_path / "mark").exists(), "the mark would have been left"


@pytest.mark.parametrize("kind", ["xlm-roberta", "martian"])
def test_code_that_an_encoder_brings_is_never_run(folder: Path, tmp_path: Path, kind: str) -> None:
    settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    settings |= {"model_type": kind, "auto_map": {"AutoConfig": "own.C", "AutoModel": "own.M"}}
    (folder / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    names = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    names |= {"auto_map": {"AutoTokenizer": ["own.T", "own.T"]}, "tokenizer_class": "OwnTokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(names), encoding="utf-8")
    (folder / "own.py").write_text(f"open({str(tmp_path / 'mark')!r}, 'w')\n", encoding="utf-8")
    for load in (encoder.load_tokenizer, encoder.load, encoder.load_for_mlm):
        try:
            load(folder)
        except InputError as error:
            assert "code of its own" in str(error) or load is encoder.load_tokenizer
    assert not (tmp_path / "mark").exists()
    if kind == "xlm-roberta":  # known by its name: our own code reads it, with its weights
        written = load_file(folder / "model.safetensors")
        for name, weight in encoder.load(folder).state_dict().items():
            assert weight.cpu().equal(written[f"roberta.{name}"])


def test_a_profile_cannot_construct_objects(tmp_path: Path) -> None:
    mark, file = tmp_path / "mark", tmp_path / "object.yaml"
    file.write_text(f"summary: !!python/object/apply:os.mkdir [{mark}]\n", encoding="utf-8")
    with pytest.raises(InputError, match="python/object"):
        profile.load(str(file))
    assert not mark.exists()


# JupyterLab


def lab_arguments() -> list[str]:
    """Return the arguments that `make lab` gives to JupyterLab."""
    if not shutil.which("make"):
        pytest.skip("make is not here: what `make lab` runs cannot be asked")
    command = ["make", "-n", "-C", str(paths.REPOSITORY), "lab"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    (line,) = [line for line in said.splitlines() if "jupyter lab" in line]
    return shlex.split(line.partition("jupyter lab")[2])


def server(arguments: list[str]) -> tuple[str, str, bool]:
    """Return a server's address, its token, and whether it lets others in, as it would start."""
    from jupyter_server.serverapp import ServerApp

    app = ServerApp()
    app.parse_command_line(arguments)
    identity = app.identity_provider_class(parent=app)
    return app.ip, identity.token, app.allow_remote_access or bool(app.allow_origin)


def test_jupyterlab_listens_to_this_machine_alone_and_wants_its_token() -> None:
    address, token, open_to_others = server(lab_arguments())
    assert address in ("localhost", "127.0.0.1")
    assert len(token) >= 32 and not open_to_others


@pytest.mark.parametrize(
    "argument", ["--ip=0.0.0.0", "--IdentityProvider.token=", "--ServerApp.allow_origin=*"]
)
def test_an_open_server_would_be_seen(argument: str) -> None:
    address, token, open_to_others = server([*lab_arguments(), argument])
    assert address == "0.0.0.0" or token == "" or open_to_others


def test_no_configuration_of_jupyter_opens_it_behind_the_command() -> None:
    assert not [file for file in tracked() if re.match(r"jupyter_.*config", file.name)]
