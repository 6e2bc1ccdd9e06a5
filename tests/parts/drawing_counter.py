"""Counts what generators draw, so that tests can say that nothing is drawn twice."""

from typing import Any

import pytest

from nigaoe_model.stylegan2.generator import Canvas, Synthesis


class DrawingCounter:
    """Every pass through a synthesis network; searches and colour transfer have networks of their own.

    Attributes:
        passes: How many blocks each pass drew, in order.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.passes: list[int] = []
        draw = Synthesis.draw

        def counted(synthesis: Synthesis, *arguments: Any, **options: Any) -> list[Canvas]:
            canvases = draw(synthesis, *arguments, **options)
            self.passes.append(len(canvases))
            return canvases

        monkeypatch.setattr(Synthesis, "draw", counted)

    def take(self) -> list[int]:
        """Return the passes since the last call."""
        passes, self.passes = self.passes, []
        return passes
