"""A measured figure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`ratio` compares the value with the smallest that is possible."""

    name: str
    value: float
    unit: str
    ratio: float | None = None

    def __str__(self) -> str:
        compared = "" if self.ratio is None else f"{self.ratio:8.2f} x"
        return f"{self.name:<48}{self.value:10.2f} {self.unit:<4}{compared}"
