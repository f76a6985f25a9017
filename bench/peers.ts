// The peers: where each is looked for. All are optional.
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Peer } from './peer.js';

// This file runs from build/apps/bench.
const root = fileURLToPath(new URL('../../../', import.meta.url));
const installed = path.join(root, 'build', 'peers');
const TFJS = ['@tensorflow/tfjs@4.22.0', '@tensorflow/tfjs-backend-wasm@4.22.0'];

/** PyTorch keeps the memory that it frees, as its users are told to arrange: page faults would be most of its time. */
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

export function startPeers(): Promise<Peer[]> {
  return Promise.all([
    Peer.start('PyTorch', {
      file: process.env['THALWEG_PYTHON'] ?? 'python3',
      args: ['-u', path.join(root, 'bench', 'peers', 'torch.py')],
      env: KEEP_MEMORY,
    }),
    Peer.start('tfjs-wasm', {
      file: process.execPath,
      args: [fileURLToPath(new URL('peers/tfjs.js', import.meta.url)), installed],
    }),
  ]);
}
