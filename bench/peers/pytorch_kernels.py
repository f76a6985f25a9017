"""PyTorch's kernels and optimizers. Eagerly outputs are reused; compiled, they are written by the fused loop."""

import torch
import torch.nn.functional as F

UNARY = "neg abs sign square reciprocal sqrt rsqrt floor ceil round trunc exp expm1 log log1p sin cos tanh sigmoid erf"
BINARY = "add sub mul div pow maximum minimum eq ne lt le gt ge"


def make_kinds(compiled):
    """The works by name. `compiled(f)` is f in the form that is timed: itself, or as torch.compile makes it."""
    eager = compiled is None

    def into(op, *inputs, dtype=torch.float32):
        out = torch.empty_like(op(*inputs), dtype=dtype)
        if eager:
            return lambda: op(*inputs, out=out)
        fused = compiled(lambda out, *xs: out.copy_(op(*xs)))
        return lambda: fused(out, *inputs)

    def plain(op, *inputs):
        call = op if eager else compiled(op)
        return lambda: call(*inputs)

    def positive(*shape):
        return torch.rand(*shape) + 0.5

    def unary(op):
        return lambda n: into(op, positive(n))

    def signed(op):
        return lambda n: plain(op, torch.randn(n))

    def binary(op):
        return lambda n0, n1, n2, *_: into(op, positive(n0 * n1 * n2), positive(n0 * n1 * n2))

    def reduction(op):
        return lambda outer, n, inner, *_: plain(lambda x: op(x, 1), torch.rand(outer, n, inner))

    def rowwise(op):
        return lambda rows, cols: plain(lambda x: op(x, -1), torch.randn(rows, cols))

    def rowwise_grad(op):
        def make(rows, cols):
            y = torch.softmax(torch.randn(rows, cols), -1)
            return plain(lambda g, y: op(g, y, -1, torch.float32), torch.randn(rows, cols), y)

        return make

    def relu(n):
        x = torch.randn(n)
        return into(lambda x, **out: torch.clamp_min(x, 0, **out), x) if eager else into(torch.relu, x)

    def sgemm(m, n, k, ta, tb, *_):
        a = torch.randn(k, m).t() if ta else torch.randn(m, k)
        b = torch.randn(n, k).t() if tb else torch.randn(k, n)
        return into(torch.mm, a, b)

    def convolution(part):
        # What follows the groups is the activation, and no figure has one.
        def make(n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups, *_):
            last = torch.channels_last
            x = torch.randn(n, c, h, w).to(memory_format=last)
            weight = torch.randn(k, c // groups, r, s).to(memory_format=last)
            options = ((sh, sw), (ph, pw), (dh, dw))
            if part == "y":
                return plain(lambda x, weight: F.conv2d(x, weight, None, *options, groups), x, weight)
            g = torch.randn_like(F.conv2d(x, weight, None, *options, groups))
            mask = (part == "x", part == "w", False)
            back = torch.ops.aten.convolution_backward
            return plain(lambda g, x, w: back(g, x, w, None, *options, False, (0, 0), groups, mask), g, x, weight)

        return make

    def pool(op):
        def make(planes, h, w, kh, kw, *_):
            x = torch.randn(planes // 32, 32, h, w).to(memory_format=torch.channels_last)
            return plain(lambda x: op(x, (kh, kw)), x)

        return make

    def layer_norm(rows, cols, *_):
        x, weight, bias = torch.randn(rows, cols), torch.ones(cols), torch.zeros(cols)
        return plain(lambda x, weight, bias: F.layer_norm(x, (cols,), weight, bias), x, weight, bias)

    def batch_norm(n, c, size, *_):
        x, weight, bias = torch.randn(n, c, size, 1), torch.ones(c), torch.zeros(c)
        x = x.to(memory_format=torch.channels_last)
        return plain(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True), x, weight, bias)

    def group_norm(n, c, size, groups, *_):
        x, weight, bias = torch.randn(n, c, size), torch.ones(c), torch.zeros(c)
        return plain(lambda x, w, b: F.group_norm(x, groups, w, b), x, weight, bias)

    def cross_entropy(rows, classes):
        x, target = torch.randn(rows, classes), torch.randint(classes, (rows,))
        return plain(lambda x, target: F.cross_entropy(x, target, reduction="none"), x, target)

    def attention(n, queries, keys, d, dv, *_):
        q, k, v = torch.randn(n, queries, d), torch.randn(n, keys, d), torch.randn(n, keys, dv)
        attend = F.scaled_dot_product_attention
        return plain(lambda q, k, v: attend(q[None], k[None], v[None], is_causal=True), q, k, v)

    def take(_outer, n, inner, m):
        table, index = torch.randn(n, inner), torch.randint(n, (m,))
        return into(lambda table, index, **out: torch.index_select(table, 0, index, **out), table, index)

    def take_grad(_outer, n, inner, m):
        table, index, g = torch.zeros(n, inner), torch.randint(n, (m,)), torch.randn(m, inner)
        return plain(lambda table, index, g: table.index_add_(0, index, g), table, index, g)

    return {
        **{name: unary(getattr(torch, name)) for name in UNARY.split()},
        **{name: binary(getattr(torch, name)) for name in BINARY.split()},
        "relu": relu,
        "gelu": signed(F.gelu),
        "geluTanh": signed(lambda x: F.gelu(x, approximate="tanh")),
        "softplus": signed(F.softplus),
        "silu": signed(F.silu),
        "sum": reduction(torch.sum),
        "prod": reduction(torch.prod),
        "max": reduction(torch.amax),
        "min": reduction(torch.amin),
        "argmax": reduction(torch.argmax),
        "argmin": reduction(torch.argmin),
        "cumsum": reduction(torch.cumsum),
        "softmax": rowwise(torch.softmax),
        "logSoftmax": rowwise(torch.log_softmax),
        "softmaxGrad": rowwise_grad(torch._softmax_backward_data),
        "logSoftmaxGrad": rowwise_grad(torch._log_softmax_backward_data),
        "norm2": signed(torch.linalg.vector_norm),
        "dot": lambda n: plain(torch.dot, torch.randn(n), torch.randn(n)),
        "sgemm": sgemm,
        "matmul": lambda _batch, *sizes: sgemm(*sizes),
        "conv2d": convolution("y"),
        "conv2dGradInput": convolution("x"),
        "conv2dGradWeight": convolution("w"),
        "maxPool2d": pool(F.max_pool2d),
        "avgPool2d": pool(F.avg_pool2d),
        "layerNorm": layer_norm,
        "batchNorm": batch_norm,
        "groupNorm": group_norm,
        "crossEntropy": cross_entropy,
        "attention": attention,
        "take": take,
        "takeGrad": take_grad,
        "optimizer": optimizer(OPTIMIZERS if eager else UNFUSED, None if eager else compiled),
        **passes(compiled),
    }


def passes(compiled):
    """Ops forward and backward."""

    def both(op, *inputs):
        """The output, and the gradients of the inputs that are real."""
        wanted = [x.requires_grad_() for x in inputs if x.is_floating_point()]
        forward = op if compiled is None else compiled(op)
        shape = op(*inputs)
        g = None if shape.dim() == 0 else torch.randn_like(shape)
        return lambda: torch.autograd.grad(forward(*inputs), wanted, g)

    def last(*shape):
        return torch.randn(*shape).to(memory_format=torch.channels_last)

    def batch_norm(n, c, side):
        normalise = lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True)  # noqa: E731
        return both(normalise, last(n, c, side, side), torch.ones(c), torch.zeros(c))

    def layer_norm(rows, cols):
        normalise = lambda x, w, b: F.layer_norm(x, (cols,), w, b)  # noqa: E731
        return both(normalise, torch.randn(rows, cols), torch.ones(cols), torch.zeros(cols))

    def attention(*shape):
        attend = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)  # noqa: E731
        return both(attend, *(torch.randn(*shape) for _ in range(3)))

    def embedding(ids, rows, width):
        # Its gradient takes half the time of F.embedding's.
        pick = lambda table, index: torch.index_select(table, 0, index)  # noqa: E731
        return both(pick, torch.randn(rows, width), torch.randint(rows, (ids,)))

    return {
        "convolutionPass": lambda n, c, side, k: both(
            lambda x, w: F.conv2d(x, w, padding=1), last(n, c, side, side), last(k, c, 3, 3)
        ),
        "batchNormPass": batch_norm,
        "layerNormPass": layer_norm,
        "attentionPass": attention,
        "embeddingPass": embedding,
        "crossEntropyPass": lambda rows, classes: both(
            F.cross_entropy, torch.randn(rows, classes), torch.randint(classes, (rows,))
        ),
    }


def rules(fused):
    optim = torch.optim
    return {
        "sgd": lambda p: optim.SGD(p, lr=1e-3, **fused),
        "momentum": lambda p: optim.SGD(p, lr=1e-3, momentum=0.9, **fused),
        "adagrad": lambda p: optim.Adagrad(p, lr=1e-3, **fused),
        # There is no fused one.
        "rmsprop": lambda p: optim.RMSprop(p, lr=1e-3),
        "adam": lambda p: optim.Adam(p, lr=1e-3, **fused),
        "adamw": lambda p: optim.AdamW(p, lr=1e-3, **fused),
        "amsgrad": lambda p: optim.Adam(p, lr=1e-3, amsgrad=True, **fused),
    }


OPTIMIZERS = rules({"fused": True})
UNFUSED = rules({})


def optimizer(rules, compiled=None):
    def make(kind, tensors, length):
        if kind not in rules:
            return None
        params = [torch.randn(length, requires_grad=True) for _ in range(tensors)]
        for p in params:
            p.grad = torch.randn(length)
        step = rules[kind](params).step
        # The compiler fuses what an optimizer does in single steps.
        return compiled(step) if compiled else step

    return make
