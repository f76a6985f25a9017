// Where the time of a plan goes: its program is run for time on made-up values, and everything that it changes outside
// its own memory is put back. That is no step: nothing is counted.
import { heap } from '../memory/heap.js';
import { checkNumber, checkOptions } from '../tensor/errors.js';
import { isStrips, ONCE, type Instruction } from './graph.js';
import { limitsNow, type Limits } from './limits.js';
import type { Plan } from './plan.js';
import { columns, noPlan } from './print.js';
import type { Replayer } from './replayer.js';
import { Snapshot, writtenOutside } from './snapshot.js';
import { flopsOf, sizesOf, trafficOf } from './traffic.js';

export interface ProfileOptions {
  /** Timed runs; the median of each instruction counts. Default 20. */
  repeats?: number;
}

/** Calls of one kernel with equal sizes. */
export interface ProfileRow {
  readonly kernel: string;
  readonly sizes: string;
  /** In one run. */
  readonly calls: number;
  /** Of all these calls in one run. */
  readonly microseconds: number;
  /** Percent of a run. */
  readonly share: number;
  readonly rate: number;
  readonly unit: 'GFLOP/s' | 'GB/s';
  /** What the rate is of the machine's limit. */
  readonly percent: number;
}

export interface Profile {
  /** Most expensive first. */
  readonly rows: readonly ProfileRow[];
  /** Of one run. */
  readonly microseconds: number;
  readonly repeats: number;
  /** The table as text. */
  toString(): string;
}

/** Instructions of one row. */
interface Group {
  readonly kernel: string;
  readonly sizes: string;
  calls: number;
  seconds: number;
  flops: number;
  moved: number;
  /** Seconds that the limit would take. */
  ideal: number;
}

/** Values for buffers that are filled before a run: index 0, which every gather has, and reals in (0, 1). */
function fillStaged(plan: Plan): void {
  for (const { int, at, length } of plan.staged) {
    if (int) heap.i32.fill(0, at / 4, at / 4 + length);
    // The golden ratio's multiples: spread evenly, the same in every run.
    else for (let k = 0; k < length; k++) heap.f32[at / 4 + k] = ((k + 1) * 0.6180339887498949) % 1;
  }
}

/** Nanoseconds of each instruction in each of some runs, after one that does not count. */
function timed(plan: Plan, repeats: number): Float64Array[] {
  const { instructions } = plan.graph;
  const parts = new Set(instructions.map(({ part }) => part).filter((part) => part !== ONCE));
  const before = new Snapshot(writtenOutside(plan.graph));
  try {
    return Array.from({ length: repeats + 1 }, () => {
      before.restore();
      fillStaged(plan);
      const run = new Float64Array(instructions.length);
      for (const part of parts) plan.program.time(part, run);
      return run;
    }).slice(1);
  } finally {
    before.restore();
  }
}

function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

const nameOf = (instruction: Instruction): [kernel: string, sizes: string] =>
  isStrips(instruction)
    ? [instruction.body.map(({ kernel }) => kernel).join('+'), `${instruction.strips} strips`]
    : [instruction.kernel, sizesOf(instruction)];

function group(plan: Plan, runs: readonly Float64Array[], limits: Limits): Group[] {
  const groups = new Map<string, Group>();
  plan.graph.instructions.forEach((instruction, k) => {
    if (instruction.part === ONCE) return;
    const [kernel, sizes] = nameOf(instruction);
    const key = `${kernel} ${sizes}`;
    const into = groups.get(key) ?? { kernel, sizes, calls: 0, seconds: 0, flops: 0, moved: 0, ideal: 0 };
    groups.set(key, into);
    const flops = flopsOf(instruction);
    const { read, written, set } = trafficOf(instruction, plan.graph);
    into.calls++;
    into.seconds += median(runs.map((run) => run[k]!)) / 1e9;
    into.flops += flops;
    into.moved += read + written;
    into.ideal += flops > 0 ? flops / limits.product / 1e9 : (read + written) / limits.stream(set) / 1e9;
  });
  return [...groups.values()].sort((a, b) => b.seconds - a.seconds);
}

function rowOf(from: Group, total: number): ProfileRow {
  const { kernel, sizes, calls, seconds, flops, moved, ideal } = from;
  const amount = flops > 0 ? flops : moved;
  // A clock may tick too seldom for an empty kernel.
  const per = (x: number): number => (seconds > 0 ? x / seconds : 0);
  return {
    kernel,
    sizes,
    calls,
    microseconds: seconds * 1e6,
    share: total > 0 ? (100 * seconds) / total : 0,
    rate: per(amount) / 1e9,
    unit: flops > 0 ? 'GFLOP/s' : 'GB/s',
    percent: 100 * per(ideal),
  };
}

function tableOf(rows: readonly ProfileRow[], microseconds: number, foot: readonly string[]): string {
  const head = ['kernel', 'sizes', 'calls', 'us', 'share', 'rate', '', 'of limit'];
  const cells = rows.map((row) => [
    row.kernel,
    row.sizes,
    `${row.calls}`,
    row.microseconds.toFixed(1),
    `${row.share.toFixed(1)}%`,
    row.rate.toPrecision(3),
    row.unit,
    `${row.percent.toFixed(0)}%`,
  ]);
  const calls = rows.reduce((sum, row) => sum + row.calls, 0);
  const total = ['total', '', `${calls}`, microseconds.toFixed(1), '100.0%', '', '', ''];
  const right = [false, false, true, true, true, true, false, true];
  return [...columns([head, ...cells, total], right), ...foot].join('\n');
}

/** The time of a plan's instructions by kernel and sizes. */
export function profilePlan(plan: Plan, repeats: number): Profile {
  const limits = limitsNow();
  const groups = group(plan, timed(plan, repeats), limits);
  const seconds = groups.reduce((sum, one) => sum + one.seconds, 0);
  const rows = groups.map((one) => rowOf(one, seconds));
  const microseconds = seconds * 1e6;
  const foot = [
    `median of ${repeats} run${repeats === 1 ? '' : 's'} on made-up values, ${plan.engine}`,
    `limit: this engine's own best product (${limits.product.toPrecision(3)} GFLOP/s) and stream of that many bytes ` +
      `(${limits.stream(0).toPrecision(3)} GB/s in cache, ${limits.stream(Infinity).toPrecision(3)} GB/s in memory)`,
  ];
  return { rows, microseconds, repeats, toString: () => tableOf(rows, microseconds, foot) };
}

/** The profile of the plan that was used last. */
export function profileOf(where: string, replayer: Replayer, options: ProfileOptions = {}): Profile {
  checkOptions(where, options, ['repeats']);
  const repeats = checkNumber(where, 'repeats', options.repeats ?? 20, { min: 1, integer: true });
  const none = noPlan(replayer);
  if (none !== null) throw new Error(`${where}: ${none}`);
  return profilePlan(replayer.plans.at(-1)!, repeats);
}
