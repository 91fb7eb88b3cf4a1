"""Languages as settings of grammatical parameters, after the World Atlas of Language Structures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from random import Random

from lib.errors import InputError
from lib.world import concepts
from lib.world.lexicon import (
    SCRIPTS,
    Phonology,
    add_homographs,
    draw_words,
    sample_share,
    spell,
)

# The first value is the source language's; the numbers are WALS chapters.
PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "order_of_subject_object_verb": ("SVO", "SOV", "SOV", "VSO", "VOS", "OVS"),  # 81A
    "adposition_and_noun": ("preposition", "postposition"),  # 85A
    "genitive_and_noun": ("noun-genitive", "genitive-noun"),  # 86A
    "adjective_and_noun": ("adjective-noun", "noun-adjective"),  # 87A
    "demonstrative_and_noun": ("demonstrative-noun", "noun-demonstrative"),  # 88A
    "numeral_and_noun": ("numeral-noun", "noun-numeral"),  # 89A
    "relative_clause_and_noun": ("noun-relative", "relative-noun"),  # 90A
    "question_word": ("initial", "in-situ"),  # 93A
    "case_marking": ("none", "accusative", "ergative"),  # 98A
    "inflection": ("suffixing", "prefixing", "isolating"),  # 26A
    "articles": ("word", "none", "affix"),  # 37A, 38A
    "negation": ("before-verb", "after-verb", "affix"),  # 143A
}

# Of the two languages of a step, one takes the first value of each covariate and one the second;
# which of them does alternates in three independent ways.
COGNATE_SHARES = (0.2, 0.05)
NAME_SHARES = (0.2, 0.05)


@dataclass(frozen=True)
class Language:
    """One language: its grammar, its words (concept to sounds) and how it is written."""

    code: str
    iso3: str
    name: str
    family: str
    script: str
    parameters: Mapping[str, str]
    words: Mapping[str, str] = field(repr=False)
    cognate_share: float = 0.0
    shared_names: float = 0.0
    # Names of international fame keep the source's spelling, as brand names do in any script.
    famous: frozenset[str] = frozenset()

    @property
    def distance(self) -> float:
        """The share of grammatical parameters in which the language differs from the source."""
        return distance(self.parameters, source_parameters())

    @cached_property
    def written(self) -> Mapping[str, str]:
        """Every concept's word and every affix as it is spelled."""
        return {
            concept: sounds if concept in self.famous else spell(sounds, self.script)
            for concept, sounds in self.words.items()
        }


def source_parameters() -> dict[str, str]:
    """Give the English-like source language's grammar."""
    return {name: values[0] for name, values in PARAMETERS.items()}


def distance(one: Mapping[str, str], other: Mapping[str, str]) -> float:
    """Give the share of grammatical parameters in which two grammars differ, 0 to 1."""
    return sum(one[name] != other[name] for name in PARAMETERS) / len(PARAMETERS)


def draw_parameters(differing: int, random: Random) -> dict[str, str]:
    """Draw a grammar that differs from the source's in exactly so many parameters."""
    parameters = source_parameters()
    for name in random.sample(list(PARAMETERS), differing):
        parameters[name] = random.choice(PARAMETERS[name][1:])
    return parameters


def differing_parameters(languages: int) -> list[int]:
    """Spread languages from near to far in steps, two at each step where the number allows.

    Returns how many of the 12 parameters differ, one number per language, ascending: from 2 to 8,
    a sixth to two thirds, about the span of real languages' syntactic distances from English.
    """
    steps = max(1, (languages + 1) // 2)
    nearest, farthest = 2, 8
    counts = [
        round(nearest + (farthest - nearest) * step / max(1, steps - 1)) for step in range(steps)
    ]
    return [counts[index // 2] for index in range(languages)]


# The cyclic generator of the design of 12 runs (Plackett & Burman 1946, Biometrika 33, 305-325).
GENERATOR = (1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0)


def factorial_design() -> list[list[bool]]:
    """Return which of the 12 parameters differ from the source in each of 24 languages.

    A Plackett-Burman design of 12 runs with a column of ones, and its mirror image (foldover).
    Every parameter differs in half of the languages, and any two are independent of each other;
    no interaction of two parameters enters the effect of a third (resolution IV: Box, Hunter &
    Hunter 2005, Statistics for Experimenters, section 6.13).
    """
    half = [[GENERATOR[(place - row) % 11] == 1 for place in range(11)] for row in range(11)]
    half = [[*row, True] for row in [*half, [False] * 11]]
    return half + [[not differs for differs in row] for row in half]


def draw_languages(seed: int, languages: int, design: str = "steps") -> list[Language]:
    """Draw the source language (first) and so many others, from near to far.

    Which parameters differ and every word are drawn anew by the seed. Script, cognate share and
    share of common names go round against the distances, so that none stands in for distance.

    In the `factorial` design (`factorial_design`) a parameter that differs takes the value that
    follows the source's, and the covariates are the same in every language.
    """
    if not 1 <= languages <= 26:
        raise InputError(f"languages: expected 1 to 26 besides the source, got {languages}")
    random = Random(f"{seed}/languages")
    phonologies = [Phonology.draw(random) for _ in range(1 + max(1, (languages + 1) // 2))]
    families = [_name(phonology, random) for phonology in phonologies]
    source_words = draw_words(phonologies[0], Random(f"{seed}/words/en"))
    add_homographs(source_words, Random(f"{seed}/homographs/en"))
    source = Language(
        "en", "eng", "English", families[0], "Latin", source_parameters(), source_words
    )
    drawn = [source]
    if design == "factorial":
        grammars = [
            {
                name: values[differs]
                for (name, values), differs in zip(PARAMETERS.items(), row, strict=True)
            }
            for row in factorial_design()
        ]
        return drawn + [
            _draw_language(
                seed, f"qa{chr(ord('a') + index)}", parameters,
                (families[1 + index % 12], phonologies[1 + index % 12]), "Latin",
                (COGNATE_SHARES[0], NAME_SHARES[0]), source,
            )
            for index, parameters in enumerate(grammars)
        ]  # fmt: skip
    for index, differing in enumerate(differing_parameters(languages)):
        step, second = divmod(index, 2)
        code = f"qa{chr(ord('a') + index)}"
        # The two languages of a step belong to different families and take opposite covariates.
        family = 1 + (step + second * ((languages + 3) // 4)) % (len(phonologies) - 1)
        latin = (step + second) % 2 == 0
        script = "Latin" if latin else list(SCRIPTS)[1 + step // 2 % (len(SCRIPTS) - 1)]
        cognate_share = COGNATE_SHARES[(step // 2 + second) % 2]
        shared_names = NAME_SHARES[((step + 1) // 2 + second) % 2]
        grammar = draw_parameters(differing, Random(f"{seed}/grammar/{code}"))
        drawn.append(
            _draw_language(
                seed, code, grammar, (families[family], phonologies[family]), script,
                (cognate_share, shared_names), source,
            )
        )  # fmt: skip
    return drawn


def _name(phonology: Phonology, random: Random) -> str:
    return phonology.word(random, random.choice((2, 3))).capitalize()


def _draw_language(
    seed: int,
    code: str,
    parameters: Mapping[str, str],
    family: tuple[str, Phonology],
    script: str,
    shares: tuple[float, float],
    source: Language,
) -> Language:
    random = Random(f"{seed}/words/{code}")
    words = draw_words(family[1], random)
    cognate_share, shared_names = shares
    cognates = sample_share(concepts.CONTENT_WORDS, cognate_share, random)
    famous = sample_share(concepts.NAMES, shared_names, random)
    add_homographs(words, random)
    words.update({concept: source.words[concept] for concept in (*cognates, *famous)})
    return Language(
        code, code, _name(family[1], random), family[0], script,
        parameters, words, cognate_share, shared_names, frozenset(famous),
    )  # fmt: skip
