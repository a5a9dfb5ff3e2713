"""A line of the report: a figure, and the bound that it must keep."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """What was counted or measured, the figure, its unit, and the bound: the most or, with `is_least`, the least that is good."""

    what: str
    figure: float
    bound: float
    unit: str = ""
    is_least: bool = False

    @property
    def held(self) -> bool:
        """Tell whether the figure keeps the bound; one that is not a number does not."""
        return self.figure >= self.bound if self.is_least else self.figure <= self.bound

    def __str__(self) -> str:
        """Return the line as it is printed."""
        bound = f"at {'least' if self.is_least else 'most'} {self.bound:,g}{self.unit}"
        return f"{self.what}: {self.figure:,.6g}{self.unit} ({bound}): {'held' if self.held else 'BROKEN'}"
