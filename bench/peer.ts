// Another library in a process of its own: one line of JSON with a work goes in, one line with the answer comes out.
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Spec } from './runner.js';

/** What a peer answers that has nothing of this kind; it is not worth a line in the report. */
export const UNKNOWN_WORK = 'no such work';

/** Time this work; or, with `steps`, tell by how much so many calls let the process grow. */
export interface Question extends Spec {
  threads: number;
  seconds: number;
  steps?: number;
  /** Done before the growth is measured, so that the library's own code and pools are not counted. */
  first?: Spec;
}

/** Bytes by which the resident set was larger than before the work was made. */
export interface Growth {
  /** At most, compiling and recording included. */
  peak: number;
  /** At most once those were over. */
  steady: number;
}

export interface Answer {
  /** Seconds a call. */
  samples?: number[];
  growth?: Growth;
  /** Why there is neither. */
  absent?: string;
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
  env?: NodeJS.ProcessEnv;
  /** Seconds that an answer may take; then the process is ended, and a new one gets the next question. */
  patience: number;
  /** It is this library, not another. */
  own?: boolean;
}

/** A process and the lines that it writes. */
class Conversation {
  private readonly waiting: ((line: string | null) => void)[] = [];
  private readonly child: ChildProcessWithoutNullStreams;
  private readonly patience: number;
  /** Why it is over; empty while it is not. */
  over = '';

  constructor({ file, args, env = {}, patience }: Command) {
    this.patience = patience;
    this.child = spawn(file, args, { env: { ...process.env, ...env } });
    createInterface(this.child.stdout).on('line', (line) => this.waiting.shift()?.(line));
    let complaint = '';
    this.child.stderr.on('data', (text) => (complaint += String(text)));
    this.child.on('error', (error) => this.end(error.message));
    this.child.on('close', (code, signal) =>
      this.end(complaint.trim().split('\n').at(-1) || `its process ended (${signal ?? code})`),
    );
    this.child.stdin.on('error', () => undefined);
  }

  private end(why: string): void {
    this.over ||= why;
    for (const answer of this.waiting.splice(0)) answer(null);
  }

  /** The next line, or null if there is none. */
  line(): Promise<string | null> {
    if (this.over) return Promise.resolve(null);
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.end(`no answer within ${this.patience} s`);
        this.child.kill('SIGKILL');
      }, 1000 * this.patience);
      this.waiting.push((line) => {
        clearTimeout(timer);
        resolve(line);
      });
    });
  }

  write(text: string): void {
    this.child.stdin.write(`${text}\n`);
  }

  close(): void {
    this.child.stdin.end();
  }
}

export class Peer {
  /** Why it is not there; empty when it is. */
  absent = '';
  minThreads = 1;
  maxThreads = 1;
  /** The instruction set that it is held to, if not the machine's best. */
  isa?: string;
  readonly own: boolean;

  private constructor(
    public name: string,
    private readonly command: Command,
    private talk: Conversation,
  ) {
    this.own = command.own ?? false;
  }

  /** Starts a peer. One that cannot start is there too, and says why it is absent. */
  static async start(name: string, command: Command): Promise<Peer> {
    const peer = new Peer(name, command, new Conversation(command));
    const hello = await peer.talk.line();
    if (hello === null) peer.absent = peer.talk.over;
    else peer.greet(JSON.parse(hello) as Hello);
    return peer;
  }

  private greet({ version, absent, minThreads, maxThreads, isa }: Hello): void {
    this.name = [this.name, version].filter(Boolean).join(' ');
    this.minThreads = minThreads ?? 1;
    this.maxThreads = maxThreads ?? 1;
    if (isa) this.isa = isa;
    this.absent = absent ?? '';
  }

  takes(threads: number): boolean {
    return this.minThreads <= threads && threads <= this.maxThreads;
  }

  async ask(question: Question): Promise<Answer> {
    if (this.absent) return { absent: this.absent };
    if (this.talk.over) {
      this.talk = new Conversation(this.command);
      await this.talk.line();
    }
    const answer = this.talk.line();
    this.talk.write(JSON.stringify(question));
    const line = await answer;
    return line === null ? { absent: this.talk.over } : (JSON.parse(line) as Answer);
  }

  stop(): void {
    this.talk.close();
  }
}
