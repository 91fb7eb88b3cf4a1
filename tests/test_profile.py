"""A profile is wrong in its first second or not at all; one line names file and key."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib import paths, profile
from lib.errors import InputError

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


# (key changed, its value, what the line must name)
BAD = [
    ("bugdet", 3, "bugdet"),
    ("encoder.hiden_size", 16, "encoder.hiden_size"),
    ("pretraining.epochs", 3, "pretraining.epochs"),
    ("targets.udpos.learning_rat", 0.1, "targets.udpos.learning_rat"),
    ("intermediate.updates", "many", "intermediate.updates"),
    ("intermediate.updates", 2.5, "intermediate.updates"),
    ("encoder.dropout", "1e-1", "encoder.dropout"),
    ("languages", "en", "languages"),
    ("seeds", {"one": 1}, "seeds"),
    ("seeds", ..., "seeds"),
    ("encoder", ..., "encoder"),
    ("targets.xquad.pooling", "max", "targets.xquad.pooling"),
    ("targets.xquad.pair", "bi", "targets.xquad.pair"),
    ("targets.xquad.split", "train", "targets.xquad.split"),
    ("targets.mlqua", {}, "targets.mlqua"),
    ("targets.stsb", {}, "targets.stsb"),
    ("targets.udpos.train", ["udpos_de"], "targets.udpos.train"),
    ("conditions.stsb.task", "sts-b", "conditions.stsb.task"),
    ("conditions.stsb.task", "xnli", "conditions.stsb.task"),
    ("conditions.stsb.pair", "tri", "conditions.stsb.pair"),
    ("conditions.ud_parsing.parser", "triaffine", "conditions.ud_parsing.parser"),
    ("conditions.mlm_on_ewt_text.text_of", "ewt", "conditions.mlm_on_ewt_text.text_of"),
    ("conditions.mlm_on_ewt_text.text_of", ..., "conditions.mlm_on_ewt_text"),
    ("conditions.ud_parsing.text_of", "stsb", "conditions.ud_parsing"),
    ("conditions.ud_parsing.tasks", ["stsb", "qqp"], "conditions.ud_parsing.tasks"),
    ("conditions.ud_parsing.task", "multitask", "conditions.ud_parsing.tasks"),
    ("conditions.none.joint_mlm", 0.5, "conditions.none.joint_mlm"),
    ("conditions.stsb.joint_mlm", 1.0, "conditions.stsb.joint_mlm"),
    ("conditions.stsb.temperature", 0.0, "conditions.stsb.temperature"),
    ("conditions.stsb.translated", ["qaa"], "conditions.stsb.translated"),
    ("conditions.none.translated", ["all"], "conditions.none.translated"),
    ("conditions.ud_parsing.pooling", "first", "conditions.ud_parsing.pooling"),
    ("conditions.none.budget", {"updates": 3}, "conditions.none.budget"),
    ("conditions.stsb.budget", {"epochs": 0.0}, "conditions.stsb.budget.updates"),
    ("intermediate.epochs", -1.0, "intermediate.epochs"),
    ("conditions.stsb.budget", {"updtes": 3}, "conditions.stsb.budget.updtes"),
    ("targets.udpos", {"updates": 3, "epochs": 2.0}, "targets.udpos.updates"),
    ("targets.tatoeba", {"epochs": 2.0}, "targets.tatoeba.updates"),
    ("conditions.none", ..., "conditions.none"),
    ("conditions.random", ..., "conditions.random"),
    ("clean_targets", ["panx"], "clean_targets"),
    ("languages", ["en", "qaa", "qaz"], "languages"),
    ("languages", ["qaa", "qab"], "languages"),
    ("evaluation_languages", ["de"], "evaluation_languages"),
    ("world.langages", 3, "world"),
    ("world.mixed_share", 1.5, "world: mixed_share"),
    ("workflow.kernel_per", "phase", "workflow.kernel_per"),
]


@pytest.mark.parametrize(("key", "value", "named"), BAD)
def test_a_bad_profile_is_one_line_with_file_and_key(
    load: Callable[..., Any], key: str, value: Any, named: str
) -> None:
    message = refused(lambda: load(key, value))
    file, _, rest = message.partition(": ")
    assert file.endswith("changed.yaml")
    assert rest.startswith(named)
    last = key.rpartition(".")[2]
    if not isinstance(value, dict | list) and value is not ... and named == key:
        assert last in rest and (str(value) in rest or "unknown key" in rest)


def test_a_condition_may_have_a_budget_of_its_own(load: Callable[..., Any]) -> None:
    loaded = load("conditions.stsb.budget", {"epochs": 3.0, "batch_examples": 32})
    assert loaded.budget_of("ud_parsing") == loaded.intermediate
    assert loaded.budget_of("stsb").epochs == 3 and loaded.budget_of("stsb").updates == 0


def test_translations_are_wanted_in_languages_of_the_profile(load: Callable[..., Any]) -> None:
    wanted = {"task": "mnli", "translated": ["qaa"]}
    assert load("conditions.mnli", wanted).conditions["mnli"].translated == ["qaa"]
    message = refused(lambda: load("conditions.mnli", wanted | {"translated": ["de"]}))
    assert "conditions.mnli.translated: unknown language 'de'" in message and "qab" in message


def test_a_world_that_cannot_be_is_one_line_with_file_and_key(load: Callable[..., Any]) -> None:
    message = refused(lambda: load("world.qa_train", 0))
    assert "changed.yaml" in message and "world" in message and "qa_train" in message


UNSOUND = [
    ("intermediate.updates", 0),
    ("intermediate.batch_tokens", -5),
    ("targets.udpos.updates", -1),
    ("encoder.hidden_size", 15),  # two attention heads
    ("pretraining.masking_probability", 1.5),
    ("conditions.stsb.shuffled", True),  # only trees are permuted
    ("conditions.stsb.parser", "deep_biaffine"),
    ("conditions.stsb.random_encoder", True),  # a trained encoder thrown away
    ("targets.bucc", {"evaluation_examples": 100}),  # sides are mined whole
    ("seeds", {}),
]


@pytest.mark.parametrize(("key", "value"), UNSOUND)
def test_a_value_that_cannot_work_is_refused(
    load: Callable[..., Any], key: str, value: Any
) -> None:
    message = refused(lambda: load(key, value))
    assert key.rpartition(".")[2] in message


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "just text", "a: [1\n", "a: 1\n\tb: 2\n"])
def test_what_is_no_yaml_mapping_is_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text, encoding="utf-8")
    assert "broken.yaml" in refused(lambda: profile.load(str(file)))


def test_a_missing_profile_is_named_with_those_there_are(tmp_path: Path) -> None:
    message = refused(lambda: profile.load("wrold"))
    assert "'wrold'" in message
    assert all(name in message for name in SHIPPED)
    assert "gone.yaml" in refused(lambda: profile.load(str(tmp_path / "gone.yaml")))


# Data


def test_a_data_root_that_is_no_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "nowhere"))
    settings = profile.load("small_cpu")
    message = refused(lambda: profile.check_data(settings))
    assert "DATA_ROOT" in message and "nowhere" in message


def test_a_mirror_that_lacks_text_or_a_training_set_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    taken = profile.load("small_cpu")
    assert not taken.pretraining.tokens  # its encoder is there, and reads no text
    message = refused(lambda: profile.check_data(taken))
    assert str(tmp_path) in message and "universal_dependencies" in message
    budget = taken.pretraining.model_copy(update={"tokens": 1000})
    trained = taken.model_copy(update={"pretraining": budget})
    assert "multilingual-text/en" in refused(lambda: profile.check_data(trained))
    for code in trained.languages:
        (tmp_path / "multilingual-text" / code).mkdir(parents=True)
        assert f"{code}/train-" in refused(lambda: profile.check_data(trained))
        (tmp_path / "multilingual-text" / code / "train-0.parquet").touch()
    message = refused(lambda: profile.check_data(trained))
    assert "multilingual-text" not in message and "'small_cpu'" in message


def test_conditions_that_need_ccgbank_are_left_out_with_a_line_where_it_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    content = yaml.safe_load((paths.PROFILES / "small_cpu.yaml").read_text(encoding="utf-8"))
    content["conditions"] |= {"ccg": {"task": "ccg"}, "text": {"task": "mlm", "text_of": "ccg"}}
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


def test_a_world_needs_no_mirror(micro: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_ROOT", "/nowhere")
    profile.check_data(micro)
    root = profile.data_root(micro)
    assert root is not None and root.parent == paths.worlds()


def test_every_shipped_real_profile_finds_its_data(mirror: Path) -> None:
    for name in SHIPPED:
        settings = profile.load(name)
        if settings.world is None and name.startswith("small_cpu"):
            profile.check_data(settings)


def test_a_digest_follows_values_and_not_their_order() -> None:
    one = profile.digest({"a": 1, "b": {"c": [1, 2], "d": "é"}})
    assert profile.digest({"b": {"d": "é", "c": [1, 2]}, "a": 1}) == one
    assert profile.digest({"a": 1, "b": {"c": [2, 1], "d": "é"}}) != one
    assert profile.digest({"a": True, "b": {"c": [1, 2], "d": "é"}}) != one
