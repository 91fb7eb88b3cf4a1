"""The languages' table is complete, and a data folder may bring its own."""

import pandas as pd
import pytest

from lib import typology
from lib.errors import InputError


def test_the_committed_table_describes_the_forty_languages_of_xtreme():
    table = typology.languages(None)
    assert len(table) == 40 and table.index.is_unique
    assert table.loc["de", ["iso3", "name", "family"]].tolist() == [
        "deu",
        "German",
        "Indo-European",
    ]
    assert table["iso3"].str.fullmatch("[a-z]{3}").all()
    assert (table[["name", "family", "script"]] != "").all().all()


def test_only_english_is_at_distance_zero_and_both_measures_agree_in_broad_terms():
    table = typology.languages(None)
    assert table.index[table["distance"] == 0].tolist() == ["en"]
    assert table["distance"].between(0, 1).all() and table["attested_share"].between(0, 1).all()
    # The note beside the published figures says that the two correlate at 0.90.
    assert table["distance"].corr(table["distance_urielplus"]) == pytest.approx(0.90, abs=0.01)


def test_the_36_tatoeba_configurations_are_named_as_on_the_hub():
    tatoeba = typology.languages(None)["tatoeba"]
    assert (tatoeba != "").sum() == 36
    assert tatoeba[["ar", "zh", "sw"]].tolist() == ["ara", "cmn", "swh"]
    assert tatoeba.index[tatoeba == ""].tolist() == ["en", "ms", "my", "yo"]


def test_a_data_folder_with_its_own_languages_describes_them_itself(tmp_path):
    # "na" is a code and "None" a name here, not missing values.
    own = "code,iso3,name,family,script,distance,adposition\nna,qna,None,A,Latin,0.25,post\n"
    (tmp_path / "languages.csv").write_text(own)
    assert typology.languages(tmp_path).loc["na", "name"] == "None"
    assert typology.languages(tmp_path).loc["na", "distance"] == 0.25


def test_a_data_folder_without_languages_falls_back_to_the_committed_table(tmp_path):
    pd.testing.assert_frame_equal(typology.languages(tmp_path), typology.languages(None))


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("code,iso3,name,family,script\na,b,c,d,e\n", "distance"),
        ("code,iso3,name,family,script,distance\n" + "a,b,c,d,e,0\n" * 2, "'a' is listed twice"),
    ],
)
def test_a_bad_table_is_refused_with_its_file_and_column(tmp_path, content, named):
    (tmp_path / "languages.csv").write_text(content)
    with pytest.raises(InputError, match=f"languages.csv.*{named}"):
        typology.languages(tmp_path)
