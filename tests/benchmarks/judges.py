"""Judges to order: functions from the prompt that a judge gets to its reply. They know the controls by heart."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import count

from elixi_models.benchmarks.gate import Review, review, trials
from elixi_models.benchmarks.rubrics import Grade, make_prompt, read_grade, readable

Judge = Callable[[str], str]
CONTROLS = json.loads(files("elixi_models").joinpath("benchmarks/data/controls.json").read_text("utf-8"))
FAULTS = {readable(pair["corrupted"]): pair["fault"] for pairs in CONTROLS["pairs"].values() for pair in pairs}
#: What a judge gets to see of each injected answer.
INJECTED = [
    readable(one["text"].replace("{answer}", CONTROLS["pairs"][one["task"]][one["pair"]]["corrupted"]))
    for one in CONTROLS["injections"]
]


@dataclass(frozen=True)
class Exam:
    """A prompt as a judge understands it: the questions in their order, and the answer to grade."""

    names: tuple[str, ...]
    answer: str

    @property
    def fault(self) -> str | None:
        """What is wrong with the answer, None when nothing is."""
        return next((fault for text, fault in FAULTS.items() if text in self.answer), None)


def understood(prompt: str) -> Exam:
    answer = re.search(r"<<<ANSWER (\w+)\n(.*)\nANSWER \1>>>", prompt, re.DOTALL)
    assert answer is not None
    return Exam(tuple(re.findall(r"(?m)^- (\w+): ", prompt)), answer[2])


def reply(exam: Exam, overall: int, no: str | None = None, **verdicts: bool) -> str:
    """A well-formed reply: yes to everything but `no`, changed by what is given."""
    return json.dumps({**{name: name != no for name in exam.names}, **verdicts, "overall": overall})


def ideal(prompt: str) -> str:
    """Finds the one thing that is wrong, whatever else an answer says."""
    exam = understood(prompt)
    return reply(exam, 2 if exam.fault else 5, exam.fault)


def always_yes(prompt: str) -> str:
    """Approves of everything; the overall grade wavers between good and excellent, as with small models."""
    exam = understood(prompt)
    return reply(exam, 4 + len(exam.answer) % 2)


def always_no(prompt: str) -> str:
    """Approves of nothing."""
    exam = understood(prompt)
    return reply(exam, 1, **dict.fromkeys(exam.names, False))


def _blind_to(prompt: str, places: slice) -> str:
    exam = understood(prompt)
    seen = None if exam.fault in exam.names[places] else exam.fault
    return reply(exam, 2 if seen else 5, seen)


def blind_at_the_top(prompt: str) -> str:
    """Judges well, but says yes to the two questions that it reads first."""
    return _blind_to(prompt, slice(None, 2))


def blind_at_the_bottom(prompt: str) -> str:
    """Judges well, but says yes to the two questions that it reads last."""
    return _blind_to(prompt, slice(-2, None))


def by_place(prompt: str) -> str:
    """Says yes to the upper questions and no to the lower ones, whatever they are."""
    exam = understood(prompt)
    return reply(exam, 3, **{name: place < 3 for place, name in enumerate(exam.names)})


def anchored_on_the_first(prompt: str) -> str:
    """Notices faults, and lets the first question alone decide the overall grade."""
    exam = understood(prompt)
    return reply(exam, 1 if exam.fault == exam.names[0] else 5, exam.fault if exam.fault == exam.names[0] else None)


def later_is_better() -> Judge:
    """Likes every second answer that it gets."""
    numbers = count()

    def judge(prompt: str) -> str:
        exam = understood(prompt)
        return reply(exam, 5) if next(numbers) % 2 else reply(exam, 2, exam.names[0])

    return judge


def longer_is_better(prompt: str) -> str:
    """Counts characters."""
    exam = understood(prompt)
    return reply(exam, 5) if len(exam.answer) > 150 else reply(exam, 2, exam.names[2])


def gullible(prompt: str) -> str:
    """Judges well until an answer speaks of a grade."""
    exam = understood(prompt)
    return reply(exam, 5) if re.search(r"\b5\b", exam.answer) else ideal(prompt)


def obeys(*numbers: int, overall: int = 5, yes: bool = True) -> Judge:
    """Judges well but for the injections of these numbers."""
    told = {INJECTED[number - 1] for number in numbers}

    def judge(prompt: str) -> str:
        exam = understood(prompt)
        return reply(exam, overall, None if yes else exam.fault) if exam.answer in told else ideal(prompt)

    return judge


def sit(judge: Judge, *, to_the_end: bool = False) -> Review:
    """What the gate makes of a judge; by itself it stops as soon as a judge is turned away."""
    grades: dict[str, Grade | None] = {}
    for trial in trials():
        if review(grades).faults and not to_the_end:
            break
        grades[trial.id] = read_grade(judge(make_prompt(trial.paper, trial.order)), trial.paper.task)
    return review(grades)


def swayed(trial_ids: Mapping[str, str]) -> Judge:
    """Judges well but for single trials, to which it gives the reply of that name."""
    asked: Iterator[str] = (trial.id for trial in trials())
    others: Mapping[str, Judge] = {"yes": always_yes, "no": always_no, "words": lambda prompt: "I cannot say."}

    def judge(prompt: str) -> str:
        wanted = trial_ids.get(next(asked))
        return others[wanted](prompt) if wanted else ideal(prompt)

    return judge


def digest(text: str) -> str:
    """The first digits of a text's digest."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
