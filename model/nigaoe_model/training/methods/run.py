"""Set up the run of a compared method from a plan, and carry it out."""

import os

import torch

from nigaoe_core.errors import TrainingError
from nigaoe_model.training.distributed import joined_team
from nigaoe_model.training.gans_n_roses.step import GansNRosesStep
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.step import MethodStep
from nigaoe_model.training.methods.trainer import MethodTrainer
from nigaoe_model.training.plan import GansNRosesPlan, MethodPlan, SwappingAutoencoderPlan, check_folder
from nigaoe_model.training.run_state import Progress
from nigaoe_model.training.session import Report, Watch, set_up_torch, train
from nigaoe_model.training.swapping_autoencoder.step import SwappingAutoencoderStep


def train_method(plan: MethodPlan, report: Report | None = None, watch: Watch | None = None) -> Progress:
    """Train as planned, or go on with what the plan's folder holds.

    Args:
        plan: What to do.
        report: Called with each line of the log.
        watch: Called after each step.

    Raises:
        DatasetError: A data set cannot be read.
        TrainingError: The folder's contents and the plan disagree, the data sets do not go together, several processes
            were started, or the numbers became infinite.
        InvalidSettings: The device has no instructions for the chosen precision.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # Both methods' discriminators compare the pictures of a batch, which therefore stays in one process.
        raise TrainingError("This method trains in one process; start it without `torchrun`.")
    check_folder(plan)
    config = plan.config
    set_up_torch(config.compute.threads)
    with joined_team(config.compute.device) as team:
        domains = Domains.opened(plan.dataset, plan.anime, plan.held_out, config.held_out)
        trainer = MethodTrainer(plan.method, config, domains, _step(plan, domains, team.device), team.device)
        return train(trainer, plan, report, watch)


def _step(plan: MethodPlan, domains: Domains, device: torch.device) -> MethodStep:
    torch.manual_seed(plan.config.compute.seed)
    if isinstance(plan, GansNRosesPlan):
        return GansNRosesStep(plan.config, domains, device)
    if isinstance(plan, SwappingAutoencoderPlan):
        return SwappingAutoencoderStep(plan.config, domains, device)
    raise TrainingError(f"There is no training of {plan.method}.")
