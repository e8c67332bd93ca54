"""Model files: from `models/x.py`, `models/x.py:function` or a file that holds only data, to a Network.

A .py file is code that the user runs. Every other format is read by `bn.read`, which executes nothing.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import bnlab as bn
from bnlab.errors import BnlabError, ModelError
from bnlab.naming import did_you_mean


class UsageError(BnlabError):
    """The command was typed wrong: no such file, function or argument."""


@dataclass(frozen=True, slots=True)
class Model:
    """A network and, if its file has one, the `data()` that gives its example.

    `declaration` is the text that declares it, in `language`, and `about` the first paragraph of what it says of itself.
    """

    network: bn.Network
    example: Callable[[], Mapping[str, Any]] | None = None
    declaration: str = ""
    language: str = "python"
    about: str = ""


def load_model(spec: str, settings: Sequence[str] = ()) -> Model:
    """The model that `spec` names, built with the arguments in `settings` ("components=3").

    Of a file that holds only data, "hide=lung" makes a variable latent. Raises UsageError where the file, function or
    argument does not exist, and ModelError where the file itself fails.
    """
    file, _, function = spec.partition(":") if ".py:" in spec else (spec, "", "")
    path = Path(file)
    if not path.is_file():
        raise UsageError(
            f"There is no file {file!r}. A model is a .py file, FILE.py:FUNCTION, or a file that bn.read reads."
        )
    if path.suffix != ".py":
        network = bn.read(path).hide(*_hidden(path, settings))
        return Model(network, declaration=path.read_text(encoding="utf-8"), language=path.suffix[1:])
    module = run_file(path)
    build = choose_function(module, path, function)
    network = in_users_code(path, build, **arguments_for(build, settings))
    if not isinstance(network, bn.Network):
        raise ModelError(f"{build.__name__}() in {path} returned {type(network).__name__}, not a bn.Network.")
    example = vars(module).get("data")
    about = inspect.getdoc(build) or ""
    return Model(
        network,
        example if isinstance(example, FunctionType) else None,
        inspect.getsource(build).rstrip(),
        about=" ".join(about.partition("\n\n")[0].split()),
    )


def _hidden(path: Path, settings: Sequence[str]) -> tuple[str, ...]:
    """The variables of a file that `--set hide=lung,either` makes latent; that is all there is to set."""
    names: tuple[str, ...] = ()
    for setting in settings:
        name, _, text = setting.partition("=")
        if name != "hide":
            raise UsageError(
                f"{path.name} has no function to pass {name!r} to; --set hide=NAME,NAME makes latents."
            )
        names += tuple(part.strip() for part in text.split(",") if part.strip())
    return names


def run_file(path: Path) -> ModuleType:
    """The module that running the file makes; its own folder is searched for what it imports."""
    spec = importlib.util.spec_from_file_location("__bnlab_model__", path.resolve())
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.resolve().parent))
    try:
        in_users_code(path, spec.loader.exec_module, module)
    finally:
        sys.path.pop(0)
    return module


def in_users_code(path: Path, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The function's result; what it raises becomes a ModelError that shows the user's lines, not bnlab's."""
    try:
        return function(*args, **kwargs)
    except BnlabError:
        raise
    except Exception as error:
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
        own = [frame for frame in frames if not frame.filename.startswith("<frozen")]
        lines = traceback.format_list(own) + traceback.format_exception_only(error)
        raise ModelError(f"{path} fails when it is run:\n{''.join(lines).rstrip()}") from None


def choose_function(module: ModuleType, path: Path, name: str) -> FunctionType:
    """The function called `name`, else the one called like the file, else the only one annotated `-> bn.Network`."""
    functions = {key: value for key, value in vars(module).items() if isinstance(value, FunctionType)}
    if name:
        if name in functions:
            return functions[name]
        raise UsageError(f"{path} has no function {name!r}.{did_you_mean(name, functions)}")
    if path.stem in functions:
        return functions[path.stem]
    builders = {key: value for key, value in functions.items() if returns_network(value)}
    own = {key: value for key, value in builders.items() if value.__module__ == module.__name__}
    builders = own or builders  # what a file imports counts where it declares nothing itself
    if len(builders) == 1:
        return next(iter(builders.values()))
    if builders:
        choices = ", ".join(f"{path}:{key}" for key in builders)
        raise UsageError(f"{path} declares several networks; name one of them: {choices}")
    raise UsageError(
        f"{path} declares no network: it has neither a function {path.stem}() nor one annotated -> bn.Network."
    )


def returns_network(function: FunctionType) -> bool:
    annotation = inspect.signature(function).return_annotation
    return annotation is bn.Network or annotation in {"bn.Network", "bnlab.Network", "Network"}


def arguments_for(function: FunctionType, settings: Sequence[str]) -> dict[str, Any]:
    """The keyword arguments that "name=value" settings stand for; values are Python literals, else text."""
    parameters = inspect.signature(function).parameters
    arguments: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"--set takes NAME=VALUE, not {setting!r}.")
        if name not in parameters:
            takes = ", ".join(str(parameter) for parameter in parameters.values()) or "no arguments"
            raise UsageError(
                f"{function.__name__}() has no argument {name!r}; it takes {takes}.{did_you_mean(name, parameters)}"
            )
        arguments[name] = literal(text)
    missing = [
        name
        for name, parameter in parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in {parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY}
        and name not in arguments
    ]
    if missing:
        wanted = " ".join(f"--set {name}=VALUE" for name in missing)
        raise UsageError(f"{function.__name__}() needs {wanted}")
    return arguments


def literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
