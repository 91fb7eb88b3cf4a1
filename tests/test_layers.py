"""Encoders are measured once, cell by cell; retrieval agrees with phase 3; gains are paired."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lib import (
    alignment,
    intermediate,
    knowledge,
    layers,
    paths,
    representation,
    results,
    statistics,
    transfer,
)
from lib.alignment import Alignment
from lib.errors import InputError
from lib.knowledge import Knowledge
from lib.layers import Panel


@pytest.fixture(scope="module")
def ready(every_row: Any) -> Any:
    """Return a profile with the encoders of two conditions, and their retrieval scores."""
    study = every_row("layers")
    for condition in ("none", "random", "ud_parsing"):
        for target in ("tatoeba", "bucc"):
            transfer.run(study, condition, target, 1)
    return study


def small(study: Any) -> Knowledge:
    return Knowledge(study, training_sentences=30, sentences=12, words=40)


@pytest.fixture(scope="module")
def known(ready: Any) -> pd.DataFrame:
    return layers.measure(small(ready))


@pytest.fixture(scope="module")
def aligned(ready: Any) -> pd.DataFrame:
    return layers.measure(Alignment(ready, pairs=12))


KEYS = ["language", "layer"]


@pytest.mark.parametrize("condition", ["none", "random", "ud_parsing"])
@pytest.mark.parametrize("target", ["tatoeba", "bucc"])
def test_retrieval_by_layer_is_that_of_phase_3_to_the_last_digit(ready, condition, target):
    loaded = layers.load(ready, condition, 1)
    pooling = ready.targets[target].pooling
    again = pd.DataFrame(alignment.retrieval_rows(Alignment(ready), loaded, target, pooling))
    scores = results.collect(ready)
    scores = scores[(scores["target"] == target) & (scores["condition"] == condition)]
    metric = scores.loc[scores["reported"].astype(bool), "metric"].iloc[0]
    stored = scores[(scores["metric"] == metric) & scores["layer"].notna()]
    again = again[again["measure"] == f"{target}/{metric}"]
    assert len(again) == len(stored) == 2 * 2  # languages, layers
    first = stored.set_index(KEYS)["value"].to_dict()
    assert again.set_index(KEYS)["value"].to_dict() == first


def test_both_poolings_stand_side_by_side_and_the_reported_one_is_phase_3s(ready, aligned):
    scores = results.collect(ready)
    both = alignment.with_reported(aligned, scores, ready)
    assert set(zip(both["measure"].str.split("/").str[0], both["pooling"], strict=True)) == {
        ("tatoeba", "mean"), ("tatoeba", "first"), ("bucc", "mean"), ("bucc", "first")
    }  # fmt: skip
    sizes = both.groupby(["measure", "pooling", "condition"]).size()
    assert set(sizes) == {2 * 2}
    panels = alignment.panels(both, ready)
    assert {panel.title for panel in panels if "(reported)" in panel.title} == {
        "tatoeba, accuracy: mean pooling (reported)", "bucc, f1: mean pooling (reported)"
    }  # fmt: skip
    named = alignment.ngram_baseline(scores, panels, ready.target_languages)
    grams = scores.loc[scores["metric"] == "character_ngram_accuracy", "value"]
    assert len(named) == 2  # Tatoeba's panels; BUCC has no such baseline
    assert [value for _, value in named.values()] == pytest.approx([100 * grams.mean()] * 2)


def test_a_side_that_is_too_large_is_not_read_again_and_a_line_says_so(ready, capsys):
    loaded = layers.load(ready, "none", 1)
    assert alignment.retrieval_rows(Alignment(ready, largest_side=3), loaded, "bucc", "first") == []
    assert (
        "bucc: a side of qaa, qab has more than 3 sentences; one pooling only"
        in capsys.readouterr().out
    )


def test_a_second_call_reads_what_stands_and_a_lost_cell_alone_is_made_again(ready, known):
    folder = paths.results(ready.name) / "representation"
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*/knowledge/*/run.json")}
    assert len(before) == 3
    lost = next(file for file in before if "ud_parsing" in str(file))
    lost.unlink()
    again = layers.measure(small(ready))
    pd.testing.assert_frame_equal(again, known)
    after = {file: file.stat().st_mtime_ns for file in before}
    assert {file for file in before if after[file] != before[file]} == {lost}


def test_other_settings_are_refused_by_name(ready, known):
    with pytest.raises(InputError, match=r"measurement\.sentences = 12, asked for 11"):
        layers.measure(Knowledge(ready, training_sentences=30, sentences=11, words=40))


def test_conditions_without_an_encoder_are_left_out_and_none_at_all_is_one_line(
    ready, known, monkeypatch, tmp_path
):
    assert "stsb" in ready.conditions
    assert set(known["condition"]) == {"none", "random", "ud_parsing"}
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    with pytest.raises(InputError, match=r"run `make figures PROFILE=\S*layers.yaml` first"):
        layers.measure(small(ready))
    assert not any(tmp_path.rglob("run.json")), "measuring trained an encoder"


def test_every_language_is_probed_and_the_source_alone_has_a_control(known):
    for label in knowledge.LABELS:
        rows = known[known["measure"] == f"probe_{label}"]
        assert set(rows["language"]) == {"en", "qaa", "qab"} and rows["value"].between(0, 1).all()
        control = known[known["measure"] == f"control_{label}"]
        assert set(control["language"]) == {"en"}
        assert len(control) == 3 * 2  # conditions, layers
    selective = layers.selectivity(known)
    row = selective.iloc[0]
    same = known[
        (known["condition"] == row["condition"]) & (known["layer"] == row["layer"])
        & (known["language"] == "en")
    ].set_index("measure")["value"]  # fmt: skip
    label = row["measure"].removeprefix("selectivity_")
    assert row["value"] == pytest.approx(same[f"probe_{label}"] - same[f"control_{label}"])


def test_likeness_to_the_encoder_before_is_one_where_nothing_was_trained(ready, known):
    assert "none" not in set(known.loc[known["measure"] == "cka_words", "condition"])
    asked = small(ready)
    same = layers.load(ready, "none", 1)
    rows = pd.DataFrame(asked.rows(layers.Loaded("other", 1, 1, same.model, same.tokenizer)))
    assert rows.loc[rows["measure"].str.startswith("cka"), "value"].to_numpy() == pytest.approx(1)
    random = known[(known["condition"] == "random") & (known["measure"] == "cka_words")]
    assert (random["value"] < 0.999).all()


def test_attention_has_layers_from_one_on_and_offsets_have_none(known):
    assert set(known.loc[known["measure"] == "attention", "layer"]) == {1}
    offsets = known[known["measure"] == "offset"]
    assert offsets["layer"].isna().all() and offsets["language"].nunique() == 3
    # The same trees have the same offsets, whatever the encoder.
    assert offsets.groupby("language")["value"].nunique().max() == 1


def test_likeness_and_isotropy_are_of_the_vectors_of_both_sides(ready, aligned):
    of, loaded = Alignment(ready, pairs=12), layers.load(ready, "ud_parsing", 1)
    code, pairs = next(iter(of.translations.items()))
    foreign, ours = (of._embed(loaded, [p[side] for p in pairs]) for side in ("source", "target"))
    rows = aligned[(aligned["condition"] == "ud_parsing") & (aligned["layer"] == 1)]
    found = rows.set_index(["measure", "language"])["value"]
    likeness = representation.linear_cka(foreign[1], ours[1])
    assert found["cka_translations", code] == pytest.approx(likeness) and likeness < 0.999
    for language, vectors in ((code, foreign), (ready.source_language, ours)):
        expected = representation.mean_cosine(vectors[1])
        assert found["mean_cosine", language] == pytest.approx(expected)


def test_a_panel_is_of_one_pooling():
    table = tidy({("stsb", seed, "qaa"): 0.1 * seed for seed in (1, 2)})
    both = pd.concat([table, table.assign(pooling="first", value=9.0)], ignore_index=True)
    panel = Panel("x", table["measure"].iloc[0], "all", "mean")
    assert layers.curves(both, [panel], "en")["mean"].tolist() == pytest.approx([15.0])


def test_labels_of_words_are_those_of_the_tree():
    tree = {"words": ["the", "dog", "barks"], "heads": [2, 3, 0],
            "relations": ["det", "nsubj:pass", "root"]}  # fmt: skip
    assert knowledge.labels_of([tree], "relation") == ["det", "nsubj", "root"]
    assert knowledge.labels_of([tree], "direction") == ["after", "after", "root"]
    assert knowledge.labels_of([{**tree, "heads": [0, 1, 1]}], "direction")[1:] == ["before"] * 2


def tidy(values: dict[tuple[str, int, str], float]) -> pd.DataFrame:
    """Return a table of one measure at layer 1: by condition, seed and language."""
    rows = [(*key, value) for key, value in values.items()]
    table = pd.DataFrame(rows, columns=["condition", "seed", "language", "value"])
    table = table.assign(measure="probe_upos", pooling="mean", n=9, encoder_seed=table["seed"])
    table["layer"] = pd.array([1] * len(table), dtype="Int64")
    return table[layers.COLUMNS]


VALUES = {
    ("none", 1, "en"): 0.9, ("none", 1, "aa"): 0.5, ("none", 1, "bb"): 0.3,
    ("none", 2, "en"): 0.8, ("none", 2, "aa"): 0.4, ("none", 2, "bb"): 0.2,
    ("none", 3, "en"): 0.7, ("none", 3, "aa"): 0.6, ("none", 3, "bb"): 0.4,
    ("stsb", 1, "en"): 0.9, ("stsb", 1, "aa"): 0.6, ("stsb", 1, "bb"): 0.5,
    ("stsb", 2, "en"): 0.8, ("stsb", 2, "aa"): 0.6, ("stsb", 2, "bb"): 0.4,
    ("stsb", 3, "en"): 0.7, ("stsb", 3, "aa"): 0.7, ("stsb", 3, "bb"): 0.5,
}  # fmt: skip


def test_gains_are_paired_by_encoder_and_averaged_over_the_panels_languages():
    gains = layers.gains(tidy(VALUES))
    # Language means of gains, by seed: 0.15, 0.2, 0.1.
    panels = [Panel("others", "probe_upos", "others"), Panel("source", "probe_upos", "source")]
    table = layers.curves(gains, panels, "en", "gain").set_index("panel")
    row = table.loc["others"]
    expected = statistics.t_interval([15, 20, 10])
    assert [row["mean"], row["low"], row["high"]] == pytest.approx(list(expected))
    from scipy.stats import ttest_1samp

    assert row["p"] == pytest.approx(ttest_1samp([15, 20, 10], 0).pvalue)
    assert (row["languages"], row["replicates"]) == (2, 3)
    assert table.loc["source", "mean"] == pytest.approx(0) and np.isnan(table.loc["source", "p"])


def test_a_contrast_pairs_what_both_conditions_have():
    values = {key: value for key, value in VALUES.items() if key[:2] != ("stsb", 3)}
    found = layers.contrast(tidy(values), "stsb", "none")
    assert sorted(found["seed"].unique()) == [1, 2]
    panel = [Panel("others", "probe_upos", "others")]
    table = layers.curves(found, panel, "en", "gain")
    assert table["mean"].tolist() == pytest.approx([17.5]) and table["replicates"].tolist() == [2]
    assert layers.contrast(tidy(values), "ud_parsing", "none").empty


def test_no_panels_make_an_empty_table_as_a_profile_without_retrieval_has():
    table = layers.curves(tidy(VALUES), [], "en")
    assert table.empty and {"panel", "condition", "layer", "mean", "p"} <= set(table.columns)


def test_all_conditions_are_measured_but_the_steps_of_a_learning_curve(ready, known, monkeypatch):
    measured = dict.fromkeys(known["condition"])
    sizes = {"ud_parsing": ready.conditions["ud_parsing"].model_copy(update={"examples": 9})}
    smaller = ready.model_copy(update={"conditions": ready.conditions | sizes})
    assert list(measured) == ["none", "random", "ud_parsing"]
    assert "ud_parsing" not in set(layers.measure(small(smaller))["condition"])


def test_sentences_say_the_sign_the_interval_and_what_adjusting_leaves():
    rows = pd.DataFrame(
        [
            ("stsb", "UPOS", 2.0, 1.0, 3.0, 0.001),
            ("stsb", "relation", -2.0, -3.9, -0.1, 0.04),
            ("stsb", "side", 0.5, -1.0, 2.0, 0.4),
        ],
        columns=["condition", "panel", "mean", "low", "high", "p"],
    ).assign(replicates=4)
    first, second, third = (
        layers.sentence(row, "higher", "lower") for _, row in layers.adjusted(rows).iterrows()
    )
    assert first == "stsb, UPOS: +2.0 points (95 % +1.0 to +3.0; Holm p 0.003): higher."
    assert "−2.0 points" in second and "lower, but not after adjusting" in second
    assert third.endswith("cannot be told from no difference.")
    copies = layers.adjusted(rows).iloc[0].copy()
    copies[["low", "high", "p_holm", "replicates"]] = [np.nan, np.nan, np.nan, 2]
    assert layers.sentence(copies, "more", "less") == (
        "stsb, UPOS: +2.0 points: no interval, 2 encoders and no seed changes it."
    )
    copies["replicates"] = 1
    assert layers.sentence(copies, "more", "less").endswith("one run only.")
    words = knowledge.conclusion(layers.adjusted(rows))
    assert words.startswith("1 of 3 measures differs") and "More after parsing: UPOS" in words


def test_measuring_trains_and_writes_nothing_but_its_own_cells(ready, aligned, known):
    folder = paths.results(ready.name)
    made = {Path(file).relative_to(folder).parts[0] for file in folder.rglob("run.json")}
    assert made == {"pretrain", "intermediate", "transfer", "representation"}
    work = folder / ".work" / "representation"
    assert {file.name for file in work.rglob("*") if file.is_file()} == {".lock"}
    assert intermediate.condition_of(ready, "ud_parsing").task == "ud_parsing"
