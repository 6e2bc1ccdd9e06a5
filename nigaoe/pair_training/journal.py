"""What of a pair has been done, and how long it took, on disk: a new process goes on from it."""

import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from nigaoe.pair_training.config import PairConfig
from nigaoe_core.atomic_write import atomic_write
from nigaoe_core.errors import TrainingError

Seconds = Annotated[float, Field(ge=0)]


class RunRecord(BaseModel):
    """One run in one stage.

    Attributes:
        seconds: That its process has lived in this stage, over all starts.
        done: Whether it has reached its end, or the stage's.
        images: That were shown when it ended, over all stages.
    """

    model_config = ConfigDict(extra="forbid")

    seconds: Seconds = 0.0
    done: bool = False
    images: int | None = None


class Journal(BaseModel):
    """Everything that going on needs.

    Attributes:
        minutes: The budget as it was last given.
        config: Of the pair.
        stages: For each stage, run to record.
        report_seconds: That the report took; None: it is not written yet.
    """

    model_config = ConfigDict(extra="forbid")

    version: Literal[1] = 1
    minutes: Annotated[float, Field(gt=0)]
    config: PairConfig
    stages: list[dict[str, RunRecord]]
    report_seconds: Seconds | None = None

    @classmethod
    def begin(cls, config: PairConfig, minutes: float) -> "Journal":
        """Return the journal of a pair of which nothing has been done."""
        return cls(
            minutes=minutes,
            config=config,
            stages=[{name: RunRecord() for name in stage.runs} for stage in config.stages],
        )

    def is_done(self, stage: int) -> bool:
        """Whether all runs of a stage have ended."""
        return all(record.done for record in self.stages[stage].values())

    def seconds(self, stage: int) -> float:
        """How long a stage has taken: as long as its longest run."""
        return max(record.seconds for record in self.stages[stage].values())

    def allowance(self, stage: int) -> float:
        """Return the seconds that each run of a stage may take in all.

        What finished stages left over, or took too much, is shared by those that are not finished.
        """
        config = self.config
        finished = [number for number in range(len(self.stages)) if self.is_done(number)]
        left = self.minutes * 60 - sum(self.seconds(number) for number in finished)
        shares = config.report.share + sum(
            each.share for number, each in enumerate(config.stages) if number not in finished
        )
        return max(left, 0.0) * config.stages[stage].share / shares

    def save(self, path: Path) -> None:
        """Write it; an existing one is replaced only by a complete one."""
        atomic_write(path, self.model_dump_json(indent=2) + "\n")


def open_journal(path: Path, config: PairConfig, minutes: float) -> Journal:
    """Return the journal to go on with: the one on disk with the present settings, or a new one.

    Raises:
        TrainingError: It is damaged, or of a pair with other stages.
    """
    if not path.is_file():
        return Journal.begin(config, minutes)
    journal = read_journal(path)
    if [stage.runs for stage in journal.config.stages] != [stage.runs for stage in config.stages]:
        raise TrainingError(f"`{path.parent}` holds a pair with other stages; choose another folder with --output.")
    return journal.model_copy(update={"config": config, "minutes": minutes})


def read_journal(path: Path) -> Journal:
    """Read a journal.

    Raises:
        TrainingError: There is none, or it is damaged.
    """
    try:
        return Journal.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise TrainingError(f"`{path.parent}` holds no pair; train one with `nigaoe train pair`.") from error
    except (ValidationError, json.JSONDecodeError) as error:
        raise TrainingError(f"`{path}` is damaged; choose another folder, or unpack the pair anew.") from error
