"""What a freeze depth costs and keeps: FD-effnet beside how much of a face carries over. One table row a run.

    python benchmarks/experiments/freeze_depth.py runs/g_ori.safetensors data/anime runs/depth_2 runs/depth_3

Each run is a `nigaoe finetune` of the same parent with another `--trainable-blocks` and the same number of images.
Faces and drawings come from the same styles, without conversion, so the table judges the fine-tune alone.
"""

import argparse
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from nigaoe_model.stylegan2.checkpoint import load_checkpoint
from nigaoe_model.stylegan2.generator import Generator
from nigaoe_model.training.dataset import PackedDataset
from nigaoe_model.training.distributed import Team
from nigaoe_model.training.pair_metrics import correspond, diversity, draw_truth, identity_vectors, retrieve
from nigaoe_model.training.scoring import Examiner


def main() -> None:
    """Print one table."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    torch.set_flush_denormal(True)
    g_ori = load_checkpoint(arguments.parent).build_generator()
    examiner = Examiner(PackedDataset(arguments.data), arguments.samples, Team(0, 1, torch.device("cpu")))
    names = ("depth", "images", "FD-effnet", "precision", "recall", "pose", "mouth", "hair, lightness", "hair, hue")
    table = Table(*names, "top-1", "MRR", "diversity", title=f"{arguments.faces} faces and their drawings")
    for run in arguments.runs:
        checkpoint = load_checkpoint(run / f"{arguments.stem}.safetensors")
        card = checkpoint.card
        row = _measured(g_ori, checkpoint.build_generator(), examiner, arguments.faces)
        table.add_row(str(card.trainable_blocks), f"{card.training.images_seen:,}", *(f"{value:.3f}" for value in row))
    Console(width=160).print(table)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parent", type=Path, help="g_ori.")
    parser.add_argument("data", type=Path, help="Packed data set of the style.")
    parser.add_argument("runs", type=Path, nargs="+", help="Folders of fine-tunes.")
    parser.add_argument("--stem", default="latest", help="Which of a run's checkpoints: latest or best.")
    parser.add_argument("--samples", type=int, default=1000, help="Pictures for FD-effnet.")
    parser.add_argument("--faces", type=int, default=200, help="Faces for what carries over.")
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def _measured(g_ori: Generator, g_fin: Generator, examiner: Examiner, count: int) -> tuple[float, ...]:
    score = examiner.examine(g_fin)
    faces, drawings = draw_truth(g_ori, g_fin, count)
    kept = correspond(faces, drawings)
    found = retrieve(identity_vectors(drawings), identity_vectors(faces))
    return (
        *(score.numbers[name] for name in ("fd_effnet", "precision", "recall")),
        *(kept.pose, kept.mouth, kept.hair_lightness, kept.hair_hue),
        *(found.top1, found.mrr, diversity(drawings)),
    )


if __name__ == "__main__":
    main()
