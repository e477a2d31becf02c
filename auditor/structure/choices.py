"""Which messages of an imported run are choices of one call, as its facts say (records.exchange.CHOICES_FACT)."""

from collections.abc import Mapping, Sequence

from auditor.records.exchange import CHOICES_FACT
from auditor.records.messages import Message


def choices(facts: Mapping[str, object], messages: Sequence[Message], gaps: list[str]) -> Mapping[int, int]:
    """Place of the first choice of a call -> how many there are. A range that cannot be is a gap."""
    found: dict[int, int] = {}
    ranges = facts.get(CHOICES_FACT)
    free = 0
    for one in ranges if isinstance(ranges, list) else ():
        first, count = _pair(one)
        last = first + count
        if count < 1 or not free <= first < last <= len(messages) or not _answers(messages[first:last]):
            gaps.append("what a transcript says of its choices does not fit its messages")
            continue
        found[first] = count
        free = last
    return found


def _pair(value: object) -> tuple[int, int]:
    """Two whole numbers; (-1, 0) for anything else."""
    if isinstance(value, list) and len(value) == 2 and all(type(one) is int for one in value):
        return value[0], value[1]
    return -1, 0


def _answers(messages: Sequence[Message]) -> bool:
    return all(message.role == "assistant" for message in messages)
