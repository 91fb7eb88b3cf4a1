"""Published facts are read with their source, or not at all; averages agree with the printed."""

from pathlib import Path

import pandas as pd
import pytest

from lib import published, tasks
from lib.errors import InputError


def write(folder: Path, **changes: str) -> Path:
    row = {"system": "A", "snapshot": "B", "task": "xnli", "metric": "accuracy", "value": "79.2",
           "source": "a table", "confidence": "verbatim", "note": ""}  # fmt: skip
    row |= changes
    pd.DataFrame([row]).to_csv(folder / "task_scores.csv", index=False)
    return folder


@pytest.mark.parametrize("name", published.COLUMNS)
def test_every_committed_table_is_read_and_no_row_is_from_memory(name: str) -> None:
    table = published.read(name)
    assert len(table) and set(table["confidence"]) <= set(published.CONFIDENCE)
    text = (published.FOLDER / f"{name}.csv").read_text(encoding="utf-8").lower()
    assert "memory" not in text


def test_every_committed_file_has_a_reader() -> None:
    assert {file.stem for file in published.FOLDER.glob("*.csv")} == set(published.COLUMNS)


def test_a_row_that_is_well_is_read_as_it_stands(tmp_path: Path) -> None:
    table = published.read("task_scores", write(tmp_path))
    assert table.loc[0, ["task", "value"]].tolist() == ["xnli", 79.2]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"source": " "}, "row 2: no source"),
        ({"confidence": "from_memory"}, "row 2: from memory"),
        ({"note": "size from Memory"}, "row 2: from memory"),
        ({"confidence": "likely"}, "row 2: confidence 'likely'"),
        ({"value": "about 79"}, "row 2: value 'about 79', expected a number"),
    ],
)
def test_a_row_that_cannot_be_shown_is_refused(tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        published.read("task_scores", write(tmp_path, **change))
    assert "task_scores.csv" in str(error.value)


def test_a_missing_column_and_an_unknown_table_are_refused(tmp_path: Path) -> None:
    pd.DataFrame({"system": ["A"]}).to_csv(tmp_path / "task_scores.csv", index=False)
    with pytest.raises(InputError, match="'snapshot' is missing"):
        published.read("task_scores", tmp_path)
    with pytest.raises(InputError, match="'scores'"):
        published.read("scores")


@pytest.mark.parametrize("system", ["XLM-R large", "X-STILTs"])
def test_the_mean_of_seven_task_scores_is_the_printed_average(system: str) -> None:
    scores = published.task_scores(system, published.SNAPSHOT)
    table = published.read("averages").set_index(["system", "rule"])
    assert len(scores) == 7
    # Printed to one decimal, of scores that are printed to one decimal too.
    printed = table.loc[(system, "seven tasks, no retrieval"), "value"]
    assert scores.mean() == pytest.approx(printed, abs=0.1)


def test_a_score_whose_metric_is_not_stated_is_no_task_score_though_in_the_printed_average() -> (
    None
):
    scores = published.task_scores("XLM-R base", "XLM-Align README")
    assert len(scores) == 6 and "udpos" not in scores
    assert (scores.sum() + 75.6) / 7 == pytest.approx(66.4, abs=0.1)


def test_gains_are_worked_by_hand_from_one_snapshot() -> None:
    gains = published.gains()
    assert gains["xnli"] == pytest.approx(80.0 - 79.2)
    assert gains["panx"] == pytest.approx(64.0 - 65.4)
    assert gains["tydiqa"] == pytest.approx((76.0 + 59.5) / 2 - (65.1 + 45.0) / 2)
    assert not {"bucc", "tatoeba"} & set(gains.index)


def test_question_answering_in_f1_alone_has_no_task_score() -> None:
    scores = published.task_scores("X-STILTs", "mT5 README")
    assert set(scores.index) == {"panx", "xnli", "pawsx"}
    with pytest.raises(InputError, match="'mT5'"):
        published.task_scores("mT5", "RemBERT table 16")


def test_published_sizes_are_those_of_the_task_table_and_add_up() -> None:
    size = {
        name: int(published.fact("intermediate_tasks", task=name, item="training examples"))
        for name in ("mnli", "anli", "snli", "anli+", "squad", "squad_v2", "hellaswag")
    }
    assert size["anli"] + size["mnli"] + size["snli"] == size["anli+"]
    for name in ("mnli", "squad", "squad_v2", "hellaswag"):
        assert size[name] == tasks.get(name).published_size
    assert size["anli+"] == tasks.get("anli").published_size


def test_targets_have_the_published_number_of_languages() -> None:
    table = published.read("target_tasks").set_index("task")["languages_in_code"].astype(int)
    assert table.to_dict() == {name: len(tasks.get(name).languages) for name in table.index}


def test_a_fact_that_is_not_one_row_is_refused() -> None:
    with pytest.raises(InputError, match="0 rows"):
        published.fact("intermediate_tasks", task="mnli", item="tokens")
