// Kernel rows of convolution over NCHW images. The three convolution rows are the three partial products of
// one trilinear form, so each one's derivatives are the other two.
import type { Cut, KernelCase, KernelRow, Numbers, Split } from '../row.js';
import { along } from '../split.js';
import { activate, ACTIVATIONS, showEpilogue } from './epilogue.js';

/** Output length of a window that slides along `size`. */
export const windows = (
  size: number,
  kernel: number,
  stride: number,
  pad: number,
  dilation: number,
): number => Math.floor((size + 2 * pad - dilation * (kernel - 1) - 1) / stride) + 1;

interface Conv {
  n: number;
  c: number;
  h: number;
  w: number;
  k: number;
  r: number;
  s: number;
  sh: number;
  sw: number;
  ph: number;
  pw: number;
  dh: number;
  dw: number;
  groups: number;
  oh: number;
  ow: number;
}

function conv(v: readonly number[]): Conv {
  const [n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups] = v as Numbers<14>;
  const [oh, ow] = [windows(h, r, sh, ph, dh), windows(w, s, sw, pw, dw)];
  return { n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups, oh, ow };
}

/** Calls `visit` with the indices of x, w and y of every product in the convolution. */
function products(q: Conv, visit: (x: number, w: number, y: number) => void): void {
  const [cg, kg] = [q.c / q.groups, q.k / q.groups];
  for (let n = 0; n < q.n; n++)
    for (let k = 0; k < q.k; k++)
      for (let i = 0; i < q.oh; i++)
        for (let j = 0; j < q.ow; j++)
          for (let c = 0; c < cg; c++)
            for (let r = 0; r < q.r; r++)
              for (let s = 0; s < q.s; s++) {
                const [y, x] = [i * q.sh - q.ph + r * q.dh, j * q.sw - q.pw + s * q.dw];
                if (y < 0 || y >= q.h || x < 0 || x >= q.w) continue;
                const channel = Math.floor(k / kg) * cg + c;
                visit(
                  ((n * q.c + channel) * q.h + y) * q.w + x,
                  ((k * cg + c) * q.r + r) * q.s + s,
                  ((n * q.k + k) * q.oh + i) * q.ow + j,
                );
              }
}

const sizes = (q: Conv): { x: number; w: number; y: number } => ({
  x: q.n * q.c * q.h * q.w,
  w: (q.k * q.c * q.r * q.s) / q.groups,
  y: q.n * q.k * q.oh * q.ow,
});

/** A multiplication and an addition for each product, those with the padding counted too. */
const flops = (...v: number[]): number => {
  const q = conv(v);
  return (2 * sizes(q).y * q.c * q.r * q.s) / q.groups;
};

/** `a` where height and width agree, else `axb`. */
/** Sizes of both axes for people. */
export const pair = (a: number, b: number): string => (a === b ? `${a}` : `${a}x${b}`);

function label(v: readonly number[]): string {
  const q = conv([...v]);
  return [
    `${q.n}x${q.c}x${q.h}x${q.w} to ${q.k}, ${q.r}x${q.s}`,
    ...(q.sh * q.sw > 1 ? [`stride ${pair(q.sh, q.sw)}`] : []),
    ...(q.ph + q.pw > 0 ? [`pad ${pair(q.ph, q.pw)}`] : []),
    ...(q.dh * q.dw > 1 ? [`dilation ${pair(q.dh, q.dw)}`] : []),
    ...(q.groups > 1 ? [`${q.groups} groups`] : []),
  ].join(' ');
}

/** [n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups] */
const CONVS: KernelCase[] = [
  { args: [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, 1] },
  { args: [2, 1, 9, 8, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 3, 8, 8, 5, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [1, 4, 7, 11, 6, 3, 2, 2, 1, 0, 1, 1, 2, 1] },
  { args: [2, 8, 14, 14, 17, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [1, 6, 9, 9, 4, 3, 3, 2, 2, 1, 1, 1, 1, 2] },
  { args: [2, 5, 6, 6, 5, 3, 3, 1, 1, 1, 1, 1, 1, 5] },
  { args: [1, 3, 12, 10, 8, 5, 5, 2, 2, 2, 2, 1, 1, 1] },
  { args: [3, 16, 6, 6, 32, 1, 1, 1, 1, 0, 0, 1, 1, 1] },
  { args: [2, 3, 1, 20, 4, 1, 5, 1, 2, 0, 2, 1, 1, 1] },
  { args: [1, 2, 10, 10, 3, 3, 3, 1, 1, 2, 2, 2, 2, 1] },
  { args: [1, 16, 28, 28, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  // Many channels: positions packed across rows and images, several blocks of terms, bands of rows.
  { args: [5, 24, 7, 7, 33, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 40, 13, 13, 40, 1, 1, 1, 1, 0, 0, 1, 1, 1] },
  { args: [2, 33, 9, 10, 34, 1, 1, 2, 2, 0, 0, 1, 1, 1] },
  { args: [1, 17, 40, 33, 12, 3, 3, 2, 2, 1, 1, 1, 1, 1] },
  { args: [3, 9, 8, 8, 16, 4, 4, 2, 2, 1, 1, 1, 1, 1] },
  { args: [1, 4, 11, 13, 5, 2, 3, 3, 3, 1, 2, 2, 1, 1] },
  { args: [2, 3, 6, 5, 4, 1, 1, 3, 2, 2, 3, 1, 1, 1] },
  { args: [1, 5, 1, 70, 9, 1, 5, 1, 1, 0, 2, 1, 1, 1] },
  // More padding than the filter reaches: rows of outputs are longer than padded rows of inputs.
  { args: [2, 9, 8, 17, 1, 3, 4, 1, 1, 9, 11, 1, 3, 1] },
  { args: [2, 4, 10, 10, 4, 3, 3, 1, 1, 5, 5, 1, 1, 1] },
  // Depthwise: steps 1 and 2, both filters, rows longer than a vector, dilation.
  { args: [2, 3, 11, 37, 3, 3, 3, 1, 1, 1, 1, 1, 1, 3] },
  { args: [1, 4, 13, 67, 4, 3, 3, 2, 2, 1, 1, 1, 1, 4] },
  { args: [2, 2, 12, 20, 2, 5, 5, 1, 2, 2, 2, 1, 1, 2] },
  { args: [1, 2, 12, 34, 2, 5, 5, 2, 1, 3, 1, 1, 2, 2] },
  { args: [1, 3, 9, 18, 3, 3, 3, 2, 2, 3, 4, 2, 2, 3] },
  // Strips of four columns: one, two that overlap, some between them; planes of one row and one channel; steps of 2, even sizes.
  { args: [2, 2, 3, 4, 2, 3, 3, 1, 1, 1, 1, 1, 1, 2] },
  { args: [3, 2, 1, 5, 2, 3, 3, 1, 1, 1, 1, 1, 1, 2] },
  { args: [2, 1, 7, 8, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 3, 8, 15, 3, 3, 3, 1, 1, 1, 1, 1, 1, 3] },
  { args: [2, 2, 2, 8, 2, 3, 3, 2, 2, 1, 1, 1, 1, 2] },
  { args: [2, 2, 6, 10, 2, 3, 3, 2, 2, 1, 1, 1, 1, 2] },
  { args: [1, 3, 8, 30, 3, 3, 3, 2, 2, 1, 1, 1, 1, 3] },
  // Filters of one channel row by row: rows of every number of vectors, two outputs a channel, more positions than are summed at
  // a time; in steps, phases of the image of uneven sizes, without taps, of more steps than taps, and steps of 3.
  { args: [2, 2, 7, 7, 2, 5, 5, 1, 1, 2, 2, 1, 1, 2] },
  { args: [2, 2, 14, 14, 4, 5, 5, 1, 1, 2, 2, 1, 1, 2] },
  { args: [1, 2, 5, 3, 2, 3, 3, 1, 1, 1, 1, 1, 1, 2] },
  { args: [1, 1, 9, 12, 1, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [1, 1, 5, 11, 1, 3, 4, 1, 1, 1, 2, 1, 1, 1] },
  { args: [1, 1, 6, 19, 1, 5, 3, 1, 1, 2, 2, 1, 1, 1] },
  { args: [1, 1, 4, 24, 2, 3, 5, 1, 1, 2, 1, 1, 2, 1] },
  { args: [1, 2, 5, 28, 2, 5, 5, 1, 1, 2, 2, 1, 1, 2] },
  { args: [1, 2, 9, 41, 2, 7, 7, 1, 1, 3, 3, 1, 1, 2] },
  { args: [1, 1, 33, 70, 1, 5, 5, 1, 1, 2, 2, 1, 1, 1] },
  { args: [1, 1, 75, 80, 1, 5, 5, 2, 2, 2, 2, 1, 1, 1] },
  { args: [2, 2, 14, 14, 2, 5, 5, 2, 2, 2, 2, 1, 1, 2] },
  { args: [2, 2, 13, 15, 4, 5, 5, 2, 2, 2, 2, 1, 1, 2] },
  { args: [1, 2, 10, 12, 2, 3, 3, 2, 2, 2, 2, 2, 2, 2] },
  { args: [1, 2, 9, 10, 2, 2, 2, 3, 3, 0, 0, 1, 1, 2] },
  { args: [1, 2, 11, 14, 2, 4, 5, 3, 2, 1, 2, 1, 1, 2] },
  // Images for 3 channels and from 1, whose gradients have few channels.
  { args: [2, 3, 20, 35, 12, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 1, 20, 35, 12, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [1, 2, 17, 70, 9, 4, 4, 2, 2, 1, 1, 1, 1, 1] },
  // Vectors of positions that are gathered: across rows, by steps of 2 with rows of uneven length, dilated, one tap.
  { args: [3, 32, 8, 8, 40, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 32, 6, 6, 40, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 32, 16, 15, 40, 3, 3, 2, 2, 1, 1, 1, 1, 1] },
  { args: [1, 32, 14, 14, 48, 3, 3, 2, 2, 1, 1, 1, 1, 1] },
  { args: [2, 32, 8, 8, 40, 3, 3, 1, 1, 2, 2, 2, 2, 1] },
  { args: [2, 40, 8, 16, 40, 1, 1, 2, 2, 0, 0, 1, 1, 2] },
  { args: [2, 6, 8, 13, 12, 1, 1, 2, 2, 0, 0, 1, 1, 1] },
  { args: [1, 5, 7, 15, 8, 1, 1, 2, 2, 0, 0, 1, 1, 1] },
  // A gradient of the weight in bands.
  { args: [1, 17, 64, 66, 4, 3, 3, 2, 2, 1, 1, 1, 1, 1] },
  // 3x3 in steps of 1 with many channels: odd and even sizes, hardly a tile, every padding, groups, rows of many tiles.
  { args: [3, 16, 5, 7, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 32, 8, 8, 32, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 33, 7, 7, 35, 3, 3, 1, 1, 0, 0, 1, 1, 1] },
  { args: [2, 16, 1, 1, 20, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [2, 20, 3, 2, 18, 3, 3, 1, 1, 2, 1, 1, 1, 1] },
  { args: [2, 16, 3, 3, 16, 3, 3, 1, 1, 0, 0, 1, 1, 1] },
  { args: [1, 20, 6, 9, 32, 3, 3, 1, 1, 2, 2, 1, 1, 1] },
  { args: [1, 16, 5, 6, 24, 3, 3, 1, 1, 3, 4, 1, 1, 1] },
  { args: [1, 16, 9, 37, 16, 3, 3, 1, 1, 1, 0, 1, 1, 1] },
  { args: [2, 32, 6, 10, 40, 3, 3, 1, 1, 1, 1, 1, 1, 2] },
  { args: [9, 16, 4, 4, 16, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
  // Planes of more positions than are summed at a time.
  { args: [1, 2, 96, 100, 2, 3, 3, 1, 1, 1, 1, 1, 1, 2] },
  // Rows longer than a block of positions, images of one position, and sums left over from tiles of both kinds.
  { args: [2, 2, 3, 1100, 6, 2, 3, 1, 1, 1, 1, 1, 1, 1] },
  { args: [3, 5, 2, 2, 7, 2, 2, 1, 1, 0, 0, 1, 1, 1] },
  { args: [0, 3, 8, 8, 4, 3, 3, 1, 1, 1, 1, 1, 1, 1] },
];

/** The product of sizes n, c, h, w, k, r and s over the steps and groups, from place `at` on: multiply-adds. */
const madds = (at: number): Pick<Split, 'work' | 'over' | 'cost'> => ({
  work: [0, 1, 2, 3, 4, 5, 6].map((k) => at + k),
  over: [at + 7, at + 8, at + 13],
  cost: 0.05,
});
/** By images; a single one by groups, or by outputs if there is one group. */
function imagesOrOutputs(v: readonly number[]): Cut | 'inside' {
  const q = conv(v);
  if (q.n > 1) return along(v, 0, [q.k * q.oh * q.ow, q.c * q.h * q.w, 0, 0, q.k * q.oh * q.ow]);
  return 'inside';
}
/** By images; a single one by groups. */
function imagesOrGroups(v: readonly number[]): Cut | 'inside' | null {
  const q = conv(v);
  if (q.n > 1) return along(v, 0, [q.c * q.h * q.w, q.k * q.oh * q.ow, 0]);
  return q.groups > 1 ? 'inside' : null;
}

export const convolution = {
  /**
   * y = act(x * w + bias + residual), * being cross-correlation:
   * (y, x, w, bias, residual, n, c, h, w, k, r, s, sh, sw, ph, pw, dh, dw, groups, act). bias has k entries or is absent; so may
   * be the residual, which lies as y does. act: a number of {@link ACTIVATIONS}.
   * 3 × 3 taps by steps of 1 with many channels go by Winograd's algorithm, in tiles of 2 × 2 outputs, here and in both
   * gradients: NaN and infinities then reach all outputs of the tiles that see them.
   */
  conv2d: {
    sig: 'oiiiinnnnnnnnnnnnnnn',
    extents: (...v) => {
      const { x, w, y } = sizes(conv(v));
      return [y, x, w, conv(v).k, y];
    },
    flops,
    label: (v, given) => label(v) + showEpilogue(v[14]!, given),
    ref: (m, y, x, w, bias, residual, ...v) => {
      const q = conv(v);
      const plane = q.oh * q.ow;
      for (let at = 0; at < sizes(q).y; at++)
        m.f[y! + at] = bias ? m.f[bias + (Math.floor(at / plane) % q.k)]! : 0;
      const total = new Float64Array(sizes(q).y);
      products(q, (xi, wi, yi) => (total[yi]! += m.f[x! + xi]! * m.f[w! + wi]!));
      total.forEach((t, at) => {
        const sum = m.round(m.f[y! + at]! + t);
        m.f[y! + at] = sum + (residual ? m.f[residual + at]! : 0);
      });
      activate(m, v[14]!, y!, total.length);
    },
    cases: CONVS.flatMap(({ args }, k): KernelCase[] => [
      { args: [...args, 0], absent: [3, 4] },
      { args: [...args, 1], absent: [4] },
      { args: [...args, k % ACTIVATIONS.length] },
    ]),
    domain: [-1, 1],
    tolerance: 2e-5,
    split: { ...madds(5), cut: imagesOrOutputs },
  },
  /** Gradient of conv2d by its input, which is also the transposed convolution: (gx, g, w, same numbers). */
  conv2dGradInput: {
    sig: 'oiinnnnnnnnnnnnnn',
    extents: (...v) => {
      const { x, w, y } = sizes(conv(v));
      return [x, y, w];
    },
    flops,
    label,
    ref: (m, gx, g, w, ...v) => {
      const q = conv(v);
      const total = new Float64Array(sizes(q).x);
      products(q, (xi, wi, yi) => (total[xi]! += m.f[g! + yi]! * m.f[w! + wi]!));
      total.forEach((t, at) => (m.f[gx! + at] = t));
    },
    cases: CONVS,
    domain: [-1, 1],
    tolerance: 2e-5,
    split: { ...madds(3), cut: imagesOrGroups },
  },
  /** Gradient of conv2d by its weight: (gw, x, g, same numbers). */
  conv2dGradWeight: {
    sig: 'oiinnnnnnnnnnnnnn',
    extents: (...v) => {
      const { x, w, y } = sizes(conv(v));
      return [w, x, y];
    },
    flops,
    label,
    ref: (m, gw, x, g, ...v) => {
      const q = conv(v);
      const total = new Float64Array(sizes(q).w);
      products(q, (xi, wi, yi) => (total[wi]! += m.f[x! + xi]! * m.f[g! + yi]!));
      total.forEach((t, at) => (m.f[gw! + at] = t));
    },
    cases: CONVS,
    domain: [-1, 1],
    tolerance: 5e-5,
    // All parts pack g', or all of them columns(x).
    split: { ...madds(3), repeats: true, cut: () => 'inside' },
  },
} as const satisfies Record<string, KernelRow>;
