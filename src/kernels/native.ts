// The native engine: the C++ addon, given the heap's address once. Arguments travel through a mailbox of doubles in the
// heap, because a call with one number costs a quarter of a call with five.
import { createRequire } from 'node:module';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { heap } from '../memory/heap.js';
import type { DirectArgument } from './direct.js';
import { EngineUnavailable, type Engine, type Kernel } from './reference.js';
import { kernelNames, table, type KernelName } from './table.js';
import { checkChoice } from '../tensor/errors.js';

/** What addon.cc exports. */
export interface Addon {
  /** Hands over the heap (again after it grew) and the byte offset of the mailbox. */
  attach(heap: Uint8Array, mailbox: number): void;
  /** `[name, signature]` of every kernel; a kernel is called by its place in this list. */
  kernels(): [string, string][];
  /** Runs kernel `row` with the arguments in the mailbox. Throws RangeError when one reaches outside the heap. */
  call(row: number): void;
  /** Runs kernel `row` with these arguments; a pointer is a typed array (or null for an absent one). */
  callArrays(row: number, ...args: readonly DirectArgument[]): void;
  /**
   * Takes a program of `length` doubles at a byte offset (see native/program.h), for at most so many workers; checks it
   * and returns its number.
   */
  prepare(offset: number, length: number, workers: number): number;
  /** Runs a program. */
  run(program: number): void;
  /** Runs a program; nanoseconds of each of its instructions. */
  time(program: number): Float64Array;
  forget(program: number): void;
  /** Instruction sets that this CPU has, best first, and the one in use. */
  isas(): string[];
  isa(): string;
  /** Throws RangeError for one that this CPU or build lacks. */
  setIsa(name: string): void;
  threads(): number;
  setThreads(n: number): void;
  /** How many jobs of kernels had more than one thread so far, in the whole process. */
  jobs(): number;
}

export interface NativeEngine {
  engine: Engine;
  addon: Addon;
  file: string;
  /** Tells the addon how large the heap is by now. */
  readonly attach: () => void;
  /** Rows of the table that the addon lacks. */
  missing: KernelName[];
  /** Runs a kernel on typed arrays, without a copy; false if the addon lacks it. */
  direct(kernel: KernelName, args: readonly DirectArgument[]): boolean;
}

const MAILBOX_SLOTS = 64;
const here = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const candidates = (): string[] => [
  here('build/Release/thalweg.node'),
  here(`prebuilds/${process.platform}-${process.arch}/thalweg.node`),
];

function load(): { addon: Addon; file: string } {
  const failures: string[] = [];
  for (const file of candidates()) {
    if (!existsSync(file)) continue;
    try {
      return { addon: createRequire(import.meta.url)(file) as Addon, file };
    } catch (error) {
      failures.push(`${file}: ${(error as Error).message.split('\n')[0]}`);
    }
  }
  if (failures.length > 0)
    throw new EngineUnavailable(`native: the addon did not load (${failures.join('; ')})`);
  throw new EngineUnavailable('native: no addon is built for this machine; run `thalweg build-native`');
}

/**
 * Loads the addon and attaches it to the heap. Kernels that it lacks come from `fallback`.
 * @throws EngineUnavailable that says in one sentence why there is none.
 */
export function nativeEngine(fallback: () => Engine): NativeEngine {
  const { addon, file } = load();
  const mailbox = heap.allocate(MAILBOX_SLOTS * 8);
  const isa = process.env['THALWEG_ISA'];
  if (isa) addon.setIsa(checkChoice('THALWEG_ISA', 'isa', isa, addon.isas()));
  let attached = 0;
  const attach = (): void => {
    addon.attach(new Uint8Array(heap.memory.buffer), mailbox);
    attached = heap.f64.length;
  };
  attach();

  const rows = new Map(addon.kernels().map(([name, sig], row) => [name, { sig, row }]));
  const slot = mailbox / 8;
  function kernel(row: number): Kernel {
    return (...args) => {
      const mail = heap.f64;
      if (mail.length !== attached) attach();
      for (let k = 0; k < args.length; k++) mail[slot + k] = args[k]!;
      addon.call(row);
    };
  }
  const missing = kernelNames.filter((name) => !rows.has(name));
  const other = missing.length > 0 ? fallback() : undefined;
  const engine = Object.fromEntries(
    kernelNames.map((name) => {
      const found = rows.get(name);
      if (!found) return [name, other![name]];
      const { sig } = table[name];
      if (found.sig !== sig)
        throw new Error(
          `native: ${name} has signature ${found.sig}, the table says ${sig}; rebuild the addon`,
        );
      return [name, kernel(found.row)];
    }),
  ) as Record<KernelName, Kernel>;
  const direct = (name: KernelName, args: readonly DirectArgument[]): boolean => {
    const found = rows.get(name);
    if (found) addon.callArrays(found.row, ...args);
    return found !== undefined;
  };
  return { engine, addon, file, attach, missing, direct };
}
