"""The parts of a message, in every provider's shape, read into a draft.

Whatever is met is shown as far as it is understood; nothing here raises on content it does not know.
"""

from __future__ import annotations

import json
from typing import Any

from askonce._core.blobs import Blob
from askonce._core.turns import Draft

_WRAPPERS = ("text", "thinking", "reasoningText", "content", "summary", "parts", "json", "result")
_ARGUMENTS = ("arguments", "args", "input", "parameters")
_CALLS = ("tool_use", "server_tool_use", "mcp_tool_use", "function_call", "custom_tool_call", "mcp_call")
_DEEP = 24  # levels of nesting that are followed; no provider has as many
_LONG = 120  # characters of a URL that are shown

_TEXTS = ("text", "input_text", "output_text", "summary_text", "reasoning_text", "refusal")
_THOUGHTS = ("thinking", "reasoning", "reasoningContent", "reasoning_content")
_RESULTS = ("tool_result", "toolResult", "functionResponse", "function_response", "function_call_output")
_WHAT = ("image", "audio", "video", "document", "file")

# Where providers put the content, the address and the name of an attachment.
_SLOTS = {
    name: slot
    for slot, names in {
        "data": ("data", "bytes", "file_data", "image_base64", "b64_json", "bytesBase64Encoded"),
        "url": (
            "url",
            "uri",
            "image_url",
            "audio_url",
            "video_url",
            "document_url",
            "file_url",
            "fileUri",
            "file_uri",
        ),
        "id": ("file_id", "fileId"),
        "name": ("filename", "title", "name", "displayName"),
        "type": ("media_type", "mimeType", "mime_type", "format"),
    }.items()
    for name in names
}


def flat(value: Any, depth: int = 0) -> str:
    """Return the text in a value, however it is wrapped."""
    if isinstance(value, str):
        return value
    if depth < _DEEP:
        if isinstance(value, list):
            return "\n".join(text for one in value if (text := flat(one, depth + 1)))
        if isinstance(value, dict):
            for name in _WRAPPERS:
                if text := flat(value.get(name), depth + 1):
                    return text
    return ""


def read_content(draft: Draft, content: Any) -> None:
    """Read a message's content: a string, a part, or parts."""
    for part in content if isinstance(content, list) else (content,):
        if isinstance(part, dict):
            read_part(draft, part)
        else:
            draft.say(part)


def read_part(draft: Draft, part: dict[str, Any]) -> None:
    """Read one part: text, thought, tool call, tool result or attachment."""
    kind = part.get("type")
    kind = kind if isinstance(kind, str) else ""
    if kind in _THOUGHTS or part.get("thought") is True:
        draft.think(flat([part.get("summary"), part.get("thinking"), part.get("text"), part.get("content")]))
    elif "reasoningContent" in part:  # Bedrock
        draft.think(flat(part["reasoningContent"]))
    elif kind in _TEXTS or (not kind and isinstance(part.get("text"), str)):
        draft.say(part.get("refusal") if kind == "refusal" else part.get("text"))
    elif (call := _call_in(part, kind)) is not None:
        place = call.get("id") or call.get("call_id") or call.get("toolUseId") or id(part)
        draft.call(place, call.get("name"), _first(call, _ARGUMENTS))
    elif result_in(part) is not None:
        draft.say(result_text(part))
    elif kind == "document" and isinstance(part.get("document"), dict) and "data" in part["document"]:
        draft.say(_shown(part["document"]["data"]))  # Cohere: a tool's result, or a text to cite
    elif "executableCode" in part:  # Gemini
        draft.say(_mapping(part["executableCode"]).get("code"))
    elif "codeExecutionResult" in part:
        draft.say(_mapping(part["codeExecutionResult"]).get("output"))
    elif kind == "redacted_thinking":
        draft.note("thinking, redacted")
    elif attachment := _attachment(part, kind):
        draft.note(attachment)
    elif kind and kind not in ("cachePoint", "signature"):
        draft.note(kind.replace("_", " "))


def read_message(draft: Draft, message: dict[str, Any]) -> None:
    """Read a message, or what one event of a stream adds to it."""
    for name in ("reasoning_content", "reasoning", "thinking", "tool_plan"):
        draft.think(message.get(name))
    for name in ("content", "parts", "refusal"):
        read_content(draft, message.get(name))
    calls = message.get("tool_calls")
    for position, call in enumerate(calls if isinstance(calls, list) else (calls,)):
        if isinstance(call, dict):
            function = _mapping(call.get("function") or call.get("custom") or call)
            draft.call(call.get("index", position), function.get("name"), _first(function, _ARGUMENTS))
    function = _mapping(message.get("function_call"))
    if function:
        draft.call("function", function.get("name"), function.get("arguments"))
    images = message.get("images")
    for image in images if isinstance(images, list) else ():
        if isinstance(image, str):
            draft.note(Blob.of_base64(image).note("image"))
        elif isinstance(image, dict):
            read_part(draft, image)


def result_in(part: Any) -> Any:
    """Return what a tool gave back, where a part is that; else None."""
    if isinstance(part, dict):
        if part.get("type") in _RESULTS:
            return part
        return next((part[name] for name in _RESULTS if part.get(name) is not None), None)
    return None


def result_text(part: Any) -> str:
    """Write what a tool gave back."""
    result = result_in(part)
    if not isinstance(result, dict):
        return _shown(result)
    content = _first(result, ("content", "response", "output"))
    return flat(content) or _shown(content)


def _call_in(part: dict[str, Any], kind: str) -> dict[str, Any] | None:
    if kind in _CALLS:
        return part
    for name in ("toolUse", "functionCall", "function_call"):
        if isinstance(part.get(name), dict):
            return dict(part[name])
    return None


def _attachment(part: dict[str, Any], kind: str) -> str:
    found: dict[str, str] = {}
    _gather(part, found, 0)
    said = found.get("type", "")
    names = f"{said} {kind} {' '.join(part)}".lower()
    what = next((one for one in _WHAT if one in names), "file")
    if data := found.get("data"):
        note = Blob.of_base64(data, said).note(what)
    elif url := found.get("url"):
        if url.startswith("data:"):
            note = Blob.of_base64(url, said).note(what)
        else:
            note = f"{what}: {url if len(url) <= _LONG else url[:_LONG] + '…'}"
    elif "id" in found and kind:
        note = f"{what}: {found['id']}"
    else:
        return ""
    return f"{note}, {found['name']}" if "name" in found else note


def _gather(value: dict[str, Any], found: dict[str, str], depth: int) -> None:
    for name, one in value.items():
        slot = _SLOTS.get(name)
        if isinstance(one, str) and slot:
            found.setdefault(slot, one)
        elif isinstance(one, dict) and depth < 4:
            _gather(one, found, depth + 1)
        elif isinstance(one, str) and name in ("input_image", "input_file"):
            found.setdefault("url", one)


def _first(value: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((value[name] for name in names if name in value), "")


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
