"""A line of the report: a figure, and the bound that it must keep."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """A figure with its name and unit, and its bound: a maximum or, with `is_least`, a minimum."""

    what: str
    figure: float
    bound: float
    unit: str = ""
    is_least: bool = False

    @property
    def held(self) -> bool:
        """Tell whether the figure keeps the bound. NaN does not."""
        return self.figure >= self.bound if self.is_least else self.figure <= self.bound

    def __str__(self) -> str:
        """Return the printed line."""
        bound = f"at {'least' if self.is_least else 'most'} {self.bound:,g}{self.unit}"
        return f"{self.what}: {self.figure:,.6g}{self.unit} ({bound}): {'held' if self.held else 'BROKEN'}"
