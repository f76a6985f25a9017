// Programs of the WASM engine: a module made on the spot. It imports the kernels it needs and exports one function for each
// part, which calls them one after the other with constant arguments. A launch costs what a call from module to module
// costs, some two nanoseconds; JavaScript must convert every argument, and a spread costs more than a small kernel.
import type { Kernel } from '../kernels/reference.js';
import { table, type KernelName } from '../kernels/table.js';
import { wasm } from '../memory/webassembly.js';
import {
  constant,
  F64,
  FUNCTION,
  HEADER,
  I32,
  OP,
  SECTION,
  section,
  sized,
  text,
  unsigned,
  VOID,
} from './bytes.js';
import { loopProgram, type Run } from './loop.js';
import type { Call, Item, Program, StripCall } from './program.js';

/** Items in one function; engines limit the size of functions. */
const MOST_ITEMS = 1024;
/** What the module calls the place that its imports come from. */
const KERNELS = 'kernels';

/** Every kernel takes an 's' as a double and all else as a whole number; where one does not, the module does not link. */
const typesOf = (kernel: KernelName): number[] =>
  Array.from(table[kernel].sig, (letter) => (letter === 's' ? F64 : I32));

/** An imported function. */
interface Import {
  readonly number: number;
  readonly types: readonly number[];
}

/** Makes the module. Its functions are numbered from 0: the imports first. */
class Assembler {
  /** Where the imports are to be found, by their names. */
  readonly functions: Record<string, Kernel> = {};
  /** Types of functions and their numbers; 0 is that of the module's own. */
  private readonly types = new Map<string, number>([['', 0]]);
  private readonly imports = new Map<Kernel, Import>();
  private readonly entries: number[][] = [];

  constructor(private readonly runs: Run) {}

  /** A module that exports a function for each of these lists. */
  module(lists: readonly (readonly Item[])[]): Uint8Array {
    const bodies = lists.map((items) => this.body(items));
    const exported = bodies.map((_, k) => [...text(String(k)), 0, ...unsigned(this.entries.length + k)]);
    return Uint8Array.from(
      HEADER.concat(
        section(SECTION.types, this.typeEntries()),
        section(SECTION.imports, this.entries),
        section(SECTION.functions, Array<number[]>(bodies.length).fill([0])),
        section(SECTION.exports, exported),
        section(SECTION.code, bodies),
      ),
    );
  }

  private typeEntries(): number[][] {
    const types = [...this.types.keys()].map((key) => (key === '' ? [] : key.split(',').map(Number)));
    return types.map((own) => [FUNCTION, ...sized(own), 0]);
  }

  /** A function's body with its size: one local number, the strip, and the instructions. */
  private body(items: readonly Item[]): number[] {
    const to = [1, 1, I32];
    for (const item of items) {
      if ('call' in item) this.call(to, item.call);
      else this.strips(to, item.strips, item.body);
    }
    to.push(OP.end);
    return sized(to);
  }

  private call(to: number[], { kernel, args }: Call): void {
    const { number, types } = this.importOf(kernel, args);
    for (let k = 0; k < args.length; k++) constant(to, types[k]!, args[k]!);
    to.push(OP.call, ...unsigned(number));
  }

  /** A loop over all strips but the last, and the last one with its own arguments. */
  private strips(to: number[], strips: number, body: readonly StripCall[]): void {
    const whole = strips - 1;
    if (whole > 0) {
      to.push(OP.i32, 0, OP.set, 0, OP.loop, VOID);
      for (const strip of body) this.moving(to, strip);
      to.push(OP.get, 0, OP.i32, 1, OP.add, OP.tee, 0);
      constant(to, I32, whole);
      to.push(OP.less, OP.branchIf, 0, OP.end);
    }
    for (const { kernel, last, steps } of body)
      this.call(to, { kernel, args: last.map((arg, k) => arg + whole * steps[k]!) });
  }

  /** A call whose arguments are `args + strip * steps`; only whole numbers may move. */
  private moving(to: number[], { kernel, args, steps }: StripCall): void {
    const { number, types } = this.importOf(kernel, args);
    args.forEach((arg, k) => {
      constant(to, types[k]!, arg);
      if (steps[k] === 0) return;
      to.push(OP.get, 0);
      constant(to, I32, steps[k]!);
      to.push(OP.multiply, OP.add);
    });
    to.push(OP.call, ...unsigned(number));
  }

  /** The function that runs this call. */
  private importOf(kernel: KernelName, args: readonly number[]): Import {
    const run = this.runs(kernel, args);
    const known = this.imports.get(run);
    if (known) return known;
    const types = typesOf(kernel);
    const type = types.join();
    if (!this.types.has(type)) this.types.set(type, this.types.size);
    const entry = { number: this.imports.size, types };
    // One kernel may come as an export and as a function that shares its work.
    const name = `${entry.number} ${kernel}`;
    this.imports.set(run, entry);
    this.functions[name] = run;
    this.entries.push([...text(KERNELS), ...text(name), 0, ...unsigned(this.types.get(type)!)]);
    return entry;
  }
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

/**
 * A program of calls to `runs`: exports of the engine's module, or functions that share their work among threads. Those see
 * addresses above 2 GiB as negative numbers, which mean the same to the exports that they call.
 */
export function wasmProgram(items: readonly Item[], runs: Run): Program {
  const lists = listsOf(items);
  const assembler = new Assembler(runs);
  const module = new wasm.Module(assembler.module(lists.map((list) => list.items)));
  const { exports } = new wasm.Instance(module, { [KERNELS]: assembler.functions });
  const parts = new Map<number, (() => void)[]>(lists.map(({ part }) => [part, []]));
  lists.forEach(({ part }, k) => parts.get(part)!.push(exports[k] as () => void));
  let loop: Program | undefined;
  return {
    run(part) {
      const own = parts.get(part);
      if (own) for (const run of own) run();
    },
    // One by one, as only JavaScript has a clock.
    time: (part, into) => (loop ??= loopProgram(items, runs)).time(part, into),
    release: () => {},
  };
}
