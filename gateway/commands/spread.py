"""Options that belong together, declared once as a dataclass and spread over the commands that take them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from typing import TypeGuard


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Replace each parameter whose type is a dataclass by its fields, as typer shall see them."""
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type] = {
        name: one.annotation for name, one in signature.parameters.items() if _is_group(one.annotation)
    }
    parameters: list[inspect.Parameter] = []
    for name, one in signature.parameters.items():
        parameters += _options(groups[name]) if name in groups else [one.replace(kind=inspect.Parameter.KEYWORD_ONLY)]

    @functools.wraps(command)
    def outer(**given: object) -> None:
        for name, group in groups.items():
            given[name] = group(**{one.name: given.pop(one.name) for one in fields(group)})
        command(**given)

    # Typer follows neither: it would find the dataclasses again.
    del outer.__dict__["__wrapped__"]
    outer.__dict__["__signature__"] = signature.replace(parameters=parameters)
    outer.__annotations__ = {one.name: one.annotation for one in parameters}
    return outer


def _is_group(annotation: object) -> TypeGuard[type]:
    return isinstance(annotation, type) and is_dataclass(annotation)


def _options(group: type) -> list[inspect.Parameter]:
    hints = inspect.get_annotations(group, eval_str=True)
    return [
        inspect.Parameter(one.name, inspect.Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name])
        for one in fields(group)
    ]
