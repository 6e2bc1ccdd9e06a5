"""How strongly each term of GANs N' Roses pulls, so that our feature distance can stand in for LPIPS.

    python benchmarks/experiments/gans_n_roses_weights.py data/faces64 data/anime64 --steps 0 40
    python benchmarks/experiments/gans_n_roses_weights.py data/faces64 data/anime64 --run runs/gnr64

First the feature distance and the mean squared error of photos that were blurred, shifted or made noisy, and of
unrelated photos. Then, at each of the steps from random weights or as a run's saved state stands, the generators'
terms: value, weight, and the length of the weighted term's gradient by the parameters of both generators, as a multiple
of the cycle's. Every number is the mean over a few batches.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.step_graphs import markdown
from nigaoe_model.compared.gans_n_roses_losses import draw_chance, generator_terms, translate
from nigaoe_model.training.config import load_config
from nigaoe_model.training.gans_n_roses.config import GansNRosesConfig
from nigaoe_model.training.gans_n_roses.step import GENERATOR_LOSSES, GansNRosesStep, feature_distance
from nigaoe_model.training.methods.domains import Domains
from nigaoe_model.training.methods.trainer import MethodTrainer
from nigaoe_model.training.plan import GansNRosesPlan
from nigaoe_model.training.run_state import load_state
from nigaoe_model.training.session import set_up_torch

BATCHES = 4
PICTURES = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("anime", type=Path)
    parser.add_argument("--config", default="gans-n-roses64-cpu")
    parser.add_argument("--steps", type=int, nargs="*", default=[])
    parser.add_argument("--run", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    set_up_torch(arguments.threads)
    domains = Domains.opened(arguments.photos, arguments.anime, None, PICTURES)
    print_distances(domains)
    config = load_config(GansNRosesConfig, arguments.config)
    saved = None
    if arguments.run is not None:
        config, saved = GansNRosesPlan.read(arguments.run).config, load_state(arguments.run)
    torch.manual_seed(config.compute.seed)
    body = GansNRosesStep(config, domains, torch.device("cpu"))
    trainer = MethodTrainer("gans-n-roses", config, domains, body, torch.device("cpu"))
    if saved is not None:
        trainer.restore(*saved)
    print_terms(config, trainer, body, arguments.steps or [trainer.progress.steps])


def print_terms(config: GansNRosesConfig, trainer: MethodTrainer, body: GansNRosesStep, steps: list[int]) -> None:
    """Train, and print what each term weighs on the way."""
    print(markdown(("step", "term", "value", "weight", "gradient / the cycle's")), markdown(["---"] * 5), sep="\n")
    for step in sorted(steps):
        while trainer.progress.steps < step:
            trainer.step()
        body.begin(trainer.progress)
        values, pulls = measured(body)
        for name in GENERATOR_LOSSES:
            pull = pulls[name] / pulls["cycle"]
            row = [str(step), name, f"{values[name]:.3g}", f"{getattr(config.weights, name):g}", f"{pull:.2f}"]
            print(markdown(row), flush=True)


def measured(body: GansNRosesStep) -> tuple[dict[str, float], dict[str, float]]:
    """Return each term's mean value, and the mean length of its weighted gradient by the generators' parameters."""
    config, generators = body.config, body.generators
    values, pulls = (dict.fromkeys(GENERATOR_LOSSES, 0.0) for _ in range(2))
    distance = feature_distance(config.architecture.size, torch.device("cpu"))
    parameters = [p for network in generators.networks.values() for p in network.parameters()]
    for number in range(BATCHES):
        torch.manual_seed(number)
        batch = body.batch()
        chance = draw_chance(config.batch, config.architecture.latent_dim)
        with generators.learning():
            made = translate(body.networks, batch, chance)
            terms = generator_terms(body.networks, batch, chance, made, distance)
            for name in GENERATOR_LOSSES:
                term = getattr(config.weights, name) * getattr(terms, name)
                found = torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True)
                pulls[name] += float(torch.nn.utils.get_total_norm([g for g in found if g is not None])) / BATCHES
                values[name] += float(getattr(terms, name).detach()) / BATCHES
    return values, pulls


def print_distances(domains: Domains) -> None:
    """Print what both measures of a picture that came back say of faults that everybody knows."""
    photos = domains.held_out_photos(0, PICTURES)
    distance = feature_distance(domains.resolution, torch.device("cpu"))
    random = torch.Generator().manual_seed(0)
    faults: dict[str, Callable[[Tensor], Tensor]] = {
        "blurred to a half": lambda x: _resized(x, 2),
        "blurred to a quarter": lambda x: _resized(x, 4),
        "shifted by 2 pixels": lambda x: x.roll(2, dims=3),
        "noise of 0.1": lambda x: x + 0.1 * torch.randn(x.shape, generator=random),
        "darker by 0.2": lambda x: x - 0.2,
        "another photo": lambda x: x.roll(1, dims=0),
    }
    print(markdown(("fault", "mean squared error", "feature distance", "gradient's length / that of MSE")))
    print(markdown(["---"] * 4))
    for name, fault in faults.items():
        back = fault(photos).requires_grad_()
        error, far = F.mse_loss(back, photos), distance(back, photos).mean()
        lengths = [float(torch.autograd.grad(term, back, retain_graph=True)[0].norm()) for term in (error, far)]
        row = [name, f"{error.item():.4f}", f"{far.item():.3f}", f"{lengths[1] / lengths[0]:.1f}"]
        print(markdown(row), flush=True)
    print()


def _resized(pictures: Tensor, factor: int) -> Tensor:
    return F.interpolate(F.avg_pool2d(pictures, factor), scale_factor=factor, mode="bilinear", align_corners=False)


if __name__ == "__main__":
    main()
