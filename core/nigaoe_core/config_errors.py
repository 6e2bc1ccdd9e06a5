"""What is wrong with a config, in the user's words: the setting, what it was, what it may be, the nearest name."""

import types
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_SENTENCES: Final = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be greater than {gt}",
    "less_than_equal": "must be at most {le}",
    "less_than": "must be less than {lt}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "multiple_of": "must be a multiple of {multiple_of}",
    "string_pattern_mismatch": "must match {pattern}",
    "too_short": "needs at least {min_length} items",
    "too_long": "may have at most {max_length} items",
    "string_too_short": "needs at least {min_length} characters",
    "string_too_long": "may have at most {max_length} characters",
    "union_tag_invalid": "must have a {discriminator} out of {expected_tags}",
    "union_tag_not_found": "needs a {discriminator}",
}
_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "dict": "a table",
    "mapping": "a table",
    "model": "a table",
    "model_attributes": "a table",
}
_ENDINGS: Final = ("_parsing", "_type", "_from_float")
_LONGEST: Final = 60


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """Return one sentence for each thing that is wrong, without the validator's own words.

    Args:
        error: Of validating a document against ``model``.
        model: Knows the right names.
    """
    return " ".join(dict.fromkeys(_sentence(details, model) for details in error.errors(include_url=False)))


def nearest(name: str, names: list[str]) -> str | None:
    """Return the known name that ``name`` most likely means: the same last part, or few other letters."""
    by_last = {known.rpartition(".")[2]: known for known in names}
    last = name.rpartition(".")[2]
    for asked, known in ((name, {n: n for n in names}), (last, by_last)):
        if found := get_close_matches(asked, known, n=1, cutoff=0.75):
            return known[found[0]]
    return None


def setting_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings, tables included."""
    for name, field in model.model_fields.items():
        yield prefix + name
        for table in _models(field.annotation):
            if not _is_many(field.annotation):
                yield from setting_names(table, f"{prefix}{name}.")


def _sentence(details: ErrorDetails, model: type[BaseModel]) -> str:
    path, table = _resolve(details["loc"], model)
    name = ".".join(path)
    if details["type"] == "value_error":  # A sentence of ours, by a validator of this repository.
        return f"{f'`{name}`: ' if name else ''}{details['ctx']['error']}."
    if details["type"] == "extra_forbidden":
        return _unknown(name, path, table, model)
    if details["type"] == "missing":
        return f"`{name}` is missing."
    was = "" if isinstance(details["input"], BaseModel | dict) else f", not {_shown(details['input'])}"
    return f"`{name}` {_demand(details)}{was}."


def _unknown(name: str, path: list[str], table: type[BaseModel], model: type[BaseModel]) -> str:
    siblings = [".".join([*path[:-1], field]) for field in table.model_fields]
    guess = nearest(name, siblings) or nearest(name, list(setting_names(model)))
    if guess is not None:
        return f"There is no setting `{name}`; did you mean `{guess}`?"
    return f"There is no setting `{name}`; here are {', '.join(table.model_fields)}."


def _demand(details: ErrorDetails) -> str:
    kind = details["type"]
    if kind in _SENTENCES:
        bounds = {name: f"{value:g}" if isinstance(value, float) else value for name, value in details["ctx"].items()}
        return _SENTENCES[kind].format(**bounds)
    for ending in _ENDINGS:
        if kind.endswith(ending) and kind.removesuffix(ending) in _KINDS:
            return f"must be {_KINDS[kind.removesuffix(ending)]}"
    return f"is not right ({details['msg'][0].lower()}{details['msg'][1:]})"


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else f"`{value}`"
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "...`"


def _resolve(loc: tuple[int | str, ...], model: type[BaseModel]) -> tuple[list[str], type[BaseModel]]:
    """Return the user's name of a place, without the validator's marks for branches, and the table that it is in."""
    path: list[str] = []
    table, annotation = model, None
    for part in loc:
        if annotation is not None and (branch := _branch(annotation, part)) is not None:
            table, annotation = branch, None
            continue
        if annotation is not None and _is_many(annotation):
            annotation = _item(annotation)
            models = list(_models(annotation))
            if len(models) == 1:
                table, annotation = models[0], None
        elif annotation is None and part in table.model_fields:
            annotation = table.model_fields[str(part)].annotation
            models = list(_models(annotation))
            if len(models) == 1 and not _is_many(annotation) and part != loc[-1]:
                table, annotation = models[0], None
        elif annotation is not None:
            continue  # A branch of a plain union, such as `int` of `int | None`.
        path.append(str(part))
    return path, table


def _branch(annotation: Any, part: int | str) -> type[BaseModel] | None:
    """Return the table of a union whose tag is ``part``."""
    models = list(_models(annotation)) if not _is_many(annotation) else []
    for candidate in models if len(models) > 1 else []:
        for field in candidate.model_fields.values():
            if get_origin(field.annotation) is Literal and get_args(field.annotation) == (part,):
                return candidate
    return None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for argument in get_args(annotation):
        yield from _models(argument)


def _is_many(annotation: Any) -> bool:
    """Whether an annotation, None left aside, is a list or a table of things."""
    if get_origin(annotation) in (Union, types.UnionType):
        return any(_is_many(argument) for argument in get_args(annotation))
    return get_origin(annotation) in (dict, list, tuple)


def _item(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, types.UnionType):
        return next(_item(argument) for argument in get_args(annotation) if _is_many(argument))
    arguments = [argument for argument in get_args(annotation) if argument is not Ellipsis]
    return arguments[-1]
