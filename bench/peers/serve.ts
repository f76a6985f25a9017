// What the JavaScript peers share: reads one line of JSON a work, writes one with the samples, with the growth of the
// process, or with a reason. Does for them what peer.py does for those in Python.
import { createInterface } from 'node:readline';
import { setTimeout } from 'node:timers/promises';
import { measure } from '../measure.js';
import { UNKNOWN_WORK, type Answer, type Question } from '../peer.js';
import { peakMemory, residentMemory } from './resident.js';

/** What is timed: one call, whose promise is awaited if it returns one. */
export type Run = () => unknown;
/** Makes what is timed, or nothing. */
export type Make = (...args: never[]) => Run | undefined;

/** Seconds for which calls that last longer than a turn are repeated. */
const LONG = 2;
/** Calls before memory counts as steady: compiled, recorded, replayed. */
const SETTLING = 5;
/**
 * Calls of the first work, before anything is measured. V8's young generation grows over many calls, whatever they do, and stays,
 * and its compiler takes thousands to be done with code that every net runs; after five calls most of what a small net seemed
 * to need was that.
 */
const WARMING = 3000;

/** Milliseconds in which threads of the runtime end what they have begun. */
const PAUSE = 200;

/** What was called once, as that may have compiled it. */
interface Timed {
  run: Run;
  /** Its calls return promises. */
  waits: boolean;
}

async function warmUp(run: Run): Promise<Timed> {
  const result = run();
  await result;
  return { run, waits: result instanceof Promise };
}

export const say = (answer: object): void => console.log(JSON.stringify(answer));

/** Why a package in `folder` cannot be used. */
export const notInstalled = { absent: 'not installed (`npm run bench -- --install-peers`)' };

async function time(run: Run, calls = 1): Promise<number> {
  const began = performance.now();
  for (let k = 0; k < calls; k++) {
    const result = run();
    if (result instanceof Promise) await result;
  }
  return (performance.now() - began) / 1000 / calls;
}

/** Seconds a call; of calls that take seconds, the few that fit. */
async function sample({ run, waits }: Timed, seconds: number): Promise<number[]> {
  const once = await time(run);
  if (once < seconds && !waits) return measure(run, seconds);
  const calls = Math.ceil(Math.min(0.05, seconds / 10) / once);
  const list = [once];
  const began = performance.now();
  const spent = (): number => (performance.now() - began) / 1000;
  while (spent() < seconds || (list.length < 3 && spent() < LONG)) list.push(await time(run, calls));
  return list;
}

class Server {
  private last = '';
  private timed: Timed | undefined;

  constructor(
    private readonly kinds: Readonly<Record<string, Make>>,
    private readonly prepare: (threads: number) => void,
  ) {}

  private make(kind: string, args: Question['args']): Run | undefined {
    return this.kinds[kind]?.(...(args as never[]));
  }

  private async times({ kind, args, threads, seconds }: Question): Promise<Answer> {
    const name = JSON.stringify([kind, args, threads]);
    if (name !== this.last) {
      this.last = '';
      const run = this.make(kind, args);
      this.timed = run && (await warmUp(run));
      this.last = name;
    }
    return this.timed ? { samples: await sample(this.timed, seconds) } : { absent: UNKNOWN_WORK };
  }

  private async growth({ kind, args, first, steps = 0 }: Question): Promise<Answer> {
    const before = first && this.make(first.kind, first.args);
    if (before) await time(before, WARMING);
    // Garbage in the base would hide growth, and so would what V8's own threads still hold to compile the first net. In this
    // order: after a pause the collector would make the young generation small again.
    globalThis.gc?.();
    await setTimeout(PAUSE);
    const base = residentMemory();
    const run = this.make(kind, args);
    if (!run) return { absent: UNKNOWN_WORK };
    await time(run, SETTLING);
    const rising = peakMemory() - base;
    residentMemory();
    await time(run, steps);
    const steady = peakMemory() - base;
    return { growth: { peak: Math.max(rising, steady), steady } };
  }

  async answer(question: Question): Promise<Answer> {
    try {
      this.prepare(question.threads);
      return await (question.steps ? this.growth(question) : this.times(question));
    } catch (error) {
      // A work that this version lacks must not end the others.
      return { absent: (error as Error).message.split('\n')[0]! };
    }
  }
}

/** Answers until the input ends. `prepare` comes before each work. */
export async function serve(
  kinds: Readonly<Record<string, Make>>,
  hello: object,
  prepare: (threads: number) => void = () => undefined,
): Promise<void> {
  say(hello);
  const server = new Server(kinds, prepare);
  for await (const line of createInterface(process.stdin))
    say(await server.answer(JSON.parse(line) as Question));
}
