// The peers: where each is looked for. All are optional. This library is one of them where it must start anew to run
// in another way.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { activeAddon, type BackendName } from '#thalweg/kernels/launch';
import { wasmBuilds } from '#thalweg/kernels/wasm';
import { Peer, type Command } from './peer.js';
import { GROUPS } from './works.js';

// This file runs from build/apps/bench.
const root = fileURLToPath(new URL('../../../', import.meta.url));
const installed = path.join(root, 'build', 'peers');
const PACKAGES = [
  '@tensorflow/tfjs@4.22.0',
  '@tensorflow/tfjs-backend-wasm@4.22.0',
  '@jax-js/jax@0.1.25',
  'numpy-ts@1.7.0',
];

/** Python's peers keep the memory that they free, as PyTorch's users are told to arrange: page faults would be most of its time. */
const KEEP_MEMORY = {
  MALLOC_TRIM_THRESHOLD_: '1099511627776',
  MALLOC_TOP_PAD_: '67108864',
  MALLOC_MMAP_MAX_: '0',
};

/** Installs the JavaScript peers into build/peers, out of the way of this package. */
export function installPeers(): void {
  mkdirSync(installed, { recursive: true });
  const { status } = spawnSync(
    'npm',
    ['install', '--no-audit', '--no-fund', '--prefix', installed, ...PACKAGES],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      shell: process.platform === 'win32',
    },
  );
  if (status !== 0) throw new Error('the peers could not be installed');
}

/** `-B`: nothing is written beside the sources. Compiling a model may take minutes. */
const python = (script: string, ...args: string[]): Command => ({
  file: process.env['THALWEG_PYTHON'] ?? 'python3',
  args: ['-uB', path.join(root, 'bench', 'peers', script), ...args],
  env: { TORCHINDUCTOR_CACHE_DIR: path.join(root, 'build', 'bench', 'inductor') },
  patience: 600,
});

const node = (script: string): Command => ({
  file: process.execPath,
  args: ['--expose-gc', fileURLToPath(new URL(`peers/${script}`, import.meta.url)), installed],
  patience: 40,
});

/** This library in a process of its own, with settings, for works of some groups. */
function own(env: NodeJS.ProcessEnv, groups: readonly string[]): Command {
  const { file, args } = node('thalweg.js');
  return { file, args: [...args, ...groups], env, patience: 120, own: true };
}

interface Entry {
  name: string;
  command: (threads: number) => Command;
  /** It settles its threads, or what it compiles, when it starts: one process runs for each number of threads. */
  fixed?: boolean;
}

const EAGER: Entry = {
  name: 'native, eager',
  command: () => own({ THALWEG_BACKEND: 'native', THALWEG_REPLAY: 'off' }, ['steps']),
};

/** This library with the instruction sets of this machine that it would not take by itself. */
function lesser(): Entry[] {
  const entry = (backend: BackendName, isa: string, env: NodeJS.ProcessEnv): Entry => ({
    name: `${backend}, ${isa}`,
    command: () => own({ THALWEG_BACKEND: backend, ...env }, Object.keys(GROUPS)),
  });
  const native = activeAddon()?.addon;
  const isas = native?.isas().filter((isa) => isa !== native.isa()) ?? [];
  const builds = wasmBuilds().slice(1);
  return [
    ...isas.map((isa) => entry('native', isa, { THALWEG_ISA: isa })),
    ...builds.map((build) => entry('wasm', build, { THALWEG_WASM: build })),
  ];
}
const PYTHON: readonly Entry[] = [
  { name: 'PyTorch', command: () => python('pytorch.py') },
  { name: 'torch.compile', command: (n) => python('pytorch.py', String(n)), fixed: true },
  { name: 'JAX', command: (n) => python('jax_peer.py', String(n)), fixed: true },
];
/** Optimizers alone. */
const DEFAULT: Entry = { name: 'PyTorch default', command: () => python('pytorch.py', 'default') };
const SCRIPTS: readonly Entry[] = [
  { name: 'tfjs-wasm', command: () => node('tfjs.js') },
  { name: 'jax-js', command: () => node('jaxjs.js') },
  { name: 'numpy-ts', command: () => node('numpyts.js') },
];

const start = (entries: readonly Entry[], threads: readonly number[]): Promise<Peer[]> =>
  Promise.all(
    entries.flatMap(({ name, command, fixed }) =>
      (fixed ? threads : threads.slice(0, 1)).map((n) => {
        const { env, ...rest } = command(n);
        return Peer.start(name, { ...rest, env: { ...env, ...KEEP_MEMORY } });
      }),
    ),
  );

/** Which peers are asked, by name. */
export type Wanted = (name: string) => boolean;

/** Those whose times are taken; this library's eager form always, with lesser instruction sets only if asked. */
export const startPeers = (threads: readonly number[], wanted: Wanted, allIsas: boolean): Promise<Peer[]> =>
  start(
    [
      EAGER,
      ...(allIsas ? lesser() : []),
      ...[...PYTHON, DEFAULT, ...SCRIPTS].filter(({ name }) => wanted(name)),
    ],
    threads,
  );

/**
 * Those whose memory is measured, each to be started for one step. They free memory as they like: kept, it would be
 * counted as theirs.
 */
export const memorySides = (wanted: Wanted): (readonly [string, Command])[] =>
  [
    { name: 'native', command: () => own({ THALWEG_BACKEND: 'native' }, ['steps']) },
    EAGER,
    { name: 'wasm', command: () => own({ THALWEG_BACKEND: 'wasm' }, ['steps']) },
    ...PYTHON.filter(({ name }) => wanted(name)),
  ].map(({ name, command }) => [name, command(1)]);
