// Programs of the WASM engine: modules made on the spot. One has a function for each part, which makes the part's calls;
// another has those that run strips, and may be made a second time by the engine's workers, which then take some of them.
import type { Engine } from '../kernels/reference.js';
import { workOf } from '../kernels/split.js';
import { table } from '../kernels/table.js';
import { sharedCall, shareStrips, type StripsJob } from '../kernels/threads.js';
import { heap } from '../memory/heap.js';
import { wasm } from '../memory/webassembly.js';
import { Assembler, KERNELS } from './assembler.js';
import { loopProgram, type Run } from './loop.js';
import type { Item, Program, StripsItem } from './program.js';

/** Items in one function; engines limit the size of functions. */
const MOST_ITEMS = 1024;

/** An engine whose workers may take parts, and how many threads: so many copies there are of the buffers inside strips. */
interface Sharing {
  readonly engine: Engine;
  readonly threads: number;
}

/** The items of each part, in lists of at most {@link MOST_ITEMS}. */
function listsOf(items: readonly Item[]): { part: number; items: Item[] }[] {
  const lists: { part: number; items: Item[] }[] = [];
  const open = new Map<number, Item[]>();
  for (const item of items) {
    let list = open.get(item.part);
    if (!list || list.length === MOST_ITEMS) {
      list = [];
      open.set(item.part, list);
      lists.push({ part: item.part, items: list });
    }
    list.push(item);
  }
  return lists;
}

function instantiate(bytes: Uint8Array, functions: Record<string, unknown>): Record<string, unknown> {
  return new wasm.Instance(new wasm.Module(bytes), { [KERNELS]: functions }).exports;
}

/** Gives the code of collected programs back. */
const codes = new FinalizationRegistry<number>((at) => heap.release(at));
let codesEver = 0;

/** Code in the heap, where workers find it, as long as its program lives. */
interface Code {
  readonly at: number;
  readonly bytes: number;
  readonly id: number;
}

function inHeap(bytes: Uint8Array): Code {
  const at = heap.allocate(bytes.length);
  new Uint8Array(heap.memory.buffer, at).set(bytes);
  return { at, bytes: bytes.length, id: codesEver++ };
}

/** Nanoseconds of one thread. */
const workOfStrips = ({ strips, body }: StripsItem): number =>
  strips * body.reduce((sum, { kernel, args }) => sum + workOf(table[kernel].split!, args), 0);

/** A function for each item that is made of strips, and the code behind them if it is shared. */
function stripsOf(
  items: readonly Item[],
  runs: Run,
  sharing: Sharing | undefined,
): { own: Map<Item, () => void>; code: Code | null } {
  const all = items.filter((item): item is StripsItem => 'strips' in item);
  const own = new Map<Item, () => void>();
  if (all.length === 0) return { own, code: null };
  const assembler = new Assembler(runs);
  const bytes = assembler.stripFunctions(all);
  const functions = instantiate(bytes, assembler.functions);
  const code = sharing && sharing.threads > 1 ? inHeap(bytes) : null;
  all.forEach((item, index) => {
    const { strips } = item;
    const alone = functions[index] as StripsJob['alone'];
    const job = { alone, index, strips, work: workOfStrips(item) };
    own.set(
      item,
      code
        ? shareStrips(sharing!.engine, { ...job, copies: sharing!.threads, code })
        : () => alone(0, strips, 0),
    );
  });
  return { own, code };
}

/** A function for each call that is worth sharing. */
function sharedCalls(items: readonly Item[], { engine, threads }: Sharing): Map<Item, () => void> {
  const own = new Map<Item, () => void>();
  if (threads === 1) return own;
  for (const item of items) {
    const run = 'call' in item ? sharedCall(engine, item.call.kernel, item.call.args) : null;
    if (run) own.set(item, run);
  }
  return own;
}

/**
 * A program of calls to `runs`, exports of the engine's module; `sharing` says whose workers help. A program made for one
 * thread stays on one: it runs no JavaScript at all. Shared calls see addresses above 2 GiB as they are, exports as negative
 * numbers, which mean the same to them.
 */
export function wasmProgram(items: readonly Item[], runs: Run, sharing?: Sharing): Program {
  const { own: strips, code } = stripsOf(items, runs, sharing);
  const own = sharing ? new Map([...strips, ...sharedCalls(items, sharing)]) : strips;
  const lists = listsOf(items);
  const assembler = new Assembler(runs, own);
  const exports = instantiate(assembler.calls(lists.map((list) => list.items)), assembler.functions);
  const parts = new Map<number, (() => void)[]>(lists.map(({ part }) => [part, []]));
  lists.forEach(({ part }, k) => parts.get(part)!.push(exports[k] as () => void));
  let loop: Program | undefined;
  const program: Program = {
    run(part) {
      const own = parts.get(part);
      if (own) for (const run of own) run();
    },
    // One by one, as only JavaScript has a clock.
    time: (part, into) => (loop ??= loopProgram(items, runs, own)).time(part, into),
    release: () => {
      if (code && codes.unregister(program)) heap.release(code.at);
    },
  };
  if (code) codes.register(program, code.at, program);
  return program;
}
