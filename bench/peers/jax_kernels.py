"""JAX's kernels and optimizers: each work one jitted function, updated arrays donated, images channels-last."""

import jax
import jax.numpy as jnp
import optax
from jax import lax

UNARY = "abs sign square reciprocal sqrt floor ceil round trunc exp expm1 log log1p sin cos tanh"
FUNCTIONS = {
    **{name: getattr(jnp, name) for name in UNARY.split()},
    "neg": jnp.negative,
    "rsqrt": lax.rsqrt,
    "erf": lax.erf,
    "sigmoid": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "geluTanh": jax.nn.gelu,
    "softplus": jax.nn.softplus,
    "silu": jax.nn.silu,
    "norm2": jnp.linalg.norm,
}
BINARY = {
    "add": jnp.add,
    "sub": jnp.subtract,
    "mul": jnp.multiply,
    "div": jnp.divide,
    "pow": jnp.power,
    "maximum": jnp.maximum,
    "minimum": jnp.minimum,
    "eq": jnp.equal,
    "ne": jnp.not_equal,
    "lt": jnp.less,
    "le": jnp.less_equal,
    "gt": jnp.greater,
    "ge": jnp.greater_equal,
}
REDUCTIONS = {
    "sum": jnp.sum,
    "prod": jnp.prod,
    "max": jnp.max,
    "min": jnp.min,
    "argmax": jnp.argmax,
    "argmin": jnp.argmin,
    "cumsum": jnp.cumsum,
}


def normal(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


def positive(*shape):
    return jax.random.uniform(jax.random.key(sum(shape)), shape, minval=0.5, maxval=1.5)


def jitted(op, *inputs):
    call = jax.jit(op)
    return lambda: jax.block_until_ready(call(*inputs))


def sgemm(m, n, k, ta, tb, *_):
    a, b = normal(*((k, m) if ta else (m, k))), normal(*((n, k) if tb else (k, n)))
    return jitted(lambda a, b: (a.T if ta else a) @ (b.T if tb else b), a, b)


def binary(op):
    def make(n0, n1, n2, *_):
        n = n0 * n1 * n2
        return jitted(lambda a, b: op(a, b).astype(jnp.float32), positive(n), positive(n) + 0.1)

    return make


def reduction(op):
    return lambda outer, n, inner, *_: jitted(lambda x: op(x, 1), positive(outer, n, inner))


def rowwise(op):
    return lambda rows, cols: jitted(op, normal(rows, cols))


def rowwise_grad(op):
    """From the output, as the kernels have it."""
    return lambda rows, cols: jitted(op, normal(rows, cols), jax.nn.softmax(normal(rows, cols)))


def conv(x, weight, stride=1):
    """Padded alike on all sides, where "SAME" would pad one side more than the other."""
    pad = weight.shape[0] // 2
    return lax.conv_general_dilated(
        x, weight, (stride, stride), ((pad, pad), (pad, pad)), dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolution(part):
    def make(n, c, h, w, k, r, s, *_):
        x, weight = normal(n, h, w, c), normal(r, s, c, k)
        if part == "y":
            return jitted(conv, x, weight)
        g = normal(n, h, w, k)
        if part == "x":
            return jitted(lambda g, weight: jax.vjp(lambda x: conv(x, weight), x)[1](g), g, weight)
        return jitted(lambda g, x: jax.vjp(lambda weight: conv(x, weight), weight)[1](g), g, x)

    return make


def normalise(x, weight, bias, axes):
    """With the variance in the form that is the fastest: one pass."""
    mean = x.mean(axes, keepdims=True)
    variance = jnp.square(x).mean(axes, keepdims=True) - jnp.square(mean)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * weight + bias


def layer_norm(x, weight, bias):
    return normalise(x, weight, bias, -1)


def batch_norm(x, weight, bias):
    return normalise(x, weight, bias, (0, 1, 2))


def attend(q, k, v):
    """Causal, [batch, length, heads, width]; a tenth faster than jax.nn.dot_product_attention."""
    scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    seen = jnp.tril(jnp.ones(scores.shape[-2:], bool))
    weights = jax.nn.softmax(jnp.where(seen, scores, -jnp.inf))
    return jnp.einsum("bhqk,bkhd->bqhd", weights, v)


def cross_entropy(x, y):
    return optax.softmax_cross_entropy_with_integer_labels(x, y).mean()


def both(op, *inputs, fixed=()):
    """An op forward and backward: the output, and the gradients of the inputs that are not fixed."""
    shape = jax.eval_shape(op, *inputs, *fixed).shape

    def run(inputs, fixed, g):
        y, back = jax.vjp(lambda *xs: op(*xs, *fixed), *inputs)
        return y, back(g)

    run = jax.jit(run)
    g = normal(*shape) if shape else jnp.float32(1)
    return lambda: jax.block_until_ready(run(inputs, fixed, g))


def indices(count, below):
    return jax.random.randint(jax.random.key(count), (count,), 0, below)


def pick(table, index):
    return table.at[index].get(mode="promise_in_bounds")


def take_grad(_outer, n, inner, m):
    table, index, g = jnp.zeros((n, inner)), indices(m, n), normal(m, inner)
    add = jax.jit(
        lambda table, index, g: table.at[index].add(g, mode="promise_in_bounds"), donate_argnums=0
    )

    def run():
        nonlocal table
        table = add(table, index, g).block_until_ready()

    return run


RULES = {
    "sgd": lambda: optax.sgd(1e-3),
    "momentum": lambda: optax.sgd(1e-3, momentum=0.9),
    "adagrad": lambda: optax.adagrad(1e-3),
    "rmsprop": lambda: optax.rmsprop(1e-3, decay=0.99),
    "adam": lambda: optax.adam(1e-3),
    "adamw": lambda: optax.adamw(1e-3),
    "amsgrad": lambda: optax.amsgrad(1e-3),
}


def optimizer(kind, tensors, length):
    if kind not in RULES:
        return None
    rule = RULES[kind]()
    gradients = [normal(length) for _ in range(tensors)]
    params = [normal(length) for _ in range(tensors)]
    state = rule.init(params)

    def update(params, state, gradients):
        changes, state = rule.update(gradients, state, params)
        return optax.apply_updates(params, changes), state

    update = jax.jit(update, donate_argnums=(0, 1))

    def run():
        nonlocal params, state
        params, state = update(params, state, gradients)
        jax.block_until_ready(params)

    return run


def unary(op, inputs):
    return lambda n: jitted(op, inputs(n))


KINDS = {
    **{name: unary(op, normal if name in ("relu", "gelu", "silu") else positive) for name, op in FUNCTIONS.items()},
    **{name: binary(op) for name, op in BINARY.items()},
    **{name: reduction(op) for name, op in REDUCTIONS.items()},
    "dot": lambda n: jitted(jnp.dot, normal(n), positive(n)),
    "sgemm": sgemm,
    "matmul": lambda _batch, *sizes: sgemm(*sizes),
    "softmax": rowwise(jax.nn.softmax),
    "logSoftmax": rowwise(jax.nn.log_softmax),
    "softmaxGrad": rowwise_grad(lambda g, y: y * (g - (g * y).sum(-1, keepdims=True))),
    "logSoftmaxGrad": rowwise_grad(lambda g, y: g - jnp.exp(y) * g.sum(-1, keepdims=True)),
    "conv2d": convolution("y"),
    "conv2dGradInput": convolution("x"),
    "conv2dGradWeight": convolution("w"),
    "layerNorm": lambda rows, cols, _eps: jitted(layer_norm, normal(rows, cols), jnp.ones(cols), jnp.zeros(cols)),
    "batchNorm": lambda n, c, size, _eps: jitted(
        batch_norm, normal(n, size, 1, c), jnp.ones(c), jnp.zeros(c)
    ),
    "attention": lambda n, queries, keys, d, dv, *_: jitted(
        attend, normal(1, queries, n, d), normal(1, keys, n, d), normal(1, keys, n, dv)
    ),
    "take": lambda _outer, n, inner, m: jitted(pick, normal(n, inner), indices(m, n)),
    "takeGrad": take_grad,
    "optimizer": optimizer,
    "convolutionPass": lambda n, c, side, k: both(conv, normal(n, side, side, c), normal(3, 3, c, k)),
    "batchNormPass": lambda n, c, side: both(batch_norm, normal(n, side, side, c), jnp.ones(c), jnp.zeros(c)),
    "layerNormPass": lambda rows, cols: both(layer_norm, normal(rows, cols), jnp.ones(cols), jnp.zeros(cols)),
    "attentionPass": lambda n, heads, length, width: both(
        attend, *(normal(n, length, heads, width) for _ in range(3))
    ),
    "embeddingPass": lambda ids, rows, width: both(pick, normal(rows, width), fixed=(indices(ids, rows),)),
    "crossEntropyPass": lambda rows, classes: both(
        cross_entropy, normal(rows, classes), fixed=(indices(rows, classes),)
    ),
}
