// Programs as a plain loop over functions of an engine: for engines that have nothing better, and for taking times.
import type { KernelName } from '../kernels/table.js';
import type { Kernel } from '../kernels/reference.js';
import type { Call, Item, Program } from './program.js';

/** The function that runs a kernel's calls. */
export type Run = (kernel: KernelName) => Kernel;

/** Goes through the items one by one; `known` are those that have a function already. */
export function loopProgram(
  items: readonly Item[],
  runs: Run,
  known?: ReadonlyMap<Item, () => void>,
): Program {
  const thunks = items.map((item) => ({
    part: item.part,
    index: item.index,
    run: known?.get(item) ?? thunkOf(item, runs),
  }));
  return {
    run(part) {
      for (const thunk of thunks) if (thunk.part === part) thunk.run();
    },
    time(part, into) {
      for (const thunk of thunks) {
        if (thunk.part !== part) continue;
        const start = process.hrtime.bigint();
        thunk.run();
        into[thunk.index]! += Number(process.hrtime.bigint() - start);
      }
    },
    release: () => {},
  };
}

function thunkOf(item: Item, runs: Run): () => void {
  const bound = ({ kernel, args }: Call): (() => void) => {
    const run = runs(kernel);
    return () => run(...args);
  };
  if ('call' in item) return bound(item.call);
  const { strips, body } = item;
  return () => {
    for (let k = 0; k < strips; k++)
      for (const { kernel, args, steps, last } of body) {
        const own = (k < strips - 1 ? args : last).map((arg, a) => arg + k * steps[a]!);
        runs(kernel)(...own);
      }
  };
}
