"""The layout of rosinality/stylegan2-pytorch, which FreezeG, e4e and pSp decoders share.

A pure rename and reshape: convolution weights carry a leading 1, biases of ToRGB are four-dimensional, noise strengths
have one element instead of none. The mean style, ``latent_avg``, stands outside of the state dict and has no row.
"""

from collections.abc import Iterable, Iterator

from nigaoe_model.checkpoints.layouts.table import Layer, Row
from nigaoe_model.stylegan2.architecture import Architecture

_PLAIN = {
    "fromrgb": ("convs.0.0.weight", "convs.0.1.bias"),
    "conv": ("final_conv.0.weight", "final_conv.1.bias"),
    "fc": ("final_linear.0.weight", "final_linear.0.bias"),
    "out": ("final_linear.1.weight", "final_linear.1.bias"),
}
_RESIDUAL = {
    "conv0": ("conv1.0.weight", "conv1.1.bias"),
    "conv1": ("conv2.1.weight", "conv2.2.bias"),
    "skip": ("skip.1.weight",),
}


def generator(layer: Layer) -> Iterable[Row]:
    """Return the rows of a generator's layer."""
    i, last = layer.index, layer.index - 1
    match layer.kind:
        case "mapping":
            return [layer.row(part, f"style.{i + 1}.{part}") for part in ("weight", "bias")]
        case "const":
            return [layer.row("const", "input.input", (1, *layer.shapes["const"]))]
        case "conv0":
            return _noisy(layer, f"convs.{2 * last}", 2 * i - 1)
        case "conv1":
            return _noisy(layer, f"convs.{2 * last + 1}" if i else "conv1", 2 * i)
        case "torgb":
            name = f"to_rgbs.{last}" if i else "to_rgb1"
            return [*_modulated(layer, name), layer.row("bias", f"{name}.bias", (1, 3, 1, 1))]
    return []


def discriminator(layer: Layer) -> Iterable[Row]:
    """Return the rows of a discriminator's layer."""
    names = _PLAIN.get(layer.kind) or [f"convs.{layer.index}.{name}" for name in _RESIDUAL[layer.kind]]
    return [layer.row(part, name) for part, name in zip(layer.shapes, names, strict=True)]


def kernel_names(architecture: Architecture) -> tuple[list[str], list[str]]:
    """Return the names of all stored resampling kernels, of the generator and of the discriminator."""
    steps = range(architecture.num_blocks - 1)
    generators = [f"convs.{2 * index}.conv.blur.kernel" for index in steps]
    generators += [f"to_rgbs.{index}.upsample.kernel" for index in steps]
    discriminators = [f"convs.{index + 1}.{part}.0.kernel" for index in steps for part in ("conv2", "skip")]
    return generators, discriminators


def _noisy(layer: Layer, name: str, noise: int) -> Iterator[Row]:
    yield from _modulated(layer, name)
    yield layer.row("bias", f"{name}.activate.bias")
    yield layer.row("noise_strength", f"{name}.noise.weight", (1,))
    yield layer.row("noise_const", f"noises.noise_{noise}", (1, 1, *layer.shapes["noise_const"]))


def _modulated(layer: Layer, name: str) -> Iterator[Row]:
    yield layer.row("conv.weight", f"{name}.conv.weight", (1, *layer.shapes["conv.weight"]))
    yield layer.row("conv.affine.weight", f"{name}.conv.modulation.weight")
    yield layer.row("conv.affine.bias", f"{name}.conv.modulation.bias")
