"""Draw every corpus of the world so that no sentence stands in two of its splits."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

from lib.world import inference, questions
from lib.world.grammar import mix, realise
from lib.world.language import Language
from lib.world.meaning import Event, Generator, T
from lib.world.similarity import family, reword
from lib.world.tree import Sentence


@dataclass(frozen=True)
class Line:
    """A line of running text: its events, and the story that they make, if they do."""

    events: tuple[Event, ...]
    story: questions.Story | None = None

    def say(self, language: Language) -> str:
        """Write the line; a story ends in its question and the answer, as in a school reader."""
        if self.story:
            context, question, answer, _ = questions.tell(self.story, language)
            return f"{context} {question} {answer} ."
        return " ".join(realise(event, language).text for event in self.events)

    def mix(self, language: Language, source: Language, random: Random) -> str:
        """Write the line's sentences with words of the source among those of the language."""
        return " ".join(mix(event, language, source, random) for event in self.events)


class Corpora:
    """The languages, and the sentences that some corpus already holds.

    A meaning is drawn once and said in each language that its corpus needs; it is refused when any
    of these sentences is already taken. Each corpus has a random stream of its own, so that the
    size of one leaves the draws of the others alone unless they clash.
    """

    def __init__(self, seed: int, languages: Sequence[Language]):
        self.seed = seed
        self.languages = tuple(languages)
        self.source = self.languages[0]
        self.taken: dict[str, set[str]] = {language.code: set() for language in languages}

    def generator(self, corpus: str) -> Generator:
        """Give the corpus its own stream of random meanings."""
        return Generator(Random(f"{self.seed}/corpus/{corpus}"))

    def claim(self, meanings: Iterable[Event], languages: Sequence[Language]) -> bool:
        """Take the sentences for one corpus, or refuse when one of them is taken already."""
        unique = list(dict.fromkeys(meanings))
        said = {
            language.code: {realise(meaning, language).text for meaning in unique}
            for language in languages
        }
        if any(not texts.isdisjoint(self.taken[code]) for code, texts in said.items()):
            return False
        for code, texts in said.items():
            self.taken[code] |= texts
        return True

    def items(
        self,
        corpus: str,
        count: int,
        languages: Sequence[Language],
        draw: Callable[[Generator], Sequence[T]],
        meanings: Callable[[T], Iterable[Event]],
    ) -> list[T]:
        """Draw so many items, group by group; `meanings` gives the sentences of an item."""
        generator = self.generator(corpus)
        drawn: list[T] = []
        while len(drawn) < count:
            group = draw(generator)
            if self.claim([event for item in group for event in meanings(item)], languages):
                drawn += group
        return drawn[:count]

    def sentences(
        self,
        corpus: str,
        count: int,
        languages: Sequence[Language],
        wanted: Callable[[Sentence], bool] = lambda sentence: True,
    ) -> list[Event]:
        """Draw so many meanings whose source sentence is wanted; a third are reworded."""
        generator = self.generator(corpus)
        drawn: list[Event] = []
        while len(drawn) < count:
            event = draw(generator)
            if wanted(realise(event, self.source)) and self.claim([event], languages):
                drawn.append(event)
        return drawn

    def families(self, corpus: str, sentences: int) -> list[tuple[Event, ...]]:
        """Draw source families of four distinct sentences until there are at least so many."""
        generator = self.generator(corpus)
        drawn: list[tuple[Event, ...]] = []
        while 4 * len(drawn) < sentences:
            members = family(generator)
            texts = {realise(member, self.source).text for member in members}
            if len(texts) == 4 and self.claim(members, [self.source]):
                drawn.append(members)
        return drawn

    def inferences(
        self, corpus: str, count: int, languages: Sequence[Language]
    ) -> list[tuple[Event, Event, str]]:
        """Draw so many (premise, hypothesis, label), three in a row for each hypothesis."""
        generator = self.generator(corpus)
        drawn: list[tuple[Event, Event, str]] = []
        while len(drawn) < count:
            hypothesis, premises = inference.triple(generator)
            if len(set(premises.values())) == 3 and self.claim(
                (hypothesis, *premises.values()), languages
            ):
                drawn += [(premises[label], hypothesis, label) for label in inference.LABELS]
        return drawn[:count]

    def paraphrases(
        self, corpus: str, count: int, languages: Sequence[Language]
    ) -> list[tuple[Event, Event, bool]]:
        """Draw so many pairs with whether they mean the same, half of each."""
        generator = self.generator(corpus)
        drawn: list[tuple[Event, Event, bool]] = []
        while len(drawn) < count:
            same = len(drawn) % 2 == 0
            pair = inference.paraphrase_pair(generator, same)
            if all(
                realise(pair[0], language).text != realise(pair[1], language).text
                for language in languages
            ) and self.claim(pair, languages):
                drawn.append((*pair, same))
        return drawn

    def stories(
        self, corpus: str, count: int, languages: Sequence[Language]
    ) -> list[questions.Story]:
        """Draw so many stories with a question each."""
        generator = self.generator(corpus)
        drawn: list[questions.Story] = []
        while len(drawn) < count:
            tale = questions.story(generator)
            if self.claim((*tale.events, tale.question), languages):
                drawn.append(tale)
        return drawn

    def lines(self, corpus: str, sentences: int, story_share: float) -> list[Line]:
        """Draw running text: lines of one sentence, of an event told twice, or of a story.

        At least so many sentences; none is in any other corpus, in any language.
        """
        generator = self.generator(corpus)
        drawn: list[Line] = []
        total = 0
        while total < sentences:
            tale = None
            if generator.chance(story_share):
                tale = questions.story(generator)
                events = (*tale.events, tale.question)
            elif generator.chance(0.15):
                event = generator.event(plain=True)
                events = (event, reword(event, generator))
            else:
                events = (draw(generator),)
            if self.claim(events, self.languages):
                drawn.append(Line(events, tale))
                total += len(events)
        return drawn


def draw(generator: Generator) -> Event:
    """Draw a meaning, in its less usual words one time in three."""
    event = generator.event()
    return reword(event, generator) if generator.chance(0.33) else event
