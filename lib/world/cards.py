"""A card for every language: its grammar, sounds and words, and sentences with gloss and tree."""

from pathlib import Path
from random import Random

from lib.world import concepts
from lib.world.drawing import draw_tree
from lib.world.english import translate
from lib.world.grammar import mix, realise
from lib.world.language import PARAMETERS, Language
from lib.world.lexicon import CONSONANTS, VOWELS, spell
from lib.world.meaning import Entity, Event, Generator

CHAPTERS = {
    "order_of_subject_object_verb": "81A", "adposition_and_noun": "85A",
    "genitive_and_noun": "86A", "adjective_and_noun": "87A", "demonstrative_and_noun": "88A",
    "numeral_and_noun": "89A", "relative_clause_and_noun": "90A", "question_word": "93A",
    "case_marking": "98A", "inflection": "26A", "articles": "37A, 38A", "negation": "143A",
}  # fmt: skip


def samples(seed: int) -> list[Event]:
    """Give the meanings that every card shows: six that exercise the grammar, two at random."""
    old = Entity("bread", determiner="the", adjectives=("sweet",))
    dogs = Entity("dog", determiner="the", plural=True)
    sailor = Entity("sailor", determiner="the")
    child = Entity("child", determiner="a")
    town = Entity("location0", "location")
    given = Entity("given0", "person", name="surname0")
    fixed = [
        Event("see", child, dogs, past=True),
        Event("eat", given, old, place=("in", town), past=True),
        Event("buy", sailor, Entity("lamp", plural=True, number="three", adjectives=("red",)),
              negated=True),
        Event("sleep", Entity("cat", determiner="this", possessor=sailor),
              place=("near", Entity("river", determiner="the")), adverb="often"),
        Event("love", sailor, Entity("singer", determiner="the", relative=Event(
            "write", None, Entity("letter", determiner="a"), past=True, gap="agent"))),
        Event("build", Entity("who", "question"), Entity("bridge", determiner="the",
              material="stone"), place=("in", town), past=True, question=True),
    ]  # fmt: skip
    generator = Generator(Random(f"{seed}/cards"))
    return fixed + [generator.event() for _ in range(2)]


def card(language: Language, source: Language, seed: int) -> str:
    """Write a language's card in Markdown."""
    differing = [
        name for name in PARAMETERS if language.parameters[name] != source.parameters[name]
    ]
    if language is source:
        opening = "The source language: it stands where English stands, and has its grammar."
    else:
        opening = (
            f"{len(differing)} of {len(PARAMETERS)} grammatical parameters differ from the "
            f"source: distance {language.distance:.2f}. It shares {language.cognate_share:.0%} of "
            f"its words with the source and {language.shared_names:.0%} of its names."
        )
    parts = [
        f"# {language.name} (`{language.code}`)",
        f"{opening} Family: {language.family}. Script: {language.script}.",
        "## Grammar",
        _grammar(language, source),
        "## Sounds and letters",
        _sounds(language),
        "## Some words",
        _words(language),
        "Words with one form and two uses: " + _homographs(language) + ".",
        "## Sentences",
        "Written, in transcription, glossed (Leipzig rules; REL marks a relative clause), "
        "translated; then the dependency tree, where arrows point at dependents.",
        *(_sentence(i, meaning, language) for i, meaning in enumerate(samples(seed), start=1)),
    ]
    if language is not source:
        parts += ["## Mixed with the source", _mixed(language, source, seed)]
    return "\n\n".join(parts) + "\n"


def _grammar(language: Language, source: Language) -> str:
    rows = ["| WALS | parameter | value |", "|---|---|---|"]
    for name in PARAMETERS:
        value, original = language.parameters[name], source.parameters[name]
        shown = value if value == original else f"**{value}** (source: {original})"
        rows.append(f"| {CHAPTERS[name]} | {name.replace('_', ' ')} | {shown} |")
    return "\n".join(rows)


def _sounds(language: Language) -> str:
    used = {sound for word in language.words.values() for sound in word}
    lines = []
    for title, inventory in (("Consonants", CONSONANTS), ("Vowels", VOWELS)):
        sounds = [sound for sound in inventory if sound in used]
        letters = [
            sound if language.script == "Latin" else f"{spell(sound, language.script)} {sound}"
            for sound in sounds
        ]
        lines.append(f"{title}: {', '.join(letters)}.")
    return "\n".join(lines)


def _words(language: Language) -> str:
    chosen = ("child", "dog", "house", "river", "bread", "stone", "big", "red", "see", "eat",
              "give", "sleep", "two", "quickly")  # fmt: skip
    rows = ["| " + " | ".join(chosen) + " |", "|" + "---|" * len(chosen)]
    return "\n".join([*rows, "| " + " | ".join(language.written[word] for word in chosen) + " |"])


def _homographs(language: Language) -> str:
    uses: dict[str, list[str]] = {}
    for concept, written in language.written.items():
        if not concept.startswith("-"):
            uses.setdefault(written, []).append(_describe(concept))
    doubles = [f"*{form}* {' / '.join(found)}" for form, found in uses.items() if len(found) > 1]
    return "; ".join(doubles) or "none"


def _describe(concept: str) -> str:
    for kind, names in (
        ("a given name", concepts.GIVEN_NAMES),
        ("a surname", concepts.SURNAMES),
        ("a town", concepts.LOCATIONS),
    ):
        if concept in names:
            return kind
    return f"‘{concept}’"


def _sentence(number: int, meaning: Event, language: Language) -> str:
    sentence = realise(meaning, language)
    names = {name: language.words[name] for name in concepts.NAMES}
    glosses = [_gloss(node.gloss, names) for node in sentence.nodes]
    sounds = [node.sounds for node in sentence.nodes]
    rows = [list(sentence.tokens), sounds, glosses]
    widths = [max(len(row[i]) for row in rows) for i in range(len(sounds))]
    aligned = [
        "     " + "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    longest = max(map(len, sentence.tokens))
    labels = [f"{t:<{longest}}  {g}" for t, g in zip(sentence.tokens, glosses, strict=True)]
    tree = draw_tree(labels, sentence.heads, sentence.relations)
    lines = [f"({number})", *aligned, f"     ‘{translate(meaning, names)}’", "", tree]
    return "```\n" + "\n".join(lines) + "\n```"


def _mixed(language: Language, source: Language, seed: int) -> str:
    random = Random(f"{seed}/cards/{language.code}")
    lines = [mix(meaning, language, source, random) for meaning in samples(seed)[:3]]
    numbered = "\n".join(f"({i}) {line}" for i, line in enumerate(lines, start=1))
    return (
        "Sentences (1) to (3) as bilinguals may write them: the grammar stays, words of the source "
        f"come in. Part of the text is mixed so.\n\n```\n{numbered}\n```"
    )


def _gloss(gloss: str, names: dict[str, str]) -> str:
    """Write a gloss by the Leipzig rules: dots within a gloss, names as they sound."""
    grammatical = {"the": "DEF", "a": "INDF", "he": "3SG", "they": "3PL", "not": "NEG", "be": "COP"}
    pieces = [
        names[piece].capitalize() if piece in names else grammatical.get(piece, piece)
        for piece in gloss.split("-")
    ]
    return "-".join(pieces).replace("_", ".")


def write_cards(folder: Path, languages: list[Language], seed: int) -> None:
    """Write `cards/<code>.md` for every language."""
    target = folder / "cards"
    target.mkdir(parents=True, exist_ok=True)
    for language in languages:
        text = card(language, languages[0], seed)
        (target / f"{language.code}.md").write_text(text, encoding="utf-8")
