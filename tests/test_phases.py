"""The three phases, each alone, twice, and against each other, on a world of seconds."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file

from lib import (
    baselines,
    corpora,
    encoder,
    evaluation,
    intermediate,
    paths,
    pretraining,
    profile,
    results,
    tasks,
    text_blocks,
    transfer,
)  # fmt: skip
from lib.errors import InputError
from lib.profile import Profile
from lib.results import Cell

TRAINED = [
    "stsb", "stsb-bi", "ud_parsing_shuffled", "mlm_on_stsb_text", "multitask", "stsb-joint",
]  # fmt: skip


def digests(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Give this module an empty result store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTS_ROOT", str(tmp_path_factory.mktemp("first")))
        yield Path(paths.results("")).resolve()


@pytest.fixture(scope="module")
def udpos(store: Path, micro: Profile) -> results.Run:
    """Run phase 3 in the empty store."""
    assert not any(store.iterdir())
    (run,) = transfer.run(micro, "ud_parsing", "udpos", 1)
    return run


@pytest.fixture(scope="module")
def everything(udpos: results.Run, micro: Profile) -> list[results.Run]:
    """Run every target under `none`."""
    return transfer.run(micro, "none", "all", 1)


def named(runs: list[results.Run], target: str) -> results.Run:
    (run,) = [run for run in runs if run.cell.target == target]
    return run


# One call


def test_phase_3_alone_makes_the_phases_before_it(udpos: results.Run, micro: Profile) -> None:
    assert udpos.fresh
    made = {file.parent for file in paths.results(micro.name).rglob("run.json")}
    assert made == {
        Cell(micro.name, "pretrain", 1).folder,
        Cell(micro.name, "intermediate", 1, "ud_parsing").folder,
        Cell(micro.name, "transfer", 1, "ud_parsing", "udpos").folder,
    }
    assert udpos.facts["updates"] == 3
    assert 0 < udpos.facts["tokens"] <= 3 * 128


def test_every_run_says_how_it_read(udpos: results.Run, micro: Profile) -> None:
    phases = (
        Cell(micro.name, "pretrain", 1),
        Cell(micro.name, "intermediate", 1, "ud_parsing"),
        udpos.cell,
    )
    for cell in phases:
        record = json.loads(cell.run_file.read_text(encoding="utf-8"))
        assert record["precision"] == "float32", cell  # which these tests ask for
        assert record["attention"] == "padded", cell  # as on any processor
    assert 0 < udpos.facts["padding"] < 0.5
    assert udpos.facts["parameters"]["target"]["batch_tokens"] == 128


def test_seed_0_and_all_stand_for_every_seed_and_condition(
    everything: list[results.Run], micro: Profile
) -> None:
    several = micro.model_copy(update={"seeds": {1: 1, 2: 1}})
    runs = transfer.run(several, "none", "tatoeba", 0)
    assert [run.cell.seed for run in runs] == [1, 2]
    assert not runs[0].fresh  # made by `everything`
    trained = intermediate.run(several, "all", 1)
    wanted = [name for name, how in micro.conditions.items() if how.task]
    assert [run.cell.condition for run in trained] == wanted
    for phase, cell in (("transfer", "none/tatoeba/seed=0"), ("intermediate", "all/seed=1")):
        record = paths.results(micro.name) / phase / cell
        assert [file.name for file in record.iterdir()] == ["run.json"]


def test_a_second_call_finds_everything_done_and_touches_nothing(
    udpos: results.Run, micro: Profile, store: Path
) -> None:
    before = digests(store)
    (again,) = transfer.run(micro, "ud_parsing", "udpos", 1)
    assert not again.fresh
    assert not intermediate.run_one(micro, "ud_parsing", 1).fresh
    assert not pretraining.run(micro, 1).fresh
    assert digests(store) == before
    pd.testing.assert_frame_equal(again.scores, udpos.scores)


def test_the_same_seed_in_another_store_gives_the_same_scores(
    udpos: results.Run, micro: Profile, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores, encoder = udpos.scores, Path("encoder", "model.safetensors")
    phases = [Cell(micro.name, "pretrain", 1), Cell(micro.name, "intermediate", 1, "ud_parsing")]
    weights = [load_file(cell.folder / encoder) for cell in phases]
    # The tokenizer has a test of its own; here it is the training that must repeat.
    tokenizer = (phases[0].folder / "encoder" / "tokenizer.json").read_text(encoding="utf-8")
    predictions = pd.read_parquet(udpos.cell.folder / "predictions.parquet")
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    monkeypatch.setattr("lib.encoder.train_tokenizer", lambda *_: restored(tokenizer))
    (again,) = transfer.run(micro, "ud_parsing", "udpos", 1)
    assert again.fresh
    for cell, first in zip(phases, weights, strict=True):
        second = load_file(cell.folder / encoder)
        assert first.keys() == second.keys()
        assert all(first[name].equal(second[name]) for name in first)
    pd.testing.assert_frame_equal(again.scores, scores, check_exact=True)
    found = pd.read_parquet(again.cell.folder / "predictions.parquet")
    pd.testing.assert_frame_equal(found, predictions, check_exact=True)


def restored(tokenizer: str) -> object:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(tokenizer), bos_token="<s>", eos_token="</s>",
        cls_token="<s>", sep_token="</s>", unk_token="<unk>", pad_token="<pad>",
        mask_token="<mask>",
    )  # fmt: skip


def test_another_budget_is_refused_by_name_and_not_skipped(
    udpos: results.Run, micro: Profile, store: Path
) -> None:
    before = digests(store)
    budget = micro.targets["udpos"].model_copy(update={"updates": 5})
    changed = micro.model_copy(update={"targets": micro.targets | {"udpos": budget}})
    with pytest.raises(InputError, match=r"target\.updates = 3, asked for 5"):
        transfer.run(changed, "ud_parsing", "udpos", 1)
    earlier = micro.intermediate.model_copy(update={"updates": 5})
    changed = micro.model_copy(update={"intermediate": earlier})
    with pytest.raises(InputError, match=r"intermediate\.updates = 3, asked for 5"):
        transfer.run(changed, "ud_parsing", "udpos", 1)
    assert digests(store) == before


# Scores


def test_every_language_has_exactly_one_reported_score(
    everything: list[results.Run], micro: Profile
) -> None:
    assert [run.cell.target for run in everything] == list(micro.targets)
    for run in everything:
        reported = run.scores[run.scores["reported"]]
        expected = ["en", "qaa", "qab"] if run.cell.target != "tatoeba" else ["qaa", "qab"]
        assert sorted(reported["language"]) == expected
        assert set(reported["metric"]) == {tasks.get(run.cell.target).reported}
        assert "development" not in set(reported["split"])
        assert reported["value"].between(0, 1).all()


def test_retrieval_keeps_every_layer_and_reports_two_thirds_of_the_depth(
    everything: list[results.Run],
) -> None:
    scores = named(everything, "tatoeba").scores
    scores = scores[scores["metric"] == "accuracy"]
    layers = scores.groupby("language")["layer"].apply(list).to_dict()
    assert layers == {"qaa": [0, 1], "qab": [0, 1]}
    assert set(scores[scores["reported"]]["layer"]) == {1}
    # Of XLM-R base, large, and a small encoder.
    assert [transfer.reported_layer(depth) for depth in (12, 24, 3)] == [8, 16, 2]


def test_a_reported_score_is_the_mean_of_its_predictions(everything: list[results.Run]) -> None:
    for run in everything:
        if run.cell.target in ("xnli", "tatoeba"):
            predictions = pd.read_parquet(run.cell.folder / "predictions.parquet")
            means = predictions.groupby("language")["value"].agg(["mean", "size"])
            reported = run.scores[run.scores["reported"]].set_index("language")
            for code, row in means.iterrows():
                assert reported.loc[code, "value"] == pytest.approx(row["mean"])
                assert reported.loc[code, "n"] == row["size"]


def test_predictions_name_every_example_of_every_language(
    everything: list[results.Run], micro: Profile
) -> None:
    for run in everything:
        predictions = pd.read_parquet(run.cell.folder / "predictions.parquet")
        assert not predictions.duplicated(["language", "id"]).any()
        source = tasks.get(run.cell.target).evaluation
        assert source is not None
        for code, found in predictions.groupby("language"):
            examples = corpora.load(micro, source, str(code))
            assert sorted(found["id"]) == sorted(e["id"] for e in examples)


def test_the_tidy_table_is_all_of_them(everything: list[results.Run], micro: Profile) -> None:
    table = results.collect(micro)
    assert list(table.columns) == results.SCORES
    assert set(zip(table["condition"], table["target"], strict=True)) == {
        ("ud_parsing", "udpos"), *(("none", target) for target in micro.targets)
    }  # fmt: skip
    key = ["condition", "target", "language", "metric", "seed", "split", "layer"]
    assert not table.duplicated(key).any()


# Mining


@pytest.fixture
def mining(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_encoder: Any, letters: Any
) -> Profile:
    """Return a profile of BUCC alone, over a folder of its own: eight of twelve have partners."""
    random = np.random.default_rng(0)
    words = ["".join(random.choice(list("abcdefghij"), 6)) for _ in range(40)]
    for name, shift in (("dev", 0), ("test", 20)):
        zh = words[shift : shift + 12]
        en = words[shift : shift + 8][::-1] + words[shift + 12 : shift + 19]
        gold = [[i + 1, 8 - i] for i in range(8)]
        if name == "dev":
            (tmp_path / "bucc2018").mkdir()
            parts = {
                "zh": "".join(f"zh-{i}\t{text}\n" for i, text in enumerate(zh, 1)),
                "en": "".join(f"en-{i}\t{text}\n" for i, text in enumerate(en, 1)),
                "gold": "".join(f"zh-{i}\ten-{j}\n" for i, j in gold),
            }
            for part, text in parts.items():
                (tmp_path / "bucc2018" / f"zh-en.dev.{part}").write_text(text, encoding="utf-8")
        else:
            folder = tmp_path / "mteb" / "BUCC"
            (folder / "zh-en").mkdir(parents=True)
            rows = {"sentence1": [zh], "sentence2": [en], "gold": [gold]}
            file = folder / "zh-en" / "test-00000-of-00001.parquet"
            datasets.Dataset.from_dict(rows).to_parquet(file)
            card = "---\nconfigs:\n- config_name: zh-en\n  data_files:\n  - split: test\n"
            (folder / "README.md").write_text(f"{card}    path: zh-en/test-*\n---\n")
    encoder.save(small_encoder(mlm=True), letters, tmp_path / "encoder")
    content = {
        "summary": "BUCC alone.", "languages": ["en", "zh", "de"],
        "encoder": {"path": str(tmp_path / "encoder")}, "pretraining": {},
        "intermediate": {"updates": 1}, "conditions": {"none": {}, "random": {
            "random_encoder": True}},
        "targets": {"bucc": {}}, "clean_targets": [], "seeds": {1: 1},
    }  # fmt: skip
    (tmp_path / "mining.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    return profile.load(str(tmp_path / "mining.yaml"))


def test_mining_takes_its_threshold_from_the_development_split(mining: Profile) -> None:
    (run,) = transfer.run(mining, "none", "bucc", 1)
    scores = run.scores
    assert set(scores["metric"]) == {"f1", "precision", "recall", "f1_best_threshold"}
    assert set(scores["split"]) == {"test"} and set(scores["language"]) == {"zh"}
    assert scores.groupby("metric")["layer"].apply(list)["f1"] == [0, 1, 2]
    (reported,) = scores[scores["reported"]].to_dict("records")
    assert (reported["metric"], reported["layer"], reported["n"]) == ("f1", 1, 8)
    # Partners are equal words, so that a layer finds them all.
    best = scores[scores["metric"] == "f1_best_threshold"].set_index("layer")["value"]
    assert best[1] == pytest.approx(1.0)
    assert (scores[scores["metric"] == "f1"]["value"].to_numpy() <= best.to_numpy() + 1e-12).all()
    assert len(run.facts["thresholds"]["zh"]) == 3
    assert set(run.facts["data"]) == {"bucc2018/zh-en", "mteb/BUCC/zh-en"}
    assert run.facts["not_found"] == ["de"]
    predictions = pd.read_parquet(run.cell.folder / "predictions.parquet")
    assert predictions["id"].tolist() == [f"{i + 1}-{8 - i}" for i in range(8)]
    recall = scores[(scores["metric"] == "recall") & (scores["layer"] == 1)]["value"].item()
    assert predictions["value"].mean() == pytest.approx(recall)
    assert not list(paths.results("").parent.rglob("*.npy"))


@pytest.mark.parametrize("missing", ["the development split", "the test split"])
def test_mining_on_the_only_labelled_split_says_cross_fitted(
    mining: Profile, tmp_path: Path, missing: str
) -> None:
    if missing == "the test split":
        shutil.rmtree(tmp_path / "mteb")
        evaluated = mining.targets["bucc"].model_copy(update={"split": "validation"})
        mining = mining.model_copy(update={"targets": {"bucc": evaluated}})
    else:
        shutil.rmtree(tmp_path / "bucc2018")
    (run,) = transfer.run(mining, "none", "bucc", 1)
    (reported,) = run.scores[run.scores["reported"]].to_dict("records")
    assert reported["metric"] == "f1_cross_fitted"
    assert reported["split"] == ("test" if missing.startswith("the dev") else "validation")
    assert "f1" not in set(run.scores["metric"])
    assert run.facts["thresholds"] == {}


def test_vectors_on_disk_are_those_in_memory_in_half_precision(
    tmp_path: Path, small_encoder: Any, letters: Any
) -> None:
    texts = ["abc", "hgfedcba", "jj", "aceg bdfh"]
    model = small_encoder()
    kept = evaluation.embed(model, texts, letters, batch_tokens=64)
    stored = evaluation.embed(model, texts, letters, batch_tokens=64, file=tmp_path / "a" / "b.npy")
    assert stored.dtype == np.float16 and stored.shape == kept.shape
    np.testing.assert_allclose(stored, kept, atol=2e-3, rtol=2e-3)


# Conditions


@pytest.mark.parametrize("condition", ["none", "random"])
def test_a_condition_without_training_has_no_phase_2(
    udpos: results.Run, micro: Profile, condition: str
) -> None:
    with pytest.raises(InputError, match=condition):
        intermediate.run(micro, condition, 1)
    assert not Cell(micro.name, "intermediate", 1, condition).folder.exists()


def test_the_floor_is_not_the_pre_trained_encoder(
    everything: list[results.Run], micro: Profile
) -> None:
    (floor,) = transfer.run(micro, "random", "tatoeba", 1)
    pretrained = named(everything, "tatoeba").scores
    pretrained = pretrained[pretrained["metric"] == "accuracy"]
    key = ["language", "layer"]
    pd.testing.assert_frame_equal(floor.scores[key], pretrained[key])
    assert set(floor.scores["condition"]) == {"random"}
    assert floor.scores["value"].tolist() != pretrained["value"].tolist()


@pytest.mark.parametrize("condition", TRAINED)
def test_every_condition_trains_the_encoder_in_the_same_updates(
    udpos: results.Run, micro: Profile, condition: str
) -> None:
    (run,) = intermediate.run(micro, condition, 1)
    assert run.facts["updates"] == 3
    assert 0.6 * 3 * 128 < run.facts["tokens"] <= 3 * 128
    before, after = (
        load_file(cell.folder / "encoder" / "model.safetensors")
        for cell in (Cell(micro.name, "pretrain", 1), run.cell)
    )
    query = "encoder.layer.0.attention.self.query.weight"
    prefix = "roberta." if "mlm" in condition or "joint" in condition else ""  # with their MLM head
    assert not before[f"roberta.{query}"].equal(after[prefix + query])
    assert np.isfinite([row["loss"] for row in run.facts["log"]]).all()


def test_a_mixture_trains_and_scores_each_of_its_tasks(udpos: results.Run, micro: Profile) -> None:
    (run,) = intermediate.run(micro, "multitask", 1)
    both = {"ud_parsing", "stsb"}
    assert set(run.scores["task"]) == both == set(run.facts["tokens_of"])
    assert set(run.scores[run.scores["moment"] == "after"]["metric"]) >= {"las", "pearson"}
    assert sum(run.facts["updates_of"].values()) == 3 and all(run.facts["updates_of"].values())


def test_joint_mlm_takes_its_share_of_the_updates(udpos: results.Run, micro: Profile) -> None:
    (run,) = intermediate.run(micro, "stsb-joint", 1)
    # Half of three updates, rounded to the larger remainder, which both tasks share: the first.
    assert sorted(run.facts["updates_of"].items()) == [("mlm", 1), ("stsb", 2)]
    assert run.facts["tokens"] == sum(run.facts["tokens_of"].values())
    assert "lm_head.bias" in load_file(run.cell.folder / "encoder" / "model.safetensors")


def test_a_parser_is_kept_and_parses_as_it_did(udpos: results.Run, micro: Profile) -> None:
    head, tokenizer = intermediate.parser_of(micro, "ud_parsing", 1)
    run = intermediate.run_one(micro, "ud_parsing", 1)
    task = tasks.get("ud_parsing")
    assert task.validation is not None
    scores, trees = evaluation.evaluate(
        head, task, corpora.load(micro, task.validation), tokenizer, length=64, batch_tokens=512
    )
    after = run.scores[run.scores["moment"] == "after"].set_index("metric")["value"]
    assert scores.values["las"] == pytest.approx(after["las"])
    assert run.samples[0]["predicted"] == [list(part) for part in trees[0]]
    for condition, words in (("stsb", "trains no parser"), ("none", "trains no parser")):
        with pytest.raises(InputError, match=words):
            intermediate.parser_of(micro, condition, 1)
    with pytest.raises(InputError, match="no parser; run `make figures"):
        intermediate.parser_of(micro.model_copy(update={"name": "other"}), "ud_parsing", 1)


def test_a_condition_of_fewer_examples_trains_on_no_others(micro: Profile) -> None:
    whole = intermediate.examples_of(micro, "stsb", micro.conditions["stsb"], 1)
    for number in (5, 9):
        how = micro.conditions["stsb"].model_copy(update={"examples": number})
        assert intermediate.examples_of(micro, "stsb", how, 1) == whole[:number]


def test_a_condition_says_which_parser_it_trained(udpos: results.Run, micro: Profile) -> None:
    deep = micro.conditions["ud_parsing"].model_copy(update={"parser": "deep_biaffine"})
    changed = micro.model_copy(update={"conditions": micro.conditions | {"ud_parsing-deep": deep}})
    (run,) = transfer.run(changed, "ud_parsing-deep", "udpos", 1)
    earlier = Cell(micro.name, "intermediate", 1, "ud_parsing-deep")
    heads = [json.loads(cell.run_file.read_text()).get("head") for cell in (
        Cell(micro.name, "intermediate", 1, "ud_parsing"), earlier)]  # fmt: skip
    assert heads == ["BiaffineParser", "DeepBiaffineParser"]
    assert run.facts["parameters"]["condition"]["parser"] == "deep_biaffine"
    assert udpos.facts["parameters"]["condition"]["parser"] == "biaffine"


# Bad input


@pytest.mark.parametrize(
    ("condition", "target", "seed", "named"),
    [
        ("stsbb", "udpos", 1, "'stsbb'"),
        ("stsb", "udposs", 1, "'udposs'"),
        ("stsb", "udpos", 7, "7"),
    ],
)
def test_what_the_profile_does_not_have_is_one_line(
    udpos: results.Run,
    micro: Profile,
    store: Path,
    condition: str,
    target: str,
    seed: int,
    named: str,
) -> None:
    before = digests(store)
    with pytest.raises(InputError) as error:
        transfer.run(micro, condition, target, seed)
    assert named in str(error.value) and "\n" not in str(error.value)
    assert digests(store) == before


def test_an_encoder_seed_that_is_not_the_profiles_is_refused(micro: Profile) -> None:
    with pytest.raises(InputError, match="7"):
        pretraining.run(micro, 7)


def test_an_encoder_that_is_not_there_is_refused_before_training(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path / "results"))
    gone = micro.encoder.model_copy(update={"path": str(tmp_path / "gone")})
    budget = micro.pretraining.model_copy(update={"tokens": 0})
    changed = micro.model_copy(update={"encoder": gone, "pretraining": budget})
    with pytest.raises(InputError, match="gone"):
        transfer.run(changed, "none", "tatoeba", 1)
    assert not list((tmp_path / "results").rglob("run.json"))


# Pre-training's mixture of languages


def test_languages_are_drawn_by_their_flattened_share() -> None:
    sizes = {"en": 800, "qaa": 150, "qab": 50}
    weights = {code: (size / 1000) ** 0.5 for code, size in sizes.items()}
    plan = text_blocks.sample([*sizes.values()], 0.5, 2000, 8, seed=1)
    assert {len(batch) for batch in plan} == {8}
    drawn = np.array(plan).ravel()
    edges = np.cumsum([0, *sizes.values()])
    for (code, weight), low, high in zip(weights.items(), edges, edges[1:], strict=False):
        share = weight / sum(weights.values())
        mine = drawn[(drawn >= low) & (drawn < high)]
        spread = (share * (1 - share) / len(drawn)) ** 0.5
        assert abs(len(mine) / len(drawn) - share) < 4 * spread, code
        # Every block of a language comes once before any comes again.
        counts = np.bincount(mine - low, minlength=high - low)
        assert counts.max() - counts.min() <= 1


def test_a_pre_training_says_what_it_read(udpos: results.Run, micro: Profile) -> None:
    run = pretraining.run(micro, 1)
    record = json.loads(run.cell.run_file.read_text(encoding="utf-8"))
    # 3,000 tokens in batches of 8 blocks of 32.
    assert (record["updates"], record["tokens"]) == (11, 2816)
    assert set(record["text_tokens"]) == {"en", "qaa", "qab"}
    assert set(run.scores["language"]) == {"en", "qaa", "qab"}
    # A language whose held-out lines fill no block has no accuracy, rather than one of 0.
    assert (run.scores["value"].isna() == (run.scores["n"] == 0)).all()
    assert run.scores["value"].dropna().between(0, 1).all()
    assert (run.cell.folder / "encoder" / "tokenizer.json").is_file()


def test_an_encoder_is_kept_on_the_way_where_the_profile_asks_for_it(
    micro: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    budget = micro.pretraining.model_copy(update={"snapshots": 2})
    changed = micro.model_copy(update={"pretraining": budget})
    done = pretraining.run(changed, 1)
    found = pretraining.snapshots(changed, 1)
    assert list(found) == [2 * 256, 5 * 256, 11 * 256]  # of 11 updates
    weights = [load_file(folder / "model.safetensors") for folder in found.values()]
    name = "roberta.embeddings.word_embeddings.weight"
    moved = [float((one[name] - weights[-1][name]).abs().sum()) for one in weights]
    assert moved[0] > moved[1] > moved[2] == 0
    assert encoder.load_tokenizer(found[512])("a")["input_ids"]
    assert any(name.startswith("snapshots/tokens=512/") for name in done.facts["files"])
    assert not list((tmp_path / ".work").rglob("snapshots"))
    # Without it nothing is kept, and the record is that of before there was such a key.
    assert "snapshots" not in pretraining.parameters(micro, 1)["pretraining"]


def test_what_the_training_labels_say_without_an_encoder_stands_beside_the_scores(
    store: Path, micro: Profile
) -> None:
    (run,), (floor,) = (transfer.run(micro, name, "xnli", 1) for name in ("none", "random"))
    task = tasks.get("xnli")
    labels = Counter(e["label"] for e in corpora.load_training(micro, task, task.train, 0))
    (most, _), *_ = labels.most_common(1)
    scores = run.scores.set_index(["language", "metric"])["value"]
    for code in micro.languages:
        there = [e["label"] for e in corpora.load(micro, task.evaluation, code)]
        assert scores[code, "most_frequent_accuracy"] == there.count(most) / len(there)
    assert not run.scores.loc[run.scores["metric"].str.startswith("most_"), "reported"].any()
    assert not floor.scores["metric"].str.startswith("most_").any()
    shown = baselines.shown(run.scores, "en").loc[("xnli", "most_frequent_accuracy")]
    others = [scores[code, "most_frequent_accuracy"] for code in ("qaa", "qab")]
    assert shown["zero-shot"] == pytest.approx(np.mean(others))
