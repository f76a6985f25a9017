// Who touches what: for every owner the accesses to it, in the order of the launches. Passes ask it whether memory may move.
import {
  accesses,
  isStrips,
  overlap,
  type Access,
  type Graph,
  type Instruction,
  type Launch,
} from './graph.js';

export interface Use extends Access {
  /** Place of the launch in the graph. */
  readonly at: number;
}

/** A plain launch of the graph as it stands before strips are cut. */
export type Single = Launch & Pick<Instruction, 'part'>;

/** The launches of a graph without strips, to be changed in place by one pass. */
export class Draft {
  /** Null for one that was dropped. */
  readonly launches: (Single | null)[];
  private readonly uses = new Map<number, Use[]>();

  constructor(readonly graph: Graph) {
    this.launches = graph.instructions.map((instruction) => {
      if (isStrips(instruction)) throw new Error('replay: strips are cut last');
      return instruction;
    });
    this.launches.forEach((launch, at) => this.note(launch!, at));
  }

  /** Accesses to an owner, by place. */
  of(owner: number): readonly Use[] {
    return this.uses.get(owner) ?? [];
  }

  /** Whether something between two launches, both excluded, touches the range; with `writes`, whether it writes there. */
  touched(range: Access, after: number, before: number, writes: boolean): boolean {
    return this.of(range.owner).some(
      (use) => use.at > after && use.at < before && (use.writes || !writes) && overlap(use, range),
    );
  }

  replace(at: number, launch: Single | null): void {
    const old = this.launches[at]!;
    for (const owner of new Set(accesses(old).map((access) => access.owner)))
      this.uses.set(
        owner,
        this.of(owner).filter((use) => use.at !== at),
      );
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
    for (const access of accesses(launch)) {
      const list = this.uses.get(access.owner) ?? [];
      const place = list.findLastIndex((use) => use.at <= at) + 1;
      list.splice(place, 0, { ...access, at });
      this.uses.set(access.owner, list);
    }
  }
}
