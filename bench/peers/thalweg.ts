// This library, started anew with other settings (THALWEG_REPLAY=off among them): training steps alone.
import { backend } from '#thalweg/kernels/launch';
import { CASES, findCase, makeStep } from '../models.js';
import { say, serve } from './serve.js';

const kinds = Object.fromEntries(
  CASES.map(({ kind }) => [kind, (optimizer: string) => makeStep(findCase(kind, optimizer))]),
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
