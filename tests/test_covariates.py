"""Covariates are measured as they say, kept, and left out of models that cannot hold them."""

import json

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.outliers_influence import variance_inflation_factor

from lib import covariates, pretraining, profile, transfer, typology
from lib.errors import InputError

CODES = [f"l{i}" for i in range(8)]
DISTANCE = pd.Series(np.linspace(0.1, 0.8, 8), index=CODES)


def test_lexical_overlap_counts_running_words_without_case_and_punctuation():
    # das, hotel, in, paris, paris: three of five are in the source.
    assert covariates.shared_words(["The Hotel, Paris."], ["Das Hotel in Paris – Paris!"]) == 0.6
    # 我, 在, 巴, 黎 and 2: characters are words where nothing separates words.
    assert covariates.shared_words(["Paris 2"], ["我在巴黎2"]) == 0.2
    assert np.isnan(covariates.shared_words(["Paris"], ["?"]))


@pytest.fixture
def evaluated(micro, monkeypatch, tmp_path):
    """Let two targets evaluate texts of which the overlap can be said by hand."""
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    words = {
        "udpos": {"en": "a b c d", "qaa": "a b x y", "qab": "a x y z"},
        "xnli": {"en": "a b", "qaa": "a b"},
    }
    read = []

    def sets(settings, task, budget, languages):
        read.append(task.name)
        texts = words.get(task.name, {"qaa": "a"})
        return {code: [{"words": text.split()}] for code, text in texts.items()}, []

    monkeypatch.setattr(transfer, "evaluation_sets", sets)
    return micro, read


def test_lexical_overlap_is_averaged_over_targets_as_if_no_language_lacked_one(evaluated):
    # qaa 0.5 and 1, qab 0.25 and, were it there, 0.75; what has no source text says nothing.
    found = covariates.lexical_overlap(evaluated[0])
    assert found["qaa"] == pytest.approx(0.75) and found["qab"] == pytest.approx(0.5)


def test_lexical_overlap_is_counted_once(evaluated):
    settings, read = evaluated
    first = covariates.lexical_overlap(settings)
    before = list(read)
    assert "tatoeba" not in before  # retrieval has no text of the source's own
    pd.testing.assert_series_equal(covariates.lexical_overlap(settings), first)
    assert read == before


def test_pretraining_text_is_the_mean_of_what_the_encoders_of_a_profile_have_read(
    micro, monkeypatch, tmp_path
):
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    two = micro.model_copy(update={"seeds": {1: 1, 2: 2}})
    for seed, tokens in ((1, 100), (2, 300)):
        file = pretraining.cell(two, seed).run_file
        file.parent.mkdir(parents=True)
        file.write_text(json.dumps({"text_tokens": {"en": 800, "qaa": tokens}}))
    text, unit = covariates.pretraining_text(two, typology.languages(None))
    assert text is not None and text.to_dict() == {"en": 800, "qaa": 200}
    assert unit == "subword tokens"


def test_of_xlm_r_the_pretraining_text_is_cc100_and_of_another_encoder_unknown(
    monkeypatch, tmp_path
):
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    settings, languages = profile.load("xtreme_base"), typology.languages(None)
    text, unit = covariates.pretraining_text(settings, languages)
    assert text is not None and (text["de"], unit) == (66.6, "GiB")
    other = settings.encoder.model_copy(update={"path": "google-bert/bert-base"})
    unknown = settings.model_copy(update={"encoder": other})
    assert covariates.pretraining_text(unknown, languages)[0] is None


def test_in_a_world_the_settings_stand_for_the_lexical_overlap(
    micro, monkeypatch, tmp_path, capsys
):
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    codes = ["en", "qaa", "qab"]
    shares = {"cognate_share": [0, 0.2, 0.05], "shared_names": [0, 0.05, 0.2]}
    world = pd.DataFrame({"script": ["Latin", "Latin", "Greek"], **shares}, index=codes)
    found = covariates.table(micro, world)
    assert found.columns.tolist() == ["same_script", "cognate_share", "shared_names"]
    assert found.loc["qaa"].tolist() == [1, 0.2, 0.05]
    assert found.loc["qab"].tolist() == [0, 0, 0]  # written in Greek, none is shared
    assert "unknown" in capsys.readouterr().out  # nothing was pre-trained here


@pytest.mark.parametrize(("tokens", "kept"), [((1000, 2000), True), ((1000, 1100), False)])
def test_nearly_equal_pretraining_text_is_no_covariate(micro, monkeypatch, tokens, kept):
    text = pd.Series(tokens, index=["qaa", "qab"])
    monkeypatch.setattr(covariates, "pretraining_text", lambda *_: (text, "tokens"))
    world = pd.DataFrame({"script": ["Latin"] * 3}, index=["en", "qaa", "qab"])
    found = covariates.table(micro, world)
    assert ("text_doublings" in found) is kept
    if kept:
        assert np.ptp(found["text_doublings"]) == pytest.approx(1)


def test_what_cannot_be_measured_is_said_and_left_out(monkeypatch, tmp_path, capsys):
    def missing(settings):
        raise InputError("no configuration 'de'")

    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    monkeypatch.setattr(covariates, "lexical_overlap", missing)
    found = covariates.table(profile.load("xtreme_base"), typology.languages(None))
    assert "lexical_overlap" not in found and {"genetic_distance", "same_script"} <= set(found)
    assert "lexical overlap is unknown: no configuration 'de'" in capsys.readouterr().out


def test_variance_inflation_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": rng.normal(size=8), "b": DISTANCE + rng.normal(0, 0.2, 8)})
    table.index = DISTANCE.index
    design = np.column_stack([np.ones(8), DISTANCE, table])
    expected = max(variance_inflation_factor(design, place) for place in (1, 2, 3))
    assert covariates.inflation(table, DISTANCE) == pytest.approx(expected)


def test_a_covariate_that_a_model_cannot_hold_is_left_out_with_its_reason():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {
            "same_script": 1.0,
            "lexical_overlap": 1 - 2 * DISTANCE,
            "text_doublings": np.where(np.arange(8) < 2, np.nan, rng.normal(size=8)),
            "a": rng.normal(size=8),
            "b": rng.normal(size=8),
            "c": rng.normal(size=8),
            "d": rng.normal(size=8),
        },
        index=CODES,
    )
    kept, lines = covariates.chosen(table, DISTANCE)
    assert kept == ["a", "b", "c"]
    reasons = ["same in every language", "nearly a combination", "unknown for 2 of 8", "no room"]
    assert len(lines) == len(reasons)
    assert all(reason in line for reason, line in zip(reasons, lines, strict=True))
