"""Two texts that share a few translated sentences: find them (BUCC)."""

from collections.abc import Sequence
from pathlib import Path
from random import Random

from lib.world.corpora import Corpora, draw
from lib.world.grammar import realise
from lib.world.language import Language
from lib.world.layout import Repository
from lib.world.meaning import Event, Generator
from lib.world.settings import Settings
from lib.world.similarity import edit, similarity


def write_mining(folder: Path, corpora: Corpora, settings: Settings) -> None:
    """Write BUCC, every language against the source, where the settings ask for pairs.

    The test split as `mteb/BUCC` has it (one row: both sides, and the gold pairs counted from 1),
    the development split as the shared task's text files (`bucc2018/`). Half of the distractors
    differ from a sentence with a translation in one thing.
    """
    if not settings.bucc_pairs:
        return
    repository = Repository(folder, "mteb/BUCC")
    for split in ("dev", "test"):
        pairs = corpora.sentences(f"bucc/{split}", settings.bucc_pairs, corpora.languages)
        count = settings.bucc_distractors
        theirs = distractors(corpora, f"bucc/{split}/theirs", count, pairs, corpora.languages)
        ours = distractors(
            corpora, f"bucc/{split}/ours", count + count // 2, pairs, [corpora.source]
        )
        for language in corpora.languages[1:]:
            random = Random(f"{corpora.seed}/bucc/{split}/{language.code}")
            sides, gold = mingle(pairs, theirs, ours, random)
            texts = [
                [realise(event, spoken).text for event in side]
                for side, spoken in zip(sides, (language, corpora.source), strict=True)
            ]
            if split == "dev":
                write_texts(folder, (language, corpora.source), texts, gold)
            else:
                row = {"sentence1": texts[0], "sentence2": texts[1], "gold": gold}
                repository.write(f"{language.code}-en", split, "bucc", [row])
    repository.close("Parallel sentences to be found among others, each language with the source.")


def distractors(
    corpora: Corpora, corpus: str, count: int, pairs: Sequence[Event], languages: Sequence[Language]
) -> list[Event]:
    """Draw so many sentences that translate none of the pairs, every other one from a pair."""
    near = 0

    def other(generator: Generator) -> list[Event]:
        nonlocal near
        near += 1
        if near % 2:
            return [draw(generator)]
        model = generator.random.choice(pairs)
        changed = edit(model, generator)
        return [changed] if similarity(model, changed) < 5 else []

    return corpora.items(corpus, count, languages, other, lambda event: [event])


def mingle(
    pairs: Sequence[Event], theirs: Sequence[Event], ours: Sequence[Event], random: Random
) -> tuple[tuple[list[Event], list[Event]], list[list[int]]]:
    """Shuffle pairs and distractors on each side; give the sides, and the pairs' places from 1."""
    sides = (
        random.sample([*pairs, *theirs], len(pairs) + len(theirs)),
        random.sample([*pairs, *ours], len(pairs) + len(ours)),
    )
    places = [{event: place for place, event in enumerate(side, start=1)} for side in sides]
    return sides, sorted([places[0][event], places[1][event]] for event in pairs)


def write_texts(
    folder: Path,
    languages: tuple[Language, Language],
    texts: Sequence[Sequence[str]],
    gold: Sequence[Sequence[int]],
) -> None:
    """Write one pair's three files: two sides with ids, and the ids of the gold pairs."""
    theirs, ours = (language.code for language in languages)
    target = folder / "bucc2018"
    target.mkdir(parents=True, exist_ok=True)
    name = f"{theirs}-{ours}.dev"
    for code, side in zip((theirs, ours), texts, strict=True):
        lines = [f"{code}-{place:09}\t{text}\n" for place, text in enumerate(side, start=1)]
        (target / f"{name}.{code}").write_text("".join(lines), encoding="utf-8")
    lines = [f"{theirs}-{one:09}\t{ours}-{other:09}\n" for one, other in gold]
    (target / f"{name}.gold").write_text("".join(lines), encoding="utf-8")
