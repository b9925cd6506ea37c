"""Imports that libraries make and this tool does not need: postponed until something uses the module.

`lightning`, `torchmetrics`, `transformers` and `sklearn` import compilers, plotting, signal processing and statistics
for features that no command uses. :func:`postpone_unneeded` puts an empty module in place of each of
:data:`POSTPONED`, with stand-ins for the names that are read while the libraries are imported. Anything else that is
read from it, and any use of a stand-in, imports the module as usual, in the same module object. So all works as without
it, but a process that never needs the module never imports it. Only commands do this, and before they import torch: it
is not for a user's process.

Lightning 2.6.6, torchmetrics 1.9.0, transformers 5.23.0 and torch 2.13.0 are imported in 40 % of the time, and
scikit-learn 1.9.1 with scipy 1.17.1 in half.
"""

from __future__ import annotations

import itertools
import operator
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ContextDecorator
from functools import partial
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType, SimpleNamespace, new_class
from typing import Any, NamedTuple


class Names(NamedTuple):
    """The names of a postponed module that libraries read while they are imported.

    Attributes:
        used_later: classes and functions.
        markers: functions, also used as decorators, that only tell `torch.compile` something about the function that
            calls or follows them. They do nothing here: the tool compiles none of these functions.
        contexts: functions that return a context manager, also used as a decorator.
    """

    used_later: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()
    contexts: tuple[str, ...] = ()


POSTPONED: Mapping[str, Names] = {
    "matplotlib": Names(("colors.Colormap",)),
    "matplotlib.axes": Names(("Axes",)),
    "matplotlib.pyplot": Names(("Figure",), contexts=("style.context",)),
    "numpy.f2py": Names(),
    "peft": Names(("PeftMixedModel", "PeftModel")),
    "scipy.integrate": Names(("trapezoid",)),
    "scipy.interpolate": Names(("BSpline",)),
    "scipy.optimize": Names(("linear_sum_assignment",)),
    "scipy.signal": Names(("hamming",)),
    "scipy.spatial": Names(("distance",)),
    "scipy.stats": Names(("gmean", "rankdata")),
    "torch._dynamo": Names(
        ("OptimizedModule",), ("allow_in_graph", "assume_constant_result", "disable", "graph_break")
    ),
    "torch._dynamo._trace_wrapped_higher_order_op": Names(("TransformGetItemToIndex",)),
    "torch.distributed._composable.fsdp": Names(("fully_shard",)),
    "torch.distributed._functional_collectives": Names(("wait_tensor",)),
    "torch.distributed.checkpoint": Names(),
    "torch.distributed.checkpoint.hf_storage": Names(("HuggingFaceStorageReader", "HuggingFaceStorageWriter")),
    "torch.distributed.fsdp": Names(("CPUOffloadPolicy", "FullyShardedDataParallel", "MixedPrecisionPolicy")),
    "torch.distributed.tensor": Names(("DTensor", "Partial", "Replicate", "Shard", "distribute_tensor")),
    "torch.distributed.tensor._utils": Names(("compute_local_shape_and_global_offset",)),
    "torch.distributed.tensor.placement_types": Names(("Shard", "_StridedShard")),
    "transformers.distributed.expert_parallel": Names(("apply_expert_parallelism",)),
    "transformers.distributed.tensor_parallel": Names(
        ("apply_tensor_parallelism", "gather_state_dict_for_save", "get_kv_heads_per_rank", "verify_tp_plan")
    ),
    "trio": Names(),
}
"""What is not imported until it is used."""

_lock = threading.RLock()


def postpone_unneeded() -> None:
    """Postpones the modules of :data:`POSTPONED` that this process has not imported yet."""
    if not is_postponing():
        sys.meta_path.insert(0, _Finder())


def is_postponing() -> bool:
    """Whether :func:`postpone_unneeded` was called, as the console script does: the process is ours alone."""
    return any(isinstance(finder, _Finder) for finder in sys.meta_path)


class _Finder(MetaPathFinder):
    """Finds the postponed modules."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Finds a postponed module, with a loader that does not run it yet; None for all others."""
        parent = sys.modules.get(name.rpartition(".")[0])
        if name == _ScansFast.module:
            return _loaded_by(_ScansFast, PathFinder.find_spec(name, path, target))
        if name not in POSTPONED:
            _load(parent)  # another submodule needs its package
            return None
        if _root(name) != name and not isinstance(parent, _Postponed):
            return None  # its package has been imported
        return _loaded_by(_Loader, PathFinder.find_spec(name, path, target))


def _loaded_by(kind: Callable[[Loader], Loader], spec: ModuleSpec | None) -> ModuleSpec | None:
    """A module's specification, with a loader around its own."""
    if spec is not None and spec.loader is not None:
        spec.loader = kind(spec.loader)
    return spec


class _Around(Loader):
    """A loader that changes what another one does."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)


class _ScansFast(_Around):
    """Has transformers 5.23.0 read its 549 model folders once; it does twice, by a path and by a string.

    It also splits each file into lines to find the last one that begins with `__all__`, which takes half of the time.
    """

    module = "transformers.utils.import_utils"

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module, and then scans each folder by one name, and the end of each file."""
        self.loader.exec_module(module)
        scan: Any = getattr(module, "create_import_structure_from_path", None)
        names: Any = getattr(module, "fetch__all__", None)
        if names is None or not hasattr(scan, "cache_clear"):  # it is cached, by the path as given
            return

        def scan_folder(path: str | os.PathLike[str]) -> Any:
            return scan(os.fspath(path).removesuffix(f"{os.sep}__init__.py"))

        def last_names(content: str) -> Any:
            return names(content[content.rfind("\n__all__") + 1 :])

        module.create_import_structure_from_path = scan_folder  # type: ignore[attr-defined]
        module.fetch__all__ = last_names  # type: ignore[attr-defined]


class _Loader(_Around):
    """Makes the module without running it, and later runs it."""

    def exec_module(self, module: ModuleType) -> None:
        """Gives the module its stand-ins instead of running it."""
        names = POSTPONED[module.__name__]
        stand_ins: dict[str, Any] = {name: _stand_in(module, name) for name in names.used_later}
        stand_ins |= dict.fromkeys(names.markers, _unmarked)
        stand_ins |= {name: partial(_Context, module, name) for name in names.contexts}
        for name, stand_in in stand_ins.items():
            first, _, rest = name.partition(".")
            module.__dict__[first] = SimpleNamespace(**{rest: stand_in}) if rest else stand_in
        module.__class__ = _Postponed

    def withdraw(self, module: ModuleType) -> None:
        """Removes the stand-ins, so that whatever is read runs the module."""
        for name in itertools.chain(*POSTPONED[module.__name__]):
            module.__dict__.pop(name.partition(".")[0], None)

    def run(self, module: ModuleType) -> None:
        """Runs the module."""
        module.__class__ = ModuleType
        module.__loader__ = self.loader
        assert module.__spec__ is not None
        module.__spec__.loader = self.loader
        try:
            self.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(module.__name__, None)  # as Python does when an import fails
            raise


class _Postponed(ModuleType):
    """A module that is run when something reads a name that has no stand-in."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in ("__all__", "__version__"):  # what `inspect` and `warnings` ask for
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        _load(self)
        return getattr(self, name)


def _root(name: str) -> str:
    """The outermost postponed package of a module, or the module itself."""
    parts = name.split(".")
    packages = (".".join(parts[: end + 1]) for end in range(len(parts)))
    return next((package for package in packages if package in POSTPONED), name)


def _load(module: ModuleType | None) -> None:
    """Imports a postponed module, in place, after the packages it is in."""
    with _lock:
        if not isinstance(module, _Postponed):
            return
        root = _root(module.__name__)
        family = {name: found for name, found in sys.modules.items() if type(found) is _Postponed}
        family = {name: found for name, found in sorted(family.items()) if _root(name) == root}
        for found in family.values():  # modules of one package read each other's real names
            _loader_of(found).withdraw(found)
        for name, found in family.items():  # a package before its modules
            if type(found) is _Postponed and f"{module.__name__}.".startswith(f"{name}."):
                _loader_of(found).run(found)


def _loader_of(module: ModuleType) -> _Loader:
    loader = None if module.__spec__ is None else module.__spec__.loader
    assert isinstance(loader, _Loader)
    return loader


def _real(module: ModuleType, name: str) -> Any:
    """What a stand-in stands for."""
    _load(module)
    return operator.attrgetter(name)(module)


class _StandIn(type):
    """The type of stand-ins: nothing is an instance of a class whose module is not imported."""

    _of: tuple[ModuleType, str]

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> Any:
        if not bases:
            return super().__new__(cls, name, bases, namespace)
        real = tuple(_real(*base._of) if isinstance(base, _StandIn) else base for base in bases)
        return new_class(name, real, exec_body=lambda body: body.update(namespace))  # a subclass needs the class

    def __instancecheck__(cls, instance: Any) -> bool:
        return not isinstance(cls._of[0], _Postponed) and isinstance(instance, _real(*cls._of))

    def __subclasscheck__(cls, subclass: type) -> bool:
        return not isinstance(cls._of[0], _Postponed) and issubclass(subclass, _real(*cls._of))

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        return _real(*cls._of)(*args, **kwargs)

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(_real(*cls._of), name)


def _stand_in(module: ModuleType, name: str) -> Any:
    namespace = {"_of": (module, name), "__module__": module.__name__}
    return type.__call__(_StandIn, name.rpartition(".")[2], (), namespace)


class _Context(ContextDecorator):
    """A context manager of a postponed module, made when it is entered."""

    def __init__(self, module: ModuleType, name: str, *args: Any, **kwargs: Any) -> None:
        self._make: Callable[[], Any] = lambda: _real(module, name)(*args, **kwargs)
        self._entered: list[AbstractContextManager[Any]] = []

    def __enter__(self) -> Any:
        self._entered.append(self._make())
        return self._entered[-1].__enter__()

    def __exit__(self, *error: Any) -> bool | None:
        return self._entered.pop().__exit__(*error)


def _unmarked(function: Any = None, *_: Any, **__: Any) -> Any:
    """The function itself, or a decorator that returns it."""
    return (lambda later: later) if function is None else function
