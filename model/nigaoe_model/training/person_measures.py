"""Whether a drawing is still the person: identity, and the sex and age that it shows, by networks made for faces.

They were trained on photos. What they say of a photo and of the face that was found for it is reliable; of drawings it
compares styles, groups and versions with each other.
"""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from nigaoe_faces.align import AlignmentTemplate
from nigaoe_model.recognition import age_sex, face_recognition
from nigaoe_model.recognition.age_sex import Appearance, shared_age_sex
from nigaoe_model.recognition.face_network import face_chips
from nigaoe_model.recognition.face_recognition import SAME_PERSON, shared_face_recognition
from nigaoe_model.training.dataset import to_unit_range
from nigaoe_model.training.face_regions import Pictures, Vectors

BATCH = 16


@torch.no_grad()
def descriptors(pictures: Pictures, template: AlignmentTemplate, device: str = "cpu") -> Tensor:
    """Describe who aligned faces are. # [N, 3, R, R] bytes -> [N, 128]."""
    network = shared_face_recognition(device)
    parts = [face_chips(to_unit_range(part), template, face_recognition.SIDE) for part in torch.split(pictures, BATCH)]
    return torch.cat([network(part.to(device)).cpu() for part in parts])


@torch.no_grad()
def appearance(pictures: Pictures, template: AlignmentTemplate, device: str = "cpu") -> Appearance:
    """Say how old and of which sex aligned faces look. # [N, 3, R, R] bytes."""
    network = shared_age_sex(device)
    parts = [face_chips(to_unit_range(part), template, age_sex.SIDE) for part in torch.split(pictures, BATCH)]
    seen = [network(part.to(device)) for part in parts]
    return Appearance(torch.cat([one.age for one in seen]).cpu(), torch.cat([one.male for one in seen]).cpu())


def identity_measures(photos: Tensor, others: Tensor, name: str) -> dict[str, Vectors]:
    """Compare descriptors of photos with those of what was made from them, pair by pair.

    Descriptors of all faces point the same way by and large, so the photos' mean is taken from both before the cosine:
    1 is the same face, 0 any other.

    Args:
        photos: # [N, 128], at least two.
        others: # [N, 128].
        name: Of the other pictures.

    Returns:
        The cosine, and whether both are one person by the network's own rule. Each # [N].
    """
    mean = photos.mean(dim=0)
    cosines = torch.cosine_similarity(photos - mean, others - mean, dim=1)
    same = (photos - others).norm(dim=1) < SAME_PERSON
    return {f"identity, {name}": cosines.double().numpy(), f"same person, {name}": same.double().numpy()}


def appearance_measures(photos: Appearance, drawings: Appearance) -> dict[str, Vectors]:
    """Say whether drawings show the sex that their photos show, and how many years they look apart. Each # [N]."""
    kept = (photos.male > 0.5) == (drawings.male > 0.5)
    return {"sex kept": kept.double().numpy(), "years apart": (photos.age - drawings.age).abs().double().numpy()}


def person_measures(
    photos: Pictures, redrawn: Pictures, drawings: Pictures, template: AlignmentTemplate, device: str = "cpu"
) -> dict[str, Vectors]:
    """Measure what is left of each person; pictures may be of different sizes, all aligned alike.

    Args:
        photos: # [N, 3, R, R].
        redrawn: What ``g_ori`` draws of what was found. # [N, 3, S, S].
        drawings: What the style draws. # [N, 3, T, T].
        template: How all are aligned.
        device: Where to compute.

    Returns:
        One number a face by the measure's name. Each # [N].
    """
    persons = descriptors(photos, template, device)
    return {
        **identity_measures(persons, descriptors(redrawn, template, device), "redrawn"),
        **identity_measures(persons, descriptors(drawings, template, device), "drawing"),
        **appearance_measures(appearance(photos, template, device), appearance(drawings, template, device)),
    }


def means(measures: Mapping[str, Vectors]) -> dict[str, float]:
    """Return the mean of each measure over all faces."""
    return {name: float(np.mean(values)) for name, values in measures.items()}
