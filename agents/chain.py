"""Chain of thought: one call that writes its steps and then the answer (Wei et al. 2022, arXiv 2201.11903)."""

from collections.abc import Sequence

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel


def chain(model: BaseChatModel, system: str, question: str, callbacks: Sequence[BaseCallbackHandler] = ()) -> str:
    """Steps and answer in one text."""
    reply = model.invoke([("system", system), ("user", question)], {"callbacks": list(callbacks)})
    return str(reply.content)
