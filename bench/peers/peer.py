"""What the Python peers share: reads one JSON line a work ({kind, args, threads, seconds} to time it, {steps, first} to see
how it grows), writes one with the samples (seconds a call), with the growth in bytes, or with a reason."""

import gc
import json
import math
import sys
import time

# Calls before memory counts as steady: compiled, pools filled.
SETTLING = 5
# Calls of the first work, before anything is measured: runtimes that collect garbage grow their pools over many calls.
WARMING = 1000


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


def status(field):
    """Bytes, as Linux counts this process's memory."""
    with open("/proc/self/status") as lines:
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def resident():
    """Bytes in main memory now. The peak counts from here."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return status("VmRSS")


def repeat(fn, calls):
    for _ in range(calls):
        fn()


def growth(first, make, steps):
    """By how much the process is larger than before `make()`: at most, and at most over the last `steps` calls."""
    repeat(first(), WARMING)
    gc.collect()
    base = resident()
    run = make()
    repeat(run, SETTLING)
    rising = status("VmHWM") - base
    resident()
    repeat(run, steps)
    steady = status("VmHWM") - base
    return {"peak": max(rising, steady), "steady": steady}


class Server:
    """A work that is asked for again in the next turn is not made again: compiling may take longer than the turn."""

    def __init__(self, kinds, prepare):
        self.kinds, self.prepare = kinds, prepare
        self.last, self.run = None, None

    def make(self, spec):
        """What is timed, or None."""
        numbers = [int(x) if isinstance(x, float) and x.is_integer() else x for x in spec["args"]]
        kind = self.kinds.get(spec["kind"])
        return kind(*numbers) if kind else None

    def times(self, question):
        name = (question["kind"], question["args"], question["threads"])
        if name != self.last:
            self.last, self.run = None, None
            self.prepare(question["threads"])
            self.run = self.make(question)
            self.last = name
        return {"samples": measure(self.run, question["seconds"])} if self.run else {"absent": "no such work"}

    def growth(self, question):
        if question["kind"] not in self.kinds:
            return {"absent": "no such work"}
        self.prepare(question["threads"])
        first = question["first"]
        return {"growth": growth(lambda: self.make(first), lambda: self.make(question), question["steps"])}

    def answer(self, question):
        try:
            return self.growth(question) if "steps" in question else self.times(question)
        except Exception as error:  # a work that this version lacks must not end the others
            self.last = None
            return {"absent": str(error).strip().split("\n")[0]}


def serve(kinds, hello, prepare):
    """Answers until the input ends. `kinds[kind](*args)` makes what is timed, or None; `prepare(threads)` comes first."""
    say(hello)
    server = Server(kinds, prepare)
    for line in sys.stdin:
        say(server.answer(json.loads(line)))
