// Programs of the native engine: one call into the addon runs a whole part. The launches travel there once, as doubles in a
// stretch of the heap, and are checked against the heap's bounds there and then.
import { heap } from '../memory/heap.js';
import type { NativeEngine } from '../kernels/native.js';
import type { Call, Item, Program } from './program.js';

/** Gives the programs of collected plans back. */
const programs = new FinalizationRegistry<() => void>((forget) => forget());

/** What the addon reads: see native/program.h. */
function encode(items: readonly Item[], rows: ReadonlyMap<string, number>): number[] {
  const code: number[] = [];
  const row = ({ kernel }: Call): number => rows.get(kernel)!;
  for (const item of items) {
    if ('call' in item) {
      code.push(row(item.call), ...item.call.args);
      continue;
    }
    code.push(-1, item.strips, item.body.length);
    for (const strip of item.body)
      code.push(row(strip), ...strip.args, ...strip.steps, ...strip.workers, ...strip.last);
  }
  return code;
}

export function nativeProgram(
  items: readonly Item[],
  { addon, attach }: NativeEngine,
  workers: number,
): Program {
  const rows = new Map(addon.kernels().map(([name], row) => [name, row]));
  const parts = new Map<number, { id: number; indices: number[] }>();
  for (const part of new Set(items.map((item) => item.part))) {
    const own = items.filter((item) => item.part === part);
    const code = encode(own, rows);
    const at = heap.allocate(code.length * 8);
    heap.f64.set(code, at / 8);
    attach();
    try {
      parts.set(part, {
        id: addon.prepare(at, code.length, workers),
        indices: own.map(({ index }) => index),
      });
    } finally {
      heap.release(at);
    }
  }
  const forget = (): void => {
    for (const { id } of parts.values()) addon.forget(id);
    parts.clear();
  };
  const program: Program = {
    run: (part) => {
      const found = parts.get(part);
      if (found) addon.run(found.id);
    },
    time: (part, into) => {
      const found = parts.get(part);
      if (found) addon.time(found.id).forEach((ns, k) => (into[found.indices[k]!]! += ns));
    },
    release: () => {
      programs.unregister(program);
      forget();
    },
  };
  programs.register(program, forget, program);
  return program;
}
