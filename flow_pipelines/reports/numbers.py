"""Money and time as people read them."""

from __future__ import annotations

from decimal import Decimal

_SECOND_MS = 1000
_MINUTE = 60
_CENTS = Decimal("0.01")


def dollars(amount: Decimal | None, *, estimated: bool = False) -> str:
    """Return `$0.0125` exactly, with cents at least; empty where nothing is known."""
    if amount is None:
        return ""
    cents = amount.quantize(_CENTS)
    return f"{'≈ ' if estimated else ''}${cents if cents == amount else amount.normalize():f}"


def duration(milliseconds: float | None) -> str:
    """Return `840 ms`, `12.3 s` or `4 min 05 s`; empty where nothing is known."""
    if milliseconds is None:
        return ""
    if milliseconds < _SECOND_MS:
        return f"{milliseconds:.0f} ms"
    seconds = milliseconds / _SECOND_MS
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    return f"{minutes} min {rest:02} s"
