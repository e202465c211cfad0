"""Networks from graphs that were written elsewhere, where axes may lie otherwise.

A :class:`Tensor` is a value of the foreign graph: it knows its foreign shape, and which axis of it each axis
of our value is. Our values lie row by row with the channels last, so an image (N, C, H, W) of ONNX or PyTorch
is a row of shape (H, W, C); transpositions, squeezed axes and the order of flattened images are kept track of
here, and a ``permute`` layer is placed only where the order of the elements matters.
"""

import logging
import math

import numpy as np

from simgraft import _core
from simgraft.nn.network import Network

logger = logging.getLogger("simgraft")

BATCH = 1099511627791  # stands for the number of rows in foreign shapes; no axis is as long

TABLE = {entry["name"]: entry for entry in _core.nn_ops()}
ACTIVATIONS = tuple(
    next(a for a in TABLE["activation"]["attributes"] if a["name"] == "activation")["choices"]
)


class UnsupportedError(ValueError):
    """A layer, operator or option that has no counterpart here; the message names it."""


class Node:
    """A layer of the network in the making."""

    def __init__(self, op, inputs=(), attributes=None, parameters=None):
        self.op, self.inputs = op, list(inputs)
        self.attributes, self.parameters = dict(attributes or {}), dict(parameters or {})


class Tensor:
    """A value of the foreign graph.

    Parameters
    ----------
    node : Node
    shape : tuple of int
        Foreign shape, BATCH for the number of rows.
    axes : tuple of int or None
        Foreign axis of each axis of our value, the rows first; None for an axis of length 1 that the foreign
        value does not have. Foreign axes of length 1 may be left out.
    """

    def __init__(self, node, shape, axes):
        self.node, self.shape, self.axes = node, tuple(shape), tuple(axes)

    @property
    def own_shape(self):
        return tuple(1 if a is None else self.shape[a] for a in self.axes[1:])

    @property
    def size(self):
        return math.prod(self.own_shape)

    @property
    def rows(self):
        """The foreign axis of the rows."""
        return self.axes[0]

    def shown(self):
        return "(" + ", ".join("N" if n == BATCH else str(n) for n in self.shape) + ")"


class Flat(Tensor):
    """A flattened value (N, n) whose elements are still in the order of ``inner``, until somebody asks for
    ``node``."""

    def __init__(self, builder, inner):
        self.builder, self.inner, self._node = builder, inner, None
        self.shape, self.axes = (BATCH, inner.size), (0, 1)

    @property
    def node(self):
        if self._node is None:
            wanted = [a for a in range(len(self.inner.shape)) if a != self.inner.rows]
            self._node = self.builder.arranged(self.inner, wanted, (self.inner.size,))
        return self._node

    def order(self):
        """Foreign position of each element of the inner value in its own order."""
        inner = self.inner
        others = [a for a in range(len(inner.shape)) if a != inner.rows]
        grid = np.arange(inner.size).reshape([inner.shape[a] for a in others])
        own = [a for a in inner.axes[1:] if a is not None]
        left = [a for a in others if a not in own]
        return grid.transpose([others.index(a) for a in own + left]).ravel()


class Builder:
    """Layers placed one after the other; :meth:`network` joins them.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    last : bool
        Whether inputs of rank 3 and more are taken as channels first, (N, C, ...), and turned to channels
        last.
    """

    def __init__(self, dtype="float32", last=False):
        self.dtype, self.last = np.dtype(dtype), last
        self.inputs, self.n_permute = [], 0

    # ------------------------------------------------------------------------------------------------- checks

    def need(self, op):
        """UnsupportedError if the operator table has no such layer."""
        if op not in TABLE:
            raise UnsupportedError(f"needs the layer '{op}', which simgraft does not have")

    def array(self, value, what):
        """A parameter array in the precision of the network."""
        value = np.asarray(value)
        if value.dtype.kind not in "fiu":
            raise UnsupportedError(f"{what} has type {value.dtype}; supported are float32 and float64")
        return np.array(value, dtype=self.dtype)

    # ------------------------------------------------------------------------------------------------- moving

    def input(self, shape):
        """An input of the foreign graph; shape has BATCH for the rows."""
        rows = shape.index(BATCH)
        others = [a for a in range(len(shape)) if a != rows]
        if self.last and len(others) >= 2:
            others = others[1:] + others[:1]
        node = Node("input", attributes={"shape": tuple(shape[a] for a in others) or (1,)})
        self.inputs.append(node)
        return Tensor(node, shape, (rows, *others) if others else (rows, None))

    def reshaped(self, node, *shape):
        """node with another shape per row."""
        self.need("reshape")
        while node.op == "reshape":
            node = node.inputs[0]
        return Node("reshape", [node], {"shape": tuple(shape)})

    def arranged(self, t, wanted, target=None):
        """Node of t whose axes are the foreign axes ``wanted`` in this order (the rows come first anyway).

        Foreign axes that are left out must have length 1. target: another shape of the same elements.
        """
        own = [a for a in t.axes[1:] if a is not None and t.shape[a] != 1]
        node, at = t.node, t.own_shape
        kept = [a for a in wanted if t.shape[a] != 1]
        if sorted(kept) != sorted(own):
            raise UnsupportedError(f"axes {wanted} of a value of shape {t.shown()}")
        if kept != own:
            self.need("permute")
            full = [a if a is not None else -1 - i for i, a in enumerate(t.axes[1:])]
            rest = [a for a in full if a not in kept]
            axes = [full.index(a) for a in kept + rest]
            node, at = Node("permute", [node], {"axes": tuple(axes)}), tuple(at[i] for i in axes)
            self.n_permute += 1
        target = target or tuple(t.shape[a] for a in wanted) or (1,)
        return node if at == target else self.reshaped(node, *target)

    def standard(self, t):
        """t with its axes in the foreign order."""
        wanted = [a for a in range(len(t.shape)) if a != t.rows]
        if list(t.axes[1:]) == wanted:
            return t
        return Tensor(self.arranged(t, wanted), t.shape, (t.rows, *(wanted or [None])))

    def with_last(self, t, axis):
        """t with the foreign ``axis`` as its channels."""
        axis %= len(t.shape)
        if axis == t.rows:
            raise UnsupportedError(f"axis {axis} of a value of shape {t.shown()} counts the rows")
        if t.axes[-1] == axis:
            return t
        wanted = [a for a in t.axes[1:] if a is not None and a != axis] + [axis]
        return Tensor(self.arranged(t, wanted), t.shape, (t.rows, *wanted))

    def transpose(self, t, order):
        """Foreign transposition: axis i of the result is axis order[i]."""
        where = {a: i for i, a in enumerate(order)}
        t = self.settled(t)
        return Tensor(t.node, [t.shape[a] for a in order], [None if a is None else where[a] for a in t.axes])

    def settled(self, t):
        return Tensor(t.node, t.shape, t.axes)

    def squeeze(self, t, axes):
        """Foreign axes of length 1 are left away."""
        axes = {a % len(t.shape) for a in axes}
        for a in axes:
            if t.shape[a] != 1:
                raise UnsupportedError(f"axis {a} of a value of shape {t.shown()} is not of length 1")
        left = [a for a in range(len(t.shape)) if a not in axes]
        return Tensor(
            t.node, [t.shape[a] for a in left], [left.index(a) if a in left else None for a in t.axes]
        )

    def unsqueeze(self, t, axes):
        """Foreign axes of length 1 are put in, at their places in the result."""
        rank = len(t.shape) + len(axes)
        axes = {a % rank for a in axes}
        old = [a for a in range(rank) if a not in axes]
        shape = [1] * rank
        for a, n in zip(old, t.shape):
            shape[a] = n
        return Tensor(t.node, shape, [None if a is None else old[a] for a in t.axes])

    def reshape(self, t, shape):
        """Foreign reshape; in shape one entry may be -1, and one must be the number of rows."""
        shape = [int(n) for n in shape]
        if shape.count(-1) == 1:
            known = math.prod(n for n in shape if n not in (-1, BATCH))
            if BATCH not in shape:
                if known != t.size:
                    raise UnsupportedError(
                        f"a value of shape {t.shown()} cannot be reshaped to {shape}: rows get mixed"
                    )
                shape[shape.index(-1)] = BATCH
            else:
                if known == 0 or t.size % known:
                    raise UnsupportedError(f"a value of shape {t.shown()} cannot be reshaped to {shape}")
                shape[shape.index(-1)] = t.size // known
        if shape.count(BATCH) != 1 or math.prod(n for n in shape if n != BATCH) != t.size:
            shown = ["N" if n == BATCH else n for n in shape]
            raise UnsupportedError(
                f"a value of shape {t.shown()} cannot be reshaped to {shown}: rows get mixed"
            )
        if tuple(shape) == t.shape:
            return t
        rows = shape.index(BATCH)
        if math.prod(t.shape[: t.rows]) != math.prod(shape[:rows]):
            raise UnsupportedError(
                f"a value of shape {t.shown()} cannot be reshaped across the axis of its rows"
            )
        if len(shape) == 2 and rows == 0:
            return Flat(self, t if not isinstance(t, Flat) else t.inner)
        if isinstance(t, Flat):
            t = t.inner if t.inner.shape == tuple(shape) else self.settled(t)
            if t.shape == tuple(shape):
                return t
        others = [a for a in range(len(shape)) if a != rows]
        wanted = [a for a in range(len(t.shape)) if a != t.rows]
        node = self.arranged(t, wanted, tuple(shape[a] for a in others) or (1,))
        return Tensor(node, shape, (rows, *(others or [None])))

    def flatten(self, t):
        """(N, everything else), in foreign order."""
        return self.reshape(t, [BATCH, -1])

    # ------------------------------------------------------------------------------------------------- layers

    def layer(self, t, op, attributes=None, parameters=None, shape=None):
        """A layer with one input that keeps axes; shape: foreign shape of the result, that of t by
        default."""
        self.need(op)
        return Tensor(Node(op, [t.node], attributes, parameters), t.shape if shape is None else shape, t.axes)

    def activation(self, t, name, parameter=None):
        """A function of every element."""
        if name not in ACTIVATIONS:
            raise UnsupportedError(f"the activation {name}; supported are {', '.join(ACTIVATIONS)}")
        if name == "linear":
            return t
        attributes = {"activation": name}
        if parameter is not None:
            attributes["parameter"] = float(parameter)
        if isinstance(t, Flat) and t._node is None:
            return Flat(self, self.activation(t.inner, name, parameter))
        return self.layer(t, "activation", attributes)

    def exp(self, t):
        """e to the power of every element."""
        if isinstance(t, Flat) and t._node is None:
            return Flat(self, self.exp(t.inner))
        return self.layer(t, "positive", {"function": "exp"})

    def dense(self, t, weight, bias=None):
        """t @ weight + bias over the last foreign axis; weight (n_in, n_out)."""
        weight = self.array(weight, "the weight")
        bias = (
            np.zeros(weight.shape[-1], self.dtype) if bias is None else self.array(bias, "the bias").ravel()
        )
        if weight.ndim != 2 or len(weight) != t.shape[-1]:
            raise UnsupportedError(f"weights of shape {weight.shape} for a value of shape {t.shown()}")
        if bias.size == 1 and weight.shape[1] > 1:
            bias = np.full(weight.shape[1], bias[0])
        if bias.shape != weight.shape[1:]:
            raise UnsupportedError(f"a bias of shape {bias.shape} for {weight.shape[1]} outputs")
        if isinstance(t, Flat) and t._node is None and len(t.inner.own_shape) > 1:
            order = t.order()
            node = t.inner.node
            if not np.array_equal(order, np.arange(len(order))):
                weight = np.ascontiguousarray(weight[order])
            t = Tensor(self.reshaped(node, t.inner.size), t.shape, t.axes)
        t = self.with_last(self.settled(t), -1)
        return self.layer(
            t,
            "dense",
            {"units": weight.shape[1]},
            {"weight": weight, "bias": bias},
            (*t.shape[:-1], weight.shape[1]),
        )

    def _in_order(self, t, constant):
        """Foreign constant in the order of t's axes: (own axes...), 1 where it is broadcast; None if it does
        not fit."""
        constant = np.asarray(constant)
        if constant.ndim > len(t.shape):
            lead = constant.shape[: constant.ndim - len(t.shape)]
            if any(n != 1 for n in lead):
                return None
            constant = constant.reshape(constant.shape[len(lead) :])
        constant = constant.reshape((1,) * (len(t.shape) - constant.ndim) + constant.shape)
        for a, n in enumerate(constant.shape):
            if n != 1 and (a == t.rows or n != t.shape[a]):
                return None
        own = [a for a in t.axes[1:] if a is not None]
        left = [a for a in range(len(t.shape)) if a not in own]
        constant = constant.transpose(own + left).reshape([constant.shape[a] for a in own])
        full = list(constant.shape)
        for i, a in enumerate(t.axes[1:]):
            if a is None:
                full.insert(i, 1)
        return constant.reshape(full)

    def affine(self, t, scale=None, shift=None):
        """scale * t + shift with constants that numpy's rules broadcast to t."""
        t = self.settled(t)
        parts = []
        for value, standard in ((scale, 1), (shift, 0)):
            part = self._in_order(t, self.array(standard if value is None else value, "the constant"))
            if part is None:
                raise UnsupportedError(
                    f"a constant of shape {np.shape(value)} with a value of shape {t.shown()}"
                )
            parts.append(part)
        if all(math.prod(p.shape[:-1]) == 1 for p in parts):
            n = t.own_shape[-1]
            scale, shift = (np.array(np.broadcast_to(p.reshape(-1), (n,))) for p in parts)
            return self.layer(t, "affine", None, {"scale": scale, "shift": shift})
        scale, shift = (np.broadcast_to(p, t.own_shape).ravel().copy() for p in parts)
        flat = self.reshaped(t.node, t.size)
        node = Node("affine", [flat], None, {"scale": scale, "shift": shift})
        return Tensor(self.reshaped(node, *t.own_shape), t.shape, t.axes)

    def _alike(self, tensors, what):
        """The same foreign shapes, axes as the first has them."""
        first = self.settled(tensors[0])
        found = [first]
        for t in tensors[1:]:
            if t.shape != first.shape:
                raise UnsupportedError(
                    f"{what} of values of shapes {first.shown()} and {t.shown()}; expected equal ones"
                )
            t = self.settled(t)
            if t.axes != first.axes:
                if None in first.axes:
                    first = found[0] = self.standard(first)
                t = Tensor(self.arranged(t, [a for a in first.axes[1:]]), t.shape, first.axes)
            found.append(t)
        return found

    def join(self, tensors, op, what):
        """Elementwise layer of several values of equal shape."""
        self.need(op)
        tensors = self._alike(tensors, what)
        return Tensor(Node(op, [t.node for t in tensors]), tensors[0].shape, tensors[0].axes)

    def product(self, x, y):
        """Product of two values of equal shape, or one of them with a single channel."""
        self.need("multiply")
        if x.size < y.size:
            x, y = y, x
        if x.shape == y.shape:
            return self.join([x, y], "multiply", "the product")
        x, y = self.settled(x), self.settled(y)
        channels = x.axes[-1]
        if len(x.shape) != len(y.shape) or any(
            m != n and not (a == channels and n == 1) for a, (m, n) in enumerate(zip(x.shape, y.shape))
        ):
            raise UnsupportedError(
                f"a product of values of shapes {x.shown()} and {y.shown()}; "
                "expected equal ones, or one channel"
            )
        node = self.arranged(y, [a for a in x.axes[1:] if a is not None])
        return Tensor(Node("multiply", [x.node, node]), x.shape, x.axes)

    def concatenate(self, tensors, axis):
        """Side by side along a foreign axis."""
        axis %= len(tensors[0].shape)
        shape = list(tensors[0].shape)
        shape[axis] = sum(t.shape[axis] for t in tensors)
        for t in tensors[1:]:
            if len(t.shape) != len(shape) or any(
                m != n for a, (m, n) in enumerate(zip(t.shape, shape)) if a != axis
            ):
                raise UnsupportedError(
                    f"joining values of shapes {tensors[0].shown()} and {t.shown()} along axis {axis}"
                )
        first = self.with_last(self.settled(tensors[0]), axis)
        wanted = [a for a in first.axes[1:] if a is not None]
        nodes = [self.arranged(self.settled(t), wanted) for t in tensors]
        while len(nodes) > 1:  # the table's limit of inputs
            most = TABLE["concatenate"]["max_inputs"]
            nodes = [Node("concatenate", nodes[:most]), *nodes[most:]]
        return Tensor(nodes[0], shape, (first.rows, *wanted))

    @staticmethod
    def _last_step(t, start, stop, n):
        """The layer that gives the last state alone, where t is the sequence of a recurrent layer."""
        node = t.node
        if node.op not in ("lstm", "gru") or node.attributes["output"] != "sequence":
            return None
        if (start, stop) != ((0, 1) if node.attributes["reverse"] else (n - 1, n)):
            return None
        return Node(node.op, node.inputs, {**node.attributes, "output": "last"}, node.parameters)

    def slice(self, t, axis, start, stop):
        """Elements start ... stop-1 of a foreign axis."""
        t, axis = self.settled(t), axis % len(t.shape)
        if axis == t.rows:
            raise UnsupportedError(f"a slice of the rows of a value of shape {t.shown()}")
        n = t.shape[axis]
        start, stop = (max(0, min(v + n if v < 0 else v, n)) for v in (start, stop))
        if (start, stop) == (0, n):
            return t
        if start >= stop:
            raise UnsupportedError(f"an empty slice {start}:{stop} of a value of shape {t.shown()}")
        shape = [*t.shape[:axis], stop - start, *t.shape[axis + 1 :]]
        own = [a for a in t.axes[1:] if a is not None and t.shape[a] != 1]
        if own and own[0] == axis and own[-1] != axis:  # the outermost axis: one piece of the row
            last = self._last_step(t, start, stop, n)
            if last is not None:
                return Tensor(last, shape, (t.rows, t.axes[-1]))
            inner = t.size // n
            node = self.reshaped(t.node, t.size)
            node = Node("slice", [node], {"start": start * inner, "stop": stop * inner})
            left = [a for a in t.axes[1:] if a is not None]
            return Tensor(self.reshaped(node, *(shape[a] for a in left)), shape, (t.rows, *left))
        t = self.with_last(t, axis)
        return self.layer(t, "slice", {"start": start, "stop": stop}, None, shape)

    # ------------------------------------------------------------------------------------------------- fields

    def field(self, t, channels, what):
        """t with its foreign axis ``channels`` last and the others, but the rows, in order before it."""
        channels %= len(t.shape)
        if t.rows != 0 or channels == 0 or not 3 <= len(t.shape) <= 5:
            raise UnsupportedError(
                f"{what} of a value of shape {t.shown()}; expected rows of 1 to 3 dimensions and channels"
            )
        wanted = [a for a in range(1, len(t.shape)) if a != channels] + [channels]
        if list(t.axes[1:]) == wanted:
            return self.settled(t)
        return Tensor(self.arranged(self.settled(t), wanted), t.shape, (0, *wanted))

    def _placed(self, t, op, attributes, parameters, sizes, n_channels):
        """A layer on a field (see field) that changes the sizes and the number of channels."""
        shape = list(t.shape)
        for a, n in zip(t.axes[1:], (*sizes, n_channels)):
            shape[a] = n
        return self.layer(t, op, attributes, parameters, shape)

    def padded(self, t, before, after, mode="zero"):
        """A field with positions added around it."""
        if not any(before) and not any(after):
            return t
        if any(w < 0 for w in (*before, *after)):
            raise UnsupportedError("negative padding")
        sizes = [n + b + a for n, b, a in zip(t.own_shape, before, after)]
        return self._placed(
            t,
            "pad",
            {"before": tuple(before), "after": tuple(after), "mode": mode},
            None,
            sizes,
            t.own_shape[-1],
        )

    def pad_axes(self, t, before, after, mode):
        """Positions added along any foreign axes but that of the rows; before, after: one number for each
        axis."""
        t = self.settled(t)
        wide = [a for a in range(len(t.shape)) if before[a] or after[a]]
        if t.rows in wide:
            raise UnsupportedError(f"padding of the rows of a value of shape {t.shown()}")
        if any(a not in t.axes for a in wide):
            t = self.standard(t)
        if t.axes[-1] in wide:
            free = [a for a in t.axes[1:] if a not in wide and a is not None]
            if free:
                t = self.with_last(t, free[-1])
            else:
                t = Tensor(self.reshaped(t.node, *t.own_shape, 1), t.shape, (*t.axes, None))
        shape = [n + b + a for n, b, a in zip(t.shape, before, after)]
        b, a = ([0 if axis is None else side[axis] for axis in t.axes[1:-1]] for side in (before, after))
        if any(w < 0 for w in (*b, *a)):
            raise UnsupportedError("negative padding")
        return self.layer(t, "pad", {"before": tuple(b), "after": tuple(a), "mode": mode}, None, shape)

    def conv(self, t, channels, weight, bias, *, stride, before, after, dilation, groups=1, mode="zero"):
        """Convolution of a field; weight (kernel ..., channels / groups, units) is not mirrored.

        before, after: positions added on both sides of each dimension, by mode.
        """
        t = self.field(t, channels, "a convolution")
        weight = self.array(weight, "the weight")
        rank, units = len(t.own_shape) - 1, weight.shape[-1]
        if weight.ndim != rank + 2 or weight.shape[-2] * groups != t.own_shape[-1]:
            raise UnsupportedError(
                f"weights of shape {weight.shape} (channels last) for a value of shape {t.shown()}"
            )
        bias = np.zeros(units, self.dtype) if bias is None else self.array(bias, "the bias")
        kernel, sizes = weight.shape[:rank], []
        same, valid = True, True
        after = list(after)
        for i, n in enumerate(t.own_shape[:-1]):
            extent = (kernel[i] - 1) * dilation[i] + 1
            out = (n + before[i] + after[i] - extent) // stride[i] + 1
            if out < 1:
                raise UnsupportedError(
                    f"a kernel that reaches over {extent} positions of a value of shape {t.shown()}"
                )
            reached = (out - 1) * stride[i] + extent - n  # positions outside that are read
            after[i] = max(0, reached - before[i])
            same &= out == -(-n // stride[i]) and max(0, reached) // 2 == before[i]
            valid &= before[i] == 0 and after[i] == 0
            sizes.append(out)
        padding = "valid" if valid else {"zero": "same"}.get(mode, mode) if same else None
        if padding not in ("valid", "same", "periodic", "replicate"):
            t, padding = self.padded(t, before, after, mode), "valid"
        attributes = {
            "units": units,
            "kernel": tuple(kernel),
            "stride": tuple(stride),
            "padding": padding,
            "dilation": tuple(dilation),
            "groups": groups,
        }
        return self._placed(t, "conv", attributes, {"weight": weight, "bias": bias}, sizes, units)

    def pool(self, t, channels, kind, size, *, stride, before, after, count_outside=False, whole=True):
        """Largest value ("max") or mean ("average") in windows of a field.

        count_outside: positions added around count in the mean. whole=False: the last windows may reach
        beyond the field, even where there was nothing added.
        """
        t = self.field(t, channels, "pooling")
        sizes, same, valid, after = [], True, True, list(after)
        for i, n in enumerate(t.own_shape[:-1]):
            room = n + before[i] + after[i] - size[i]
            out = room // stride[i] + 1
            if not whole and room % stride[i] and out * stride[i] < n + before[i]:
                out += 1
            if out < 1:
                raise UnsupportedError(f"windows of {size[i]} positions in a value of shape {t.shown()}")
            reached = (out - 1) * stride[i] + size[i] - n
            beyond, after[i] = max(0, reached - before[i] - after[i]), max(0, reached - before[i])
            if kind == "average" and count_outside and beyond:
                raise UnsupportedError("windows that reach beyond what was added around the field")
            same &= out == -(-n // stride[i]) and max(0, reached) // 2 == before[i]
            valid &= before[i] == 0 and after[i] == 0
            sizes.append(out)
        padding = "valid" if valid else "same"
        if not valid and (not same or (kind == "average" and count_outside)):
            if kind == "average" and not count_outside:
                raise UnsupportedError(
                    "means of windows that reach unevenly beyond the field and count only what is inside"
                )
            if kind == "max" and any(w >= k for w, k in zip((*before, *after), (*size, *size))):
                raise UnsupportedError("windows outside the field")
            # a window that reaches beyond the field has its nearest value, too: the largest one is the same
            t, padding = self.padded(t, before, after, "replicate" if kind == "max" else "zero"), "valid"
        attributes = {"size": tuple(size), "stride": tuple(stride), "padding": padding}
        return self._placed(t, f"{kind}_pool", attributes, None, sizes, t.own_shape[-1])

    def global_pool(self, t, channels, kind):
        """Largest value or mean of each channel; foreign axes of the positions become 1."""
        t = self.field(t, channels, "global pooling")
        self.need("global_pool")
        channels = t.axes[-1]
        shape = [n if a in (0, channels) else 1 for a, n in enumerate(t.shape)]
        return Tensor(Node("global_pool", [t.node], {"kind": kind}), shape, (0, channels))

    def upsample(self, t, channels, factor, method):
        """A finer field: "nearest", or "linear" between the centres of cells."""
        t = self.field(t, channels, "upsampling")
        sizes = [n * f for n, f in zip(t.own_shape, factor)]
        return self._placed(
            t, "upsample", {"factor": tuple(factor), "method": method}, None, sizes, t.own_shape[-1]
        )

    # ------------------------------------------------------------------------------ normalisation, recurrence

    def batch_norm(self, t, axis, scale, shift, mean, variance, epsilon, momentum=0.1):
        """Normalisation along a foreign axis with running statistics; scale and shift may be None."""
        t = self.with_last(self.settled(t), axis)
        n = t.own_shape[-1]
        values = {
            "scale": np.ones(n) if scale is None else scale,
            "shift": np.zeros(n) if shift is None else shift,
            "mean": mean,
            "variance": variance,
        }
        values = {k: self.array(v, f"the {k}").reshape(-1) for k, v in values.items()}
        return self.layer(t, "batch_norm", {"epsilon": float(epsilon), "momentum": float(momentum)}, values)

    def layer_norm(self, t, n_axes, scale, shift, epsilon):
        """Normalisation over the last n_axes foreign axes."""
        self.need("layer_norm")
        t = self.settled(t)
        if n_axes > 1:
            if n_axes != len(t.shape) - 1 or t.rows != 0:
                raise UnsupportedError(
                    f"normalisation over the last {n_axes} axes of a value of shape {t.shown()}; "
                    "supported are "
                    "the last axis and all of them"
                )
            shape, n = t.shape, t.size
            scale, shift = (
                None if v is None else np.broadcast_to(v, shape[1:]).ravel() for v in (scale, shift)
            )
            return self.reshape(
                self.layer_norm(self.settled(self.flatten(t)), 1, scale, shift, epsilon), shape
            )
        t = self.with_last(t, -1)
        n = t.own_shape[-1]
        values = {
            "scale": np.ones(n) if scale is None else scale,
            "shift": np.zeros(n) if shift is None else shift,
        }
        values = {k: self.array(v, f"the {k}").reshape(-1) for k, v in values.items()}
        return self.layer(t, "layer_norm", {"epsilon": float(epsilon)}, values)

    def softmax(self, t, axis):
        """Softmax along a foreign axis."""
        return self.layer(self.with_last(self.settled(t), axis), "softmax")

    def recurrent(self, t, kind, steps, channels, parameters, *, output, reverse=False):
        """LSTM or GRU ("lstm", "gru") over the foreign axis steps of t.

        Returns a node of own shape (steps, units), or (units) for output="last".
        """
        self.need(kind)
        t = self.settled(t)
        if len(t.shape) != 3 or t.rows in (steps, channels):
            raise UnsupportedError(f"a sequence of shape {t.shown()}; expected rows, steps and channels")
        parameters = {k: self.array(v, f"the {k}") for k, v in parameters.items()}
        n = len(parameters["recurrent_weight"])
        if parameters["weight"].shape[0] != t.shape[channels]:
            raise UnsupportedError(
                f"weights for {parameters['weight'].shape[0]} channels of a value of shape {t.shown()}"
            )
        attributes = {"units": n, "output": output, "reverse": int(reverse)}
        return Node(kind, [self.arranged(t, [steps, channels])], attributes, parameters)

    # ------------------------------------------------------------------------------------------------ network

    def network(self, outputs):
        """The network of these results; several lie side by side in the output row."""
        nodes = [self._output(t) for t in outputs]
        if len(nodes) > 1:
            nodes = [n if len(t.own_shape) == 1 else self.reshaped(n, t.size) for n, t in zip(nodes, outputs)]
            while len(nodes) > 1:
                most = TABLE["concatenate"]["max_inputs"]
                nodes = [Node("concatenate", nodes[:most]), *nodes[most:]]
        output = nodes[0]
        if output.op == "input":
            output = Node("activation", [output], {"activation": "linear"})
        return assemble(self.inputs, output, self.dtype)

    def _output(self, t):
        """Node of t in foreign order; where inputs were turned to channels last, fields stay so."""
        own = [a for a in t.axes[1:] if a is not None and t.shape[a] != 1]
        others = [a for a in range(len(t.shape)) if a != t.rows]
        if own == sorted(own) or (self.last and list(t.axes[1:]) == others[1:] + others[:1]):
            return t.node
        return self.arranged(t, others)


def _sorted(inputs, output):
    """Nodes in an order in which inputs come first."""
    done, order = {id(n) for n in inputs}, list(inputs)
    stack = [(output, False)]
    while stack:
        node, ready = stack.pop()
        if id(node) in done:
            continue
        if ready:
            done.add(id(node))
            order.append(node)
            continue
        stack.append((node, True))
        stack.extend((n, False) for n in reversed(node.inputs))
    return order


def _fuse(inputs, output):
    """Shifts into the bias before them, activations into the layer before them, where nobody else reads that
    layer."""
    replaced = {}

    def of(node):
        while id(node) in replaced:
            node = replaced[id(node)]
        return node

    order = _sorted(inputs, output)
    users = {}
    for node in order:
        for n in node.inputs:
            users[id(n)] = users.get(id(n), 0) + 1
    for node in order:
        node.inputs = [of(n) for n in node.inputs]
        before = node.inputs[0] if len(node.inputs) == 1 else None
        if before is None or users.get(id(before), 0) != 1:
            continue
        if (
            node.op == "affine"
            and before.op in ("dense", "conv")
            and _is_open(before)
            and np.all(node.parameters["scale"] == 1)
        ):
            before.parameters["bias"] = before.parameters["bias"] + node.parameters["shift"]
        elif node.op == "affine" and before.op == "layer_norm" and _is_plain(before, node):
            before.parameters["scale"] = before.parameters["scale"] * node.parameters["scale"]
            before.parameters["shift"] = before.parameters["shift"] + node.parameters["shift"]
        elif node.op == "activation" and _is_open(before):
            before.attributes.update(node.attributes)
        else:
            continue
        replaced[id(node)] = before
        users[id(before)] = users.get(id(node), 0)
    return of(output)


def _is_plain(norm, affine):
    """Whether scale and shift can go into a normalisation without another rounding."""
    return np.all(affine.parameters["scale"] == 1) or (
        np.all(norm.parameters["scale"] == 1) and np.all(norm.parameters["shift"] == 0)
    )


def _is_open(node):
    """Whether an activation can still go into the node."""
    takes = any(a["name"] == "activation" for a in TABLE.get(node.op, {"attributes": ()})["attributes"])
    return takes and node.op != "activation" and node.attributes.get("activation", "linear") == "linear"


def assemble(inputs, output, dtype):
    """Network of nodes with their parameters."""
    output = _fuse(inputs, output)
    reached = {id(n) for n in _sorted([], output)}
    order = _sorted([n for n in inputs if id(n) in reached], output)
    number = {id(n): i for i, n in enumerate(order)}
    listed = [(n.op, tuple(number[id(i)] for i in n.inputs), n.attributes) for n in order]
    graph = _core.Graph(listed)
    flat = np.zeros(graph.n_parameters, dtype)
    for node, placed in zip(order, graph.nodes()):
        for name, offset, shape in placed["parameters"]:
            value = node.parameters[name]
            if value.shape != tuple(shape):
                raise UnsupportedError(
                    f"{name} of shape {value.shape} for the layer {node.op}; expected {tuple(shape)}"
                )
            flat[offset : offset + value.size] = value.ravel()
    return Network(listed, flat)


def best(build, has_images, channels_last=None):
    """The network of build(last) -> (network, n_permute) that permutes axes less often.

    last: see :class:`Builder`. channels_last: one of the two by the caller's wish.
    """
    choices = (False, True) if has_images else (False,)
    found, problem = None, None
    for last in choices if channels_last is None else (bool(channels_last),):
        try:
            network, n_permute = build(last)
        except UnsupportedError as error:
            problem = problem or error
            continue
        if found is None or n_permute < found[1]:
            found = network, n_permute, last
        if n_permute == 0:
            break
    if found is None:
        raise problem
    if found[2] and has_images:
        shapes = [n["shape"] for n in found[0]._graph.nodes() if n["op"] == "input"]
        logger.info(
            "channels moved to the end: the rows of the network have shape %s", ", ".join(map(str, shapes))
        )
    return found[0]
