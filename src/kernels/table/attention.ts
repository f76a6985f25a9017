// Kernel rows of attention. The full score matrix need never stand in memory: a row keeps only its log-sum-exp, from which
// the backward pass makes its weights again (Dao et al., "FlashAttention", 2022).
import type { Cells, KernelCase, KernelRow, Numbers } from '../row.js';
import { along } from '../split.js';

interface Sizes {
  /** Batch times heads. */
  n: number;
  queries: number;
  keys: number;
  d: number;
  dv: number;
  scale: number;
  causal: number;
  /** Elements from one mask to the next: 0 when all of the batch share one. */
  maskStride: number;
}

function sizes(v: readonly number[]): Sizes {
  const [n, queries, keys, d, dv, scale, causal, maskStride] = v as Numbers<8>;
  return { n, queries, keys, d, dv, scale, causal, maskStride };
}

/** [n, queries, keys, d, dv, scale, causal, maskStride] */
const CASES: KernelCase[] = [
  { args: [1, 1, 1, 1, 1, 1, 0, 0] },
  { args: [2, 5, 7, 8, 8, 0.35, 0, 0] },
  { args: [3, 9, 9, 16, 12, 0.25, 1, 0] },
  { args: [2, 33, 40, 32, 32, 0.18, 0, 33 * 40] },
  { args: [1, 70, 65, 20, 24, 0.2, 0, 0] },
  { args: [2, 64, 64, 32, 32, 0.18, 1, 0] },
  // More queries than keys, and the other way round: some keys are then seen by nobody.
  { args: [1, 261, 70, 4, 4, 0.5, 1, 0] },
  { args: [2, 5, 70, 4, 4, 0.5, 1, 0] },
  { args: [2, 3, 0, 4, 4, 0.5, 0, 0] },
  { args: [0, 4, 4, 8, 8, 1, 0, 0] },
];

/** Scores of one query: scale q·k + mask; -Infinity where a causal query may not look. */
function scores(m: Cells, s: Sizes, q: number, k: number, mask: number, b: number, i: number): Float64Array {
  return Float64Array.from({ length: s.keys }, (_, j) => {
    if (s.causal && j > i) return -Infinity;
    let dot = 0;
    for (let c = 0; c < s.d; c++)
      dot += m.f[q + (b * s.queries + i) * s.d + c]! * m.f[k + (b * s.keys + j) * s.d + c]!;
    return s.scale * dot + (mask ? m.f[mask + b * s.maskStride + i * s.keys + j]! : 0);
  });
}

/** Pairs of a query and a key that it may look at. */
function pairs({ n, queries, keys, causal }: Sizes): number {
  if (!causal) return n * queries * keys;
  const full = Math.max(0, queries - keys);
  const rising = queries - full;
  return n * ((rising * (rising + 1)) / 2 + full * keys);
}

const label = (v: readonly number[], given: readonly boolean[], mask: number): string => {
  const s = sizes([...v]);
  const values = s.dv === s.d ? '' : `, values ${s.dv}`;
  return `${s.n} of ${s.queries}x${s.keys}x${s.d}${values}${s.causal ? ' causal' : ''}${given[mask] ? ' +mask' : ''}`;
};

/** Elements of the mask, [queries, keys] or one for each of the batch. */
const maskSize = (s: Sizes): number => (s.n === 0 ? 0 : (s.n - 1) * s.maskStride + s.queries * s.keys);

const eachQuery = (s: Sizes, visit: (b: number, i: number) => void): void => {
  for (let b = 0; b < s.n; b++) for (let i = 0; i < s.queries; i++) visit(b, i);
};

export const attention = {
  /**
   * softmax(scale q kᵀ + mask) v for q [n, queries, d], k [n, keys, d], v [n, keys, dv]; a query that may look nowhere gives 0.
   * (y, lse, q, k, v, mask, n, queries, keys, d, dv, scale, causal, maskStride); lse [n, queries] is the log of each row's sum
   * of exponentials; mask is added to the scores, or absent; causal 1 keeps query i from keys after i.
   */
  attention: {
    sig: 'ooiiiinnnnnsnn',
    extents: (...v) => {
      const s = sizes(v);
      const [q, k] = [s.n * s.queries, s.n * s.keys];
      return [q * s.dv, q, q * s.d, k * s.d, k * s.dv, maskSize(s)];
    },
    flops: (...v) => 2 * pairs(sizes(v)) * (sizes(v).d + sizes(v).dv),
    label: (v, given) => label(v, given, 5),
    ref: (m, y, lse, q, k, value, mask, ...v) => {
      const s = sizes(v);
      eachQuery(s, (b, i) => {
        const e = scores(m, s, q!, k!, mask!, b, i);
        const top = Math.max(...e);
        const total = top === -Infinity ? 0 : e.reduce((sum, x) => sum + Math.exp(x - top), 0);
        m.f[lse! + b * s.queries + i] = total === 0 ? -Infinity : top + Math.log(total);
        for (let c = 0; c < s.dv; c++) {
          let sum = 0;
          for (let j = 0; total > 0 && j < s.keys; j++)
            sum += (Math.exp(e[j]! - top) / total) * m.f[value! + (b * s.keys + j) * s.dv + c]!;
          m.f[y! + (b * s.queries + i) * s.dv + c] = sum;
        }
      });
    },
    cases: CASES.flatMap((c) => (c.args[7] ? [c] : [c, { ...c, absent: [5] }])),
    domain: [-1, 1],
    tolerance: 1e-5,
    split: {
      work: [6, 7, 8, 9],
      cost: 0.1,
      cut: (v) => {
        const s = sizes(v);
        const [q, k] = [s.queries, s.keys];
        return along(v, 0, [q * s.dv, q, q * s.d, k * s.d, k * s.dv, s.maskStride]);
      },
    },
  },
  /**
   * Gradients of attention by q, k and v. With p = exp(score - lse): gv = pᵀ g, r = p (g vᵀ - Σ g y), gq = scale r k, gk = scale rᵀ q.
   * (gq, gk, gv, g, q, k, v, y, lse, mask, same numbers)
   */
  attentionGrad: {
    sig: 'oooiiiiiiinnnnnsnn',
    extents: (...v) => {
      const s = sizes(v);
      const [q, k] = [s.n * s.queries, s.n * s.keys];
      return [q * s.d, k * s.d, k * s.dv, q * s.dv, q * s.d, k * s.d, k * s.dv, q * s.dv, q, maskSize(s)];
    },
    // Scores again, g vᵀ, and the three gradients.
    flops: (...v) => 2 * pairs(sizes(v)) * (3 * sizes(v).d + 2 * sizes(v).dv),
    label: (v, given) => label(v, given, 9),
    ref: (m, gq, gk, gv, g, q, k, value, y, lse, mask, ...v) => {
      const s = sizes(v);
      m.f.fill(0, gq!, gq! + s.n * s.queries * s.d);
      m.f.fill(0, gk!, gk! + s.n * s.keys * s.d);
      m.f.fill(0, gv!, gv! + s.n * s.keys * s.dv);
      eachQuery(s, (b, i) => {
        const row = b * s.queries + i;
        const e = scores(m, s, q!, k!, mask!, b, i);
        const log = m.f[lse! + row]!;
        let dot = 0;
        for (let c = 0; c < s.dv; c++) dot += m.f[g! + row * s.dv + c]! * m.f[y! + row * s.dv + c]!;
        for (let j = 0; j < s.keys; j++) {
          const p = log === -Infinity ? 0 : Math.exp(e[j]! - log);
          let gp = 0;
          for (let c = 0; c < s.dv; c++) {
            const [at, out] = [(b * s.keys + j) * s.dv + c, m.f[g! + row * s.dv + c]!];
            gp += out * m.f[value! + at]!;
            m.f[gv! + at] = m.f[gv! + at]! + p * out;
          }
          const r = s.scale * p * (gp - dot);
          for (let c = 0; c < s.d; c++) {
            const [a, z] = [row * s.d + c, (b * s.keys + j) * s.d + c];
            m.f[gq! + a] = m.f[gq! + a]! + r * m.f[k! + z]!;
            m.f[gk! + z] = m.f[gk! + z]! + r * m.f[q! + a]!;
          }
        }
      });
    },
    // y and lse are inputs of their own here, so the cases need not be consistent with a forward pass.
    cases: CASES.flatMap((c) => (c.args[7] ? [c] : [{ ...c, absent: [9] }])),
    domain: [
      [-1, 1],
      [-1, 1],
      [-1, 1],
      [-1, 1],
      [-1, 1],
      [1, 3],
      [-1, 1],
    ],
    tolerance: 5e-5,
    split: {
      work: [10, 11, 12, 13],
      cost: 0.2,
      cut: (v) => {
        const s = sizes(v);
        const [q, k] = [s.queries, s.keys];
        const gradients = [q * s.d, k * s.d, k * s.dv];
        return along(v, 0, [...gradients, q * s.dv, q * s.d, k * s.d, k * s.dv, q * s.dv, q, s.maskStride]);
      },
    },
  },
} as const satisfies Record<string, KernelRow>;
