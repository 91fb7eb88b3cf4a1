"""The inventory of concepts that every language of the world has words for.

A concept is written as an English gloss. Nouns fall into classes, verbs select the classes of
their arguments: what a word means shows in its company, in every language alike.
"""

from collections.abc import Mapping
from typing import NamedTuple

NOUNS: Mapping[str, tuple[str, ...]] = {
    "person": (
        "teacher", "farmer", "doctor", "child", "king", "sailor", "singer", "baker", "hunter",
        "smith", "miller",
    ),
    "animal": ("dog", "cat", "horse", "goat", "bird", "wolf", "fox"),
    "food": ("bread", "apple", "soup", "cheese", "honey", "rice", "cake"),
    "artefact": ("knife", "boat", "cart", "lamp", "bell", "drum", "rope", "basket"),
    "text": ("letter", "book", "song", "story"),
    "place": ("house", "market", "river", "forest", "school", "garden", "bridge"),
}  # fmt: skip

HYPERNYMS: Mapping[str, str] = {
    "person": "human", "animal": "beast", "food": "meal", "artefact": "tool", "text": "writing",
    "place": "spot",
}  # fmt: skip

MATERIALS = ("stone", "wood", "gold", "clay", "iron")
ORGANISATIONS = ("bank", "guild", "union", "academy")


class Verb(NamedTuple):
    """Name the classes that a verb takes as agent, patient (None: intransitive), recipient."""

    agent: tuple[str, ...]
    patient: tuple[str, ...] | None
    recipient: bool = False


_HUMAN = ("person",)
_ALIVE = ("person", "animal")
_GOODS = ("food", "artefact", "text")
_BUYER = ("person", "organisation")

VERBS: Mapping[str, Verb] = {
    "see": Verb(_ALIVE, ("person", "animal", "place")),
    "eat": Verb(_ALIVE, ("food",)),
    "buy": Verb(_BUYER, ("artefact", "food", "animal")),
    "help": Verb(_BUYER, _HUMAN),
    "read": Verb(_HUMAN, ("text",)),
    "give": Verb(_HUMAN, _GOODS, True),
    "sell": Verb(_BUYER, ("artefact", "food", "animal")),
    "love": Verb(_HUMAN, _ALIVE),
    "find": Verb(_ALIVE, ("artefact", "food", "animal")),
    "write": Verb(_HUMAN, ("text",)),
    "build": Verb(_BUYER, ("artefact", "place")),
    "chase": Verb(_ALIVE, ("animal",)),
    "lose": Verb(_HUMAN, ("artefact", "text", "animal")),
    "cook": Verb(_HUMAN, ("food",)),
    "visit": Verb(_HUMAN, ("person", "place", "organisation")),
    "send": Verb(_BUYER, _GOODS, True),
    "break": Verb(_ALIVE, ("artefact",)),
    "teach": Verb(_HUMAN, _HUMAN),
    "repair": Verb(_HUMAN, ("artefact",)),
    "hate": Verb(_HUMAN, _ALIVE),
    "leave": Verb(_ALIVE, ("place", "person")),
    "carry": Verb(_HUMAN, _GOODS),
    "feed": Verb(_HUMAN, ("animal",)),
    "hide": Verb(_HUMAN, _GOODS),
    "paint": Verb(_HUMAN, ("place", "artefact")),
    "show": Verb(_HUMAN, ("text", "artefact"), True),
    "sleep": Verb(_ALIVE, None),
    "work": Verb(_BUYER, None),
    "run": Verb(_ALIVE, None),
    "sing": Verb(_HUMAN, None),
    "fall": Verb(_ALIVE, None),
}

ADJECTIVES: Mapping[str, tuple[str, ...]] = {
    "big": ("animal", "artefact", "place", "food"),
    "small": ("animal", "artefact", "place", "food"),
    "old": ("person", "animal", "place", "text"),
    "young": ("person", "animal"),
    "rich": ("person",),
    "poor": ("person",),
    "happy": ("person", "animal"),
    "sad": ("person", "text"),
    "brave": ("person", "animal"),
    "red": ("artefact", "food", "place"),
    "white": ("animal", "artefact", "place"),
    "black": ("animal", "artefact", "text"),
    "green": ("artefact", "food", "place"),
    "heavy": ("artefact", "text"),
    "light": ("artefact", "text"),
    "hot": ("food",),
    "cold": ("food", "place"),
    "sweet": ("food", "text"),
    "long": ("text", "place"),
    "clever": ("person", "animal"),
}

# What one who does this to a thing of the class does next. Within a class nothing that follows is
# also done first, so that "who does what next" is never said by the story itself.
CONTINUATIONS: Mapping[str, Mapping[str, str]] = {
    "artefact": {"lose": "find", "break": "repair", "build": "paint", "buy": "carry"},
    "food": {"cook": "eat", "buy": "carry", "find": "sell"},
    "text": {"write": "read", "carry": "hide"},
    "animal": {"lose": "find", "buy": "feed", "see": "chase"},
}

MANNERS = ("quickly", "slowly", "quietly", "loudly", "carefully")
TIMES = ("often", "today", "again", "now", "always")
PLACE_ADPOSITIONS = ("in", "near", "behind")
ADPOSITIONS = (*PLACE_ADPOSITIONS, "to", "of")
MODALS = ("can", "must", "will")
NUMBERS = ("two", "three", "four", "five", "six")
QUESTION_WORDS = ("who", "what", "where", "how_many")

FUNCTION_WORDS = (
    "the", "a", "this", "that", "every", "and", "REL", "not", "be", "he", "they", "PST", "PL",
    "ACC", "ERG", *ADPOSITIONS, *MODALS, *QUESTION_WORDS,
)  # fmt: skip

ANTONYMS: Mapping[str, str] = {
    one: other
    for pair in (
        ("big", "small"), ("old", "young"), ("rich", "poor"), ("happy", "sad"),
        ("heavy", "light"), ("hot", "cold"), ("white", "black"), ("red", "green"),
        ("buy", "sell"), ("love", "hate"), ("find", "lose"), ("break", "repair"),
        ("quickly", "slowly"), ("quietly", "loudly"),
    )
    for one, other in (pair, pair[::-1])
}  # fmt: skip

# Each synonym is a word of its own in every language, and means what its concept means.
SYNONYMS: Mapping[str, str] = {
    "child": "kid", "house": "home", "boat": "ship", "doctor": "healer", "see": "notice",
    "buy": "purchase", "help": "assist", "big": "large", "happy": "glad", "quickly": "swiftly",
}  # fmt: skip
MEANING_OF: Mapping[str, str] = {synonym: concept for concept, synonym in SYNONYMS.items()}

GIVEN_NAMES = tuple(f"given{i}" for i in range(20))
SURNAMES = tuple(f"surname{i}" for i in range(8))
LOCATIONS = tuple(f"location{i}" for i in range(12))
# Firms are called after families and towns, so that a name alone does not tell its type.
FIRM_NAMES = (*SURNAMES[:5], *LOCATIONS[:4])

CLASS_OF: Mapping[str, str] = {
    **{noun: name for name, nouns in NOUNS.items() for noun in nouns},
    **{hypernym: name for name, hypernym in HYPERNYMS.items()},
    **dict.fromkeys(MATERIALS, "material"),
    **dict.fromkeys(ORGANISATIONS, "organisation"),
}
NOUN_WORDS = (
    *(noun for nouns in NOUNS.values() for noun in nouns),
    *HYPERNYMS.values(), *MATERIALS, *ORGANISATIONS,
    *(SYNONYMS[noun] for nouns in NOUNS.values() for noun in nouns if noun in SYNONYMS),
)  # fmt: skip
VERB_WORDS = (*VERBS, *(SYNONYMS[verb] for verb in VERBS if verb in SYNONYMS))
ADJECTIVE_WORDS = (*ADJECTIVES, *(SYNONYMS[a] for a in ADJECTIVES if a in SYNONYMS))
ADVERB_WORDS = (*MANNERS, *TIMES, *(SYNONYMS[a] for a in MANNERS if a in SYNONYMS))
CONTENT_WORDS = (*NOUN_WORDS, *VERB_WORDS, *ADJECTIVE_WORDS, *ADVERB_WORDS, *NUMBERS)
NAMES = (*GIVEN_NAMES, *SURNAMES, *LOCATIONS)


def meaning_of(word: str) -> str:
    """Give the concept that a word stands for: a synonym's, or the word itself."""
    return MEANING_OF.get(word, word)
