"""The languages' table is complete, and a data folder may bring its own."""

import pandas as pd
import pytest

from lib import typology
from lib.errors import InputError
from lib.world.language import PARAMETERS


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


def test_every_language_has_every_distance_and_english_alone_has_none():
    table = typology.languages(None)
    columns = list(typology.distances(table, world=False))
    assert columns == [
        *("distance", "distance_urielplus", "featural_distance"),
        *("genetic_distance", "geographic_distance"),
    ]
    values = table[columns]
    assert values.dtypes.eq(float).all() and values.notna().all().all()
    assert (values.loc["en"] == 0).all() and (values.drop("en") > 0).all().all()
    assert (values <= 1).all().all()


# As URIEL+ (urielplus 1.3.2) gives them: featural, genetic, geographic.
URIELPLUS = {
    "af": (0.4907, 0.6638, 0.3303),
    "eu": (0.5839, 0.9687, 0.0446),
    "jv": (0.4460, 1.0, 0.4052),
    "nl": (0.4468, 0.7068, 0.0174),
    "ur": (0.5240, 0.9196, 0.2475),
    "zh": (0.5494, 1.0, 0.3047),
}


@pytest.mark.parametrize("code", URIELPLUS)
def test_distances_are_those_of_urielplus(code):
    found = typology.languages(None).loc[code]
    kinds = ("featural", "genetic", "geographic")
    assert tuple(found[f"{kind}_distance"] for kind in kinds) == URIELPLUS[code]


def test_genetic_distance_is_full_outside_the_family_of_english_but_for_an_isolate():
    table = typology.languages(None)
    inside = table["family"] == "Indo-European"
    assert (table.loc[inside, "genetic_distance"] < 0.95).all()
    assert table.index[~inside & (table["genetic_distance"] < 1)].tolist() == ["eu"]


def test_pre_training_text_of_xlm_r_is_known_but_for_yoruba():
    # Table 6 of Conneau et al. 2020; Chinese is 46.9 + 16.6 GiB, Burmese 1.6 + 0.4.
    size = typology.languages(None)["cc100_gib"]
    assert size.index[size.isna()].tolist() == ["yo"]
    assert size[["en", "vi", "zh", "my", "jv"]].tolist() == [300.8, 137.3, 63.5, 2.0, 0.2]


def test_a_world_has_one_distance_and_says_which_parameters_differ(tmp_path):
    names = list(PARAMETERS)
    source = [values[0] for values in PARAMETERS.values()]
    other = [PARAMETERS[names[0]][3], *source[1:-1], PARAMETERS[names[-1]][1]]
    lines = [f"{code},{code},X,F,Latin,{far},{','.join(row)}"
             for code, far, row in (("en", 0, source), ("qaa", 0.1667, other))]  # fmt: skip
    head = ",".join(["code,iso3,name,family,script,distance", *names])
    (tmp_path / "languages.csv").write_text("\n".join([head, *lines, ""]), encoding="utf-8")
    table = typology.languages(tmp_path)
    assert list(typology.distances(table, world=True)) == ["distance"]
    differs = typology.parameters(table)
    assert differs.loc["en"].sum() == 0
    assert differs.columns[differs.loc["qaa"] == 1].tolist() == [names[0], names[-1]]
    with pytest.raises(InputError, match="only a world"):
        typology.parameters(typology.languages(None))


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
