"""List every task as one row: adding a task is adding a row.

`{code}`, `{iso3}` and `{name}` in a configuration stand for the language (`data/languages.csv`).
`commul/universal_dependencies` takes a UD release as its revision (2.5, the release of XTREME).
"""

from dataclasses import dataclass, field
from typing import Literal

from lib.errors import InputError

Kind = Literal["parsing", "tagging", "regression", "classification", "multiple_choice", "span",
               "retrieval", "mlm"]  # fmt: skip
Family = Literal["syntactic", "semantic similarity", "inference", "commonsense",
                 "question answering", "text"]  # fmt: skip

UPOS = tuple(
    "ADJ ADP ADV AUX CCONJ DET INTJ NOUN NUM PART PRON PROPN PUNCT SCONJ SYM VERB X".split()
)
ENTITIES = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")
INFERENCE = ("entailment", "neutral", "contradiction")


@dataclass(frozen=True)
class Source:
    """Say where examples lie on the hub, and which of its columns are ours.

    `columns` maps our name to the hub's; `a.b` is field `b` of a struct `a`, and `choice0`,
    `choice1`, … are joined to the list `choices`. `labels` maps its labels to the task's, where
    they have other names. `language_column` filters a configuration that
    mixes languages; `identifier_prefix` does so where only the id tells the language, `{name}` in
    it the language's name in lower case.
    """

    dataset: str
    config: str
    split: str
    columns: dict[str, str] = field(default_factory=dict, hash=False)
    labels: dict[str, str] = field(default_factory=dict, hash=False)
    language_column: str = ""
    identifier_prefix: str = ""


# What can be reported of a task of each kind.
REPORTED = {
    "parsing": ("las", "uas"), "tagging": ("f1", "accuracy"), "regression": ("pearson", "spearman"),
    "span": ("score", "f1", "exact_match"), "retrieval": ("accuracy", "f1"), "mlm": ("accuracy",),
    "classification": ("accuracy",), "multiple_choice": ("accuracy",)}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Task:
    """Describe one task; `published_size` is the number of examples of a full training load.

    `translated` is where the training set lies in other languages, translated by machine.
    `labels` is the declared set: another label is an error. With `open_labels` it is what the
    training data hold (`features.with_labels`), and a label first seen in evaluation is a miss.
    `label_range` is the scale of a regression. `reported` is the metric a study reports,
    `answer_rules` how answers are compared (`lib.answers`). `languages` is XTREME's own list for a
    target (evaluate.py, XTREME_TASK2LANGS); a profile takes what it has of it. Without `sentence2`
    among its columns a classification is of single sentences.
    """

    name: str
    family: Family
    kind: Kind
    train: tuple[str, ...] = ()
    translated: Source | None = None
    validation: Source | None = None
    evaluation: Source | None = None
    reported: str
    licence: str
    labels: tuple[str, ...] = ()
    open_labels: bool = False
    label_range: tuple[float, float] = (0.0, 1.0)
    languages: tuple[str, ...] = ()
    published_size: int = 0
    answer_rules: Literal["squad", "mlqa", "squad_v2"] = "squad"

    def __post_init__(self) -> None:
        """Refuse a row that nothing could be trained, looked at or reported by."""
        sound = {"reported": self.reported in REPORTED[self.kind]}
        if self.kind not in ("retrieval", "mlm"):
            sound |= {"train": bool(self.train), "validation": bool(self.validation)}
        for key in (key for key, fine in sound.items() if not fine):
            found = f"{self.name}.{key}: found {getattr(self, key)!r}"
            raise InputError(f"lib/tasks.py: {found}, which a {self.kind} task cannot have")


_TAGS = {"words": "tokens", "tags": "pos_tags"}
_NAMES = {"words": "tokens", "tags": "ner_tags"}
_PAIR = {"sentence1": "sentence1", "sentence2": "sentence2", "label": "label"}
_SAME = {"not_equivalent": "0", "equivalent": "1"}
_PREMISE = {"sentence1": "premise", "sentence2": "hypothesis", "label": "label"}
_XNLI = {"sentence1": "sentence1", "sentence2": "sentence2", "label": "gold_label"}
_TREE = {"words": "tokens", "heads": "head", "relations": "deprel", "upos": "upos"}
_QA = {"identifier": "id", "context": "context", "question": "question", "answers": "answers"}
_RELATED = {"sentence1": "sentence_A", "sentence2": "sentence_B", "label": "relatedness_score"}
_QUESTIONS = {"sentence1": "question1", "sentence2": "question2", "label": "label"}
_ENDINGS = {"context": "ctx", "choices": "endings", "label": "label"}
_ANSWERS = {"context": "context", "question": "question", "label": "label"} | {
    f"choice{i}": f"answer{i}" for i in range(4)
}
_LETTERS = {"question": "question", "choices": "choices.text", "label": "answerKey"}
_SUPERTAGS = {"words": "tokens", "tags": "supertags"}
_TRANSLATION = {"source": "source_sentence", "target": "target_sentence"}
_SIDES = {"sources": "sentence1", "targets": "sentence2", "gold": "gold"}
_XTREME = "google/xtreme"
_UD = "commul/universal_dependencies"
CCGBANK = "ccgbank"  # on no hub: `lib.ccgbank` reads the LDC's files, in their own layout

# Training data by name, so that a profile can say what it trains on where the usual set is missing.
TRAINING: dict[str, Source] = {
    "ewt": Source(_UD, "en_ewt", "train", _TREE),
    "stsb": Source("nyu-mll/glue", "stsb", "train", _PAIR),
    "udpos_en": Source(_XTREME, "udpos.English", "train", _TAGS),
    "panx_en": Source(_XTREME, "PAN-X.en", "train", _NAMES),
    "pawsx_en": Source(_XTREME, "PAWS-X.en", "train", _PAIR),
    "mnli": Source("nyu-mll/multi_nli", "default", "train", _PREMISE),
    "snli_validation": Source("stanfordnlp/snli", "plain_text", "validation", _PREMISE),
    "snli_test": Source("stanfordnlp/snli", "plain_text", "test", _PREMISE),
    "mrpc": Source("nyu-mll/glue", "mrpc", "train", _PAIR, _SAME),
    "squad": Source("rajpurkar/squad", "plain_text", "train", _QA),
    "squadshifts_wiki": Source("squadshifts", "new_wiki", "test", _QA),
    "squadshifts_reddit": Source("squadshifts", "reddit", "test", _QA),
    "sick": Source("sick", "default", "train", _RELATED),
    "qqp": Source("nyu-mll/glue", "qqp", "train", _QUESTIONS),
    "paws": Source("google-research-datasets/paws", "labeled_final", "train", _PAIR),
    "snli": Source("stanfordnlp/snli", "plain_text", "train", _PREMISE),
    "anli_r1": Source("facebook/anli", "plain_text", "train_r1", _PREMISE),
    "anli_r2": Source("facebook/anli", "plain_text", "train_r2", _PREMISE),
    "anli_r3": Source("facebook/anli", "plain_text", "train_r3", _PREMISE),
    "squad_v2": Source("rajpurkar/squad_v2", "squad_v2", "train", _QA),
    "hellaswag": Source("Rowan/hellaswag", "default", "train", _ENDINGS),
    "cosmos_qa": Source("allenai/cosmos_qa", "default", "train", _ANSWERS),
    "commonsense_qa": Source("tau/commonsense_qa", "default", "train", _LETTERS),
    "ccg": Source(CCGBANK, "default", "train", _SUPERTAGS),
    "tydiqa_en": Source(_XTREME, "tydiqa", "train", _QA, identifier_prefix="english"),
}

TEXT = Source("multilingual-text", "{code}", "train", {"text": "text"})

_INTERMEDIATE = (
    Task(
        name="ud_parsing", family="syntactic", kind="parsing", train=("ewt",),
        validation=Source(_UD, "en_ewt", "validation", _TREE),
        reported="las", licence="CC BY-SA 4.0", published_size=12_543,
    ),
    # Sections 02-21; Phang et al. 2020 train on 38,015 of them.
    Task(
        name="ccg", family="syntactic", kind="tagging", train=("ccg",),
        validation=Source(CCGBANK, "default", "validation", _SUPERTAGS),
        reported="accuracy", licence="LDC User Agreement (LDC2005T13)", open_labels=True,
        published_size=39_604,
    ),
    Task(
        name="stsb", family="semantic similarity", kind="regression", train=("stsb",),
        validation=Source("nyu-mll/glue", "stsb", "validation", _PAIR),
        reported="pearson", licence="per source, see GLUE", label_range=(0.0, 5.0),
        published_size=5_749,
    ),
    # SemEval 2014's own files have 4,500 pairs; the hub's come from SICK's final release.
    Task(
        name="sick", family="semantic similarity", kind="regression", train=("sick",),
        validation=Source("sick", "default", "validation", _RELATED),
        reported="pearson", licence="CC BY-NC-SA 3.0", label_range=(1.0, 5.0),
        published_size=4_439,
    ),
    Task(
        name="qqp", family="semantic similarity", kind="classification", train=("qqp",),
        validation=Source("nyu-mll/glue", "qqp", "validation", _QUESTIONS),
        reported="accuracy", licence="Quora's terms, see GLUE",
        labels=("not_duplicate", "duplicate"), published_size=363_846,
    ),
    # The English training set of PAWS-X is the same data.
    Task(
        name="paws", family="semantic similarity", kind="classification", train=("paws",),
        validation=Source("google-research-datasets/paws", "labeled_final", "validation", _PAIR),
        reported="accuracy", licence="free for any purpose, credit Google", labels=("0", "1"),
        published_size=49_401,
    ),
    Task(
        name="mrpc", family="semantic similarity", kind="classification", train=("mrpc",),
        validation=Source("nyu-mll/glue", "mrpc", "validation", _PAIR, _SAME),
        reported="accuracy", licence="per source, see GLUE", labels=("0", "1"),
        published_size=3_668,
    ),
    Task(
        name="mnli", family="inference", kind="classification", train=("mnli",),
        translated=Source("facebook/xnli", "{code}", "train", _PREMISE),
        validation=Source("nyu-mll/multi_nli", "default", "validation_matched", _PREMISE),
        reported="accuracy", licence="per source, see MultiNLI", labels=INFERENCE,
        published_size=392_702,
    ),
    # ANLI+; validated on the last and largest of ANLI's three rounds.
    Task(
        name="anli", family="inference", kind="classification",
        train=("anli_r1", "anli_r2", "anli_r3", "mnli", "snli"),
        validation=Source("facebook/anli", "plain_text", "dev_r3", _PREMISE),
        reported="accuracy", licence="CC BY-NC 4.0; MultiNLI per source; SNLI CC BY-SA 4.0",
        labels=INFERENCE, published_size=1_104_934,
    ),
    # For where SNLI's training set is not: its other two splits.
    Task(
        name="snli_small", family="inference", kind="classification", train=("snli_validation",),
        validation=TRAINING["snli_test"],
        reported="accuracy", licence="CC BY-SA 4.0", labels=INFERENCE, published_size=9_842,
    ),
    # For where SQuAD is not: new articles of Wikipedia, validated on Reddit (Miller et al. 2020).
    Task(
        name="squadshifts", family="question answering", kind="span", train=("squadshifts_wiki",),
        validation=TRAINING["squadshifts_reddit"],
        reported="f1", licence="CC BY 4.0", published_size=7_938,
    ),
    Task(
        name="squad", family="question answering", kind="span", train=("squad",),
        validation=Source("rajpurkar/squad", "plain_text", "validation", _QA),
        reported="f1", licence="CC BY-SA 4.0", published_size=87_599,
    ),
    Task(
        name="squad_v2", family="question answering", kind="span", train=("squad_v2",),
        validation=Source("rajpurkar/squad_v2", "squad_v2", "validation", _QA),
        reported="f1", answer_rules="squad_v2", licence="CC BY-SA 4.0", published_size=130_319,
    ),
    Task(
        name="hellaswag", family="commonsense", kind="multiple_choice", train=("hellaswag",),
        validation=Source("Rowan/hellaswag", "default", "validation", _ENDINGS),
        reported="accuracy", licence="MIT", labels=("0", "1", "2", "3"), published_size=39_905,
    ),
    Task(
        name="cosmos_qa", family="commonsense", kind="multiple_choice", train=("cosmos_qa",),
        validation=Source("allenai/cosmos_qa", "default", "validation", _ANSWERS),
        reported="accuracy", licence="CC BY 4.0", labels=("0", "1", "2", "3"),
        published_size=25_262,
    ),
    Task(
        name="commonsense_qa", family="commonsense", kind="multiple_choice",
        train=("commonsense_qa",),
        validation=Source("tau/commonsense_qa", "default", "validation", _LETTERS),
        reported="accuracy", licence="MIT", labels=("A", "B", "C", "D", "E"), published_size=9_741,
    ),
    Task(name="mlm", family="text", kind="mlm", reported="accuracy", licence="per source"),
)  # fmt: skip

_TARGETS = (
    Task(
        name="udpos", family="syntactic", kind="tagging", train=("udpos_en",),
        validation=Source(_XTREME, "udpos.English", "validation", _TAGS),
        evaluation=Source(_XTREME, "udpos.{name}", "test", _TAGS),
        reported="f1", licence="per treebank, CC BY-SA or CC BY-NC-SA", labels=UPOS,
        languages=tuple("af ar bg de el en es et eu fa fi fr he hi hu id it ja kk ko mr nl pt ru "
                        "ta te th tl tr ur vi yo zh".split()),
        published_size=21_253,
    ),
    Task(
        name="panx", family="text", kind="tagging", train=("panx_en",),
        validation=Source(_XTREME, "PAN-X.en", "validation", _NAMES),
        evaluation=Source(_XTREME, "PAN-X.{code}", "test", _NAMES),
        reported="f1", licence="CC BY-SA 3.0", labels=ENTITIES,
        languages=tuple("ar he vi id jv ms tl eu ml ta te af nl en de el bn hi mr ur fa fr it pt "
                        "es bg ru ja ka ko th sw yo my zh kk tr et fi hu".split()),
        published_size=20_000,
    ),
    Task(
        name="xnli", family="inference", kind="classification", train=("mnli",),
        validation=Source(_XTREME, "XNLI", "validation", _XNLI, language_column="language"),
        evaluation=Source(_XTREME, "XNLI", "test", _XNLI, language_column="language"),
        reported="accuracy", licence="CC BY-NC 4.0", labels=INFERENCE,
        languages=tuple("ar bg de el en es fr hi ru sw th tr ur vi zh".split()),
        published_size=392_702,
    ),
    Task(
        name="pawsx", family="semantic similarity", kind="classification", train=("pawsx_en",),
        validation=Source(_XTREME, "PAWS-X.en", "validation", _PAIR),
        evaluation=Source(_XTREME, "PAWS-X.{code}", "test", _PAIR),
        reported="accuracy", licence="free for any purpose, credit Google", labels=("0", "1"),
        languages=tuple("de en es fr ja ko zh".split()), published_size=49_401,
    ),
    Task(
        name="xquad", family="question answering", kind="span", train=("squad",),
        validation=Source("rajpurkar/squad", "plain_text", "validation", _QA),
        evaluation=Source(_XTREME, "XQuAD.{code}", "validation", _QA),
        reported="score", licence="CC BY-SA 4.0",
        languages=tuple("en es de el ru tr ar vi th zh hi".split()), published_size=87_599,
    ),
    Task(
        name="mlqa", family="question answering", kind="span", train=("squad",),
        validation=Source("rajpurkar/squad", "plain_text", "validation", _QA),
        evaluation=Source(_XTREME, "MLQA.{code}.{code}", "test", _QA),
        reported="score", answer_rules="mlqa", licence="CC BY-SA 3.0",
        languages=tuple("en es de ar hi vi zh".split()), published_size=87_599,
    ),
    # TyDiQA's secondary task, GoldP: one configuration, languages told apart by the id alone.
    Task(
        name="tydiqa", family="question answering", kind="span", train=("tydiqa_en",),
        validation=Source(_XTREME, "tydiqa", "validation", _QA, identifier_prefix="english-"),
        evaluation=Source(_XTREME, "tydiqa", "validation", _QA, identifier_prefix="{name}-"),
        reported="score", licence="Apache-2.0",
        languages=tuple("en ar bn fi id ko ru sw te".split()), published_size=3_696,
    ),
    # `google/xtreme` has the gold pairs alone; both sides whole are in mteb's copy of the shared
    # task's training set, which is XTREME's test set (xtreme issue 13). Its development set is in
    # the shared task's own files only: `lib.bitext`.
    Task(
        name="bucc", family="text", kind="retrieval",
        validation=Source("bucc2018", "{code}-en", "validation", _SIDES),
        evaluation=Source("mteb/BUCC", "{code}-en", "test", _SIDES),
        reported="f1", licence="research, see BUCC 2018", languages=tuple("de fr ru zh".split()),
    ),
    Task(
        name="tatoeba", family="text", kind="retrieval",
        evaluation=Source(_XTREME, "tatoeba.{iso3}", "validation", _TRANSLATION),
        reported="accuracy", licence="CC BY 2.0 FR",
        languages=tuple("ar he vi id jv tl eu ml ta te af nl de el bn hi mr ur fa fr it pt es bg "
                        "ru ja ka ko th sw zh kk tr et fi hu".split()),
    ),
)  # fmt: skip

TASKS: dict[str, Task] = {row.name: row for row in (*_INTERMEDIATE, *_TARGETS)}


def targets() -> list[str]:
    """List the target tasks: those that are evaluated in every language."""
    return [name for name, row in TASKS.items() if row.evaluation]


def intermediate() -> list[str]:
    """List the intermediate tasks."""
    return [name for name, row in TASKS.items() if not row.evaluation]


def get(name: str) -> Task:
    """Return the row of a task.

    Raises InputError for an unknown name.
    """
    if name not in TASKS:
        raise InputError(f"unknown task {name!r}: expected one of {', '.join(TASKS)}")
    return TASKS[name]


def training(name: str) -> Source:
    """Return where the training data of a name lie.

    Raises InputError for an unknown name.
    """
    if name not in TRAINING:
        raise InputError(f"unknown training data {name!r}: expected a name of TRAINING in "
                         f"lib/tasks.py, one of {', '.join(TRAINING)}")  # fmt: skip
    return TRAINING[name]
