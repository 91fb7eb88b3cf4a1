"""CCGbank's files are read as the LDC describes them; a fragment of our own stands for them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from lib import ccgbank, corpora, profile, tasks
from lib.errors import InputError
from lib.profile import Profile

# Written by hand, in the format of AUTO.readme: no sentence of CCGbank.
FRAGMENT = r"""ID=wsj_0201.1 PARSER=GOLD NUMPARSE=1
(<T S[dcl] 0 2> (<T NP 1 2> (<L NP[nb]/N DT DT A NP[nb]_1/N_1>) (<L N NN NN cat N>) ) \
(<T S[dcl]\NP 0 2> (<L (S[dcl]\NP)/NP VBZ VBZ sees (S[dcl]\NP_1)/NP_2>) \
(<T NP 0 1> (<L N NNS NNS \/> N>) ) ) (<L . . . . .>) )
ID=wsj_0201.2 PARSER=GOLD NUMPARSE=1
(<T NP 0 1> (<L N NNP NNP Rain N>) )
""".replace("\\\n", "")
SENTENCES = [
    {"id": "0", "words": ["A", "cat", "sees", r"\/>", "."],
     "tags": ["NP[nb]/N", "N", r"(S[dcl]\NP)/NP", "N", "."]},
    {"id": "1", "words": ["Rain"], "tags": ["N"]},
]  # fmt: skip
VALIDATION = "ID=wsj_0001.1 PARSER=GOLD NUMPARSE=1\n(<T NP 0 1> (<L N NN NN Snow N>) )\n"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Profile:
    """Return a profile of real languages beside an empty mirror and a folder in the LDC's layout.

    Sections 03 to 21 hold a sentence each; 01 and 22 must not be read.
    """
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "mirror"))
    monkeypatch.setenv("CCGBANK_ROOT", str(tmp_path / "ccgbank"))
    for section in range(23):
        folder = tmp_path / "ccgbank" / "data" / "AUTO" / f"{section:02d}"
        folder.mkdir(parents=True)
        text = VALIDATION if section == 0 else FRAGMENT if section == 2 else one(section)
        (folder / f"wsj_{section:02d}01.auto").write_text(text, encoding="utf-8")
    return profile.load("small_cpu")


def one(section: int) -> str:
    return f"ID=wsj_{section:02d}01.1 PARSER=GOLD NUMPARSE=1\n(<L N NN NN w{section} N>)\n"


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(InputError) as error:
        call()
    assert "\n" not in str(error.value)
    return str(error.value)


def test_leaves_are_words_with_their_categories(settings: Profile) -> None:
    found = corpora.load(settings, tasks.TRAINING["ccg"])
    assert found[:2] == SENTENCES


def test_sections_2_to_21_train_and_0_validates(settings: Profile) -> None:
    words = [e["words"][0] for e in corpora.load(settings, tasks.TRAINING["ccg"])[2:]]
    assert words == [f"w{section}" for section in range(3, 22)]
    validation = tasks.get("ccg").validation
    assert validation is not None
    assert [e["words"] for e in corpora.load(settings, validation)] == [["Snow"]]


def test_what_was_read_is_recorded_by_its_hash(settings: Profile, tmp_path: Path) -> None:
    with corpora.recording() as data:
        corpora.load(settings, tasks.TRAINING["ccg"])
    folder = tmp_path / "ccgbank"
    assert data == {"ccgbank/default": ccgbank.fingerprint(folder)}
    (tmp_path / "ccgbank/data/AUTO/07/wsj_0701.auto").write_text(one(99), encoding="utf-8")
    assert data != {"ccgbank/default": ccgbank.fingerprint(folder)}


def test_another_size_than_the_published_one_is_a_line_with_both(
    settings: Profile, capsys: pytest.CaptureFixture[str]
) -> None:
    corpora.load_training(settings, tasks.get("ccg"), ["ccg"], 0)
    (line,) = capsys.readouterr().out.splitlines()
    assert "ccg" in line and "21" in line and "39,604" in line


def test_a_folder_that_is_not_named_is_asked_for(
    settings: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CCGBANK_ROOT")
    message = refused(lambda: corpora.load(settings, tasks.TRAINING["ccg"]))
    assert "CCGBANK_ROOT" in message and "LDC2005T13" in message


def test_a_folder_without_a_splits_sections_is_named(settings: Profile, tmp_path: Path) -> None:
    (tmp_path / "ccgbank/data/AUTO/00/wsj_0001.auto").unlink()
    validation = tasks.get("ccg").validation
    assert validation is not None
    message = refused(lambda: corpora.load(settings, validation))
    assert "AUTO/00" in message and str(tmp_path) in message and "validation" in message


def test_a_file_in_another_encoding_is_named(settings: Profile, tmp_path: Path) -> None:
    file = tmp_path / "ccgbank/data/AUTO/05/wsj_0501.auto"
    file.write_bytes("ID=é\n".encode("latin-1"))
    message = refused(lambda: corpora.load(settings, tasks.TRAINING["ccg"]))
    assert message == f"{file}: byte 3 is not UTF-8"


@pytest.mark.parametrize(
    "line", ["(S (NP (NN Rain)))", "(<T NP 0 2> (<L N NN NN a N>) (<L N b>) )"]
)
def test_a_line_that_is_no_derivation_is_named_with_its_file(
    settings: Profile, tmp_path: Path, line: str
) -> None:
    file = tmp_path / "ccgbank/data/AUTO/05/wsj_0501.auto"
    file.write_text(f"ID=wsj_0501.1 PARSER=GOLD NUMPARSE=1\n{line}\n", encoding="utf-8")
    message = refused(lambda: corpora.load(settings, tasks.TRAINING["ccg"]))
    assert str(file) in message and "line 2" in message


def test_a_world_never_reads_the_real_ccgbank(settings: Profile, micro: Profile) -> None:
    found = corpora.load(micro, tasks.TRAINING["ccg"], required=False)
    assert "w7" not in {word for example in found for word in example["words"]}
