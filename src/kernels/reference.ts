// The reference engine: every row's plain formula over the heap. Slow, and the definition of what the others must give.
// It also computes in double precision while the heap's width is 8, which is how gradients are checked.
import { heap } from '../memory/heap.js';
import { isPointer, type Cells } from './row.js';
import { kernelNames, table, type KernelName } from './table.js';

/** A kernel as launched: byte offsets and numbers, in the order of the row's signature. */
export type Kernel = (...args: number[]) => void;
export type Engine = Readonly<Record<KernelName, Kernel>>;

/** Why an engine cannot run here; the next best one is taken then. */
export class EngineUnavailable extends Error {
  override name = 'EngineUnavailable';
}

const cells: Cells = {
  get f() {
    return heap.real;
  },
  get i() {
    return heap.i32;
  },
  get u() {
    return heap.u32;
  },
  round: (x) => (heap.width === 4 ? Math.fround(x) : x),
};

function kernel(name: KernelName): Kernel {
  const { sig, ref } = table[name];
  return (...args) => {
    const indices = args.map((value, k) => {
      const letter = sig[k]!;
      if (!isPointer(letter)) return value;
      return value / ('pjr'.includes(letter) ? 4 : heap.width);
    });
    ref(cells, ...indices);
  };
}

/** The reference engine. */
export function referenceEngine(): Engine {
  return Object.fromEntries(kernelNames.map((name) => [name, kernel(name)])) as Record<KernelName, Kernel>;
}
