"""What calls would have cost, as an estimate, from an offline price list: `genai-prices`, the extra `prices`.

Nothing imports the list before somebody asks for a price. A model without one is named, never counted as free.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from importlib.util import find_spec
from typing import NamedTuple

from askonce._core.messages import Usage
from askonce._core.usage import Spared

EXTRA = "pip install 'askonce[prices]'"
"""What to do where the list is not installed."""

_LOCAL = frozenset({"ollama", "vllm", "llama.cpp", "lmstudio"})  # these send no bill
_NAMES = {  # what the list calls a provider, where that is not our name
    "bedrock": "aws",
    "gemini": "google",
    "vertex": "google",
    "moonshot": "moonshotai",
    "voyage": "voyageai",
    "xai": "x-ai",
}
_DAY = 86400.0


class Money(NamedTuple):
    """An estimate in US dollars, less what has no price: models, and calls whose answers count no tokens."""

    dollars: float = 0.0
    unpriced: tuple[str, ...] = ()
    uncounted: int = 0

    def __str__(self) -> str:
        missing = []
        if self.unpriced:
            missing.append(f"{_count(len(self.unpriced), 'model')} without a price")
        if self.uncounted:
            missing.append(f"{_count(self.uncounted, 'call')} without a count of tokens")
        if not missing:
            return about_text(self.dollars)
        if not self.dollars:
            return f"unknown: {', '.join(missing)}"
        return f"≥ {dollars_text(self.dollars)}, {', '.join(missing)}"


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def is_installed() -> bool:
    """Tell whether there is a price list."""
    return find_spec("genai_prices") is not None


def price(provider: str, model: str, usage: Usage, at: float | None = None) -> float | None:
    """Return the US dollars that one call costs, at the price of a time (Unix seconds); None where it has none."""
    if not usage.tokens:
        return None  # an image, a sound, or a stream that was not asked to count
    day = (time.time() if at is None else at) // _DAY * _DAY  # prices change by the day, and the list is slow
    return _price(provider, model, usage, day)


@lru_cache(maxsize=4096)
def _price(provider: str, model: str, usage: Usage, at: float) -> float | None:
    if provider in _LOCAL:
        return 0.0
    if not is_installed():
        return None
    read, written, cached, stored = usage
    cached = min(cached, read)
    try:
        import genai_prices

        found = genai_prices.calc_price(
            genai_prices.Usage(
                input_tokens=read,
                output_tokens=written,
                cache_read_tokens=cached,
                cache_write_tokens=min(stored, read - cached),
            ),
            model.removeprefix("models/"),
            provider_id=_NAMES.get(provider, provider),
            genai_request_timestamp=datetime.fromtimestamp(at, UTC),
        )
    except Exception:  # an unknown model, or whatever a list of another version raises: there is no price
        return None
    if not found.total_price and getattr(found.model_price, "input_mtok", None) is None:
        return None  # one that is sold by the second, the character or the picture
    return float(found.total_price)


def estimate(spared: Iterable[Spared]) -> Money | None:
    """Return what the calls would have cost; None where there is no price list.

    Each model's calls are priced as so many of its average one, since the price of a token may depend on how many
    a call has.
    """
    if not is_installed():
        return None
    dollars, unpriced, uncounted = 0.0, [], 0
    for one in spared:
        uncounted += one.uncounted
        if not one.calls:
            continue
        mean = Usage(*(round(count / one.calls) for count in one.usage))
        each = price(one.provider, one.model, mean)
        if each is None:
            unpriced.append(f"{one.provider} {one.model}".strip())
        else:
            dollars += each * one.calls
    return Money(dollars, tuple(unpriced), uncounted)


def about_text(dollars: float) -> str:
    """Write an estimate: `about $0.25`, `less than $0.00001`."""
    text = dollars_text(dollars)
    return f"less than {text[1:]}" if text.startswith("<") else f"about {text}"


def dollars_text(dollars: float) -> str:
    """Write an amount: `$1,234.50`, `$0.25`, `$0.0012`, `$0`."""
    if not dollars:
        return "$0"
    if dollars >= 0.0995:
        return f"${dollars:,.2f}"
    if dollars < 0.0000095:
        return "<$0.00001"
    return f"${dollars:.{4 if dollars >= 0.00095 else 5}f}"
