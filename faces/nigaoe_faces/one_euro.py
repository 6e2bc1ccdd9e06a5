"""The one-euro filter: a low-pass filter that is slow where a signal rests, against jitter, and fast where it moves.

Casiez, Roussel and Vogel, "1 € Filter: A Simple Speed-based Low-pass Filter for Noisy Input in Interactive Systems",
CHI 2012.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class OneEuroSettings:
    """How much a signal is smoothed.

    Attributes:
        min_cutoff: Cutoff frequency of a signal that rests, in Hz; smaller means less jitter.
        beta: How much the cutoff rises with the speed, in Hz for one unit of the signal a second; larger means less
            lag.
        speed_cutoff: Cutoff frequency of the speed itself, in Hz.
    """

    min_cutoff: float = 1.0
    beta: float = 1.0
    speed_cutoff: float = 1.0


class OneEuroFilter:
    """Filter of one signal of many numbers, at any spacing in time.

    The speed is the root mean square over all numbers, so that they share a cutoff and what moves as one stays one.

    Args:
        settings: How much is smoothed.
    """

    def __init__(self, settings: OneEuroSettings) -> None:
        self.settings = settings
        self._value: NDArray[np.float64] | None = None
        self._velocity: NDArray[np.float64] = np.zeros(())
        self._time = 0.0

    def reset(self) -> None:
        """Forget the past: the next value is returned as it is."""
        self._value = None

    def __call__(self, value: NDArray[np.floating], time: float) -> NDArray[np.float64]:
        """Return the smoothed value.

        Args:
            value: The signal now, of the same shape at every call.
            time: In seconds; a time that is not later than the last one changes nothing.
        """
        now = np.asarray(value, dtype=np.float64)
        if self._value is None:
            self._value, self._velocity, self._time = now, np.zeros_like(now), time
            return now
        elapsed = time - self._time
        if elapsed <= 0:
            return self._value
        velocity = (now - self._value) / elapsed
        self._velocity = self._velocity + _share(self.settings.speed_cutoff, elapsed) * (velocity - self._velocity)
        speed = math.sqrt(float(np.square(self._velocity).mean()))
        cutoff = self.settings.min_cutoff + self.settings.beta * speed
        self._value = self._value + _share(cutoff, elapsed) * (now - self._value)
        self._time = time
        return self._value


def _share(cutoff: float, elapsed: float) -> float:
    """Return how much a new value counts (alpha, equation 5), 0..1."""
    rate = 2 * math.pi * cutoff * elapsed
    return rate / (rate + 1)
