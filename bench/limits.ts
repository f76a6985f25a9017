// What the machine can do at most, measured first: floating-point operations by instruction set, and bandwidth by the
// size of the working set. A small C program (peers/peak.c) tells; without a C compiler the limits are unknown.
import { spawnSync } from 'node:child_process';
import { mkdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Rate } from './runner.js';

// This file runs from build/apps/bench.
const root = fileURLToPath(new URL('../../../', import.meta.url));
const source = path.join(root, 'bench', 'peers', 'peak.c');
const built = path.join(root, 'build', 'bench');

/** [floats in a vector, flags] by the name that engines give to their instruction set. */
const ISAS: Readonly<Record<string, readonly [number, ...string[]]>> = {
  avx512: [16, '-mavx512f', '-mfma', '-mprefer-vector-width=512'],
  avx2: [8, '-mavx2', '-mfma'],
  sse2: [4, '-ffp-contract=off'],
  neon: [4],
  // V8 writes AVX instructions; a multiplication and an addition are two of them, except where relaxed SIMD fuses them.
  simd128: process.arch === 'x64' ? [4, '-mavx', '-ffp-contract=off'] : [4, '-ffp-contract=off'],
  'relaxed simd128': process.arch === 'x64' ? [4, '-mavx2', '-mfma'] : [4],
};

/** Bytes of all arrays together, from the first cache to main memory. */
export const WORKING_SETS = [2 ** 13, 2 ** 16, 2 ** 18, 1e6, 4e6, 1.6e7, 4e7, 2.56e8];

export interface Bandwidth {
  /** GB/s by working set. */
  read: number[];
  copy: number[];
  triad: number[];
  update: number[];
}

export interface Limits {
  /** GFLOP/s by instruction set and number of threads. */
  flops: Record<string, Record<number, number>>;
  /** By number of threads. */
  bandwidth: Record<number, Bandwidth>;
  /** Why some are unknown. */
  absent: string[];
}

const run = (file: string, ...args: string[]): string => {
  const { status, stdout, stderr, error } = spawnSync(file, args, { encoding: 'utf8' });
  if (status === 0) return stdout;
  throw new Error(error?.message ?? (stderr.trim().split('\n')[0] || `${path.basename(file)} failed`));
};

/** The program for an instruction set, compiled when it is older than its source. */
function probe(isa: string): string {
  const [width, ...flags] = ISAS[isa] ?? [4];
  const file = path.join(built, `peak-${isa.replace(' ', '-')}`);
  const time = statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  if (time > statSync(source).mtimeMs) return file;
  mkdirSync(built, { recursive: true });
  const options = ['-O3', '-ffp-contract=fast', `-DWIDTH=${width}`, ...flags, '-pthread'];
  run(process.env['CC'] ?? 'cc', ...options, source, '-o', file);
  return file;
}

function measureBandwidth(isa: string, threads: number): Bandwidth {
  const sets = WORKING_SETS.map(String);
  const rows = run(probe(isa), 'bandwidth', String(threads), ...sets)
    .trim()
    .split('\n')
    .map((line) => line.split(' ').map(Number));
  const column = (k: number): number[] => rows.map((row) => row[k]!);
  return { read: column(0), copy: column(1), triad: column(2), update: column(3) };
}

/** Measures all limits: operations for every instruction set in use, bandwidth by the first of them. */
export function measureLimits(isas: readonly string[], threads: readonly number[]): Limits {
  const limits: Limits = { flops: {}, bandwidth: {}, absent: [] };
  try {
    for (const n of threads) {
      limits.bandwidth[n] = measureBandwidth(isas[0]!, n);
      for (const isa of isas) (limits.flops[isa] ??= {})[n] = Number(run(probe(isa), 'flops', String(n)));
    }
  } catch (error) {
    limits.absent.push(`limits: unknown (${(error as Error).message})`);
  }
  return limits;
}

/** Seconds that a look at the peak takes between two turns. */
const LOOK = 0.03;

/** GFLOP/s in registers at this moment, as clocks change; undefined where the peak is unknown. */
export function peakNow(isa: string, threads: number, limits: Limits): number | undefined {
  if (limits.flops[isa]?.[threads] === undefined) return undefined;
  return Number(run(probe(isa), 'flops', String(threads), String(LOOK)));
}

/** The value at `x` on the line through `ys` over the logarithms of the working sets. */
function between(ys: readonly number[], x: number): number {
  const at = WORKING_SETS.findIndex((set) => set >= x);
  if (at <= 0) return ys.at(at)!;
  const [low, high] = [WORKING_SETS[at - 1]!, WORKING_SETS[at]!];
  const part = Math.log(x / low) / Math.log(high / low);
  return ys[at - 1]! * (1 - part) + ys[at]! * part;
}

/** Which bandwidths a row is held to: the best of them. */
const PATTERNS = {
  read: ['read'],
  write: ['copy', 'triad'],
  update: ['copy', 'triad', 'update'],
} as const;

/** What a call of that rate could reach at most, in the rate's unit; undefined if unknown. */
export function limitOf(rate: Rate, isa: string, threads: number, limits: Limits): number | undefined {
  if (rate.unit === 'GFLOP/s') return limits.flops[isa]?.[threads];
  const bandwidth = limits.bandwidth[threads];
  if (!bandwidth) return undefined;
  return Math.max(...PATTERNS[rate.pattern].map((kind) => between(bandwidth[kind], rate.set)));
}

/** How a working set is called. */
export const sizeName = (set: number): string => (set < 1e6 ? `${set / 1024} KiB` : `${set / 1e6} MB`);

/** A line for each instruction set, and a table of bandwidths by working set. */
export function describeLimits({ flops, bandwidth, absent }: Limits): string {
  const row = (name: string, cells: readonly string[]): string =>
    `  ${name.padEnd(9)}${cells.map((cell) => cell.padStart(8)).join('')}`;
  const peaks = Object.entries(flops).map(([isa, by]) => {
    const figures = Object.entries(by).map(([n, x]) => `${x.toFixed(0)} GFLOP/s (${n}T)`);
    return `limit of ${isa}: ${figures.join(', ')}`;
  });
  const rows = Object.entries(bandwidth).flatMap(([n, { read, copy, triad, update }]) =>
    Object.entries({ read, copy, triad, update }).map(([kind, list]) =>
      row(
        `${kind} ${n}T`,
        list.map((x) => x.toPrecision(3)),
      ),
    ),
  );
  const table = rows.length > 0 ? [row('GB/s', WORKING_SETS.map(sizeName)), ...rows] : [];
  return [...absent, ...peaks, ...table].join('\n');
}
