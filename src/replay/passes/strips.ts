// Neighbouring cheap launches run strip by strip, so that what one writes is read by the next from the first-level cache:
// pointwise kernels with their broadcasts, reductions along rows, copies, whatever mostly reads and writes. A strip is a part
// of the very same calls, cut where their rows say that cuts change no bit.
import { backend } from '../../kernels/launch.js';
import { isPointer, type Cut } from '../../kernels/row.js';
import { table, type KernelName } from '../../kernels/table.js';
import { ALIGNMENT } from '../../memory/heap.js';
import {
  accesses,
  numbersOf,
  overlap,
  WIDTH,
  type Buffer,
  type Graph,
  type Launch,
  type Strip,
} from '../graph.js';
import type { Draft, Single } from '../uses.js';

/** Bytes of all arrays of a strip together: they share a first-level cache of 32 KiB or more with the stack. */
const L1 = 24 * 1024;
/** Bytes of all arrays of a group from which strips pay: less than that stays in the second-level cache anyway. */
const WORTH = 1 << 20;
/** Launches that a group may be hoisted over. */
const REACH = 6;

/** A launch and its place in the draft. */
interface Placed {
  readonly at: number;
  readonly launch: Single;
}

/** A launch that can be cut: `units` of it, and what each pointer moves by from unit to unit, in bytes. */
interface Member extends Placed {
  readonly cut: Cut;
  readonly units: number;
  readonly moves: readonly number[];
}

function memberOf(launch: Single, at: number): Member | null {
  const { sig, split, flops } = table[launch.kernel as KernelName];
  // Where the time goes into arithmetic, arrays in the cache save none of it, and small parts cost some.
  if (!split || flops) return null;
  const cut = split.cut(numbersOf(launch));
  if (cut === null || cut === 'inside') return null;
  let pointer = 0;
  const moves = launch.args.map((_, k) => (isPointer(sig[k]!) ? cut.steps[pointer++]! * WIDTH : 0));
  return { at, launch, cut, units: cut.numbers[cut.at]!, moves };
}

const gcd = (a: number, b: number): number => (b === 0 ? a : gcd(b, a % b));

/** Launches that may run together, as they are collected. */
class Group {
  readonly members: Member[] = [];
  /** Launches in between that stay outside, and run after the group. */
  readonly passed: Placed[] = [];
  /** Rows that all members have in common. */
  rows = 0;

  /** Takes a launch in if it fits and nothing that was passed over stands in its way. */
  take(member: Member): boolean {
    const rows = gcd(member.units, this.rows);
    if (this.members.length > 0 && (rows < 2 || !this.shares(member) || this.blocked(member.launch)))
      return false;
    if (member.units < 2) return false;
    const all = [...this.members, member];
    if (!all.every((one) => agrees(one, all, rows))) return false;
    this.members.push(member);
    this.rows = rows;
    return true;
  }

  private shares({ launch }: Member): boolean {
    const own = accesses(launch);
    return this.members.some((other) => accesses(other.launch).some((a) => own.some((b) => overlap(a, b))));
  }

  private blocked(launch: Launch): boolean {
    const own = accesses(launch);
    return this.passed.some((other) =>
      accesses(other.launch).some((a) => own.some((b) => (a.writes || b.writes) && overlap(a, b))),
    );
  }
}

/** Whether all members that touch what `one` writes see it in the same rows. */
function agrees(one: Member, all: readonly Member[], rows: number): boolean {
  const perRow = (m: Member, arg: number): number => (m.moves[arg]! * m.units) / rows;
  return accesses(one.launch).every((a) => {
    if (!a.writes) return true;
    const step = perRow(one, a.arg);
    if (step * rows < a.to - a.from) return false;
    return all.every((other) =>
      accesses(other.launch).every(
        (b) => !overlap(a, b) || (b.from === a.from && perRow(other, b.arg) === step),
      ),
    );
  });
}

export function cutStrips(draft: Draft): Graph {
  const { graph } = draft;
  const buffers = graph.buffers.slice();
  const instructions: Graph['instructions'][number][] = [];
  let group = new Group();
  const close = (): void => {
    const { members, passed } = group;
    const strips = members.length > 1 ? stripsOf(group, draft, buffers) : null;
    const rest: Placed[] = strips ? passed : [...members, ...passed].sort((a, b) => a.at - b.at);
    if (strips) instructions.push(strips);
    for (let k = 0; k < rest.length; k++) instructions.push(rest[k]!.launch);
    group = new Group();
  };
  draft.launches.forEach((launch, at) => {
    if (!launch) return;
    const part = group.members[0]?.launch.part ?? launch.part;
    const member = memberOf(launch, at);
    if (launch.part === part && member && group.take(member)) return;
    if (group.members.length === 0) return void instructions.push(launch);
    if (launch.part === part && !member && group.passed.length < REACH)
      return void group.passed.push({ at, launch });
    close();
    if (!member || !group.take(member)) instructions.push(launch);
  });
  close();
  return { ...graph, instructions, buffers };
}

/** The group as strips, or null where a strip would be the whole of it. Buffers that live inside only become strip-long. */
function stripsOf(
  { members, rows }: Group,
  draft: Draft,
  buffers: Buffer[],
): Graph['instructions'][number] | null {
  const perRow = new Map<string, number>();
  let grain = 1;
  for (const { launch, cut, units, moves } of members) {
    const each = units / rows;
    // A strip of whole grains of every member: cuts fall where the row wants them.
    const least = cut.grain / gcd(cut.grain, each);
    grain = (grain * least) / gcd(grain, least);
    for (const { owner, from, arg } of accesses(launch)) perRow.set(`${owner} ${from}`, moves[arg]! * each);
  }
  const bytes = [...perRow.values()].reduce((sum, n) => sum + n, 0);
  const height = Math.max(grain, Math.floor(L1 / bytes / grain) * grain);
  const strips = Math.ceil(rows / height);
  if (strips < 2 || rows * bytes < WORTH) return null;
  const inside = new Set(members.map(({ at }) => at));
  const local = new Map<number, number>();
  for (const { launch, units, moves } of members)
    for (const { owner, from, arg, writes } of accesses(launch)) {
      const own = draft.of(owner);
      if (!writes || from !== 0 || !draft.isInner(owner) || !own.every((use) => inside.has(use.at))) continue;
      local.set(owner, ((moves[arg]! * units) / rows) * height);
    }
  for (const [owner, size] of local) {
    const each = Math.ceil(size / ALIGNMENT) * ALIGNMENT;
    buffers[owner] = { ...buffers[owner]!, bytes: each * backend.threads, local: each };
  }
  const body = members.map((member) => stripOf(member, rows, height, strips, local));
  return { part: members[0]!.launch.part, strips, body };
}

function stripOf(
  { launch, cut, units, moves }: Member,
  rows: number,
  height: number,
  strips: number,
  local: ReadonlyMap<number, number>,
): Strip {
  const each = units / rows;
  const { sig } = table[launch.kernel];
  const withUnits = (n: number): number[] => {
    const numbers = cut.numbers.slice();
    numbers[cut.at] = n;
    let k = 0;
    return launch.args.map((arg, a) => (isPointer(sig[a]!) ? arg : numbers[k++]!));
  };
  const steps = moves.map((move, arg) => (local.has(launch.owners[arg]!) ? 0 : move * each * height));
  return {
    ...launch,
    args: withUnits(each * height),
    last: withUnits(each * (rows - (strips - 1) * height)),
    steps,
  };
}
