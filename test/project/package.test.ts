// Facts of package.json that an installer, a bundler or `npm publish` would otherwise find out for us.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';

interface Manifest {
  scripts: Record<string, string>;
  files: string[];
  exports: Record<string, string | { types: string; default: string }>;
  bin: Record<string, string>;
  dependencies?: Record<string, string>;
  gypfile: boolean;
  engines: { node: string };
}

interface Lock {
  packages: Record<string, { dev?: boolean; devOptional?: boolean; hasInstallScript?: boolean }>;
}

const ROOT = path.resolve(import.meta.dirname, '../..');
const manifest = JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Manifest;
const node = (...args: string[]): string =>
  execFileSync(process.execPath, args, { cwd: ROOT, encoding: 'utf8' });

describe('package.json', () => {
  it('runs nothing on the machines of those who install the package', () => {
    const hooks = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish', 'prepack', 'postpack'];
    expect(Object.keys(manifest.scripts).filter((name) => hooks.includes(name))).toEqual([]);
    // npm runs node-gyp by itself when it sees this file.
    expect(existsSync(path.join(ROOT, 'binding.gyp'))).toBe(false);
    expect(manifest.gypfile).toBe(false);
  });

  it('needs no other package at run time that builds or downloads something when it is installed', () => {
    const lock = JSON.parse(readFileSync(path.join(ROOT, 'package-lock.json'), 'utf8')) as Lock;
    const shipped = Object.entries(lock.packages).filter(
      ([name, { dev, devOptional }]) => name && !dev && !devOptional,
    );
    expect(shipped.filter(([, { hasInstallScript }]) => hasInstallScript)).toEqual([]);
    expect(shipped.length).toBeLessThanOrEqual(Object.keys(manifest.dependencies ?? {}).length);
  });

  it('exports files that exist, types first', () => {
    const targets = Object.values(manifest.exports).flatMap((e) =>
      typeof e === 'string' ? [e] : Object.values(e),
    );
    for (const file of [...targets, ...Object.values(manifest.bin)])
      expect(existsSync(path.join(ROOT, file)), file).toBe(true);
    for (const entry of Object.values(manifest.exports))
      if (typeof entry !== 'string') expect(Object.keys(entry)[0]).toBe('types');
  });

  it('packs everything that an installed copy reads, and no source or test', () => {
    const npm =
      process.env['npm_execpath'] ??
      path.join(path.dirname(process.execPath), '../lib/node_modules/npm/bin/npm-cli.js');
    const [packed] = JSON.parse(node(npm, 'pack', '--dry-run', '--json', '--ignore-scripts')) as [
      { files: { path: string }[]; size: number },
    ];
    const names = packed.files.map((file) => file.path);
    for (const name of [
      'dist/index.js',
      'dist/index.d.ts',
      'dist/cli/main.js',
      'build/wasm/simd.wasm',
      'build/wasm/relaxed.wasm',
      'native/addon.cc',
      'CMakeLists.txt',
      'LICENSE',
    ])
      expect(names).toContain(name);
    expect(
      names.filter((name) => /^(src|test|bench|examples|scripts|assembly|reports)\//.test(name)),
    ).toEqual([]);
    expect(packed.size).toBeLessThan(5e6);
  });
});

describe('the entry points', () => {
  const entries = Object.keys(manifest.exports).filter((entry) => !entry.endsWith('.json'));

  it.each(entries)('%s can be imported, and required: nothing awaits at the top level', (entry) => {
    const name = path.posix.join('thalweg', entry);
    const imported = node(
      '--input-type=module',
      '-e',
      `console.log(Object.keys(await import('${name}')).sort().join())`,
    );
    const required = node(
      '--no-warnings',
      '-e',
      `console.log(Object.keys(require('${name}')).sort().join())`,
    );
    expect(imported.length).toBeGreaterThan(20);
    expect(imported).toBe(required.replace('__esModule,', ''));
  });

  it('importing the package starts no engine: that waits for the first kernel', () => {
    const run = (script: string) =>
      spawnSync(process.execPath, ['--input-type=module', '-e', script], {
        cwd: ROOT,
        encoding: 'utf8',
        env: { ...process.env, THALWEG_BACKEND: 'nothing' },
      });
    expect(run(`await import('thalweg')`).status).toBe(0);
    const used = run(`const { add } = await import('thalweg'); add([1], [2])`);
    expect(used.stderr).toContain('THALWEG_BACKEND');
    expect(used.status).toBe(1);
  });
});
