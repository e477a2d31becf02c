"""The chat model the reference agents talk to: any OpenAI-compatible address, with the headers that join a run."""

from dataclasses import dataclass

from langchain_openai import ChatOpenAI


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a model is reached; `api_key` is whatever the address wants."""

    base_url: str
    model: str
    api_key: str = "none"

    def chat(self, run: str, traceparent: str | None = None, *, streaming: bool = False) -> ChatOpenAI:
        """A client whose every call carries the run's id; greedy, so that it can be replayed."""
        headers = {"x-audit-run": run}
        if traceparent is not None:
            headers["traceparent"] = traceparent
        client = ChatOpenAI(
            base_url=self.base_url, api_key=self.api_key, model=self.model, temperature=0, max_retries=0,  # type: ignore[arg-type]
            default_headers=headers, max_tokens=96,  # type: ignore[call-arg]
        )  # fmt: skip
        # An explicit False would also switch off token streaming in agent.stream, so it is only ever set to True.
        return client.model_copy(update={"streaming": True}) if streaming else client
