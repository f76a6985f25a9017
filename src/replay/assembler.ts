// Modules made on the spot, which call kernels one after the other with constant arguments. A launch costs what a call from
// module to module costs, some two nanoseconds; JavaScript must convert every argument, and a spread costs more than a
// small kernel.
import type { Kernel } from '../kernels/reference.js';
import { table, type KernelName } from '../kernels/table.js';
import { Bytes, F64, FUNCTION, HEADER, I32, OP, SECTION, VOID } from './bytes.js';
import type { Run } from './loop.js';
import type { Call, Item, StripCall, StripsItem } from './program.js';

/** What a module calls the place that its imports come from. */
export const KERNELS = 'kernels';

/** Parameters of its own functions: those that make calls, and those that run strips. */
const CALLS: readonly number[] = [];
const STRIPS: readonly number[] = [I32, I32, I32];
/** Parameters of a function that runs strips: the first of them, the one behind the last, and whose copy of the buffers. */
const [FROM, TO, COPY] = [0, 1, 2];

/** Every kernel takes an 's' as a double and all else as a whole number; where one does not, the module does not link. */
const typesOf = (kernel: KernelName): number[] =>
  Array.from(table[kernel].sig, (letter) => (letter === 's' ? F64 : I32));

/** The type of functions with these parameters. */
interface Type {
  readonly number: number;
  readonly parameters: readonly number[];
}

/** An imported function. */
interface Import {
  readonly number: number;
  readonly name: string;
  readonly type: Type;
}

/** Makes one module. Its functions are numbered from 0: the imports first. */
export class Assembler {
  /** Where the imports are to be found, by their names: a kernel's own where only one function runs it. */
  readonly functions: Record<string, Kernel> = {};
  private readonly types = new Map<string, Type>();
  private readonly imports = new Map<Kernel, Import>();

  /** `runs` gives the functions that run kernels, `own` those of whole items: all that are strips, and calls that are shared. */
  constructor(
    private readonly runs: Run,
    private readonly own: ReadonlyMap<Item, () => void> = new Map(),
  ) {}

  /** A module that exports a function without parameters for each of these lists. */
  calls(lists: readonly (readonly Item[])[]): Uint8Array<ArrayBuffer> {
    return this.module(CALLS, lists, (to, items) => {
      items.forEach((item) => {
        const own = this.own.get(item);
        if ('call' in item && !own) this.call(to, item.call);
        else to.numbered(OP.call, this.importOf('own', own!, []).number);
      });
    });
  }

  /** A module that exports a function (from, to, copy) for each of these items; none is called for no strips. */
  stripFunctions(items: readonly StripsItem[]): Uint8Array<ArrayBuffer> {
    return this.module(STRIPS, items, (to, item) => this.someStrips(to, item));
  }

  /** A module with a function for each of `all`, whose instructions `write` writes. */
  private module<T>(
    parameters: readonly number[],
    all: readonly T[],
    write: (to: Bytes, one: T) => void,
  ): Uint8Array<ArrayBuffer> {
    // Last in the module, but it says what there is to import.
    const code = new Bytes();
    code.section(SECTION.code, all, (one) => {
      code.sized(() => {
        const locals = 0;
        code.byte(locals);
        write(code, one);
        code.byte(OP.end);
      });
    });
    const { number } = this.typeOf(parameters);
    const to = new Bytes();
    to.bytes(HEADER);
    to.section(SECTION.types, [...this.types.values()], (type) => {
      to.numbered(FUNCTION, type.parameters.length);
      to.bytes(type.parameters);
      to.byte(0);
    });
    to.section(SECTION.imports, [...this.imports.values()], ({ name, type }) => {
      to.text(KERNELS);
      to.text(name);
      to.numbered(0, type.number);
    });
    to.section(SECTION.functions, all, () => to.unsigned(number));
    to.section(SECTION.exports, all, (_, k) => {
      to.text(String(k));
      to.numbered(0, this.imports.size + k);
    });
    to.bytes(code.done());
    return to.done();
  }

  private call(to: Bytes, { kernel, args }: Call): void {
    const { number, type } = this.kernel(kernel);
    for (let k = 0; k < args.length; k++) to.constant(type.parameters[k]!, args[k]!);
    to.numbered(OP.call, number);
  }

  /** A loop over strips, the last of which has its own arguments. */
  private someStrips(to: Bytes, { strips, body: calls }: StripsItem): void {
    to.bytes([OP.loop, VOID, OP.get, FROM]);
    to.constant(I32, strips - 1);
    to.bytes([OP.less, OP.if, VOID]);
    for (const call of calls) this.moving(to, call, call.args);
    to.byte(OP.else);
    for (const call of calls) this.moving(to, call, call.last);
    to.bytes([OP.end, OP.get, FROM, OP.i32, 1, OP.add, OP.tee, FROM, OP.get, TO, OP.less]);
    to.bytes([OP.branchIf, 0, OP.end]);
  }

  /** A call whose arguments are `args + strip * steps + copy * workers`; only whole numbers may move. */
  private moving(to: Bytes, { kernel, steps, workers }: StripCall, args: readonly number[]): void {
    const { number, type } = this.kernel(kernel);
    args.forEach((arg, k) => {
      to.constant(type.parameters[k]!, arg);
      plusMultiple(to, FROM, steps[k]!);
      plusMultiple(to, COPY, workers[k]!);
    });
    to.numbered(OP.call, number);
  }

  private kernel(kernel: KernelName): Import {
    const run = this.runs(kernel);
    return this.imports.get(run) ?? this.importOf(kernel, run, typesOf(kernel));
  }

  private importOf(called: string, run: Kernel, parameters: readonly number[]): Import {
    const known = this.imports.get(run);
    if (known) return known;
    const number = this.imports.size;
    // Every item's own function has the same name.
    const name = called in this.functions ? `${called} ${number}` : called;
    const entry = { number, name, type: this.typeOf(parameters) };
    this.imports.set(run, entry);
    this.functions[name] = run;
    return entry;
  }

  private typeOf(parameters: readonly number[]): Type {
    const key = parameters.join();
    let type = this.types.get(key);
    if (!type) this.types.set(key, (type = { number: this.types.size, parameters }));
    return type;
  }
}

/** Adds a multiple of a parameter to the number on the stack. */
function plusMultiple(to: Bytes, parameter: number, factor: number): void {
  if (factor === 0) return;
  to.numbered(OP.get, parameter);
  to.constant(I32, factor);
  to.bytes([OP.multiply, OP.add]);
}
