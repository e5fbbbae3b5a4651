"""What an event says about the stream it is in: begun, ending, ended, failed.

One table for every provider's events, so that a gateway in front of one is understood like the provider itself.
"""

from __future__ import annotations

from enum import IntEnum

from askonce._core.events import DONE, Event


class Mark(IntEnum):
    """How far a stream has come."""

    NOTHING = 0
    BEGUN = 1
    ENDING = 2  # the model has finished; usage or a closing event may follow
    ENDED = 3  # nothing that a reader needs can follow
    FAILED = 4


_TYPES: dict[str, Mark] = {
    # OpenAI Responses
    "response.created": Mark.BEGUN,
    "response.completed": Mark.ENDED,
    "response.incomplete": Mark.ENDED,
    "response.failed": Mark.FAILED,
    # OpenAI images, speech, transcription; several images have an event each
    "image_generation.partial_image": Mark.BEGUN,
    "image_generation.completed": Mark.ENDING,
    "image_edit.partial_image": Mark.BEGUN,
    "image_edit.completed": Mark.ENDING,
    "speech.audio.delta": Mark.BEGUN,
    "speech.audio.done": Mark.ENDED,
    "transcript.text.delta": Mark.BEGUN,
    "transcript.text.done": Mark.ENDED,
    # Anthropic
    "message_start": Mark.BEGUN,
    "message_stop": Mark.ENDED,
    # Cohere v2
    "message-start": Mark.BEGUN,
    # Bedrock converse-stream
    "messageStart": Mark.BEGUN,
    "messageStop": Mark.ENDING,
    "metadata": Mark.ENDED,
    # Gemini interactions
    "interaction.start": Mark.BEGUN,
    "interaction.complete": Mark.ENDED,
    # Cohere v1
    "stream-start": Mark.BEGUN,
    # Bedrock invoke, whatever the model's own format; its last chunk has metrics
    "chunk": Mark.BEGUN,
    # any
    "error": Mark.FAILED,
}


class Progress:
    """Follow the events of one stream."""

    __slots__ = ("_finished", "mark")

    def __init__(self) -> None:
        self.mark = Mark.NOTHING
        self._finished: dict[object, bool] = {}  # the choices or candidates that have begun

    def see(self, event: Event) -> None:
        """Take one more event into account."""
        mark = self._read(event)
        # One of several choices may begin after another has finished.
        if mark > self.mark or (mark is Mark.BEGUN and self.mark is Mark.ENDING and self._is_open()):
            self.mark = mark

    def _is_open(self) -> bool:
        return not all(self._finished.values())

    def _read(self, event: Event) -> Mark:
        if event is DONE:
            return Mark.ENDED
        if event.get("error") or event.get("object") == "error":  # the latter is vLLM's
            return Mark.FAILED
        if "amazon-bedrock-invocationMetrics" in event:
            return Mark.ENDED
        kind = event.get("type") or event.get("event_type")
        if kind == "message_delta":  # Anthropic
            delta = event.get("delta")
            return Mark.ENDING if isinstance(delta, dict) and delta.get("stop_reason") else Mark.BEGUN
        if kind == "completion" and "completion" in event:  # Anthropic's text completions
            return Mark.ENDED if event.get("stop_reason") else Mark.BEGUN
        if kind in ("message-end", "stream-end"):  # Cohere v2 and v1, whose errors end like answers
            return Mark.FAILED if has_failed(event) else Mark.ENDED
        if isinstance(kind, str) and kind in _TYPES:
            return _TYPES[kind]
        for name in ("done", "stop"):  # Ollama, llama.cpp
            if isinstance(event.get(name), bool):
                return Mark.ENDED if event[name] else Mark.BEGUN
        if isinstance(event.get("token"), dict):  # Hugging Face's text generation
            return Mark.BEGUN if event.get("generated_text") is None else Mark.ENDED
        feedback = event.get("promptFeedback")  # Gemini
        if isinstance(feedback, dict) and feedback.get("blockReason"):
            return Mark.ENDING
        return self._read_choices(event.get("choices") or event.get("candidates"))

    def _read_choices(self, choices: object) -> Mark:
        """Read OpenAI's `choices` or Gemini's `candidates`: the model has finished when all of them have."""
        if not isinstance(choices, list) or not choices:
            return Mark.NOTHING
        for choice in choices:
            if isinstance(choice, dict):
                if has_failed(choice):
                    return Mark.FAILED
                index = str(choice.get("index", 0))
                is_last = bool(choice.get("finish_reason") or choice.get("finishReason"))
                self._finished[index] = is_last or self._finished.get(index, False)
        return Mark.BEGUN if self._is_open() else Mark.ENDING


def has_failed(answer: Event) -> bool:
    """Tell whether a choice or a whole answer says that it ended in an error (Cohere, Mistral, OpenRouter)."""
    delta = answer.get("delta")
    reasons = (answer.get("finish_reason"), delta.get("finish_reason") if isinstance(delta, dict) else None)
    return any(reason in ("ERROR", "error") for reason in reasons)
