"""The encoder's file: it says what it is and belongs to one generator."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from nigaoe_core.errors import BrokenCheckpoint, CheckpointMismatch, ForeignCheckpoint, ParentMismatch
from nigaoe_model.checkpoints.examination import examine
from nigaoe_model.inversion.encoder.checkpoint import EncoderCard, load_encoder, load_encoder_of
from nigaoe_model.inversion.encoder.network import Encoder
from nigaoe_model.stylegan2.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def test_what_is_written_is_read(
    encoder_file: Path, tiny_encoder: Encoder, tiny_checkpoint: Checkpoint, encoder_card: EncoderCard
) -> None:
    """The same card, and the same guesses up to half precision; statistics of w stay exact."""
    loaded = load_encoder_of(encoder_file, tiny_checkpoint.card, tiny_checkpoint.digest)
    assert loaded.card == encoder_card
    assert torch.equal(loaded.network.mean, tiny_encoder.mean)
    assert not any(parameter.requires_grad for parameter in loaded.network.parameters())
    picture = torch.rand(1, 3, 16, 16) * 2 - 1
    torch.testing.assert_close(loaded.network(picture), tiny_encoder(picture), atol=5e-3, rtol=5e-3)
    assert {t.dtype for t in load_file(encoder_file).values()} == {torch.float16, torch.float32}


def test_another_generators_encoder_is_refused(encoder_file: Path, tiny_checkpoint: Checkpoint) -> None:
    """The binding is the digest of the generator's tensors; the error tells the way out."""
    with pytest.raises(ParentMismatch, match="nigaoe train encoder"):
        load_encoder_of(encoder_file, tiny_checkpoint.card, "0" * 64)


def test_latents_of_another_shape_are_refused(encoder_file: Path, tiny_checkpoint: Checkpoint) -> None:
    """A card may lie about its generator, not about its tensors."""
    wider = tiny_checkpoint.card.architecture.model_copy(update={"w_dim": 9})
    with pytest.raises(CheckpointMismatch, match="another shape"):
        load_encoder_of(
            encoder_file, tiny_checkpoint.card.model_copy(update={"architecture": wider}), tiny_checkpoint.digest
        )


def test_generators_and_encoders_are_not_confused(
    encoder_file: Path, tiny_checkpoint: Checkpoint, tmp_path: Path
) -> None:
    """Each loader says what the file is instead."""
    save_checkpoint(tiny_checkpoint, tmp_path / "g.safetensors")
    with pytest.raises(CheckpointMismatch, match="holds no encoder"):
        load_encoder(tmp_path / "g.safetensors")
    with pytest.raises(CheckpointMismatch, match="is an encoder"):
        load_checkpoint(encoder_file)


def test_damage_is_told(encoder_file: Path, encoder_card: EncoderCard, tmp_path: Path) -> None:
    """Missing, truncated, foreign, newer, incomplete: one class of error each."""
    tensors = load_file(encoder_file)
    card = json.loads(encoder_card.model_dump_json())

    def file_with(document: object, contents: dict[str, torch.Tensor], key: str = "nigaoe") -> Path:
        path = tmp_path / "changed.safetensors"
        save_file(contents, path, {key: json.dumps(document)})
        return path

    (tmp_path / "short.safetensors").write_bytes(encoder_file.read_bytes()[:200])
    for path in (tmp_path / "nothing.safetensors", tmp_path / "short.safetensors"):
        with pytest.raises(BrokenCheckpoint):
            load_encoder(path)
    with pytest.raises(ForeignCheckpoint, match="another program"):
        load_encoder(file_with(card, tensors, key="format"))
    with pytest.raises(ForeignCheckpoint, match="upgrade"):
        load_encoder(file_with(card | {"format_version": 2}, tensors))
    with pytest.raises(BrokenCheckpoint, match="metadata"):
        load_encoder(file_with(card | {"generator_sha256": "no digest"}, tensors))
    with pytest.raises(CheckpointMismatch, match="belong to nothing"):
        load_encoder(file_with(card, tensors | {"generator.x": torch.zeros(1)}))
    del tensors["encoder.heads.bias"]
    with pytest.raises(CheckpointMismatch, match=r"heads\.bias"):
        load_encoder(file_with(card, tensors)).build()


def test_whoever_inspects_an_encoder_is_told_where_it_belongs(encoder_file: Path) -> None:
    """It cannot be imported as a generator, and the report says what to do instead."""
    examination = examine(encoder_file)
    assert isinstance(examination.error, CheckpointMismatch)
    assert examination.reading.title == "Nigaoe's encoder"
    assert "weights attach" in (examination.reading.problem or "")
