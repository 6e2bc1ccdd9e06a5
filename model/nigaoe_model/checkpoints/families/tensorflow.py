"""NVIDIA's TensorFlow StyleGAN2: a pickled tuple (G, D, Gs) of ``dnnlib.tflib.network.Network``."""

from typing import Any

from nigaoe_core.errors import ForeignCheckpoint
from nigaoe_model.checkpoints.layouts import tensorflow as layout
from nigaoe_model.checkpoints.layouts.table import infer_architecture
from nigaoe_model.checkpoints.reading import Recognised
from nigaoe_model.checkpoints.records import NetworkRecord, TensorRecord
from nigaoe_model.checkpoints.walking import tensors_in

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
    architecture = infer_architecture(layout.generator, variables, **switches)
    return Recognised(
        family="tensorflow",
        title=TITLE,
        layout="tensorflow",
        architecture=architecture,
        generator=variables,
        discriminator=_variables(discriminator) if discriminator is not None else {},
    )


def _variables(network: NetworkRecord) -> dict[str, TensorRecord]:
    return {"/".join(way): tensor for way, tensor in tensors_in(network).items()}


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
