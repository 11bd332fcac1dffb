"""The table that is printed, and whether every bar is held."""

from typing import List, Optional


class Table:
    """Rows, each printed as soon as it is known."""

    def __init__(self) -> None:
        self.missed: List[str] = []

    def row(self, what: str, value: object, bar: str = "", good: Optional[bool] = None) -> None:
        """A figure; `good` tells whether its bar is held."""
        mark = "" if good is None else "ok" if good else "MISSED"
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        print(f"{what:<66} {shown:>12}  {bar:<12} {mark}", flush=True)
        if good is False:
            self.missed.append(what)

    def at_most(self, what: str, value: float, bar: float) -> None:
        self.row(what, value, f"<= {bar:.6g}", value <= bar)

    def at_least(self, what: str, value: float, bar: float) -> None:
        self.row(what, value, f">= {bar:.6g}", value >= bar)


def percentile(values: List[float], share: float) -> float:
    """The value that this share of values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
