"""What was answered, as turns. A whole answer is read like a stream of one event."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from askonce._core.blobs import Blob
from askonce._core.parts import flat, read_content, read_message, read_part
from askonce._core.turns import Draft, Turn

_USUAL = frozenset(
    """
    stop end_turn stop_sequence tool_use tool_calls tool_call function_call complete completed eos eos_token
    finish_reason_unspecified load unload
    """.split()
)
_COHERE = frozenset({"content-start", "content-delta", "tool-plan-delta", "tool-call-start", "tool-call-delta"})
_TEXTS = ("content", "text", "generated_text", "generation", "completion", "output_text", "translation")


def answered_events(events: Iterable[Any]) -> list[Turn]:
    """Read the events of a stream, or the one value that a whole answer is."""
    reply = _Reply()
    for event in events:
        if isinstance(event, dict):
            reply.hear(event)
    return reply.turns()


class _Reply:
    def __init__(self) -> None:
        self._drafts: dict[int, Draft] = {}
        self._vectors: list[int] = []
        self._sound: list[str] = []

    def turns(self) -> list[Turn]:
        first = self._draft(0)
        if self._vectors:
            count, sizes = len(self._vectors), sorted(set(self._vectors))
            numbers = " or ".join(f"{size:,}" for size in sizes)
            first.note(f"{count} embedding{'' if count == 1 else 's'} of {numbers} numbers")
        if self._sound:
            first.note(_joined_base64(self._sound).note("audio"))
        drafts = [draft for _, draft in sorted(self._drafts.items()) if not draft.is_empty]
        return [draft.turn(i if len(drafts) > 1 else 0) for i, draft in enumerate(drafts, 1)]

    def _draft(self, index: Any) -> Draft:
        return self._drafts.setdefault(index if isinstance(index, int) else 0, Draft("assistant"))

    def hear(self, event: dict[str, Any]) -> None:
        """Take one more event into account."""
        kind = event.get("type") or event.get("event_type")
        if not isinstance(kind, str):
            kind = ""
        if kind.startswith("response."):
            self._hear_response(kind, event)
        elif _is_list(event, "choices"):
            self._hear_choices(event["choices"])
        elif _is_list(event, "candidates"):
            self._hear_candidates(event["candidates"])
        elif kind in ("content_block_start", "contentBlockStart"):
            self._hear_block_start(event)
        elif kind in ("content_block_delta", "contentBlockDelta"):
            self._hear_block_delta(event)
        elif kind in ("message_delta", "message-end", "messageStop"):
            delta = event.get("delta")
            self._ended(0, [event.get("stopReason"), *(_values(delta, "stop_reason", "finish_reason"))])
        elif kind in _COHERE:
            self._hear_cohere(event)
        elif kind in ("speech.audio.delta", "transcript.text.delta", "transcript.text.done"):
            self._hear_sound(kind, event)
        elif kind in ("message_start", "ping", "stream-end", "image_generation.partial_image"):
            pass  # what they hold comes in other events too
        else:
            self._hear_whole(event)

    # --- OpenAI and those who speak its format; Gemini ------------------------------------------------------

    def _hear_choices(self, choices: list[Any]) -> None:
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index", 0)
            draft = self._draft(index)
            message = choice.get("delta") or choice.get("message")
            if isinstance(message, dict):
                read_message(draft, message)
                audio = message.get("audio")
                if isinstance(audio, dict):
                    draft.say(audio.get("transcript"))
                    self._sound += [data for data in (audio.get("data"),) if isinstance(data, str)]
            draft.say(choice.get("text"))
            self._ended(index, [choice.get("finish_reason")])

    def _hear_candidates(self, candidates: list[Any]) -> None:
        for candidate in candidates:
            if isinstance(candidate, dict):
                index = candidate.get("index", 0)
                content = candidate.get("content")
                if isinstance(content, dict):
                    read_message(self._draft(index), content)
                self._ended(index, [candidate.get("finishReason")])

    # --- OpenAI Responses -----------------------------------------------------------------------------------

    def _hear_response(self, kind: str, event: dict[str, Any]) -> None:
        draft = self._draft(0)
        delta = event.get("delta")
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            draft.say(delta)
        elif kind.startswith("response.reasoning") and kind.endswith(".delta"):
            draft.think(delta)
        elif kind == "response.output_item.added":
            item = event.get("item")
            if isinstance(item, dict) and item.get("name"):
                draft.call(event.get("output_index"), item["name"], "")
        elif kind.endswith("_arguments.delta") or kind == "response.custom_tool_call_input.delta":
            draft.call(event.get("output_index"), "", delta)
        elif kind in ("response.completed", "response.incomplete"):
            response = event.get("response")
            if isinstance(response, dict) and response.get("output"):
                draft.forget()
                self._hear_output(response)

    def _hear_output(self, response: dict[str, Any]) -> None:
        draft = self._draft(0)
        output = response.get("output")
        for item in output if isinstance(output, list) else (output,):
            if isinstance(item, dict) and item.get("type") == "message":
                read_content(draft, item.get("content"))
            elif isinstance(item, dict) and item.get("type") == "image_generation_call":
                draft.note(_picture({"b64_json": item.get("result")}))
            else:
                read_content(draft, item)
        self._ended(0, _values(response.get("incomplete_details"), "reason"))

    # --- Anthropic, Bedrock's converse, Cohere v2 -----------------------------------------------------------

    def _hear_block_start(self, event: dict[str, Any]) -> None:
        draft = self._draft(0)
        block = event.get("content_block")
        start = event.get("start")
        if isinstance(block, dict):
            if isinstance(block.get("name"), str):
                draft.call(event.get("index"), block["name"], block.get("input"))
            else:
                read_part(draft, block)
        elif isinstance(start, dict) and isinstance(start.get("toolUse"), dict):
            draft.call(event.get("contentBlockIndex"), start["toolUse"].get("name"), "")

    def _hear_block_delta(self, event: dict[str, Any]) -> None:
        draft = self._draft(0)
        delta = event.get("delta")
        if not isinstance(delta, dict):
            return
        draft.say(delta.get("text"))
        draft.think(delta.get("thinking"))
        draft.think(flat(delta.get("reasoningContent")))
        use = delta.get("toolUse")
        piece = delta.get("partial_json") or (use.get("input") if isinstance(use, dict) else None)
        if piece:
            draft.call(event.get("index", event.get("contentBlockIndex")), "", piece)

    def _hear_cohere(self, event: dict[str, Any]) -> None:
        message = (_values(event.get("delta"), "message") or [None])[0]
        if not isinstance(message, dict):
            return
        calls = message.get("tool_calls")
        if isinstance(calls, dict):
            message = {**message, "tool_calls": {**calls, "index": event.get("index")}}
        content = message.get("content")
        if isinstance(content, dict) and isinstance(content.get("thinking"), str):
            message = {"thinking": content["thinking"]}
        read_message(self._draft(0), message)

    # --- Sound, pictures, numbers, and answers that are one value -------------------------------------------

    def _hear_sound(self, kind: str, event: dict[str, Any]) -> None:
        draft = self._draft(0)
        if kind == "speech.audio.delta":
            self._sound += [data for data in (event.get("audio"),) if isinstance(data, str)]
        elif kind == "transcript.text.done":
            draft.forget()
            draft.say(event.get("text"))
        else:
            draft.say(event.get("delta"))

    def _hear_whole(self, event: dict[str, Any]) -> None:
        draft = self._draft(0)
        for message in (event.get("message"), *_values(event.get("output"), "message")):
            if isinstance(message, dict):  # Ollama, Cohere v2, Bedrock
                read_message(draft, message)
        for name in _TEXTS:
            read_content(draft, event.get(name))  # Anthropic; Cohere v1, transcriptions, and many more
        if isinstance(event.get("response"), str):  # Ollama's generate
            draft.think(event.get("thinking"))
            draft.say(event["response"])
        if event.get("object") == "response" or isinstance(event.get("output"), list | str):
            self._hear_output(event)
        self._hear_results(event)
        self._hear_vectors(event)
        draft.note(_picture(event))
        for name in ("data", "images", "predictions", "artifacts"):
            for one in event[name] if _is_list(event, name) else ():
                draft.note(_picture(one if isinstance(one, dict) else {"base64": one}))
        reasons = _values(event, "stop_reason", "finish_reason", "stopReason", "done_reason")
        self._ended(0, [*reasons, *_values(event.get("promptFeedback"), "blockReason")])

    def _hear_results(self, event: dict[str, Any]) -> None:
        lines = []
        for one in (*_list(event, "results"), *_list(event, "data"), *_list(event, "pages")):
            if not isinstance(one, dict):
                continue
            score = one.get("relevance_score", one.get("score", one.get("logit")))
            if isinstance(one.get("flagged"), bool) or isinstance(one.get("categories"), dict):
                lines.append(_verdict(one))
            elif score is not None:
                lines.append(f"{one.get('index')}. {score}")
            else:
                lines.append(flat([one.get("markdown"), one.get("outputText")]))
        for one in (*_list(event, "generations"), *_list(event, "outputs")):
            lines.append(flat(one))
        tokens = next((event[n] for n in ("input_tokens", "totalTokens", "inputTokens") if n in event), None)
        if isinstance(tokens, int):
            lines.append(f"{tokens:,} tokens")
        self._draft(0).say("\n".join(line for line in lines if line))

    def _hear_vectors(self, event: dict[str, Any]) -> None:
        given = event.get("embeddings")
        if isinstance(given, dict):  # Cohere v2: the same vectors in several number formats
            given = next(iter(given.values()), None)
        vectors = [event.get("embedding"), *(given if isinstance(given, list) else ())]
        vectors += [one.get("embedding") for one in _list(event, "data") if isinstance(one, dict)]
        for vector in vectors:
            values = vector.get("values") if isinstance(vector, dict) else vector
            if isinstance(values, list):
                self._vectors.append(len(values))
            elif isinstance(values, str):  # base64 of 32-bit floats
                self._vectors.append(Blob.of_base64(values).size // 4)

    def _ended(self, index: Any, reasons: list[Any]) -> None:
        for reason in reasons:
            if isinstance(reason, str) and reason and reason.lower() not in _USUAL:
                note = f"ended early: {reason.lower().replace('_', ' ')}"
                if note not in self._draft(index).notes:
                    self._draft(index).note(note)


def _picture(value: dict[str, Any]) -> str:
    for name in ("b64_json", "bytesBase64Encoded", "base64"):
        if isinstance(value.get(name), str):
            return Blob.of_base64(value[name], str(value.get("mimeType", ""))).note("image")
    url = value.get("url")
    if isinstance(url, str) and url.startswith("data:"):
        return Blob.of_base64(url).note("image")
    return f"image: {url}" if isinstance(url, str) else ""


def _verdict(result: dict[str, Any]) -> str:
    categories = result.get("categories")
    named = [name for name, yes in categories.items() if yes is True] if isinstance(categories, dict) else []
    flagged = result.get("flagged", bool(named))
    return f"flagged: {', '.join(named)}" if flagged else "not flagged"


def _joined_base64(pieces: list[str]) -> Blob:
    """Join sounds that were encoded piece by piece."""
    try:
        return Blob.of(b"".join(base64.b64decode(piece) for piece in pieces))
    except ValueError:
        return Blob.of_base64("".join(pieces))


def _list(value: dict[str, Any], name: str) -> list[Any]:
    return value[name] if _is_list(value, name) else []


def _is_list(value: dict[str, Any], name: str) -> bool:
    return isinstance(value.get(name), list)


def _values(value: Any, *names: str) -> list[Any]:
    return [value[name] for name in names if name in value] if isinstance(value, dict) else []
