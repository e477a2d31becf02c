"""Words by which a model names its source or says it acted. English only; a miss makes a claim `available`, no more."""

import re
from collections.abc import Mapping, Sequence

_CITES = re.compile(
    r"\b(?:according to|based on|as (?:given|shown|returned|reported) by|from) (?:the |my |our )?"
    r"(?P<source>[\w-]{1,40}(?: [\w-]{1,40})?)"
    r"|(?<![\w-])(?:the )?(?P<subject>[\w-]{1,40})(?: tool| search| results?| output)? "
    r"(?:says|said|shows|showed|returned|gives|gave|reports|reported|tells|told)\b",
    re.IGNORECASE,
)
_GENERIC = frozenset(
    {"tool", "tools", "search", "lookup", "result", "results", "output", "database", "system", "record"}
)
_PROMPTS = frozenset({"question", "prompt", "task", "user", "you", "problem"})

DONE: Mapping[str, tuple[str, ...]] = {
    "cancelled": ("cancel",), "canceled": ("cancel",), "booked": ("book", "reserve", "create"),
    "reserved": ("book", "reserve", "create"), "updated": ("update", "modify", "change", "edit", "set"),
    "changed": ("update", "modify", "change", "edit", "set"), "modified": ("update", "modify", "change", "edit", "set"),
    "upgraded": ("update", "upgrade", "modify", "change"),
    "refunded": ("refund", "cancel", "return", "send", "update", "modify", "change"),
    "transferred": ("transfer",), "deleted": ("delete", "remove"), "removed": ("delete", "remove", "update"),
    "sent": ("send", "transfer", "email", "mail"), "issued": ("issue", "send", "create", "add", "refund"),
    "created": ("create", "add", "book", "open", "new", "make"),
    "added": ("add", "update", "create", "insert", "append"),
}  # fmt: skip
"""A word that says an action was done → beginnings of tool-name words that could have done it."""

_CLAIMED = re.compile(
    rf"\b(?:I(?:'ve| have)(?: (?:now|also|just|already))?(?: successfully)? (?P<own>{'|'.join(DONE)})"
    rf"|(?:has|have) been (?:now )?(?:successfully )?(?P<passive>{'|'.join(DONE)})(?! by\b)"
    rf"|(?<=\bsuccessfully )(?P<bare>{'|'.join(DONE)}))\b",
    re.IGNORECASE,
)


_CONDITION = re.compile(r"\b(?:if|once|when|after|until|unless|whether|before|that)\b[^.!?\n]*\Z", re.IGNORECASE)
"""Makes what follows a condition or a quotation, no claim."""
_BEFORE = 80


def cited(sentence: str, tools: Sequence[str]) -> tuple[frozenset[str], str] | None:
    """Tool names a sentence cites as its source, with the cue; None when it cites no tool.

    A word of a tool's name cites that tool; a general word (tool, search, result…) cites all of them.
    """
    for hit in _CITES.finditer(sentence):
        words = set((hit["source"] or hit["subject"] or "").casefold().replace("-", " ").split())
        named = frozenset(
            tool for tool in tools if words & set(tool.casefold().replace("_", " ").replace("-", " ").split())
        )
        cue = "_".join(hit[0].casefold().split()[:2])
        if named:
            return named, cue
        if words & _GENERIC and tools:
            return frozenset(tools), cue
    return None


def cites_prompt(sentence: str) -> bool:
    """The sentence names the question or the user as its source."""
    return any(
        set((hit["source"] or hit["subject"] or "").casefold().split()) & _PROMPTS for hit in _CITES.finditer(sentence)
    )


def claimed_actions(text: str) -> list[tuple[str, int, int]]:
    """Words that say something was done, with their character ranges."""
    found = []
    for hit in _CLAIMED.finditer(text):
        group = next(name for name in ("own", "passive", "bare") if hit[name])
        if not _CONDITION.search(text, max(0, hit.start() - _BEFORE), hit.start()):
            found.append((hit[group].casefold(), *hit.span(group)))
    return found


def could_do(tool: str, word: str) -> bool:
    """Whether a tool's name suggests that it does what `word` says was done."""
    pieces = tool.casefold().replace("-", "_").split("_")
    return any(piece.startswith(stem) for piece in pieces for stem in DONE[word])
