"""The layout of NVIDIA's TensorFlow StyleGAN2 (``dnnlib.tflib.network.Network``), one way: from theirs to ours.

Convolutions are stored [kh, kw, in, out] and dense layers [in, out]; the style's bias lacks the 1 that ours contains;
the kernel of the upsampling convolution is stored mirrored, because theirs is a transposed convolution.
"""

from collections.abc import Iterable, Iterator

from nigaoe_model.checkpoints.layouts.table import Layer, Row

_DISCRIMINATOR = {"fromrgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "skip": "Skip"}
_EPILOGUE = {"conv": "4x4/Conv", "fc": "4x4/Dense0", "out": "Output"}


def generator(layer: Layer) -> Iterable[Row]:
    """Return the rows of a generator's layer; names have the component in front."""
    i, block = layer.index, f"synthesis/{layer.resolution}x{layer.resolution}"
    match layer.kind:
        case "mean":
            return [layer.row("w_avg", "dlatent_avg")]
        case "mapping":
            return _affine(layer, f"mapping/Dense{i}")
        case "const":
            return [layer.row("const", f"{block}/Const/const", (1, *layer.shapes["const"]))]
        case "conv0":
            return _noisy(layer, f"{block}/Conv0_up", 2 * i - 1)
        case "conv1":
            return _noisy(layer, f"{block}/Conv1" if i else f"{block}/Conv", 2 * i)
    return _modulated(layer, f"{block}/ToRGB")


def discriminator(layer: Layer) -> Iterable[Row]:
    """Return the rows of a discriminator's layer."""
    block = f"{layer.resolution}x{layer.resolution}"
    return _affine(layer, _EPILOGUE.get(layer.kind) or f"{block}/{_DISCRIMINATOR[layer.kind]}")


def _noisy(layer: Layer, name: str, noise: int) -> Iterator[Row]:
    yield from _modulated(layer, name, mirrored=layer.kind == "conv0")
    yield layer.row("noise_strength", f"{name}/noise_strength")
    yield layer.row("noise_const", f"synthesis/noise{noise}", (1, 1, *layer.shapes["noise_const"]))


def _modulated(layer: Layer, name: str, *, mirrored: bool = False) -> Iterator[Row]:
    yield _weight(layer, "conv.weight", f"{name}/weight", mirrored=mirrored)
    yield _weight(layer, "conv.affine.weight", f"{name}/mod_weight")
    yield layer.row("conv.affine.bias", f"{name}/mod_bias", convert=lambda bias: bias + 1)
    yield layer.row("bias", f"{name}/bias")


def _affine(layer: Layer, name: str) -> Iterator[Row]:
    yield _weight(layer, "weight", f"{name}/weight")
    if "bias" in layer.shapes:
        yield layer.row("bias", f"{name}/bias")


def _weight(layer: Layer, part: str, name: str, *, mirrored: bool = False) -> Row:
    shape = layer.shapes[part]
    if len(shape) == 2:
        return layer.row(part, name, shape[::-1], lambda weight: weight.t())
    theirs = (*shape[2:], shape[1], shape[0])
    if mirrored:
        return layer.row(part, name, theirs, lambda weight: weight.flip((0, 1)).permute(3, 2, 0, 1))
    return layer.row(part, name, theirs, lambda weight: weight.permute(3, 2, 0, 1))
