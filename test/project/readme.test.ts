// Every JavaScript or TypeScript block of README.md and docs/kernels.md runs against the built package, as a reader would run
// it. A block of another kind, or one whose opening line says `text`, is prose.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ts from 'typescript';
import { afterAll, describe, expect, it } from 'vitest';
import * as kernels from '../../src/kernels.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const README = path.join(ROOT, 'README.md');
const KERNELS = path.join(ROOT, 'docs/kernels.md');

interface Block {
  line: number;
  language: 'js' | 'ts' | 'cjs';
  code: string;
}

const LANGUAGES: Record<string, Block['language']> = {
  js: 'js',
  javascript: 'js',
  mjs: 'js',
  ts: 'ts',
  typescript: 'ts',
  cjs: 'cjs',
};

/** The blocks of a Markdown text that are to be run. */
function blocks(markdown: string): Block[] {
  return [...markdown.matchAll(/^```(\S*)([^\n]*)\n([\s\S]*?)^```\s*$/gm)].flatMap((match) => {
    const [, name, rest, code] = match as unknown as [string, string, string, string];
    const language = LANGUAGES[name.toLowerCase()];
    if (!language || /\btext\b/.test(rest)) return [];
    return [{ line: markdown.slice(0, match.index).split('\n').length, language, code }];
  });
}

/** What a block says that it prints: the comments behind its calls of console.log. */
const promised = ({ code }: Block): string =>
  [...code.matchAll(/^console\.log\(.*\); \/\/ (.*\n)/gm)].map(([, text]) => text).join('');

/** What node is to run: TypeScript loses its types. */
function javascript({ language, code }: Block): string {
  if (language !== 'ts') return code;
  const compilerOptions = { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 };
  return ts.transpileModule(code, { compilerOptions }).outputText;
}

// Inside the checkout, so that `thalweg` is found by its own name.
mkdirSync(path.join(ROOT, 'build'), { recursive: true });
const folder = mkdtempSync(path.join(ROOT, 'build', 'readme-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a block in an empty folder and returns what it printed. */
function run(block: Block): string {
  const file = path.join(folder, `line${block.line}.${block.language === 'cjs' ? 'cjs' : 'mjs'}`);
  writeFileSync(file, javascript(block));
  return execFileSync(process.execPath, [file], { cwd: folder, encoding: 'utf8', timeout: 110_000 });
}

describe('the runner of README blocks', () => {
  it('finds what is to be run, and leaves prose alone', () => {
    const text =
      'a\n```js\n1;\n```\n```ts text\n2;\n```\n```bash\nls\n```\n```ts\nconst x: number = 3;\n```\n';
    expect(blocks(text)).toEqual([
      { line: 2, language: 'js', code: '1;\n' },
      { line: 11, language: 'ts', code: 'const x: number = 3;\n' },
    ]);
  });

  it('runs a block with types and fails when the block throws', () => {
    const code = `import { tensor } from 'thalweg';\nconst n: number = tensor([1, 2]).size;\nconsole.log(n);\n`;
    expect(run({ line: 0, language: 'ts', code })).toBe('2\n');
    expect(() => run({ line: 1, language: 'js', code: `throw new Error('as the block says');` })).toThrow(
      'as the block says',
    );
  });
});

if (existsSync(README))
  describe('README.md', () => {
    const found = blocks(readFileSync(README, 'utf8'));
    it('has code to run', () => expect(found.length).toBeGreaterThan(0));
    it.each(found)('the $language block at line $line runs', (block) => {
      expect(() => run(block)).not.toThrow();
    });
  });

describe('docs/kernels.md', () => {
  const found = blocks(readFileSync(KERNELS, 'utf8'));
  it('has an example for every group', () => expect(found.length).toBeGreaterThanOrEqual(8));
  it.each(found)('the $language block at line $line prints what it says', (block) => {
    expect(promised(block)).not.toBe('');
    expect(run(block)).toBe(promised(block));
  });
  it('names every function of thalweg/kernels', () => {
    const text = readFileSync(KERNELS, 'utf8');
    const names = new Set(text.match(/\w+/g));
    expect(Object.keys(kernels).filter((name) => !names.has(name))).toEqual([]);
  });
});
