"""A recorded run driven again with one edit, against a scripted model."""

import json
from typing import Any

import httpx2
import pytest

from agents import replay as module
from agents.replay import Stopped, chat, replay
from agents.tools import lookup

Json = dict[str, Any]


def user(text: str) -> Json:
    return {"role": "user", "content": text}


def said(text: str) -> Json:
    return {"role": "assistant", "content": text}


def asks(own: str, name: str, **arguments: Any) -> Json:
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": "", "tool_calls": [{"id": own, "type": "function", "function": function}]}


def gave(own: str, text: str) -> Json:
    return {"role": "tool", "tool_call_id": own, "content": text}


def call(messages: list[Json], output: Json) -> Json:
    return {"model": "m", "messages": messages, "tools": [], "settings": {"temperature": 0}, "output": output}


def react() -> Json:
    """Look up the price of the lamp, then say it."""
    first = [user("Price of the lamp?")]
    second = [*first, asks("c1", "lookup", item="lamp"), gave("c1", '{"price": 48}')]
    return {"run": "r", "calls": [call(first, second[1]), call(second, said("It is 48."))]}


class Model:
    """Answers with what a rule says of the last message, and keeps what it was asked."""

    def __init__(self, *rules: tuple[str, Json]) -> None:
        self.rules = rules
        self.asked: list[Json] = []

    def __call__(self, request: Any) -> Json:
        self.asked.append(request)
        last = module.text_of(request["messages"][-1])
        return next(output for wanted, output in self.rules if wanted in last)


def test_a_changed_tool_output_asks_only_what_comes_after_it() -> None:
    model = Model(("52", said("It is 52.")))
    found = replay(react(), {"call": 1, "message": 2, "text": '{"price": 52}'}, model)
    assert (found.decision, found.calls) == ("It is 52.", ("record", "live"))
    assert [message["content"] for message in model.asked[0]["messages"]] == ["Price of the lamp?", "", '{"price": 52}']
    assert model.asked[0]["settings"] == {"temperature": 0}


def test_a_changed_prompt_runs_the_loop_anew_with_pure_tools() -> None:
    model = Model(("vase", asks("c2", "lookup", item="vase")), ("61", said("It is 61.")))
    edit = {"call": 0, "message": 0, "text": "Price of the vase?"}
    found = replay(react(), edit, model, {"lookup": lambda item: lookup({"vase": 61}, item)})
    assert (found.decision, found.calls) == ("It is 61.", ("live", "live"))
    assert found.messages[-2] == gave("c2", '{"price": 61}')


def test_a_tool_that_is_not_pure_answers_from_the_record_or_stops() -> None:
    again = Model(("Cost", asks("c9", "lookup", item="lamp")), ("48", said("48 it is.")))
    found = replay(react(), {"call": 0, "message": 0, "text": "Cost of the lamp?"}, again)
    assert found.decision == "48 it is." and found.messages[-2] == gave("c9", '{"price": 48}')
    other = Model(("vase", asks("c2", "lookup", item="vase")))
    with pytest.raises(Stopped, match="not marked pure and was not recorded with .*vase"):
        replay(react(), {"call": 0, "message": 0, "text": "Price of the vase?"}, other)


def test_an_edited_output_is_taken_as_said() -> None:
    model = Model(("61", said("It is 61.")))
    found = replay(react(), {"call": 0, "output": asks("c1", "lookup", item="vase")}, model,
                   {"lookup": lambda item: lookup({"vase": 61}, item)})  # fmt: skip
    assert (found.decision, found.calls) == ("It is 61.", ("edit", "live"))


def test_without_a_change_nothing_is_asked() -> None:
    found = replay(react(), {"call": 0, "message": 0, "text": "Price of the lamp?"}, Model())
    assert (found.decision, found.calls) == ("It is 48.", ("record", "record"))


def test_an_earlier_message_with_the_same_words_stays() -> None:
    turns = [user("Say it again."), said("Hello there."), user("Say it again.")]
    recording = {"run": "r", "calls": [call(turns[:1], turns[1]), call(turns, said("Hello there."))]}
    model = Model(("louder", said("HELLO THERE.")))
    found = replay(recording, {"call": 1, "message": 2, "text": "Say it louder."}, model)
    assert found.decision == "HELLO THERE."
    assert model.asked[0]["messages"] == [*turns[:2], user("Say it louder.")]


def tree() -> Json:
    """Two options, two scores, the better one answers."""
    rows = (("a", 42, 9), ("b", 17, 2))
    calls = [call([user(f"Propose option {name}.")], said(f"Option {name}: {box}")) for name, box, _ in rows]
    calls += [call([user(f"Score Option {name}: {box}.")], said(f"Score: {score}")) for name, box, score in rows]
    calls.append(call([user("Chosen Option a: 42. Answer.")], said("The box is 42.")))
    candidates = [{"text": f"Option {n}: {box}", "score": s, "scored_by": by}
                  for n, box, s, by in (("a", 42, 9, 2), ("b", 17, 2, 3))]  # fmt: skip
    selection = {"selector": "argmax", "candidates": candidates, "chosen": 0, "kept": [], "after": 3}
    return {"run": "t", "calls": calls, "selections": [selection]}


def test_a_changed_score_moves_the_choice_and_the_answer() -> None:
    model = Model(("Option b: 17. Answer", said("The box is 17.")))
    found = replay(tree(), {"selection": 0, "candidate": 1, "score": 10}, model)
    assert (found.decision, found.chosen) == ("The box is 17.", (1,))
    assert found.calls == ("record", "record", "record", "record", "live")
    same = replay(tree(), {"selection": 0, "candidate": 1, "score": 3}, Model())
    assert (same.decision, same.chosen) == ("The box is 42.", (0,))


def test_a_changed_branch_is_scored_and_chosen_anew() -> None:
    model = Model(("Score Option b: 77", said("Score: 12")), ("Option b: 77. Answer", said("The box is 77.")))
    found = replay(tree(), {"call": 1, "output": said("Option b: 77")}, model)
    assert (found.decision, found.chosen) == ("The box is 77.", (1,))
    assert found.calls == ("record", "edit", "record", "live", "live")


def test_an_edit_that_names_nothing_is_refused_in_words() -> None:
    for edit, said_so in (
        ({"call": 7, "message": 0, "text": ""}, "2 calls, not one numbered 7"),
        ({"call": 1, "message": 9, "text": ""}, "3 messages, not one numbered 9"),
        ({"selection": 0, "candidate": 0, "score": 1}, "0 selections"),
    ):
        with pytest.raises(Stopped, match=said_so):
            replay(react(), edit, Model())


def test_a_loop_without_end_stops() -> None:
    model = Model(("", asks("c2", "lookup", item="lamp")))
    with pytest.raises(Stopped, match="24 turns"):
        replay(react(), {"call": 0, "message": 0, "text": "Price of the lamp, please?"}, model)


def test_live_calls_are_marked_as_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        return httpx2.Response(200, json={"choices": [{"message": {"role": "assistant", "content": "52", "x": None}}]})

    client = httpx2.Client
    monkeypatch.setattr(module.httpx2, "Client", lambda **_: client(transport=httpx2.MockTransport(answer)))
    ask = chat("http://proxy.test/v1/", "r", 7, headers={"x-audit-key": "k"})
    assert ask({"model": "m", "messages": [user("?")], "tools": [], "settings": {"temperature": 0}}) == said("52")
    (request,) = seen
    assert str(request.url) == "http://proxy.test/v1/chat/completions"
    assert (request.headers["x-audit-purpose"], request.headers["x-audit-run"]) == ("counterfactual", "r")
    body = json.loads(request.content)
    assert body["seed"] == 7 and "tools" not in body
