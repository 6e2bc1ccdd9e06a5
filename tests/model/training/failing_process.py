"""One process of a run of several; the second one fails in the way that the command line says.

RANK=1 WORLD_SIZE=2 MASTER_ADDR=127.0.0.1 MASTER_PORT=29500 python failing_process.py raise DATASET FOLDER
"""

import os
import signal
import sys
from pathlib import Path

import torch

from nigaoe_core.errors import NigaoeError, TrainingError
from nigaoe_model.training.config import TrainingConfig
from nigaoe_model.training.plan import GeneratorPlan
from nigaoe_model.training.run import train_generator
from nigaoe_model.training.trainer import GeneratorTrainer

FAILING_STEP = 3


def main() -> None:
    """Train until the second process fails."""
    torch.set_num_threads(1)
    way, dataset, folder = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    make_step = GeneratorTrainer.step

    def failing_step(trainer: GeneratorTrainer) -> None:
        if trainer.team.rank == 1 and trainer.progress.steps == FAILING_STEP:
            if way == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise TrainingError("the disk is full")
        make_step(trainer)

    if way != "early":
        GeneratorTrainer.step = failing_step  # type: ignore[method-assign]
    elif os.environ["RANK"] == "1":
        dataset = dataset / "nowhere"
    shape = {"resolution": 16, "channels": {4: 8, 8: 8, 16: 4}, "z_dim": 8, "w_dim": 8, "mapping_layers": 2}
    config = TrainingConfig.model_validate(
        {
            "architecture": shape | {"minibatch_std_group": 2},
            "batch": 4,
            "cadence": {"log_images": 4, "grid_images": 0, "score_images": 0, "save_seconds": 0.001},
            "compute": {"precision": "fp32", "threads": 1, "device": "cpu"},
        }
    )
    try:
        train_generator(GeneratorPlan(config=config, dataset=dataset, folder=folder))
    except NigaoeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
