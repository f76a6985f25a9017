// Kernel rows of optimizer updates: one pass over a flat run of parameters, gradients and state. Every scalar is computed
// in double by the optimizer and handed over in cells, so the same record serves every step. No contraction: an update
// gives the same bits on every engine. State and squares that would become subnormal are 0: WASM has no flush-to-zero, and
// dead units, or gradients below 1e-18, would slow the update several times. Where the denominator is 0 nothing moves.
import type { Cells, KernelCase, KernelRow, Numbers } from '../row.js';
import { elements, leaves } from '../split.js';

const SMALLEST_NORMAL = 2 ** -126;
/** Below `least`, by default subnormal float32, to 0 (of either sign, to +0); NaN and all else unchanged. */
const flush = (x: number, least = SMALLEST_NORMAL): number => (Math.abs(x) < least ? 0 : x);
/** Below this c x would be subnormal. */
const leastScaled = (c: number): number => Math.fround(SMALLEST_NORMAL / c);
/** Below this c d² would be subnormal, and counts as 0: such products take a hundred times as long. */
const leastSquared = (c: number): number => Math.fround(Math.sqrt(SMALLEST_NORMAL / c));
/** a / b, but 0 where b is 0. */
const quotient = (a: number, b: number): number => (b === 0 ? 0 : a / b);

const SIZES = [0, 1, 3, 4, 5, 15, 16, 17, 31, 33, 63, 64, 65, 1000];
/** Long enough for the loops that read ahead. */
const LONG = 2 ** 18 + 77;

type Scalars = readonly number[];
/** `at(k)`: cell k; `load(p, j)` and `store(p, j, x)` reach element j behind pointer p. */
interface Step {
  pointers: readonly number[];
  cells: Scalars;
  round: Cells['round'];
  f: Cells['f'];
}
type Rule = (s: Step, j: number) => void;

const POSITIVE = [0.01, 4] as const;
const SIGNED = [-2, 2] as const;

/** states: one letter a state array, `s` signed, `p` positive. Argument order: (param, grad, …states, cells, n). */
function update(states: string, cells: readonly number[], absent: readonly number[], rule: Rule): KernelRow {
  const count = 2 + states.length;
  const sig = `ui${'u'.repeat(states.length)}fn`;
  return {
    sig,
    extents: (n) => [...Array<number>(count).fill(n!), cells.length],
    ref: (m, ...args) => {
      const at = args[count]!;
      const step: Step = {
        pointers: args,
        cells: cells.map((_, k) => m.f[at + k]!),
        round: m.round,
        f: m.f,
      };
      for (let j = 0; j < args[count + 1]!; j++) rule(step, j);
    },
    cases: SIZES.flatMap((n): KernelCase[] => {
      const full = { args: [n], cells: [...cells] };
      return absent.length === 0 ? [full] : [full, { ...full, absent: [...absent] }];
    }),
    domain: [SIGNED, SIGNED, ...[...states].map((s) => (s === 'p' ? POSITIVE : SIGNED))],
    ulp: 0,
    split: elements(sig, 0.2 + 0.3 * states.length),
  };
}

const withLong = (row: KernelRow): KernelRow => ({
  ...row,
  cases: [...row.cases, { ...row.cases[0]!, args: [LONG] }],
});

/** sign · g + wd · p: maximize first, then L2 decay. */
function gradient(s: Step, j: number, wd: number, sign: number): number {
  const { f, pointers, round } = s;
  return round(round(sign * f[pointers[1]! + j]!) + round(wd * f[pointers[0]! + j]!));
}

/** c d d, or 0 where that is below the smallest normal number. */
const squared = (round: Cells['round'], c: number, d: number): number =>
  Math.abs(d) < leastSquared(c) ? 0 : round(round(c * d) * d);

/** `(1-b1)`-lerp of m towards d, flushed before its decay is subnormal, and b2-average of d² in v; stores and returns both. */
function moments(s: Step, j: number, d: number, c1: number, b2: number, c2: number): [number, number] {
  const { f, pointers, round } = s;
  const [mp, vp] = [pointers[2]! + j, pointers[3]! + j];
  const m = flush(round(f[mp]! + round(c1 * round(d - f[mp]!))), leastScaled(c1));
  const v = flush(round(round(b2 * f[vp]!) + squared(round, c2, d)));
  f[mp] = m;
  f[vp] = v;
  return [m, v];
}

/** The larger of v · scale and the stored maximum, stored again; v itself where there is no maximum. */
function peak(s: Step, j: number, v: number, scale: number): number {
  const at = s.pointers[4]!;
  if (!at) return v;
  const now = s.round(v * scale);
  const old = s.f[at + j]!;
  return (s.f[at + j] = now > old || now !== now ? now : old);
}

export const updates = {
  /** p -= lr d, d = sign g + wd p. cells [lr, wd, sign]; (p, g, cells, n). */
  sgdStep: update('', [0.1, 0.01, 1], [], (s, j) => {
    const [lr, wd, sign] = s.cells as [number, number, number];
    const p = s.pointers[0]! + j;
    s.f[p] = s.f[p]! - s.round(lr * gradient(s, j, wd, sign));
  }),
  /**
   * v = mu v + c d; p -= lr (a d + b v). cells [lr, wd, sign, mu, c, a, b]; (p, g, v, cells, n).
   * torch: c = 1 - dampening (1 at the first step), a, b = 0, 1, or 1, mu for Nesterov.
   * classical: lr = -1, c = -rate, a, b = 0, 1, or -rate, mu.
   */
  momentumStep: withLong(
    update('s', [0.1, 0.01, 1, 0.9, 0.75, 1, 0.9], [], (s, j) => {
      const [lr, wd, sign, mu, c, a, b] = s.cells as Numbers<7>;
      const r = s.round;
      const [p, vp] = [s.pointers[0]! + j, s.pointers[2]! + j];
      const d = gradient(s, j, wd, sign);
      const v = flush(r(r(mu * s.f[vp]!) + r(c * d)));
      s.f[vp] = v;
      s.f[p] = s.f[p]! - r(lr * r(r(a * d) + r(b * v)));
    }),
  ),
  /** s += d²; p -= lr d / (√s + eps). cells [lr, wd, sign, eps]; (p, g, s, cells, n). */
  adagradStep: update('p', [0.1, 0.01, 1, 1e-10], [], (s, j) => {
    const [lr, wd, sign, eps] = s.cells as [number, number, number, number];
    const r = s.round;
    const [p, sp] = [s.pointers[0]! + j, s.pointers[2]! + j];
    const d = gradient(s, j, wd, sign);
    const sum = flush(r(s.f[sp]! + squared(r, 1, d)));
    s.f[sp] = sum;
    s.f[p] = s.f[p]! - r(quotient(r(lr * d), r(r(Math.sqrt(sum)) + eps)));
  }),
  /**
   * With e = d - mean (e = d without mean): v = a v + c e e; mean += (1-a) e; q = d / (√v + eps);
   * with buf: buf = mu buf + q, p -= lr buf; without: p -= lr q.
   * cells [lr, wd, sign, a, c, 1-a, eps, mu]; c = 1-a, or a (1-a) when centred. (p, g, v, mean, buf, cells, n); mean, buf may be absent.
   * The centred form holds the variance itself, so it cannot cancel below zero as E[g²] - E[g]² does.
   */
  rmspropStep: {
    ...update('pss', [0.01, 0.01, 1, 0.9, 0.09, 0.1, 1e-8, 0.9], [], (s, j) => {
      const [lr, wd, sign, a, c, lerp, eps, mu] = s.cells as Numbers<8>;
      const r = s.round;
      const [p, , v, mean, buf] = s.pointers as Numbers<5>;
      const d = gradient(s, j, wd, sign);
      const e = mean ? r(d - s.f[mean + j]!) : d;
      const average = flush(r(r(a * s.f[v + j]!) + squared(r, c, e)));
      s.f[v + j] = average;
      if (mean) s.f[mean + j] = flush(r(s.f[mean + j]! + r(lerp * e)));
      let q = r(quotient(d, r(r(Math.sqrt(average)) + eps)));
      if (buf) s.f[buf + j] = q = flush(r(r(mu * s.f[buf + j]!) + q));
      s.f[p + j] = s.f[p + j]! - r(lr * q);
    }),
    cases: SIZES.flatMap((n): KernelCase[] =>
      [[], [3], [4], [3, 4]].map((absent) => ({
        args: [n],
        absent,
        cells: [0.01, 0.01, 1, 0.9, 0.09, 0.1, 1e-8, 0.9],
      })),
    ),
  },
  /**
   * m += (1-b1)(d - m); v = b2 v + (1-b2) d²; with vmax: vmax = max(vmax, v · inner), w = vmax, else w = v;
   * p = p · decay - lr m / (√w · outer + eps).
   * cells [lr, wd, sign, 1-b1, b2, 1-b2, eps, decay, inner, outer]; lr already divided by the bias correction of m.
   * (p, g, m, v, vmax, cells, n); vmax may be absent.
   */
  adamStep: update('spp', [0.01, 0.01, 1, 0.1, 0.99, 0.01, 1e-8, 0.999, 0.98, 1.5], [4], (s, j) => {
    const [lr, wd, sign, c1, b2, c2, eps, decay, inner, outer] = s.cells as Numbers<10>;
    const r = s.round;
    const p = s.pointers[0]! + j;
    const [m, v] = moments(s, j, gradient(s, j, wd, sign), c1, b2, c2);
    const w = peak(s, j, v, inner);
    const denominator = r(r(r(Math.sqrt(w)) * outer) + eps);
    s.f[p] = r(s.f[p]! * decay) - r(quotient(r(lr * flush(m, leastScaled(lr))), denominator));
  }),
  /**
   * m, v, vmax as adamStep; p -= clip(alpha / (√w + eps), low, high) · m.
   * cells [alpha, wd, sign, 1-b1, b2, 1-b2, eps, low, high]; (p, g, m, v, vmax, cells, n); vmax may be absent.
   */
  adaboundStep: update('spp', [0.01, 0.01, 1, 0.1, 0.99, 0.01, 1e-8, 0.005, 0.02], [4], (s, j) => {
    const [alpha, wd, sign, c1, b2, c2, eps, low, high] = s.cells as Numbers<9>;
    const r = s.round;
    const p = s.pointers[0]! + j;
    const [m, v] = moments(s, j, gradient(s, j, wd, sign), c1, b2, c2);
    const rate = r(alpha / r(r(Math.sqrt(peak(s, j, v, 1))) + eps));
    // alpha / 0 is infinite and clips to high, as in the paper's code; 0 / 0 is NaN, and clips to low.
    const clipped = rate > low ? (rate < high ? rate : high) : low;
    s.f[p] = s.f[p]! - r(clipped * m);
  }),
  /**
   * SWATS's Adam phase: m, v as adamStep; q = -lr m / (√v + eps), p += q.
   * dots = [Σ q q, Σ q d], each as a high and a low part, summed in double.
   * cells [lr, wd, sign, 1-b1, b2, 1-b2, eps]; lr holds √bc2 / bc1. (p, g, m, v, dots[4], cells, n)
   */
  swatsStep: {
    sig: 'uiuuofn',
    extents: (n) => [n!, n!, n!, n!, 4, 7],
    ref: (m, ...args) => {
      const [p, , , , dots, at, n] = args as Numbers<7>;
      const cells = Array.from({ length: 7 }, (_, k) => m.f[at + k]!);
      const [lr, wd, sign, c1, b2, c2, eps] = cells as Numbers<7>;
      const [step, r] = [{ pointers: args, cells, round: m.round, f: m.f }, m.round];
      let [qq, qd] = [0, 0];
      for (let j = 0; j < n; j++) {
        const d = gradient(step, j, wd, sign);
        const [mean, v] = moments(step, j, d, c1, b2, c2);
        const q = -r(quotient(r(lr * flush(mean, leastScaled(lr))), r(r(Math.sqrt(v)) + eps)));
        m.f[p + j] = m.f[p + j]! + q;
        qq += q * q;
        qd += q * d;
      }
      for (const [k, total] of [qq, qd].entries()) {
        m.f[dots + 2 * k] = total;
        m.f[dots + 2 * k + 1] = total - m.f[dots + 2 * k]!;
      }
    },
    cases: SIZES.map((n) => ({ args: [n], cells: [0.01, 0.01, 1, 0.1, 0.99, 0.01, 1e-8] })),
    domain: [SIGNED, SIGNED, SIGNED, POSITIVE],
    ulp: 0,
    pairs: 4,
    tolerance: 1e-12,
    split: leaves('uiuuofn', 1.3),
  },
  /**
   * u = sign(b1 m + (1-b1) d); p = p · decay - lr u; m = b2 m + (1-b2) d.
   * cells [lr, wd, sign, b1, 1-b1, b2, 1-b2, decay]; (p, g, m, cells, n).
   */
  lionStep: update('s', [0.01, 0.01, 1, 0.9, 0.1, 0.99, 0.01, 0.999], [], (s, j) => {
    const [lr, wd, sign, b1, c1, b2, c2, decay] = s.cells as Numbers<8>;
    const r = s.round;
    const [p, mp] = [s.pointers[0]! + j, s.pointers[2]! + j];
    const d = gradient(s, j, wd, sign);
    const old = s.f[mp]!;
    const u = Math.sign(r(r(b1 * old) + r(c1 * d)));
    s.f[mp] = flush(r(r(b2 * old) + r(c2 * d)));
    s.f[p] = r(s.f[p]! * decay) - r(lr * u);
  }),
} as const satisfies Record<string, KernelRow>;
