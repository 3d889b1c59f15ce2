"""What training scripts save: a state dict, alone or under a key, with an epoch, an optimizer, options and an average.

Pickles are read by torch's reader of plain tensors (`weights_only=True`). A class that it does not know (`Namespace`,
NumPy's numbers, options of any library) becomes an empty stand-in: nothing of it is imported or run.
"""

import io
import pickle
import pickletools
import re
import warnings
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from alexnet.errors import UserError
from alexnet.text import first_few
from alexnet.weights.common import ALONE, MOST_VALUES

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module"}
"""Components of names that DataParallel, torch.compile and the like insert, anywhere."""
AVERAGE = re.compile(r"(^|[._])(ema|swa|averaged?)([._]|$)")
NO_WEIGHTS = re.compile(r"optim|momentum|exp_avg|grad|scheduler|scaler")
"""Keys of a checkpoint under which tensors may have the parameters' names and are no weights."""
COUNTERS = re.compile(
    r"(^|\.)(num_batches_tracked|total_ops|total_params|n_averaged)$|(^|[._])(criterion|loss(_fn)?)\."
)
"""Tensors that a network does not compute with: counters, thop's counts, the loss's own."""
DEEPEST = 6
PLAIN_BUILTINS = {f"builtins.{name}" for name in ("list", "dict", "tuple", "int", "float", "str", "bool", "object")}
SHOWN = 5


class StandIn:
    """The substitute for an object of an unknown class: it accepts any arguments and does nothing."""

    state: Any = None

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """An empty one; a plain dict or list for classes named like one, since unpickling fills them as such."""
        name = cls.__name__.lower()
        if name.endswith("dict"):
            return OrderedDict()
        return [] if name.endswith(("list", "deque")) else super().__new__(cls)

    def __setstate__(self, state: Any) -> None:
        self.state = state


def loaded(data: bytes, where: str) -> Any:
    """What is in a file of torch or safetensors. Raises UserError if it is damaged or would have to be run."""
    try:
        if data[8:9] == b"{":
            return load_safetensors(data)
        with warnings.catch_warnings(), safe_globals(_stand_ins(data)):
            warnings.simplefilter("ignore")
            return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError) as fault:
        reason = next(iter(str(fault).splitlines()), type(fault).__name__)[:200]
        raise UserError(
            f"{where} can't be read ({reason}). Of a pickle only plain tensors are taken; nothing is run. "
            "Download it again, or save the model's state_dict() alone, with torch.save's own pickle_protocol."
        ) from None
    except Exception as fault:  # torch's reader has many ways to say that a file is damaged
        raise UserError(f"{where} is damaged or cut short ({type(fault).__name__}). Download it again.") from None


def _stand_ins(data: bytes) -> list[Any]:
    """A stand-in for each class that a file names and torch does not know. Functions of Python itself get none."""
    try:
        named = set(get_unsafe_globals_in_checkpoint(io.BytesIO(data)))
    except Exception:  # no zip archive: three small pickles before that of the object
        codes = (code for file in [io.BytesIO(data)] for _ in range(4) for code in pickletools.genops(file))
        named = {str(argument).replace(" ", ".") for code, argument, _ in codes if code.name == "GLOBAL"}
    parts = [path.rpartition(".") for path in named if not path.startswith("builtins.") or path in PLAIN_BUILTINS]
    return [type(name, (StandIn,), {"__module__": module}) for module, _, name in parts]


@dataclass(frozen=True, eq=False)
class StateDict:
    """A network found in a checkpoint: `path`, the keys and prefix that lead to it; its `tensors` by their plain
    names; the `strange` names among them."""

    path: str
    tensors: dict[str, Any]
    strange: tuple[str, ...]


def network_in(found: Any, names: Collection[str], where: str) -> tuple[StateDict, tuple[str, ...]]:
    """The one network in a checkpoint whose tensors have these names, under whatever keys and prefixes; and notes on
    what was taken and what was not. If there are weights and an average of them (EMA), the average is chosen.

    Raises UserError if none has such names, or several different ones do.
    """
    if not isinstance(found, Mapping):
        if isinstance(found, StandIn):
            raise UserError(f"{where} holds a pickled model ({_class(found)}): only its class can open it. {ALONE}")
        raise UserError(f"{where} holds a {type(found).__name__}, a state dict is needed: save model.state_dict().")
    every = [one for path, table in _tables(found) for one in _networks(path, table, names)]
    whole = [one for one in every if len(one.tensors) == len(names)] or every
    averages = [one for one in whole if AVERAGE.search(one.path)]
    chosen = (averages if len(averages) == 1 else whole)[:1]
    if not chosen:
        models = [one for one in found.values() if isinstance(one, StandIn) and isinstance(one.state, Mapping)]
        if models:
            raise UserError(f"{where} holds a pickled model ({_class(models[0])}): only its class can open it. {ALONE}")
        return StateDict("", {}, tuple(str(name)[:60] for name in found) or ("nothing",)), ()
    if len(averages) != 1 and any(not _same(one.tensors, chosen[0].tensors) for one in whole[1:]):
        paths = " and ".join(one.path or "the top level" for one in whole[:SHOWN])
        raise UserError(f"{where} holds several networks: {paths}. Save the state dict of the one that is meant.")
    return chosen[0], tuple(_notes(chosen[0], every, found))


def _notes(chosen: StateDict, every: list[StateDict], found: Mapping[Any, Any]) -> Iterator[str]:
    others = [one.path or "the top level" for one in every if one is not chosen]
    keys = [str(key)[:40] for key, value in found.items() if not isinstance(value, Tensor)]
    if chosen.path:
        yield f"weights: {chosen.path}" + (", an average (EMA)" if AVERAGE.search(chosen.path) else "")
    if unread := others + [key for key in keys if key != chosen.path.split(".")[0] and key not in others]:
        yield f"not read: {first_few(unread, SHOWN)}"


def _tables(found: Mapping[Any, Any]) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """The tables in a checkpoint that may hold weights, each once, after the keys that lead to it."""
    waiting, seen = [("", found)], set[int]()
    while waiting:
        path, table = waiting.pop(0)
        if id(table) not in seen:
            seen.add(id(table))
            yield path, table
            for key, value in table.items() if path.count(".") < DEEPEST else ():
                if isinstance(value, Mapping) and not NO_WEIGHTS.search(str(key).lower()):
                    waiting.append((f"{path}.{str(key)[:40]}".lstrip("."), value))


def _networks(path: str, table: Mapping[Any, Any], names: Collection[str]) -> list[StateDict]:
    """The networks in one table, distinguished by the prefix of their tensors' plain names."""
    found: dict[str, dict[str, Any]] = {}
    strange: list[str] = []
    for key, value in table.items():
        parts = [part for part in str(key).split(".") if part not in WRAPPERS]
        name = next((name for name in (".".join(parts[start:]) for start in range(len(parts))) if name in names), None)
        if name is not None:
            prefix = ".".join(parts).removesuffix(name).rstrip(".")
            prefix += " (again)" if name in found.setdefault(prefix, {}) else ""
            found.setdefault(prefix, {})[name] = value
        elif isinstance(value, Tensor) and not COUNTERS.search(str(key)):
            strange.append(".".join(parts)[:60])
    return [StateDict(f"{path}.{prefix}".strip("."), tensors, tuple(strange)) for prefix, tensors in found.items()]


def _same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """Whether two networks have equal tensors, as far as these are plain ones."""
    pairs = [(a, b) for a, b in ((ours[name], theirs.get(name)) for name in ours) if isinstance(b, Tensor)]
    plain = all(isinstance(a, Tensor) and max(a.numel(), b.numel()) <= MOST_VALUES for a, b in pairs)
    alike = plain and all(a.dtype == b.dtype and a.shape == b.shape and a.equal(b) for a, b in pairs)
    return alike and len(pairs) == len(ours)


def _class(model: StandIn) -> str:
    return f"{type(model).__module__}.{type(model).__name__}"[:80]
