"""PyTorch in its strongest eager form: outputs reused, fused optimizers, channels-last convolutions."""

import os
import sys

from peer import say, serve

# This file has the name of what it imports.
sys.path.pop(0)
try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    say({"absent": "no torch in this python3 (THALWEG_PYTHON names another interpreter)"})
    sys.exit()


def unary(op):
    def make(n):
        x = torch.rand(n) + 0.5
        out = torch.empty(n)
        return lambda: op(x, out=out)

    return make


def functional(op):
    def make(n):
        x = torch.randn(n)
        return lambda: op(x)

    return make


def binary(op):
    def make(n0, n1, n2, *_):
        a, b = torch.rand(n0 * n1 * n2) + 0.5, torch.rand(n0 * n1 * n2) + 0.5
        out = torch.empty_like(a)
        return lambda: op(a, b, out=out)

    return make


def reduction(op):
    def make(outer, n, inner):
        x = torch.rand(int(outer), int(n), int(inner))
        return lambda: op(x, 1)

    return make


def rowwise(op):
    def make(rows, cols):
        x = torch.randn(rows, cols)
        return lambda: op(x, -1)

    return make


def rowwise_grad(op):
    def make(rows, cols):
        y = torch.softmax(torch.randn(rows, cols), -1)
        g = torch.randn(rows, cols)
        return lambda: op(g, y, -1, torch.float32)

    return make


def sgemm(m, n, k, ta, tb, *_):
    a = torch.randn(k, m).t() if ta else torch.randn(m, k)
    b = torch.randn(n, k).t() if tb else torch.randn(k, n)
    out = torch.empty(m, n)
    return lambda: torch.mm(a, b, out=out)


def convolution(part):
    def make(n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups):
        last = torch.channels_last
        x = torch.randn(n, c, h, w).to(memory_format=last)
        weight = torch.randn(k, c // groups, r, s).to(memory_format=last)
        options = ((sh, sw), (ph, pw), (dh, dw))
        y = F.conv2d(x, weight, None, *options, groups)
        if part == "y":
            return lambda: F.conv2d(x, weight, None, *options, groups)
        g = torch.randn_like(y)
        mask = (part == "x", part == "w", False)
        back = torch.ops.aten.convolution_backward
        return lambda: back(g, x, weight, None, *options, False, (0, 0), groups, mask)

    return make


def pool(op):
    def make(planes, h, w, kh, kw, *_):
        x = torch.randn(planes // 32, 32, h, w).to(memory_format=torch.channels_last)
        return lambda: op(x, (kh, kw))

    return make


def take(_outer, n, inner, m):
    table, index = torch.randn(n, inner), torch.randint(n, (m,))
    out = torch.empty(m, inner)
    return lambda: torch.index_select(table, 0, index, out=out)


def take_grad(_outer, n, inner, m):
    table, index, g = torch.zeros(n, inner), torch.randint(n, (m,)), torch.randn(m, inner)
    return lambda: table.index_add_(0, index, g)


OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-3, fused=True),
    "momentum": lambda p: torch.optim.SGD(p, lr=1e-3, momentum=0.9, fused=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=1e-3, fused=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-3),
    "adam": lambda p: torch.optim.Adam(p, lr=1e-3, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=1e-3, fused=True),
    "amsgrad": lambda p: torch.optim.Adam(p, lr=1e-3, amsgrad=True, fused=True),
}


def optimizer(kind, tensors, length):
    if kind not in OPTIMIZERS:
        return None
    params = [torch.randn(length, requires_grad=True) for _ in range(tensors)]
    for p in params:
        p.grad = torch.randn(length)
    return OPTIMIZERS[kind](params).step


def step(model, name, x, y, lr=1e-3):
    opt = OPTIMIZERS[name](list(model.parameters()))
    for group in opt.param_groups:
        group["lr"] = lr

    def run():
        opt.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        return loss.item()

    return run


def tiny(name):
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 10))
    return step(model, name, torch.randn(16, 16), torch.randint(10, (16,)))


def mlp(name):
    sizes = [784, 512, 256, 10]
    layers = [nn.Linear(a, b) for a, b in zip(sizes, sizes[1:])]
    model = nn.Sequential(layers[0], nn.ReLU(), layers[1], nn.ReLU(), layers[2])
    return step(model, name, torch.randn(128, 784), torch.randint(10, (128,)))


def cnn(name):
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(64 * 49, 128),
        nn.ReLU(),
        nn.Linear(128, 10),
    ).to(memory_format=torch.channels_last)
    x = torch.randn(64, 1, 28, 28).to(memory_format=torch.channels_last)
    return step(model, name, x, torch.randint(10, (64,)))


UNARY = "neg abs sign square reciprocal sqrt rsqrt floor ceil round trunc exp expm1 log log1p sin cos tanh sigmoid erf"
BINARY = "add sub mul div pow maximum minimum eq ne lt le gt ge"

KINDS = {
    **{name: unary(getattr(torch, name)) for name in UNARY.split()},
    **{name: binary(getattr(torch, name)) for name in BINARY.split()},
    "relu": lambda n: (lambda x, out: lambda: torch.clamp_min(x, 0, out=out))(torch.randn(n), torch.empty(n)),
    "gelu": functional(F.gelu),
    "geluTanh": functional(lambda x: F.gelu(x, approximate="tanh")),
    "softplus": functional(F.softplus),
    "silu": functional(F.silu),
    "sum": reduction(torch.sum),
    "prod": reduction(torch.prod),
    "max": reduction(torch.amax),
    "min": reduction(torch.amin),
    "argmax": reduction(torch.argmax),
    "argmin": reduction(torch.argmin),
    "cumsum": lambda outer, n, inner, _: reduction(torch.cumsum)(outer, n, inner),
    "softmax": rowwise(torch.softmax),
    "logSoftmax": rowwise(torch.log_softmax),
    "softmaxGrad": rowwise_grad(torch._softmax_backward_data),
    "logSoftmaxGrad": rowwise_grad(torch._log_softmax_backward_data),
    "norm2": functional(torch.linalg.vector_norm),
    "dot": lambda n: (lambda a, b: lambda: torch.dot(a, b))(torch.randn(n), torch.randn(n)),
    "sgemm": sgemm,
    "matmul": lambda _batch, *sizes: sgemm(*sizes),
    "conv2d": convolution("y"),
    "conv2dGradInput": convolution("x"),
    "conv2dGradWeight": convolution("w"),
    "maxPool2d": pool(F.max_pool2d),
    "avgPool2d": pool(F.avg_pool2d),
    "take": take,
    "takeGrad": take_grad,
    "optimizer": optimizer,
    "tiny": tiny,
    "mlp": mlp,
    "cnn": cnn,
}


def prepare(threads):
    torch.set_num_threads(threads)
    torch.manual_seed(0)


serve(KINDS, {"version": torch.__version__.split("+")[0], "maxThreads": os.cpu_count()}, prepare)
