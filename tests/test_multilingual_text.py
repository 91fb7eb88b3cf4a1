"""Text for pre-training is cut from a Wikipedia, here a tiny stand-in in the hub's layout."""

import hashlib
import json
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lib import multilingual_text
from lib.errors import InputError
from lib.multilingual_text import REVISION, build, main

RIVER = "A river flows through the old town."  # 35 characters
BRIDGE = "Its bridge was built of grey stone."  # 35 characters
MARKET = "On Fridays a market is held there."  # 34 characters
THAI = "แม่น้ำไหลผ่านเมืองเก่าและมีสะพานหินสีเทาซึ่งสร้างขึ้นเมื่อนานมาแล้วโดยช่างท้องถิ่น"
ARTICLES = {
    "de": [
        f"{RIVER}\n\nHistory of the old town \n\n  Its bridge   was\tbuilt of grey stone.\nShort.",
        f"{RIVER}\n{MARKET}",
    ],
    "th": [THAI],
}


@pytest.fixture
def wikipedia(tmp_path: Path) -> Path:
    """Write the stand-in, two shards for German; return the mirror that holds it."""
    repository = tmp_path / "source" / "wikimedia" / "wikipedia"
    card = "---\nconfigs:\n"
    for code, articles in ARTICLES.items():
        config = f"20231101.{code}"
        (repository / config).mkdir(parents=True)
        for shard, text in enumerate(articles):
            row = {"id": [str(shard)], "url": ["u"], "title": ["t"], "text": [text]}
            name = f"train-{shard:05}-of-{len(articles):05}.parquet"
            pq.write_table(pa.table(row), repository / config / name)
        card += f"- config_name: {config}\n  data_files:\n  - split: train\n"
        card += f"    path: {config}/train-*\n"
    (repository / "README.md").write_text(card + "---\n")
    return tmp_path / "source"


def test_paragraphs_are_taken_in_order_once_without_headings_and_scraps(tmp_path, wikipedia):
    files = build(tmp_path, ["de", "th"], 1000, wikipedia)
    built, cache = str(tmp_path / "multilingual-text"), str(tmp_path / "cache")
    german = datasets.load_dataset(built, "de", split="train", cache_dir=cache)
    assert german.column_names == ["text", "source"]
    assert german["text"][:] == [RIVER, BRIDGE, MARKET]
    assert set(german["source"]) == {"wikipedia"}
    # Thai ends no sentence with punctuation; its prose is not taken for a heading.
    thai = datasets.load_dataset(built, "th", split="train", cache_dir=cache)
    assert thai["text"][:] == [THAI]
    assert files["de/train-00000-of-00001.parquet"]["characters"] == 35 + 35 + 34


@pytest.mark.parametrize(("characters", "lines"), [(1, 1), (35, 1), (36, 2), (70, 2), (71, 3)])
def test_a_language_ends_with_the_line_that_reaches_the_number(
    tmp_path, wikipedia, characters, lines
):
    files = build(tmp_path, ["de"], characters, wikipedia)
    assert files["de/train-00000-of-00001.parquet"]["lines"] == lines


def test_two_builds_are_equal_byte_by_byte_and_the_checksums_are_those_of_the_files(
    tmp_path, wikipedia
):
    build(tmp_path / "together", ["de", "th"], 50, wikipedia)
    for language in ["th", "de"]:
        build(tmp_path / "apart", [language], 50, wikipedia)
    together, apart = tmp_path / "together", tmp_path / "apart"
    names = sorted(p.relative_to(together) for p in together.rglob("*") if p.is_file())
    assert len(names) == 4  # two of parquet, the card, the checksums
    for name in names:
        assert (together / name).read_bytes() == (apart / name).read_bytes()
    folder = together / "multilingual-text"
    for name, entry in json.loads((folder / "checksums.json").read_text()).items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == entry["sha256"]


def test_a_second_call_verifies_and_names_the_file_that_differs(tmp_path, wikipedia, capsys):
    call = ["--folder", str(tmp_path), "--languages", "de", "--characters", "50"]
    call += ["--root", str(wikipedia)]
    assert main(call) == 0 and "built, 2 lines, 70 characters" in capsys.readouterr().out
    assert main(call) == 0 and "verified, 2 lines, 70 characters" in capsys.readouterr().out
    changed = tmp_path / "multilingual-text" / "de" / "train-00000-of-00001.parquet"
    changed.write_bytes(changed.read_bytes()[:-1])
    assert main(call) == 1
    assert capsys.readouterr().err.startswith(f"{changed}: missing, or not the file")


def test_text_built_otherwise_is_not_passed_off_as_what_is_asked_for(tmp_path, wikipedia):
    build(tmp_path, ["de"], 50, wikipedia)
    with pytest.raises(InputError, match="asked 50, expected 60"):
        build(tmp_path, ["de"], 60, wikipedia)
    with pytest.raises(InputError, match=f"revision .* expected {REVISION}"):
        build(tmp_path, ["de"], 50)


@pytest.mark.parametrize(
    ("languages", "characters", "message"),
    [
        (["qaa"], 50, "languages: .*'qaa'"),
        (["de"], 0, "characters: 0"),
        (["fr"], 50, "no configuration '20231101.fr'"),
    ],
)
def test_bad_input_is_one_line(tmp_path, wikipedia, languages, characters, message):
    with pytest.raises(InputError, match=message):
        build(tmp_path, languages, characters, wikipedia)


def test_the_hub_is_read_at_the_pinned_revision(tmp_path, monkeypatch):
    asked = {}

    def load_dataset(path, config, **options):
        asked.update(options, path=path, config=config)
        return [{"text": RIVER}]

    monkeypatch.setattr(multilingual_text.corpora, "fingerprint", None)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    files = build(tmp_path, ["de"], 10)
    assert asked == {
        "path": "wikimedia/wikipedia",
        "config": "20231101.de",
        "split": "train",
        "streaming": True,
        "revision": REVISION,
    }
    assert files["de/train-00000-of-00001.parquet"]["revision"] == REVISION
