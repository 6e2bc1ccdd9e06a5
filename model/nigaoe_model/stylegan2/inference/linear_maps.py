"""Linear maps of pictures by constant weights, each with its adjoint, none with a gradient for its weights.

**Batch invariance.** Optimisation amplifies the last bit of a sum: an engine may only promise that batching changes no
answer if a sample's sums run in the same order whatever the batch. oneDNN's convolutions keep that promise; what breaks
it are libraries that choose another kernel for another batch. Measured with torch 2.14 on AVX-512:

* ``F.conv2d`` and its backward leave oneDNN for im2col when a batch of one is small (at most 20,480 numbers) and, on
  one thread, when a 1 x 1 convolution sees fewer than 16 samples; stride-1 convolutions therefore name oneDNN.
* ``F.linear`` and 2-D matrix products choose kernels by their number of rows; here they are batched products, one
  product of fixed shape a sample.
* MKL splits a long sum between threads when a batched product has a batch of one; a small lone sample is therefore
  computed in a pair, which costs next to nothing.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

SMALL = 20_480
"""Up to this many numbers a lone sample is handed to other kernels than a batch."""

_ONEDNN = bool(torch.backends.mkldnn.is_available())  # type: ignore[no-untyped-call]  # torch annotates it not


class LinearMap(ABC):
    """A linear map of # [N, I, H, W] to # [N, O, H', W'], and back.

    Maps with weights in bf16 or fp16 compute in that type and hand back the type that they were given.
    """

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Map # [N, I, H, W] to # [N, O, H', W']; no gradient is recorded."""

    @abstractmethod
    def adjoint(self, gradient: Tensor) -> Tensor:
        """Map a gradient # [N, O, H', W'] back to # [N, I, H, W]."""


class Convolution(LinearMap):
    """Correlation with stride 1 and zero padding that keeps the size.

    Args:
        weight: # [O, I, k, k], k odd; I = 1 with ``groups``.
        groups: 1, or the number of channels of a depthwise convolution.
        memory_format: Layout of the weights, and therefore of the result.
    """

    def __init__(self, weight: Tensor, *, groups: int = 1, memory_format: torch.memory_format) -> None:
        turned = weight.flip((2, 3))
        self._weight = weight.contiguous(memory_format=memory_format)
        # The adjoint of a correlation is the correlation with the turned kernel, which is faster than a backward call.
        self._turned = (turned if groups > 1 else turned.transpose(0, 1)).contiguous(memory_format=memory_format)
        self._groups = groups

    def __call__(self, x: Tensor) -> Tensor:
        """Correlate # [N, I, H, W] to # [N, O, H, W]."""
        return _correlate(x, self._weight, self._groups)

    def adjoint(self, gradient: Tensor) -> Tensor:
        """Correlate with the turned kernel."""
        return _correlate(gradient, self._turned, self._groups)


class StridedConvolution(LinearMap):
    """Correlation with stride 2 that halves even sizes, padded as TensorFlow's SAME does: the odd zero comes last.

    Args:
        weight: # [O, I, k, k], k odd; I = 1 with ``groups``.
        groups: 1, or the number of channels of a depthwise convolution.
        memory_format: Layout of the weights, and therefore of the result.
    """

    def __init__(self, weight: Tensor, *, groups: int = 1, memory_format: torch.memory_format) -> None:
        self._weight = weight.contiguous(memory_format=memory_format)
        self._groups = groups
        padding = weight.shape[-1] - 2
        self._before, self._after = padding // 2, padding - padding // 2

    def __call__(self, x: Tensor) -> Tensor:
        """Correlate # [N, I, H, W] to # [N, O, H / 2, W / 2]."""
        padded = F.pad(x, (self._before, self._after) * 2)
        return in_pairs(lambda t: F.conv2d(t, self._weight, stride=2, groups=self._groups), padded)

    def adjoint(self, gradient: Tensor) -> Tensor:
        """Scatter # [N, O, H / 2, W / 2] back to # [N, I, H, W]."""
        scattered = in_pairs(lambda g: F.conv_transpose2d(g, self._weight, stride=2, groups=self._groups), gradient)
        inner = slice(self._before, -self._after)
        return scattered[:, :, inner, inner]


class UpConvolution(LinearMap):
    """StyleGAN2's doubling convolution: transposed with stride 2, then a FIR filter.

    Args:
        weight: # [O, I, 3, 3].
        kernel: FIR kernel of four taps, normalised to sum 1. # [4, 4].
        memory_format: Layout of the weights, and therefore of the result.
    """

    def __init__(self, weight: Tensor, kernel: Tensor, *, memory_format: torch.memory_format) -> None:
        self._weight = weight.transpose(0, 1).contiguous(memory_format=memory_format)
        taps = (kernel * 4).flip((0, 1))[None, None].expand(weight.shape[0], 1, -1, -1)  # always in full precision
        self._taps = taps.contiguous(memory_format=memory_format)
        self._turned_taps = taps.flip((2, 3)).contiguous(memory_format=memory_format)

    def __call__(self, x: Tensor) -> Tensor:
        """Map # [N, I, H, W] to # [N, O, 2H, 2W]."""
        doubled = in_pairs(lambda t: F.conv_transpose2d(t, self._weight, stride=2), x.to(self._weight.dtype))
        return F.conv2d(doubled.to(x.dtype), self._taps, padding=1, groups=self._taps.shape[0])  # from 2H + 1 to 2H

    def adjoint(self, gradient: Tensor) -> Tensor:
        """Map # [N, O, 2H, 2W] back to # [N, I, H, W]."""
        filtered = F.conv2d(gradient, self._turned_taps, padding=2, groups=self._taps.shape[0])
        return in_pairs(lambda g: F.conv2d(g, self._weight, stride=2), filtered.to(self._weight.dtype)).to(gradient)


class Pointwise(LinearMap):
    """A 1 x 1 convolution as one matrix product a sample.

    Args:
        weight: # [O, I].
    """

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.contiguous()
        self._transposed = weight.t().contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """Mix channels, # [N, I, H, W] to # [N, O, H, W]."""
        return _mix(x, self._transposed)

    def adjoint(self, gradient: Tensor) -> Tensor:
        """Mix them back."""
        return _mix(gradient, self._weight)


def rows_times(rows: Tensor, matrix: Tensor) -> Tensor:
    """Multiply each sample's rows by a shared matrix; differentiable in ``rows``.

    Args:
        rows: # [N, M, K].
        matrix: # [K, L].

    Returns:
        # [N, M, L].
    """
    return in_pairs(lambda t: torch.bmm(t, matrix.expand(t.shape[0], -1, -1)), rows)


def sample_sum(x: Tensor) -> Tensor:
    """Add up each sample in two stages, so that a lone sample's sum is not split between threads. # [N, ...] -> [N]."""
    return x.sum(dim=-1).flatten(1).sum(dim=1)


def sample_mean(x: Tensor) -> Tensor:
    """Average over each sample. # [N, ...] -> [N]."""
    return sample_sum(x) / (x.numel() // x.shape[0])


def in_pairs(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Apply ``function`` to a batch; a small lone sample goes together with its own copy.

    Args:
        function: Treats samples independently.
        x: # [N, ...].
    """
    if x.shape[0] != 1 or x.numel() > SMALL:
        return function(x)
    return function(torch.cat([x, x]))[:1]


def _correlate(x: Tensor, weight: Tensor, groups: int) -> Tensor:
    padding = (weight.shape[-1] // 2,) * 2
    given = x.to(weight.dtype)
    if x.device.type == "cpu" and weight.dtype != torch.float64 and _ONEDNN:
        return torch.mkldnn_convolution(given, weight, None, padding, (1, 1), (1, 1), groups).to(x.dtype)
    return F.conv2d(given, weight, padding=padding, groups=groups).to(x.dtype)


def _mix(x: Tensor, matrix: Tensor) -> Tensor:
    positions = x.permute(0, 2, 3, 1)  # [N, H, W, I]
    mixed = rows_times(positions.flatten(1, 2), matrix)  # [N, H * W, O]
    return mixed.reshape(*positions.shape[:3], -1).permute(0, 3, 1, 2)
