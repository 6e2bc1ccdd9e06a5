"""rosinality/stylegan2-pytorch and its kin: FreezeG and others (``g_ema``), e4e and pSp (``decoder.``).

A pure rename and reshape: convolution weights carry a leading 1, biases of ToRGB are four-dimensional, noise strengths
have one element instead of none. The mean style, ``latent_avg``, stands outside of the state dict and has no row.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from nigaoe_core.errors import CheckpointMismatch, ForeignCheckpoint
from nigaoe_model.checkpoints.families.nvidia import recognise_state
from nigaoe_model.checkpoints.families.recognised import Recognised, Tensors, taps_of, tensors_of
from nigaoe_model.checkpoints.layouts import Layer, Row, generator_rows, infer_architecture
from nigaoe_model.checkpoints.records import TensorRecord
from nigaoe_model.stylegan2.architecture import Architecture

# The moving average is the better generator wherever there is one.
_GENERATOR_KEYS = (
    "g_ema",
    "G_ema",
    "params_ema",
    "generator_ema",
    "g",
    "G",
    "generator",
    "state_dict",
    "params",
    "model",
)
_DISCRIMINATOR_KEYS = ("d", "D", "discriminator")
_WRAPPERS = ("", "decoder.", "module.", "g_ema.", "generator.")
_BESIDE = ("d.", "D.", "discriminator.", "g.", "G.", "g_ema.", "latent_avg")
"""What may stand beside a wrapped generator in one dictionary and has no part in its drawing."""
_MARKS = ("input.input", "style.1.weight", "conv1.conv.weight", "convs.0.conv.modulation.weight")


def recognise(value: Any) -> Recognised | None:
    """Collect generator, discriminator and mean style; None when this is no file of the family."""
    if not isinstance(value, dict):
        return None
    for name, state in _candidates(value):
        if "synthesis.b4.const" in state:
            return recognise_state(value, name, state)
        for prefix in _WRAPPERS:
            generator = _without_prefix(state, prefix)
            if all(mark in generator for mark in _MARKS):
                _refuse_parts_beside(state, prefix)
                return _recognised(value, name, generator, is_decoder=prefix == "decoder.")
    return None


def _candidates(value: dict[Any, Any]) -> list[tuple[str, dict[str, TensorRecord]]]:
    found = [(key, tensors_of(value.get(key))) for key in _GENERATOR_KEYS]
    return [(key, state) for key, state in found if state] + [("", tensors_of(value))]


def _without_prefix(state: Tensors, prefix: str) -> dict[str, TensorRecord]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _refuse_parts_beside(state: Tensors, prefix: str) -> None:
    """A StyleGAN2 may be a part of another network, and draws something else without the rest."""
    # The encoders of e4e, pSp and ReStyle only guess a latent: what the decoder draws of it is all there is.
    allowed = (prefix, *_BESIDE, *(("encoder.",) if prefix == "decoder." else ()))
    beside = [name for name in state if not name.startswith(allowed)]
    if beside:
        raise ForeignCheckpoint(
            f"The StyleGAN2 under `{prefix}` is a part of a network that Nigaoe does not know: beside it lies "
            f"`{beside[0]}`, without which it would draw something else."
        )


def _recognised(
    value: dict[Any, Any], name: str, generator: dict[str, TensorRecord], *, is_decoder: bool
) -> Recognised:
    kernel = generator.get("convs.0.conv.blur.kernel")
    switches = {} if kernel is None else {"resample_filter": taps_of(kernel)}
    architecture = infer_architecture(generator_layout, generator, **switches)
    _refuse_variants(architecture, generator)
    arguments = value.get("args")
    depth = arguments.get("finetune_loc") if isinstance(arguments, dict) else None
    is_freezeg = type(depth) is int and 0 < depth <= architecture.num_blocks
    return Recognised(
        family="e4e" if is_decoder else "freezeg" if is_freezeg else "rosinality",
        title=_title(is_decoder=is_decoder, is_freezeg=is_freezeg),
        layout="rosinality",
        architecture=architecture,
        generator=generator,
        discriminator=next((tensors_of(value.get(key)) for key in _DISCRIMINATOR_KEYS if value.get(key)), {}),
        latent_avg=_latent_avg(value, architecture),
        trainable_blocks=depth if is_freezeg else None,
        card=value["nigaoe"] if isinstance(value.get("nigaoe"), str) else "",
        notes=tuple(_notes(name, generator)),
    )


def _notes(name: str, generator: Tensors) -> list[str]:
    notes = []
    if name in ("g", "G"):
        notes.append(f"There is no moving average; `{name}` was taken.")
    if "noises.noise_0" not in generator:
        notes.append("The file has no noise maps; fixed ones were drawn.")
    return notes


def _title(*, is_decoder: bool, is_freezeg: bool) -> str:
    if is_decoder:
        return "StyleGAN2 decoder of an encoder (e4e, pSp, ReStyle)"
    return "FreezeG (rosinality's StyleGAN2)" if is_freezeg else "StyleGAN2 of rosinality/stylegan2-pytorch"


def _latent_avg(value: dict[Any, Any], architecture: Architecture) -> TensorRecord | None:
    average = value.get("latent_avg")
    if not isinstance(average, TensorRecord):
        return None
    if not average.shape or average.shape[-1] != architecture.w_dim:
        raise CheckpointMismatch(f"`latent_avg` has shape {list(average.shape)}; the styles have {architecture.w_dim}.")
    return average


def _refuse_variants(architecture: Architecture, generator: Tensors) -> None:
    """A name that the layout does not have means another network, however much of the rest fits."""
    known = {row.foreign for row in generator_rows(generator_layout, architecture)}
    surplus = [
        name for name in generator if name not in known and not name.endswith((".blur.kernel", ".upsample.kernel"))
    ]
    if surplus:
        raise ForeignCheckpoint(
            f"This is a variant of rosinality's StyleGAN2 with parts that Nigaoe does not have, such as `{surplus[0]}`."
        )


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


def generator_layout(layer: Layer) -> Iterable[Row]:
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


def discriminator_layout(layer: Layer) -> Iterable[Row]:
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
