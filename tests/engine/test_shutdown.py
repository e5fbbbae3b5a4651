"""Programs that end in the middle of things end as they would without us, and what was answered is kept."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from askonce.storage import open_storage
from askonce.testing import Fault
from tests.engine.scripts import run
from tests.engine.stepped import Stepped


def recorded(store: Path) -> list[bytes]:
    """Return the bodies in a store."""
    storage = open_storage(str(store), max_size=None, memory=0)
    try:
        return [take.answer.body for entry in storage.entries() for take in entry.takes]
    finally:
        storage.close()


HOLD_UNTIL_ENDING = """
    one = client()
    response, chunks = opened(one)
    held += [one, response, chunks]
    for piece in chunks:
        if is_ending(piece):
            break
"""

HOLD_UNTIL_ENDING_ASYNC = """
    async def main():
        one = async_client()
        response, chunks = await opened_async(one)
        held.extend([one, response, chunks])
        async for piece in chunks:
            if is_ending(piece):
                break

    asyncio.run(main())
"""

IN_A_CYCLE = """
    one = client()
    response, chunks = opened(one)
    while not is_ending(next(chunks)):
        pass
    cycle = [one, response, chunks]
    cycle.append(cycle)
    del one, response, chunks, cycle
"""

SDK = """
    import openai
    one = openai.OpenAI(api_key="sk-test-SECRET-script-77f1a2", base_url=url + "/v1")
    stream = one.chat.completions.create(
        model="gpt-local", messages=[{"role": "user", "content": "Hello?"}], stream=True,
        stream_options={"include_usage": True},
    )
    for part in stream:
        if part.choices[0].finish_reason:
            break
"""


@pytest.mark.skipif(
    (3, 12) <= sys.version_info < (3, 12, 2), reason="no thread can be started at the end of a program"
)
@pytest.mark.parametrize(
    "script",
    [HOLD_UNTIL_ENDING, HOLD_UNTIL_ENDING_ASYNC, IN_A_CYCLE, SDK],
    ids=["held", "held in a loop", "in a cycle", "by an SDK"],
)
def test_a_program_ends_one_event_early(provider: Stepped, store: Path, script: str) -> None:
    """An answer of which only the tail is missing when the program ends is kept whole."""
    provider.pace = 0.03
    bare = run(script, provider.url, None)
    ended = run(script, provider.url, store)
    assert bare.code == ended.code
    assert ended.complaints <= bare.complaints
    bodies = recorded(store)
    assert 1 == len(bodies)
    assert bodies[0].endswith(b"[DONE]\n\n")


@pytest.mark.parametrize("script", [HOLD_UNTIL_ENDING, HOLD_UNTIL_ENDING_ASYNC], ids=["held", "held in a loop"])
def test_a_program_ends_while_the_tail_stalls(provider: Stepped, store: Path, script: str) -> None:
    """A tail that does not come is not waited for long, and nothing is kept."""
    for _ in range(2):
        provider.fail_next(Fault.STALL(after_chunks=10**6, seconds=20))
    bare = run(script, provider.url, None)
    began = time.monotonic()
    ended = run(script, provider.url, store)
    assert time.monotonic() - began < 8
    assert bare.code == ended.code  # CPython 3.13.0 crashes in the first one, without us too
    assert ended.complaints <= bare.complaints
    assert [] == recorded(store)


MIDDLES = {
    "a held stream": """
        one = client()
        response, chunks = opened(one)
        held += [one, response, chunks]
        next(chunks)
    """,
    "an unread answer": """
        one = client()
        held += [one, opened(one)]
    """,
    "an exception in the loop": """
        one = client()
        response, chunks = opened(one)
        for piece in chunks:
            raise ValueError("mine")
    """,
    "sys.exit in the loop": """
        with client() as one:
            response, chunks = opened(one)
            for piece in chunks:
                sys.exit(3)
    """,
    "a daemon that reads": """
        def read():
            with client() as one:
                for piece in opened(one)[1]:
                    started.set()

        started = threading.Event()
        threading.Thread(target=read, daemon=True).start()
        started.wait()
    """,
    "a daemon that waits for another": """
        def read():
            with client() as one:
                for piece in opened(one)[1]:
                    started.release()

        started = threading.Semaphore(0)
        for _ in range(3):
            threading.Thread(target=read, daemon=True).start()
        started.acquire()
    """,
    "an interrupt": """
        with client() as one:
            response, chunks = opened(one)
            threading.Timer(0.3, signal.raise_signal, [signal.SIGINT]).start()
            for piece in chunks:
                pass
    """,
    "an interrupt in a loop": """
        async def main():
            async with async_client() as one:
                response, chunks = await opened_async(one)
                threading.Timer(0.3, os.kill, [os.getpid(), signal.SIGINT]).start()
                async for piece in chunks:
                    pass

        asyncio.run(main())
    """,
    "a task that reads": """
        async def read(one):
            response, chunks = await opened_async(one)
            async for piece in chunks:
                started.set()

        async def main():
            one = async_client()
            held.extend([one, asyncio.create_task(read(one)), asyncio.create_task(read(one))])
            await started.wait()

        started = asyncio.Event()
        asyncio.run(main())
    """,
    "a task that is not begun": """
        async def main():
            one = async_client()
            held.extend([one, asyncio.create_task(opened_async(one))])

        asyncio.run(main())
    """,
    "a loop in a daemon": """
        async def main():
            async with async_client() as one:
                response, chunks = await opened_async(one)
                async for piece in chunks:
                    started.set()

        started = threading.Event()
        threading.Thread(target=lambda: asyncio.run(main()), daemon=True).start()
        started.wait()
    """,
}


@pytest.mark.parametrize("script", MIDDLES.values(), ids=MIDDLES.keys())
def test_a_program_ends_in_the_middle(provider: Stepped, store: Path, script: str) -> None:
    """A program that ends in the middle of a stream ends as it does without us, and complains of nothing more."""
    provider.pace = 0.2  # on a busy machine a program takes a while to get to its middle
    bare = run(script, provider.url, None)
    ended = run(script, provider.url, store)
    assert (bare.code, bare.output) == (ended.code, ended.output)
    assert ended.complaints <= bare.complaints
    assert [] == recorded(store)


def test_threads_are_let_finish(provider: Stepped, store: Path) -> None:
    """What threads still ask for when the main program is at its end is answered and kept."""
    provider.pace = 0.02
    ended = run(
        """
        def read(number):
            with client() as one:
                body = b"".join(opened(one, f"Question {number % 2}?")[1])
                os.write(1, b"%d\\n" % is_whole(body))

        for number in range(6):
            threading.Thread(target=read, args=(number,)).start()
        """,
        provider.url,
        store,
    )
    assert (0, ["1"] * 6, set()) == (ended.code, ended.output, ended.complaints)
    assert 2 == len(recorded(store)) == provider.count()


def test_what_was_read_is_there_after_a_kill(provider: Stepped, store: Path) -> None:
    """An answer that the program has read to its end is in the store, whatever happens to the program then."""
    ended = run(
        """
        with client() as one:
            for number in range(5):
                one.post(url + "/v1/chat/completions", json=body(f"Question {number}?", stream=number % 2))
                print(number, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        provider.url,
        store,
    )
    assert (-9, 5) == (ended.code, len(ended.output))
    assert 5 == len(recorded(store))
