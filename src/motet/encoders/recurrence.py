"""The GRU recurrence of several stacks at once, with its own backward pass.

The released encoder of CMD (Mao et al., ECCV 2022) feeds one frame at a time into a "bidirectional" GRU and carries the
state over, so both directions of every layer run forward in time. That is, per layer, two ordinary GRUs over the same
sequence whose outputs are concatenated. Here all such GRUs of one layer, two per stack, form a group of size
``G = 2 · stacks``: per layer one input product for all frames, one grouped product per time step, and in the backward
pass one product per weight gradient instead of one accumulation per frame.

Buffers are group-major, ``(G, T, B, ·)``: a time step is a batch of matrices, and a whole group's time axis flattens
into the rows of one matrix without a copy. The four gate slots lie as ``[hn | r | z | n]``, where ``hn`` is the
recurrent half of the candidate (with its bias): slots 0..2 then belong to the recurrent product and slots 1..3 to the
input product, each a contiguous range of columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

# Recurrent weights that fit a core's caches next to the step's activations are worth grouping on a CPU; larger ones
# are better kept in the cache for a whole sequence, one recurrence after the other.
_CPU_GROUP_BYTES = 4 << 20


@dataclass(frozen=True)
class Plan:
    """What :func:`run` is to do.

    Attributes:
        stacks: how many stacks run together.
        layers: layers of each stack.
        hidden: H, units per direction.
        compute: dtype of the matrix products; gates and the carried state stay in the parameters' dtype.
        sequence: whether every time step of the last layer is wanted, or the last one only.
    """

    stacks: int
    layers: int
    hidden: int
    compute: torch.dtype
    sequence: bool


@dataclass
class _Layer:
    """Saved by the forward pass of one layer, all in the compute dtype.

    ``gates`` (G, T, B, 4H) after the nonlinearities, ``states`` (G, T+1, B, H) from the zero state on.
    """

    gates: Tensor
    states: Tensor


def run(plan: Plan, inputs: Sequence[Tensor], parameters: Sequence[Tensor]) -> Tensor:
    """Run several stacks of causal GRU pairs.

    Args:
        plan: sizes and dtypes.
        inputs: one (T, B, F_s) tensor per stack.
        parameters: ``weight_ih, weight_hh, bias_ih, bias_hh`` per stack, layer and direction, in this nesting.

    Returns:
        (G, B, H), or (G, T, B, H) for ``plan.sequence``; group 2s + d is direction d of stack s. In the parameters'
        dtype. Without gradients no activation outlives its layer.
    """
    if torch.is_grad_enabled() and any(t.requires_grad for t in (*inputs, *parameters)):
        result: Tensor = _Recurrence.apply(plan, *inputs, *parameters)  # type: ignore[no-untyped-call]
        return result
    with torch.autocast(parameters[0].device.type, enabled=False):
        return _forward(plan, inputs, parameters, keep=None)[0]


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, plan: Plan, *tensors: Tensor) -> Tensor:
        inputs, parameters = tensors[: plan.stacks], tensors[plan.stacks :]
        kept: list[_Layer] = []
        with torch.autocast(parameters[0].device.type, enabled=False):
            result, sources = _forward(plan, inputs, parameters, keep=kept)
        ctx.plan = plan
        saved = [t for layer in kept for t in (layer.gates, layer.states)]
        ctx.save_for_backward(*parameters, *sources, *saved)
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        plan: Plan = ctx.plan
        saved = ctx.saved_tensors
        count = plan.stacks * plan.layers * 8
        parameters = saved[:count]
        sources = saved[count : count + plan.stacks]
        rest = saved[count + plan.stacks :]
        layers = [_Layer(*rest[i : i + 2]) for i in range(0, len(rest), 2)]
        with torch.autocast(parameters[0].device.type, enabled=False):
            return None, *_backward(plan, sources, parameters, layers, gradients[0], ctx.needs_input_grad[1:])


def _parameters_of(plan: Plan, parameters: Sequence[Tensor], layer: int) -> list[Sequence[Tensor]]:
    """The four tensors of every group of one layer."""
    stride = plan.layers * 8
    starts = [s * stride + layer * 8 + d * 4 for s in range(plan.stacks) for d in range(2)]
    return [parameters[i : i + 4] for i in starts]


def _recurrent_weights(plan: Plan, groups: Sequence[Sequence[Tensor]]) -> Tensor:
    """(G, 3H, H) recurrent weights in the order [n | r | z] of the gate slots, in the compute dtype."""
    size = plan.hidden
    first = groups[0][1]
    weights = first.new_empty((len(groups), 3 * size, size), dtype=plan.compute)
    for group, (_, weight, _, _) in enumerate(groups):
        weights[group, :size].copy_(weight[2 * size :])
        weights[group, size:].copy_(weight[: 2 * size])
    return weights


def _chunks(plan: Plan, weights: Tensor) -> list[slice]:
    """The groups that one pass over time handles together."""
    groups = weights.shape[0]
    together = groups
    if weights.device.type == "cpu":
        together = max(1, _CPU_GROUP_BYTES // (weights[0].numel() * weights.element_size()))
    return [slice(i, min(i + together, groups)) for i in range(0, groups, together)]


def _forward(
    plan: Plan, inputs: Sequence[Tensor], parameters: Sequence[Tensor], keep: list[_Layer] | None
) -> tuple[Tensor, list[Tensor]]:
    time, batch, _ = inputs[0].shape
    size, rows = plan.hidden, time * batch
    carry_dtype = parameters[0].dtype
    sources = [x.reshape(rows, x.shape[2]).to(plan.compute) for x in inputs]
    blocks = [[source] for source in sources]
    final = parameters[0].new_empty((2 * plan.stacks, batch, size))
    states = final
    for layer in range(plan.layers):
        groups = _parameters_of(plan, parameters, layer)
        gates = final.new_empty((len(groups), time, batch, 4 * size), dtype=plan.compute)
        states = final.new_empty((len(groups), time + 1, batch, size), dtype=plan.compute)
        states[:, 0].zero_()
        for group, (weight, _, bias_input, bias_hidden) in enumerate(groups):
            bias = torch.cat((bias_hidden[2 * size :], bias_input))
            bias[size : 3 * size] += bias_hidden[: 2 * size]
            flat = gates[group].view(rows, 4 * size)
            flat.copy_(bias)
            _add_products(flat[:, size:], blocks[group // 2], weight.to(plan.compute))
        weights = _recurrent_weights(plan, groups)
        for chunk in _chunks(plan, weights):
            final[chunk] = _scan(gates[chunk], states[chunk], weights[chunk].transpose(1, 2), carry_dtype)
        blocks = [[states[2 * s + d, 1:].view(rows, size) for d in range(2)] for s in range(plan.stacks)]
        if keep is not None:
            keep.append(_Layer(gates, states))
    return (states[:, 1:].to(carry_dtype, copy=True) if plan.sequence else final), sources


def _add_products(out: Tensor, blocks: Sequence[Tensor], weight: Tensor) -> None:
    """out += concat(blocks) @ weightᵀ, without the concatenation."""
    column = 0
    for block in blocks:
        out.addmm_(block, weight[:, column : column + block.shape[1]].t())
        column += block.shape[1]


def _scan(gates: Tensor, states: Tensor, weights: Tensor, carry_dtype: torch.dtype) -> Tensor:
    """The recurrence over time, in place.

    ``gates`` (g, T, B, 4H) holds the input product and the biases and is overwritten with ``[hn | r | z | n]``;
    ``states`` (g, T+1, B, H) is filled from step 1 on. Returns the last state in the carry dtype.
    """
    size = states.shape[3]
    exact = gates.dtype == carry_dtype
    recurrent, all_states = gates[..., : 3 * size].unbind(1), states.unbind(1)
    whole = gates.unbind(1)
    carry = states[:, 0].to(carry_dtype)
    work = torch.empty_like(whole[0], dtype=carry_dtype, memory_format=torch.contiguous_format)
    for step, before in enumerate(all_states[:-1]):
        recurrent[step].baddbmm_(before, weights)
        if exact:
            work, after = whole[step], all_states[step + 1]
        else:
            work.copy_(whole[step])
            after = carry
        work[..., size : 3 * size].sigmoid_()
        hidden, reset, update, new = work.chunk(4, dim=2)
        _tanh_(new.addcmul_(reset, hidden))
        torch.lerp(new, carry, update, out=after)
        if exact:
            carry = after
        else:
            whole[step].copy_(work)
            all_states[step + 1].copy_(carry)
    return carry


def _tanh_(x: Tensor) -> Tensor:
    """tanh in place; on a CPU as 2 σ(2x) − 1, which is several times as fast and exact to one rounding of 1."""
    if x.device.type != "cpu":
        return x.tanh_()
    return x.mul_(2).sigmoid_().mul_(2).sub_(1)


def _backward(
    plan: Plan,
    sources: Sequence[Tensor],
    parameters: Sequence[Tensor],
    layers: Sequence[_Layer],
    gradient: Tensor,
    wanted: Sequence[bool],
) -> list[Tensor | None]:
    size = plan.hidden
    groups_count, time, batch, _ = layers[-1].gates.shape
    rows = time * batch
    inputs_wanted, parameters_wanted = wanted[: plan.stacks], wanted[plan.stacks :]
    parameter_gradients: list[Tensor | None] = [None] * len(parameters)
    input_gradients: list[Tensor | None] = [None] * plan.stacks
    last = gradient[:, -1] if plan.sequence else gradient
    upstream: Tensor | None = gradient if plan.sequence else None
    slopes = torch.empty_like(layers[-1].gates)
    for layer in reversed(range(plan.layers)):
        groups = _parameters_of(plan, parameters, layer)
        gates, states = layers[layer].gates, layers[layer].states
        weights = _recurrent_weights(plan, groups)
        for chunk in _chunks(plan, weights):
            above = None if upstream is None else upstream[chunk]
            _scan_back(gates[chunk], states[chunk], weights[chunk], last[chunk], above, slopes[chunk])
        below = slopes.new_empty((groups_count, time, batch, size)) if layer else None
        for stack in range(plan.stacks):
            flats = [slopes[2 * stack + d].view(rows, 4 * size) for d in range(2)]
            if layer:
                blocks = [layers[layer - 1].states[2 * stack + d, 1:].view(rows, size) for d in range(2)]
            else:
                blocks = [sources[stack]]
            start = (stack * plan.layers + layer) * 8
            for direction, flat in enumerate(flats):
                at = start + 4 * direction
                before = states[2 * stack + direction, :-1].view(rows, size)
                found = _parameter_gradients(flat, before, blocks, parameters[at], parameters_wanted[at : at + 4])
                parameter_gradients[at : at + 4] = found
            compute = [parameters[start + 4 * d].to(plan.compute) for d in range(2)]
            if below is not None:
                for block in range(2):
                    out = below[2 * stack + block].view(rows, size)
                    columns = slice(block * size, (block + 1) * size)
                    torch.mm(flats[0][:, size:], compute[0][:, columns], out=out)
                    out.addmm_(flats[1][:, size:], compute[1][:, columns])
            elif inputs_wanted[stack]:
                found_input = torch.mm(flats[0][:, size:], compute[0]).addmm_(flats[1][:, size:], compute[1])
                input_gradients[stack] = found_input.view(time, batch, -1).to(parameters[0].dtype)
        if below is not None:
            upstream, last = below, below[:, -1]
    return [*input_gradients, *parameter_gradients]


def _parameter_gradients(
    flat: Tensor, before: Tensor, blocks: Sequence[Tensor], like: Tensor, wanted: Sequence[bool]
) -> list[Tensor | None]:
    """Gradients of (weight_ih, weight_hh, bias_ih, bias_hh) from the slopes (T·B, 4H) of one direction."""
    size = before.shape[1]
    found: list[Tensor | None] = [None] * 4
    if wanted[0]:
        weight = torch.empty_like(like, dtype=flat.dtype)
        column = 0
        for block in blocks:
            torch.mm(flat[:, size:].t(), block, out=weight[:, column : column + block.shape[1]])
            column += block.shape[1]
        found[0] = weight.to(like.dtype)
    if wanted[1]:
        weight = flat.new_empty((3 * size, size))
        torch.mm(flat[:, size : 3 * size].t(), before, out=weight[: 2 * size])
        torch.mm(flat[:, :size].t(), before, out=weight[2 * size :])
        found[1] = weight.to(like.dtype)
    if wanted[2] or wanted[3]:
        total = _column_sums(flat, like.dtype)
        found[2] = total[size:].clone()
        found[3] = torch.cat((total[size : 3 * size], total[:size]))
    return found


def _column_sums(flat: Tensor, dtype: torch.dtype) -> Tensor:
    if flat.dtype == dtype:
        return flat.sum(0)
    # a product with ones accumulates in float32 as well and is many times as fast as a reduction of low precision
    return torch.mm(flat.new_ones((1, flat.shape[0])), flat)[0].to(dtype)


def _scan_back(
    gates: Tensor, states: Tensor, weights: Tensor, last: Tensor, upstream: Tensor | None, slopes: Tensor
) -> None:
    """The recurrence backwards in time.

    Fills ``slopes`` (g, T, B, 4H) with the loss's derivatives by the arguments of ``[hn | r | z | n]``. ``last``
    (g, B, H) is the derivative by the last state, ``upstream`` (g, T, B, H) that by all states, if they were used.
    """
    size = states.shape[3]
    carry_dtype = torch.promote_types(last.dtype, torch.float32)
    exact = gates.dtype == carry_dtype
    whole, all_states, all_slopes = gates.unbind(1), states.unbind(1), slopes.unbind(1)
    recurrent = slopes[..., : 3 * size].unbind(1)
    above = None if upstream is None else upstream.unbind(1)
    carry = last.to(carry_dtype, copy=True, memory_format=torch.contiguous_format)
    passed, term = torch.empty_like(carry), torch.empty_like(carry)
    if not exact:
        gate = torch.empty_like(whole[0], dtype=carry_dtype, memory_format=torch.contiguous_format)
        slope = torch.empty_like(gate)
        product = torch.empty_like(carry, dtype=gates.dtype)
    for step in reversed(range(len(whole))):
        if exact:
            gate, slope = whole[step], all_slopes[step]
        else:
            gate.copy_(whole[step])
        hidden, reset, update, new = gate.chunk(4, dim=2)
        to_hidden, to_reset, to_update, to_new = slope.chunk(4, dim=2)
        torch.mul(carry, update, out=passed)
        torch.sub(carry, passed, out=term)
        torch.ops.aten.tanh_backward.grad_input(term, new, grad_input=to_new)
        torch.mul(to_new, reset, out=to_hidden)
        torch.mul(to_new, hidden, out=term)
        torch.ops.aten.sigmoid_backward.grad_input(term, reset, grad_input=to_reset)
        torch.sub(all_states[step], new, out=term).mul_(carry)
        torch.ops.aten.sigmoid_backward.grad_input(term, update, grad_input=to_update)
        if step == 0:
            if not exact:
                all_slopes[step].copy_(slope)
            break
        if exact:
            passed.baddbmm_(recurrent[step], weights)
        else:
            all_slopes[step].copy_(slope)
            passed.add_(torch.bmm(recurrent[step], weights, out=product))
        if above is not None:
            passed.add_(above[step - 1])
        carry, passed = passed, carry
