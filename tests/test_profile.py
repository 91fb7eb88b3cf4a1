"""A profile is wrong in its first second or not at all; `test_bad_input` has the wrong ones."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import pytest
import yaml

from lib import checks, intermediate, inventory, paths, profile, results, tasks
from lib.errors import InputError
from lib.profile import Condition

SHIPPED = sorted(file.stem for file in paths.PROFILES.glob("*.yaml"))
Content = dict[str, Any]


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_loads(name: str) -> None:
    loaded = profile.load(name)
    assert loaded.name == name
    assert loaded.summary
    assert {"none", "random"} <= set(loaded.conditions)


@pytest.fixture
def load(tmp_path: Path, micro_content: Callable[[], Content]) -> Callable[..., Any]:
    """Return a loader of the micro profile with one value changed or, with `...`, left out."""

    def one(key: str = "", value: Any = None) -> Any:
        content = micro_content()
        *path, last = key.split(".")
        inside = content
        for part in path:
            inside = inside[part]
        if value is ...:
            del inside[last]
        elif last:
            inside[last] = value
        file = tmp_path / "changed.yaml"
        file.write_text(yaml.safe_dump(content), encoding="utf-8")
        return profile.load(str(file))

    return one


def test_a_good_file_anywhere_is_loaded(load: Callable[..., Any]) -> None:
    loaded = load()
    assert loaded.name == "changed"
    assert loaded.target_languages == ["qaa", "qab"]


def test_a_condition_may_have_a_budget_of_its_own(load: Callable[..., Any]) -> None:
    loaded = load("conditions.stsb.budget", {"epochs": 3.0, "batch_examples": 32})
    assert loaded.budget_of("ud_parsing") == loaded.intermediate
    assert loaded.budget_of("stsb").epochs == 3 and loaded.budget_of("stsb").updates == 0


def test_a_condition_may_run_with_some_of_the_seeds(load: Callable[..., Any]) -> None:
    loaded = load("seeds", {1: 1, 2: 1, 3: 2})
    stsb = loaded.conditions["stsb"].model_copy(update={"seeds": [3, 1]})
    loaded = loaded.model_copy(update={"conditions": loaded.conditions | {"stsb": stsb}})
    assert loaded.seeds_of("stsb") == [1, 3] and loaded.seeds_of("none") == [1, 2, 3]
    assert ("stsb", 2) not in loaded.runs and ("none", 2) in loaded.runs
    assert intermediate.runs_of(loaded, "all", 2, trained=True) == [
        (name, 2) for name, how in loaded.conditions.items() if how.task and name != "stsb"
    ]
    assert intermediate.runs_of(loaded, "stsb", 0) == [("stsb", 1), ("stsb", 3)]
    message = refused(lambda: intermediate.runs_of(loaded, "stsb", 2))
    assert "seed: 2" in message and "for stsb" in message and "[1, 3]" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [("conditions.stsb", ...), ("conditions.ud_parsing", ...), ("clean_targets", [])],
)
def test_a_grid_that_no_analysis_could_answer_from_is_refused_before_it_runs(
    load: Callable[..., Any], key: str, value: Any
) -> None:
    checks.check_analyses(profile.load("tiny"))
    loaded = load(key, value)
    assert f": {key}: " in refused(lambda: checks.check_analyses(loaded))


def test_translations_are_wanted_in_languages_of_the_profile(load: Callable[..., Any]) -> None:
    wanted = {"task": "mnli", "translated": ["qaa"]}
    assert load("conditions.mnli", wanted).conditions["mnli"].translated == ["qaa"]
    message = refused(lambda: load("conditions.mnli", wanted | {"translated": ["de"]}))
    assert "conditions.mnli.translated: unknown language 'de'" in message and "qab" in message


def test_a_missing_profile_is_named_with_those_there_are(tmp_path: Path) -> None:
    message = refused(lambda: profile.load("wrold"))
    assert "'wrold'" in message
    assert all(name in message for name in SHIPPED)
    assert "gone.yaml" in refused(lambda: profile.load(str(tmp_path / "gone.yaml")))


# Data


def test_a_mirror_that_lacks_text_or_a_training_set_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    taken = profile.load("small_cpu")
    assert not taken.pretraining.tokens  # its encoder is there, and reads no text
    message = refused(lambda: inventory.check(taken))
    assert str(tmp_path) in message and "universal_dependencies" in message
    budget = taken.pretraining.model_copy(update={"tokens": 1000})
    trained = taken.model_copy(update={"pretraining": budget})
    assert "multilingual-text/en" in refused(lambda: inventory.check(trained))
    for code in trained.languages:
        (tmp_path / "multilingual-text" / code).mkdir(parents=True)
        assert f"{code}/train-" in refused(lambda: inventory.check(trained))
        (tmp_path / "multilingual-text" / code / "train-0.parquet").touch()
    message = refused(lambda: inventory.check(trained))
    assert "multilingual-text" not in message and "'small_cpu'" in message


def test_training_data_that_no_hub_has_are_refused_where_there_is_no_mirror(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DATA_ROOT", raising=False)
    message = refused(lambda: inventory.check(profile.load("small_cpu")))
    assert message.startswith("DATA_ROOT: not set") and "squadshifts/" in message
    inventory.check(profile.load("xtreme_base"))


def test_an_encoder_that_is_no_folder_has_to_say_its_commit_on_the_hub(micro: Any) -> None:
    def taken(**encoder: str) -> Any:
        own = micro.encoder.model_copy(update=encoder)
        return micro.model_copy(update={"encoder": own})

    inventory.check(taken(path="org/name", revision="c0ffee"))
    inventory.check(taken(path="data/encoders/small_cpu/seed={seed}"))
    for path in ("org/name", "data/encoders/small_cpu/seed=9"):
        message = refused(lambda path=path: inventory.check(taken(path=path)))
        assert f"encoder.path: {path!r} is no folder" in message and "encoder.revision" in message


def test_a_row_that_names_training_data_which_no_row_holds_is_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    row = dataclasses.replace(tasks.get("commonsense_qa"), name="mine", train=("my_data",))
    monkeypatch.setitem(tasks.TASKS, "mine", row)
    settings = profile.load("xtreme_base")
    conditions = settings.conditions | {"mine": Condition(task="mine")}
    message = refused(lambda: inventory.of(settings.model_copy(update={"conditions": conditions})))
    assert "unknown training data 'my_data'" in message and "lib/tasks.py" in message


def test_conditions_that_need_ccgbank_are_left_out_with_a_line_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    content = yaml.safe_load((paths.PROFILES / "small_cpu.yaml").read_text(encoding="utf-8"))
    content["conditions"] = {
        "none": {}, "random": {"random_encoder": True}, "stsb": {"task": "stsb"},
        "ccg": {"task": "ccg"}, "text": {"task": "mlm", "text_of": "ccg"},
    }  # fmt: skip
    file = tmp_path / "supertags.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.delenv("CCGBANK_ROOT", raising=False)
    left = profile.load(str(file)).conditions
    assert set(left) == set(content["conditions"]) - {"ccg", "text"}
    (line,) = capsys.readouterr().out.splitlines()
    for part in ("supertags", "ccg, text", "CCGBANK_ROOT"):
        assert part in line
    monkeypatch.setenv("CCGBANK_ROOT", str(tmp_path))
    assert set(profile.load(str(file)).conditions) == set(content["conditions"])
    assert capsys.readouterr().out == ""


def test_mlm_on_all_languages_is_left_out_with_a_line_where_there_is_no_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DATA_ROOT", raising=False)
    content = yaml.safe_load((paths.PROFILES / "small_cpu.yaml").read_text(encoding="utf-8"))
    content["conditions"] = {
        "none": {}, "random": {"random_encoder": True}, "joint": {"task": "stsb", "joint_mlm": 0.5}
    }  # fmt: skip
    file = tmp_path / "joint.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert "joint" not in profile.load(str(file)).conditions
    assert "skips joint: multilingual-text is not on the hub" in capsys.readouterr().out
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    for code in content["languages"][:-1]:
        assert "joint" not in profile.load(str(file)).conditions
        assert f"has no {code}" in capsys.readouterr().out
        (tmp_path / "multilingual-text" / code).mkdir(parents=True)
        (tmp_path / "multilingual-text" / code / "train-0.parquet").touch()
    assert "joint" not in profile.load(str(file)).conditions
    (tmp_path / "multilingual-text" / content["languages"][-1]).mkdir()
    (tmp_path / "multilingual-text" / content["languages"][-1] / "train-0.parquet").touch()
    assert "joint" in profile.load(str(file)).conditions


def test_a_world_needs_no_mirror(micro: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ROOT", "/nowhere")
    inventory.check(micro)
    root = profile.data_root(micro)
    assert root is not None and root.parent == paths.worlds()


def test_every_shipped_real_profile_finds_its_data(mirror: Path) -> None:
    for name in SHIPPED:
        settings = profile.load(name)
        if settings.world is None and name.startswith("small_cpu"):
            inventory.check(settings)


def test_a_digest_follows_values_and_not_their_order() -> None:
    one = profile.digest({"a": 1, "b": {"c": [1, 2], "d": "é"}})
    assert profile.digest({"b": {"d": "é", "c": [1, 2]}, "a": 1}) == one
    assert profile.digest({"a": 1, "b": {"c": [2, 1], "d": "é"}}) != one
    assert profile.digest({"a": True, "b": {"c": [1, 2], "d": "é"}}) != one


# XTREME

PHANG = {"anli", "mnli", "qqp", "squad_v2", "squad", "hellaswag", "ccg", "cosmos_qa",
         "commonsense_qa"}  # fmt: skip
# jiant at daa5a258e3af, scripts/benchmarks/xtreme/subscripts: epochs, batch, length.
PHANG_TARGETS = {
    "xnli": (2, 32, 256), "pawsx": (5, 32, 256), "udpos": (10, 32, 256), "panx": (10, 32, 256),
    "xquad": (2, 16, 384), "mlqa": (2, 16, 384), "tydiqa": (2, 16, 384),
}  # fmt: skip


@pytest.fixture(params=["xtreme_base", "xtreme_large"])
def xtreme(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> profile.Profile:
    """Return each XTREME profile, nothing left out for want of CCGbank or of text."""
    return whole(request.param, tmp_path, monkeypatch)


def whole(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> profile.Profile:
    monkeypatch.setenv("CCGBANK_ROOT", str(folder))
    monkeypatch.setenv("DATA_ROOT", str(folder))
    for code in pandas.read_csv(paths.LANGUAGES)["code"]:
        (folder / "multilingual-text" / code).mkdir(parents=True)
        (folder / "multilingual-text" / code / "train-0.parquet").touch()
    return profile.load(name)


def test_xtreme_fine_tunes_as_phang_et_al_do(xtreme: profile.Profile) -> None:
    assert set(xtreme.targets) == {*PHANG_TARGETS, "bucc", "tatoeba"}
    assert len(xtreme.languages) == len(set(xtreme.languages)) == 40
    for name, expected in PHANG_TARGETS.items():
        how = xtreme.targets[name]
        assert (how.epochs, how.batch_examples, how.max_sequence_length) == expected
        assert (how.learning_rate, how.warmup_ratio) == (1e-5, 0.1)


def test_xtreme_compares_the_questions_conditions_on_one_budget(xtreme: profile.Profile) -> None:
    compared = ["ud_parsing", "stsb", "ud_parsing_shuffled", "mlm_on_ewt_text", "mlm_on_stsb_text",
                "ud_parsing-deep_biaffine", "stsb-bi", "sick", "qqp", "paws", "ccg"]  # fmt: skip
    assert all(xtreme.budget_of(name) == xtreme.intermediate for name in compared)
    assert "udpos" not in xtreme.clean_targets  # udpos.English holds EWT
    assert not {"bucc", "tatoeba"} & set(xtreme.clean_targets)


def test_xtreme_trains_a_condition_of_each_kind(xtreme: profile.Profile) -> None:
    from lib import tasks

    found = {tasks.get(name).kind for how in xtreme.conditions.values() for name in how.trained
             if name}  # fmt: skip
    assert found == {"parsing", "tagging", "regression", "classification", "multiple_choice",
                     "span", "mlm"}  # fmt: skip
    conditions = xtreme.conditions.values()
    assert any(how.task == "multitask" and how.cap for how in conditions)
    assert any(how.joint_mlm for how in conditions)
    assert {("de",), ("all",)} <= {tuple(how.translated) for how in conditions}


def test_xtreme_large_trains_all_nine_tasks_of_phang_et_al_on_their_budget(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = whole("xtreme_large", tmp_path, monkeypatch)
    for suffix, share in (("", 0), ("-joint_mlm", 0.2)):
        for task in PHANG:
            name = f"{task}-3epochs{suffix}"
            how, budget = settings.conditions[name], settings.budget_of(name)
            assert (how.task, how.joint_mlm) == (task, share)
            length = 384 if task.startswith("squad") else 256
            assert (budget.epochs, budget.batch_examples) == (3, 32)
            assert (budget.learning_rate, budget.max_sequence_length) == (1e-5, length)
        assert set(settings.conditions[f"multitask{suffix}"].tasks) == PHANG


def test_an_encoder_for_each_seed_is_named_by_its_seed(tmp_path: Path) -> None:
    content = yaml.safe_load((paths.PROFILES / "small_cpu.yaml").read_text(encoding="utf-8"))
    content |= {
        "encoder": {"path": "ours/seed={seed}"}, "seeds": {1: 3, 2: 5, 4: 3},
        "conditions": {"none": {}, "random": {"random_encoder": True}},
    }  # fmt: skip
    file = tmp_path / "several.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    settings = profile.load(str(file))
    assert settings.encoder_ids == ["ours/seed=3", "ours/seed=5"]
    assert profile.encoder_path(settings, 5) == "ours/seed=5"
    assert profile.encoder_path(settings) == "ours/seed=3"


def test_without_text_an_encoder_of_the_hub_is_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    assert "ud_parsing-joint_mlm" not in profile.load("xtreme_base").conditions
    assert "skips ud_parsing-joint_mlm, stsb-joint_mlm" in capsys.readouterr().out


def test_a_command_names_a_profile_as_it_was_named(tmp_path: Path) -> None:
    file = tmp_path / "of mine" / "own.yaml"
    file.parent.mkdir()
    file.write_text((paths.PROFILES / "tiny.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    assert profile.load("tiny").command() == "make figures PROFILE=tiny"
    own = profile.load(str(file))
    assert own.command("check") == f"make check PROFILE='{file}'"
    with pytest.raises(InputError, match=re.escape(own.command())):
        results.collect(own.model_copy(update={"clean_targets": []}))
