"""scikit-learn habits for objects that only store what they are given."""

import inspect


class Params:
    """Gives ``get_params``, ``set_params``, equality and a representation from the signature of ``__init__``."""

    @classmethod
    def _names(cls):
        return [p for p in inspect.signature(cls.__init__).parameters if p != "self"]

    def get_params(self, deep=True):
        """Arguments of the constructor as a dict; with ``deep`` also those of nested objects as ``name__argument``."""
        params = {name: getattr(self, name) for name in self._names()}
        if deep:
            for name, value in list(params.items()):
                if hasattr(value, "get_params") and not isinstance(value, type):
                    params.update({f"{name}__{key}": v for key, v in value.get_params().items()})
        return params

    def set_params(self, **params):
        """Sets arguments by name (``name__argument`` for nested objects) and returns the object."""
        for key, value in params.items():
            name, _, rest = key.partition("__")
            if name not in self._names():
                raise ValueError(f"{type(self).__name__} has no parameter '{name}'; it has {', '.join(self._names())}")
            if rest:
                getattr(self, name).set_params(**{rest: value})
            else:
                setattr(self, name, value)
        return self

    def __eq__(self, other):
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self):
        return hash(repr(self))

    def __repr__(self):
        defaults = {n: p.default for n, p in inspect.signature(type(self).__init__).parameters.items()}
        shown = []
        for name in self._names():
            value = getattr(self, name)
            if repr(value) != repr(defaults[name]):
                shown.append(f"{name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"
