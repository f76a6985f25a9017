// The peers: where each is looked for. All are optional.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Peer, type Command } from './peer.js';

// This file runs from build/apps/bench.
const root = fileURLToPath(new URL('../../../', import.meta.url));
const installed = path.join(root, 'build', 'peers');
const TFJS = ['@tensorflow/tfjs@4.22.0', '@tensorflow/tfjs-backend-wasm@4.22.0'];

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
    ['install', '--no-audit', '--no-fund', '--prefix', installed, ...TFJS],
    {
      stdio: ['ignore', 'inherit', 'inherit'],
      shell: process.platform === 'win32',
    },
  );
  if (status !== 0) throw new Error('the peers could not be installed');
}

/** `-B`: nothing is written beside the sources. */
const python = (script: string, ...args: string[]): Command => ({
  file: process.env['THALWEG_PYTHON'] ?? 'python3',
  args: ['-uB', path.join(root, 'bench', 'peers', script), ...args],
  env: KEEP_MEMORY,
});

/** JAX settles its threads when it starts, so there is one for each number of threads. */
export function startPeers(threads: readonly number[]): Promise<Peer[]> {
  return Promise.all([
    Peer.start('PyTorch', python('torch.py')),
    ...threads.map((n) => Peer.start('JAX', python('jax.py', String(n)))),
    Peer.start('tfjs-wasm', {
      file: process.execPath,
      args: [fileURLToPath(new URL('peers/tfjs.js', import.meta.url)), installed],
    }),
  ]);
}
