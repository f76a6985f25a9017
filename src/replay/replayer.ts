// The replayer of one function: finds the plan that serves a call, or records the call and makes a plan of the second
// recording that equals an earlier one. Plans and recordings are few: the least recently used go first.
import type { Scope } from '../memory/arena.js';
import { heap } from '../memory/heap.js';
import { watched, watcher } from '../memory/watcher.js';
import { backend, threadsNow } from '../kernels/launch.js';
import { isRecording } from '../tensor/op.js';
import { checkChoice, OutOfMemoryError } from '../tensor/errors.js';
import { fits, mouldOf, type Input, type Mould } from './arguments.js';
import { Auditor } from './check.js';
import type { Graph } from './graph.js';
import { PASS_NAMES, type PassName } from './passes/index.js';
import { Plan } from './plan.js';
import { Recorder } from './recorder.js';
import { difference, graphOf, Pairs } from './trace.js';

/** Plans that one function keeps. */
const MOST_PLANS = 8;
/** Recordings that wait for an equal one. */
const MOST_TRACES = 4;
/** Recordings in a row that equal no earlier one, after which the function stays eager. */
const PATIENCE = 12;

interface Waiting {
  readonly mould: Mould;
  readonly phase: string;
  readonly trace: Recorder;
}

/**
 * Every so many runs a plan's function is called again, to see that it still makes the same launches: numbers that
 * JavaScript reads from elsewhere may have changed without a trace.
 */
const LOOK_EVERY = 1000;

export type ReplayMode = 'on' | 'off' | 'check';

/** What THALWEG_REPLAY says. */
export const replayMode = (): ReplayMode =>
  checkChoice('THALWEG_REPLAY', 'replay', process.env['THALWEG_REPLAY'] || 'on', ['on', 'off', 'check']);

/** What THALWEG_REPLAY_WITHOUT says: passes to leave out, parted by commas. */
function passesLeftOut(): ReadonlySet<PassName> {
  const names = (process.env['THALWEG_REPLAY_WITHOUT'] ?? '').split(',').filter(Boolean);
  return new Set(names.map((name) => checkChoice('THALWEG_REPLAY_WITHOUT', 'pass', name, PASS_NAMES)));
}

let made = 0;

/** Plans made so far in this process, by all functions. */
export const recordedPlans = (): number => made;

export class Replayer {
  readonly plans: Plan[] = [];
  /** Calls that a plan has served. */
  replayed = 0;
  /** Why calls stay eager, or null. */
  eager: string | null = null;
  readonly mode = replayMode();
  private waiting: Waiting[] = [];
  private misses = 0;
  /** The phase of the last call. */
  private now = { own: '', name: '', threads: 0, recording: false, phase: '' };
  /** The plan that this call would have run, had it not been time to look at the function again. */
  private due: Plan | null = null;
  /** The plan that would have served this call, were it not for a check. */
  private audited: Plan | null = null;

  private readonly without = passesLeftOut();

  constructor(private readonly where: string) {
    if (this.mode === 'off') this.eager = 'THALWEG_REPLAY is off';
  }

  /** What a plan depends on besides the arguments; null where nothing can be replayed. */
  phase(own: string): string | null {
    // Inside another recording the launches belong to that one; plans compute in single precision.
    if (this.eager !== null || watcher !== null || heap.width !== 4) return null;
    const { name } = backend;
    // A program is made for so many threads.
    const threads = threadsNow();
    const recording = isRecording();
    const now = this.now;
    // Most calls are like the last one, and the very same string compares at once.
    if (now.own !== own || now.name !== name || now.threads !== threads || now.recording !== recording)
      this.now = { own, name, threads, recording, phase: `${own} ${name} ${threads} ${recording}` };
    return this.now.phase;
  }

  /** A plan that is ready to run on these arguments: all is staged. `inputs` is filled with the values among them. */
  find(args: unknown, phase: string, inputs: Input[] = []): Plan | null {
    for (let k = this.plans.length - 1; k >= 0; k--) {
      const plan = this.plans[k]!;
      inputs.length = 0;
      if (!plan.serves(args, phase, inputs)) continue;
      if (this.mode === 'check') {
        if (!plan.renew()) continue;
        this.audited = plan;
        return null;
      }
      if (++plan.calls % LOOK_EVERY === 0) {
        this.due = plan;
        return null;
      }
      if (!plan.stage(inputs)) continue;
      this.use(plan);
      return plan;
    }
    return null;
  }

  /**
   * Runs a call eagerly in `scope` and makes a plan of it if it equals an earlier one. The recorder is handed to `run`,
   * which says what it reads afterwards.
   */
  record<T>(args: unknown, phase: string, scope: Scope, run: (recorder: Recorder) => T): T {
    const { due, audited } = this;
    this.due = this.audited = null;
    const inputs: Input[] = [];
    const mould = mouldOf(args, inputs);
    if (audited) return this.audit(audited, new Auditor(inputs, scope, audited, this.where), run);
    if (due) due.lend(scope);
    const trace = new Recorder(inputs, scope);
    const result = watched(trace, () => run(trace));
    if (trace.refusal !== null) this.giveUp(trace.refusal);
    // A call that ended early shows nothing of what the others do.
    else if (trace.cut) return result;
    else if (due) this.compare(due, trace);
    else this.learn(args, { mould, phase, trace }, scope);
    return result;
  }

  /** Forgets all plans and gives their memory back. */
  release(): void {
    for (const plan of this.plans.splice(0)) plan.release();
    this.waiting = [];
    this.due = this.audited = null;
  }

  /** Counts a call that a plan served. */
  private use(plan: Plan): void {
    this.replayed++;
    const at = this.plans.indexOf(plan);
    if (at < this.plans.length - 1) this.plans.push(...this.plans.splice(at, 1));
  }

  /** Runs a call eagerly and the plan beside it. */
  private audit<T>(plan: Plan, trace: Auditor, run: (recorder: Recorder) => T): T {
    this.use(plan);
    const result = watched(trace, () => run(trace));
    trace.finish();
    const reason = trace.refusal ?? trace.differs;
    if (reason !== null) this.giveUp(reason);
    return result;
  }

  private compare(plan: Plan, trace: Recorder): void {
    const changed = difference(plan.trace, trace, new Pairs());
    if (changed !== null) this.giveUp(`${changed}; up to ${LOOK_EVERY} calls ran with the old ones`);
  }

  private learn(args: unknown, now: Waiting, scope: Scope): void {
    const alike = this.waiting.filter(({ phase, mould }) => phase === now.phase && fits(mould, args, []));
    const pairs = alike.map(() => new Pairs());
    const differences = alike.map(({ trace }, k) => difference(trace, now.trace, pairs[k]!));
    const found = differences.indexOf(null);
    const equal = alike[found];
    if (equal) {
      this.waiting.splice(this.waiting.indexOf(equal), 1);
      this.misses = 0;
      if (this.plans.length === MOST_PLANS) this.plans.shift()!.release();
      const graph = graphOf(equal.trace, now.trace, pairs[found]!);
      // The plan's memory can be what the scope gives back.
      scope.afterEnd(() => this.add(now, graph));
      return;
    }
    this.waiting.push(now);
    if (this.waiting.length > MOST_TRACES) this.waiting.shift();
    if (alike.length > 0 && ++this.misses > PATIENCE) this.giveUp(differences.at(-1)!);
  }

  /** Makes a plan; without memory for one the call, which has been made already, was not in vain. */
  private add({ mould, phase, trace }: Waiting, recorded: Graph): void {
    try {
      this.plans.push(new Plan(mould, phase, trace, recorded, this.without));
      made++;
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      this.giveUp(`there is no memory for a program (${error.message})`);
    }
  }

  private giveUp(reason: string): void {
    this.eager = reason;
    this.release();
    process.emitWarning(`${this.where}: every call stays eager: ${reason}`, { code: 'THALWEG_REPLAY' });
  }
}
