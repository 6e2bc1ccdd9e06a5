"""Reconstruction, an aid for small budgets: a real picture, guessed and drawn again, must look like itself.

An adversary tells a young generator little about what an eye is; a picture tells it all. Larsen et al., "Autoencoding
beyond pixels using a learned similarity metric", 2016: one network is decoder and generator, pictures are compared in
features. Codes live where styles do, as in Pidhorskyi et al., "Adversarial Latent Autoencoders", 2020: in W, and beside
it, held by the priors of reverse generation. The encoder that learns along is the one that searches start from.
"""

import copy
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from nigaoe_core.errors import CheckpointMismatch, TrainingError
from nigaoe_model.device import preferred_layout
from nigaoe_model.features import LEAST_SIDE, STRIDES, shared_features
from nigaoe_model.inversion.algorithm import Objective, weight_columns
from nigaoe_model.inversion.batch import Iterate
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.stylegan2.latent_statistics import DEFAULT_SAMPLES, LatentStatistics, moments_of, sample_z
from nigaoe_model.training.config import ReconstructionSettings
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.gradients import share_gradients
from nigaoe_model.training.moving_average import update_average
from nigaoe_model.training.run_state import adam_tensors, part_of, prefixed, primed, restore_adam

CLIP_NORM = 1.0
"""Longest gradient of the encoder: one odd picture must not throw it."""

REFRESH_STEPS = 100
"""Steps after which the priors look again at where w lies: the mapping network moves."""


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
        self.settings, self.generator, self.team, self.dtype = settings, generator, team, dtype
        encoder = encoder.to(memory_format=preferred_layout(team.device))
        self.encoder = encoder.train().requires_grad_(requires_grad=True)
        self.average = copy.deepcopy(encoder).eval().requires_grad_(requires_grad=False)
        adam = torch.optim.Adam(
            self.encoder.parameters(),
            lr=settings.encoder_lr,
            betas=(0.9, 0.99),
            fused=True,
            capturable=team.device.type == "cuda",
        )
        self.adam = primed(adam)
        side = max(generator.architecture.resolution, LEAST_SIDE)
        eye = shared_features(STRIDES, str(team.device))
        self._z = sample_z(generator.mapping, DEFAULT_SAMPLES, seed=0)
        self.statistics = self._measured()
        self.objective = Objective(self.statistics, eye, perceptual_size=side).to(team.device)
        self._weights = weight_columns((settings.terms,), team.device)

    def codes(self, real: Tensor) -> Tensor:
        """Guess the codes of a share of real pictures # [N, 3, R, R]. # [count, num_ws, w_dim]."""
        count = max(1, round(len(real) * self.settings.share))
        return _partly_in_w(self._guess(real[:count]), round(count * self.settings.in_w))

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
        guessed = self._guess(fake.image[:count].detach())
        known = (guessed - fake.w_plus[:count].detach()).square().mean() / self.objective.prior.variance
        loss = self.settings.weight * (measured.loss.mean() + self.settings.code * known)
        return {"reconstruction": loss, "distance": measured.distance.mean()}

    def learn(self, rate: Tensor) -> None:
        """Move the encoder by the gradients that the loss left, and its average after it.

        Args:
            rate: By how much the average follows. # [].
        """
        share_gradients(self.encoder.parameters(), self.team, bound=0.0)
        torch.nn.utils.clip_grad_norm_(self.encoder.parameters(), CLIP_NORM)
        self.adam.step()
        self.adam.zero_grad(set_to_none=True)
        update_average(self.average, self.encoder, rate)

    def look_after(self, step: int) -> None:
        """See where w lies, now and then; between steps, since the host computes the priors' axes."""
        if step % REFRESH_STEPS == 0:
            self._adopt(self._measured())

    def places(self) -> Iterator[Tensor]:
        """Yield all tensors that a step writes."""
        for network in (self.encoder, self.average):
            yield from network.parameters()
            yield from network.buffers()
        for state in self.adam.state.values():
            yield from state.values()

    def tensors(self) -> dict[str, Tensor]:
        """Return everything that a resumed run needs, by name."""
        state = prefixed("encoder.", self.encoder.state_dict()) | prefixed("average.", self.average.state_dict())
        state |= prefixed("statistics.", self.statistics.tensors())
        return state | prefixed("adam.", adam_tensors(self.adam, self._names()))

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Go on from what :meth:`tensors` returned; without any tensors, from where this object stands.

        Raises:
            TrainingError: The tensors belong to another encoder.
        """
        if not tensors:  # The aid was switched on when the run was resumed.
            return
        try:
            self.encoder.load_state_dict(part_of("encoder.", tensors))
            self.average.load_state_dict(part_of("average.", tensors))
            restore_adam(self.adam, self._names(), part_of("adam.", tensors))
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

    def _guess(self, images: Tensor) -> Tensor:
        device = self.team.device.type
        with torch.autocast(device, self.dtype, enabled=self.dtype != torch.float32):
            guessed: Tensor = self.encoder(images)
        return guessed.float()

    def _names(self) -> list[str]:
        return [name for name, _ in self.encoder.named_parameters()]


def _partly_in_w(codes: Tensor, count: int) -> Tensor:
    """Give the first ``count`` codes one style for all layers: their mean, which lies in W. # [N, num_ws, w_dim]."""
    mean = codes[:count].mean(dim=1, keepdim=True).expand_as(codes[:count])
    return torch.cat([mean, codes[count:]])
