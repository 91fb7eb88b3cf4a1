"""Ours stands beside the published as what it is; what cannot be compared says why."""

from pathlib import Path

import pandas as pd
import pytest
from scipy import stats

from lib import profile, replication, tasks
from lib.errors import InputError
from lib.evidence import Study

BASE = profile.load("xtreme_base", whole=True)
WORLD = profile.load("world", whole=True)
CONDITIONS = ["none", "ud_parsing", "stsb", "mnli-3epochs", "squad-3epochs", "random"]


def rows_of(target: str, settings: profile.Profile, languages: list[str]) -> list[tuple]:
    """Return a target's scores: seed and condition shift every language alike."""
    task = tasks.get(target)
    assert task.evaluation
    rows = []
    for seed in settings.seeds:
        for place, name in enumerate(CONDITIONS):
            value = 0.5 + 0.01 * place * (1 if seed < 3 else 2)
            own = [(code, task.evaluation.split, True) for code in languages]
            if task.kind != "retrieval":
                own.append(("en", "development", False))
            rows += [(name, target, code, task.reported, value, seed, split, reported)
                     for code, split, reported in own]  # fmt: skip
    return rows


def study(settings: profile.Profile = BASE, targets: dict[str, list[str]] | None = None) -> Study:
    """Return a study of targets in the languages named, by default in all of XTREME's."""
    targets = targets or {name: list(tasks.get(name).languages) for name in settings.targets}
    rows = [row for name, codes in targets.items() for row in rows_of(name, settings, codes)]
    names = ["condition", "target", "language", "metric", "value", "seed", "split", "reported"]
    table = pd.DataFrame(rows, columns=names)
    table["encoder_seed"] = table["seed"].map(settings.seeds)
    return Study(settings, table.assign(n=100, layer=pd.NA))


IN_WORLD = {"xnli": ["en", "qaa", "qab"], "tatoeba": ["qaa", "qab"]}


def test_a_score_is_comparable_where_it_is_xtremes_own() -> None:
    found = replication.scores(study())
    ours = found[found["source"] == "ours"]
    assert ours["comparable"].all() and set(ours["target"]) == set(BASE.targets)
    row = ours.set_index(["target", "system"]).loc[("pawsx", "ud_parsing")]
    expected = stats.ttest_1samp([51.0, 51.0, 52.0], 0).confidence_interval(0.95)
    assert row[["mean", "low", "high"]].tolist() == pytest.approx(
        [154 / 3, expected.low, expected.high]
    )
    theirs = found[(found["source"] != "ours") & (found["target"] == "tatoeba")]
    assert theirs[["system", "mean"]].to_numpy().tolist() == [["XLM-R large", 57.3]]


def test_languages_splits_examples_and_training_data_that_differ_are_named() -> None:
    whole = study()
    assert replication.differences(whole, "xnli") == ""
    fewer = study(targets={"xnli": ["en", "de", "fr"]})
    assert replication.differences(fewer, "xnli") == "3 of 15 languages"
    table = whole.table.assign(split=whole.table["split"].replace("test", "validation"))
    assert replication.differences(Study(BASE, table), "panx") == "validation for test data"
    changed = BASE.targets["xquad"].model_copy(
        update={"evaluation_examples": 150, "train": ["squadshifts_wiki"]}
    )
    other = BASE.model_copy(update={"targets": BASE.targets | {"xquad": changed}})
    said = replication.differences(Study(other, whole.table), "xquad")
    assert said == "150 examples a language, other training data"
    fitted = whole.table.assign(metric=whole.table["metric"].replace("f1", "f1_cross_fitted"))
    assert "threshold" in replication.differences(Study(BASE, fitted), "bucc")
    assert replication.differences(study(WORLD, IN_WORLD), "xnli") == "artificial languages"


def test_gains_stand_beside_those_of_one_published_table() -> None:
    found = replication.gains(study()).set_index(["target", "system"])
    assert found.loc[("xnli", "X-STILTs − XLM-R large"), "mean"] == pytest.approx(0.8)
    assert ("bucc", "X-STILTs − XLM-R large") not in found.index
    row = found.loc[("xnli", "ud_parsing")]
    assert row["mean"] == pytest.approx((1 + 1 + 2) / 3) and row["languages"] == 15
    # squad-3epochs is the better of the two on English development data; English is left out.
    best = found.loc[("xnli", replication.BEST)]
    assert best["mean"] == pytest.approx((4 + 4 + 8) / 3) and best["languages"] == 14


def test_without_tasks_of_the_nine_there_is_no_best_of_them() -> None:
    found = replication.gains(study(WORLD, IN_WORLD))
    assert set(found["system"]) == {"X-STILTs − XLM-R large", "ud_parsing", "stsb"}


def write_parsing(folder: Path, las: dict[int, float]) -> None:
    for seed, value in las.items():
        cell = folder / f"world/intermediate/ud_parsing/seed={seed}"
        cell.mkdir(parents=True)
        rows = [("after", "uas", value + 0.02), ("after", "las", value), ("before", "las", 0.0),
                ("left_arc", "uas", 0.3), ("left_arc", "las", 0.2)]  # fmt: skip
        table = pd.DataFrame(rows, columns=["moment", "metric", "value"])
        table.assign(task="ud_parsing", n=240, split="validation").to_parquet(
            cell / "scores.parquet"
        )
        (cell / "run.json").write_text("{}")


def test_parsing_is_read_from_phase_2_with_its_baselines_beside_published_parsers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    nothing = replication.parsing(study(WORLD, IN_WORLD))
    assert set(nothing["kind"]) == {"published"}
    write_parsing(tmp_path, {1: 0.80, 2: 0.83, 3: 0.86})
    found = replication.parsing(study(WORLD, IN_WORLD)).set_index(["kind", "system", "metric"])
    row = found.loc[("ours", "ud_parsing", "las")]
    expected = stats.ttest_1samp([80.0, 83.0, 86.0], 0).confidence_interval(0.95)
    assert row[["mean", "low", "high"]].tolist() == pytest.approx([83, expected.low, expected.high])
    assert "artificial" in row["about"] and "240 sentences" in row["about"]
    assert found.loc["baseline"]["mean"].tolist() == pytest.approx([30, 20])
    assert found.loc[("published", "Trankit large", "las"), "mean"] == 89.40


def test_retrieval_stands_beside_published_languages_in_the_same_metric_alone() -> None:
    found = replication.retrieval(study(targets={"tatoeba": ["de", "tr"]}), "tatoeba")
    found = found.set_index(["language", "system"])["mean"]
    assert found["de", "XLM-R large, published"] == 63.9
    assert found["tr", "stsb"] == pytest.approx(50 + (2 + 2 + 4) / 3)
    assert set(found.index.get_level_values(0)) == {"de", "tr"}
    with pytest.raises(InputError, match="artificial"):
        replication.retrieval(study(WORLD, IN_WORLD), "tatoeba")
    whole = study()
    fitted = whole.table.assign(metric=whole.table["metric"].replace("f1", "f1_cross_fitted"))
    with pytest.raises(InputError, match="reports f1_cross_fitted, published is f1"):
        replication.retrieval(Study(BASE, fitted), "bucc")
