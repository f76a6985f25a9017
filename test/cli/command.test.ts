// The command `thalweg`: its subcommands, and one sentence for whatever is wrong.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { main } from '../../src/cli/main.js';
import { helpLines, parseOptions } from '../../src/cli/options.js';
import { backend } from '../../src/index.js';

let printed: string[] = [];
let folder = '';

beforeEach(() => {
  printed = [];
  folder = mkdtempSync(path.join(tmpdir(), 'thalweg-cli-'));
  vi.spyOn(console, 'log').mockImplementation((...parts: unknown[]) => void printed.push(parts.join(' ')));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true });
});

const output = (): string => printed.join('\n');

describe('thalweg', () => {
  test('doctor tells the engine, why, threads and Node, and leaves the engine as it was', async () => {
    const before = backend.name;
    const code = await main(['doctor']);
    expect(code).toBe(before === 'reference' ? 1 : 0);
    expect(output()).toMatch(new RegExp(`^engine +${before}$`, 'm'));
    for (const label of ['why', 'isa', 'threads', 'node', 'machine']) expect(output()).toMatch(`${label} `);
    expect(output()).toContain(process.version);
    expect(backend.name).toBe(before);
  });

  test('prints its commands for --help, and with exit code 1 for nothing at all', async () => {
    expect(await main(['--help'])).toBe(0);
    expect(await main([])).toBe(1);
    for (const name of ['doctor', 'train', 'bench', 'report', 'build-native'])
      expect(output()).toContain(`thalweg ${name}`);
  });

  test('prints its version', async () => {
    await main(['--version']);
    expect(output()).toMatch(/^\d+\.\d+\.\d+$/);
  });

  test.each([
    [['docter'], /^thalweg: unknown command "docter"; did you mean doctor\?$/],
    [['--verson'], /^thalweg: unknown option "--verson"/],
    [['doctor', '--fast'], /^thalweg doctor: unknown option --fast/],
    [['doctor', 'me'], /^thalweg doctor: takes no arguments, got "me"/],
    [['train'], /^thalweg train: what to train is missing; thalweg train mnist/],
    [['train', 'minst'], /^thalweg train: unknown training "minst"; did you mean mnist\?/],
    [['report'], /^thalweg report: the saved run is missing; thalweg report FILE.json/],
    [['report', 'a', 'b'], /^thalweg report: one file at a time, got "b" too/],
    [['report', 'nowhere.json'], /^thalweg report: nowhere.json: there is no such file/],
    [['report', '--uot', 'x'], /^thalweg report: unknown option --uot; did you mean --out\?/],
    [['report', 'x', '--out'], /^thalweg report: --out needs a value; --out FILE.html/],
  ])('refuses %j', async (args, message) => {
    await expect(main(args)).rejects.toThrow(message);
  });

  test('report renders a saved run beside it, or where --out says', async () => {
    const saved = path.join(folder, 'run.json');
    const report = {
      title: 'T',
      lead: 'L',
      created: '2026-01-01T00:00',
      target: 0.9,
      seconds: 1,
      facts: [],
      runs: [],
    };
    writeFileSync(saved, JSON.stringify({ format: 'thalweg-report', version: 1, mistakes: null, ...report }));
    expect(await main(['report', saved])).toBe(0);
    const other = path.join(folder, 'other.html');
    await main(['report', saved, '--out', other]);
    expect(printed).toEqual([path.join(folder, 'run.html'), other]);
    expect(readFileSync(other, 'utf8')).toMatch(/^<!doctype html>/);
  });
});

describe('options', () => {
  const table = {
    count: { kind: 'number', value: 'N', help: 'how many', rule: { min: 1, integer: true } },
    fast: { kind: 'flag', help: 'hurry' },
    names: { kind: 'list', value: 'A,B', help: 'which' },
    colour: { kind: 'text', value: 'NAME', help: 'red or blue', choices: ['red', 'blue'] },
  } as const;
  const parse = (...args: string[]): unknown => parseOptions('job', args, table);

  test('come out with their types', () => {
    expect(parse('--count', '3', '--fast', '--names=a, b', 'rest', '--colour', 'red')).toEqual({
      values: { count: 3, fast: true, names: ['a', 'b'], colour: 'red' },
      positionals: ['rest'],
      help: false,
    });
    expect(parse('-h')).toMatchObject({ help: true });
  });

  test.each([
    [['--cuont', '3'], /^job: unknown option --cuont; did you mean --count\?/],
    [['--toString'], /^job: unknown option --toString/],
    [['-x'], /^job: unknown option -x; known: --count, --fast, --names, --colour/],
    [['--count', 'many'], /^job: --count must be an integer >= 1, got NaN/],
    [['--count', '--fast'], /^job: --count needs a value; --count N/],
    [['--fast=no'], /^job: --fast takes no value, got "no"/],
    [['--colour', 'bleu'], /^job: unknown --colour "bleu"; did you mean blue\?/],
  ])('are refused in %j', (args, message) => {
    expect(() => parse(...args)).toThrow(message);
  });

  test('explain themselves', () => {
    expect(helpLines(table).split('\n')[0]).toBe('  --count N      how many');
  });
});
