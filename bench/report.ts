// The report: the machine, a table with raw figures and ratios of one run, and a word on how far to trust it.
import os from 'node:os';
import { backend } from '#thalweg/kernels/launch';
import { limitOf, type Limits } from './limits.js';
import type { Result, Work } from './runner.js';

/** Above this margin a figure says more of the machine's other work than of ours. */
export const NOISY = 0.1;

export interface Machine {
  cpu: string;
  cores: number;
  memoryGiB: number;
  system: string;
  node: string;
  isa: string;
  load: number[];
  date: string;
}

export function machine(): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryGiB: Math.round(os.totalmem() / 2 ** 30),
    system: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    isa: backend.info().isa,
    load: os.loadavg().map((x) => Number(x.toFixed(2))),
    date: new Date().toISOString(),
  };
}

export function describeMachine(m: Machine): string {
  return (
    `${m.cpu}, ${m.cores} cores, ${m.memoryGiB} GiB, ${m.system}, Node ${m.node.slice(1)}, native kernels: ${m.isa}\n` +
    `load average ${m.load.join(' ')}${m.load[0]! > 0.5 ? ' (another program is at work: expect noise)' : ''}`
  );
}

const UNITS = [
  [1, 's'],
  [1e-3, 'ms'],
  [1e-6, 'µs'],
  [1e-9, 'ns'],
] as const;

const digits = (x: number): string => (x >= 1000 ? x.toFixed(0) : x.toPrecision(3));

export function showTime(seconds: number): string {
  const [scale, unit] = UNITS.find(([s]) => seconds >= s) ?? UNITS[3];
  return `${digits(seconds / scale)} ${unit}`;
}

/** The fastest peer with that many threads. */
export const bestPeer = ({ threads }: Result, all: readonly Result[]): Result | undefined =>
  all.filter((r) => r.peer && r.threads === threads).sort((a, b) => a.median - b.median)[0];

/** How many times as fast as the fastest peer with that many threads; without one, as the first side. */
export function ratio(result: Result, all: readonly Result[]): string {
  const base = bestPeer(result, all) ?? all[0]!;
  if (base === result) return '1';
  return `${digits(base.median / result.median)} × ${base.side}`;
}

/** The rate, and its part of what the machine can do at most. */
export function rateOf(
  { rate }: Work,
  { median, isa, threads, peak }: Result,
  limits: Limits,
): [string, string] {
  if (!rate) return ['', ''];
  const reached = rate.amount / median;
  const limit = peak ?? limitOf(rate, isa, threads, limits);
  return [`${digits(reached)} ${rate.unit}`, limit ? `${((100 * reached) / limit).toFixed(0)}%` : ''];
}

const HEAD = ['work', 'side', 'time', 'rate', '% limit', 'per', '±', 'speed'];
const WIDTH = [43, 23, 8, 12, 7, 14, 5, 0];
const line = (cells: readonly string[]): string =>
  cells.map((cell, k) => (k < 2 ? cell.padEnd(WIDTH[k]!) : cell.padStart(WIDTH[k]!))).join('  ');

export const head = (): string => line(HEAD);

/** The lines of one work: a side each. */
export function lines(work: Work, results: readonly Result[], limits: Limits): string {
  return results
    .map((r, k) =>
      line([
        k === 0 ? work.name : '',
        r.side,
        showTime(r.median),
        ...rateOf(work, r, limits),
        work.per ? `${digits((r.median * 1e9) / work.per.count)} ${work.per.unit}` : '',
        `${(r.margin * 100).toFixed(0)}%${r.margin > NOISY ? '!' : ''}`,
        ratio(r, results),
      ]),
    )
    .join('\n');
}

/** Says how many figures were too noisy. */
export function verdict(results: readonly Result[]): string {
  const noisy = results.filter((r) => r.margin > NOISY);
  const load = os.loadavg()[0]!.toFixed(2);
  if (noisy.length === 0)
    return `All margins of error are within ${NOISY * 100} %. Load average at the end ${load}.`;
  return (
    `The machine was too noisy for ${noisy.length} of ${results.length} figures (margin of error above ${NOISY * 100} %, ` +
    `marked !): do not trust them, nor the ratios they are in. Load average at the end ${load}.`
  );
}
