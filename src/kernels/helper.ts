// The program of a worker thread, the layout of the control block through which it is given parts of calls, and what modules
// import besides memory. The program is text, so that it runs from any folder, bundle or test runner; it imports nothing but
// Node's own module.

import { ARGUMENTS, SLOTS } from './split.js';

/** Cells of the control block that threads change lie on cache lines of their own. */
export const CELL = {
  /**
   * Parts that nobody took yet, from the number in the low half to below the one in the high half. Workers count the low
   * one up and the caller the high one down, and whoever did it while low < high has that part: so a thread gets the same
   * end of every call, and finds in its own cache what it left there.
   */
  open: 0,
  /** Parts of the call that are done. */
  done: 16,
  /** Rises with every call and wakes parked workers. */
  epoch: 32,
  parked: 48,
  /** 1 while the caller sleeps until `done` changes. */
  asleep: 64,
  /** 1 when a part trapped. */
  failed: 80,
  /** Workers that have started. */
  ready: 96,
} as const;

/** What the caller adds to `open` for a part from the end. */
export const LAST = -(1 << 16);

/** Parts stand from this byte on; see split.ts. */
export const MAIL = 512;

/** Milliseconds that a worker turns before it parks: about the price of waking it again. */
const PATIENCE = 0.05;

/** Programs whose strips a worker keeps ready; beyond that it makes them again when they are wanted. */
const KEPT = 64;

/**
 * Rows of the products' tile in the relaxed build. V8 before 13 (Node 22) reads all that a turn of a loop needs before it adds,
 * and would keep half of a tile of six rows in memory.
 */
export const TALLEST = Number.parseInt(process.versions.v8) < 13 ? 4 : 6;

/** What the program is given. */
export interface HelperData {
  module: object;
  memory: object;
  control: SharedArrayBuffer;
  /** Kernels by number. */
  names: readonly string[];
  /** Byte offset of this thread's own scratch memory. */
  scratch: number;
}

/** As many arguments as a part has room for: a kernel leaves out those that it does not take. */
const ALL = Array.from({ length: SLOTS - ARGUMENTS }, (_, k) => `mail[at + ${ARGUMENTS + k}]`).join(', ');

export const HELPER = `'use strict';
const { module, memory, control, names, scratch } = require('node:worker_threads').workerData;
const abort = () => { throw new Error('wasm: aborted'); };
const { exports } = new WebAssembly.Instance(module, { env: { memory, abort }, tall: { TALLEST: ${TALLEST} } });
exports.useScratch(scratch);
const kernels = names.map((name) => exports[name]);
const programs = new Map();
// Behind the kernels: strips of a recorded step, by a module that its thread wrote into the heap. See replay/wasm.ts.
kernels.push((from, to, copy, index, code, bytes, id) => {
  if (!programs.has(id)) {
    if (programs.size === ${KEPT}) programs.clear();
    const own = new WebAssembly.Module(new Uint8Array(memory.buffer, code, bytes).slice());
    programs.set(id, new WebAssembly.Instance(own, { kernels: exports }).exports);
  }
  programs.get(id)[index](from, to, copy);
});
const cells = new Int32Array(control, 0, ${MAIL / 4});
const mail = new Float64Array(control, ${MAIL});
const pause = Atomics.pause ?? (() => {});

function work(part) {
  const at = part * ${SLOTS};
  exports.usePart(mail[at + 1], mail[at + 2]);
  kernels[mail[at]](${ALL});
}

const some = (open) => (open & 0xffff) < open >> 16;
function help() {
  for (let open; some((open = Atomics.add(cells, ${CELL.open}, 1))); ) {
    try {
      work(open & 0xffff);
    } catch {
      Atomics.store(cells, ${CELL.failed}, 1);
    }
    Atomics.add(cells, ${CELL.done}, 1);
    if (Atomics.load(cells, ${CELL.asleep})) Atomics.notify(cells, ${CELL.done});
  }
}

Atomics.add(cells, ${CELL.ready}, 1);
Atomics.notify(cells, ${CELL.ready});
for (let end = 0; ; ) {
  const epoch = Atomics.load(cells, ${CELL.epoch});
  for (let turn = 0; turn < 100 && !some(Atomics.load(cells, ${CELL.open})); turn++) pause();
  if (some(Atomics.load(cells, ${CELL.open}))) {
    help();
    end = performance.now() + ${PATIENCE};
  } else if (performance.now() > end) {
    Atomics.add(cells, ${CELL.parked}, 1);
    Atomics.wait(cells, ${CELL.epoch}, epoch);
    Atomics.sub(cells, ${CELL.parked}, 1);
    end = performance.now() + ${PATIENCE};
  }
}
`;
