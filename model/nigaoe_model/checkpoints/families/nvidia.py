"""NVIDIA's PyTorch StyleGAN2 (stylegan2-ada-pytorch, stylegan3 repository): pickled modules, and bare state dicts.

Names differ from ours, shapes do not. ``mapping.w_avg`` lies inside the generator, so it is a row like the others.
"""

from collections.abc import Iterable
from typing import Any

from nigaoe_core.errors import ForeignCheckpoint
from nigaoe_model.checkpoints.families.recognised import Recognised, Tensors, taps_of, tensors_of
from nigaoe_model.checkpoints.layouts import Layer, Row, infer_architecture
from nigaoe_model.checkpoints.records import ModuleRecord, TensorRecord, tensors_in
from nigaoe_model.stylegan2.architecture import Architecture

TITLE = "StyleGAN2 of NVIDIA (stylegan2-ada-pytorch, stylegan3 repository)"


def recognise(value: Any) -> Recognised | None:
    """Collect the networks of a pickle of modules; None when this is none."""
    if isinstance(value, ModuleRecord):
        value = {"G_ema": value}
    if not isinstance(value, dict):
        return None
    generator = next((value[key] for key in ("G_ema", "G") if isinstance(value.get(key), ModuleRecord)), None)
    if generator is None:
        return None
    notes = [] if isinstance(value.get("G_ema"), ModuleRecord) else ["There is no moving average; `G` was taken."]
    tensors = _tensors(generator)
    if "synthesis.b4.const" not in tensors or "mapping.fc0.weight" not in tensors:
        raise ForeignCheckpoint(f"NVIDIA's network class `{generator.class_name[:60]}` is no StyleGAN2 generator.")
    _refuse_switches(generator)
    discriminator = value.get("D")
    switches = _switches(generator, tensors)
    if isinstance(discriminator, ModuleRecord):
        switches["minibatch_std_group"] = _group(discriminator)
    architecture = infer_architecture(generator_layout, tensors, **switches)
    return Recognised(
        family="nvidia",
        title=TITLE,
        layout="nvidia",
        architecture=architecture,
        generator=tensors,
        discriminator=_tensors(discriminator) if isinstance(discriminator, ModuleRecord) else {},
        notes=tuple(notes),
    )


def recognise_state(value: dict[Any, Any], name: str, state: Tensors) -> Recognised:
    """Collect state dicts in NVIDIA's names, as `nigaoe weights export --layout nvidia-state` writes them."""
    switches, notes = _state_switches(value, state)
    architecture = infer_architecture(generator_layout, state, **switches)
    return Recognised(
        family="nvidia-state",
        title=f"state dict of {TITLE}",
        layout="nvidia",
        architecture=architecture,
        generator=state,
        discriminator=tensors_of(value.get("D")) if name else {},
        card=value["nigaoe"] if isinstance(value.get("nigaoe"), str) else "",
        notes=tuple(notes),
    )


def _state_switches(value: dict[Any, Any], state: Tensors) -> tuple[dict[str, Any], list[str]]:
    """Read what shapes do not tell from the constructor's arguments, where the file has them."""
    switches: dict[str, Any] = {"resample_filter": taps_of(state["synthesis.b8.resample_filter"])}
    arguments = value.get("G_kwargs")
    if not isinstance(arguments, dict):
        return switches, ["A bare state dict does not tell `conv_clamp`; none was assumed."]
    clamp = arguments["synthesis_kwargs"].get("conv_clamp")
    switches["conv_clamp"] = float(clamp) if clamp is not None else None
    switches["mapping_lr_multiplier"] = float(arguments["mapping_kwargs"].get("lr_multiplier", 0.01))
    if isinstance(value.get("D_kwargs"), dict):
        switches["minibatch_std_group"] = value["D_kwargs"]["epilogue_kwargs"].get("mbstd_group_size", 4)
    return switches, []


def _tensors(module: ModuleRecord) -> dict[str, TensorRecord]:
    return {".".join(path): tensor for path, tensor in tensors_in(module).items()}


def _child(module: ModuleRecord, *names: str) -> ModuleRecord:
    for name in names:
        module = module.state["_modules"][name]
        if not isinstance(module, ModuleRecord):
            raise TypeError(f"`{name}` is no module")
    return module


def _refuse_switches(generator: ModuleRecord) -> None:
    """Refuse the published variants that draw differently from the same tensors."""
    if generator.state.get("c_dim"):
        raise ForeignCheckpoint("This StyleGAN2 is class-conditional; Nigaoe reads unconditional ones.")
    if generator.state.get("img_channels") != 3:
        raise ForeignCheckpoint("This StyleGAN2 does not draw RGB pictures.")
    block = _child(generator, "synthesis", "b8").state
    if block.get("architecture") != "skip":
        raise ForeignCheckpoint(
            f"This StyleGAN2 has the architecture `{str(block.get('architecture'))[:20]}`, not `skip`."
        )
    activation = _child(generator, "synthesis", "b8", "conv0").state.get("activation")
    if activation != "lrelu":
        raise ForeignCheckpoint(f"This StyleGAN2 has the activation `{str(activation)[:20]}`, not `lrelu`.")


def _switches(generator: ModuleRecord, tensors: Tensors) -> dict[str, Any]:
    clamp = _child(generator, "synthesis", "b8", "conv0").state.get("conv_clamp")
    multiplier = _child(generator, "mapping", "fc0").state.get("bias_gain")
    return {
        "conv_clamp": float(clamp) if clamp is not None else None,
        "mapping_lr_multiplier": float(multiplier) if multiplier is not None else 0.01,
        "resample_filter": taps_of(tensors["synthesis.b8.resample_filter"]),
    }


def _group(discriminator: ModuleRecord) -> int:
    """Size of the groups that the minibatch statistic compares; None in the file means the whole batch."""
    group = _child(discriminator, "b4", "mbstd").state.get("group_size")
    return group if type(group) is int else 4


def generator_layout(layer: Layer) -> Iterable[Row]:
    """Return the rows of a generator's layer."""
    name = layer.name.replace("mapping.layers.", "mapping.fc").replace(".blocks.", ".")
    return [layer.row(part, f"{name}.{part.removeprefix('conv.')}") for part in layer.shapes]


def discriminator_layout(layer: Layer) -> Iterable[Row]:
    """Return the rows of a discriminator's layer."""
    return [layer.row(part, f"b{layer.resolution}.{layer.kind}.{part}") for part in layer.shapes]


def filter_names(architecture: Architecture) -> tuple[list[str], list[str]]:
    """Return the names of all stored resampling filters, of the generator and of the discriminator.

    Every layer has one, also those that do not resample.
    """
    generator = ["synthesis.b4.resample_filter", "synthesis.b4.conv1.resample_filter"]
    for resolution in architecture.resolutions[1:]:
        block = f"synthesis.b{resolution}"
        generator += [f"{block}{part}.resample_filter" for part in ("", ".conv0", ".conv1")]
    discriminator = [f"b{architecture.resolution}.fromrgb.resample_filter", "b4.conv.resample_filter"]
    for resolution in architecture.resolutions[:0:-1]:
        parts = ("", ".conv0", ".conv1", ".skip")
        discriminator += [f"b{resolution}{part}.resample_filter" for part in parts]
    return generator, discriminator


def generator_arguments(architecture: Architecture) -> dict[str, Any]:
    """Return the keyword arguments with which NVIDIA's ``Generator`` is built to hold the same network.

    ``channel_base`` and ``channel_max`` are left out when no pair of them gives the channel table.
    """
    return {
        "z_dim": architecture.z_dim,
        "c_dim": 0,
        "w_dim": architecture.w_dim,
        "img_resolution": architecture.resolution,
        "img_channels": 3,
        "mapping_kwargs": {
            "num_layers": architecture.mapping_layers,
            "lr_multiplier": architecture.mapping_lr_multiplier,
        },
        "synthesis_kwargs": _widths(architecture)
        | {"conv_clamp": architecture.conv_clamp, "resample_filter": list(architecture.resample_filter)},
    }


def discriminator_arguments(architecture: Architecture) -> dict[str, Any]:
    """Return the keyword arguments with which NVIDIA's ``Discriminator`` is built to hold the same network."""
    return {
        "c_dim": 0,
        "img_resolution": architecture.resolution,
        "img_channels": 3,
        "conv_clamp": architecture.conv_clamp,
        "block_kwargs": {"resample_filter": list(architecture.resample_filter)},
        "epilogue_kwargs": {"mbstd_group_size": architecture.minibatch_std_group},
    } | _widths(architecture)


def _widths(architecture: Architecture) -> dict[str, int]:
    """Return the two numbers from which NVIDIA computes all widths: ``min(channel_base // R, channel_max)``."""
    widest = max(architecture.channels[r] for r in architecture.resolutions)
    base = architecture.channels[architecture.resolution] * architecture.resolution
    fits = all(architecture.channels[r] == min(base // r, widest) for r in architecture.resolutions)
    return {"channel_base": base, "channel_max": widest} if fits else {}
