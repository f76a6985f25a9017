// Modules made on the spot, which call kernels one after the other with constant arguments. A launch costs what a call from
// module to module costs, some two nanoseconds; JavaScript must convert every argument, and a spread costs more than a
// small kernel.
import type { Kernel } from '../kernels/reference.js';
import { table, type KernelName } from '../kernels/table.js';
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
import type { Run } from './loop.js';
import type { Call, Item, StripCall, StripsItem } from './program.js';

/** What a module calls the place that its imports come from. */
export const KERNELS = 'kernels';

/** Types of its own functions, by their parameters: those that make calls, and those that run strips. */
const CALLS = '';
const STRIPS = [I32, I32, I32].join();
/** Parameters of a function that runs strips: the first of them, the one behind the last, and whose copy of the buffers. */
const [FROM, TO, COPY] = [0, 1, 2];

/** Every kernel takes an 's' as a double and all else as a whole number; where one does not, the module does not link. */
const typesOf = (kernel: KernelName): number[] =>
  Array.from(table[kernel].sig, (letter) => (letter === 's' ? F64 : I32));

/** An imported function. */
interface Import {
  readonly number: number;
  readonly types: readonly number[];
}

/** Makes one module. Its functions are numbered from 0: the imports first. */
export class Assembler {
  /** Where the imports are to be found, by their names: a kernel's own where only one function runs it. */
  readonly functions: Record<string, Kernel> = {};
  private readonly types = new Map<string, number>([CALLS, STRIPS].map((key, k) => [key, k]));
  private readonly imports = new Map<Kernel, Import>();
  private readonly entries: number[][] = [];

  /** `runs` gives the functions that run kernels, `own` those of whole items: all that are strips, and calls that are shared. */
  constructor(
    private readonly runs: Run,
    private readonly own: ReadonlyMap<Item, () => void> = new Map(),
  ) {}

  /** A module that exports a function without parameters for each of these lists. */
  calls(lists: readonly (readonly Item[])[]): Uint8Array<ArrayBuffer> {
    const bodies = lists.map((items) => {
      const to = [0];
      for (const item of items) {
        const own = this.own.get(item);
        if ('call' in item && !own) this.call(to, item.call);
        else to.push(OP.call, ...unsigned(this.importOf('own', own!, []).number));
      }
      return body(to);
    });
    return this.module(CALLS, bodies);
  }

  /** A module that exports a function (from, to, copy) for each of these items; none is called for no strips. */
  stripFunctions(items: readonly StripsItem[]): Uint8Array<ArrayBuffer> {
    return this.module(
      STRIPS,
      items.map((item) => this.someStrips(item)),
    );
  }

  private module(own: string, bodies: readonly number[][]): Uint8Array<ArrayBuffer> {
    const exported = bodies.map((_, k) => [...text(String(k)), 0, ...unsigned(this.entries.length + k)]);
    const type = unsigned(this.types.get(own)!);
    return new Uint8Array(
      HEADER.concat(
        section(SECTION.types, this.typeEntries()),
        section(SECTION.imports, this.entries),
        section(
          SECTION.functions,
          bodies.map(() => type),
        ),
        section(SECTION.exports, exported),
        section(SECTION.code, bodies),
      ),
    );
  }

  private typeEntries(): number[][] {
    const types = [...this.types.keys()].map((key) => (key === '' ? [] : key.split(',').map(Number)));
    return types.map((own) => [FUNCTION, ...sized(own), 0]);
  }

  private call(to: number[], { kernel, args }: Call): void {
    const { number, types } = this.kernel(kernel);
    for (let k = 0; k < args.length; k++) constant(to, types[k]!, args[k]!);
    to.push(OP.call, ...unsigned(number));
  }

  /** A loop over strips, the last of which has its own arguments. */
  private someStrips({ strips, body: calls }: StripsItem): number[] {
    const to = [0, OP.loop, VOID, OP.get, FROM];
    constant(to, I32, strips - 1);
    to.push(OP.less, OP.if, VOID);
    for (const call of calls) this.moving(to, call, call.args);
    to.push(OP.else);
    for (const call of calls) this.moving(to, call, call.last);
    to.push(
      OP.end,
      OP.get,
      FROM,
      OP.i32,
      1,
      OP.add,
      OP.tee,
      FROM,
      OP.get,
      TO,
      OP.less,
      OP.branchIf,
      0,
      OP.end,
    );
    return body(to);
  }

  /** A call whose arguments are `args + strip * steps + copy * workers`; only whole numbers may move. */
  private moving(to: number[], { kernel, steps, workers }: StripCall, args: readonly number[]): void {
    const { number, types } = this.kernel(kernel);
    args.forEach((arg, k) => {
      constant(to, types[k]!, arg);
      plusMultiple(to, FROM, steps[k]!);
      plusMultiple(to, COPY, workers[k]!);
    });
    to.push(OP.call, ...unsigned(number));
  }

  private kernel(kernel: KernelName): Import {
    const run = this.runs(kernel);
    return this.imports.get(run) ?? this.importOf(kernel, run, typesOf(kernel));
  }

  private importOf(called: string, run: Kernel, types: readonly number[]): Import {
    const known = this.imports.get(run);
    if (known) return known;
    const type = types.join();
    if (!this.types.has(type)) this.types.set(type, this.types.size);
    const entry = { number: this.imports.size, types };
    // Every item's own function has the same name.
    const name = called in this.functions ? `${called} ${entry.number}` : called;
    this.imports.set(run, entry);
    this.functions[name] = run;
    this.entries.push([...text(KERNELS), ...text(name), 0, ...unsigned(this.types.get(type)!)]);
    return entry;
  }
}

/** A function's body with its size: no locals, and the instructions. */
function body(instructions: number[]): number[] {
  instructions.push(OP.end);
  return sized(instructions);
}

/** Adds a multiple of a parameter to the number on the stack. */
function plusMultiple(to: number[], parameter: number, factor: number): void {
  if (factor === 0) return;
  to.push(OP.get, parameter);
  constant(to, I32, factor);
  to.push(OP.multiply, OP.add);
}
