// SWATS: Adam that watches which SGD rate its steps amount to, and goes over to SGD when that rate has settled.
import { checkNumber, checkOptions, describe, typeError } from '../tensor/errors.js';
import { Optimizer, type Facts, type Job, type Update } from './optimizer.js';
import {
  betas,
  choice,
  flag,
  learningRate,
  number,
  type BaseOptions,
  type Betas,
  type ParamsOrGroups,
  type Resolved,
} from './options.js';

export interface SWATSOptions extends BaseOptions {
  /** Decay rates of the two moments ([0.9, 0.999]); the first is the momentum of the SGD phase. */
  betas?: Betas;
  /** Added to the root, before the bias correction (1e-9). */
  eps?: number;
  /** L2 penalty: `weightDecay θ` is added to the gradient (0). */
  weightDecay?: number;
  /** Ascends (false). */
  maximize?: boolean;
  /** Who switches together: all parameters, those of a group, or each for itself ('global'). */
  scope?: 'global' | 'group' | 'tensor';
  /** The rate has settled when it is within `absTol + relTol |rate|` of its average (1e-9). */
  absTol?: number;
  /** See `absTol` (0); the published criterion almost never fires, try 1e-3. */
  relTol?: number;
  /** No switch before this step (2). */
  minSteps?: number;
  /** Steps in a row for which the rate must have settled (1). */
  patience?: number;
  /** Switches at this step, whatever the criterion says, or as soon after it as the rate is positive (null). */
  switchAt?: number | null;
}

const SCOPES = ['global', 'group', 'tensor'] as const;
const PATIENCE = { min: 1, integer: true } as const;

/** What parameters that switch together know. */
interface Judge {
  /** Parameters by name: those that it decides for. */
  names: string[];
  /** Steps so far. */
  step: number;
  /** Average of the SGD rates that the Adam steps amounted to, not bias-corrected. */
  average: number;
  /** Steps in a row for which the rate had settled. */
  settled: number;
  switchStep: number | null;
  /** Lambda: the SGD rate, at the learning rates of the switch. */
  switchedLr: number | null;
  /** Learning rate of each parameter's group when SGD began: a schedule scales Lambda by what became of it since. */
  lrAtSwitch: Record<string, number>;
}

const newJudge = (): Judge => ({
  names: [],
  step: 0,
  average: 0,
  settled: 0,
  switchStep: null,
  switchedLr: null,
  lrAtSwitch: {},
});

const facts: Facts<SWATSOptions> = {
  name: 'SWATS',
  fields: () => ({
    lr: learningRate(1e-3),
    betas: betas(0.9, 0.999),
    eps: number({ min: 0 }, 1e-9),
    weightDecay: number({ min: 0 }, 0),
    maximize: flag(false),
    scope: choice(SCOPES, 'global'),
    absTol: number({ min: 0 }, 1e-9),
    relTol: number({ min: 0 }, 0),
    minSteps: number(PATIENCE, 2),
    patience: number(PATIENCE, 1),
    switchAt: (where, name, value) =>
      (value === undefined || value === null ? null : checkNumber(where, name, value, PATIENCE)) as number,
  }),
  states: ['expAvg', 'expAvgSq', 'momentumBuffer'],
  update: ({ lr, betas: [b1, b2], eps, weightDecay, maximize }, t) => ({
    kernel: 'swatsStep',
    states: ['expAvg', 'expAvgSq'],
    cells: [
      (lr * Math.sqrt(1 - b2 ** t)) / (1 - b1 ** t),
      weightDecay,
      maximize ? -1 : 1,
      1 - b1,
      b2,
      1 - b2,
      eps,
    ],
    totals: 4,
  }),
};

/**
 * Adam, then SGD with momentum at a rate Lambda that Adam's own steps suggest:
 *
 * - Adam: `p = -lr √bc2 / bc1 · m / (√v + eps); θ += p`. If `p·g ≠ 0`: `gamma = p·p / -(p·g)`, the rate at which SGD's
 *   step has Adam's step as its projection; `avg = b2 avg + (1 - b2) gamma; Lambda = avg / bc2`. Switch when
 *   `|Lambda - gamma| < absTol + relTol |Lambda|` and `Lambda > 0`.
 * - SGD: `u = b1 u + g; θ -= (1 - b1) Lambda u`, `u = 0` at first.
 *
 * Keskar and Socher, "Improving Generalization Performance by Switching from Adam to SGD", arXiv 2017. Dot products run
 * over all parameters and are summed in double. With the published tolerance, 1e-9, the switch almost never fires: set
 * `relTol` or `switchAt`. `lr` is never overwritten, so a schedule goes on scaling Lambda after the switch. The judge of
 * several groups goes by the tolerances of the first.
 * @example
 * const opt = new optim.SWATS(model.namedParameters(), { lr: 1e-3, relTol: 1e-3, minSteps: 500 });
 * if (opt.phase === 'sgd') console.log(opt.switchStep, opt.switchedLr);
 */
export class SWATS extends Optimizer<SWATSOptions> {
  private readonly judges = new Map<string, Judge>();

  constructor(params: ParamsOrGroups<SWATSOptions>, options: SWATSOptions = {}) {
    super(facts, params, options);
  }

  /** 'adam' or 'sgd'; 'mixed' while some groups or tensors have switched and others have not. */
  get phase(): 'adam' | 'sgd' | 'mixed' {
    const switched = this.switches.filter((judge) => judge.switchStep !== null).length;
    if (switched === 0) return 'adam';
    return switched === this.switches.length ? 'sgd' : 'mixed';
  }

  /** The last step of the Adam phase: of the only judge, or the latest of several; null before. */
  get switchStep(): number | null {
    return this.phase === 'sgd' ? Math.max(...this.switches.map((judge) => judge.switchStep!)) : null;
  }

  /** Lambda of the SGD phase; null before, and where each group or tensor has its own (see {@link switches}). */
  get switchedLr(): number | null {
    const all = this.switches;
    return all.length === 1 ? all[0]!.switchedLr : null;
  }

  /** Where each group of parameters that switch together stands. */
  get switches(): readonly Readonly<Pick<Judge, 'names' | 'switchStep' | 'switchedLr'>>[] {
    return this.allJudges().map(({ names, switchStep, switchedLr }) => ({ names, switchStep, switchedLr }));
  }

  protected override kindOf(group: number, index: number): Judge {
    const { scope } = this.groups[0]!;
    const key = scope === 'global' ? '' : scope === 'group' ? `${group}` : `${group}/${index}`;
    let judge = this.judges.get(key);
    if (!judge) this.judges.set(key, (judge = newJudge()));
    return judge;
  }

  protected override updateOf(
    group: number,
    index: number,
    options: Resolved<SWATSOptions>,
    t: number,
  ): Update {
    const judge = this.kindOf(group, index);
    if (judge.switchedLr === null) return facts.update(options, t);
    const { lr, betas, weightDecay, maximize } = options;
    const before = (judge.lrAtSwitch[this.groups[group]!.names[index]!] ??= lr);
    const rate = (1 - betas[0]) * judge.switchedLr * (before > 0 ? lr / before : 1);
    return {
      kernel: 'momentumStep',
      states: ['momentumBuffer'],
      cells: [rate, weightDecay, maximize ? -1 : 1, betas[0], 1, 0, 1],
    };
  }

  protected override stepped(jobs: readonly Job[], options: readonly Resolved<SWATSOptions>[]): void {
    const byJudge = new Map<Judge, Job[]>();
    for (const job of jobs) {
      const judge = this.kindOf(job.group, job.segment.first);
      byJudge.set(judge, [...(byJudge.get(judge) ?? []), job]);
    }
    for (const [judge, own] of byJudge) {
      judge.step++;
      if (judge.switchedLr !== null) continue;
      const total = (k: number): number =>
        own.reduce((sum, { totals }) => sum + ((totals[k] ?? 0) + (totals[k + 1] ?? 0)), 0);
      if (observe(judge, total(0) / -total(2), options[own[0]!.group]!))
        for (const { names, index, group } of this.members(judge))
          judge.lrAtSwitch[names[index]!] = options[group]!.lr;
    }
  }

  /** The arrays of a parameter depend on the phase in which it came. */
  protected override needs(): readonly string[] {
    return [];
  }

  protected override extraState(): unknown {
    return this.allJudges().map((judge) => ({ ...judge, lrAtSwitch: { ...judge.lrAtSwitch } }));
  }

  protected override readExtraState(where: string, extra: unknown): () => void {
    if (!Array.isArray(extra)) throw typeError(where, `extra must be an array, got ${describe(extra)}`);
    const saved = extra.map((judge) => readJudge(where, judge));
    const found = this.allJudges().map((judge) => {
      const source = saved.find(({ names }) => judge.names.every((name) => names.includes(name)));
      if (source) return [judge, source] as const;
      throw typeError(
        where,
        `the state was saved with another scope: no judge for all of "${judge.names.join('", "')}"`,
      );
    });
    return () => {
      for (const [judge, source] of found) Object.assign(judge, source, { names: judge.names });
    };
  }

  private *members(judge: Judge): Generator<{ group: number; index: number; names: readonly string[] }> {
    for (const [group, { names }] of this.groups.entries())
      for (const index of names.keys())
        if (this.kindOf(group, index) === judge) yield { group, index, names };
  }

  private allJudges(): Judge[] {
    const all = new Set<Judge>();
    for (const [group, { names }] of this.groups.entries())
      for (const index of names.keys()) all.add(this.kindOf(group, index));
    for (const judge of all) judge.names = [...this.members(judge)].map(({ names, index }) => names[index]!);
    return [...all];
  }
}

/** Takes in the rate of one Adam step; returns whether that was the last one. NaN: no projection, or no finite one. */
function observe(judge: Judge, gamma: number, options: Resolved<SWATSOptions>): boolean {
  const { betas, absTol, relTol, minSteps, patience, switchAt } = options;
  if (!Number.isFinite(gamma)) return false;
  const b2 = betas[1];
  judge.average = b2 * judge.average + (1 - b2) * gamma;
  const rate = judge.average / (1 - b2 ** judge.step);
  const close = Math.abs(rate - gamma) < absTol + relTol * Math.abs(rate);
  judge.settled = close && judge.step >= Math.max(2, minSteps) ? judge.settled + 1 : 0;
  const due = switchAt === null ? judge.settled >= patience : judge.step >= switchAt;
  if (!due || !(rate > 0)) return false;
  judge.switchedLr = rate;
  judge.switchStep = judge.step;
  return true;
}

function readJudge(where: string, saved: unknown): Judge {
  const known = Object.keys(newJudge());
  checkOptions(`${where}: extra`, saved as object, known);
  const judge = saved as Judge;
  for (const name of known) if (!Object.hasOwn(judge, name)) throw typeError(where, `extra lacks ${name}`);
  for (const name of ['step', 'settled'] as const)
    checkNumber(where, name, judge[name], { min: 0, integer: true });
  checkNumber(where, 'average', judge.average);
  if (judge.switchStep !== null) checkNumber(where, 'switchStep', judge.switchStep, PATIENCE);
  if (judge.switchedLr !== null) checkNumber(where, 'switchedLr', judge.switchedLr, { above: 0 });
  if (!Array.isArray(judge.names)) throw typeError(where, 'extra holds no parameter names');
  return { ...judge, lrAtSwitch: { ...judge.lrAtSwitch } };
}
