"""Colours that a style takes over from the person: who is darker than others stays darker when drawn.

A style is free to draw light skin for everybody and hair of any colour, and a fine-tune that only has to look like its
data uses that freedom. So the person that ``g_ori`` draws and the style's drawing of the same latent are compared over
a batch: at each place of a coarse grid, lightness and two opponent colours should correlate. A correlation is blind to
the style's own palette, as its mean and spread do not enter.
"""

import torch
from torch import Tensor

from nigaoe_model.portrait.palette import colour_grid, person_weights
from nigaoe_model.stylegan2.generator import Generator

EPSILON = 1e-4


class CarriedColours:
    """Compares drawings with the persons behind them.

    Args:
        parent: Draws the persons; never trained.
        side: Of the grid, in cells.
    """

    def __init__(self, parent: Generator, side: int) -> None:
        self.parent = parent
        self.side = side
        self._weights = person_weights(parent.architecture.resolution, side).to(parent.mapping.w_avg.device)

    def loss(self, ws: Tensor, drawings: Tensor) -> Tensor:
        """Return one minus the mean correlation: 0 is perfect, 1 chance. # [].

        Args:
            ws: Latents. # [N, num_ws, w_dim], N >= 2.
            drawings: The style's pictures of them. # [N, 3, R, R] in [-1, 1].
        """
        with torch.no_grad():
            persons = self.parent.draw_image(ws)
        correlations = (_standard_scores(persons, self.side) * _standard_scores(drawings, self.side)).mean(dim=0)
        return 1.0 - (correlations * self._weights).sum(dim=(1, 2)).mean()


def _standard_scores(image: Tensor, side: int) -> Tensor:
    """Return how unlike the batch each cell is, in lightness and two opponent colours. # [N, 3, side, side]."""
    colours = colour_grid(image, side)
    spread, mean = torch.var_mean(colours, dim=0, correction=0)
    return (colours - mean) / (spread + EPSILON).sqrt()
