"""CrewAI: one agent with one task."""

from crewai import LLM, Agent, Crew, Task
from crewai.tools import tool
from jobs import KEY, MODEL, SYSTEM, Job, run


def loop(job: Job) -> str:
    @tool("look_up")
    def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    model = LLM(model=f"openai/{MODEL}", base_url=f"{job.base}/v1", api_key=KEY)
    agent = Agent(role="seller", goal="sell", backstory=SYSTEM, tools=[look_up], llm=model, verbose=False)
    task = Task(description=job.question, expected_output="the price", agent=agent)
    return str(Crew(agents=[agent], tasks=[task], verbose=False).kickoff())


run({"chat": loop})
