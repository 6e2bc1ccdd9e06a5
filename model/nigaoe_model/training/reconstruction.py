"""Reconstruction, an aid for small budgets: a real picture, guessed and drawn again, must look like itself.

An adversary teaches a young generator little about details; a picture teaches all of them. Larsen et al., "Autoencoding
beyond pixels using a learned similarity metric", 2016: one network is decoder and generator, pictures are compared in
features. Codes live where styles do, as in Pidhorskyi et al., "Adversarial Latent Autoencoders", 2020: in W, and beside
it, kept near by the priors of reverse generation. The encoder that learns along is the one that searches start from.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch, TrainingError
from nigaoe_model.features import LEAST_SIDE, STRIDES, shared_features
from nigaoe_model.inversion.algorithm import Objective, weight_columns
from nigaoe_model.inversion.batch import Iterate
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import DEFAULT_SAMPLES, LatentStatistics, moments_of, sample_z
from nigaoe_model.training.config import ReconstructionSettings
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.encoder.learner import EncoderLearner
from nigaoe_model.training.optimisation import share_gradients
from nigaoe_model.training.run_state import part_of, prefixed

REFRESH_STEPS = 100
"""Steps after which the statistics of w are measured again: the mapping network moves."""


class Reconstruction:
    """The encoder, its moving average, and the loss that teaches it and the generator.

    Args:
        settings: Weights and shares.
        generator: Its mapping network says where codes may lie.
        encoder: On the team's device.
        dtype: The type that the encoder computes in.
        team: Processes of the run.
    """

    def __init__(
        self, settings: ReconstructionSettings, generator: Generator, encoder: Encoder, dtype: torch.dtype, team: Team
    ) -> None:
        self.settings, self.generator, self.team = settings, generator, team
        self.learner = EncoderLearner(encoder, dtype, rate=settings.encoder_lr)
        side = max(generator.architecture.resolution, LEAST_SIDE)
        features = shared_features(STRIDES, str(team.device))
        self._z = sample_z(generator.mapping, DEFAULT_SAMPLES, seed=0)
        self.statistics = self._measured()
        self.objective = Objective(self.statistics, features, perceptual_size=side).to(team.device)
        self._weights = weight_columns((settings.terms,), team.device)

    def codes(self, real: Tensor) -> Tensor:
        """Guess the codes of a share of real pictures # [N, 3, R, R]. # [count, num_ws, w_dim]."""
        count = max(1, round(len(real) * self.settings.share))
        return _partly_in_w(self.learner.guess(real[:count]), round(count * self.settings.in_w))

    def loss(self, real: Tensor, redrawn: Iterate, fake: Iterate) -> Mapping[str, Tensor]:
        """Compare real pictures with what was drawn of their codes, and known codes with the guessed ones.

        Args:
            real: # [N, 3, R, R] in [-1, 1], whose first ones were redrawn.
            redrawn: :meth:`codes`, and what the generator drew of them.
            fake: Pictures of known codes, of which as many are guessed; no gradient reaches them.

        Returns:
            ``reconstruction``, the weighted sum # [], and ``distance``, the reported distance # [].
        """
        count = len(redrawn.image)
        measured = self.objective.measure(redrawn, self.objective.describe(real[:count]), self._weights)
        guessed = self.learner.guess(fake.image[:count].detach())
        known = (guessed - fake.w_plus[:count].detach()).square().mean() / self.objective.prior.variance
        loss = self.settings.weight * (measured.loss.mean() + self.settings.code * known)
        return {"reconstruction": loss, "distance": measured.distance.mean()}

    def learn(self, rate: Tensor) -> None:
        """Move the encoder by the gradients that the loss left, and its average after it.

        Args:
            rate: By how much the average follows. # [].
        """
        share_gradients(self.learner.network.parameters(), self.team, bound=0.0)
        self.learner.move(rate)
        self.learner.adam.zero_grad(set_to_none=True)

    def refresh_statistics(self, step: int) -> None:
        """Measure w again every few steps; between steps, since the host computes the priors' axes."""
        if step % REFRESH_STEPS == 0:
            self._adopt(self._measured())

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        return self.learner.tensors() | prefixed("statistics.", self.statistics.tensors())

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned; without any tensors, from where this object stands.

        Raises:
            TrainingError: The tensors belong to another encoder.
        """
        if not tensors:  # The aid was switched on when the run was resumed.
            return
        try:
            self.learner.restore(tensors)
            saved = part_of("statistics.", tensors)
            self._adopt(LatentStatistics.from_tensors(saved, self.generator.architecture))
        except (RuntimeError, ValueError, CheckpointMismatch) as error:
            raise TrainingError(f"The saved state belongs to another encoder: {error}") from error

    @torch.no_grad()
    def _measured(self) -> LatentStatistics:
        return moments_of(self.generator.mapping(self._z), self.generator.architecture.num_ws)

    def _adopt(self, statistics: LatentStatistics) -> None:
        self.statistics = statistics
        self.objective.prior.adopt(statistics)


def _partly_in_w(codes: Tensor, count: int) -> Tensor:
    """Give the first ``count`` codes one style for all layers: their mean, which lies in W. # [N, num_ws, w_dim]."""
    mean = codes[:count].mean(dim=1, keepdim=True).expand_as(codes[:count])
    return torch.cat([mean, codes[count:]])
