"""The tensors of all slots, stacked: row i of every column belongs to the slot in row i.

Occupied rows are always the first ones, so that a step works on views and gathers nothing; when a slot leaves, the
last row moves into its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from nigaoe_model.inversion.adam import BatchedAdam, Pace, pace_columns, sent
from nigaoe_model.inversion.noise_maps import draw_noise_maps, normalised
from nigaoe_model.inversion.objective import Iterate, Target
from nigaoe_model.stylegan2.generator import Synthesis


@dataclass(frozen=True, slots=True)
class Move:
    """How one row takes one step.

    Attributes:
        pace: How Adam goes, its rate in units of w's root mean square standard deviation.
        tied: Whether all layers share one style (W).
        noise: Whether the noise maps move, too.
    """

    pace: Pace
    tied: bool
    noise: bool


class SlotTable:
    """Latents, noise maps, their optimisers, targets and best iterates of up to ``width`` slots.

    Args:
        synthesis: Gives device, shapes and the fixed noise maps.
        width: Number of rows.

    Attributes:
        latent: w_plus of every row with its optimiser. # [width, num_ws, w_dim].
        noise: Noise maps with their optimisers, one # [width, 1, R_i, R_i] a convolution; None until a slot needs it.
        best: Best iterate of every row.
    """

    def __init__(self, synthesis: Synthesis, width: int) -> None:
        architecture = synthesis.architecture
        side = architecture.resolution
        blocks = [synthesis.block(r) for r in architecture.resolutions]
        self.width = width
        self._fixed_noise = [conv.noise_const[None] for block in blocks for conv in block.convs]  # each [1, R_i, R_i]
        like = self._fixed_noise[0]
        self.latent = BatchedAdam(like.new_zeros(width, architecture.num_ws, architecture.w_dim))
        self.noise: list[BatchedAdam] | None = None
        self.best = Iterate(torch.zeros_like(self.latent.parameters), like.new_zeros(width, 3, side, side))
        self._targets: Target | None = None

    def fill(self, row: int, start: Tensor, target: Target, random: torch.Generator | None) -> None:
        """Begin a row.

        Args:
            row: A free one.
            start: # [num_ws, w_dim].
            target: One sample.
            random: Draws the noise maps that this row will optimise; None keeps the generator's own.
        """
        self.latent.restart(row, start)
        self.best.w_plus[row] = self.latent.parameters[row]
        if self._targets is None:
            self._targets = target.map(lambda column: column.new_zeros(self.width, *column.shape[1:]))
        for column, value in zip(self._targets.columns, target.columns, strict=True):
            column[row] = value[0]
        if self.noise is None and random is not None:
            self._add_noise()
        if self.noise is not None:
            self._fill_noise(row, random)

    def keep(self, rows: Sequence[int], iterate: Iterate) -> None:
        """Make the present iterate of some rows their best.

        Args:
            rows: Which.
            iterate: Of the first rows, at least of those.
        """
        if self.latent.parameters.device.type == "cuda":
            self._keep_at_once(rows, iterate)  # A launch costs more there than what it copies.
            return
        for row in rows:
            for best, present in zip(self.best.columns, iterate.columns, strict=True):
                best[row] = present[row]

    def advance(self, gradients: Sequence[Tensor], moves: Sequence[Move], unit: float) -> None:
        """Take one optimiser step in the first rows.

        Args:
            gradients: Of w_plus # [n, num_ws, w_dim] and, where any row optimises noise, of every map.
            moves: One a row.
            unit: Length of a learning rate of 1 in w.
        """
        gradient, *noise_gradients = gradients
        columns = self._columns_of(moves, unit)
        tied, moving = columns[:2].bool()
        gradient = torch.where(tied[:, None, None], gradient.mean(dim=1, keepdim=True), gradient)
        self.latent.step_at(gradient, columns[2:6])
        for adam, noise_gradient in zip(self.noise or [], noise_gradients, strict=True):
            maps = adam.parameters[: len(moves)]
            before = maps.clone()
            adam.step_at(noise_gradient, columns[6:])
            maps.copy_(torch.where(moving[:, None, None, None], normalised(maps), before))

    def relocate(self, source: int, target: int) -> None:
        """Copy one row over another."""
        for column in self._columns():
            column[target] = column[source]

    def targets(self, rows: slice) -> Target:
        """Return the targets of some rows, as views."""
        assert self._targets is not None  # noqa: S101 - a row was filled before it is asked for
        return self._targets.map(lambda column: column[rows])

    def _keep_at_once(self, rows: Sequence[int], iterate: Iterate) -> None:
        if not rows:
            return
        count, improved = len(iterate.w_plus), frozenset(rows)
        (chosen,) = sent([[float(row in improved) for row in range(count)]], self.latent.parameters).bool()
        for best, present in zip(self.best.columns, iterate.columns, strict=True):
            where = chosen.reshape(-1, *([1] * (present.ndim - 1)))
            best[:count] = torch.where(where, present, best[:count])

    def _columns_of(self, moves: Sequence[Move], unit: float) -> Tensor:
        """Return flags and paces of every row, first the latent's, then the maps', as one tensor. # [10, n]."""
        flags = [[float(move.tied) for move in moves], [float(move.noise) for move in moves]]
        latent = [replace(move.pace, rate=move.pace.rate * unit) for move in moves]
        noise = [move.pace for move in moves]
        return sent([*flags, *pace_columns(latent), *pace_columns(noise)], self.latent.parameters)

    def _columns(self) -> list[Tensor]:
        optimisers = [self.latent, *(self.noise or [])]
        targets = self._targets.columns if self._targets is not None else []
        return [*(column for adam in optimisers for column in adam.columns), *self.best.columns, *targets]

    def _add_noise(self) -> None:
        copies = [fixed.expand(self.width, -1, -1, -1) for fixed in self._fixed_noise]
        noise, best = [BatchedAdam(maps.clone()) for maps in copies], [maps.clone() for maps in copies]
        # Both or none: where memory ran out in between, the table is as it was.
        self.noise, self.best = noise, Iterate(self.best.w_plus, self.best.image, best)

    def _fill_noise(self, row: int, random: torch.Generator | None) -> None:
        shapes = [(maps.shape[-2], maps.shape[-1]) for maps in self._fixed_noise]
        maps = self._fixed_noise if random is None else draw_noise_maps(shapes, random)
        for adam, best, start in zip(self.noise or [], self.best.noise or [], maps, strict=True):
            adam.restart(row, start)
            best[row] = adam.parameters[row]
