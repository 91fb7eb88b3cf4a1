"""Sounds, scripts and words: every language has its own look, in a real Unicode script."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from random import Random

from lib.world import concepts

CONSONANTS = "ptkbdgfsšvzžmnlrhywcč"
VOWELS = "aeiouöü"

# One letter per sound in every script, so that a script changes spelling and nothing else.
SCRIPTS: Mapping[str, str] = {
    "Latin": CONSONANTS + VOWELS,
    "Cyrillic": "пткбдгфсшвзжмнлрхйўцчаеиоуөү",
    "Georgian": "პტკბდგფსშვზჟმნლრჰჲჳცჩაეიოუჵჷ",
}


_LETTERS = {script: str.maketrans(SCRIPTS["Latin"], letters) for script, letters in SCRIPTS.items()}


def spell(sounds: str, script: str) -> str:
    """Write a string of sounds in a script."""
    return sounds.translate(_LETTERS[script])


@dataclass(frozen=True)
class Phonology:
    """Sounds and syllable shapes; languages of one family share them."""

    onsets: str
    nuclei: str
    codas: str
    coda_share: float
    vowel_initial_share: float

    @classmethod
    def draw(cls, random: Random) -> "Phonology":
        """Draw an inventory of 11 to 14 consonants and 3 to 6 vowels."""
        consonants = random.sample(CONSONANTS, random.randint(11, 14))
        nuclei = ["a", "i", "u", *random.sample("eoöü", random.randint(0, 3))]
        codas = [sound for sound in consonants if sound in "nmrlstkhyš"] or consonants[:3]
        return cls(
            "".join(sorted(consonants)),
            "".join(sorted(nuclei)),
            "".join(sorted(random.sample(codas, min(len(codas), random.randint(2, 5))))),
            random.choice((0.05, 0.2, 0.35, 0.5)),
            random.choice((0.0, 0.1, 0.2)),
        )

    def word(self, random: Random, syllables: int) -> str:
        """Draw a pronounceable word of so many syllables."""
        sounds = ""
        for position in range(syllables):
            if position or random.random() >= self.vowel_initial_share:
                sounds += random.choice([sound for sound in self.onsets if sound != sounds[-1:]])
            sounds += random.choice(self.nuclei)
            if random.random() < self.coda_share:
                sounds += random.choice(self.codas)
        return sounds

    def new_word(self, random: Random, lengths: tuple[int, ...], taken: set[str]) -> str:
        """Draw a word that is not taken, and take it."""
        for attempt in range(1000):
            word = self.word(random, random.choice(lengths) + attempt // 50)
            if word not in taken and len(word) > 1:
                taken.add(word)
                return word
        raise AssertionError("a phonology always has room for longer words")


AFFIXES = ("-PL", "-PST", "-ACC", "-ERG", "-DEF", "-NEG")


def draw_words(phonology: Phonology, random: Random) -> dict[str, str]:
    """Draw one word for every concept, name and affix, as sounds; all differ."""
    taken: set[str] = set()
    words: dict[str, str] = {}
    for affix in AFFIXES:
        words[affix] = phonology.new_word(random, (1,), taken)
    for concept in concepts.FUNCTION_WORDS:
        words[concept] = phonology.new_word(random, (1, 1, 2), taken)
    for concept in (*concepts.CONTENT_WORDS, *concepts.NAMES):
        words[concept] = phonology.new_word(random, (2, 2, 3), taken)
    return words


def sample_share(items: Iterable[str], share: float, random: Random) -> tuple[str, ...]:
    """Draw the given share of the items, rounded to whole items."""
    pool = list(items)
    return tuple(random.sample(pool, round(share * len(pool))))


def add_homographs(words: dict[str, str], random: Random) -> None:
    """Let words of different classes share a form, as "light", "inside" and "Baker" do.

    Verbs take the form of nouns, adjectives of materials (both stand before nouns as modifiers),
    names of trades and of places (both stand bare), adverbs of adjectives; surnames are also
    towns. Which words do is drawn for every language.
    """

    def merge(count: int, ambiguous: Iterable[str], model: Iterable[str]) -> None:
        for one, other in zip(
            random.sample(list(ambiguous), count), random.sample(list(model), count), strict=True
        ):
            words[one] = words[other]

    nouns = [
        noun for name in ("animal", "artefact", "text", "food") for noun in concepts.NOUNS[name]
    ]
    merge(6, concepts.VERBS, nouns)
    merge(4, concepts.MATERIALS, concepts.ADJECTIVES)
    merge(11, concepts.GIVEN_NAMES, concepts.NOUNS["person"])
    merge(3, concepts.LOCATIONS, concepts.SURNAMES)
    merge(3, concepts.MANNERS + concepts.TIMES, concepts.ADJECTIVES)
    merge(1, concepts.TIMES, concepts.PLACE_ADPOSITIONS)
    if random.random() < 0.5:
        words["REL"] = words["that"]
