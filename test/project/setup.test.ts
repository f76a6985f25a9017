// The set-up script: what it says when the native engine cannot be built, and that it is quick when all is there.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { whyNoNative } from '../../scripts/setup.mjs';

const SCRIPT = path.resolve(import.meta.dirname, '../../scripts/setup.mjs');
const folder = mkdtempSync(path.join(os.tmpdir(), 'thalweg set up '));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function program(name: string): void {
  const file = path.join(folder, name);
  writeFileSync(file, '');
  chmodSync(file, 0o755);
}

const setup = (env: NodeJS.ProcessEnv, ...args: string[]): { stderr: string; status: number | null } =>
  spawnSync(process.execPath, [SCRIPT, ...args], { cwd: folder, env, encoding: 'utf8' });

describe.skipIf(process.platform === 'win32')('set-up', () => {
  it('names what is missing: the compiler first, then cmake', () => {
    expect(whyNoNative({ PATH: '' })).toBe('no C++ compiler');
    expect(whyNoNative({ PATH: folder })).toBe('no C++ compiler');
    program('g++');
    expect(whyNoNative({ PATH: folder })).toBe('no cmake');
    expect(whyNoNative({ PATH: folder, CXX: '/nowhere/c++' })).toBe('no C++ compiler');
    program('cmake');
    expect(whyNoNative({ PATH: `/nowhere${path.delimiter}${folder}` })).toBeNull();
  });

  it('says in one line that WASM is used, from any folder and without a PATH', () => {
    const { stderr, status } = setup({ PATH: '' }, 'native');
    expect(stderr).toBe('setup: the native engine is not built (no C++ compiler); WASM is used\n');
    expect(status).toBe(0);
  });

  it('refuses a step that it does not know', () => {
    const { stderr, status } = setup({ PATH: '' }, 'wsam');
    expect(stderr).toContain('no step "wsam"; the steps are wasm, ts, apps, native');
    expect(status).toBe(1);
  });
});
