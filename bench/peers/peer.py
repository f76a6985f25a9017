"""What the Python peers share: reads one JSON line a work ({kind, args, threads, seconds}), writes one with the samples
(seconds a call) or a reason."""

import json
import math
import sys
import time


def say(answer):
    print(json.dumps(answer), flush=True)


def measure(fn, seconds):
    """Samples of at least a tenth of `seconds` each, three or more."""
    fn()
    began = time.perf_counter()
    fn()
    once = max(time.perf_counter() - began, 1e-7)
    calls = max(1, math.ceil(min(0.05, seconds / 10) / once))
    samples = []
    end = time.perf_counter() + seconds
    while len(samples) < 3 or time.perf_counter() < end:
        began = time.perf_counter()
        for _ in range(calls):
            fn()
        samples.append((time.perf_counter() - began) / calls)
    return samples


def serve(kinds, hello, prepare):
    """Answers until the input ends. `kinds[kind](*args)` makes what is timed, or None; `prepare(threads)` comes first.
    A work that is asked for again in the next turn is not made again: compiling may take longer than the turn."""
    say(hello)
    last, run = None, None
    for line in sys.stdin:
        question = json.loads(line)
        kind, args, threads = question["kind"], question["args"], question["threads"]
        try:
            if (kind, args, threads) != last:
                last, run = None, None
                prepare(threads)
                numbers = [int(x) if isinstance(x, float) and x.is_integer() else x for x in args]
                run = kinds[kind](*numbers) if kind in kinds else None
                last = (kind, args, threads)
            say({"samples": measure(run, question["seconds"])} if run else {"absent": "no such work"})
        except Exception as error:  # a work that this version lacks must not end the others
            last = None
            say({"absent": str(error).split("\n")[0]})
