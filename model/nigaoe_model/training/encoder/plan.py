"""What decides an encoder's run, and how it is found again; nothing here imports torch, so it is quickly said."""

import json
from dataclasses import dataclass
from pathlib import Path

from nigaoe_core.errors import TrainingError
from nigaoe_model.training.encoder.config import EncoderConfig
from nigaoe_model.training.plan import CONFIG


@dataclass(frozen=True, slots=True)
class EncoderPlan:
    """Everything that decides a run.

    Attributes:
        config: Resolved settings.
        generator: Checkpoint of g_ori.
        folder: Where the run lives.
        dataset: Folder of packed photos; None: own faces only.
        held_out: Folder of packed photos for examinations; None: the last ones of ``dataset``.
        init: Encoder to start from, perhaps of an earlier g_ori; None starts at the mean face.
        resume: Go on from the folder's state.
        tensorboard: Also write TensorBoard events.
    """

    config: EncoderConfig
    generator: Path
    folder: Path
    dataset: Path | None = None
    held_out: Path | None = None
    init: Path | None = None
    resume: bool = False
    tensorboard: bool = False


def write_config(plan: EncoderPlan) -> None:
    """Save the resolved settings beside the run."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    document = {
        "encoder": plan.config.model_dump(mode="json"),
        "generator": str(plan.generator),
        "dataset": str(plan.dataset) if plan.dataset else None,
        "held_out": str(plan.held_out) if plan.held_out else None,
    }
    (plan.folder / CONFIG).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def read_config(folder: Path) -> EncoderPlan:
    """Return the plan that goes on with the run in ``folder``.

    Raises:
        TrainingError: There is no run of an encoder.
    """
    try:
        document = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        config = EncoderConfig.model_validate(document["encoder"])
        dataset, held_out = (Path(document[key]) if document[key] else None for key in ("dataset", "held_out"))
        return EncoderPlan(config, Path(document["generator"]), folder, dataset, held_out, resume=True)
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"`{folder}` holds no encoder's run that could be resumed.") from error
