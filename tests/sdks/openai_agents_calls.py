"""What openai-agents can be asked: runs of an agent with a tool, over Responses and over chat."""

from __future__ import annotations

from typing import Any

from agents import (
    Agent,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
from openai import AsyncOpenAI

from . import secrets
from .calls import call, shown

QUESTION = "What is a café?"
set_tracing_disabled(True)  # traces go to OpenAI itself


@function_tool
def weather(city: str) -> str:
    """Tell the weather."""
    return f"Rain in {city}"


def agent(url: str, model: Any = OpenAIResponsesModel, tools: Any = ()) -> Agent[Any]:
    """Return an agent that asks the provider at this address."""
    client = AsyncOpenAI(base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY)
    return Agent(name="Waiter", model=model("gpt-local", openai_client=client), tools=list(tools))


@call("openai_agents", "responses", "plain", "sync")
def responses(url: str) -> Any:
    return shown(Runner.run_sync(agent(url), QUESTION).final_output)


@call("openai_agents", "responses", "plain", "async")
async def responses_async(url: str) -> Any:
    return shown((await Runner.run(agent(url), QUESTION)).final_output)


@call("openai_agents", "responses", "stream", "async")
async def responses_stream(url: str) -> Any:
    run = Runner.run_streamed(agent(url), QUESTION)
    kinds = [event.data.type async for event in run.stream_events() if event.type == "raw_response_event"]
    assert "response.completed" == kinds[-1]
    return shown({"kinds": kinds, "output": run.final_output})


@call("openai_agents", "chat", "tools", "async")
async def chat_tools(url: str) -> Any:
    """Ask twice: the second time with what the tool said."""
    run = await Runner.run(agent(url, OpenAIChatCompletionsModel, [weather]), QUESTION)
    assert len(run.raw_responses) == 2
    return shown({"output": run.final_output, "ids": [one.output[0].type for one in run.raw_responses]})
