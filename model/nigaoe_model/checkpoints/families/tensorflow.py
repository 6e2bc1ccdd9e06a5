"""NVIDIA's TensorFlow StyleGAN2: a pickled tuple (G, D, Gs) of ``dnnlib.tflib.network.Network``.

Convolutions are stored [kh, kw, in, out] and dense layers [in, out]; the style's bias lacks the 1 that ours contains;
the kernel of the upsampling convolution is stored mirrored, because theirs is a transposed convolution.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from nigaoe_core.errors import ForeignCheckpoint
from nigaoe_model.checkpoints.families.recognised import Recognised
from nigaoe_model.checkpoints.layouts import Layer, Row, infer_architecture
from nigaoe_model.checkpoints.records import NetworkRecord, TensorRecord, tensors_in

TITLE = "StyleGAN2 of NVIDIA in TensorFlow (stylegan2, stylegan2-ada)"


def recognise(value: Any) -> Recognised | None:
    """Collect the networks of a pickled tuple; None when this is none."""
    networks = [value] if isinstance(value, NetworkRecord) else list(value) if isinstance(value, tuple | list) else []
    if not networks or not all(isinstance(network, NetworkRecord) for network in networks):
        return None
    generator = networks[-1]  # (G, D, Gs): the moving average comes last.
    variables = _variables(generator)
    if "synthesis/4x4/Const/const" not in variables or "synthesis/4x4/Conv/mod_weight" not in variables:
        raise ForeignCheckpoint(f"The TensorFlow network `{_function(generator)}` is no StyleGAN2 generator.")
    _refuse_switches(generator)
    switches = _switches(generator)
    discriminator = networks[1] if len(networks) == 3 else None
    if discriminator is not None:
        switches["minibatch_std_group"] = _option(discriminator, "mbstd_group_size", int) or 4
    architecture = infer_architecture(generator_layout, variables, **switches)
    return Recognised(
        family="tensorflow",
        title=TITLE,
        layout="tensorflow",
        architecture=architecture,
        generator=variables,
        discriminator=_variables(discriminator) if discriminator is not None else {},
    )


def _variables(network: NetworkRecord) -> dict[str, TensorRecord]:
    return {"/".join(path): tensor for path, tensor in tensors_in(network).items()}


def _function(network: NetworkRecord) -> str:
    return str(network.state.get("build_func_name"))[:60]


def _option(network: NetworkRecord, name: str, *kinds: type) -> Any:
    options = network.state.get("static_kwargs")
    value = options.get(name) if isinstance(options, dict) else None
    return value if type(value) in kinds else None


def _refuse_switches(generator: NetworkRecord) -> None:
    if _option(generator, "label_size", int):
        raise ForeignCheckpoint("This StyleGAN2 is class-conditional; Nigaoe reads unconditional ones.")
    if (_option(generator, "num_channels", int) or 3) != 3:
        raise ForeignCheckpoint("This StyleGAN2 does not draw RGB pictures.")
    kind = _option(generator, "architecture", str) or "skip"
    if kind != "skip":
        raise ForeignCheckpoint(f"This StyleGAN2 has the architecture `{kind[:20]}`, not `skip`.")


def _switches(generator: NetworkRecord) -> dict[str, Any]:
    clamp = _option(generator, "conv_clamp", int, float)
    multiplier = _option(generator, "mapping_lrmul", float)
    taps = _option(generator, "resample_kernel", list, tuple)
    switches: dict[str, Any] = {"conv_clamp": float(clamp) if clamp is not None else None}
    if multiplier is not None:
        switches["mapping_lr_multiplier"] = multiplier
    if taps is not None:
        switches["resample_filter"] = tuple(float(tap) for tap in taps)
    return switches


_DISCRIMINATOR = {"fromrgb": "FromRGB", "conv0": "Conv0", "conv1": "Conv1_down", "skip": "Skip"}
_EPILOGUE = {"conv": "4x4/Conv", "fc": "4x4/Dense0", "out": "Output"}


def generator_layout(layer: Layer) -> Iterable[Row]:
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


def discriminator_layout(layer: Layer) -> Iterable[Row]:
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
