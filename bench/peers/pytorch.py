"""PyTorch in its two strongest forms: eager (outputs reused, optimizers fused, images channels-last), and through
torch.compile, when the command line names a number of threads, for which it compiles. With `default` on the command line
optimizers alone, as one gets them without asking for fused ones."""

import os
import sys

from peer import say, serve

try:
    import torch

    import pytorch_kernels
    import pytorch_models
except ImportError as error:
    say({"absent": f"no {error.name} in this python3 (THALWEG_PYTHON names another interpreter)"})
    sys.exit()

MODE = sys.argv[1] if len(sys.argv) > 1 else "eager"
COMPILED = MODE.isdigit()


def compiled(f):
    return torch.compile(f, dynamic=False)


def prepare(threads):
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    # What was compiled for the last work would count as compiled too often.
    torch._dynamo.reset()


def why_not():
    """Why nothing can be compiled here, if so: most often there is no C++ compiler."""
    try:
        compiled(lambda x: x.exp() + 1)(torch.ones(9))
    except Exception as error:
        return str(error).strip().split("\n")[0]
    return None


def kinds():
    if MODE == "default":
        return {"optimizer": pytorch_kernels.optimizer(pytorch_kernels.UNFUSED)}
    form = compiled if COMPILED else None
    return {**pytorch_kernels.make_kinds(form), **pytorch_models.make_kinds(form)}


hello = {"version": torch.__version__.split("+")[0], "maxThreads": os.cpu_count()}
if COMPILED:
    # One process compiles faster than a pool that must start first, and memory is measured in it.
    torch._inductor.config.compile_threads = 1
    threads = int(MODE)
    prepare(threads)
    reason = why_not()
    if reason:
        say({"absent": f"it cannot compile ({reason})"})
        sys.exit()
    hello.update(minThreads=threads, maxThreads=threads)
serve(kinds(), hello, prepare)
