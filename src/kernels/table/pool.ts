// Kernel rows of pooling over planes of NCHW images.
import type { Cells, KernelCase, KernelRow, Numbers, Split } from '../row.js';
import { along } from '../split.js';
import { pair, windows } from './conv.js';

/** Pooling: planes of h × w, windows of kh × kw. */
interface Pool {
  planes: number;
  h: number;
  w: number;
  kh: number;
  kw: number;
  sh: number;
  sw: number;
  ph: number;
  pw: number;
  oh: number;
  ow: number;
}

function pool(v: readonly number[]): Pool {
  const [planes, h, w, kh, kw, sh, sw, ph, pw] = v as Numbers<9>;
  const [oh, ow] = [windows(h, kh, sh, ph, 1), windows(w, kw, sw, pw, 1)];
  return { planes, h, w, kh, kw, sh, sw, ph, pw, oh, ow };
}

/** Calls `visit` with (plane, output index in the plane, input indices in the plane under its window). */
function windowsOf(q: Pool, visit: (plane: number, out: number, under: number[]) => void): void {
  for (let plane = 0; plane < q.planes; plane++)
    for (let i = 0; i < q.oh; i++)
      for (let j = 0; j < q.ow; j++) {
        const under: number[] = [];
        for (let r = 0; r < q.kh; r++)
          for (let s = 0; s < q.kw; s++) {
            const [y, x] = [i * q.sh - q.ph + r, j * q.sw - q.pw + s];
            if (y >= 0 && y < q.h && x >= 0 && x < q.w) under.push(y * q.w + x);
          }
        visit(plane, i * q.ow + j, under);
      }
}

const inputs = (q: Pool): number => q.planes * q.h * q.w;
const outputs = (q: Pool): number => q.planes * q.oh * q.ow;

/** [planes, h, w, kh, kw, sh, sw, ph, pw] */
const POOLS: number[][] = [
  [1, 1, 1, 1, 1, 1, 1, 0, 0],
  [3, 8, 8, 2, 2, 2, 2, 0, 0],
  [2, 28, 28, 2, 2, 2, 2, 0, 0],
  [2, 9, 7, 3, 3, 2, 2, 1, 1],
  [4, 7, 9, 2, 3, 1, 2, 0, 1],
  [2, 14, 14, 2, 2, 2, 2, 0, 0],
  [1, 5, 5, 5, 5, 1, 1, 0, 0],
  [2, 11, 37, 3, 3, 2, 2, 1, 1],
  [1, 9, 40, 3, 3, 1, 1, 1, 1],
  [2, 1, 75, 1, 4, 1, 2, 0, 2],
  [3, 7, 9, 7, 9, 7, 9, 0, 0],
  [2, 8, 23, 2, 3, 2, 3, 0, 1],
  [0, 4, 4, 2, 2, 2, 2, 0, 0],
];

function poolLabel(v: readonly number[]): string {
  const q = pool([...v]);
  return `${q.planes} of ${q.h}x${q.w}, ${q.kh}x${q.kw} stride ${pair(q.sh, q.sw)}${q.ph + q.pw > 0 ? ` pad ${pair(q.ph, q.pw)}` : ''}`;
}

/** Divisor of an average window: its full size, or the elements inside the image. */
const divisor = (q: Pool, countPad: number, under: number[]): number =>
  countPad ? q.kh * q.kw : under.length;

const poolCases = (...last: number[]): KernelCase[] => POOLS.map((args) => ({ args: [...args, ...last] }));

const clear = (m: Cells, at: number, n: number): void => void m.f.fill(0, at, at + n);

/** By planes; `sizes` are what a plane has behind each pointer. */
const planes = (at: number, sizes: (q: Pool) => number[]): Split => ({
  work: [at, at + 1, at + 2],
  cost: 0.4,
  cut: (v) => along(v, 0, sizes(pool(v))),
});

export const pooling = {
  /** Largest under each window, and its index in the plane (the first among equals; NaN counts as largest): (y, index, x, planes, h, w, kh, kw, sh, sw, ph, pw). */
  maxPool2d: {
    sig: 'opinnnnnnnnn',
    extents: (...v) => [outputs(pool(v)), outputs(pool(v)), inputs(pool(v))],
    label: poolLabel,
    ref: (m, y, index, x, ...v) => {
      const q = pool(v);
      windowsOf(q, (plane, out, under) => {
        const base = x! + plane * q.h * q.w;
        let at = under[0]!;
        for (const u of under) {
          const [old, now] = [m.f[base + at]!, m.f[base + u]!];
          if (old === old && (now !== now || now > old)) at = u;
        }
        m.f[y! + plane * q.oh * q.ow + out] = m.f[base + at]!;
        m.i[index! + plane * q.oh * q.ow + out] = at;
      });
    },
    cases: poolCases(),
    domain: [-4, 4],
    ulp: 0,
    split: planes(3, (q) => [q.oh * q.ow, q.oh * q.ow, q.h * q.w]),
  },
  /**
   * Gradient of maxPool2d by its input, from the indices that it left: (gx, g, index, planes, h, w, kh, kw, sh, sw, ph, pw).
   * Windows add in their order; an index outside its own window is none.
   */
  maxPool2dGrad: {
    sig: 'oijnnnnnnnnn',
    extents: (...v) => [inputs(pool(v)), outputs(pool(v)), outputs(pool(v))],
    label: poolLabel,
    ref: (m, gx, g, index, ...v) => {
      const q = pool(v);
      clear(m, gx!, inputs(q));
      windowsOf(q, (plane, out, under) => {
        const from = plane * q.oh * q.ow + out;
        const at = m.i[index! + from]!;
        if (!under.includes(at)) return;
        const to = gx! + plane * q.h * q.w + at;
        m.f[to] = m.f[to]! + m.f[g! + from]!;
      });
    },
    cases: POOLS.map((args) => ({ args, index: args[1]! * args[2]! })),
    ulp: 0,
    split: planes(3, (q) => [q.h * q.w, q.oh * q.ow, q.oh * q.ow]),
  },
  /** Mean under each window: (y, x, planes, h, w, kh, kw, sh, sw, ph, pw, countPad). */
  avgPool2d: {
    sig: 'oinnnnnnnnnn',
    extents: (...v) => [outputs(pool(v)), inputs(pool(v))],
    label: poolLabel,
    ref: (m, y, x, ...v) => {
      const q = pool(v);
      windowsOf(q, (plane, out, under) => {
        let total = 0;
        for (const u of under) total += m.f[x! + plane * q.h * q.w + u]!;
        m.f[y! + plane * q.oh * q.ow + out] = total / divisor(q, v[9]!, under);
      });
    },
    cases: [...poolCases(1), ...poolCases(0)],
    domain: [-1, 1],
    tolerance: 2e-6,
    split: planes(2, (q) => [q.oh * q.ow, q.h * q.w]),
  },
  /** Gradient of avgPool2d by its input: (gx, g, same numbers). */
  avgPool2dGrad: {
    sig: 'oinnnnnnnnnn',
    extents: (...v) => [inputs(pool(v)), outputs(pool(v))],
    label: poolLabel,
    ref: (m, gx, g, ...v) => {
      const q = pool(v);
      clear(m, gx!, inputs(q));
      windowsOf(q, (plane, out, under) => {
        const share = m.f[g! + plane * q.oh * q.ow + out]! / divisor(q, v[9]!, under);
        for (const u of under) {
          const to = gx! + plane * q.h * q.w + u;
          m.f[to] = m.f[to]! + share;
        }
      });
    },
    cases: [...poolCases(1), ...poolCases(0)],
    domain: [-1, 1],
    tolerance: 2e-6,
    split: planes(2, (q) => [q.h * q.w, q.oh * q.ow]),
  },
} as const satisfies Record<string, KernelRow>;
