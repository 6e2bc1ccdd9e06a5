"""Files of other programs, made here: the layouts from their tables, the formats from torch and pickle themselves."""

import argparse
import pickle
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from nigaoe_model.checkpoints.families import nvidia, rosinality, tensorflow
from nigaoe_model.checkpoints.layouts import Row, discriminator_rows, generator_rows, to_foreign
from nigaoe_model.stylegan2.architecture import Architecture
from nigaoe_model.stylegan2.checkpoint import Checkpoint
from nigaoe_model.stylegan2.discriminator import Discriminator
from nigaoe_model.stylegan2.ops.resample import fir_kernel

State = dict[str, Tensor]
Build = Callable[..., Path]


@pytest.fixture(scope="session")
def golden(repository: Path) -> Path:
    """The folder of golden files."""
    return repository / "tests" / "data" / "golden"


@pytest.fixture
def tiny_discriminator(tiny: Architecture) -> State:
    """A seeded random discriminator's tensors."""
    torch.manual_seed(3)
    return dict(Discriminator(tiny).state_dict())


def rosinality_state(generator: State, architecture: Architecture) -> State:
    """Return a generator as rosinality's module would store it, kernels included."""
    state = to_foreign(generator_rows(rosinality.generator_layout, architecture), generator)
    kernel = fir_kernel(architecture.resample_filter) * 4
    return state | {name: kernel.clone() for name in rosinality.kernel_names(architecture)[0]}


@pytest.fixture
def rosinality_file(tmp_path: Path, tiny_checkpoint: Checkpoint, tiny_discriminator: State) -> Build:
    """A function that writes the tiny generator as a rosinality file; keywords replace parts, None leaves them out."""

    def write(*, name: str = "foreign.pt", legacy: bool = False, generator: State | None = None, **parts: Any) -> Path:
        architecture = tiny_checkpoint.card.architecture
        state = dict(tiny_checkpoint.generator) if generator is None else generator
        document: dict[str, Any] = {
            "g": {key: tensor * 2 for key, tensor in rosinality_state(state, architecture).items()},
            "g_ema": rosinality_state(state, architecture),
            "d": to_foreign(discriminator_rows(rosinality.discriminator_layout, architecture), tiny_discriminator),
            "g_optim": {"state": {0: {"step": 3, "exp_avg": torch.zeros(5)}}, "param_groups": [{"lr": 0.002}]},
            "args": argparse.Namespace(size=16, latent=8, n_mlp=2),
            "ada_aug_p": 0.1,
        } | parts
        path = tmp_path / name
        kept = {key: part for key, part in document.items() if part is not None}
        torch.save(kept, path, _use_new_zipfile_serialization=not legacy)
        return path

    return write


@pytest.fixture
def foreign_modules() -> Iterator[None]:
    """Stand-ins for the modules that NVIDIA's pickles name; they exist only while a test writes such files."""

    def reconstruct(meta: dict[str, Any]) -> Any:
        raise AssertionError(f"source of {meta['class_name']} was executed")

    class Network:
        def __init__(self, state: dict[str, Any]) -> None:
            self.__dict__.update(state)

    reconstruct.__module__ = "torch_utils.persistence"
    reconstruct.__qualname__ = reconstruct.__name__ = "_reconstruct_persistent_obj"
    Network.__module__, Network.__qualname__ = "dnnlib.tflib.network", "Network"
    modules = {name: types.ModuleType(name) for name in ("torch_utils", "torch_utils.persistence", "dnnlib")}
    modules |= {name: types.ModuleType(name) for name in ("dnnlib.tflib", "dnnlib.tflib.network")}
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = reconstruct  # type: ignore[attr-defined]
    modules["dnnlib.tflib.network"].Network = Network  # type: ignore[attr-defined]
    sys.modules.update(modules)
    yield
    for name in modules:
        del sys.modules[name]


class PersistentModule:
    """Pickles as NVIDIA's persistent classes do: a reconstructor, and a dictionary with the source of the class."""

    def __init__(self, class_name: str, attributes: dict[str, Any], tensors: State) -> None:
        self.class_name = class_name
        self.state: dict[str, Any] = {"_parameters": {}, "_buffers": {}, "_modules": {}, **attributes}
        for name, tensor in tensors.items():
            self._place(name.split("."), tensor)

    def _place(self, way: list[str], tensor: Tensor) -> None:
        if len(way) == 1:
            kind = "_buffers" if way[0] in ("resample_filter", "noise_const", "w_avg") else "_parameters"
            self.state[kind][way[0]] = tensor if kind == "_buffers" else torch.nn.Parameter(tensor)
            return
        modules = self.state["_modules"]
        modules.setdefault(way[0], PersistentModule("Part", {}, {}))._place(way[1:], tensor)

    def child(self, way: str) -> "PersistentModule":
        """Return the module at a dotted name, an empty one where there is none."""
        module = self
        for name in way.split("."):
            module = module.state["_modules"].setdefault(name, PersistentModule("Part", {}, {}))
        return module

    def __reduce__(self) -> tuple[Any, ...]:
        reconstruct = sys.modules["torch_utils.persistence"]._reconstruct_persistent_obj
        meta = {"type": "class", "version": 6, "module_src": "raise SystemExit", "class_name": self.class_name}
        return reconstruct, (meta | {"state": self.state},)


def nvidia_module(generator: State, architecture: Architecture, **attributes: Any) -> PersistentModule:
    """Return a generator as NVIDIA's pickles hold it."""
    filters = dict.fromkeys(nvidia.filter_names(architecture)[0], fir_kernel(architecture.resample_filter))
    tensors = to_foreign(generator_rows(nvidia.generator_layout, architecture), generator) | filters
    module = PersistentModule("Generator", {"c_dim": 0, "img_channels": 3, **attributes}, tensors)
    module.child("synthesis.b8").state |= {"architecture": "skip"}
    module.child("synthesis.b8.conv0").state |= {"activation": "lrelu", "conv_clamp": architecture.conv_clamp}
    module.child("mapping.fc0").state |= {"bias_gain": architecture.mapping_lr_multiplier}
    return module


@pytest.fixture
def nvidia_file(
    tmp_path: Path,
    tiny_checkpoint: Checkpoint,
    tiny_discriminator: State,
    foreign_modules: None,  # noqa: ARG001 - the pickler looks the names up in them
) -> Build:
    """A function that writes the tiny networks as an NVIDIA pickle."""

    def write(change: Callable[[PersistentModule], None] = lambda _: None, **parts: Any) -> Path:
        architecture = tiny_checkpoint.card.architecture
        generator = nvidia_module(dict(tiny_checkpoint.generator), architecture)
        change(generator)
        critic = to_foreign(discriminator_rows(nvidia.discriminator_layout, architecture), tiny_discriminator)
        discriminator = PersistentModule("Discriminator", {"c_dim": 0}, critic)
        discriminator.child("b4.mbstd").state |= {"group_size": architecture.minibatch_std_group}
        document = {"training_set_kwargs": {"path": "x.zip"}, "D": discriminator, "G_ema": generator, **parts}
        path = tmp_path / "network.pkl"
        path.write_bytes(pickle.dumps(document, protocol=4))
        return path

    return write


def tensorflow_variables(state: State, rows: list[Row]) -> dict[str, Any]:
    """Return variables as TensorFlow stored them, by its rules written down once more and the other way round."""

    def undo(name: str, tensor: Tensor) -> Tensor:
        if name.endswith("affine.bias"):
            return tensor - 1
        if name.endswith(("const", "noise_const")):
            return tensor[None] if tensor.ndim == 3 else tensor[None, None]
        if tensor.ndim == 2:
            return tensor.t()
        if tensor.ndim < 4:
            return tensor
        upsamples = name.startswith("synthesis") and name.endswith("conv0.conv.weight")
        return tensor.permute(2, 3, 1, 0).flip((0, 1)) if upsamples else tensor.permute(2, 3, 1, 0)

    variables = {row.foreign: undo(row.native, state[row.native]).contiguous().numpy() for row in rows}
    # A session returns a variable without axes as a scalar of numpy, not as an array.
    return {name: variable[()] if variable.ndim == 0 else variable for name, variable in variables.items()}


@pytest.fixture
def tensorflow_file(
    tmp_path: Path,
    tiny_checkpoint: Checkpoint,
    tiny_discriminator: State,
    foreign_modules: None,  # noqa: ARG001 - the pickler looks the names up in them
) -> Build:
    """A function that writes the tiny networks as a pickle of the TensorFlow era: (G, D, Gs)."""

    def network(name: str, variables: dict[str, Any], options: dict[str, Any], **components: Any) -> Any:
        # What `Network.__getstate__` of dnnlib returns.
        state = {
            "version": 4,
            "name": name,
            "static_kwargs": options,
            "components": components,
            "build_module_src": "raise SystemExit",
            "build_func_name": name,
            "variables": list(variables.items()),
        }
        return sys.modules["dnnlib.tflib.network"].Network(state)

    def generator(state: State, architecture: Architecture, options: dict[str, Any]) -> Any:
        variables = tensorflow_variables(state, generator_rows(tensorflow.generator_layout, architecture))
        parts: dict[str, dict[str, Any]] = {"": {}, "mapping/": {}, "synthesis/": {}}
        for key, value in variables.items():
            prefix = next((p for p in ("mapping/", "synthesis/") if key.startswith(p)), "")
            parts[prefix][key.removeprefix(prefix)] = value
        mapping = network("G_mapping", parts["mapping/"], {})
        synthesis = network("G_synthesis_stylegan2", parts["synthesis/"], {})
        return network("G_main", parts[""], options, mapping=mapping, synthesis=synthesis)

    def write(state: State | None = None, **options: Any) -> Path:
        architecture = tiny_checkpoint.card.architecture
        averaged = dict(tiny_checkpoint.generator) if state is None else state
        raw = {key: tensor + 1 for key, tensor in averaged.items()}
        critic = tensorflow_variables(
            tiny_discriminator, discriminator_rows(tensorflow.discriminator_layout, architecture)
        )
        group = {"mbstd_group_size": architecture.minibatch_std_group}
        networks = (
            generator(raw, architecture, options),
            network("D_stylegan2", critic, group),
            generator(averaged, architecture, options),
        )
        path = tmp_path / "tensorflow.pkl"
        path.write_bytes(pickle.dumps(networks, protocol=4))
        return path

    return write
