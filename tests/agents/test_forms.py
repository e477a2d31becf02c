"""The reference agents against scripted models: what they ask, what they conclude, what their recorder tells."""

import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import StructuredTool
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from agents.handoff import handoff
from agents.plan import plan_and_execute, steps_of
from agents.react_text import react_text
from agents.recorders.spans import RunRecorder
from agents.retrieval import rank, retrieval
from agents.samples import samples
from agents.selectors import choose
from agents.tools import lookup
from agents.tree import breadth_first, depth_first, tree


class Scripted(BaseChatModel):
    """Answers with what a rule makes of the last message; keeps every prompt."""

    rule: Callable[[str], str]
    seen: list[str] = []

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        self.seen.append(str(messages[-1].content))
        return ChatResult(generations=[ChatGeneration(message=AIMessage(content=self.rule(self.seen[-1])))])


@pytest.fixture
def told() -> Any:
    """(recorder whose run is open, function that gives the spans' attributes so far)."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    recorder = RunRecorder(provider.get_tracer("t"), "r", "tree")
    with recorder.recording():
        yield recorder, lambda: [dict(span.attributes or {}) for span in exporter.get_finished_spans()]


def test_a_tree_of_one_level_takes_the_best_and_the_earlier_of_equals(told: Any) -> None:
    recorder, spans = told
    words = {"Propose a": "A", "Propose b": "B", "Score A": "Score: 3", "Score B": "Score: 3", "Answer A": "done A"}
    model = Scripted(rule=words.__getitem__)
    found = tree(model, "s", ["Propose a", "Propose b"], lambda one: f"Score {one}", lambda one: f"Answer {one}",
                 "argmax", recorder)  # fmt: skip
    assert found == "done A"
    (event,) = [json.loads(one["auditor.selection"]) for one in spans()]
    assert event == {"selector": "argmax", "chosen": 0,
                     "candidates": [{"text": "A", "score": 3}, {"text": "B", "score": 3}]}  # fmt: skip


def test_breadth_first_keeps_the_best_states_of_every_level(told: Any) -> None:
    """States are digit strings, worth the number they write."""
    recorder, spans = told
    found = breadth_first(
        lambda prompt: prompt, lambda state: [state + digit for digit in "132"] if len(state) < 2 else [],
        lambda state: f"worth {state}", depth=4, keep=2, selector="greedy", recorder=recorder,
    )  # fmt: skip
    assert found == "33"
    events = [json.loads(one["auditor.selection"]) for one in spans()]
    assert [(event["depth"], event["kept"]) for event in events] == [(1, [1, 2]), (2, [1, 2])]
    assert [one["text"] for one in events[1]["candidates"]] == ["31", "33", "32", "21", "23", "22"]
    assert {one["parent"] for one in events[1]["candidates"]} == {"3", "2"}


def test_depth_first_turns_back_below_the_bound_and_stops_at_the_first_full_state(told: Any) -> None:
    recorder, spans = told
    worth = {"1": 0, "2": 5, "21": 0, "22": 5, "3": 9}
    found = depth_first(
        lambda prompt: prompt, lambda state: [state + digit for digit in "123"], lambda state: f"{worth[state]}",
        depth=2, prune_below=1, most=10, recorder=recorder,
    )  # fmt: skip
    assert found == "22"
    visits = [json.loads(one["auditor.selection"])["visits"][0]["path"] for one in spans()]
    assert visits == [["1"], ["2"], ["2", "21"], ["2", "22"]]
    few = depth_first(
        lambda prompt: prompt, lambda state: ["1", "2", "3"] if not state else [], lambda state: f"{worth[state]}",
        depth=2, prune_below=1, most=2, recorder=recorder,
    )  # fmt: skip
    assert few == "2"


def test_selectors() -> None:
    assert choose("argmax", [1, 3, 3]) == (1,)
    assert choose("argmin", [2, 1, 1]) == (1,)
    assert choose("first", [1, 9]) == (0,)
    assert choose("greedy", [1, 3, 2, 3], 3) == (1, 3, 2)
    assert choose("moon", [1]) is None and choose("argmax", []) is None


def test_samples_vote_and_the_first_of_equals_wins(told: Any) -> None:
    recorder, spans = told
    drawn = iter(["so 7", "so 5", "hm", "so 5", "so 7"])
    model = Scripted(rule=lambda _: next(drawn))

    def last(text: str) -> str | None:
        return text.split()[-1] if "so" in text else None

    assert samples(model, "s", "?", 5, last, recorder) == "7"
    (span,) = spans()
    assert json.loads(span["auditor.vote"]) == {"answers": ["7", "5", None, "5", "7"], "winner": "7"}
    with pytest.raises(ValueError, match="none of 2 chains"):
        samples(Scripted(rule=lambda _: "hm"), "s", "?", 2, last, recorder)


def test_react_in_text_asks_reads_and_answers() -> None:
    def rule(prompt: str) -> str:
        if "48" in prompt:
            return "Thought: I know it.\nFinal Answer: It is 48."
        if "no tool" in prompt:
            return 'Thought: Right.\nAction: lookup\nAction Input: {"item": "lamp"}\nObservation: 99'
        return "Action: search\nAction Input: lamp"

    tool = StructuredTool.from_function(lambda item: lookup({"lamp": 48}, item), name="lookup", description="prices")
    model = Scripted(rule=rule)
    assert react_text(model, [tool], "s", "Price of the lamp?") == "It is 48."
    assert model.seen[-1] == (
        "Question: Price of the lamp?\nAction: search\nAction Input: lamp\n"
        "Observation: there is no tool 'search'; use one of lookup\n"
        'Thought: Right.\nAction: lookup\nAction Input: {"item": "lamp"}\nObservation: {"price": 48}\n'
    )
    with pytest.raises(RuntimeError, match="8 turns"):
        react_text(Scripted(rule=lambda _: "Hm."), [tool], "s", "?")


def test_the_retriever_ranks_by_bm25() -> None:
    """Against the formula written out for one word: two of three documents hold it."""
    documents = {"a": "red lamp", "b": "lamp lamp shade of a lamp", "c": "green vase"}
    def worth(times: int, length: int) -> float:
        weight = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
        return weight * times * 2.2 / (times + 1.2 * (0.25 + 0.75 * length / (10 / 3)))

    found = rank("LAMP?", documents, 5)
    assert [one.id for one in found] == ["b", "a"]
    assert [one.score for one in found] == pytest.approx([worth(3, 6), worth(1, 2)], abs=1e-6)
    assert rank("nothing", documents, 5) == [] and rank("lamp", {}, 5) == []


def test_retrieval_shows_numbered_documents_and_tells_what_it_found(told: Any) -> None:
    recorder, spans = told
    model = Scripted(rule=lambda _: "It costs 48 [1].")
    documents = {"prices.md": "The lamp costs 48.", "hours.md": "Open from nine."}
    assert retrieval(model, "s", "What does the lamp cost?", documents, recorder) == "It costs 48 [1]."
    assert model.seen == ["[1] prices.md\nThe lamp costs 48.\n\nQuestion: What does the lamp cost?"]
    (span,) = spans()
    assert span["gen_ai.retrieval.query.text"] == "What does the lamp cost?"
    (document,) = json.loads(span["gen_ai.retrieval.documents"])
    assert (document["id"], document["content"]) == ("prices.md", "The lamp costs 48.") and document["score"] > 0


def test_a_plan_is_done_step_by_step() -> None:
    given: list[str] = []

    def execute(step: str) -> str:
        given.append(step)
        return str(len(given))

    words = {"Q\nWrite a plan.": "Plan:\n1. find\n2) add", "Q\n1. find -> 1\n2. add -> 2\nAnswer.": "three"}
    assert plan_and_execute(Scripted(rule=words.__getitem__), "s", "Q", execute) == "three"
    assert given == ["find", "find -> 1\nadd"]
    with pytest.raises(ValueError, match="no numbered steps"):
        steps_of("I would rather not.")


def test_a_hand_off_passes_on_what_was_found() -> None:
    assert handoff(lambda task: f"{task} costs 48", str.upper, "lamp", lambda found: f"add tax: {found}") == (
        "ADD TAX: LAMP COSTS 48"
    )
