"""A process that forks in the middle of calls: parent and child both go on, each with its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.engine.scripts import run
from tests.engine.stepped import Stepped
from tests.engine.test_shutdown import recorded

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

# A child must not close the parent's connections to SQLite; from 3.13 on, a debugging Python remarks on it.
INHERITED = {"Exception ignored in: N", "ResourceWarning: unclosed database in N"}

FORK = """
    import warnings
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)

    def post(content, stream=False):
        with client() as one:
            return one.post(url + "/v1/chat/completions", json=body(content, stream)).content

    def in_child(work):
        child = os.fork()
        if not child:
            try:
                work()
            except BaseException as error:
                print("child:", repr(error), flush=True)
                os._exit(1)
            sys.stdout.flush()
            sys.exit(0)
        return os.waitpid(child, 0)[1]
"""


def test_a_fork_with_a_cache(provider: Stepped, store: Path) -> None:
    """A child is answered from the parent's store, records into it, and the parent sees that."""
    ended = run(
        FORK
        + """
    first = post("before")

    def child():
        assert post("before") == first
        print(len(post("child")) > 0)

    print(in_child(child))
    print(cache.stats.misses, len(post("child")) > 0, cache.stats.misses)
    """,
        provider.url,
        store,
    )
    assert (0, ["True", "0", "1 True 1"], set()) == (ended.code, ended.output, ended.complaints - INHERITED)
    assert 2 == provider.count() == len(recorded(store))


def test_a_fork_in_the_middle_of_calls(provider: Stepped, store: Path) -> None:
    """A child has what its parent reads, and asks for what it does not; the parent's streams go on."""
    provider.pace = 0.05
    ended = run(
        FORK
        + """
    def lead():
        bodies.append(post("in a thread", stream=True))

    bodies = []
    thread = threading.Thread(target=lead)
    thread.start()
    one = client()
    response, chunks = opened(one, "half-read")
    first = next(chunks)
    while len(cache.flights) < 2:
        time.sleep(0.01)

    def child():
        global response, chunks
        print(is_whole(post("in a thread", stream=True)))
        print(is_whole(post("half-read", stream=True)))
        del response, chunks  # the parent's
        gc.collect()
        held.clear()

    print(in_child(child))
    print(is_whole(first + b"".join(chunks)))
    thread.join()
    print(is_whole(bodies[0]), len(cache.flights))
    one.close()
    """,
        provider.url,
        store,
    )
    expected = ["True", "True", "0", "True", "True 0"]
    assert (0, expected, set()) == (ended.code, ended.output, ended.complaints - INHERITED)
    assert 3 == provider.count()
    assert 2 == len(recorded(store))


def test_a_fork_at_the_tail(provider: Stepped, store: Path) -> None:
    """A child that ends does not take the tail of its parent's stream away."""
    provider.pace = 0.1
    script = (
        FORK
        + """
    one = client()
    response, chunks = opened(one)
    held += [one, response, chunks]
    for piece in chunks:
        if is_ending(piece):
            break
    print(in_child(lambda: None))
    print(is_whole(b"".join(chunks)))
    """
    )
    bare, ended = run(script, provider.url, None), run(script, provider.url, store)
    assert (bare.code, bare.output) == (ended.code, ended.output)
    assert "True" == ended.output[1]
    assert ended.complaints <= bare.complaints
    assert 1 == len(recorded(store))


def test_a_fork_in_a_loop(provider: Stepped, store: Path) -> None:
    """A child that is forked inside an event loop drops the parent's stream without harm to it."""
    provider.pace = 0.05
    ended = run(
        FORK
        + """
    async def main():
        async with async_client() as one:
            response, chunks = await opened_async(one)
            held.append(await anext(chunks))

            def child():
                asyncio._set_running_loop(None)
                print(post("Hello?", stream=True)[:5])
                os._exit(0)

            print(in_child(child), flush=True)
            async for piece in chunks:
                held.append(piece)
            print(is_whole(held[-1]))

    asyncio.run(main())
    """,
        provider.url,
        store,
    )
    assert (0, ["0", "True"], set()) == (ended.code, ended.output[-2:], ended.complaints - INHERITED)
    assert 1 == len(recorded(store))
