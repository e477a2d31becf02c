"""DSPy: ReAct, which writes its thoughts and tool calls as marked fields of a text.

It sends each call as a new question and never repeats an answer, so that nothing but a header can tie its calls.
"""

import dspy
from jobs import KEY, MODEL, Job, run


def loop(job: Job) -> str:
    def look_up(item: str) -> str:
        """Price of an item."""
        return job.look_up(item)

    model = dspy.LM(f"openai/{MODEL}", api_base=f"{job.base}/v1", api_key=KEY, cache=False, num_retries=0,
                    extra_headers={"x-audit-run": f"dspy {job.item}"})  # fmt: skip
    with dspy.context(lm=model):
        return str(dspy.ReAct("question -> answer", tools=[look_up], max_iters=3)(question=job.question).answer)


run({"chat": loop})
