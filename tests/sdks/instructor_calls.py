"""What instructor can be asked of OpenAI: answers that are models of pydantic's."""

from __future__ import annotations

from typing import Any

import instructor
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from . import secrets
from .calls import Clients

MESSAGES: Any = [{"role": "user", "content": "How is coffee made?"}]


class Recipe(BaseModel):
    """A structured answer."""

    name: str
    minutes: int


class Patched:
    """A client of OpenAI's with instructor's methods, to be closed by `with`."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def __enter__(self) -> Any:
        return instructor.from_openai(self._client.__enter__())

    def __exit__(self, *trouble: object) -> None:
        self._client.__exit__(*trouble)

    async def __aenter__(self) -> Any:
        return instructor.from_openai(await self._client.__aenter__())

    async def __aexit__(self, *trouble: object) -> None:
        await self._client.__aexit__(*trouble)


ours = Clients(
    "instructor",
    lambda url: Patched(OpenAI(base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY)),
    lambda url: Patched(AsyncOpenAI(base_url=f"{url}/v1", api_key=secrets.OPENAI_KEY)),
)


@ours.both("create", "plain", lambda r: isinstance(r, Recipe))
def create(client: Any) -> Any:
    return client.create(model="gpt-local", messages=MESSAGES, response_model=Recipe)


@ours.both("create", "stream", lambda r: len(r) > 1 and r[-1].name)
def create_partial(client: Any) -> Any:
    return client.create_partial(model="gpt-local", messages=MESSAGES, response_model=Recipe)
