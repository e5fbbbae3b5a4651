"""One library under one cache, in a process of its own: `python -m benchmarks.rival LIBRARY CACHE ENTRIES FOLDER`.

Prints a line of JSON: the CPU seconds of each first hit and of each that follows, whether streams are answered,
and what a hit lacks of the answer that was recorded. The local provider runs in a thread; the time is the calling
thread's own.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it asks a server for a list of prices

from askonce.testing import LocalProvider

KEY = "sk-benchmark"


class Library:
    """How a library asks a question, plain and as a stream; each returns plain values of all that it has."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}/v1"

    def ask(self, question: str) -> Any:
        raise NotImplementedError

    def stream(self, question: str) -> Any:
        raise NotImplementedError

    def own_cache(self, name: str, folder: Path) -> AbstractContextManager[object]:
        """Turn on the cache of that name."""
        raise NotImplementedError


def _body(question: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-5", "messages": [{"role": "user", "content": question}], **more}


class Requests(Library):
    def __init__(self, url: str) -> None:
        super().__init__(url)
        import requests

        self.session: Any = requests.Session()

    def _post(self, body: dict[str, Any]) -> Any:
        headers = {"authorization": f"Bearer {KEY}"}
        return self.session.post(
            f"{self.url}/chat/completions", json=body, headers=headers, stream="stream" in body
        )

    def ask(self, question: str) -> Any:
        answer = self._post(_body(question))
        return {"status": answer.status_code, "headers": dict(answer.headers), "body": answer.json()}

    def stream(self, question: str) -> Any:
        return b"".join(self._post(_body(question, stream=True)).iter_content(None)).decode()

    def own_cache(self, name: str, folder: Path) -> AbstractContextManager[object]:
        import requests_cache

        self.session = requests_cache.CachedSession(
            str(folder / "cache"),
            backend="sqlite",
            allowable_methods=["POST"],
            ignored_parameters=["authorization"],
        )
        return nullcontext()


class OpenAI(Library):
    """Over httpx, on which the recorders are."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        import httpx
        import openai

        self.client = openai.OpenAI(api_key=KEY, base_url=self.url, max_retries=0, http_client=httpx.Client())  # type: ignore[arg-type, unused-ignore]

    def ask(self, question: str) -> Any:
        raw: Any = self.client.chat.completions.with_raw_response.create(**_body(question))
        return {"headers": dict(raw.headers), "body": json.loads(raw.text)}

    def stream(self, question: str) -> Any:
        chunks: Any = self.client.chat.completions.create(**_body(question), stream=True)
        return [chunk.model_dump(mode="json") for chunk in chunks]

    def own_cache(self, name: str, folder: Path) -> AbstractContextManager[object]:
        if name == "cachy":
            import cachy  # type: ignore[import-untyped, unused-ignore]

            cachy.enable_cachy(cache_dir=folder, doms=("127.0.0.1",))
            return nullcontext()
        import cassetter  # type: ignore[import-not-found, unused-ignore]

        context: AbstractContextManager[object] = cassetter.use_cassette(
            folder / "cassette.yaml", record_mode="new_episodes", match_on=["method", "uri", "body"]
        )
        return context


class LiteLLM(Library):
    caching = False

    def ask(self, question: str) -> Any:
        import litellm

        answer: Any = litellm.completion(
            "openai/gpt-5", _body(question)["messages"], api_base=self.url, api_key=KEY, caching=self.caching
        )
        return answer.model_dump(mode="json") | {
            "headers": dict(answer._hidden_params.get("additional_headers") or {})
        }

    def stream(self, question: str) -> Any:
        import litellm

        chunks: Any = litellm.completion(
            "openai/gpt-5", _body(question)["messages"], api_base=self.url, api_key=KEY, stream=True,
            caching=self.caching,
        )  # fmt: skip
        return [chunk.model_dump(mode="json")["choices"] for chunk in chunks]

    def own_cache(self, name: str, folder: Path) -> AbstractContextManager[object]:
        import litellm
        from litellm.caching.caching import Cache

        self.caching = True
        litellm.cache = Cache(type="disk", disk_cache_dir=str(folder)) if name == "disk" else Cache()  # type: ignore[arg-type, unused-ignore]
        return nullcontext()


class LangChain(Library):
    def _model(self) -> Any:
        from langchain_openai import ChatOpenAI

        return ChatOpenAI(model="gpt-5", base_url=self.url, api_key=KEY, max_retries=0)  # type: ignore[arg-type, unused-ignore]

    def ask(self, question: str) -> Any:
        self.model = getattr(self, "model", None) or self._model()
        said = self.model.invoke(question).model_dump(mode="json")
        return {name: value for name, value in said.items() if name != "id"}  # which it makes anew for each run

    def stream(self, question: str) -> Any:
        return [chunk.content for chunk in self._model().stream(question)]

    def own_cache(self, name: str, folder: Path) -> AbstractContextManager[object]:
        import warnings

        warnings.simplefilter("ignore")
        from langchain_community.cache import SQLiteCache
        from langchain_core.globals import set_llm_cache

        set_llm_cache(SQLiteCache(str(folder / "langchain.db")))
        return nullcontext()


class DSPy(Library):
    caching = False

    def _model(self) -> Any:
        import dspy

        return dspy.LM(
            "openai/gpt-5", api_base=self.url, api_key=KEY, cache=self.caching, temperature=1.0, max_tokens=16_000
        )

    def ask(self, question: str) -> Any:
        self.model = getattr(self, "model", None) or self._model()
        text = self.model(question)
        entry = self.model.history[-1]
        return {"text": text, "usage": dict(entry.get("usage") or {}), "model": entry.get("response_model")}

    def stream(self, question: str) -> Any:
        raise NotImplementedError("DSPy streams through programs")

    def own_cache(self, name: str, folder: Path) -> AbstractContextManager[object]:
        import dspy

        self.caching = True
        dspy.configure_cache(
            enable_disk_cache=name == "disk", enable_memory_cache=name == "memory", disk_cache_dir=str(folder)
        )
        return nullcontext()


LIBRARIES: dict[str, Callable[[str], Library]] = {
    "requests": Requests, "openai, httpx": OpenAI, "litellm": LiteLLM, "LangChain": LangChain, "DSPy": DSPy,
}  # fmt: skip


def _turn_on(library: Library, cache: str, folder: Path, url: str) -> AbstractContextManager[object]:
    if cache == "none":
        return nullcontext()
    if cache.startswith("askonce"):
        import askonce

        name = "store.jsonl" if cache == "askonce, text" else "store.db"
        return askonce.caching(folder / name, domains=[url])
    return library.own_cache(cache, folder)


def _lacks(whole: Any, found: Any, path: str = "") -> Iterator[str]:
    """Yield the paths at which something of an answer is missing or different."""
    if isinstance(whole, dict) and isinstance(found, dict):
        for name in whole:
            yield from _lacks(whole[name], found.get(name), f"{path}.{name}" if path else name)
    elif isinstance(whole, list) and isinstance(found, list) and len(whole) == len(found):
        for a, b in zip(whole, found, strict=True):
            yield from _lacks(a, b, path)
    elif whole != found:
        yield path


def _streams(library: Library, provider: LocalProvider) -> str:
    """Tell whether a stream that was asked before is answered, with the same chunks."""
    try:
        first = library.stream("A stream?")
    except NotImplementedError as error:
        return str(error)
    before = provider.count()
    again = library.stream("A stream?")
    if provider.count() > before:
        return "asked again"
    return "the same" if first == again else "another"


def main() -> None:
    """Measure what the command line names."""
    name, cache, entries, folder = sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])
    folder.mkdir(parents=True)
    with LocalProvider() as provider:
        library = LIBRARIES[name](provider.url)
        with _turn_on(library, cache, folder, provider.url):
            first = [library.ask(f"Question {number}?") for number in range(entries)]
        # Anew, since some write when they are closed; what is in memory stays on.
        with nullcontext() if cache == "memory" else _turn_on(library, cache, folder, provider.url):
            asked = provider.count()
            rounds: list[list[float]] = []
            for _ in range(2):
                cpu = []
                for number in range(entries):
                    start = time.thread_time()
                    found = library.ask(f"Question {number}?")
                    cpu.append(time.thread_time() - start)
                rounds.append(cpu)
            lacks = sorted(set(_lacks(first[-1], found)))
            hits = cache == "none" or provider.count() == asked
            streams = _streams(library, provider) if cache != "none" else ""
    print(
        json.dumps({"once": rounds[0], "again": rounds[1], "lacks": lacks, "hits": hits, "streams": streams}),
        flush=True,
    )
    os._exit(0)  # some libraries leave threads behind


if __name__ == "__main__":
    main()
