// Who touches what: for every owner the accesses to it, in the order of the launches. Passes ask it whether memory may move.
import {
  accesses,
  isStrips,
  OUTSIDE,
  overlap,
  type Access,
  type Graph,
  type Instruction,
  type Launch,
} from './graph.js';

/** An access of the launch at a place in the graph. There are thousands, so it refers to the access instead of copying it. */
export class Use implements Access {
  constructor(
    readonly at: number,
    private readonly access: Access,
  ) {}
  get arg(): number {
    return this.access.arg;
  }
  get owner(): number {
    return this.access.owner;
  }
  get from(): number {
    return this.access.from;
  }
  get to(): number {
    return this.access.to;
  }
  get reads(): boolean {
    return this.access.reads;
  }
  get writes(): boolean {
    return this.access.writes;
  }
}

/** A plain launch of the graph as it stands before strips are cut. */
export type Single = Launch & Pick<Instruction, 'part'>;

/** The launches of a graph without strips, to be changed in place by passes: each keeps its place until the end. */
export class Draft {
  /** Null for one that was dropped. */
  readonly launches: (Single | null)[];
  /** By owner, from {@link OUTSIDE} on. */
  private readonly uses: (Use[] | undefined)[];

  constructor(readonly graph: Graph) {
    this.uses = new Array<undefined>(graph.buffers.length - OUTSIDE).fill(undefined);
    this.launches = graph.instructions.map((instruction) => {
      if (isStrips(instruction)) throw new Error('replay: strips are cut last');
      return instruction;
    });
    this.launches.forEach((launch, at) => this.note(launch!, at));
  }

  /** Accesses to an owner, by place. */
  of(owner: number): readonly Use[] {
    return this.uses[owner - OUTSIDE] ?? [];
  }

  /** Whether something between two launches, both excluded, touches the range; with `writes`, whether it writes there. */
  touched(range: Access, after: number, before: number, writes: boolean): boolean {
    return this.of(range.owner).some(
      (use) => use.at > after && use.at < before && (use.writes || !writes) && overlap(use, range),
    );
  }

  replace(at: number, launch: Single | null): void {
    const old = accesses(this.launches[at]!);
    for (let k = 0; k < old.length; k++) {
      const list = this.uses[old[k]!.owner - OUTSIDE]!;
      const first = list.findIndex((use) => use.at === at);
      if (first >= 0) list.splice(first, 1);
    }
    this.launches[at] = launch;
    if (launch) this.note(launch, at);
  }

  /** Whether an owner is a buffer that kernels compute. */
  isComputed(owner: number): boolean {
    const buffer = this.graph.buffers[owner];
    return buffer !== undefined && !buffer.source && !buffer.constant;
  }

  /** Whether a buffer is computed by kernels, and read by nobody but them. */
  isInner(owner: number): boolean {
    return this.isComputed(owner) && !this.graph.outputs.has(owner);
  }

  /** The graph as it is now. */
  done(): Graph {
    return { ...this.graph, instructions: this.launches.filter((launch) => launch !== null) };
  }

  private note(launch: Single, at: number): void {
    const all = accesses(launch);
    for (let k = 0; k < all.length; k++) {
      const use = new Use(at, all[k]!);
      const list = (this.uses[use.owner - OUTSIDE] ??= []);
      let place = list.length;
      while (place > 0 && list[place - 1]!.at > at) place--;
      if (place === list.length) list.push(use);
      else list.splice(place, 0, use);
    }
  }
}
