"""Thinking that stood in tags inside the content is rendered where it stood."""

from auditor.evidence.rendering import ChatForm
from auditor.records.messages import Message, Reasoning, Text

SAID = Message(
    role="assistant",
    parts=(
        Reasoning(text="why", extra={"inline": ["<think>\n", "\n</think>\n\n"]}), Text(text="yes"), Text(text="and"),
    ),
)  # fmt: skip


def test_the_content_is_what_it_was() -> None:
    for output in (True, False):
        form = ChatForm([("m", SAID)], output=output)
        values = [leaf.value for leaf in form.leaves]
        assert form.chat(values) == [{"role": "assistant", "content": "<think>\nwhy\n</think>\n\nyes and"}]
        assert form.chat(["edited", *values[1:]])[0]["content"] == "<think>\nedited\n</think>\n\nyes and"
        assert [leaf.part for leaf in form.leaves] == [0, 1, 2]


def test_empty_or_unfinished_thinking_is_kept() -> None:
    empty = Message(role="assistant", parts=(Text(text="yes", extra={"inline": ["<think></think>", ""]}),))
    cut = Message(role="assistant", parts=(Reasoning(text="half", extra={"inline": ["<think>", ""]}),))
    for message, content in ((empty, "<think></think>yes"), (cut, "<think>half")):
        form = ChatForm([("m", message)], output=True)
        assert form.chat([leaf.value for leaf in form.leaves]) == [{"role": "assistant", "content": content}]


def test_thinking_of_its_own_field_stays_there() -> None:
    message = Message(role="assistant", parts=(Reasoning(text="why"), Text(text="yes")))
    form = ChatForm([("m", message)], output=True)
    assert form.chat(["why", "yes"]) == [{"role": "assistant", "reasoning_content": "why", "content": "yes"}]
