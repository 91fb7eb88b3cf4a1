"""Snapshots of an encoder are fine-tuned as the finished one is, beside one floor."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure

from lib import growth, paths, pretraining, transfer
from lib.errors import InputError
from lib.profile import Profile


@pytest.fixture(scope="module")
def grown(micro: Profile, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Profile]:
    """Return a profile whose encoder is finished, with a snapshot on the way."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTS_ROOT", str(tmp_path_factory.mktemp("results")))
        budget = micro.pretraining.model_copy(update={"snapshots": 1})
        settings = micro.model_copy(update={"pretraining": budget})
        pretraining.run(settings, 1)
        yield settings


def test_the_last_point_is_what_the_study_itself_measures(grown: Profile) -> None:
    table = growth.measure(grown, "udpos")
    assert list(table["tokens"].unique()) == [5 * 256, 11 * 256]
    assert set(table["language"]) == set(grown.languages)
    for condition, column in (("none", "value"), ("random", "floor")):
        (run,) = transfer.run(grown, condition, "udpos", 1)
        scores = run.scores[run.scores["reported"]].set_index("language")["value"]
        last = table[table["tokens"] == 11 * 256].set_index("language")[column]
        pd.testing.assert_series_equal(last, scores, check_names=False)


def test_an_encoder_that_is_not_finished_is_said(micro: Profile, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTS_ROOT", str(tmp_path))
        with pytest.raises(InputError, match="no finished encoder"):
            growth.measure(micro, "udpos")


def test_an_encoder_that_is_taken_as_it_is_has_no_growth(grown: Profile, tmp_path: Path) -> None:
    folder = pretraining.cell(grown, 1).folder / "encoder"
    taken = pretraining.taken_from(grown, str(folder), "taken")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTS_ROOT", str(tmp_path))
        pretraining.run(taken, 1)
        with pytest.raises(InputError, match=r"pretraining\.tokens: found 0"):
            growth.measure(taken, "udpos")


def test_the_figure_shows_points_over_the_floor() -> None:
    rows = [
        {
            "encoder_seed": seed,
            "tokens": tokens,
            "language": code,
            "value": 0.2 + more,
            "floor": 0.2,
        }
        for seed in (1, 2)
        for tokens, more in ((1000, 0.1), (2000, 0.3))
        for code in ("en", "de", "tr")
    ]
    figure = growth.growth(pd.DataFrame(rows), "udpos")
    assert isinstance(figure, Figure)
    (axes,) = figure.axes
    thick = [line for line in axes.lines if line.get_linewidth() == 1.6]
    assert [list(line.get_ydata()) for line in thick] == [pytest.approx([10, 30])] * 2
    assert "over the random encoder" in axes.get_ylabel()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.001", "0.002"]
    assert not list(axes.xaxis.get_minorticklocs())


def test_the_table_and_figure_are_written(
    grown: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("FIGURES_ROOT", str(tmp_path))
    monkeypatch.setattr(growth.profile, "load", lambda *_, **__: grown)
    growth.main(["micro"])
    assert (paths.figures(grown.name) / "growth.png").is_file()
    assert "points over the floor" in capsys.readouterr().out
    with pytest.raises(InputError, match="'ner', expected one of udpos"):
        growth.main(["micro", "--target", "ner"])


def test_an_encoder_that_is_not_finished_is_left_out_with_a_line(
    grown: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    two = grown.model_copy(update={"seeds": {1: 1, 2: 2}})
    assert set(growth.measure(two, "udpos")["encoder_seed"]) == {1}
    assert "encoder seeds [2] are not finished" in capsys.readouterr().out
