// Runs one case of a kernel row on an engine and on the row's own formula, with guard words round every buffer.
import { heap } from '../../src/memory/heap.js';
import type { Engine } from '../../src/kernels/reference.js';
import { isPointer, type Cells, type KernelCase, type KernelRow, type Range } from '../../src/kernels/row.js';
import { table, type KernelName } from '../../src/kernels/table.js';
import { generator, seedOf } from './random.js';

const GUARD = 16;
const GUARD_WORD = 0x7eadbeef;

interface Buffer {
  letter: string;
  /** Element index in the plain memory of the reference; heap byte offset is 4 times `start`. */
  start: number;
  length: number;
  absent: boolean;
}

export interface Outcome {
  /** Largest error, in the row's own measure, as a multiple of what is allowed; > 1 fails. */
  worst: number;
  where: string;
}

/** A case with its inputs drawn: where its buffers stand, and all memory before a call. */
export interface Prepared {
  name: KernelName;
  args: number[];
  buffers: Buffer[];
  image: Float32Array;
}

/** Distance of neighbouring float32 numbers at |x|. */
export const ulpOf = (x: number): number =>
  2 ** Math.max(-149, Math.floor(Math.log2(Math.abs(x) || Number.MIN_VALUE)) - 23);

const same = (a: number, b: number): boolean => a === b || (a !== a && b !== b);

/** Error of `got` against `want` as a multiple of the row's allowance. */
function excess(row: KernelRow, got: number, want: number, pair = false): number {
  if (same(got, want)) return 0;
  if (row.ulp === 0 && !pair) return Infinity;
  if (!Number.isFinite(got) || !Number.isFinite(want)) return same(got, Math.fround(want)) ? 0 : Infinity;
  const error = Math.abs(got - want);
  if (row.tolerance !== undefined) return error / (row.tolerance * Math.max(1, Math.abs(want)));
  // Results below the normal range may be flushed or rounded coarsely.
  return error / (row.ulp! * Math.max(ulpOf(want), 2 ** -149)) - 0.5 / row.ulp!;
}

function layout(
  row: KernelRow,
  args: number[],
  absent: number[],
  skew: number,
): { buffers: Buffer[]; end: number } {
  const extents = row.extents(...args);
  const buffers: Buffer[] = [];
  let at = GUARD + skew;
  for (const letter of row.sig) {
    if (!isPointer(letter)) continue;
    const length = extents[buffers.length]!;
    if (length === undefined) throw new Error('extents and sig disagree on the number of pointers');
    const gone = absent.includes(buffers.length);
    buffers.push({ letter, start: gone ? 0 : at, length, absent: gone });
    if (!gone) at += length + GUARD;
  }
  return { buffers, end: at };
}

function fill(
  row: KernelRow,
  test: KernelCase,
  buffers: Buffer[],
  f: Float32Array,
  u: Uint32Array,
  random: () => number,
): void {
  let input = 0;
  const i = new Int32Array(u.buffer);
  const ranges = row.domain ?? [-1, 1];
  for (const { letter, start, length, absent } of buffers) {
    const [low, high] = (typeof ranges[0] === 'number' ? ranges : (ranges[input] ?? [-1, 1])) as Range;
    if (letter === 'i' || letter === 'u') input++;
    if (absent) continue;
    for (let k = 0; k < length; k++) {
      if (letter === 'r') u[start + k] = test.cells![k]!;
      else if (letter === 'f') f[start + k] = test.cells![k]!;
      else if (letter === 'j') i[start + k] = Math.floor(random() * (test.index ?? 1));
      else f[start + k] = low + (high - low) * random();
    }
  }
}

/** Lays a case out and draws its inputs; `skew` moves every buffer by that many elements off the cache line. */
export function prepare(name: KernelName, test: KernelCase, skew = 0): Prepared {
  const row = table[name];
  const random = generator(seedOf(`${name} ${test.args.join()} ${skew}`));
  const { buffers, end } = layout(row, test.args, test.absent ?? [], skew);
  const image = new Float32Array(end + GUARD);
  const words = new Uint32Array(image.buffer);
  words.fill(GUARD_WORD);
  fill(row, test, buffers, image, words, random);
  return { name, args: test.args, buffers, image };
}

/** All memory of a case as the engine leaves it; `place`: where the buffers are that it is given. */
export function memoryAfter(engine: Engine, test: Prepared, place = test.buffers): Float32Array {
  const { name, args, image } = test;
  const offset = heap.allocate(image.byteLength);
  const base = offset / 4;
  try {
    heap.u32.set(new Uint32Array(image.buffer), base);
    engine[name](
      ...arguments_(table[name], args, (k) => (place[k]!.absent ? 0 : offset + 4 * place[k]!.start)),
    );
    return heap.f32.slice(base, base + image.length);
  } finally {
    heap.release(offset);
  }
}

/** Runs a case and compares it with the row's formula; `share`: the first output is the first input. */
export function runCase(
  engine: Engine,
  name: KernelName,
  test: KernelCase,
  skew = 0,
  share = false,
): Outcome {
  const row = table[name];
  const prepared = prepare(name, test, skew);
  const { buffers, image } = prepared;
  const firstInput = buffers.find((b) => b.letter === 'i');
  const place = buffers.map((b, k) => (share && k === 0 ? firstInput! : b));
  const got = memoryAfter(engine, prepared, place);
  const wanted = reference(row, test.args, place, image);
  return compare(row, place, buffers, got, wanted, new Uint32Array(image.buffer), share);
}

function arguments_(row: KernelRow, numbers: number[], pointer: (k: number) => number): number[] {
  let [p, n] = [0, 0];
  return [...row.sig].map((letter) => (isPointer(letter) ? pointer(p++) : numbers[n++]!));
}

/** The memory after the row's formula: in float32 for exact rows, else in double. */
function reference(row: KernelRow, numbers: number[], place: Buffer[], image: Float32Array): Cells {
  const exact = row.ulp === 0;
  const f = exact ? image.slice() : Float64Array.from(image);
  // Integers live in their own copy, so that a Float64Array can stand beside them.
  const bits = new Int32Array(image.buffer.slice(0));
  const cells: Cells = {
    f,
    i: bits,
    u: new Uint32Array(bits.buffer),
    round: exact ? Math.fround : (x) => x,
  };
  row.ref(cells, ...arguments_(row, numbers, (k) => place[k]!.start));
  return cells;
}

function compare(
  row: KernelRow,
  place: Buffer[],
  buffers: Buffer[],
  got: Float32Array,
  wanted: Cells,
  before: Uint32Array,
  share: boolean,
): Outcome {
  let outcome: Outcome = { worst: 0, where: '' };
  const note = (worst: number, where: string): void => {
    if (worst > outcome.worst) outcome = { worst, where };
  };
  const bits = new Uint32Array(got.buffer);
  const integers = new Int32Array(got.buffer);
  const written = new Set<number>();
  for (const [k, { letter, start, length, absent }] of place.entries()) {
    if (absent || (share && k > 0 && place[k] === place[0])) continue;
    for (let e = start; e < start + length; e++) {
      if (letter === 'p') {
        written.add(e);
        if (integers[e] !== wanted.i[e])
          note(Infinity, `pointer ${k} [${e - start}]: got ${integers[e]}, want ${wanted.i[e]}`);
      } else if (letter === 'o' || letter === 'u' || (share && k === 0)) {
        written.add(e);
        if (k === row.pairs) continue;
        note(
          excess(row, got[e]!, wanted.f[e]!),
          `pointer ${k} [${e - start}]: got ${got[e]}, want ${wanted.f[e]}`,
        );
      }
    }
  }
  if (row.pairs !== undefined)
    for (let { start } = place[row.pairs]!, e = start; e < start + place[row.pairs]!.length; e += 2) {
      const [sum, want] = [got[e]! + got[e + 1]!, wanted.f[e]! + wanted.f[e + 1]!];
      note(excess(row, sum, want, true), `pair at [${e - start}]: got ${sum}, want ${want}`);
    }
  for (let e = 0; e < bits.length; e++)
    if (!written.has(e) && bits[e] !== before[e])
      note(
        Infinity,
        `word ${e} outside the outputs was written (buffers at ${buffers.map((b) => `${b.letter}${b.start}+${b.length}`).join(' ')})`,
      );
  return outcome;
}
