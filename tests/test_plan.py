"""A plan counts what the grid would do, and needs nothing but the installed packages for it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lib import costs, inventory, paths, plan, profile, sizes, tasks, workflow
from lib.costs import Load
from lib.profile import Intermediate
from lib.sizes import Shape, Size

SHIPPED = sorted(file.stem for file in paths.PROFILES.glob("*.yaml"))
XTREME = ["xtreme_base", "xtreme_large"]


@pytest.fixture
def planned(
    tmp_path: Path, micro_content: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., plan.Plan]:
    """Return a planner of the micro profile, changed."""
    monkeypatch.delenv("CCGBANK_ROOT", raising=False)
    monkeypatch.delenv("DATA_ROOT", raising=False)

    def one(**changes: Any) -> plan.Plan:
        file = tmp_path / "changed.yaml"
        file.write_text(yaml.safe_dump(micro_content() | changes), encoding="utf-8")
        return plan.make(str(file))

    return one


# Sizes of encoders


@pytest.mark.parametrize(
    ("layers", "width", "inner", "vocabulary"), [(2, 32, 64, 99), (3, 8, 24, 7)]
)
def test_parameters_are_those_that_transformers_counts(
    layers: int, width: int, inner: int, vocabulary: int
) -> None:
    from lib import encoder
    from lib.profile import Encoder

    settings = Encoder(
        layers=layers, hidden_size=width, attention_heads=2, feed_forward_size=inner
    )  # fmt: skip
    model = encoder.new(settings, vocabulary)
    shape = Shape(layers, width, inner, vocabulary)
    base = {name: p.numel() for name, p in model.base_model.named_parameters()}
    assert shape.parameters == sum(base.values())
    of_layers = [n for name, n in base.items() if name.startswith("encoder.")]
    assert shape.layer_parameters == sum(of_layers)
    head = model.lm_head
    assert shape.output_parameters == head.dense.weight.numel() + head.decoder.weight.numel()


def test_xlm_r_has_the_size_that_is_published() -> None:
    # Conneau et al. 2020: 270 M and 550 M; the hub's files, 1.12 and 2.24 GB, hold the head too.
    for name, published, file in (("base", 270e6, 1.12e9), ("large", 550e6, 2.24e9)):
        shape = sizes.XLM_R[f"xlm-roberta-{name}"]
        assert shape.parameters == pytest.approx(published, rel=0.03)
        assert 4 * shape.parameters == pytest.approx(file, rel=0.01)


def test_an_encoder_in_a_folder_is_as_large_as_its_configuration_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("DATA_ROOT", raising=False)
    from safetensors import safe_open

    settings = profile.load("small_cpu")
    shape = sizes.shape_of(settings)
    assert shape is not None
    file = Path(profile.encoder_path(settings)) / "model.safetensors"
    with safe_open(file, "np") as stored:
        held = {name: stored.get_slice(name).get_shape() for name in stored.keys()}  # noqa: SIM118
    found = 0
    for name, dimensions in held.items():
        if "lm_head" not in name:
            size = 1
            for dimension in dimensions:
                size *= dimension
            found += size
    assert shape.parameters == found


def test_the_size_of_another_hub_encoder_is_not_guessed(planned: Callable[..., plan.Plan]) -> None:
    made = planned(encoder={"path": "org/unheard-of"}, pretraining={})
    assert made.shape is None
    text = "\n".join(plan.describe(made, 25.0))
    assert "org/unheard-of: of unknown size" in text
    assert "GPU hours" not in text and "encoders of" not in text


# Loads


SHAPE = Shape(layers=1, width=2, feed_forward=4, vocabulary=10)
# By hand: attention 4 (2·2 + 2) = 24, feed-forward 2·2·4 + 4 + 2 = 22, two norms 2·2·2 = 8.
N = 54


def test_a_training_takes_six_operations_a_parameter_and_token_and_an_evaluation_two() -> None:
    assert SHAPE.layer_parameters == N
    size = Size(examples=100, tokens=8.0)
    budget = Intermediate(updates=5, batch_tokens=64)
    assert costs._train(SHAPE, size, budget, 5) == Load(5, 40, 320, 0, 6 * N * 320)
    budget = Intermediate(epochs=2.0, batch_examples=10)
    assert costs.updates_of(size, budget) == 20
    assert costs._train(SHAPE, size, budget, 20) == Load(20, 200, 1600, 0, 6 * N * 1600)
    assert costs._evaluate(SHAPE, size) == Load(evaluated=800, work=2 * N * 800)


def test_updates_are_those_that_the_batches_are_planned_with() -> None:
    from lib import batches

    for budget in (
        Intermediate(updates=7),
        Intermediate(epochs=3.0, batch_examples=32),
        Intermediate(epochs=0.5, batch_tokens=100),
        Intermediate(epochs=0.001, batch_tokens=100),
    ):
        for number in (1, 31, 12_543):
            expected = batches.number_of_updates([20] * number, budget)
            assert costs.updates_of(Size(number, 20.0), budget) == expected


def test_shares_are_those_of_the_mixture() -> None:
    from lib import mixture

    examples = {"mnli": 392_702, "stsb": 5_749, "ccg": 39_604}
    for cap, temperature in ((0, 1.0), (65_536, 1.0), (0, 5.0), (10, 2.0)):
        expected = mixture.shares(examples, cap, temperature)
        assert costs.shares(examples, cap, temperature) == pytest.approx(expected)


def test_a_small_grid_is_counted_as_by_hand(planned: Callable[..., plan.Plan]) -> None:
    made = planned(
        conditions={
            "none": {}, "random": {"random_encoder": True}, "ud_parsing": {"task": "ud_parsing"},
            "mlm_on_ewt_text": {"task": "mlm", "text_of": "ud_parsing"},
            "joint": {"task": "stsb", "joint_mlm": 0.25,
                      "budget": {"epochs": 3.0, "batch_examples": 4, "batch_tokens": 64}},
        },
        pretraining={"tokens": 3000, "block_tokens": 32, "batch_tokens": 256},
        intermediate={"updates": 10, "batch_tokens": 100},
        targets={"udpos": {"epochs": 2.0, "batch_examples": 8}, "tatoeba": {}},
        clean_targets=["udpos"], seeds={1: 1, 2: 1},
    )  # fmt: skip
    assert made.pretraining.updates == 3000 // 256
    assert made.pretraining.tokens == 11 * 256
    assert set(made.conditions) == {"ud_parsing", "mlm_on_ewt_text", "joint"}
    assert made.conditions["ud_parsing"].tokens == 1000
    # 16 sentences of development data, before and after.
    tokens = sizes.of_development(made.settings, "ud_parsing").tokens
    assert made.conditions["ud_parsing"].evaluated == 2 * 16 * tokens
    assert made.conditions["mlm_on_ewt_text"].tokens == 10 * (100 // 32) * 32
    # 40 pairs in 3 epochs of batches of 4 are 30 updates; MLM's quarter comes on top: 40 in all.
    assert made.conditions["joint"].updates == 40
    pair = sizes.of_training(made.settings, "stsb").tokens
    assert made.conditions["joint"].tokens == 30 * 4 * pair + 10 * 64
    # 40 sentences twice in batches of 8; evaluated: 16 a language in three, and development.
    assert made.training["udpos"].updates == 10
    assert made.evaluation["udpos"].evaluated == pytest.approx(4 * 16 * 10.5)
    assert made.training["tatoeba"] == Load()
    assert made.evaluation["tatoeba"].evaluated == pytest.approx(2 * 16 * 20.7)
    # Five conditions and two seeds on one encoder.
    by_hand = (
        made.pretraining.updates
        + 2 * (10 + 10 + 40)
        + 2 * 5 * (made.training["udpos"].updates)
    )  # fmt: skip
    assert made.total().updates == by_hand


def test_mlm_adds_its_output_layer_at_masked_tokens(planned: Callable[..., plan.Plan]) -> None:
    made = planned(
        pretraining={"tokens": 256, "block_tokens": 32, "batch_tokens": 256,
                     "masking_probability": 0.25}
    )  # fmt: skip
    shape = made.shape
    assert shape is not None
    expected = 6 * 256 * (shape.layer_parameters + 0.25 * shape.output_parameters)
    assert made.pretraining.work == pytest.approx(expected)


def test_a_run_reads_what_its_plan_says(planned: Callable[..., plan.Plan]) -> None:
    from lib import intermediate, transfer

    budget = {"epochs": 2.0, "batch_examples": 8, "batch_tokens": 128}
    made = planned(
        conditions={
            "none": {}, "random": {"random_encoder": True}, "ud_parsing": {"task": "ud_parsing"},
            "mlm_on_ewt_text": {"task": "mlm", "text_of": "ud_parsing"},
            "joint": {"task": "multitask", "tasks": ["ud_parsing", "stsb"], "cap": 30,
                      "joint_mlm": 0.25, "budget": budget},
        },
        targets={"udpos": budget}, clean_targets=["udpos"],
    )  # fmt: skip
    settings = made.settings
    for name, load in made.conditions.items():
        facts = intermediate.run_one(settings, name, 1).facts
        assert facts["updates"] == load.updates
        if name == "joint":
            # Both tasks have 40 examples, 10 updates in two epochs; MLM is a quarter of all.
            assert facts["updates"] == round(20 / 0.75)
            assert facts["updates_of"] == {"ud_parsing": 10, "stsb": 10, "mlm": 7}
        else:
            assert facts["tokens"] == pytest.approx(load.tokens, rel=0.1)
    (run,) = transfer.run(settings, "none", "udpos", 1)
    assert run.facts["updates"] == made.training["udpos"].updates


def test_a_limit_on_examples_limits_the_plan(planned: Callable[..., plan.Plan]) -> None:
    whole = planned(targets={"udpos": {"updates": 1}})
    limited = planned(targets={"udpos": {"updates": 1, "evaluation_examples": 4}})
    ratio = limited.evaluation["udpos"].evaluated / whole.evaluation["udpos"].evaluated
    assert ratio == pytest.approx(4 / 16)


def test_a_target_trained_on_other_data_has_their_examples() -> None:
    settings = profile.load("small_cpu")
    trained = {
        name: costs.of_target(settings, name, SHAPE)[0].examples for name in ("xnli", "xquad")
    }
    # data/sizes.csv and the sources' own numbers: SNLI's 9,842 validation and 9,824 test pairs of
    # 33.8 and 33.6 tokens; 7,938 + 9,803 questions of SQuADShifts of 200 and 212, 3,696 of TyDiQA
    # of 165.3. Both are trained for 250 updates of 1,024 tokens.
    pair = (9_842 * 33.8 + 9_824 * 33.6) / (9_842 + 9_824)
    question = (7_938 * 200 + 9_803 * 212 + 3_696 * 165.3) / (7_938 + 9_803 + 3_696)
    assert trained == pytest.approx({"xnli": 256_000 / pair, "xquad": 256_000 / question})


def test_a_target_trained_on_data_of_unknown_size_is_planned_with_its_own() -> None:
    own = profile.load("xtreme_base")
    changed = own.targets["xnli"].model_copy(update={"train": ["snli"]})
    other = own.model_copy(update={"targets": own.targets | {"xnli": changed}})
    assert costs.of_target(other, "xnli", SHAPE) == costs.of_target(own, "xnli", SHAPE)


def test_a_condition_of_fewer_examples_has_the_epochs_of_these() -> None:
    base = profile.load("xtreme_base")
    how = base.conditions["mnli_in_de-3epochs"].model_copy(update={"translated": []})
    few = how.model_copy(update={"examples": 1000})
    settings = base.model_copy(update={"conditions": {"mnli": how, "mnli-n1000": few}})
    updates = [costs.of_condition(settings, name, SHAPE).updates for name in settings.conditions]
    assert updates == [36_816, 94]  # 3 x 392,702 / 32, and 3 x 1,000 / 32


def test_a_development_set_that_is_evaluated_anyway_is_read_once() -> None:
    settings = profile.load("xtreme_base")
    _, tydiqa = costs.of_target(settings, "tydiqa", SHAPE)
    languages = inventory.of_target(settings, "tydiqa", settings.languages)
    sets = [sizes.of_evaluation(settings, "tydiqa", code) for code in languages]
    assert tydiqa.evaluated == pytest.approx(sum(each.examples * each.tokens for each in sets))


# The table of sizes


def test_every_task_has_its_sizes_in_every_language() -> None:
    settings = profile.load("xtreme_large")
    for name in tasks.intermediate():
        if name != "mlm":
            assert sizes.of_training(settings, name).examples == tasks.get(name).published_size
            assert sizes.of_development(settings, name).examples > 0
    for name in tasks.targets():
        for code in inventory.evaluated(settings, name):
            found = sizes.of_evaluation(settings, name, code)
            assert found.examples > 0 and found.tokens > 3


# XTREME's totals: its paper, MLQA's paper, the hub's cards; tatoeba has 1,000 pairs or fewer.
TOTALS = {"xnli": 75_150, "pawsx": 14_000, "xquad": 13_090, "mlqa": 42_245, "tydiqa": 5_077,
          "tatoeba": 28_000 + 205 + 746 + 575 + 687 + 390 + 307 + 234 + 548}  # fmt: skip


@pytest.mark.parametrize("target", TOTALS)
def test_the_evaluation_sets_add_up_to_xtreme(target: str) -> None:
    settings = profile.load("xtreme_base")
    languages = inventory.evaluated(settings, target)
    found = sum(sizes.of_evaluation(settings, target, code).examples for code in languages)
    assert found == TOTALS[target]


def test_sizes_of_a_mirror_are_those_of_the_table(mirror: Path) -> None:
    from pyarrow import parquet

    settings = profile.load("xtreme_base")
    compared = 0
    for split in inventory.of(settings):
        files = list((mirror / split.source.dataset / split.source.config)
                     .glob(f"{split.source.split}-*.parquet"))  # fmt: skip
        if split.role == "evaluation" and files and split.task in ("xquad", "tatoeba"):
            rows = parquet.read_metadata(files[0]).num_rows
            assert rows == sizes.of_evaluation(settings, split.task, split.language).examples
            compared += 1
    assert compared


# What is said


@pytest.mark.parametrize("name", SHIPPED)
def test_every_shipped_profile_plans_without_a_download(name: str) -> None:
    program = (
        "import sys, socket\n"
        "def refuse(*a, **k): raise SystemExit('a connection was asked for')\n"
        "socket.socket.connect = refuse\n"
        "from lib import plan\n"
        f"status = plan.main([{name!r}])\n"
        "assert not {'torch', 'datasets', 'transformers', 'huggingface_hub'} & set(sys.modules)\n"
        "sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=paths.REPOSITORY
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{name}: ")
    assert max(map(len, done.stdout.splitlines()[1:])) <= 100


@pytest.mark.parametrize("name", XTREME)
def test_the_plan_of_xtreme_says_what_is_missing_and_skipped(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("DATA_ROOT", "CCGBANK_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    made = plan.make(name)
    lines = plan.describe(made, 25.0)
    text = " ".join(" ".join(lines).split())
    assert "skipped ccg" in text and "CCGBANK_ROOT" in text
    assert "multilingual-text" in text and "ud_parsing-joint_mlm" in text
    assert "bucc2018" in text and "cross-fitted" in text
    assert len(lines) <= 52
    for target in tasks.targets():
        assert any(line.split()[0] == target for line in lines if line)


def test_hours_are_operations_over_the_throughput_that_is_assumed() -> None:
    made = plan.make("xtreme_base")
    hours = made.total().work / 40e12 / 3600
    (line,) = (line for line in plan.describe(made, 40.0) if line.startswith("time"))
    assert f"{hours:.2f}" in line or f"{hours:,.0f}" in line
    assert "40 TFLOP/s" in line and "assumed" in line


def test_what_a_mirror_lacks_is_named(
    tmp_path: Path, write: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    write("nyu-mll/glue", "stsb", "train", {"sentence1": ["a"], "sentence2": ["b"], "label": [1.0]})
    lines = plan.missing(profile.load("small_cpu"))
    training = [line for line in lines if line.startswith("training")]
    assert any("glue (mrpc)" in line for line in training)
    assert any("universal_dependencies" in line and str(tmp_path) in line for line in training)
    assert any(line.startswith("evaluation: google/xtreme") for line in lines)


def test_what_stands_in_the_store_is_counted_and_nothing_is_removed(
    planned: Callable[..., plan.Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib import results

    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    made = planned()
    assert plan.done(made.settings) == []
    grid = workflow.cells(made.settings)
    first, second, *_ = grid
    results.finish(first, grid[first], {}, started=0.0)
    assert plan.done(made.settings) == [f"1 of {len(grid)} cells"]
    results.finish(second, grid[second] | {"seed": 99}, {}, started=0.0)
    stands, other = plan.done(made.settings)
    assert stands == f"1 of {len(grid)} cells"
    assert other.startswith("1 made otherwise stand in the way: ") and "seed" in other
    assert first.run_file.is_file() and second.run_file.is_file()


def test_bad_input_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, named in ((["xtrem"], "xtrem"), (["tiny", "--teraflops", "0"], "--teraflops")):
        assert plan.main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert named in line


@pytest.mark.parametrize("name", XTREME)
def test_the_readme_shows_the_plan_that_is_printed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("DATA_ROOT", "CCGBANK_ROOT"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    shown = (paths.REPOSITORY / "README.md").read_text(encoding="utf-8")
    printed = "\n".join(plan.describe(plan.make(name), plan.SUSTAINED))
    assert f"```\n{printed}\n```" in shown
