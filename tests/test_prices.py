"""What calls would have cost, from the installed price list; and what is said where there is no price."""

from __future__ import annotations

from pathlib import Path

import pytest

import askonce
from askonce import prices
from askonce._core.messages import Usage
from askonce._core.record import pack, unpack
from askonce._core.usage import Spared
from askonce.testing import LocalProvider
from tests.asking import ask
from tests.core.building import answer
from tests.test_import import foreign, modules_after

MANY = Usage(1_000_000, 100_000)


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "gpt-5"),
        ("azure", "gpt-5"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gemini", "gemini-2.5-flash"),
        ("gemini", "models/gemini-2.5-flash"),
        ("vertex", "gemini-2.5-flash"),
        ("bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("mistral", "mistral-large-latest"),
        ("groq", "llama-3.3-70b-versatile"),
        ("xai", "grok-3"),
        ("deepseek", "deepseek-chat"),
        ("openai", "text-embedding-3-small"),
    ],
)
def test_known_models(provider: str, model: str) -> None:
    """The providers' usual models have a price, whatever the list calls the provider."""
    assert (prices.price(provider, model, MANY) or 0) > 0


def test_prompt_cache() -> None:
    """Tokens from the provider's own prompt cache are cheaper; those written to Anthropic's are dearer."""
    plain, cached, written = (
        prices.price("anthropic", "claude-sonnet-4-5", Usage(1000, 0, *more)) or 0
        for more in ((), (900, 0), (0, 900))
    )
    assert 0 < cached < plain < written


@pytest.mark.parametrize(
    ("provider", "model", "usage"),
    [
        ("openai", "no-such-model", MANY),
        ("nowhere", "gpt-5", MANY),
        ("openai", "gpt-5", Usage()),
        ("openai", "", MANY),
        ("openai", "tts-1", MANY),  # sold by the character
        ("openai", "gpt-5", Usage(10**12, 1)),
    ],
)
def test_no_price(provider: str, model: str, usage: Usage) -> None:
    """What has no price, or too much of it, costs nothing known and raises nothing."""
    found = prices.price(provider, model, usage)
    assert found is None or found > 1000


def test_odd_counts() -> None:
    """More cached tokens than there are tokens are priced as all of them, and local models are free."""
    assert prices.price("openai", "gpt-5", Usage(10, 1, 99, 99)) == prices.price(
        "openai", "gpt-5", Usage(10, 1, 10)
    )
    assert prices.price("ollama", "llama3", MANY) == 0


def test_estimate() -> None:
    """An estimate adds up what has a price, and names what has none."""
    gpt, unknown = Spared("openai", "gpt-5", 2, Usage(2000, 200)), Spared("openai", "mine", 1, Usage(5, 5))
    each = prices.price("openai", "gpt-5", Usage(1000, 100))
    assert each
    assert prices.estimate([gpt]) == (pytest.approx(2 * each), (), 0)
    found = prices.estimate([gpt, unknown, Spared("openai", "gpt-5", 0, Usage(), 3), Spared("x", "y")])
    assert found == (pytest.approx(2 * each), ("openai mine",), 3)
    assert str(found) == "≥ $0.0045, 1 model without a price, 3 calls without a count of tokens"
    assert str(prices.estimate([unknown])) == "unknown: 1 model without a price"
    assert str(prices.estimate([])) == "about $0"
    assert str(prices.Money(0.000001)) == "less than $0.00001"


def test_average_calls_are_priced() -> None:
    """Many small calls are not taken for one with a long context, whose tokens cost more."""
    one = prices.price("gemini", "gemini-2.5-pro", Usage(1000, 100))
    assert one
    found = prices.estimate([Spared("gemini", "gemini-2.5-pro", 1000, Usage(1_000_000, 100_000))])
    assert found == (pytest.approx(1000 * one), (), 0)


@pytest.mark.parametrize(
    ("dollars", "expected"),
    [
        (0, "$0"), (0.000001, "<$0.00001"), (0.00001234, "$0.00001"), (0.0012, "$0.0012"), (0.0995, "$0.10"),
        (1.234, "$1.23"), (12345.6, "$12,345.60"),
    ],
)  # fmt: skip
def test_dollars_text(dollars: float, expected: str) -> None:
    """Amounts have as many digits as say something."""
    assert expected == prices.dollars_text(dollars)


def test_session(provider: LocalProvider, store: Path) -> None:
    """`stats()` counts what was not asked by model, and says what that would have cost."""
    with askonce.caching(store, domains=[provider.url]):
        for _ in range(3):
            ask(provider)
        found = askonce.stats()
    (spared,) = found.spared
    assert ("openai", "gpt-local", 2) == spared[:3]
    assert spared.usage.tokens == found.tokens_saved
    money = found.money_saved
    assert money is not None
    assert ("openai gpt-local",) == money.unpriced


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    """Hits and their statistics import no price list."""
    program = ("import askonce", "askonce.enable('memory:')", "askonce.stats()", "str(askonce.stats())")
    assert set() == foreign(modules_after(*program))


@pytest.mark.parametrize("usage", [Usage(3, 4), Usage(3, 4, 2), Usage(3, 4, 0, 1)])
def test_usage_is_kept(usage: Usage) -> None:
    """An answer comes back from its bytes with all its counts; without a prompt cache it is written as before."""
    packed = pack(answer(b"{}")._replace(usage=usage))
    assert usage == unpack(packed).usage
    assert (b'"usage":[3,4],' in packed) is (usage == Usage(3, 4))
