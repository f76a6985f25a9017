// The layers of src/: a file imports from its own layer or a lower one.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';

const SRC = path.resolve(import.meta.dirname, '../../src');
const LAYERS = [
  ['memory'],
  ['kernels'],
  ['tensor'],
  ['ops', 'vision'],
  ['autodiff', 'replay'],
  ['nn', 'optim', 'schedule', 'data', 'io'],
  ['train', 'cli', 'index.ts', 'kernels.ts'],
];
const IMPORT = /^(?:import|export)\s(?:[^;'"]*?\sfrom\s)?['"](\.[^'"]+)['"]/gm;
const TYPE_ONLY = /^(?:import|export)\s+type\s/;

const files = readdirSync(SRC, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'));
const layerOf = (file: string): number =>
  LAYERS.findIndex((names) => names.includes(file.split(path.sep)[0]!));

/** Relative imports of a file as paths in src; types of the tensor layer do not count, nor the builder of errors. */
function imports(file: string): string[] {
  return [...readFileSync(path.join(SRC, file), 'utf8').matchAll(IMPORT)]
    .map(([line, target]) => ({
      typeOnly: TYPE_ONLY.test(line),
      target: path.join(path.dirname(file), target!.replace(/\.js$/, '.ts')),
    }))
    .filter(({ target }) => target !== path.join('tensor', 'errors.ts'))
    .filter(({ typeOnly, target }) => !(typeOnly && /^(tensor|ops.methods\.ts$)/.test(target)))
    .map(({ target }) => target);
}

it('every file of src belongs to a layer', () => {
  expect(files.length).toBeGreaterThan(20);
  expect(files.filter((file) => layerOf(file) < 0)).toEqual([]);
});

it('no file imports from a higher layer', () => {
  const upward = files.flatMap((file) =>
    imports(file)
      .filter((target) => layerOf(target) > layerOf(file))
      .map((target) => `${file} imports ${target}`),
  );
  expect(files.flatMap(imports).length).toBeGreaterThan(files.length);
  expect(upward).toEqual([]);
});

it('tensor/errors.ts, which every layer may import, imports nothing', () => {
  expect(imports(path.join('tensor', 'errors.ts'))).toEqual([]);
});
