"""How large the world is."""

from dataclasses import dataclass, fields

from lib.errors import InputError

# Raised where the same settings write other data than before; results of other data are refused.
EDITION = 2


@dataclass(frozen=True)
class Settings:
    """Sizes of the world's corpora: sentences, pairs or questions, per language in evaluation.

    Raises InputError for a size that makes no world.
    """

    seed: int = 1
    languages: int = 8  # besides the source
    design: str = "steps"  # from near to far; or "factorial": each parameter differs in half of 24
    text_sentences: int = 5000  # per language
    text_validation: int = 200
    story_share: float = 0.15  # of the lines of text: stories of several sentences
    parallel_share: float = 0.0  # of the lines of text: source sentence and translation together
    mixed_share: float = 0.0  # of the lines of text: both languages within each sentence
    parsing_train: int = 2000
    parsing_evaluation: int = 240
    similarity_train: int = 2000
    similarity_evaluation: int = 240
    tagging_train: int = 2000
    tagging_evaluation: int = 240
    ner_train: int = 2000
    ner_evaluation: int = 240
    nli_train: int = 2400
    nli_evaluation: int = 240
    paraphrase_train: int = 1600
    paraphrase_evaluation: int = 240
    qa_train: int = 2000
    qa_evaluation: int = 240
    retrieval_pairs: int = 300
    # Written only where a profile asks for them: 0 is none.
    sick_train: int = 0
    qqp_train: int = 0
    paws_train: int = 0
    anli_train: int = 0  # per round
    snli_train: int = 0
    squad_v2_train: int = 0
    hellaswag_train: int = 0
    cosmosqa_train: int = 0
    commonsenseqa_train: int = 0
    ccg_train: int = 0
    xnli_translated: int = 0  # 1: MNLI's training set in every language
    intermediate_evaluation: int = 120  # in each other split of those above
    mlqa_evaluation: int = 0
    tydiqa_train: int = 0
    tydiqa_evaluation: int = 120
    bucc_pairs: int = 0
    bucc_distractors: int = 300  # on the side of the target language; half as many again on ours

    def __post_init__(self) -> None:
        """Check every value."""
        for entry in fields(self):
            value, default = getattr(self, entry.name), entry.default
            if entry.name == "design":
                if value not in ("steps", "factorial"):
                    raise InputError(f"design: expected steps or factorial, got {value!r}")
            elif entry.name.endswith("_share"):
                if not 0 <= value <= 1:
                    raise InputError(f"{entry.name}: expected a share from 0 to 1, got {value!r}")
            elif not isinstance(value, int) or (entry.name != "seed" and value < bool(default)):
                expected = "a positive whole number" if default else "a whole number, 0 for none"
                raise InputError(f"{entry.name}: expected {expected}, got {value!r}")
        if self.languages > 26:
            raise InputError(f"languages: expected at most 26, qaa to qaz, got {self.languages}")
        if self.design == "factorial" and self.languages != 24:
            raise InputError(f"languages: a factorial design has 24, got {self.languages}")
        if self.parallel_share + self.mixed_share > 1:
            raise InputError(
                "mixed_share: expected at most what parallel_share leaves of the "
                f"lines ({1 - self.parallel_share:g}), got {self.mixed_share}"
            )
        for split in ("train", "evaluation"):
            sentences = getattr(self, f"parsing_{split}")
            pairs = getattr(self, f"similarity_{split}")
            if not sentences <= 2 * pairs <= 4 * sentences:
                raise InputError(
                    f"similarity_{split}: expected from half of parsing_{split} to twice as much "
                    f"({sentences // 2} to {2 * sentences}), got {pairs}"
                )
