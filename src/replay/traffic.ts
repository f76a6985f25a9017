// What instructions compute and move, for people: every figure comes from the kernels' rows.
import { isPointer } from '../kernels/row.js';
import { table } from '../kernels/table.js';
import { accesses, isStrips, numbersOf, type Access, type Graph, type Launch, type Strips } from './graph.js';

/** Bytes `from … to`. */
export interface Range {
  readonly from: number;
  readonly to: number;
}

export interface Traffic {
  /** Bytes. */
  readonly read: number;
  readonly written: number;
  /** Bytes of all memory that is touched. */
  readonly set: number;
}

/** Ranges in order, those that meet joined. */
export function joined(ranges: readonly Range[]): Range[] {
  const out: { from: number; to: number }[] = [];
  for (const { from, to } of [...ranges].sort((a, b) => a.from - b.from)) {
    const last = out.at(-1);
    if (last && from <= last.to) last.to = Math.max(last.to, to);
    else if (to > from) out.push({ from, to });
  }
  return out;
}

/** The launches that an instruction comes to, strip by strip. */
export function everyLaunch(instruction: Launch | Strips): readonly Launch[] {
  if (!isStrips(instruction)) return [instruction];
  const { strips, body } = instruction;
  return Array.from({ length: strips }, (_, k) =>
    body.map((strip): Launch => {
      const args = k < strips - 1 ? strip.args : strip.last;
      return { ...strip, args: args.map((arg, a) => arg + k * strip.steps[a]!) };
    }),
  ).flat();
}

/** Bytes that an instruction moves; what lives inside its strips only stays in the cache and is not counted. */
export function trafficOf(instruction: Launch | Strips, { buffers }: Graph): Traffic {
  const byOwner = new Map<number, Access[]>();
  for (const access of everyLaunch(instruction).flatMap(accesses))
    if (buffers[access.owner]?.local === undefined)
      byOwner.set(access.owner, [...(byOwner.get(access.owner) ?? []), access]);
  const bytes = (which: (access: Access) => boolean): number =>
    [...byOwner.values()]
      .flatMap((list) => joined(list.filter(which)))
      .reduce((sum, { from, to }) => sum + to - from, 0);
  return {
    read: bytes(({ reads }) => reads),
    written: bytes(({ writes }) => writes),
    set: bytes(() => true),
  };
}

/** Floating-point operations of an instruction, 0 where only its bytes count. */
export const flopsOf = (instruction: Launch | Strips): number =>
  everyLaunch(instruction).reduce(
    (sum, launch) => sum + (table[launch.kernel].flops?.(...numbersOf(launch)) ?? 0),
    0,
  );

/** The sizes of a launch, as its row says them. */
export function sizesOf(launch: Launch): string {
  const { sig, label } = table[launch.kernel];
  const numbers = numbersOf(launch);
  if (!label) {
    const those = (letter: string): number[] => launch.args.filter((_, k) => sig[k] === letter);
    const scalars = those('s').map((x) => Number(x.toPrecision(4)));
    return [those('n').join('x'), ...scalars].join(' ');
  }
  const pointers = launch.args.flatMap((arg, k) =>
    isPointer(sig[k]!) ? [{ arg, owner: launch.owners[k]! }] : [],
  );
  return label(
    numbers,
    pointers.map(({ arg, owner }) => owner >= 0 || arg !== 0),
  );
}
