"""Refinement of landmarks: MTCNN's networks evaluate the upright face again, in several views.

In the cascade that network (O-Net) sees each face once, in whatever square its predecessor proposed, tilted as the
photo is, and its answer depends on that square: the same photo at two sizes gives landmarks that differ by three to
five percent of the eye distance. Here it sees the face turned upright at the size it was trained for, then moved,
scaled and mirrored a little; the median of the answers agrees to half a percent. What was no face scores low then.
Where O-Net is in doubt, the network before it (R-Net) helps to say which way is up.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from nigaoe_faces.align import fit_similarity
from nigaoe_faces.warp import Outside, warp

# Sides of O-Net's and of R-Net's input.
_INPUT = 48
_COARSE_INPUT = 24
# The face and its surroundings are cut out once, at twice that density, and all views are cut out of them.
_BOX = 2 * _INPUT
_SURROUNDINGS = 9 * _BOX // 4

# Where the landmarks of an average frontal face stand in O-Net's square (mean over 2,000 FFHQ portraits).
_USUAL = np.array([[0.328, 0.389], [0.672, 0.389], [0.5, 0.591], [0.343, 0.749], [0.657, 0.749]])
_IN_SURROUNDINGS = (_USUAL - 0.5) * _BOX + _SURROUNDINGS / 2

# How far the views differ from the straight one, in sides of the square: zoom, right, down.
_View = tuple[float, float, float]
_ONE_VIEW: tuple[_View, ...] = ((1.0, 0.0, 0.0),)
_SEVEN_VIEWS = (
    (1.0, 0.0, 0.0),
    (0.94, 0.0, 0.0),
    (1.06, 0.0, 0.0),
    (1.0, 0.04, 0.0),
    (1.0, -0.04, 0.0),
    (1.0, 0.0, 0.04),
    (1.0, 0.0, -0.04),
)
_MIRRORED = [1, 0, 2, 4, 3]

# Single views are evaluated until the landmarks move by less than this share of the eye distance, but not for ever.
_REST = 0.03
_MAX_SINGLE_VIEWS = 4
# Below this score the landmarks may have drifted, or the face be upside down.
_CERTAIN = 0.98
# Scores this near to 0 or 1 count alike, or one rounding would outvote the other network.
_SUREST = 1e-4


@dataclass(frozen=True, slots=True)
class Networks:
    """The last two networks of the cascade; each maps [N, 3, side, side] to answers that end with scores.

    Attributes:
        rnet: The second one, side 24: boxes and scores.
        onet: The last one, side 48: boxes, landmarks and scores.
        device: Where both live.
    """

    rnet: Any
    onet: Any
    device: torch.device


def refine_landmarks(
    networks: Networks, rgb: NDArray[np.uint8], landmarks: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return steadier landmarks, [5, 2], and the mean score that O-Net gives to the views, 0..1.

    Args:
        networks: MTCNN's last two.
        rgb: The photo, [H, W, 3].
        landmarks: The cascade's landmarks in photo pixels, [5, 2]. They may be a quarter turn off, or upside down.
    """
    placed = fit_similarity(landmarks, _IN_SURROUNDINGS)
    surroundings = warp(rgb, placed, (_SURROUNDINGS, _SURROUNDINGS), Outside.MIRROR)
    refined, score = _settle(networks, surroundings, _IN_SURROUNDINGS)
    if score < _CERTAIN:
        # MTCNN takes many upside-down faces for upright ones, with eyes at the nostrils and a mouth on the forehead.
        # O-Net alone errs the other way, too: of 997 upright portraits (UTKFace) it turned four over, with R-Net none.
        upside_down = _settle(networks, surroundings, _SURROUNDINGS - _IN_SURROUNDINGS)
        candidates = ((refined, score), upside_down)
        refined, score = max(
            candidates, key=lambda found: _log_odds(found[1]) + _coarse_log_odds(networks, surroundings, found[0])
        )
    return _back(refined, placed), score


def _settle(
    networks: Networks, picture: NDArray[np.uint8], landmarks: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Evaluate single views until the landmarks rest, then all views; step back if they drifted off the face."""
    path = []
    for _ in range(_MAX_SINGLE_VIEWS):
        found, score = _evaluate(networks, picture, landmarks, _ONE_VIEW)
        path.append((landmarks, score))
        rests = np.abs(found - landmarks).mean() < _REST * np.abs(landmarks[1] - landmarks[0]).max()
        landmarks = found
        if rests:
            break
    answers = [_evaluate(networks, picture, landmarks, _SEVEN_VIEWS)]
    if answers[0][1] < _CERTAIN:
        best, _ = max(path, key=lambda step: step[1])
        answers.append(_evaluate(networks, picture, best, _SEVEN_VIEWS))
    return max(answers, key=lambda answer: answer[1])


def _evaluate(
    networks: Networks,
    picture: NDArray[np.uint8],
    landmarks: NDArray[np.float64],
    views: tuple[_View, ...],
) -> tuple[NDArray[np.float64], float]:
    """Evaluate each view of the upright face and its mirror image; return the median landmarks and the mean score."""
    matrices = [fit_similarity(landmarks, _in_view(*view)) for view in views]
    _, answers, scores = _run(networks.onet, picture, matrices, _INPUT, networks.device)
    points = answers.double().cpu().numpy().reshape(-1, 2, 5).transpose(0, 2, 1)  # [2V, 5, 2] in the unit square
    straight, mirrored = points[: len(views)], points[len(views) :][:, _MIRRORED]
    found = np.concatenate([straight, mirrored * (-1.0, 1.0) + (1.0, 0.0)]) * _INPUT
    in_picture = [_back(answer, matrix) for answer, matrix in zip(found, matrices + matrices, strict=True)]
    return np.median(in_picture, axis=0), float(scores[:, 1].mean())


def _coarse_log_odds(networks: Networks, picture: NDArray[np.uint8], landmarks: NDArray[np.float64]) -> float:
    """Return the log-odds that R-Net gives to the face as these landmarks turn it."""
    reduction = _COARSE_INPUT / _INPUT
    matrices = [fit_similarity(landmarks, _in_view(*view) * reduction) for view in _SEVEN_VIEWS]
    _, scores = _run(networks.rnet, picture, matrices, _COARSE_INPUT, networks.device)
    return _log_odds(float(scores[:, 1].mean()))


def _run(
    network: Any, picture: NDArray[np.uint8], matrices: list[NDArray[np.float64]], side: int, device: torch.device
) -> Any:
    """Run a network on the cuts of ``side`` pixels that the matrices describe, and their mirror images after them."""
    crops = np.stack([warp(picture, matrix, (side, side), Outside.EDGE) for matrix in matrices])  # [V, side, side, 3]
    both = torch.from_numpy(np.concatenate([crops, crops[:, :, ::-1]])).to(device)  # [2V, side, side, 3]
    with torch.no_grad():
        return network((both.permute(0, 3, 1, 2).float() - 127.5) / 128)


def _log_odds(score: float) -> float:
    bounded = min(max(score, _SUREST), 1 - _SUREST)
    return float(np.log(bounded / (1 - bounded)))


def _in_view(zoom: float, right: float, down: float) -> NDArray[np.float64]:
    """Return where the usual landmarks stand in O-Net's input when the view differs so much, [5, 2]."""
    return ((_USUAL - 0.5) * zoom + 0.5 + (right, down)) * _INPUT


def _back(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map points against the direction of a similarity."""
    return np.asarray(np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T, dtype=np.float64)
