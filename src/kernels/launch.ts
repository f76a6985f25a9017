// The door: every kernel call of the library goes through `launch`, so that a step can be recorded and replayed.
// Nothing else writes the heap, except the staging of inputs. Also here: which engine is behind the door.
import { heap } from '../memory/heap.js';
import { watcher } from '../memory/watcher.js';
import { checkChoice, checkNumber } from '../tensor/errors.js';
import { nativeEngine, type NativeEngine } from './native.js';
import { EngineUnavailable, referenceEngine, type Engine } from './reference.js';
import type { KernelName } from './table.js';
import { setWasmThreads, wasmThreads } from './threads.js';
import { wasmEngine, wasmIsa } from './wasm.js';

export const BACKENDS = ['native', 'wasm', 'reference'] as const;
export type BackendName = (typeof BACKENDS)[number];

/** What runs and why. */
export interface BackendInfo {
  name: BackendName;
  /** Why this one: asked for, the best there is, or what the better ones lacked. */
  reason: string;
  /** Instruction set of the native kernels, or the build of the WASM module. */
  isa: string;
  isas: string[];
  threads: number;
  /** The addon's file, when native. */
  file?: string;
  /** Kernels that native lacks and WASM runs for it. */
  missing: string[];
  heapBytes: number;
  heapUsed: number;
}

let engine: Engine | null = null;
let name: BackendName = 'reference';
let reason = '';
let native: NativeEngine | null = null;
const made: Partial<Record<'wasm' | 'reference', Engine>> = {};

function make(which: BackendName): Engine {
  if (which === 'reference') return (made.reference ??= referenceEngine());
  if (which === 'wasm') {
    if (made.wasm) return made.wasm;
    made.wasm = wasmEngine();
    applyThreads();
    return made.wasm;
  }
  native ??= nativeEngine(() => make('wasm'));
  applyThreads();
  return native.engine;
}

function applyThreads(): void {
  const asked = process.env['THALWEG_THREADS'];
  if (asked) setThreads(checkNumber('THALWEG_THREADS', 'threads', Number(asked), { min: 1, integer: true }));
}

/** Threads of the engine in use; 0 until someone asks. */
let threads = 0;

/** What plans depend on: like {@link backend.threads}, at the cost of a variable. */
export const threadsNow = (): number => (threads ||= backend.threads);

/** Of every engine that has threads, so that switching keeps their number. */
function setThreads(n: number): void {
  setWasmThreads(n);
  native?.addon.setThreads(n);
  threads = 0;
}

/** The best engine there is, and why not a better one. */
function choose(): Engine {
  const failures: string[] = [];
  for (const which of BACKENDS) {
    try {
      engine = make(which);
      name = which;
      threads = 0;
      reason = failures.length > 0 ? failures.join('; ') : 'the fastest engine, and it loaded';
      if (which === 'reference') warnOfReference();
      return engine;
    } catch (error) {
      if (!(error instanceof EngineUnavailable)) throw error;
      failures.push(error.message);
    }
  }
  throw new Error(`backend: no engine could be started: ${failures.join('; ')}`);
}

/** Nobody who did not ask for it should wait for it unknowingly. */
function warnOfReference(): void {
  process.emitWarning(`this is the reference engine, a thousand times slower than the others: ${reason}`, {
    code: 'THALWEG_BACKEND',
  });
}

function start(): Engine {
  const asked = process.env['THALWEG_BACKEND'];
  if (!asked) return choose();
  use(checkChoice('THALWEG_BACKEND', 'backend', asked, BACKENDS), 'THALWEG_BACKEND asks for it');
  return engine!;
}

function use(which: BackendName, why: string): void {
  engine = make(which);
  name = which;
  threads = 0;
  reason = why;
}

/** Runs one kernel: byte offsets and numbers in the order of its row's signature. */
export function launch(kernel: KernelName, ...args: number[]): void {
  watcher?.launched(kernel, args);
  (engine ?? start())[kernel](...args);
}

/** Runs `fn` in double precision on the reference engine, whatever engine is in use. Tensors come back as float64 arrays. */
export function inDouble<T>(fn: () => T): T {
  const saved = [engine, name, heap.width] as const;
  engine = make('reference');
  name = 'reference';
  heap.width = 8;
  try {
    return fn();
  } finally {
    [engine, name, heap.width] = saved;
  }
}

/** The functions of the engine in use, which neither a recorder nor a tape sees. */
export const kernelsNow = (): Engine => engine ?? start();

/** The loaded addon, for those who pass it plain arrays; null while another engine runs. */
export function activeAddon(): NativeEngine | null {
  if (!engine) start();
  return name === 'native' ? native : null;
}

/** The engine behind the library, as `backend` in the public API. */
export const backend = {
  /** `native`, `wasm` or `reference`. */
  get name(): BackendName {
    if (!engine) start();
    return name;
  },
  /** What runs and why. */
  info(): BackendInfo {
    if (!engine) start();
    const active = name === 'native' ? native : null;
    return {
      name,
      reason,
      isa: active?.addon.isa() ?? (name === 'wasm' ? wasmIsa() : 'none'),
      isas: active?.addon.isas() ?? [],
      threads: active?.addon.threads() ?? (name === 'wasm' ? wasmThreads() : 1),
      ...(active ? { file: active.file } : {}),
      missing: active?.missing ?? [],
      heapBytes: heap.capacity,
      heapUsed: heap.used,
    };
  },
  /**
   * Switches the engine; tensors stay where they are.
   * @throws Error that says why, when that engine cannot start; the old one stays in use.
   */
  use(which: BackendName): void {
    use(checkChoice('backend.use', 'backend', which, BACKENDS), 'backend.use asked for it');
  },
  /** Threads that kernels may use; results do not depend on it. The reference engine has one. */
  get threads(): number {
    return backend.info().threads;
  },
  set threads(n: number) {
    checkNumber('backend.threads', 'threads', n, { min: 1, integer: true });
    if (!engine) start();
    setThreads(n);
  },
};
