// A plan: a recorded call, made fit for running again and again. It owns the memory of everything in between.
import type { Scope } from '../memory/arena.js';
import { heap } from '../memory/heap.js';
import { Storage } from '../memory/storage.js';
import { backend } from '../kernels/launch.js';
import type { Tensor } from '../tensor/tensor.js';
import { fits, valuesOf, type Input, type Mould } from './arguments.js';
import { ONCE, OUTSIDE, WIDTH, type Graph } from './graph.js';
import { planMemory, type MemoryPlan } from './memory.js';
import { optimise } from './passes/index.js';
import { programOf, type Program } from './program.js';
import type { Recorder, Source } from './recorder.js';
import { guardsOf, holds, type GuardLists } from './trace.js';

/** A buffer that is filled from outside before a run. */
export interface Staged<From extends Source['from'] = Source['from']> {
  readonly buffer: number;
  readonly source: Source & { readonly from: From };
  readonly int: boolean;
  readonly length: number;
  /** Byte offset in the heap. */
  readonly at: number;
}

export class Plan {
  /** Calls that this plan could have served. */
  calls = 0;
  readonly graph: Graph;
  readonly memory: MemoryPlan;
  readonly program: Program;
  /** What runs it. */
  readonly engine: string;
  readonly staged: readonly Staged[];
  private readonly block: Storage;
  private borrower: Scope | null = null;
  private readonly guards: GuardLists;
  /** Arguments, and the rest. */
  private readonly given: readonly Staged<'input'>[];
  private readonly drawn: readonly Staged<'live' | 'held'>[];
  /** Parameters, and the gradients that the first part computes. */
  private readonly leaves: readonly Tensor[];
  private readonly grads: readonly Tensor[];
  private readonly changes: readonly Storage[];
  private readonly reader = (storage: Storage): ArrayLike<number> => this.read(storage);

  /**
   * `recorded` is the graph of `trace`, before any pass; `off` names passes to leave out.
   */
  constructor(
    readonly mould: Mould,
    readonly phase: string,
    readonly trace: Recorder,
    readonly recorded: Graph,
    off: ReadonlySet<string>,
  ) {
    this.graph = optimise(recorded, off);
    this.memory = planMemory(this.graph);
    this.block = Storage.onHeap(Math.max(1, this.memory.bytes / WIDTH));
    this.program = programOf(this.graph, this.address, backend.threads);
    const { name, isa, threads } = backend.info();
    this.engine = `${name} ${isa}, ${threads} thread${threads === 1 ? '' : 's'}`;
    this.staged = this.graph.buffers.flatMap(({ source, int, bytes }, k) =>
      source && this.memory.offsets[k]! >= 0
        ? [{ buffer: k, source, int, length: bytes / WIDTH, at: this.address(k, 0) }]
        : [],
    );
    this.given = this.staged.filter((one): one is Staged<'input'> => one.source.from === 'input');
    this.drawn = this.staged.filter((one): one is Staged<'live' | 'held'> => one.source.from !== 'input');
    this.guards = guardsOf(trace);
    this.settle();
    this.leaves = [...trace.adopted.keys()];
    this.grads = [...trace.adopted.values()];
    this.changes = [...trace.changes].filter((storage) => storage.scope === null);
    trace.forget();
  }

  /** Where a pointer of the graph lies in the heap. */
  readonly address = (owner: number, delta: number): number =>
    owner === OUTSIDE ? delta : this.block.offset + this.memory.offsets[owner]! + delta;

  /** Writes what stays from run to run. */
  private settle(): void {
    this.graph.buffers.forEach(({ constant, int }, k) => {
      if (constant && this.memory.offsets[k]! >= 0) put(int, constant, this.address(k, 0));
    });
    this.program.run(ONCE);
  }

  /** Lets a scope use the plan's memory until it ends: a call that is made anew then needs no more than the first ones did. */
  lend(scope: Scope): void {
    this.borrower = scope;
    scope.borrow(this.block.offset, this.block.length * WIDTH);
    scope.afterEnd(() => {
      this.borrower = null;
      this.settle();
    });
  }

  /** Whether this plan may serve a call; adds the values among its arguments to `inputs`. */
  serves(args: unknown, phase: string, inputs: Input[]): boolean {
    return phase === this.phase && fits(this.mould, args, inputs) && holds(this.guards);
  }

  /** Whether the optimizer would make the same launches now. */
  renew(): boolean {
    return this.trace.hosts.every((host) => host.renew());
  }

  /** Makes ready for a run; false if the optimizer would make other launches now. Nothing that outlasts the step changes. */
  stage(inputs: readonly Input[]): boolean {
    if (!this.renew()) return false;
    // Arguments first: one that is refused must leave the random numbers where they are.
    for (const { source, int, at } of this.given)
      put(int, source.value(valuesOf(inputs[source.input]!)) as ArrayLike<number>, at);
    for (const { source, int, at } of this.drawn) put(int, source.value() as ArrayLike<number>, at);
    return true;
  }

  /** After the last part: what happened outside the heap. */
  finish(): void {
    this.adopt();
    const { changes } = this;
    for (let k = 0; k < changes.length; k++) changes[k]!.touch();
    for (const host of this.trace.hosts) host.finish(this.reader);
  }

  /** What the recording's `result` was set to. */
  get result(): unknown {
    return this.trace.result;
  }

  /** Gives the parameters the gradients that the first part computed. */
  adopt(): void {
    // Here and below by number: before it is compiled, a loop over values leaves garbage for each.
    const { leaves, grads } = this;
    for (let k = 0; k < leaves.length; k++) if (leaves[k]!.grad !== grads[k]) leaves[k]!.adoptGrad(grads[k]!);
  }

  /** The values that a run left in a storage of the recording. */
  read(storage: Storage): Float32Array | Int32Array {
    const from = this.cellOf(storage);
    const cells = storage.kind === 'int' ? heap.i32 : heap.f32;
    return cells.subarray(from, from + storage.length);
  }

  /** The first of the reals that a run left in a storage. */
  first(storage: Storage): number {
    return heap.f32[this.cellOf(storage)]!;
  }

  private cellOf(storage: Storage): number {
    const { buffer, delta } = this.trace.kept.get(storage)!;
    return (this.block.offset + this.memory.offsets[buffer]! + delta) / WIDTH;
  }

  /** Gives the memory back. */
  release(): void {
    if (this.borrower) return this.borrower.afterEnd(() => this.release());
    this.program.release();
    this.block.free();
  }
}

/** Writes values to the heap. */
export function put(int: boolean, values: ArrayLike<number>, at: number): void {
  const target = int ? heap.i32 : heap.f32;
  const from = at / WIDTH;
  // Few numbers are written faster one by one.
  if (values.length > 16) target.set(values, from);
  else for (let k = 0; k < values.length; k++) target[from + k] = values[k]!;
}
