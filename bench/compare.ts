// This run against an older one that `--json` wrote: how many times as fast each row is now.
import { readFileSync } from 'node:fs';
import type { Result } from './runner.js';

export interface Change {
  work: string;
  side: string;
  peer: boolean;
  /** Times as fast as before. */
  ratio: number;
  /** Larger than both margins of error together. */
  certain: boolean;
}

/** What both runs timed. */
export function changes(old: readonly Result[], now: readonly Result[]): Change[] {
  const before = new Map(old.map((r) => [`${r.work}|${r.side}`, r]));
  return now.flatMap((r) => {
    const then = before.get(`${r.work}|${r.side}`);
    if (!then) return [];
    const ratio = then.median / r.median;
    const certain = Math.abs(Math.log(ratio)) > Math.log1p(then.margin + r.margin);
    return [{ work: r.work, side: r.side, peer: r.peer, ratio, certain }];
  });
}

export const geometricMean = (list: readonly number[]): number =>
  Math.exp(list.reduce((sum, x) => sum + Math.log(x), 0) / list.length);

const times = (x: number): string => `${x.toFixed(2)}×`;

/** A line for each change; the last lines say what changed on the whole, and what the peers say of the machine. */
export function describeChanges(list: readonly Change[]): string {
  if (list.length === 0) return 'Nothing to compare: the older run has none of these rows.';
  const lines = list.map(({ work, side, ratio, certain }) => {
    const mark = certain ? (ratio > 1 ? 'faster' : 'SLOWER') : '';
    return `${work.padEnd(36)}  ${side.padEnd(19)}  ${times(ratio).padStart(7)}  ${mark}`.trimEnd();
  });
  const mean = (peer: boolean): string => {
    const some = list.filter((change) => change.peer === peer);
    return some.length > 0 ? times(geometricMean(some.map(({ ratio }) => ratio))) : 'not in both runs';
  };
  const count = (test: (change: Change) => boolean): number =>
    list.filter((change) => change.certain && !change.peer && test(change)).length;
  return [
    'Times as fast as in the older run; marked where that is more than both margins of error together:',
    ...lines,
    `This library: ${mean(false)} on average (geometric), ` +
      `${count(({ ratio }) => ratio > 1)} rows faster, ${count(({ ratio }) => ratio < 1)} slower. ` +
      `Peers, which tell how the machine changed: ${mean(true)}.`,
  ].join('\n');
}

/** The figures in a file that `--json` wrote. */
export function readResults(file: string): Result[] {
  const { results } = JSON.parse(readFileSync(file, 'utf8')) as { results?: Result[] };
  if (!Array.isArray(results)) throw new Error(`${file} has no figures; write it with --json`);
  return results;
}
