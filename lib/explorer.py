"""Explore single results: a first choice everywhere, and controls where somebody can use them.

What `show` displays is ordinary output, which the controls replace in its place. Saved, or made
without ipywidgets or by papermill, it is complete.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from lib import single_results
from lib.errors import InputError
from lib.profile import Profile
from lib.single_results import Choice, SingleResults, View

FALLBACK = "Choices need a live JupyterLab with ipywidgets; this is the first one."


def show(study: Profile, condition: str = "ud_parsing", other: str = "none") -> None:
    """Display scores, flipped examples and trees of a first choice, with controls where live.

    Raises InputError where the profile has no result.
    """
    from IPython.display import HTML, display

    look = SingleResults(study)
    choice = look.first(condition, other)
    controls = Controls(look, choice) if live() and _has_widgets() else None
    if controls is None:
        print(FALLBACK)
        for content in _contents(look.view(choice)):
            if content is not None:
                display(content)
        return
    # Where the page is read without a kernel, its text is shown, not the widget's own.
    display(controls.box._repr_mimebundle_() | {"text/plain": FALLBACK}, raw=True)
    empty = HTML("")
    shown = _contents(look.view(choice))
    places = [display(content or empty, display_id=True) for content in shown]

    def present(view: View) -> None:
        for place, content in zip(places, _contents(view), strict=True):
            place.update(content or empty)

    controls.present = present


def live() -> bool:
    """Say whether a person may be asked: papermill, nbconvert and nbval forbid it, a front end not.

    Every execution says so in its request (Jupyter's messaging protocol, `allow_stdin`).
    """
    from IPython import get_ipython

    kernel = getattr(get_ipython(), "kernel", None)
    request = kernel.get_parent() if kernel is not None else {}
    return bool(request.get("content", {}).get("allow_stdin"))


def _has_widgets() -> bool:
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        return False
    return True


def _contents(view: View) -> list[Any]:
    """Return what is displayed: the tables, then the gold tree and the predicted one or a note."""
    from html import escape

    from IPython.display import HTML, SVG

    note = HTML(f"<p>No tree is predicted: {escape(view.note)}</p>") if view.note else None
    return [
        HTML(view.tables),
        SVG(view.gold) if view.gold else None,
        SVG(view.predicted) if view.predicted else note,
    ]


class Controls:
    """Hold the widgets, keep them to what there is, and present the view of each new choice."""

    def __init__(
        self, look: SingleResults, choice: Choice, present: Callable[[View], None] | None = None
    ) -> None:
        """Build the widgets on a first choice; `present` is given every later view."""
        import ipywidgets

        self.look, self.choice = look, choice
        self.present = present or (lambda view: None)
        self._filling = False
        wide = ipywidgets.Layout(width="24em")
        named = {"style": {"description_width": "8em"}, "layout": wide}
        self.profile, self.condition, self.other, self.target, self.language, self.parser = (
            ipywidgets.Dropdown(description=name, **named)
            for name in ("profile", "condition", "compared with", "target", "language", "parser")
        )
        self.sentence = ipywidgets.Dropdown(
            description="sentence", style=named["style"], layout=ipywidgets.Layout(width="48em")
        )
        self.typed = ipywidgets.Text(
            description="or type one",
            placeholder="words and punctuation with spaces between them",
            continuous_update=False,
            style=named["style"],
            layout=ipywidgets.Layout(width="48em"),
        )
        self.said = ipywidgets.Label()
        rows = [
            [self.profile, self.target],
            [self.condition, self.other],
            [self.language, self.parser],
        ]
        self.box = ipywidgets.VBox(
            [*map(ipywidgets.HBox, rows), self.sentence, self.typed, self.said]
        )
        self._fill()
        self.profile.observe(self._change_profile, "value")
        for widget in (self.condition, self.other, self.target, self.language, self.parser):
            widget.observe(self._change, "value")
        self.sentence.observe(self._change_sentence, "value")
        self.typed.observe(self._change_typed, "value")

    def _fill(self) -> None:
        """Offer what there is for the choice, and show the choice in the widgets."""
        look, choice = self.look, self.choice
        self._filling = True
        known = single_results.profiles(look.study)
        sentences = [" ".join(e["words"]) for e in look.sentences(choice.language)]
        codes = look.languages_of(choice.condition, choice.other, choice.target)
        names = look.languages["name"]
        for widget, options, value in (
            (self.profile, known, look.study.name),
            (self.condition, look.conditions, choice.condition),
            (self.other, look.conditions, choice.other),
            (self.target, look.targets(choice.condition, choice.other), choice.target),
            (self.language, [(f"{names[code]} ({code})", code) for code in codes], choice.language),
            (self.parser, look.parsers, choice.parser or None),
            (self.sentence, list(dict.fromkeys(sentences)), None),
        ):
            if tuple(widget.options) != tuple(options):
                widget.options = options
            if value is not None:
                widget.value = value
        if choice.sentence in sentences or not choice.sentence:
            self.sentence.value = choice.sentence or next(iter(sentences), None)
            self.typed.value = ""
        self._filling = False

    def _change_profile(self, change: dict[str, Any]) -> None:
        if self._filling:
            return
        try:
            look = SingleResults(single_results.quiet(change["new"]))
            self._choose(look.first(self.choice.condition, self.choice.other), look)
        except InputError as error:
            self.said.value = str(error)

    def _change(self, change: dict[str, Any]) -> None:
        if self._filling:
            return
        look, wanted = self.look, self.choice
        condition, other = self.condition.value, self.other.value
        targets = look.targets(condition, other)
        if not targets:
            self.said.value = f"{condition} and {other} share no target with scores"
            return
        target = self.target.value if self.target.value in targets else targets[0]
        codes = look.languages_of(condition, other, target)
        language = self.language.value if self.language.value in codes else codes[-1]
        # A sentence of another language is none of this one.
        sentence = wanted.sentence if language == wanted.language else ""
        parser = self.parser.value or ""
        self._choose(Choice(condition, other, target, language, parser, sentence))

    def _change_sentence(self, change: dict[str, Any]) -> None:
        if not self._filling and change["new"]:
            self._choose(replace(self.choice, sentence=change["new"]))

    def _change_typed(self, change: dict[str, Any]) -> None:
        if not self._filling and change["new"].strip():
            self._choose(replace(self.choice, sentence=change["new"]))

    def _choose(self, choice: Choice, look: SingleResults | None = None) -> None:
        """Show a choice: the widgets first, then the view."""
        self.look, self.choice = look or self.look, choice
        self.said.value = ""
        self._fill()
        self.present(self.look.view(choice))
