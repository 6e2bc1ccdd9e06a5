"""ADA's feedback: overfitting shows in the signs of D's answers to real pictures.

Karras et al., "Training Generative Adversarial Networks with Limited Data", 2020, section 3.1, equation 1.
"""


def updated_p(p: float, sign_statistic: float, target: float, images: int, speed_images: int) -> float:
    """Return the strength after ``images`` more images.

    Args:
        p: Strength so far.
        sign_statistic: ``r_t = E[sign(D(real))]``; 1 is complete overfitting.
        target: Value of ``r_t`` to hold.
        images: Images since the last update.
        speed_images: Images in which p may go from 0 to 1.

    Returns:
        A strength in 0..1.
    """
    direction = (sign_statistic > target) - (sign_statistic < target)
    return min(1.0, max(0.0, p + direction * images / speed_images))
