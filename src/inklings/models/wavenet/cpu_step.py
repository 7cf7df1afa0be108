"""One token through the gated layers of a WaveNet on a CPU, by NumPy.

The arrays share the memory of the tensors. A step computes so little that it costs calls, and those
of NumPy take a third of the time of PyTorch's. Its `tanh` is several times as fast, and so are
products of a matrix and one vector where PyTorch's come from MKL and the processor is not Intel's.
Products for several rows stay with PyTorch. The numbers are those of the layers themselves, to
rounding.
"""

from __future__ import annotations

import weakref
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from inklings.layers.causal_convolution import Queues, read_one_token
from inklings.layers.dropout import Dropout

Array = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


EPSILON = 1e-5
"""Epsilon of the layer normalisation."""


class Weights:
    """Weights of a linear map, as tensor and as array over the same memory."""

    def __init__(self, linear: nn.Linear) -> None:
        self.transposed = linear.weight.detach().t()
        self.matrix = linear.weight.detach().numpy()
        self.bias = None if linear.bias is None else linear.bias.detach()
        self.bias_array = None if self.bias is None else self.bias.numpy()


class LayersOnCPU:
    """The layers of a stack and the sum of their skip connections, valid while `still_holds`."""

    def __init__(
        self, layers: nn.ModuleList, skip: nn.Linear | None, queues: Queues, *, adds: bool
    ) -> None:
        self.queues, self.adds = queues, adds
        self.convolutions = [Weights(cast(nn.Linear, layer.convolution)) for layer in layers]
        self.projects = [
            None if layer.project is None else Weights(cast(nn.Linear, layer.project))
            for layer in layers
        ]
        self.skip, self.skip_module = None if skip is None else Weights(skip), skip
        self._rings = list(zip(queues.begins, queues.reaches, queues.dilations, strict=True))
        modules = modules_of(layers, skip)
        self._hooks = [
            hooks
            for module in modules
            for hooks in (module._forward_hooks, module._forward_pre_hooks)
        ]
        self._dropouts = [
            module for module in modules if isinstance(module, Dropout) and module.rate > 0
        ]
        owners: list[dict[str, Any]] = [module._modules for module in (layers, *layers)] + [
            module._parameters for module in modules
        ]
        self._parts = [(owner, name, part) for owner in owners for name, part in owner.items()]
        self._parameters = [
            weight for module in modules for weight in module.parameters(recurse=False)
        ]
        self._addresses = [weight.data_ptr() for weight in self._parameters]

    def still_holds(self) -> bool:
        """Return whether no module was exchanged, moved or hooked since.

        Weights that change in place are seen as they are.
        """
        return (
            not any(self._hooks)
            and not any(dropout.training for dropout in self._dropouts)
            and [weight.data_ptr() for weight in self._parameters] == self._addresses
            and all(owner.get(name) is part for owner, name, part in self._parts)
        )

    def read(
        self, x: Float[Tensor, "B C"], rings: Float[Tensor, "B P C"], position: Int[Tensor, " B"]
    ) -> Float[Tensor, "B S"]:
        """Return the sum of the skip connections, or what the last layer passes on.

        Args:
            x: the vector of one token for each row (B, C).
            rings: the layers' queues (B, P, C); written in place.
            position: how many tokens of the document each row has read (B,).
        """
        if x.shape[0] == 1:
            return torch.from_numpy(self._row(x[0].numpy(), rings[0].numpy(), int(position)))[None]
        return self._rows(x.clone(), rings, position)

    def _row(self, x: Array, rings: Array, at: int) -> Array:
        size, taps = len(x), self.queues.taps
        seen, convolved, gated = (
            np.empty(taps * size, x.dtype),
            np.empty(2 * size, x.dtype),
            np.empty((len(self._rings), size), x.dtype),
        )
        newest, value, gate = seen[-size:], convolved[:size], convolved[size:]
        mean = np.full(size, 1 / size, x.dtype)
        for (begin, reach, dilation), convolution, project, out in zip(
            self._rings, self.convolutions, self.projects, gated, strict=True
        ):
            for tap in range(taps - 1):
                ago = (taps - 1 - tap) * dilation
                seen[tap * size : (tap + 1) * size] = (
                    rings[begin + (at - ago) % reach] if at >= ago else 0
                )
            np.subtract(x, np.dot(mean, x), out=newest)
            np.multiply(
                newest, (float(np.dot(newest, newest)) / size + EPSILON) ** -0.5, out=newest
            )
            rings[begin + at % reach] = newest  # over the oldest
            np.dot(convolution.matrix, seen, out=convolved)
            np.add(convolved, convolution.bias_array, out=convolved)
            np.tanh(convolved, out=convolved)
            np.multiply(value, gate, out=out)
            np.add(out, value, out=out)
            if project is not None:
                passed = np.dot(project.matrix, out)
                x = np.add(x, passed, out=passed) if self.adds else passed
        return x if self.skip is None else np.dot(self.skip.matrix, gated.reshape(-1))

    def _rows(
        self, x: Float[Tensor, "B C"], rings: Float[Tensor, "B P C"], position: Int[Tensor, " B"]
    ) -> Float[Tensor, "B S"]:
        step = read_one_token(self.queues, rings, position)
        rows, size = x.shape
        gated, convolved = x.new_empty(rows, len(self._rings), size), x.new_empty(rows, 2 * size)
        value, gate = convolved.chunk(2, dim=-1)
        activations = convolved.numpy()
        views = zip(
            step.taps.flatten(2).unbind(),
            step.taps[:, :, -1].unbind(),
            gated.unbind(1),
            strict=True,
        )
        for (seen, newest, out), convolution, project in zip(
            views, self.convolutions, self.projects, strict=True
        ):
            newest.copy_(torch.layer_norm(x, (size,), eps=EPSILON))
            torch.addmm(convolution.bias, seen, convolution.transposed, out=convolved)
            np.tanh(activations, out=activations)
            torch.addcmul(value, value, gate, out=out)
            if project is not None:
                x.addmm_(out, project.transposed, beta=int(self.adds))
        step.write()
        return x if self.skip is None else torch.mm(gated.flatten(1), self.skip.transposed)


KNOWN: weakref.WeakKeyDictionary[nn.Module, LayersOnCPU] = weakref.WeakKeyDictionary()


def layers_on_cpu(
    layers: nn.ModuleList,
    skip: nn.Module | None,
    queues: Queues,
    rings: Float[Tensor, "B P C"],
    *,
    adds: bool,
) -> LayersOnCPU | None:
    """Return the layers to read one token with, or None where the plain layers must be used.

    That is where they are more than plain maps in float32 on a CPU, or training.

    Args:
        layers: the gated layers.
        skip: the map of the skip connections; None where the last layer is read.
        queues: the layout of the layers' queues.
        rings: the queues themselves (B, P, C).
        adds: whether a layer adds to what it reads.
    """
    if rings.device.type != "cpu" or rings.dtype != torch.float32 or type(rings) is not Tensor:
        return None
    if torch.is_autocast_enabled("cpu") or torch.compiler.is_compiling():
        return None
    known = KNOWN.get(layers)
    if known is None or known.skip_module is not skip or not known.still_holds():
        KNOWN.pop(layers, None)
        if not all(_plain(module) for module in modules_of(layers, skip)):
            return None
        assert skip is None or isinstance(skip, nn.Linear)
        known = KNOWN[layers] = LayersOnCPU(layers, skip, queues, adds=adds)
    return known


def modules_of(layers: nn.ModuleList, skip: nn.Module | None) -> list[nn.Module]:
    """Return all modules that reading a token calls."""
    found = [module for layer in layers for module in layer.modules()]
    return found if skip is None else [*found, skip]


def _plain(module: nn.Module) -> bool:
    """Return whether calling a module is nothing but the matrix products of its parameters."""
    if (
        module._forward_hooks
        or module._forward_pre_hooks
        or (isinstance(module, Dropout) and module.rate > 0 and module.training)
    ):
        return False
    weights = list(module.parameters(recurse=False))
    ours = all(
        type(weight) is nn.Parameter and weight.dtype == torch.float32 and weight.is_cpu
        for weight in weights
    )
    return ours and (not weights or type(module) is nn.Linear)
