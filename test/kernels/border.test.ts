// The addon's border, called past every check of the library: a bad argument throws an error that names the kernel, before
// a byte of the heap or of an array has changed.
import { beforeAll, describe, expect, it } from 'vitest';
import type { DirectArgument, Plain } from '../../src/kernels/direct.js';
import { activeAddon } from '../../src/kernels/launch.js';
import { isPointer, type KernelRow } from '../../src/kernels/row.js';
import { kernelNames, table, type KernelName } from '../../src/kernels/table.js';
import { heap } from '../../src/memory/heap.js';

const native = activeAddon();
const MAILBOX_SLOTS = 64;
/** Bytes of the heap that are compared: all that these calls could reach by mistake. */
const REGION = 1 << 19;

const rows = new Map(native?.addon.kernels().map(([name], row) => [name, row]));
const rowOf = (name: KernelName): number => rows.get(name)!;
const here = kernelNames.filter((name) => !native?.missing.includes(name));

/** A case of the row with elements behind every pointer, so that each could be refused; several where there is one. */
function fullCase(row: KernelRow): KernelRow['cases'][number] {
  const holds = (least: number): KernelRow['cases'] =>
    row.cases.filter((c) => row.extents(...c.args).every((n) => n >= least));
  const all = [...holds(2), ...holds(1)];
  return all.find((c) => !c.absent?.length) ?? all[0]!;
}

/** Places of the arguments whose letters satisfy `test`. */
const places = (sig: string, test: (letter: string) => boolean): number[] =>
  [...sig].flatMap((letter, k) => (test(letter) ? [k] : []));

const isWritten = (letter: string): boolean => 'oup'.includes(letter);

describe.runIf(native)('the native border', () => {
  let mailbox = 0;
  let region = 0;
  let before: Buffer;

  // With a mailbox of its own: the engine is not used in this file, only its addon.
  beforeAll(() => {
    mailbox = heap.allocate(MAILBOX_SLOTS * 8);
    region = heap.allocate(REGION);
    heap.f32.fill(0.25, region / 4, (region + REGION) / 4);
    before = Buffer.from(bytes());
    native!.addon.attach(new Uint8Array(heap.memory.buffer), mailbox);
  });

  const bytes = (): Buffer => Buffer.from(heap.memory.buffer as unknown as ArrayBuffer, region, REGION);

  /** Valid arguments of the row's case: pointers one after the other in the region. */
  function valid(row: KernelRow): number[] {
    const { args, absent = [] } = fullCase(row);
    const extents = row.extents(...args);
    let [p, n, at] = [0, 0, region];
    return [...row.sig].map((letter) => {
      if (!isPointer(letter)) return args[n++]!;
      if (absent.includes(p)) return (p++, 0);
      const place = at;
      at += extents[p++]! * 4 + 64;
      expect(at, 'the region holds the case').toBeLessThanOrEqual(region + REGION);
      return place;
    });
  }

  function call(name: KernelName, args: readonly number[]): void {
    heap.f64.set(args, mailbox / 8);
    native!.addon.call(rowOf(name));
  }

  /** `run` throws an error that names the kernel and leaves the region as it was. */
  function refuses(name: KernelName, type: typeof RangeError | typeof TypeError, run: () => void): void {
    let thrown: unknown;
    try {
      run();
    } catch (error) {
      thrown = error;
    }
    expect(thrown, name).toBeInstanceOf(type);
    expect((thrown as Error).message).toContain(`native: ${name}: argument`);
    expect(bytes().equals(before), `${name}: the heap changed`).toBe(true);
  }

  const refusesWith = (name: KernelName, args: number[], k: number, value: number): void =>
    refuses(name, RangeError, () => call(name, args.with(k, value)));

  it.each(here)('%s refuses offsets outside the heap', (name) => {
    const args = valid(table[name]);
    const end = heap.memory.buffer.byteLength;
    for (const k of places(table[name].sig, isPointer)) {
      if (args[k] === 0) continue;
      for (const bad of [-4, -1, 0.5, region + 2, region + 0.25, end, end + 4, 2 ** 53, 1e300])
        refusesWith(name, args, k, bad);
      for (const bad of [NaN, Infinity, -Infinity]) refusesWith(name, args, k, bad);
    }
  });

  it.each(here)('%s refuses sizes that are no sizes, and those that overflow', (name) => {
    const { sig } = table[name];
    const args = valid(table[name]);
    for (const k of places(sig, (letter) => letter === 'n'))
      for (const bad of [-1, 0.5, NaN, Infinity, -Infinity, 2 ** 53, 2 ** 64])
        refusesWith(name, args, k, bad);
    // All sizes at once: their product leaves 64 bits.
    const huge = args.map((value, k) => (sig[k] === 'n' ? 2 ** 31 - 1 : value));
    refuses(name, RangeError, () => call(name, huge));
  });

  it.each(['conv2d', 'conv2dGradInput', 'conv2dGradWeight'] as const)(
    '%s refuses groups that do not divide the channels, with no channel to come out too',
    (name) => {
      const args = valid(table[name]);
      const [, channels, , , outputs, , , , , , , , , groups] = places(table[name].sig, (l) => l === 'n');
      refusesWith(name, args, groups!, 0);
      for (const k of [args[outputs!]!, 0])
        refusesWith(name, args.with(outputs!, k), groups!, args[channels!]! + 1);
    },
  );

  it.each(here)('%s refuses an absent pointer unless it may be absent', (name) => {
    const row = table[name];
    const args = valid(row);
    const optional = new Set(row.cases.flatMap((c) => c.absent ?? []));
    places(row.sig, isPointer).forEach((k, p) => {
      if (!optional.has(p)) refusesWith(name, args, k, 0);
    });
  });

  /** Valid arguments of the row as arrays of their own, filled with a value to recognise. */
  function arrays(row: KernelRow): DirectArgument[] {
    const { args, absent = [] } = fullCase(row);
    const extents = row.extents(...args);
    let [p, n] = [0, 0];
    return [...row.sig].map((letter): DirectArgument => {
      if (!isPointer(letter)) return args[n++]!;
      if (absent.includes(p)) return (p++, null);
      const length = extents[p++]!;
      if (letter === 'r') return new Uint32Array(length);
      return 'pj'.includes(letter) ? new Int32Array(length) : new Float32Array(length).fill(0.25);
    });
  }

  function refusesArrays(
    name: KernelName,
    type: typeof RangeError | typeof TypeError,
    args: DirectArgument[],
  ): void {
    const { sig } = table[name];
    const outputs = places(sig, isWritten).flatMap((k) => {
      const array: unknown = args[k];
      return array instanceof Float32Array && array.length > 0 ? [array] : [];
    });
    const old = outputs.map((array) => array.slice());
    refuses(name, type, () => native!.addon.callArrays(rowOf(name), ...args));
    expect(outputs, `${name}: an array changed`).toEqual(old);
  }

  const detached = (): Float32Array => {
    const array = new Float32Array(8);
    structuredClone(array.buffer, { transfer: [array.buffer] });
    return array;
  };

  it.each(here)('%s refuses arrays of another type, and what is no array', (name) => {
    const args = arrays(table[name]);
    for (const k of places(table[name].sig, isPointer)) {
      const right = args[k];
      if (right === null || typeof right === 'number') continue;
      const wrong = [
        right instanceof Float32Array ? new Int32Array(right.length) : new Float32Array(right!.length),
        new Float64Array(right!.length),
        new Uint8Array(right!.length * 4),
        Array.from(right!),
        right!.buffer,
        7,
        'text',
        undefined,
        {},
      ];
      for (const value of wrong) refusesArrays(name, TypeError, args.with(k, value as never));
    }
  });

  it.each(here)('%s refuses arrays that are too short, detached or missing', (name) => {
    const row = table[name];
    const args = arrays(row);
    const optional = new Set(row.cases.flatMap((c) => c.absent ?? []));
    places(row.sig, isPointer).forEach((k, p) => {
      const right = args[k];
      if (right === null || typeof right !== 'object') return;
      refusesArrays(name, RangeError, args.with(k, right.subarray(1)));
      if (right instanceof Float32Array) refusesArrays(name, RangeError, args.with(k, detached()));
      if (!optional.has(p)) refusesArrays(name, TypeError, args.with(k, null));
    });
    refusesArrays(name, RangeError, args.slice(0, -1));
    refusesArrays(name, RangeError, [...args, 0]);
  });

  it.each(here)(
    '%s refuses outputs that overlap other arrays, but for in place where the row says so',
    (name) => {
      const row = table[name];
      const { sig } = row;
      const args = arrays(row);
      const pointers = places(sig, isPointer).filter((k) => args[k] !== null);
      const firstInput = sig.indexOf('i');
      const lengthOf = (k: number): number => (args[k] as Plain).length;
      // `other` begins `shift` elements behind the start of what is written.
      const sharing = (out: number, other: number, shift: number): DirectArgument[] => {
        const buffer = new ArrayBuffer(4 * (lengthOf(out) + lengthOf(other)));
        const view = (k: number, at: number): Plain => {
          const Type = (args[k] as Plain).constructor as Float32ArrayConstructor;
          return new Type(buffer, 4 * at, lengthOf(k));
        };
        return args.with(out, view(out, 0)).with(other, view(other, shift));
      };
      for (const out of places(sig, isWritten).filter((k) => args[k] !== null))
        for (const other of pointers.filter((k) => k !== out)) {
          if (lengthOf(out) > 1) refusesArrays(name, RangeError, sharing(out, other, lengthOf(out) - 1));
          const inPlace =
            row.inPlace && out === 0 && other === firstInput && lengthOf(out) === lengthOf(other);
          if (!inPlace) refusesArrays(name, RangeError, sharing(out, other, 0));
          else native!.addon.callArrays(rowOf(name), ...sharing(out, other, 0));
        }
    },
  );

  it('refuses a row that there is not, and a mailbox outside the heap', () => {
    const { addon } = native!;
    const view = new Uint8Array(heap.memory.buffer);
    for (const row of [-1, addon.kernels().length, 1e9, NaN + 1e9, 'add'])
      expect(() => addon.call(row as number)).toThrow(RangeError);
    for (const offset of [-8, 4, 0.5, NaN, Infinity, view.length - 8])
      expect(() => addon.attach(view, offset)).toThrow(RangeError);
    for (const memory of [detached(), new Float32Array(1024), {}, null, undefined])
      expect(() => addon.attach(memory as never, 0)).toThrow(RangeError);
  });

  it('refuses thread counts and instruction sets that there are not', () => {
    const { addon } = native!;
    const [threads, isa] = [addon.threads(), addon.isa()];
    for (const n of [0, -1, 1.5, NaN, Infinity, '2', undefined])
      expect(() => addon.setThreads(n as number)).toThrow(RangeError);
    for (const name of ['', 'avx1024', 7, undefined])
      expect(() => addon.setIsa(name as string)).toThrow(RangeError);
    expect([addon.threads(), addon.isa()]).toEqual([threads, isa]);
  });
});
