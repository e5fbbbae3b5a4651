"""What DSPy can be asked of OpenAI, over sockets of its own (its vendored lm15)."""

from __future__ import annotations

import os
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else DSPy and litellm fetch a list of prices

import dspy

from . import secrets
from .calls import call, shown

QUESTION = "What is a café?"


def model(url: str, **more: Any) -> dspy.LM:
    """Return the model that is asked: one known to take schemas, without DSPy's own cache, which is above ours."""
    return dspy.LM("openai/gpt-4o-mini", api_base=f"{url}/v1", api_key=secrets.OPENAI_KEY, cache=False, **more)


@call("dspy", "chat", "plain", "sync")
def chat(url: str) -> Any:
    return shown(model(url)(QUESTION))


@call("dspy", "chat", "plain", "async")
async def chat_async(url: str) -> Any:
    return shown(await model(url).acall(QUESTION))


@call("dspy", "predict", "plain", "sync")
def predict(url: str) -> Any:
    with dspy.context(lm=model(url), adapter=dspy.JSONAdapter()):
        return shown(dspy.Predict("question -> answer")(question=QUESTION).answer)


@call("dspy", "predict", "stream", "async")
async def predict_stream(url: str) -> Any:
    program = dspy.streamify(
        dspy.Predict("question -> answer"),
        stream_listeners=[dspy.streaming.StreamListener(signature_field_name="answer")],
    )
    with dspy.context(lm=model(url), adapter=dspy.JSONAdapter()):
        pieces = [piece async for piece in program(question=QUESTION)]
    assert isinstance(pieces[-1], dspy.Prediction)
    return shown([pieces[-1].answer, len(pieces)])
