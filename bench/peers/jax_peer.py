"""JAX with optax in its strongest form. Its threads are settled when it starts: the command line names how many."""

import os
import sys

from peer import say, serve

THREADS = int(sys.argv[1])
os.environ.update(NPROC=str(THREADS), PJRT_NPROC=str(THREADS), JAX_PLATFORMS="cpu")
if THREADS == 1:
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"

try:
    import jax

    import jax_kernels
    import jax_models
except ImportError as error:
    say({"absent": f"no {error.name} in this python3 (THALWEG_PYTHON names another interpreter)"})
    sys.exit()

hello = {"version": jax.__version__, "minThreads": THREADS, "maxThreads": THREADS}
serve({**jax_kernels.KINDS, **jax_models.KINDS}, hello, lambda _: None)
