// The base of all optimizers: groups, flat memory, schedules, state. A rule adds its facts only (defaults, checks, names
// of state arrays, and kernel and scalars of a step). A step checks and allocates everything before it changes anything.
import type { KernelName } from '../kernels/table.js';
import { launch } from '../kernels/launch.js';
import { heap } from '../memory/heap.js';
import { Storage } from '../memory/storage.js';
import { watcher } from '../memory/watcher.js';
import { inStepScope } from '../autodiff/backward.js';
import { readOptions } from '../schedule/fields.js';
import type { Schedule } from '../schedule/schedule.js';
import { checkNumber, typeError } from '../tensor/errors.js';
import { cellsOf, Flat, normOf, scaleAll, type Segment } from './flat.js';
import { readParams, splitGroups } from './groups.js';
import type { BaseOptions, Betas, Fields, Group, GroupSpec, ParamsOrGroups, Resolved } from './options.js';
import { readState, type Restorable, writeState, type OptimizerState } from './state.js';

/** One launch: `kernel(param, grad, ...states, [totals], cells, n)`. */
export interface Update {
  readonly kernel: KernelName;
  /** State arrays in the kernel's order; null for one that is absent. */
  readonly states: readonly (string | null)[];
  /** The scalars, in double. */
  readonly cells: readonly number[];
  /** How many reals the kernel hands back, as high and low parts, between states and cells. */
  readonly totals?: number;
}

/** All that one optimizer's file says. */
export interface Facts<O extends BaseOptions> {
  readonly name: string;
  /** Default and check of every option; `given` is there for defaults that depend on another option. */
  fields(given: O): Fields<O>;
  /** Checks that concern several options. */
  check?(where: string, options: Required<O>): void;
  /** Names of all state arrays it may have; each has the shape of its parameter. */
  readonly states: readonly string[];
  /** What a new state array is filled with, where that is not 0. */
  initial?(options: Omit<Required<O>, 'lr'>): Readonly<Record<string, number>>;
  /** The update of parameters that had `t - 1` updates before. */
  update(options: Resolved<O>, t: number): Update;
}

/** A launch that a step is about to make or has made. */
export interface Job {
  readonly group: number;
  readonly segment: Segment;
  readonly update: Update;
  /** What the kernel handed back, once it ran. */
  totals: number[];
}

/** One step: the options it sees, and its launches. */
interface Turn<O extends BaseOptions> {
  readonly options: readonly Resolved<O>[];
  readonly jobs: readonly Job[];
}

/**
 * What all optimizers share. Parameters are moved into one run of memory per group and stay the same tensors.
 *
 * - A parameter without gradient (`grad === null`) or with `requiresGrad` false is left alone by a step: no decay, no
 *   state, no step count. A gradient of zeros is a gradient: moments decay and weight decay applies.
 * - `lr` may be a schedule; it is read with the number of earlier `step()` calls. If it gives a momentum, that replaces
 *   `betas[0]`, or `momentum` where there are no betas.
 * - Everything in `groups` may be edited between steps and is checked again by the next one.
 */
export class Optimizer<O extends BaseOptions = BaseOptions> {
  /** The groups with their options, which may be edited: `opt.groups[0].lr = 1e-4`. */
  readonly groups: readonly Group<O>[] = [];
  protected readonly flats: Flat[] = [];
  private readonly checked: Required<O>[] = [];
  private readonly optionNames: readonly string[];
  private taken = 0;

  protected constructor(
    private readonly facts: Facts<O>,
    params: ParamsOrGroups<O>,
    private readonly defaults: O,
  ) {
    const where = this.where();
    const read = readOptions(where, defaults, facts.fields(defaults));
    facts.check?.(where, read);
    this.optionNames = Object.keys(read);
    const specs = splitGroups<O>(where, params);
    this.append(specs);
  }

  /** The name of the rule, as in `optim.Adam`. */
  get name(): string {
    return this.facts.name;
  }

  /** Calls of {@link step} so far; the position in the schedules. */
  get stepCount(): number {
    return this.taken;
  }

  /** The learning rate that the next step will use, of each group. */
  get lr(): number[] {
    return this.groups.map((_, k) => this.resolve(k).lr);
  }

  /**
   * Adds parameters with options of their own.
   * @throws TypeError for a parameter or name that the optimizer has already.
   */
  addGroup(group: GroupSpec<O>): void {
    this.append([group]);
  }

  /** Updates every parameter that has a gradient: one pass over memory per group. */
  step(): void {
    const options = this.groups.map((_, k) => this.resolve(k));
    this.checkWidth('step');
    inStepScope(() => {
      let turn: Turn<O> = { options, jobs: options.flatMap((o, k) => this.plan(k, o)) };
      const totals = turn.jobs.map((_, k) => this.run(turn.jobs[k]!, () => turn.jobs[k]!.update.cells));
      this.finish(turn, (k) => totals[k]?.peek() ?? []);
      watcher?.host({
        owner: this,
        regions: () => this.flats.flatMap((flat) => flat.regions()),
        outputs: totals.filter((out) => out !== null),
        renew: () => {
          const next = this.renewed(turn);
          if (next) turn = next;
          return next !== null;
        },
        finish: (read) => this.finish(turn, (k) => (totals[k] ? read(totals[k]) : [])),
      });
    });
  }

  /** Forgets all gradients. */
  zeroGrad(): void {
    for (const { params } of this.groups) for (const t of params) t.grad = null;
  }

  /** The Euclidean norm over all gradients, summed in double; not finite if some gradient is not. */
  gradNorm(): number {
    this.checkWidth('gradNorm');
    return inStepScope(() => normOf(this.flats.flatMap((flat) => flat.gradients())));
  }

  /** Multiplies all gradients by a number. */
  scaleGrads(factor: number): void {
    checkNumber(this.where('scaleGrads'), 'factor', factor);
    this.checkWidth('scaleGrads');
    inStepScope(() =>
      scaleAll(
        this.flats.flatMap((flat) => flat.gradients()),
        factor,
      ),
    );
  }

  /**
   * Returns everything that the next steps depend on, except the parameters: options, step counts, state arrays (copies)
   * by parameter name. Plain objects, numbers and typed arrays only.
   */
  stateDict(): OptimizerState {
    return writeState(this.restorable());
  }

  /**
   * Continues from a state: matched by parameter name, so groups and parameters may stand in another order. Options come
   * from the state too (edit `groups` afterwards to change them), except a schedule, which stays the one of this
   * optimizer and goes on at the saved position.
   * @throws TypeError or ShapeError that names what is missing, unexpected or of another shape; nothing is changed then.
   */
  loadStateDict(state: OptimizerState): void {
    this.checkWidth('loadStateDict');
    readState(this.where('loadStateDict'), this.restorable(), state)();
  }

  /** `optim.Adam.step`, for messages. */
  protected where(method?: string): string {
    return method ? `optim.${this.facts.name}.${method}` : `optim.${this.facts.name}`;
  }

  /** What launches that are otherwise alike must have in common to become one. */
  protected kindOf(_group: number, _index: number): unknown {
    return null;
  }

  /** The launch for a segment whose first parameter is `index`. */
  protected updateOf(_group: number, _index: number, options: Resolved<O>, t: number): Update {
    return this.facts.update(options, t);
  }

  /** Called after the launches of a step. */
  protected stepped(_jobs: readonly Job[], _options: readonly Resolved<O>[]): void {}

  /** State arrays that a parameter must have after `t` updates. */
  protected needs(options: Required<O>, t: number): readonly string[] {
    const resolved = { ...options, lr: 0 } as unknown as Resolved<O>;
    return this.facts.update(resolved, t).states.filter((name) => name !== null);
  }

  /** State beyond the arrays: plain JSON. */
  protected extraState(): unknown {
    return undefined;
  }

  /** Checks extra state; returns what puts it in place. */
  protected readExtraState(_where: string, _extra: unknown): () => void {
    return () => {};
  }

  /** The options of a group as this step sees them. */
  protected resolve(k: number): Resolved<O> {
    const options = this.check(k);
    const { lr } = options;
    if (typeof lr === 'number') return options as unknown as Resolved<O>;
    const now = (lr as Schedule).at(this.taken);
    const resolved: Record<string, unknown> = { ...options, lr: now.lr };
    if (now.momentum !== undefined) {
      if ('betas' in resolved) resolved['betas'] = [now.momentum, ...(resolved['betas'] as Betas).slice(1)];
      else if ('momentum' in resolved) resolved['momentum'] = now.momentum;
    }
    return resolved as unknown as Resolved<O>;
  }

  /** The options of a group, checked again if they were edited. */
  private check(k: number): Required<O> {
    const group = this.groups[k] as unknown as Record<string, unknown>;
    const known = this.checked[k] as unknown as Record<string, unknown>;
    let edits = false;
    for (const name of this.optionNames) if (group[name] !== known[name]) edits = true;
    if (!edits) return this.checked[k]!;
    const edited = Object.fromEntries(this.optionNames.map((name) => [name, group[name]]));
    const read = this.readGroup(k, edited as unknown as O);
    Object.assign(group, read);
    return (this.checked[k] = read);
  }

  private readGroup(k: number, given: O): Required<O> {
    const where = k === 0 ? this.where() : `${this.where()}.groups[${k}]`;
    const options = readOptions(where, given, this.facts.fields(given));
    this.facts.check?.(where, options);
    return options;
  }

  /** Checks all new groups, then takes their parameters in. */
  private append(specs: readonly GroupSpec<O>[]): void {
    const where = this.where();
    const first = this.groups.length;
    const seen = { names: new Set<string>(), storages: new Map<Storage, string>() };
    for (const { names, params } of this.groups)
      params.forEach((t, i) => seen.storages.set(t.storage, names[i]!) && seen.names.add(names[i]!));
    const fresh = specs.map((spec, k) => {
      const { params, ...own } = spec;
      const options = this.readGroup(first + k, { ...this.defaults, ...own } as unknown as O);
      return { options, ...readParams(where, params, seen) };
    });
    inStepScope(() => {
      for (const { options, tensors, names } of fresh) {
        const flat = new Flat(tensors, names);
        tensors.forEach((_, i) => flat.takeIn(i));
        this.flats.push(flat);
        this.checked.push(options);
        (this.groups as Group<O>[]).push(groupOf(options, flat));
      }
    });
  }

  private checkWidth(method: string): void {
    if (this.flats[0]!.width === heap.width) return;
    const name = (width: number): string => (width === 4 ? 'single' : 'double');
    throw typeError(
      this.where(method),
      `the optimizer was made in ${name(this.flats[0]!.width)} precision and is used in ${name(heap.width)}`,
    );
  }

  /** The launches of a group, with all memory they need. */
  private plan(k: number, options: Resolved<O>): Job[] {
    const flat = this.flats[k]!;
    flat.tensors.forEach((_, i) => flat.isActive(i) && flat.takeIn(i));
    const initial = this.facts.initial?.(options) ?? {};
    return flat
      .segments((i) => this.kindOf(k, i))
      .map((segment) => {
        const update = this.updateOf(k, segment.first, options, flat.steps[segment.first]! + 1);
        for (const name of update.states) if (name) flat.array(name, initial[name] ?? 0);
        return { group: k, segment, update, totals: [] };
      });
  }

  /** The turn of the next step with the launches of `turn`, or null if it would make others. */
  private renewed({ jobs }: Turn<O>): Turn<O> | null {
    const options = this.groups.map((_, k) => this.resolve(k));
    const next: Job[] = [];
    for (const { group, segment, update: old } of jobs) {
      const { steps } = this.flats[group]!;
      const t = steps[segment.first]!;
      const kind = this.kindOf(group, segment.first);
      for (let i = segment.first + 1; i <= segment.last; i++)
        if (steps[i] !== t || this.kindOf(group, i) !== kind) return null;
      const update = this.updateOf(group, segment.first, options[group]!, t + 1);
      const same = update.kernel === old.kernel && update.totals === old.totals;
      if (!same || update.states.some((name, k) => name !== old.states[k])) return null;
      next.push({ group, segment, update, totals: [] });
    }
    return { options, jobs: next };
  }

  /** Launches a job; returns where the kernel leaves its totals. */
  private run({ group, segment, update }: Job, cells: () => readonly number[]): Storage | null {
    const { kernel, states, totals = 0 } = update;
    const flat = this.flats[group]!;
    const n = flat.extent(segment);
    if (n === 0) return null;
    const runs = states.map((name) => (name ? flat.at(flat.array(name, 0), segment.first) : 0));
    const out = totals > 0 ? Storage.inScope(totals) : null;
    launch(
      kernel,
      flat.at(flat.params, segment.first),
      flat.gradAt(segment.first),
      ...runs,
      ...(out ? [out.address()] : []),
      cellsOf(cells),
      n,
    );
    return out;
  }

  /** Counts a step whose launches are done; `totals` gives what each job's kernel handed back. */
  private finish({ jobs, options }: Turn<O>, totals: (job: number) => ArrayLike<number>): void {
    for (let k = 0; k < jobs.length; k++) {
      const job = jobs[k]!;
      const { steps, tensors } = this.flats[job.group]!;
      if (job.update.totals) job.totals = Array.from(totals(k));
      for (let i = job.segment.first; i <= job.segment.last; i++) {
        steps[i]!++;
        tensors[i]!.storage.touch();
      }
    }
    this.taken++;
    this.stepped(jobs, options);
  }

  /** What saving and loading need to reach. */
  private restorable(): Restorable {
    return {
      name: this.facts.name,
      flats: this.flats,
      options: this.groups.map((_, k) => this.check(k) as Readonly<Record<string, unknown>>),
      arrays: this.facts.states,
      steps: this.taken,
      extra: this.extraState(),
      readOptions: (k, given) => this.readGroup(k, given as unknown as O) as Record<string, unknown>,
      needs: (options, t) => this.needs(options as unknown as Required<O>, t),
      initial: (options) => this.facts.initial?.(options as unknown as Required<O>) ?? {},
      setOptions: (k, options) => Object.assign(this.groups[k]!, options),
      setSteps: (steps) => (this.taken = steps),
      readExtra: (where, extra) => this.readExtraState(where, extra),
    };
  }
}

/** A group for `opt.groups`: sealed, so that a misspelt option throws where it is set. */
function groupOf<O extends BaseOptions>(options: Required<O>, flat: Flat): Group<O> {
  const group = { ...options };
  const fixed = (value: readonly unknown[]): PropertyDescriptor => ({ value: Object.freeze(value) });
  Object.defineProperties(group, { params: fixed([...flat.tensors]), names: fixed([...flat.names]) });
  return Object.seal(group) as unknown as Group<O>;
}
