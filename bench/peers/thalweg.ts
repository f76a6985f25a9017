// This library, started anew with other settings (THALWEG_REPLAY=off, THALWEG_ISA=avx2): works of the groups that the
// arguments name.
import { backend } from '#thalweg/kernels/launch';
import { GROUPS } from '../works.js';
import { say, serve, type Make } from './serve.js';

const works = process.argv.slice(3).flatMap((group) => GROUPS[group] ?? []);
/** Gives back what the last work held. */
let end: (() => void) | undefined;

function make(kind: string, args: unknown[]): (() => unknown) | undefined {
  const found = works.find((work) => work.kind === kind && work.args.join() === args.join());
  if (!found || found.without?.includes(backend.name)) return undefined;
  end?.();
  const prepared = found.prepare();
  end = () => prepared.end?.();
  return () => prepared.run();
}
const kinds: Record<string, Make> = Object.fromEntries(
  works.map(({ kind }) => [kind, (...args: unknown[]) => make(kind, args)]),
);

function hello(): object {
  try {
    const { isa } = backend.info();
    const maxThreads = [1, 2].filter((n) => {
      backend.threads = n;
      return backend.threads === n;
    }).length;
    return { maxThreads, isa };
  } catch (error) {
    return { absent: (error as Error).message };
  }
}

const greeting = hello();
if ('absent' in greeting) say(greeting);
else await serve(kinds, greeting, (threads) => (backend.threads = threads));
