// Which engine runs, what says so, and what is said when one cannot: each case starts the library afresh.
import os from 'node:os';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { wasmBuilds } from '../../src/kernels/wasm.js';

type Launch = typeof import('../../src/kernels/launch.js');

async function fresh(env: Record<string, string>): Promise<Launch> {
  vi.resetModules();
  for (const name of ['THALWEG_BACKEND', 'THALWEG_ISA', 'THALWEG_THREADS', 'THALWEG_WASM'])
    vi.stubEnv(name, env[name]);
  return import('../../src/kernels/launch.js');
}

/** The library on a machine where files that end so do not exist. */
async function without(...endings: string[]): Promise<Launch> {
  vi.resetModules();
  vi.stubEnv('THALWEG_BACKEND', undefined);
  const fs = await vi.importActual<typeof import('node:fs')>('node:fs');
  vi.doMock('node:fs', () => ({
    ...fs,
    existsSync: (path: string) => !endings.some((ending) => path.endsWith(ending)) && fs.existsSync(path),
  }));
  return import('../../src/kernels/launch.js');
}

afterEach(() => {
  vi.unstubAllEnvs();
  vi.doUnmock('node:fs');
  vi.doUnmock('node:module');
});

const native = (await fresh({})).backend.info().name === 'native';

describe('the choice of engine', () => {
  it.each(['wasm', 'reference'] as const)(
    'THALWEG_BACKEND=%s forces it and the info says so',
    async (name) => {
      const { backend } = await fresh({ THALWEG_BACKEND: name });
      expect(backend.name).toBe(name);
      expect(backend.info().reason).toBe('THALWEG_BACKEND asks for it');
      const { threads } = backend.info();
      expect(threads).toBeGreaterThanOrEqual(1);
      expect(threads).toBeLessThanOrEqual(name === 'reference' ? 1 : os.availableParallelism());
    },
  );

  it('refuses an unknown engine by name, in the environment and in use()', async () => {
    const { backend } = await fresh({ THALWEG_BACKEND: 'gpu' });
    expect(() => backend.name).toThrow(
      /THALWEG_BACKEND: backend must be one of "native", "wasm", "reference", got "gpu"/,
    );
    const other = await fresh({ THALWEG_BACKEND: 'reference' });
    expect(() => other.backend.use('gpu' as never)).toThrow(
      /backend.use: backend must be one of .* got "gpu"/,
    );
    expect(other.backend.name).toBe('reference');
  });

  it('without an addon takes WASM and says why and what to do', async () => {
    const { backend } = await without('.node');
    expect(backend.name).toBe('wasm');
    expect(backend.info().reason).toMatch(
      /native: no addon is built for this machine; run `thalweg build-native`/,
    );
    expect(() => backend.use('native')).toThrow(/no addon is built/);
    expect(backend.name).toBe('wasm');
  });

  it('warns when nothing but the reference engine is left, and not when that was asked for', async () => {
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
    const asked = await fresh({ THALWEG_BACKEND: 'reference' });
    expect(asked.backend.name).toBe('reference');
    expect(warn).not.toHaveBeenCalled();
    const { backend } = await without('.node', '.wasm');
    expect(backend.name).toBe('reference');
    expect(warn).toHaveBeenCalledOnce();
    expect(warn.mock.calls[0]![0]).toMatch(
      /reference engine, a thousand times slower.*no addon is built.*build:wasm/,
    );
    warn.mockRestore();
  });

  it.runIf(native)('with an addon that does not load takes WASM and says why', async () => {
    vi.resetModules();
    vi.stubEnv('THALWEG_BACKEND', undefined);
    vi.doMock('node:module', () => ({
      createRequire: () => () => {
        throw new Error('thalweg.node: cannot open shared object file: wrong ELF class');
      },
    }));
    const { backend } = (await import('../../src/kernels/launch.js')) as Launch;
    expect(backend.name).toBe('wasm');
    expect(backend.info().reason).toMatch(/native: the addon did not load \(.*wrong ELF class\)/);
  });

  it('without a WASM file either takes the reference, and forcing WASM is an error', async () => {
    vi.resetModules();
    const fs = await vi.importActual<typeof import('node:fs')>('node:fs');
    vi.doMock('node:fs', () => ({ ...fs, existsSync: () => false }));
    const { backend } = (await import('../../src/kernels/launch.js')) as Launch;
    vi.stubEnv('THALWEG_BACKEND', undefined);
    expect(backend.name).toBe('reference');
    expect(backend.info().reason).toMatch(/(simd|relaxed)\.wasm is missing; run `npm run build:wasm`/);
    expect(() => backend.use('wasm')).toThrow(/(simd|relaxed)\.wasm is missing/);
  });

  it('without WebAssembly SIMD says so', async () => {
    const api = (globalThis as unknown as { WebAssembly: { validate: (b: Uint8Array) => boolean } })
      .WebAssembly;
    const validate = vi.spyOn(api, 'validate').mockReturnValue(false);
    const { backend } = await fresh({ THALWEG_BACKEND: 'wasm' });
    expect(() => backend.name).toThrow(/wasm: this runtime has no WebAssembly SIMD/);
    validate.mockRestore();
  });

  const relaxed = wasmBuilds().includes('relaxed');

  it('takes the relaxed WASM build where it runs; THALWEG_WASM=simd forces the plain one', async () => {
    const { backend } = await fresh({ THALWEG_BACKEND: 'wasm' });
    expect(backend.info().isa).toBe(relaxed ? 'relaxed simd128' : 'simd128');
    const plain = await fresh({ THALWEG_BACKEND: 'wasm', THALWEG_WASM: 'simd' });
    expect(plain.backend.info().isa).toBe('simd128');
  });

  it('THALWEG_WASM=relaxed demands that build, and other names are refused', async () => {
    const { backend } = await fresh({ THALWEG_BACKEND: 'wasm', THALWEG_WASM: 'relaxed' });
    if (relaxed) expect(backend.info().isa).toBe('relaxed simd128');
    else expect(() => backend.name).toThrow(/THALWEG_WASM: Node [\d.]+ has no relaxed SIMD/);
    const wrong = await fresh({ THALWEG_BACKEND: 'wasm', THALWEG_WASM: 'fast' });
    expect(() => wrong.backend.name).toThrow(/THALWEG_WASM: build must be one of .* got "fast"/);
  });

  it.runIf(native)(
    'THALWEG_ISA forces a lower instruction set, and refuses one that is not there',
    async () => {
      const { backend } = await fresh({ THALWEG_BACKEND: 'native' });
      const lowest = backend.info().isas.at(-1)!;
      const lower = await fresh({ THALWEG_BACKEND: 'native', THALWEG_ISA: lowest });
      expect(lower.backend.info().isa).toBe(lowest);
      const wrong = await fresh({ THALWEG_ISA: 'avx1024' });
      expect(() => wrong.backend.name).toThrow(/THALWEG_ISA: isa must be one of .*, got "avx1024"/);
    },
  );

  it.each(native ? ['native', 'wasm'] : ['wasm'])(
    'THALWEG_THREADS and backend.threads set the threads of %s, and refuse nonsense',
    async (name) => {
      const { backend } = await fresh({ THALWEG_BACKEND: name, THALWEG_THREADS: '1' });
      expect(backend.threads).toBe(1);
      backend.threads = 2;
      expect(backend.info().threads).toBe(2);
      expect(() => (backend.threads = 0)).toThrow(/backend.threads: threads must be an integer >= 1, got 0/);
      const wrong = await fresh({ THALWEG_BACKEND: name, THALWEG_THREADS: 'many' });
      expect(() => wrong.backend.name).toThrow(/THALWEG_THREADS: threads must be an integer >= 1, got NaN/);
    },
  );

  it.runIf(native)('can change while tensors exist, and they keep their values', async () => {
    vi.resetModules();
    vi.stubEnv('THALWEG_BACKEND', 'native');
    const t = await import('../../src/index.js');
    const x = t.tensor([1, 2, 3]);
    const y = x.mul(2).keep();
    t.backend.use('wasm');
    expect(y.add(x).toArray()).toEqual([3, 6, 9]);
    t.backend.use('reference');
    expect(y.mul(y).toArray()).toEqual([4, 16, 36]);
  });
});
