"""The explorer: what a choice shows, what a changed widget does, and what stays without widgets."""

import builtins
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from nbclient import NotebookClient
from nbformat import v4
from scipy import stats

from lib import explorer, intermediate, paths, results, single_results, transfer
from lib.errors import InputError
from lib.single_results import Choice, SingleResults, View


@pytest.fixture(scope="module")
def study(micro: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a small grid: a parser, a placebo of it, none, and similarity with fewer targets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESULTS_ROOT", str(tmp_path_factory.mktemp("explored")))
        for condition in ("none", "ud_parsing", "ud_parsing_shuffled"):
            for target in ("udpos", "xnli", "xquad", "tatoeba"):
                transfer.run(micro, condition, target, 1)
        transfer.run(micro, "stsb", "xnli", 1)
        yield micro


def test_the_first_choice_is_the_study_s_own(study: Any) -> None:
    look = SingleResults(study)
    choice = look.first()
    assert (choice.condition, choice.other, choice.parser) == ("ud_parsing", "none", "ud_parsing")
    assert choice.target == "udpos"
    distances = study.language_table.loc[study.target_languages, "distance"]
    assert choice.language == distances.idxmin()


def test_only_what_both_conditions_have_is_offered(study: Any) -> None:
    look = SingleResults(study)
    assert look.conditions == ["none", "ud_parsing", "stsb", "ud_parsing_shuffled"]
    assert look.targets("stsb", "none") == ["xnli"]
    assert look.targets("ud_parsing", "none") == ["udpos", "xnli", "xquad", "tatoeba"]
    assert "en" not in look.languages_of("ud_parsing", "none", "tatoeba")
    # A parser of permuted trees draws no syntax.
    assert "ud_parsing" in look.parsers and "ud_parsing_shuffled" not in look.parsers


def test_scores_and_their_difference_have_student_s_intervals_over_paired_seeds(study: Any) -> None:
    look = SingleResults(study)
    values = {"ud_parsing": [0.5, 0.7, 0.6, 0.9], "none": [0.4, 0.4, 0.5, 0.5]}
    look.table = pd.DataFrame(
        [
            {"condition": name, "target": "udpos", "language": "qaa", "value": value, "n": 20,
             "seed": seed, "encoder_seed": seed, "metric": "f1"}
            for name, of_seeds in values.items()
            for seed, value in enumerate(of_seeds, 1)
        ]
    )  # fmt: skip
    table = look.scores(Choice("ud_parsing", "none", "udpos", "qaa")).set_index("condition")
    values["ud_parsing − none"] = list(np.subtract(values["ud_parsing"], values["none"]))
    for name, sample in values.items():
        low, high = stats.t.interval(0.95, 3, loc=np.mean(sample), scale=stats.sem(sample))
        row = table.loc[name]
        assert row[["mean", "low", "high"]].tolist() == pytest.approx([np.mean(sample), low, high])
        assert row["replicates"] == 4


def test_a_view_shows_scores_flips_and_the_gold_tree_beside_the_predicted(study: Any) -> None:
    look = SingleResults(study)
    choice = look.first()
    view = look.view(choice)
    row = results.collect(study).query(
        "condition == 'none' and target == 'udpos' and language == @choice.language and reported"
    )
    assert f"{100 * row['value'].iloc[0]:.1f}" in view.tables
    for words in ("n = 16 examples", "no intervals", "only under ud_parsing", "Steadiest flips"):
        assert words in view.tables
    sentence = look.sentences(choice.language)[0]
    for svg, title in ((view.gold, "gold tree"), (view.predicted, "predicted by ud_parsing")):
        texts = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
        assert set(sentence["words"]) <= set(texts)
        assert any(title in text for text in texts)
    assert view.note == ""


def test_the_same_choice_makes_the_same_view(study: Any) -> None:
    first, second = (SingleResults(study) for _ in range(2))
    assert first.view(first.first()) == second.view(second.first())


@pytest.mark.parametrize("target", ["udpos", "xnli", "xquad", "tatoeba"])
def test_every_kind_of_target_has_a_view(study: Any, target: str) -> None:
    look = SingleResults(study)
    view = look.view(replace(look.first(), target=target))
    assert target in view.tables and "Flips" in view.tables


def test_a_typed_sentence_is_parsed_into_a_head_and_a_relation_for_each_word(study: Any) -> None:
    look = SingleResults(study)
    heads, relations = look.parse("ud_parsing", "a b c .".split())
    assert len(heads) == len(relations) == 4 and all(0 <= head <= 4 for head in heads)
    view = look.view(replace(look.first(), sentence="zzz <b> ."))
    assert view.gold == "" and "&lt;b&gt;" in view.predicted


def test_a_chosen_sentence_keeps_words_that_hold_a_space(study: Any) -> None:
    look = SingleResults(study)
    choice = look.first()
    look.sentences(choice.language)[1]["words"][0] = "dần dần"
    words = look.sentences(choice.language)[1]["words"]
    view = look.view(replace(choice, sentence=" ".join(words)))
    assert "gold tree" in view.gold and ">dần dần<" in view.gold and ">dần dần<" in view.predicted


@pytest.mark.filterwarnings("error")
def test_words_of_a_script_that_the_figures_font_lacks_stay_text() -> None:
    svg = single_results._svg(["問題", "مشكلة"], [2, 0], ["dep", "root"], "gold tree")
    assert ">問題<" in svg and ">مشكلة<" in svg


def test_the_parser_is_the_one_that_the_condition_trained(study: Any) -> None:
    """Parse what phase 2 kept as samples of its validation set: the same trees must come out."""
    run = intermediate.run(study, "ud_parsing", 1)[0]
    look = SingleResults(study)
    samples = [sample for sample in run.samples if "heads" in sample]
    assert len(samples) > 5
    for sample in samples:
        assert list(look.parse("ud_parsing", sample["words"])) == sample["predicted"]


def test_what_is_missing_is_said_and_the_rest_is_shown(study: Any) -> None:
    look = SingleResults(study)
    view = look.view(replace(look.first(), parser=""))
    assert "trains a parser" in view.note and view.gold and "Flips" in view.tables
    view = look.view(replace(look.first(), sentence=" ".join("x" * 61)))
    assert "61 words, expected 1 to 60" in view.note
    view = look.view(replace(look.first(), condition="stsb"))
    assert "no seed has predictions under both" in view.tables
    view = look.view(replace(look.first(), other="ud_parsing"))
    assert "does not differ from itself" in view.tables


def test_text_is_escaped_and_may_run_from_right_to_left() -> None:
    made = single_results._html(pd.DataFrame({"sentence": ["<script>" + "long " * 40]}))
    assert "<script>" not in made and "&lt;script&gt;" in made and "…" not in made
    assert '<td dir="auto"' in made


def test_without_results_one_line_says_what_to_run(
    micro: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    with pytest.raises(
        InputError, match=r"no finished cell; run `make figures PROFILE=\S*micro.yaml`"
    ):
        explorer.show(micro)


def controls(study: Any) -> tuple[explorer.Controls, list[View]]:
    """Return controls and the list of the views that they present."""
    pytest.importorskip("ipywidgets")
    look, views = SingleResults(study), []
    return explorer.Controls(look, look.first(), views.append), views


def test_a_changed_dropdown_presents_another_view(study: Any) -> None:
    made, views = controls(study)
    made.target.value = "xnli"
    assert len(views) == 1 and "<b>xnli in" in views[0].tables
    other = next(code for _, code in made.language.options if code != made.language.value)
    made.language.value = other
    assert len(views) == 2 and f"({other})" in views[1].tables
    made.condition.value = "stsb"
    assert len(views) == 3 and "only under stsb" in views[2].tables
    assert views[0].gold != views[1].gold and views[1].gold == views[2].gold


def test_a_condition_without_the_target_moves_to_one_that_both_have(study: Any) -> None:
    made, views = controls(study)
    assert made.target.value == "udpos"
    made.condition.value = "stsb"
    assert made.target.value == "xnli" and made.target.options == ("xnli",)
    assert len(views) == 1 and "<b>xnli in" in views[0].tables


def test_a_chosen_or_typed_sentence_is_drawn_and_forgotten_with_the_language(study: Any) -> None:
    made, views = controls(study)
    made.sentence.value = made.sentence.options[1]
    assert "gold tree" in views[-1].gold
    made.typed.value = "zzz yyy ."
    assert views[-1].gold == "" and "zzz" in views[-1].predicted
    made.typed.value = "  "
    assert len(views) == 2
    made.language.value = next(c for _, c in made.language.options if c != made.language.value)
    assert made.typed.value == "" and "zzz" not in views[-1].predicted and views[-1].gold


def test_another_profile_brings_its_own_languages(
    study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = study.model_copy(update={"summary": "the same, seen as another"})
    monkeypatch.setattr(single_results, "profiles", lambda study: ["micro", "tiny"])
    monkeypatch.setattr(single_results, "quiet", lambda name: again)
    made, views = controls(study)
    made.profile.value = "tiny"
    assert made.look.study is again and len(views) == 1


def test_profiles_without_results_or_file_are_not_offered(
    micro: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RESULTS_ROOT", str(tmp_path))
    for name in ("tiny", "nowhere"):
        folder = paths.results(name) / "transfer/none/udpos/seed=1"
        folder.mkdir(parents=True)
        (folder / "run.json").touch()
    (paths.results("world") / "pretrain").mkdir(parents=True)
    assert single_results.profiles(micro) == ["micro", "tiny"]


@pytest.fixture(scope="module")
def executed(study: Any, tmp_path_factory: pytest.TempPathFactory) -> list[list[Any]]:
    """Show the explorer twice in a kernel: where it may not ask its user, and where it may."""
    file = tmp_path_factory.mktemp("profile") / "micro.yaml"
    file.write_text(yaml.safe_dump(study.model_dump(exclude={"name"})), encoding="utf-8")
    source = f"from lib import explorer, profile\nexplorer.show(profile.load({str(file)!r}))"
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source) for _ in range(2)])
    client = NotebookClient(notebook, timeout=300, store_widget_state=False)
    with client.setup_kernel():
        for place, asks in enumerate((False, True)):
            client.kc.allow_stdin = asks
            client.execute_cell(notebook.cells[place], place)
    return [[o.data for o in cell.outputs if "data" in o] for cell in notebook.cells]


WIDGET = "application/vnd.jupyter.widget-view+json"


def test_where_nobody_can_be_asked_the_first_choice_is_plain_output(executed: Any) -> None:
    plain, _ = executed
    assert not any(WIDGET in data for data in plain)
    assert sum("text/html" in data for data in plain) == 1
    assert sum("image/svg+xml" in data for data in plain) == 2


def test_where_somebody_can_the_same_output_stands_under_controls(executed: Any) -> None:
    plain, (controls, *rest) = executed
    assert WIDGET in controls and controls["text/plain"] == explorer.FALLBACK
    assert rest == plain


def test_without_ipywidgets_there_is_the_plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    brought = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name == "ipywidgets":
            raise ImportError(name)
        return brought(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert not explorer._has_widgets()
