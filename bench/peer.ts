// Another library in a process of its own: one line of JSON with a work goes in, one line with its samples comes out.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Spec } from './runner.js';

/** What a peer answers that has nothing of this kind; it is not worth a line in the report. */
export const UNKNOWN_WORK = 'no such work';

export interface Question extends Spec {
  threads: number;
  seconds: number;
}

/** A peer's first line. */
interface Hello {
  version?: string;
  absent?: string;
  minThreads?: number;
  maxThreads?: number;
  isa?: string;
}

export interface Command {
  file: string;
  args: string[];
  env?: Record<string, string>;
}

export class Peer {
  private readonly waiting: ((line: string | null) => void)[] = [];
  private readonly lines: Interface;
  /** Why it is not there; empty when it is. */
  absent = '';
  minThreads = 1;
  maxThreads = 1;
  /** The instruction set that it is held to, if not the machine's best. */
  isa?: string;

  private constructor(
    public name: string,
    private readonly child: ChildProcessWithoutNullStreams,
  ) {
    this.lines = createInterface(child.stdout);
    this.lines.on('line', (line) => this.waiting.shift()?.(line));
    let complaint = '';
    child.stderr.on('data', (text) => (complaint += String(text)));
    const gone = (why: string): void => {
      this.absent ||= why;
      for (const answer of this.waiting.splice(0)) answer(null);
    };
    child.on('error', (error) => gone(error.message));
    child.on('close', () => gone(complaint.trim().split('\n').at(-1) || 'it ended'));
    child.stdin.on('error', () => undefined);
  }

  /** Starts a peer. One that cannot start is there too, and says why it is absent. */
  static async start(name: string, { file, args, env = {} }: Command): Promise<Peer> {
    const peer = new Peer(name, spawn(file, args, { env: { ...process.env, ...env } }));
    const hello = await peer.line();
    if (hello === null) return peer;
    const { version, absent, minThreads, maxThreads, isa } = JSON.parse(hello) as Hello;
    peer.name = [name, version].filter(Boolean).join(' ');
    peer.minThreads = minThreads ?? 1;
    peer.maxThreads = maxThreads ?? 1;
    if (isa) peer.isa = isa;
    peer.absent = absent ?? '';
    return peer;
  }

  private line(): Promise<string | null> {
    if (this.absent) return Promise.resolve(null);
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  /** Seconds a call, by sample; or why there are none. */
  async ask(question: Question): Promise<number[] | string> {
    if (this.absent) return this.absent;
    const answer = this.line();
    this.child.stdin.write(`${JSON.stringify(question)}\n`);
    const line = await answer;
    if (line === null) return this.absent;
    const { samples, absent } = JSON.parse(line) as { samples?: number[]; absent?: string };
    return samples ?? absent ?? 'no answer';
  }

  stop(): void {
    this.child.stdin.end();
  }
}
