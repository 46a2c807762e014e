"""What every message pays for: its values taken and checked, put into the gaps of texts, and joined."""

from collections.abc import Callable

from core.content.templates import Values
from core.content.values import Input

ITSELF: int
ITSELF_IF_ASCII: int
AMOUNT: int
WRITTEN: int

class Binder:
    """Takes the values of inputs from where they come. Raises ValueError for more than 512."""

    def __init__(self, inputs: tuple[Input, ...]) -> None: ...
    def bind(self, values: Values, currency: str) -> list[object]:
        """Return typed values, aligned with the inputs; None where an optional one is missing.

        Raises MissingValue or WrongValue, both with the variable's name.
        """

class Filler:
    """A text with gaps.

    parts: its pieces, anything where a gap is. gaps: (place in parts, place in values, how, writer); how is ITSELF (the
    value is text), ITSELF_IF_ASCII (the writer is asked for other text), AMOUNT (the writer is an AmountWriter) or WRITTEN.
    branches: (place in parts, function from values to text).
    """

    def __init__(
        self,
        parts: list[object],
        gaps: list[tuple[int, int, int, Callable[..., str] | None]],
        branches: list[tuple[int, Callable[[list[object]], str]]],
    ) -> None: ...
    def __call__(self, bound: list[object]) -> str:
        """Return the text of typed values. Raises what writers raise, and TypeError if a part is no text."""
