// sgemm as BLAS states it, against a plain loop in double precision that is written here: every transpose, leading dimensions
// beyond the row, alpha and beta, what must not be read, what must not be written, and sizes on both sides of every cut.
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { activeAddon } from '../../src/kernels/launch.js';
import { referenceEngine, type Engine } from '../../src/kernels/reference.js';
import { wasmBuilds, wasmEngine } from '../../src/kernels/wasm.js';
import { heap } from '../../src/memory/heap.js';
import { generator, seedOf, SEED } from '../support/random.js';

interface Side {
  label: string;
  select: () => Engine;
}

const native = activeAddon();
const only = process.env['THALWEG_BACKEND'];
const sides: Side[] = [
  { label: 'reference', select: referenceEngine },
  ...(only && only !== 'native' && only !== 'wasm' ? [] : wasmBuilds()).map((build) => ({
    label: `wasm ${build}`,
    select: () => wasmEngine(build),
  })),
  ...(native?.addon.isas() ?? []).flatMap((isa) =>
    [1, 2].map((threads) => ({
      label: `native ${isa}, ${threads} thread(s)`,
      select: () => {
        native!.addon.setIsa(isa);
        native!.addon.setThreads(threads);
        return native!.engine;
      },
    })),
  ),
];
const before = native && { isa: native.addon.isa(), threads: native.addon.threads() };
afterAll(() => {
  if (!before) return;
  native!.addon.setIsa(before.isa);
  native!.addon.setThreads(before.threads);
});

/** One call: sizes, transposes, what is added to each row's length, alpha and beta. */
interface Call {
  m: number;
  n: number;
  k: number;
  ta: boolean;
  tb: boolean;
  pad: [a: number, b: number, c: number];
  alpha: number;
  beta: number;
}

/** A matrix as it is stored: rows of `cols` reals, `ld` apart. */
interface Stored {
  at: number;
  rows: number;
  cols: number;
  ld: number;
}

/** What lies between rows and round the matrices: nothing may read it into a result, or write it. */
const UNTOUCHED = Math.fround(-7.25e29);
const taken: number[] = [];
afterEach(() => {
  for (const offset of taken.splice(0)) heap.release(offset);
});

function stored(rows: number, cols: number, ld: number, value: () => number): Stored {
  const guard = 16;
  const length = rows * ld + 2 * guard;
  const offset = heap.allocate(4 * length);
  taken.push(offset);
  heap.f32.fill(UNTOUCHED, offset / 4, offset / 4 + length);
  const at = offset / 4 + guard;
  for (let i = 0; i < rows; i++) for (let j = 0; j < cols; j++) heap.f32[at + i * ld + j] = value();
  return { at, rows, cols, ld };
}

interface Operands {
  a: Stored;
  b: Stored;
  c: Stored;
}

function operands(call: Call, inC?: () => number, inAB?: () => number): Operands {
  const random = generator(seedOf(JSON.stringify(call)));
  const any = (): number => random() * 2 - 1;
  const { m, n, k, ta, tb, pad } = call;
  const matrix = (rows: number, cols: number, extra: number, value = any): Stored =>
    stored(rows, cols, cols + extra, value);
  return {
    a: ta ? matrix(k, m, pad[0], inAB) : matrix(m, k, pad[0], inAB),
    b: tb ? matrix(n, k, pad[1], inAB) : matrix(k, n, pad[1], inAB),
    c: matrix(m, n, pad[2], inC),
  };
}

function run(engine: Engine, call: Call, { a, b, c }: Operands): void {
  const { m, n, k, ta, tb, alpha, beta } = call;
  engine.sgemm(4 * c.at, 4 * a.at, 4 * b.at, m, n, k, +ta, +tb, a.ld, b.ld, c.ld, alpha, beta);
}

/** C as BLAS says it must be, in double, and for each element the sum of the magnitudes it is made of. */
function expected(call: Call, { a, b, c }: Operands): { value: Float64Array; size: Float64Array } {
  const { m, n, k, ta, tb, alpha, beta } = call;
  const { f32 } = heap;
  const value = new Float64Array(m * n);
  const size = new Float64Array(m * n);
  for (let i = 0; i < m; i++)
    for (let j = 0; j < n; j++) {
      const old = beta === 0 ? 0 : beta * f32[c.at + i * c.ld + j]!;
      let sum = 0;
      let terms = 0;
      for (let p = 0; alpha !== 0 && p < k; p++) {
        const x = f32[ta ? a.at + p * a.ld + i : a.at + i * a.ld + p]!;
        const y = f32[tb ? b.at + j * b.ld + p : b.at + p * b.ld + j]!;
        sum += x * y;
        terms += Math.abs(x * y);
      }
      value[i * n + j] = alpha * sum + old;
      size[i * n + j] = Math.abs(alpha) * terms + Math.abs(old);
    }
  return { value, size };
}

/** Runs the call and says where it went wrong first, or ''. */
function check(engine: Engine, call: Call, given: Operands): string {
  const { value, size } = expected(call, given);
  const { a, b, c } = given;
  const inputs = [a, b].map((x) => heap.f32.slice(x.at - 16, x.at + x.rows * x.ld + 16));
  run(engine, call, given);
  // Summed in any order, k + 2 roundings of float32 each lose at most 2^-24 of the magnitudes.
  const loss = (call.k + 2) * 2 ** -24;
  for (let at = c.at - 16; at < c.at + c.rows * c.ld + 16; at++) {
    const i = Math.floor((at - c.at) / Math.max(1, c.ld));
    const j = at - c.at - i * c.ld;
    const got = heap.f32[at]!;
    if (i >= 0 && i < c.rows && j < c.cols) {
      const want = value[i * c.cols + j]!;
      const fine = Number.isNaN(want)
        ? Number.isNaN(got)
        : Math.abs(got - want) <= loss * size[i * c.cols + j]! + 2 ** -140;
      if (!fine) return `C[${String(i)}, ${String(j)}] is ${String(got)}, not ${String(want)}`;
    } else if (got !== UNTOUCHED)
      return `wrote ${String(got)} beside C, row ${String(i)} column ${String(j)}`;
  }
  for (const [which, x] of [a, b].entries())
    if (heap.f32.slice(x.at - 16, x.at + x.rows * x.ld + 16).some((v, q) => !Object.is(v, inputs[which]![q])))
      return `changed ${which ? 'B' : 'A'}`;
  return '';
}

const bools = [false, true];
const each = (sizes: [number, number, number][], pads: Call['pad'][], scales: [number, number][]): Call[] =>
  sizes.flatMap(([m, n, k]) =>
    bools.flatMap((ta) =>
      bools.flatMap((tb) =>
        pads.flatMap((pad) => scales.map(([alpha, beta]): Call => ({ m, n, k, ta, tb, pad, alpha, beta }))),
      ),
    ),
  );

const tight: Call['pad'] = [0, 0, 0];
const wide: Call['pad'] = [3, 5, 7];
const SCALES: [number, number][] = [
  [1, 0],
  [1, 1],
  [0, 0],
  [0, 1],
  [0, -2],
  [-0.5, 0],
  [2, 0.25],
  [1, -1],
];
/** Round the tiles' sides of all instruction sets, 4 to 14 rows and 4 to 32 columns. */
const SIDES: [number, number, number][] = [
  [1, 1, 1],
  [1, 40, 7],
  [40, 1, 7],
  [2, 3, 4],
  [7, 9, 1],
  [13, 31, 17],
  [14, 32, 16],
  [15, 33, 65],
  [29, 15, 97],
  [2, 35, 29],
  [5, 6, 64],
];
/** Beyond a block of terms, beyond what is read in place, in parts for two threads, and at strides that caches dislike. */
const LARGE: [number, number, number][] = [
  [70, 130, 390],
  [65, 40, 769],
  [33, 515, 64],
  [300, 35, 130],
  [30, 257, 260],
  [150, 70, 40],
  [9, 515, 130],
  [700, 1, 401],
  [1, 700, 401],
];

for (const { label, select } of sides)
  describe(`sgemm on ${label} (seed ${SEED})`, () => {
    const all = (calls: Call[], inC?: () => number, inAB?: () => number): void => {
      const engine = select();
      for (const call of calls) {
        const wrong = check(engine, call, operands(call, inC, inAB));
        expect(wrong, JSON.stringify(call)).toBe('');
        for (const offset of taken.splice(0)) heap.release(offset);
      }
    };

    it('scales and adds in every transpose, with rows tight and apart', () => {
      all(each(SIDES, [tight, wide], SCALES));
    });

    it('is right beyond its blocks and parts', () => {
      all(each(LARGE, [tight, [1, 0, 2]], [[-1.5, 0.5]]));
    });

    it('reads rows that are a multiple of 2 KiB apart', () => {
      all(
        each(
          [
            [31, 300, 40],
            [64, 64, 512],
          ],
          [[1024 - 512, 0, 0]],
          [[1, 1]],
        ).map((call) => ({
          ...call,
          pad: [512 - (call.ta ? call.m : call.k) + 512, 1024 - (call.tb ? call.k : call.n), 0],
        })),
      );
    });

    it('does not read C when beta is 0, whatever is in it', () => {
      const calls = each(
        [...SIDES, [20, 70, 400]],
        [wide],
        [
          [1, 0],
          [0, 0],
          [-2, 0],
        ],
      );
      all(calls, () => NaN);
      all(calls, () => -Infinity);
    });

    it('does not read A and B when alpha is 0', () => {
      all(
        each(
          SIDES,
          [wide],
          [
            [0, 0],
            [0, 1],
            [0, 0.5],
          ],
        ),
        undefined,
        () => NaN,
      );
    });

    it('takes NaN and infinities of A, B and C into exactly the elements they belong to', () => {
      const engine = select();
      for (const call of each(
        [
          [9, 21, 18],
          [16, 40, 400],
        ],
        [wide],
        [[1, 1]],
      )) {
        const given = operands(call);
        heap.f32[given.a.at + given.a.ld + 2] = NaN;
        heap.f32[given.c.at + given.c.ld * 5 + 7] = NaN;
        expect(check(engine, call, given), JSON.stringify(call)).toBe('');
      }
    });

    it('scales C when k is 0', () => {
      const none = each(
        [
          [1, 1, 0],
          [9, 33, 0],
          [40, 70, 0],
        ],
        [tight, wide],
        SCALES,
      );
      all(none);
      all(
        none.filter((call) => call.beta === 0),
        () => NaN,
      );
    });

    it('writes nothing when m or n is 0', () => {
      all(
        each(
          [
            [0, 5, 3],
            [5, 0, 3],
            [0, 0, 0],
            [0, 40, 0],
          ],
          [tight, wide],
          [
            [1, 0],
            [1, 1],
          ],
        ),
      );
    });
  });

describe.runIf(native)('sgemm in two threads', () => {
  it('gives the bits of one thread, again and again', () => {
    for (const isa of native!.addon.isas()) {
      native!.addon.setIsa(isa);
      for (const call of each(LARGE, [tight], [[0.75, -1]])) {
        const given = operands(call);
        const { at, rows, ld } = given.c;
        const start = heap.f32.slice(at, at + rows * ld);
        const results = [1, 2, 2, 1].map((threads) => {
          native!.addon.setThreads(threads);
          heap.f32.set(start, at);
          run(native!.engine, call, given);
          return new Int32Array(heap.f32.slice(at, at + rows * ld).buffer);
        });
        for (const bits of results.slice(1))
          expect(
            bits.every((v, i) => v === results[0]![i]),
            `${isa} ${JSON.stringify(call)}`,
          ).toBe(true);
        for (const offset of taken.splice(0)) heap.release(offset);
      }
    }
  });
});
