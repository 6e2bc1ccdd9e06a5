"""What decides a run, and the files by which it is found again; nothing here imports torch, so it is quickly said."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from nigaoe_core.errors import TrainingError
from nigaoe_model.training.config import TrainingConfig

CONFIG = "config.json"
"""The resolved settings, in a run's folder."""
STATE = "state.safetensors"
"""Everything that going on exactly needs, in a run's folder."""


@dataclass(frozen=True, slots=True)
class Starts:
    """Slim weight files to start from; None starts at random (``average``: from the generator).

    Attributes:
        generator: File with a generator.
        average: File whose generator becomes the moving average.
        discriminator: File with a discriminator.
        encoder: File of an encoder, perhaps of an earlier generator; only reconstruction needs one.
        grow: The files may hold networks of half the run's resolution; such are grown
            (see :mod:`nigaoe_model.training.growth`).
    """

    generator: Path | None = None
    average: Path | None = None
    discriminator: Path | None = None
    encoder: Path | None = None
    grow: bool = False


@dataclass(frozen=True, slots=True)
class RunPlan:
    """Everything that decides a run.

    Attributes:
        config: Resolved settings.
        dataset: Folder of the packed data set.
        folder: Where the run lives.
        starts: Weights to start from.
        parent: Slim checkpoint that a fine-tune starts from; None in a base run.
        photo_latents: File of latents of photos that a fine-tune also draws; None draws z alone.
        resume: Go on from the folder's state.
        tensorboard: Also write TensorBoard events.
    """

    config: TrainingConfig
    dataset: Path
    folder: Path
    starts: Starts = field(default_factory=Starts)
    parent: Path | None = None
    photo_latents: Path | None = None
    resume: bool = False
    tensorboard: bool = False


def write_config(plan: RunPlan) -> None:
    """Save the resolved settings beside the run."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    document = {
        "config": plan.config.model_dump(mode="json"),
        "dataset": str(plan.dataset),
        "parent": str(plan.parent) if plan.parent else None,
        "photo_latents": str(plan.photo_latents) if plan.photo_latents else None,
    }
    (plan.folder / CONFIG).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path) -> RunPlan:
    """Return the plan that goes on with the run in ``folder``.

    Raises:
        TrainingError: There is no run.
    """
    try:
        document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config = TrainingConfig.model_validate(document["config"])
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"`{folder}` holds no run that could be resumed.") from error
    parent, latents = (Path(document[name]) if document.get(name) else None for name in ("parent", "photo_latents"))
    return RunPlan(config, Path(document["dataset"]), folder, parent=parent, photo_latents=latents, resume=True)
