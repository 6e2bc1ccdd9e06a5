"""NVIDIA's PyTorch StyleGAN2 (stylegan2-ada-pytorch, stylegan3 repository): pickled modules, and bare state dicts."""

from typing import Any

from nigaoe_core.errors import ForeignCheckpoint
from nigaoe_model.checkpoints.families.filters import taps_of
from nigaoe_model.checkpoints.layouts import nvidia as layout
from nigaoe_model.checkpoints.layouts.table import infer_architecture
from nigaoe_model.checkpoints.reading import Recognised, Tensors, tensors_of
from nigaoe_model.checkpoints.records import ModuleRecord, TensorRecord
from nigaoe_model.checkpoints.walking import tensors_in

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
    architecture = infer_architecture(layout.generator, tensors, **switches)
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
    architecture = infer_architecture(layout.generator, state, **switches)
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
    return {".".join(way): tensor for way, tensor in tensors_in(module).items()}


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
