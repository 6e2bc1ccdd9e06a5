"""`nigaoe video` as a new user runs it."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from clips import Clip, background, moving_face, pictures_of, sound_of, walk, write_clip

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.slow
def test_a_clip_becomes_a_drawn_clip(nigaoe: Run, weights: Path, tmp_path: Path) -> None:
    """With the person's colours, enlarged, and a report for programs; the result is named after the style."""
    faces = moving_face(walk(weights / "g_ori.safetensors", 3, share=0.1), background())
    clip = write_clip(tmp_path / "clip.mp4", Clip(faces))
    result = nigaoe("video", clip, "--style", "anime", "--json")
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["frames"], report["drawn"], report["style"]) == (3, 3, "anime")
    drawn = tmp_path / "clip-anime.mp4"
    assert Path(report["output"]) == drawn
    assert len(pictures_of(drawn)) == 3
    assert sound_of(drawn) == sound_of(clip)
    # Programs that know video find the mark in XMP, players show the comment.
    assert b"compositeWithTrainedAlgorithmicMedia" in drawn.read_bytes()


def test_wrong_requests_are_one_sentence(nigaoe: Run, sample_photo: Path, tmp_path: Path) -> None:
    """A photo, an empty file, a face that is no number: a code and what to do, never a traceback."""
    (tmp_path / "empty.mp4").write_bytes(b"")
    for arguments, code, word in (
        ((sample_photo, "-o", tmp_path / "out.mp4"), 3, "broken_video"),
        ((tmp_path / "empty.mp4",), 3, "empty_video"),
        ((tmp_path / "empty.mp4", "--face", "prettiest"), 2, "largest"),
    ):
        result = nigaoe("video", *arguments)
        assert result.returncode == code, result.stderr
        assert word in " ".join(result.stderr.split())
        assert "Traceback" not in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["empty.mp4"]
