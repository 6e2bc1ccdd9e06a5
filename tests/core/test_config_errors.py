"""A wrong config is explained in the user's words."""

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from nigaoe_core.config_errors import explain, setting_names


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Cat(Section):
    kind: Literal["cat"]
    lives: int = 9


class Dog(Section):
    kind: Literal["dog"]
    tricks: int = 0


class Speed(Section):
    batch: Annotated[int, Field(ge=1, le=64)] = 4
    precision: Literal["auto", "fp32"] = "auto"
    compile: bool = False
    threads: int | None = None

    @model_validator(mode="after")
    def _odd(self) -> "Speed":
        if self.batch == 13:
            raise ValueError("13 brings bad luck")
        return self


class Farm(Section):
    name: Annotated[str, Field(pattern="^[a-z]+$")] = "farm"
    speed: Speed = Speed()
    pets: dict[str, Annotated[Cat | Dog, Field(discriminator="kind")]] = Field(default_factory=dict)
    barns: list[Speed] = Field(default_factory=list)


@pytest.mark.parametrize(
    ("document", "sentence"),
    [
        ({"speed": {"bacth": 3}}, "There is no setting `speed.bacth`; did you mean `speed.batch`?"),
        ({"sped": {"batch": 3}}, "There is no setting `sped`; did you mean `speed`?"),
        ({"batch": 3}, "There is no setting `batch`; did you mean `speed.batch`?"),
        ({"zzz": 3}, "There is no setting `zzz`; here are name, speed, pets, barns."),
        ({"speed": {"batch": 0}}, "`speed.batch` must be at least 1, not `0`."),
        ({"speed": {"batch": 65}}, "`speed.batch` must be at most 64, not `65`."),
        ({"speed": {"batch": "many"}}, "`speed.batch` must be a whole number, not `many`."),
        ({"speed": {"batch": 1.5}}, "`speed.batch` must be a whole number, not `1.5`."),
        ({"speed": {"threads": "all"}}, "`speed.threads` must be a whole number, not `all`."),
        ({"speed": {"precision": "fp8"}}, "`speed.precision` must be 'auto' or 'fp32', not `fp8`."),
        ({"speed": {"compile": "maybe"}}, "`speed.compile` must be true or false, not `maybe`."),
        ({"speed": 3}, "`speed` must be a table, not `3`."),
        ({"speed": {"batch": 13}}, "`speed`: 13 brings bad luck."),
        ({"name": "A"}, "`name` must match ^[a-z]+$, not `A`."),
        ({"pets": {"tom": {"kind": "cat", "live": 3}}},
         "There is no setting `pets.tom.live`; did you mean `pets.tom.lives`?"),
        ({"pets": {"tom": {"kind": "cta"}}}, "`pets.tom` must have a 'kind' out of 'cat', 'dog'."),
        ({"pets": {"tom": {}}}, "`pets.tom` needs a 'kind'."),
        ({"barns": [{"batch": 0}]}, "`barns.0.batch` must be at least 1, not `0`."),
    ],
)  # fmt: skip
def test_each_mistake_has_its_sentence(document: dict[str, object], sentence: str) -> None:
    """The setting, what it was, what it may be; the right name for a wrong one."""
    with pytest.raises(ValidationError) as caught:
        Farm.model_validate(document)
    assert explain(caught.value, Farm) == sentence


def test_two_mistakes_are_two_sentences() -> None:
    """Nothing is found out one by one."""
    with pytest.raises(ValidationError) as caught:
        Farm.model_validate({"speed": {"batch": 0, "precisio": "fp32"}})
    assert explain(caught.value, Farm).count(".") >= 3
    assert "did you mean `speed.precision`?" in explain(caught.value, Farm)


def test_all_names_are_known() -> None:
    """Tables and what is in them."""
    assert set(setting_names(Farm)) >= {"name", "speed", "speed.batch", "pets", "barns"}
