"""A mirror gives what the hub gives; a killed download goes on; what is not had is one line."""

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib import corpora, hub_listing, hub_mirror, inventory, paths, profile, transfer
from lib.errors import InputError

ENCODER = "org/small-encoder"
SENTENCES = [["a", "dog", "runs"], ["two", "cats", "sleep"], ["no", "bird", "sings", "here"]] * 8
PAIRS = {"sentence1": ["a dog runs"] * 8, "sentence2": ["a cat runs", "a dog"] * 4}


@pytest.fixture
def hub(
    tmp_path: Path, write: Callable[..., None], small_encoder: Any, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """Stand in for the hub: a folder in its layout; returns it and a list of what is asked for."""
    import datasets
    import huggingface_hub
    from datasets import ClassLabel, Sequence
    from huggingface_hub.utils import filter_repo_objects

    from lib import encoder

    words = {"tokens": SENTENCES}
    upos = Sequence(ClassLabel(names=list("ABC")))
    tags = [[i % 3 for i, _ in enumerate(words)] for words in SENTENCES]
    tree = {"head": [[str(i) for i, _ in enumerate(words)] for words in SENTENCES],
            "deprel": [["dep"] * len(words) for words in SENTENCES], "upos": tags}  # fmt: skip
    for split in ("train", "validation", "test"):
        write("commul/universal_dependencies", "en_ewt", split, words | tree, upos=upos)
        for name in ("English", "German"):
            named = Sequence(ClassLabel(names=["NOUN", "VERB", "DET"]))
            rows = words | {"pos_tags": tags}
            write("google/xtreme", f"udpos.{name}", split, rows, pos_tags=named)
        write("nyu-mll/glue", "stsb", split, PAIRS | {"label": [1.0, 4.5] * 4})
    pairs = {"source_sentence": ["ein Hund"] * 4, "target_sentence": list("abcd")}
    write("google/xtreme", "tatoeba.deu", "validation", pairs)
    tokenizer = encoder.train_tokenizer([" ".join(words) for words in SENTENCES], 60)
    encoder.save(small_encoder(len(tokenizer)), tokenizer, tmp_path / ENCODER)
    for other in ("pytorch_model.bin", "README.md", "onnx/tokenizer.json"):
        (tmp_path / ENCODER / other).parent.mkdir(exist_ok=True)
        (tmp_path / ENCODER / other).write_text("not wanted")
    asked: list[str] = []

    def from_hub(dataset: str, config: str, split: str) -> Any:
        asked.append(f"{dataset}/{config}/{split}")
        if not (tmp_path / dataset).is_dir():
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{dataset}' doesn't exist")
        return datasets.load_dataset(str(tmp_path / dataset), config, split=split)

    def download(path: str, revision: str, local_dir: Path, allow_patterns: list[str]) -> None:
        asked.append(path)
        files = [str(f.relative_to(tmp_path / path)) for f in (tmp_path / path).rglob("*.*")]
        for file in filter_repo_objects(files, allow_patterns=allow_patterns):
            (local_dir / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tmp_path / path / file, local_dir / file)

    monkeypatch.setattr(corpora, "from_hub", from_hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.delenv("DATA_ROOT", raising=False)
    return tmp_path, asked


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory, micro_content: Callable[[], Any]) -> Any:
    """Return a profile of real ids with an encoder from the hub."""
    content = micro_content()
    small = {"updates": 2, "batch_tokens": 64, "max_sequence_length": 32}
    content |= {
        "languages": ["en", "de"],
        "world": None,
        "encoder": {"path": ENCODER, "revision": "abc"},
        "pretraining": {},
        "conditions": {
            "none": {}, "random": {"random_encoder": True}, "ud_parsing": {"task": "ud_parsing"},
            "stsb": {"task": "stsb"},
        },
        "targets": {"udpos": small, "tatoeba": {}},
        "clean_targets": ["udpos"],
    }  # fmt: skip
    file = tmp_path_factory.mktemp("profiles") / "mirrored.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return profile.load(str(file))


def files_of(folder: Path) -> set[str]:
    return {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}


def test_a_mirror_gives_the_examples_of_the_hub_and_the_grid_runs_from_it(
    hub: Any, settings: Any, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    origin, _ = hub
    mirror = tmp_path_factory.mktemp("mirror")
    assert hub_mirror.build(settings, mirror) == []
    splits = inventory.of(settings)
    assert {split.name for split in splits} == {
        "commul/universal_dependencies/en_ewt/train",
        "commul/universal_dependencies/en_ewt/validation",
        "nyu-mll/glue/stsb/train", "nyu-mll/glue/stsb/validation",
        "google/xtreme/udpos.English/train", "google/xtreme/udpos.English/validation",
        "google/xtreme/udpos.English/test", "google/xtreme/udpos.German/test",
        "google/xtreme/tatoeba.deu/validation",
    }  # fmt: skip
    for split in splits:
        found = []
        for root in (origin, mirror):
            monkeypatch.setenv("DATA_ROOT", str(root))
            found.append(corpora.load(settings, split.source))
        assert found[0] == found[1] and found[0]
    assert profile.encoder_path(settings) == str(mirror / ENCODER)
    shutil.rmtree(origin / ENCODER)
    (run,) = transfer.run(settings, "none", "udpos", 1)
    assert set(run.scores["language"]) == {"en", "de"}


def test_only_what_the_profile_needs_is_brought(
    hub: Any, settings: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mirror = tmp_path_factory.mktemp("mirror")
    hub_mirror.build(settings, mirror)
    found = files_of(mirror)
    data = {f"{split.name}-00000-of-00001.parquet" for split in inventory.of(settings)}
    cards = {f"{split.source.dataset}/README.md" for split in inventory.of(settings)}
    assert data | cards | {"manifest.json"} == {f for f in found if not f.startswith(ENCODER)}
    names = {file.removeprefix(f"{ENCODER}/") for file in found if file.startswith(ENCODER)}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not names & {"pytorch_model.bin", "README.md", "onnx/tokenizer.json"}


def test_the_manifest_names_every_file_with_its_revision_and_checksum(
    hub: Any, settings: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mirror = tmp_path_factory.mktemp("mirror")
    hub_mirror.build(settings, mirror)
    manifest = json.loads((mirror / "manifest.json").read_text())
    assert set(manifest) == {f for f in files_of(mirror) if not f.endswith(("README.md", ".json"))
                             or f.startswith(ENCODER)}  # fmt: skip
    for name, entry in manifest.items():
        content = (mirror / name).read_bytes()
        assert entry["sha256"] == hashlib.sha256(content).hexdigest()
        assert entry["bytes"] == len(content)
    entry = manifest["commul/universal_dependencies/en_ewt/train-00000-of-00001.parquet"]
    assert entry["revision"] == "2.5" and entry["rows"] == len(SENTENCES)


def test_a_second_call_asks_for_nothing_and_a_new_revision_is_fetched(
    hub: Any, settings: Any, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    _, asked = hub
    mirror = tmp_path_factory.mktemp("mirror")
    hub_mirror.build(settings, mirror)
    first = capsys.readouterr().out.splitlines()
    assert len(first) == len(asked) == len(inventory.of(settings)) + 1
    asked.clear()
    hub_mirror.build(settings, mirror)
    again = capsys.readouterr().out.splitlines()
    assert not asked
    assert len(again) == len(first) and all("was there" in line for line in again)
    monkeypatch.setitem(corpora.revisions.REVISIONS, "nyu-mll/glue", "another")
    hub_mirror.build(settings, mirror)
    assert asked == ["nyu-mll/glue/stsb/train", "nyu-mll/glue/stsb/validation"]


@pytest.mark.parametrize("killed_at", range(0, 10, 3))
def test_a_killed_download_leaves_no_half_file_and_goes_on(
    hub: Any, settings: Any, killed_at: int, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import datasets

    _, asked = hub
    mirror = tmp_path_factory.mktemp("mirror")
    whole = datasets.Dataset.to_parquet

    def half(table: Any, file: Path) -> None:
        if len(asked) > killed_at:
            file.write_bytes(b"PAR1 half")
            raise KeyboardInterrupt
        whole(table, file)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(datasets.Dataset, "to_parquet", half)
        hub_mirror.build(settings, mirror)
        raise KeyboardInterrupt  # the last one: all splits were there
    for name in files_of(mirror):
        if name.endswith(".parquet"):
            assert (mirror / name).read_bytes()[-4:] == b"PAR1"
    done = [name for name in files_of(mirror) if name.endswith(".parquet")]
    assert len(done) == min(killed_at, len(inventory.of(settings)))
    asked.clear()
    assert hub_mirror.build(settings, mirror) == []
    left = len(inventory.of(settings)) - len(done)
    assert len([name for name in asked if name != ENCODER]) == left
    assert not [name for name in files_of(mirror) if name.endswith(".part")]


def test_what_the_hub_does_not_have_is_one_line_and_the_rest_is_brought(
    hub: Any, settings: Any, tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    origin, _ = hub
    mirror = tmp_path_factory.mktemp("mirror")
    shutil.rmtree(origin / "nyu-mll")
    failed = hub_mirror.build(settings, mirror)
    assert len(failed) == 2 and not any("\n" in line for line in failed)
    assert "nyu-mll/glue/stsb/train" in failed[0] and "doesn't exist" in failed[0]
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines if "not had" in line] == [
        "nyu-mll/glue/stsb/train",
        "nyu-mll/glue/stsb/validation",
    ]
    brought = [split for split in inventory.of(settings) if split.stands_in(mirror)]
    assert len(brought) == len(inventory.of(settings)) - 2


def test_an_encoder_without_safetensors_is_not_had(
    hub: Any, settings: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    origin, _ = hub
    mirror = tmp_path_factory.mktemp("mirror")
    (origin / ENCODER / "model.safetensors").unlink()
    (failed,) = hub_mirror.build(settings, mirror)
    assert ENCODER in failed and "no safetensors" in failed
    assert not (mirror / ENCODER).exists()


def test_what_is_on_no_hub_is_named_with_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[..., None]
) -> None:
    for name in ("DATA_ROOT", "CCGBANK_ROOT"):
        monkeypatch.delenv(name, raising=False)
    write("multilingual-text", "af", "train", {"text": ["een"]})
    text, pairs, grammar = hub_listing.elsewhere(profile.load("xtreme_base", whole=True), tmp_path)
    assert "lib.multilingual_text" in text and " ar bg " in text and " af " not in text
    assert "bucc2018" in pairs and "de-en, fr-en, ru-en, zh-en" in pairs
    assert "CCGBANK_ROOT" in grammar


def test_a_world_and_a_broken_manifest_are_one_line(tmp_path: Path, settings: Any) -> None:
    with pytest.raises(InputError, match="world"):
        hub_mirror.build(profile.load("tiny"), tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(InputError, match=r"manifest\.json"):
        hub_mirror.build(settings, tmp_path)


def test_an_encoder_of_the_repository_is_not_asked_of_the_hub(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DATA_ROOT", raising=False)
    settings = profile.load("small_cpu")
    there = paths.REPOSITORY / "data/encoders/small_cpu/seed=1"
    assert profile.encoder_path(settings) == str(there)
    assert not hub_listing.of_hub(settings)


# What the hub's own command brings


def downloaded(origin: Path, settings: Any, folder: Path, place: str = "{config}/{file}") -> None:
    """Do as the commands of the listing say, by the hub's own rule for patterns.

    `place` is where the hub's repositories keep the file of a configuration.
    """
    from huggingface_hub.utils import filter_repo_objects

    for command in hub_listing.commands(settings, str(folder)):
        words = shlex.split(" ".join(line.removesuffix("\\") for line in command))
        name, local = words[2], Path(words[words.index("--local-dir") + 1])
        patterns = [words[i + 1] for i, word in enumerate(words) if word == "--include"]
        files = {}
        for file in (origin / name).rglob("*.*"):
            inside = file.relative_to(origin / name)
            if file.suffix == ".parquet":
                split = inside.name.split("-")[0]
                there = place.format(config=inside.parts[0], file=inside.name, split=split)
            else:
                there = str(inside)
            files[there] = file
        for there in filter_repo_objects(list(files), allow_patterns=patterns):
            (local / there).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(files[there], local / there)


@pytest.mark.parametrize(
    "place", ["{config}/{file}", "parquet/{config}/{file}", "{config}/{split}/0000.parquet"]
)
def test_what_the_printed_commands_download_becomes_the_mirror_without_a_network(
    hub: Any, settings: Any, place: str, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    origin, asked = hub
    downloads, mirror = tmp_path_factory.mktemp("downloads"), tmp_path_factory.mktemp("mirror")
    downloaded(origin, settings, downloads, place)
    assert len(list(downloads.rglob("*.parquet"))) == len(inventory.of(settings))  # none too many
    assert hub_mirror.build(settings, mirror, downloads) == []
    assert not asked
    for split in inventory.of(settings):
        found = []
        for root in (origin, mirror):
            monkeypatch.setenv("DATA_ROOT", str(root))
            found.append(corpora.load(settings, split.source))
        assert found[0] == found[1] and found[0]
    assert profile.encoder_path(settings) == str(mirror / ENCODER)
    entry = json.loads((mirror / "manifest.json").read_text())[f"{ENCODER}/model.safetensors"]
    assert entry["revision"] == "abc"


def test_a_download_of_another_commit_or_without_a_split_is_one_line(
    hub: Any, settings: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    origin, _ = hub
    downloads, mirror = tmp_path_factory.mktemp("downloads"), tmp_path_factory.mktemp("mirror")
    downloaded(origin, settings, downloads)
    notes = downloads / "nyu-mll/glue/.cache/huggingface/download/stsb"
    notes.mkdir(parents=True)
    (notes / "train-00000-of-00001.parquet.metadata").write_text(f"{'f' * 40}\netag\n1\n")
    shutil.rmtree(downloads / "google/xtreme/udpos.German")
    failed = hub_mirror.build(settings, mirror, downloads)
    assert len(failed) == 3 and not any("\n" in line for line in failed)
    assert "ffff, expected bcdcba79" in failed[0] and "nyu-mll/glue" in failed[0]
    assert "udpos.German/test" in failed[2]
    with pytest.raises(InputError, match="FROM: no such folder"):
        hub_mirror.build(settings, mirror, downloads / "nothing")


def test_the_list_names_every_split_with_revision_and_size_and_asks_for_nothing(
    hub: Any, settings: Any, tmp_path_factory: pytest.TempPathFactory,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    _, asked = hub
    mirror = tmp_path_factory.mktemp("mirror")
    monkeypatch.setattr(hub_mirror.profile, "load", lambda *_, **__: settings)
    assert hub_mirror.main(["mirrored", "--folder", str(mirror), "--list"]) == 0
    rows = [line.split() for line in capsys.readouterr().out.split("\n\n")[0].splitlines()[1:]]
    assert {"/".join(row[:3]) for row in rows if row[0] != ENCODER} == {
        split.name for split in inventory.of(settings)
    }
    by_name = {"/".join(row[:3]): row[3:] for row in rows}
    assert by_name["commul/universal_dependencies/en_ewt/train"][0] == "2.5"
    # EWT: 12,543 training sentences (Nivre et al. 2020) of 22.9 tokens, at four letters each.
    assert by_name["commul/universal_dependencies/en_ewt/train"][1:] == ["about", "1.1"]
    assert rows[-1] == [ENCODER, "encoder", "abc", "unknown"]
    assert not asked and not any(mirror.iterdir())
    hub_mirror.build(settings, mirror)
    file = mirror / "nyu-mll/glue/stsb/train-00000-of-00001.parquet"
    lines = hub_listing.describe(settings, mirror)
    (row,) = [line.split() for line in lines if line.split()[1:3] == ["stsb", "train"]]
    assert row[-1] == f"{file.stat().st_size / 1e6:.1f}" and "about" not in row


@pytest.mark.parametrize(
    ("config", "split", "rows", "english"), [("XNLI", "validation", 37_350, 2_490),
                                             ("tydiqa", "train", 49_881, 3_696)]
)  # fmt: skip
def test_a_file_of_all_languages_is_listed_with_the_text_of_all(
    config: str, split: str, rows: int, english: int, tmp_path: Path
) -> None:
    """Rows: fifteen languages of XNLI; TyDi QA's gold passages as the hub's card counts them."""
    settings = hub_mirror.profile.load("xtreme_base")
    (listed,) = [
        each for each in inventory.of(settings)
        if (each.source.config, each.source.split) == (config, split)
    ]  # fmt: skip
    size = hub_listing._megabytes(settings, listed, tmp_path)[0]
    of_english = hub_listing.plan.characters(settings, listed) / 1e6
    # Languages differ in length: within a third of rows at the length of English.
    assert size == pytest.approx(of_english * rows / english, rel=1 / 3)


def test_a_shipped_profile_lists_what_no_table_knows_as_unknown_and_no_id_without_an_owner(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DATA_ROOT", raising=False)
    listed = hub_listing.describe(profile.load("small_cpu", whole=True), tmp_path)
    assert "not on the hub: squadshifts: see data/README.md" in listed
    assert not any(line.startswith("hf download squadshifts") for line in listed)
    table = listed[1 : listed.index("")]
    unknown = [line for line in table if line.endswith("unknown")]
    (summary,) = [line for line in listed if "entries" in line]
    assert f"{len(table)} entries" in summary
    assert f"{len(unknown)} of unknown size" in summary
