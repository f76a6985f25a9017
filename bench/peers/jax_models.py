"""JAX's training steps: the models of models.ts, each step one jitted function whose parameters, optimizer state and
running statistics are donated."""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from jax_kernels import RULES, attend, conv, cross_entropy, indices, layer_norm, normal

# A model is a pair of functions: its parameters and state, and what they make of an input: outputs and the next state.


def dense(*sizes):
    return [(0.05 * normal(a, b), jnp.zeros(b)) for a, b in zip(sizes, sizes[1:])]


def perceptron(layers, x):
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def mlp(*sizes):
    return (dense(*sizes), None), lambda params, state, x: (perceptron(params, x), state)


def cnn():
    filters = [(0.1 * normal(3, 3, c, k), jnp.zeros(k)) for c, k in ((1, 32), (32, 64))]

    def forward(params, state, x):
        filters, layers = params
        for weight, bias in filters:
            x = jax.nn.relu(conv(x, weight) + bias)
            # Pooling, in the form whose gradient is twice as fast.
            n, h, w, c = x.shape
            x = x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
        return perceptron(layers, x.reshape(x.shape[0], -1)), state

    return ((filters, dense(64 * 49, 128, 10)), None), forward


def unit(c, k, size):
    """A convolution with batch norm: weight, scale, shift; running mean and variance."""
    return (0.1 * normal(size, size, c, k), jnp.ones(k), jnp.zeros(k)), (jnp.zeros(k), jnp.ones(k))


def run_unit(params, state, x, stride=1):
    weight, scale, shift = params
    y = conv(x, weight, stride)
    mean = y.mean((0, 1, 2))
    variance = jnp.square(y).mean((0, 1, 2)) - jnp.square(mean)
    unbiased = variance * (y.size / len(mean) / (y.size / len(mean) - 1))
    statistics = (mean, unbiased)
    state = tuple(0.9 * old + 0.1 * lax.stop_gradient(new) for old, new in zip(state, statistics))
    return (y - mean) * lax.rsqrt(variance + 1e-5) * scale + shift, state


def block(c, k):
    parts = [unit(c, k, 3), unit(k, k, 3)] + ([] if c == k else [unit(c, k, 1)])
    return [params for params, _ in parts], [state for _, state in parts]


def run_block(params, state, x):
    stride = 2 if len(params) == 3 else 1
    inner, state0 = run_unit(params[0], state[0], x, stride)
    y, state1 = run_unit(params[1], state[1], jax.nn.relu(inner))
    if stride == 1:
        return jax.nn.relu(y + x), [state0, state1]
    past, state2 = run_unit(params[2], state[2], x, stride)
    return jax.nn.relu(y + past), [state0, state1, state2]


def resnet20():
    widths = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]
    first, blocks = unit(3, 16, 3), [block(c, k) for c, k in zip(widths, widths[1:])]

    def forward(params, state, x):
        stem, blocks, head = params
        x, stem_state = run_unit(stem, state[0], x)
        x, states = jax.nn.relu(x), []
        for weights, old in zip(blocks, state[1]):
            x, new = run_block(weights, old, x)
            states.append(new)
        return perceptron(head, x.mean((1, 2))), (stem_state, states)

    params = (first[0], [params for params, _ in blocks], dense(64, 10))
    return (params, (first[1], [state for _, state in blocks])), forward


def norm(width):
    return jnp.ones(width), jnp.zeros(width)


def gpt(width, heads, depth, context, vocabulary):
    def layer():
        sizes = ((width, 3 * width), (width, width), (width, 4 * width), (4 * width, width))
        return norm(width), norm(width), [dense(*pair)[0] for pair in sizes]

    def attention(x, qkv, out):
        n, length, _ = x.shape
        parts = (x @ qkv[0] + qkv[1]).reshape(n, length, 3, heads, width // heads)
        y = attend(*(parts[:, :, k] for k in range(3)))
        return y.reshape(n, length, width) @ out[0] + out[1]

    def run_layer(params, x):
        norm1, norm2, (qkv, out, up, down) = params
        x = x + attention(layer_norm(x, *norm1), qkv, out)
        hidden = jax.nn.gelu(layer_norm(x, *norm2) @ up[0] + up[1], approximate=False)
        return x + hidden @ down[0] + down[1]

    def forward(params, state, ids):
        tokens, positions, layers, last, head = params
        x = tokens.at[ids].get(mode="promise_in_bounds").reshape(-1, context, width) + positions
        for one in layers:
            x = run_layer(one, x)
        return layer_norm(x, *last).reshape(-1, width) @ head, state

    tables = normal(vocabulary, width), normal(context, width)
    params = (*tables, [layer() for _ in range(depth)], norm(width), 0.05 * normal(width, vocabulary))
    return (params, None), forward


def lstm(inputs, width, depth, classes):
    """Scanned: unrolled it takes longer, by a tenth and more."""
    sizes = [inputs] + [width] * (depth - 1)
    cells = [
        (0.05 * normal(n, 4 * width), 0.05 * normal(width, 4 * width), jnp.zeros(4 * width), jnp.zeros(4 * width))
        for n in sizes
    ]

    def run_cell(params, x):
        wx, wh, bx, bh = params
        projected = x @ wx + bx + bh

        def step(state, z):
            h, c = state
            i, f, g, o = jnp.split(z + h @ wh, 4, axis=-1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h

        zeros = jnp.zeros((x.shape[1], width))
        return lax.scan(step, (zeros, zeros), projected)[1]

    def forward(params, state, x):
        cells, head = params
        for cell in cells:
            x = run_cell(cell, x)
        return perceptron(head, x[-1]), state

    return ((cells, dense(width, classes)), None), forward


# Model, input, number of targets, number of classes: as in models.ts.
MODELS = {
    "tiny": lambda: (mlp(16, 32, 10), normal(16, 16), 16, 10),
    "mlp": lambda: (mlp(784, 512, 256, 10), normal(128, 784), 128, 10),
    "deep": lambda: (mlp(*[64] * 21, 10), normal(32, 64), 32, 10),
    "cnn": lambda: (cnn(), normal(64, 28, 28, 1), 64, 10),
    "resnet20": lambda: (resnet20(), normal(32, 32, 32, 3), 32, 10),
    "gpt": lambda: (gpt(128, 4, 2, 64, 1000), indices(16 * 64, 1000), 16 * 64, 1000),
    "recurrent": lambda: (lstm(64, 128, 2, 10), normal(32, 32, 64), 32, 10),
}


def make_step(make, optimizer, parameters):
    ((params, state), forward), x, targets, classes = make()
    count = sum(p.size for p in jax.tree.leaves(params))
    if count != parameters:
        raise ValueError(f"the model has {count} parameters, not {parameters}")
    rule = RULES[optimizer]()
    y = indices(targets, classes)
    moments = rule.init(params)

    def loss(params, state, x, y):
        outputs, state = forward(params, state, x)
        return cross_entropy(outputs, y), state

    def update(params, state, moments, x, y):
        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(params, state, x, y)
        changes, moments = rule.update(gradients, moments, params)
        return optax.apply_updates(params, changes), state, moments, value

    update = jax.jit(update, donate_argnums=(0, 1, 2))

    def run():
        nonlocal params, state, moments
        params, state, moments, value = update(params, state, moments, x, y)
        return float(value)

    return run


def kind(make):
    return lambda optimizer, parameters: make_step(make, optimizer, parameters)


KINDS = {name: kind(make) for name, make in MODELS.items()}
