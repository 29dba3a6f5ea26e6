#!/usr/bin/env python3
"""Forward and backward of [S17]'s layer (noisy top-k, both balancing losses) in torch at its best.

    torch_moe.py OUT.json [--seconds 140]     on the first GPU, in bf16
    torch_moe.py OUT.json --quick             checks the logic on a CPU, in fp32, against plain loops

The work is that of Topknot's layers: the same shapes, the same gate in fp32, the same losses, random
data, the gate's first column a bias that makes routing uniform or skewed. Routing stays on the
device: a stable sort, int32 offsets, grouped_mm forward and backward, the inverse permutation and a
sum over k; the gradients of gathers are gathers, not torch's additions row by row. Variants are
eager or compiled, with or without a CUDA graph; each with gradients in bf16 as torch gives them, and
in fp32 as Topknot gives them. Beside it the experts of the transformers library, if installed, and a
product padded to a capacity, which drops what overflows.

A figure is the median of 15 samples, each of as many runs as take 20 ms, timed by events. A variant
that fails or for which no time is left says so and the others go on.
"""

import argparse
import json
import math
import os
import statistics
import sys
import time

import torch
import torch.nn.functional as F

SHAPES = [(8192, 512, 1024, 256, 4), (16384, 4096, 1024, 128, 8), (16384, 512, 1024, 4096, 4)]
LOGIT_DEVIATION = 0.45
NOISE_FLOOR = 0.01
LOSS = 0.1
ZIPF = 0.5
CAPACITY = 1.25


def cv_squared(v):
    return v.var(unbiased=False) / (v.mean() ** 2 + 1e-10)


def route(x, gate, noise_weights, noise, k):
    """Gates [T, k], chosen [T, k] and the balancing loss; gate and noise_weights are [n, d], fp32."""
    x = x.float()
    clean = x @ gate.t()
    sigma = F.softplus(x @ noise_weights.t()) + NOISE_FLOOR
    noisy = clean + noise * sigma
    top, order = noisy.topk(k + 1, dim=1)
    chosen, gates = order[:, :k], torch.softmax(top[:, :k], dim=1)
    inside = torch.zeros_like(noisy, dtype=torch.bool).scatter(1, chosen, True)
    threshold = torch.where(inside, top[:, k : k + 1], top[:, k - 1 : k])
    load = torch.special.ndtr((clean - threshold) / sigma).sum(0)
    importance = torch.zeros_like(noisy).scatter(1, chosen, gates).sum(0)
    return gates, chosen, LOSS * cv_squared(importance) + LOSS * cv_squared(load)


def grouped_product(a, b, ends):
    """Rows of a [P, K], sorted by expert, times their b [n, K, N]; ends [n] are int32."""
    if a.is_cuda:
        product = getattr(F, "grouped_mm", None) or torch._grouped_mm
        return product(a, b, offs=ends)
    parts, start = [], 0
    for expert, end in enumerate(ends.tolist()):
        parts.append(a[start:end] @ b[expert])
        start = end
    return torch.cat(parts)


def by_expert(chosen, n):
    """The order that sorts pairs by expert, each pair's place in it, and where each expert ends."""
    expert, order = chosen.reshape(-1).sort(stable=True)
    count = torch.arange(order.numel(), device=order.device)
    place = torch.empty_like(order).scatter_(0, order, count)
    ends = torch.searchsorted(expert, torch.arange(n, device=order.device), right=True)
    return expert, order, place, ends.to(torch.int32)


def rows_of(a, index, holes):
    """a[index]; with holes, the index behind the last row stands for zeros."""
    return (torch.cat([a, a.new_zeros(1, a.shape[1])]) if holes else a)[index]


class Gather(torch.autograd.Function):
    """Rows of a matrix, where it is known which rows of the result each of its own went to.

    The gradient of an indexing adds row by row, for any index. Here it is gathered as well: inverse
    is [rows of a], or [rows of a, copies], whose gradients are summed. Holes in both are as above.
    """

    @staticmethod
    def forward(ctx, a, index, inverse, holes):
        ctx.save_for_backward(inverse)
        ctx.holes = holes
        return rows_of(a, index, holes)

    @staticmethod
    def backward(ctx, g):
        (inverse,) = ctx.saved_tensors
        rows = rows_of(g, inverse, ctx.holes)
        return rows.sum(1) if inverse.dim() > 1 else rows, None, None, None


def combine(out, gates):
    """The gate-weighted sum of rows over each token's k experts."""
    return (out.view(*gates.shape, -1) * gates.to(out.dtype).unsqueeze(-1)).sum(1)


def grouped(x, gate, noise_weights, w1, w2, noise, k):
    """w1 [n, h, d], w2 [n, d, h]."""
    gates, chosen, loss = route(x, gate, noise_weights, noise, k)
    _, order, place, ends = by_expert(chosen, w1.shape[0])
    rows = Gather.apply(x, order // k, place.view(-1, k), False)
    hidden = torch.relu(grouped_product(rows, w1.transpose(1, 2), ends))
    out = grouped_product(hidden, w2.transpose(1, 2), ends)
    return combine(Gather.apply(out, place, order, False), gates), loss


def padded(x, gate, noise_weights, w1, w2, noise, k, capacity):
    """Each expert gets exactly capacity rows."""
    n, _, d = w1.shape
    gates, chosen, loss = route(x, gate, noise_weights, noise, k)
    expert, order, place, ends = by_expert(chosen, n)
    starts = torch.cat([ends.new_zeros(1), ends[:-1]]).long()
    rank = torch.arange(order.numel(), device=x.device) - starts[expert]
    # A pair that overflows has no slot, an empty slot no pair: holes.
    slot = torch.where(rank < capacity, expert * capacity + rank, n * capacity)
    pair = order.new_full((n * capacity + 1,), order.numel()).scatter_(0, slot, order)[:-1]
    slot = slot[place]
    rows = Gather.apply(x, pair // k, slot.view(-1, k), True)
    hidden = torch.relu(torch.bmm(rows.view(n, capacity, d), w1.transpose(1, 2)))
    out = torch.bmm(hidden, w2.transpose(1, 2)).reshape(n * capacity, d)
    return combine(Gather.apply(out, slot, pair, True), gates), loss


def of_transformers():
    """The layer with the experts of the transformers library."""
    from transformers.integrations.moe import grouped_mm_experts_forward

    class Experts:
        has_gate = has_bias = is_transposed = False
        act_fn = staticmethod(torch.relu)

        def __init__(self, w1, w2):
            self.num_experts, self.up_proj, self.down_proj = w1.shape[0], w1, w2

    def layer(x, gate, noise_weights, w1, w2, noise, k):
        gates, chosen, loss = route(x, gate, noise_weights, noise, k)
        return grouped_mm_experts_forward(Experts(w1, w2), x, chosen, gates.to(x.dtype)), loss

    return layer


def timed(work):
    """Median, least and most ms of one run."""

    def sample(runs):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(runs):
            work()
        end.record()
        torch.cuda.synchronize()
        return start.elapsed_time(end) / runs

    sample(2)
    runs = max(1, math.ceil(20 / max(sample(1), 1e-3)))
    samples = sorted(sample(runs) for _ in range(15))
    return {"ms": statistics.median(samples), "least": samples[0], "most": samples[-1]}


def graphed(work):
    """The same work as the replay of a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(2):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = work()
    return lambda: (graph.replay(), results)


class Operands:
    """Random inputs and parameters of one shape."""

    def __init__(self, shape, device, dtype):
        tokens, width, hidden, experts, self.k = shape
        torch.manual_seed(1)

        def draw(*size, scale=1.0, dtype=dtype):
            return torch.randn(*size, device=device, dtype=dtype).mul_(scale)

        self.x = draw(tokens, width)
        self.x[:, 0] = 1
        self.gate = draw(experts, width, scale=LOGIT_DEVIATION / width**0.5, dtype=torch.float32)
        self.noise_weights = torch.zeros(experts, width, device=device)
        self.w1 = draw(experts, hidden, width, scale=width**-0.5)
        self.w2 = draw(experts, width, hidden, scale=hidden**-0.5)
        self.noise = draw(tokens, experts, dtype=torch.float32)
        self.dy = draw(tokens, width)
        self.inputs = [self.x, self.gate, self.noise_weights, self.w1, self.w2]
        for tensor in self.inputs:
            tensor.requires_grad_()

    def skew(self, exponent):
        rank = torch.arange(1, self.gate.shape[0] + 1, device=self.gate.device)
        with torch.no_grad():
            self.gate[:, 0] = -exponent * rank.log()

    def max_over_mean(self):
        with torch.no_grad():
            chosen = route(self.x, self.gate, self.noise_weights, self.noise, self.k)[1]
        counts = torch.bincount(chosen.reshape(-1), minlength=self.gate.shape[0]).float()
        return float(counts.max() / counts.mean())

    def step(self, layer, widen):
        """Forward and backward; with widen, gradients in fp32."""
        y, loss = layer(*self.inputs, self.noise, self.k)
        gradients = torch.autograd.grad([y, loss], self.inputs, [self.dy, torch.ones_like(loss)])
        return [g.float() for g in gradients] if widen else gradients


def variants(shape):
    """Names, layers and whether to capture; the most promising first."""
    compiled = torch.compile(grouped, dynamic=False)
    tokens, _, _, experts, k = shape
    capacity = math.ceil(tokens * k / experts * CAPACITY / 16) * 16
    yield "compiled, graph", lambda: compiled, True
    yield "eager, graph", lambda: grouped, True
    yield "transformers, graph", of_transformers, True
    yield "compiled", lambda: compiled, False
    yield "eager", lambda: grouped, False
    yield "padded, graph", lambda: lambda *all: padded(*all, capacity), True


def measure(out, seconds):
    begun = time.monotonic()
    facts = {"torch": torch.__version__, "torch's CUDA": torch.version.cuda}
    found = {"facts": facts, "rows": []}

    def keep(row):
        found["rows"].append(row)
        print(json.dumps(row), flush=True)
        with open(out + ".new", "w") as file:
            json.dump(found, file, indent=1)
        os.replace(out + ".new", out)  # never half a file

    source = torch.randn(1 << 30, device="cuda")
    target = torch.empty_like(source)
    row = {"what": "copy", **timed(lambda: target.copy_(source))}
    keep({**row, "GB/s": 2 * 4 * source.numel() / row["ms"] / 1e6})
    del source, target
    for n in (4096, 8192):
        a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        row = {"what": "matmul", "size": n, **timed(lambda: a @ b)}
        keep({**row, "TFLOP/s": 2 * n**3 / row["ms"] / 1e9})
    for number, shape in enumerate(SHAPES):
        # What one shape does not use is left to the others.
        until = seconds * (number + 1) / len(SHAPES)
        operands = Operands(shape, "cuda", torch.bfloat16)
        for name, layer, capture in variants(shape):
            for routing, exponent in (("uniform", 0.0), ("Zipf", ZIPF)):
                operands.skew(exponent)
                skew = operands.max_over_mean()
                for widen in (True, False):
                    row = dict(zip("Tdhnk", shape))
                    row.update(what="layer", routing=routing, variant=name)
                    row.update({"max/mean": skew, "gradients": "fp32" if widen else "bf16"})
                    row["dropped"] = name.startswith("padded")
                    if time.monotonic() - begun > until:
                        keep({**row, "skipped": "no time left"})
                        continue
                    try:
                        chosen = layer()
                        work = lambda: operands.step(chosen, widen)
                        row.update(timed(graphed(work) if capture else work))
                        row["TFLOP/s"] = 12 * shape[0] * math.prod(shape[1:3]) * shape[4]
                        row["TFLOP/s"] /= row["ms"] * 1e9
                        keep(row)
                    except Exception as error:  # whatever it is, the other variants go on
                        keep({**row, "error": f"{type(error).__name__}: {error}"[:300]})
                    torch.cuda.empty_cache()
        del operands
        torch.cuda.empty_cache()


def by_hand(x, gate, noise_weights, w1, w2, noise, k):
    """Token by token, expert by expert."""
    gates, chosen, loss = route(x, gate, noise_weights, noise, k)
    rows = []
    for token in range(x.shape[0]):
        row = torch.zeros_like(x[0])
        for g, expert in zip(gates[token], chosen[token].tolist()):
            row = row + g * (w2[expert] @ torch.relu(w1[expert] @ x[token]))
        rows.append(row)
    return torch.stack(rows), loss


def check(out):
    """Every way gives the outputs and gradients of plain loops."""
    checks = []
    for exponent in (0.0, ZIPF):
        operands = Operands((48, 16, 32, 8, 2), "cpu", torch.float32)
        operands.skew(exponent)
        ways = {"grouped": grouped, "padded": lambda *all: padded(*all, 96)}
        try:
            ways["transformers"] = of_transformers()
        except ImportError:
            print("transformers is not there")
        expected = operands.step(by_hand, True)
        for name, layer in ways.items():
            actual = operands.step(layer, True)
            error = max(float((a - e).norm() / e.norm()) for a, e in zip(actual, expected))
            checks.append(
                {"name": f"{name}, {exponent}", "fine": error < 1e-5, "said": f"off by {error:.1e}"}
            )
    print(json.dumps(checks, indent=1))
    with open(out, "w") as file:
        json.dump({"facts": {"torch": torch.__version__}, "checks": checks}, file, indent=1)
    return 0 if all(c["fine"] for c in checks) else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("out")
    parser.add_argument("--seconds", type=float, default=140)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    if arguments.quick:
        return check(arguments.out)
    if not torch.cuda.is_available():
        facts = {"torch": f"{torch.__version__} sees no GPU: nothing is compared"}
        with open(arguments.out, "w") as file:
            json.dump({"facts": facts}, file)
        return 0
    measure(arguments.out, arguments.seconds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
