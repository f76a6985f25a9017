// A plan as text: a program that people can read.
import { ALIGNMENT } from '../memory/heap.js';
import type { Region } from '../memory/watcher.js';
import { describe, showShape } from '../tensor/errors.js';
import type { Mould } from './arguments.js';
import {
  accesses,
  isStrips,
  launchesOf,
  ONCE,
  OUTSIDE,
  type Access,
  type Instruction,
  type Launch,
  type Span,
} from './graph.js';
import type { Plan } from './plan.js';
import type { Replayer } from './replayer.js';
import { sizesOf, trafficOf } from './traffic.js';

/** Bytes with three digits and a unit. */
export function showBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB'];
  const power = bytes < 1000 ? 0 : Math.min(3, Math.floor(Math.log10(bytes) / 3));
  return `${Number((bytes / 1000 ** power).toPrecision(3))} ${units[power]!}`;
}

function showMould(mould: Mould): string {
  switch (mould.kind) {
    case 'tensor':
      return `tensor${showShape(mould.shape)}`;
    case 'array':
      return `${(mould.make as { name: string }).name}(${mould.length})`;
    case 'numbers':
      return `numbers${showShape(mould.shape)}`;
    case 'list':
      return `[${mould.items.map(showMould).join(', ')}]`;
    case 'record':
      return `{${mould.keys.map((key, k) => `${key}: ${showMould(mould.items[k]!)}`).join(', ')}}`;
    case 'same':
      return describe(mould.value);
  }
}

/** The arguments of a call as a list between parentheses. */
const showArguments = (mould: Mould): string =>
  `(${mould.kind === 'list' ? mould.items.map(showMould).join(', ') : showMould(mould)})`;

/** Lines of text in columns: all but the last are filled up to the widest cell. */
export function columns(rows: readonly (readonly string[])[], right: readonly boolean[] = []): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, k) => (widths[k] = Math.max(widths[k] ?? 0, cell.length)));
  return rows.map((row) =>
    row
      .map((cell, k) => (right[k] ? cell.padStart(widths[k]!) : cell.padEnd(widths[k]!)))
      .join('  ')
      .trimEnd(),
  );
}

/** How a plan's memory is called. */
export class Names {
  private readonly regions: readonly Region[];

  constructor(private readonly plan: Plan) {
    this.regions = plan.trace.hosts.flatMap((host) => host.regions());
  }

  /** `%3` or `%3+64` for a buffer, `=0.5` for a constant, `@weight` or `@1f40` for memory that outlives the step. */
  of({ owner, from, to }: Span): string {
    if (owner === OUTSIDE) return `@${this.outside(from, to)}`;
    const constant = this.plan.graph.buffers[owner]?.constant;
    if (constant?.length === 1) return `=${Number(constant[0]!.toPrecision(6))}`;
    return `%${owner}${from > 0 ? `+${from}` : ''}`;
  }

  private outside(from: number, to: number): string {
    const first = this.at(from);
    if (!first) return from.toString(16);
    const last = this.at(to - 1);
    const end = last && last !== first ? `…${last.name}` : '';
    return `${first.name}${end}${first.array}${from > first.from ? `+${from - first.from}` : ''}`;
  }

  private at(address: number): Region | undefined {
    return this.regions.find(
      ({ from, bytes }) => address >= from && address < from + Math.max(bytes, ALIGNMENT),
    );
  }
}

/** The operands of a launch: what it updates stands on both sides. */
function operands(launch: Launch, names: Names): string {
  const list = accesses(launch);
  const [made, used] = [list.filter(({ writes }) => writes), list.filter(({ reads }) => reads)];
  const show = (some: readonly Access[]): string => some.map((access) => names.of(access)).join(' ');
  return `${show(made)} <- ${show(used)}`.trim();
}

/** One row of cells an instruction, more for what was fused into it. */
function instructionRows(instruction: Instruction, index: number, plan: Plan, names: Names): string[][] {
  const { read, written } = trafficOf(instruction, plan.graph);
  const bytes = `${showBytes(read)} + ${showBytes(written)}`;
  if (isStrips(instruction)) {
    const { strips, body } = instruction;
    return [
      [`${index}`, 'strips', `${strips} of ${body.length} launches`, bytes, ''],
      ...body.flatMap((strip) => [
        ['', `  ${strip.kernel}`, sizesOf(strip), '', operands(strip, names)],
        ...fusedRow(strip, plan),
      ]),
    ];
  }
  const own = [
    `${index}`,
    instruction.kernel + (instruction.part === ONCE ? ' (once)' : ''),
    sizesOf(instruction),
    bytes,
    operands(instruction, names),
  ];
  return [own, ...fusedRow(instruction, plan)];
}

/** An instruction in a sentence: kernels and sizes. */
export const describeInstruction = (instruction: Instruction): string =>
  launchesOf(instruction)
    .map((launch) => `${launch.kernel} ${sizesOf(launch)}`.trim())
    .join(' + ');

/** What a launch stands for, if that is more than itself. */
function fusedRow({ origins }: Launch, { recorded }: Plan): string[][] {
  if (origins.length < 2) return [];
  const kernels = origins.map((origin) => (recorded.instructions[origin] as Launch).kernel);
  return [['', '', '', '', `  was ${kernels.join(', ')}`]];
}

/** Where the values of buffers come from that are filled before a run. */
function stagedLines({ graph, memory }: Plan): string[] {
  const lines = graph.buffers.flatMap(({ source, constant, bytes }, k) => {
    if (memory.offsets[k]! < 0) return [];
    if (source?.from === 'input') return [`%${k} argument ${source.input}`];
    if (source)
      return [`%${k} ${source.from === 'live' ? 'anew each time' : 'an array held by the function'}`];
    return constant && constant.length > 1 ? [`%${k} constants, ${showBytes(bytes)}`] : [];
  });
  return lines.length > 0 ? [`filled before: ${lines.join('; ')}`] : [];
}

/** The program of one plan. */
export function printPlan(plan: Plan): string {
  const { recorded, graph, memory } = plan;
  const [before, now] = [recorded.instructions.length, graph.instructions.length];
  const names = new Names(plan);
  const last = Math.max(...graph.instructions.map(({ part }) => part));
  const starts = new Set(
    Array.from({ length: last }, (_, k) => graph.instructions.findIndex(({ part }) => part === k + 1)),
  );
  const rows = graph.instructions.flatMap((instruction, index) => {
    const own = instructionRows(instruction, index, plan, names);
    // Between two parts JavaScript decides whether and how to go on.
    return starts.has(index) ? [['', 'decision'], ...own] : own;
  });
  return [
    `${showArguments(plan.mould)} on ${plan.engine}: ${before} launches recorded, ${now} instructions after the passes; ` +
      `${showBytes(memory.bytes)} of memory for ${showBytes(memory.apart)} of buffers`,
    ...stagedLines(plan),
    ...columns([['', 'kernel', 'sizes', 'read + written', 'to <- from'], ...rows], [true]),
  ].join('\n');
}

/** Why there is no plan to show, or null. */
export function noPlan({ eager, plans }: Replayer): string | null {
  if (eager !== null) return `every call stays eager: ${eager}`;
  return plans.length > 0 ? null : 'no plan yet: two calls with equal shapes make one';
}

/** All plans, the one used last first. */
export const printPlans = (replayer: Replayer): string =>
  noPlan(replayer) ?? replayer.plans.map(printPlan).reverse().join('\n\n');
