"""OpenAI's Responses API: plain answers and the whole sequence of events."""

from __future__ import annotations

import json
from typing import Any

from .content import EPOCH, asked, pieces, split, tokens, value_for
from .exchange import Answer, Ask, Json, event, reply, stream

_ECHOED: Json = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "reasoning": {"effort": None, "summary": None},
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


def _tool(ask: Ask) -> Json | None:
    functions = [tool for tool in ask.fields.get("tools") or () if tool.get("type") == "function"]
    given = ask.fields.get("input")
    returned = isinstance(given, list) and given and given[-1].get("type") == "function_call_output"
    if not functions or returned or ask.fields.get("tool_choice") == "none":
        return None
    return dict(functions[0])


def _says(ask: Ask) -> list[str]:
    wanted = (ask.fields.get("text") or {}).get("format") or {}
    if wanted.get("type") == "json_schema":
        return split(json.dumps(value_for(wanted["schema"], ask.number)))
    return pieces(ask, ask.fields.get("input"))


def _response(ask: Ask, status: str, output: list[Json], said: str = "") -> Json:
    response: Json = {
        "id": f"resp_{ask.number:06}",
        "object": "response",
        "created_at": EPOCH + ask.number,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": ask.model,
        "output": output,
        "service_tier": "default",
        "usage": None,
    }
    response |= {name: ask.fields.get(name, default) for name, default in _ECHOED.items()}
    if status == "completed":
        prompt, answer = tokens(asked(ask.fields.get("input"))), tokens(said)
        response["usage"] = {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answer,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + answer,
        }
    return response


def create(ask: Ask) -> Answer:
    """Answer /responses."""
    tool = _tool(ask)
    if tool:
        said = split(json.dumps(value_for(tool.get("parameters") or {"type": "object"}, ask.number)))
        item: Json = {
            "id": f"fc_{ask.number:06}",
            "type": "function_call",
            "status": "completed",
            "arguments": "".join(said),
            "call_id": f"call_{ask.number:06}",
            "name": tool["name"],
        }
        blank = item | {"status": "in_progress", "arguments": ""}
    else:
        said = _says(ask)
        item = {
            "id": f"msg_{ask.number:06}",
            "type": "message",
            "status": "completed",
            "content": [_part("".join(said))],
            "role": "assistant",
        }
        blank = item | {"status": "in_progress", "content": []}
    done = _response(ask, "completed", [item], "".join(said))
    if not ask.fields.get("stream"):
        return reply(done)
    begun: Json = {"response": _response(ask, "in_progress", [])}
    events = [
        ("response.created", begun),
        ("response.in_progress", begun),
        ("response.output_item.added", {"output_index": 0, "item": blank}),
        *(_call_events(item, said) if tool else _text_events(item, said)),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        ("response.completed", {"response": done}),
    ]
    return stream(
        [event({"type": name, "sequence_number": i} | fields, name) for i, (name, fields) in enumerate(events)],
        event(
            {
                "type": "error",
                "code": "server_error",
                "message": "The server had an error while processing your request",
                "param": None,
                "sequence_number": len(events),
            },
            "error",
        ),
    )


def _part(text: str) -> Json:
    return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}


def _text_events(item: Json, said: list[str]) -> list[tuple[str, Json]]:
    place: Json = {"item_id": item["id"], "output_index": 0, "content_index": 0}
    whole = "".join(said)
    return [
        ("response.content_part.added", place | {"part": _part("")}),
        *(("response.output_text.delta", place | {"delta": piece, "logprobs": []}) for piece in said),
        ("response.output_text.done", place | {"text": whole, "logprobs": []}),
        ("response.content_part.done", place | {"part": _part(whole)}),
    ]


def _call_events(item: Json, said: list[str]) -> list[tuple[str, Json]]:
    place: dict[str, Any] = {"item_id": item["id"], "output_index": 0}
    whole: Json = {"arguments": item["arguments"], "name": item["name"]}
    return [
        *(("response.function_call_arguments.delta", place | {"delta": piece}) for piece in said),
        ("response.function_call_arguments.done", place | whole),
    ]


ROUTES = (("POST", "/responses", create),)
