// The check of replays (THALWEG_REPLAY=check): a call that a plan would serve runs eagerly, and the plan's program runs
// beside it on the same memory as before. Every byte that outlives the call and every result must come out alike; the
// eager ones stay. Where they differ, the first kernel is found whose output does.
import type { Scope } from '../memory/arena.js';
import type { Storage } from '../memory/storage.js';
import { watched } from '../memory/watcher.js';
import { backend } from '../kernels/launch.js';
import { valuesOf, type Input } from './arguments.js';
import {
  accesses,
  launchesOf,
  overlap,
  OUTSIDE,
  WIDTH,
  type Access,
  type Graph,
  type Instruction,
  type Span,
} from './graph.js';
import { put, type Plan, type Staged } from './plan.js';
import { describeInstruction, Names } from './print.js';
import { programOf } from './program.js';
import { Recorder } from './recorder.js';
import { Snapshot, wordsAt, writtenOutside } from './snapshot.js';
import { difference, Pairs } from './trace.js';
import { everyLaunch, type Range } from './traffic.js';

/** How far a plan with inexact passes may be off, as a part of the largest magnitude of what is compared. */
const TOLERANCE = 1e-5;

/** What outlives the call, before and after the eager launches of one part. */
interface Part {
  readonly before: Snapshot;
  after: Snapshot | null;
}

export class Auditor extends Recorder {
  /** What the eager call did otherwise than the recording, or null. */
  differs: string | null = null;
  private readonly parts: Part[] = [];
  /** The values of buffers as the eager call was given them. */
  private readonly given = new Map<number, ArrayLike<number>>();
  /** The buffers of the plan's recording, and those of this one. */
  private readonly pairs = new Pairs();
  /** Buffers of the plan that are filled. */
  private readonly filled = new Set<number>();
  private readonly ranges: readonly Range[];
  private readonly names: Names;
  private readonly tolerance: number;

  constructor(
    private readonly inputs: readonly Input[],
    scope: Scope,
    private readonly plan: Plan,
    private readonly where: string,
  ) {
    super(inputs, scope);
    // All that the eager call computes is there to be compared.
    scope.hoards = true;
    this.ranges = writtenOutside(plan.recorded, plan.graph);
    this.names = new Names(plan);
    const inexact = plan.graph.instructions.flatMap(launchesOf).some((launch) => launch.inexact);
    this.tolerance = inexact ? TOLERANCE : 0;
    this.open();
  }

  override staged(storage: Storage, offset: number, bytes: number): void {
    super.staged(storage, offset, bytes);
    const buffer = this.placeOf(offset)!.buffer;
    if (!this.given.has(buffer)) this.given.set(buffer, storage.peek().slice());
  }

  override between(decide: () => boolean): boolean {
    this.close();
    const goes = super.between(decide);
    if (goes) this.open();
    return goes;
  }

  /**
   * To be called after the eager call, while its memory still stands.
   * @throws Error that names the first kernel whose output differs
   */
  finish(): void {
    if (!this.cut) this.close();
  }

  private open(): void {
    this.parts.push({ before: new Snapshot(this.ranges), after: null });
  }

  /** Compares the part that ended. */
  private close(): void {
    if (this.refusal !== null || this.differs !== null) return;
    this.differs = difference(this.plan.trace, this, this.pairs, this.part);
    if (this.differs !== null) return;
    const now = this.parts[this.part]!;
    const after = (now.after = new Snapshot(this.ranges));
    watched(null, () => {
      try {
        now.before.restore();
        const wrong = this.fill() ?? (this.plan.program.run(this.part), this.results(after));
        if (wrong !== null)
          throw new Error(`${this.where}: a replay differs from the eager call: ${this.culprit() ?? wrong}`);
      } finally {
        after.restore();
      }
    });
  }

  /** Fills the plan's buffers, each once; says if one gets other values than the eager call was given. */
  private fill(): string | null {
    for (const staged of this.plan.staged) {
      const { buffer, int, at } = staged;
      const given = this.given.get(this.pairs.of(buffer));
      const values = staged.source.from === 'live' ? given : this.own(staged);
      // What no launch has asked for yet belongs to a later part.
      if (!values || this.filled.has(buffer)) continue;
      this.filled.add(buffer);
      put(int, values, at);
      if (given && Array.from(values).some((v, k) => !Object.is(v, given[k])))
        return `%${buffer} is filled with other values`;
    }
    return null;
  }

  private own({ source }: Staged): ArrayLike<number> {
    const value =
      source.from === 'input' ? source.value(valuesOf(this.inputs[source.input]!)) : source.value();
    return value as ArrayLike<number>;
  }

  /** The first difference in what outlives the part, or null. */
  private results(after: Snapshot): string | null {
    for (const range of this.ranges) {
      const wrong = this.deviation(wordsAt(range), after.words(range));
      if (wrong) return `${this.names.of({ owner: OUTSIDE, ...range })} ${wrong}`;
    }
    for (const [{ length }, { buffer, delta }] of this.plan.trace.kept) {
      const range = { from: delta, to: delta + length * WIDTH };
      const eager = this.eagerWords(buffer, range, this.part);
      const wrong = eager && this.deviation(words(this.plan.address(buffer, delta), length * WIDTH), eager);
      if (wrong) return `the result %${buffer} ${wrong}`;
    }
    return null;
  }

  /** Runs the program again, one instruction at a time, until an output is not what the eager call left. */
  private culprit(): string | null {
    const { plan } = this;
    const { instructions } = plan.graph;
    const single = instructions.map((instruction, part) => ({ ...instruction, part }));
    const program = programOf({ ...plan.graph, instructions: single }, plan.address, backend.threads);
    try {
      this.filled.clear();
      for (let part = 0; part <= this.part; part++) {
        this.parts[part]!.before.restore();
        this.fill();
        for (const [k, instruction] of instructions.entries()) {
          if (Math.max(0, instruction.part) !== part) continue;
          program.run(k);
          const wrong = this.output(k);
          if (wrong !== null) return `instruction ${k}, ${describeInstruction(instruction)}: ${wrong}`;
        }
      }
      return null;
    } finally {
      program.release();
    }
  }

  /** The first difference in what instruction `at` wrote just now, as far as that stands in the end on both sides. */
  private output(at: number): string | null {
    const { graph } = this.plan;
    const { part } = graph.instructions[at]!;
    for (const range of this.duties(at)) {
      const { owner, from, to } = range;
      if (this.overwritten(graph, at, range)) continue;
      const eager = this.eagerWords(owner, range, part);
      const wrong = eager && this.deviation(words(this.plan.address(owner, from), to - from), eager);
      if (wrong) return `${this.names.of(range)} ${wrong}`;
    }
    return null;
  }

  /** What instruction `at` should have written: all that its launches did, and its share of what absorbed ones did. */
  private duties(at: number): Span[] {
    const { graph } = this.plan;
    const writes = writesOf(graph.instructions[at]!);
    const own = launchesOf(graph.instructions[at]!)
      .flatMap(({ origins }) => origins.flatMap((origin) => this.standing(origin)))
      .filter(({ owner }) => writes.some((write) => write.owner === owner));
    const others = this.absorbed().flatMap((origin) => this.standing(origin));
    const shares = writes.flatMap((write) =>
      others
        .filter((other) => overlap(write, other))
        .map(({ owner, from, to }) => ({
          owner,
          from: Math.max(from, write.from),
          to: Math.min(to, write.to),
        })),
    );
    return [...own, ...shares];
  }

  /** What a recorded launch wrote and no later one wrote again. */
  private standing(origin: number): Access[] {
    const { recorded } = this.plan;
    return writesOf(recorded.instructions[origin]!).filter(
      (write) => !this.overwritten(recorded, origin, write),
    );
  }

  /** Recorded launches, copies mostly, that no instruction stands for: others write to their place at once. */
  private absorbed(): number[] {
    const alive = new Set(this.plan.graph.instructions.flatMap(launchesOf).flatMap(({ origins }) => origins));
    return this.plan.recorded.instructions.flatMap((_, k) => (alive.has(k) ? [] : [k]));
  }

  /** Whether a later instruction that has run by now writes to a range again. */
  private overwritten({ instructions }: Graph, after: number, range: Span): boolean {
    const { part } = instructions[after]!;
    return instructions.some(
      (later, k) =>
        k > after &&
        later.part <= this.part &&
        // Each part has its own picture of what outlives the call.
        (range.owner !== OUTSIDE || later.part === part) &&
        writesOf(later).some(
          (write) => write.owner === range.owner && write.from < range.to && range.from < write.to,
        ),
    );
  }

  /** What the eager call left; null where other memory took its place. */
  private eagerWords(owner: number, range: Range, part: number): Uint32Array | null {
    if (owner === OUTSIDE) return this.parts[part]!.after!.words(range);
    const at = this.addressOf(this.pairs.of(owner));
    return at < 0 ? null : words(at + range.from, range.to - range.from);
  }

  /** How values differ, as the end of a sentence; null if they do not. Bits count, except those of a NaN. */
  private deviation(now: Uint32Array, eager: Uint32Array): string | null {
    const [x, y] = [now, eager].map(
      (bits) => new Float32Array(bits.buffer, bits.byteOffset, bits.length),
    ) as [Float32Array, Float32Array];
    let bound = 0;
    if (this.tolerance > 0)
      for (const v of y) if (Math.abs(v) < Infinity) bound = Math.max(bound, Math.abs(v));
    bound *= this.tolerance;
    let [first, count] = [-1, 0];
    for (let k = 0; k < now.length; k++) {
      if (now[k] === eager[k] || (x[k] !== x[k] && y[k] !== y[k])) continue;
      if (bound > 0 && Math.abs(x[k]! - y[k]!) <= bound) continue;
      if (count++ === 0) first = k;
    }
    if (count === 0) return null;
    return `is ${x[first]} at element ${first}, the eager one ${y[first]} (${count} of ${now.length} differ)`;
  }
}

const words = (at: number, bytes: number): Uint32Array => wordsAt({ from: at, to: at + bytes });
const writesOf = (instruction: Instruction): Access[] =>
  everyLaunch(instruction)
    .flatMap(accesses)
    .filter(({ writes }) => writes);
