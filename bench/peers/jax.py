"""JAX in its strongest form: everything jitted, updated arrays donated, optimizers by optax, images channels-last.

Its threads are settled when it starts: the command line names how many.
"""

import os
import sys

from peer import say, serve

THREADS = int(sys.argv[1])
os.environ.update(NPROC=str(THREADS), PJRT_NPROC=str(THREADS), JAX_PLATFORMS="cpu")
if THREADS == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

# This file has the name of what it imports.
sys.path.pop(0)
try:
    import jax
    import jax.numpy as jnp
    import optax
    from jax import lax
except ImportError as error:
    say({"absent": f"no {error.name} in this python3 (THALWEG_PYTHON names another interpreter)"})
    sys.exit()


def normal(*shape):
    return jax.random.normal(jax.random.key(sum(shape)), shape)


def sgemm(m, n, k, ta, tb, *_):
    a, b = normal(*((k, m) if ta else (m, k))), normal(*((n, k) if tb else (k, n)))
    product = jax.jit(lambda a, b: (a.T if ta else a) @ (b.T if tb else b))
    return lambda: product(a, b).block_until_ready()


OPTIMIZERS = {
    "sgd": lambda: optax.sgd(1e-3),
    "momentum": lambda: optax.sgd(1e-3, momentum=0.9),
    "adagrad": lambda: optax.adagrad(1e-3),
    "rmsprop": lambda: optax.rmsprop(1e-3, decay=0.99),
    "adam": lambda: optax.adam(1e-3),
    "adamw": lambda: optax.adamw(1e-3),
    "amsgrad": lambda: optax.amsgrad(1e-3),
}


def optimizer(kind, tensors, length):
    if kind not in OPTIMIZERS:
        return None
    rule = OPTIMIZERS[kind]()
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


def dense(sizes):
    return [(0.05 * normal(a, b), jnp.zeros(b)) for a, b in zip(sizes, sizes[1:])]


def perceptron(layers, x):
    for weight, bias in layers[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = layers[-1]
    return x @ weight + bias


def step(forward, params, name, x):
    rule = OPTIMIZERS[name]()
    y = jnp.arange(x.shape[0]) % 10
    state = rule.init(params)

    def loss(params, x, y):
        return optax.softmax_cross_entropy_with_integer_labels(forward(params, x), y).mean()

    def update(params, state, x, y):
        value, gradients = jax.value_and_grad(loss)(params, x, y)
        changes, state = rule.update(gradients, state, params)
        return optax.apply_updates(params, changes), state, value

    update = jax.jit(update, donate_argnums=(0, 1))

    def run():
        nonlocal params, state
        params, state, value = update(params, state, x, y)
        return float(value)

    return run


def convolutional(params, x):
    filters, layers = params
    for weight, bias in filters:
        x = lax.conv_general_dilated(x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        x = jax.nn.relu(x + bias)
        # Pooling, in the form whose gradient is twice as fast.
        n, h, w, c = x.shape
        x = x.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    return perceptron(layers, x.reshape(x.shape[0], -1))


def cnn(name):
    filters = [(0.1 * normal(3, 3, c, k), jnp.zeros(k)) for c, k in ((1, 32), (32, 64))]
    return step(convolutional, (filters, dense([64 * 49, 128, 10])), name, normal(64, 28, 28, 1))


KINDS = {
    "sgemm": sgemm,
    "matmul": lambda _batch, *sizes: sgemm(*sizes),
    "optimizer": optimizer,
    "tiny": lambda name: step(perceptron, dense([16, 32, 10]), name, normal(16, 16)),
    "mlp": lambda name: step(perceptron, dense([784, 512, 256, 10]), name, normal(128, 784)),
    "cnn": cnn,
}

serve(KINDS, {"version": jax.__version__, "minThreads": THREADS, "maxThreads": THREADS}, lambda _: None)
