// Reports: what is read back, what the page holds, and that it needs nothing from outside.
import { describe, expect, test } from 'vitest';
import { smooth } from '../../src/train/reportpage.js';
import { parseReport, renderReport, type Report, type ReportRun } from '../../src/train/index.js';

const run = (name: string, accuracy: number | null): ReportRun => ({
  name,
  settings: 'lr 0.1',
  why: 'because',
  loss: [2, null, 0.5],
  lr: [0.1, 0.1, 0],
  accuracy: [{ step: 3, value: accuracy ?? 0 }],
  result: {
    accuracy,
    loss: 0.1,
    steps: 3,
    seconds: 1.5,
    samplesPerSecond: 1234.5,
    stepsToTarget: accuracy === null ? null : 3,
    stopped: '',
  },
});

const report = (more: Partial<Report> = {}): Report => ({
  format: 'thalweg-report',
  version: 1,
  title: 'A <title> & more',
  lead: 'lead',
  created: '2026-01-02T03:04:05.000Z',
  target: 0.97,
  seconds: 3,
  facts: [['Engine', 'native']],
  runs: [run('SGD', 0.981), run('</script><b>Adam', 0.992)],
  mistakes: {
    run: 'Adam',
    wrong: 2,
    of: 100,
    width: 2,
    height: 1,
    items: [{ pixels: 'AP8=', truth: '7', predicted: '1', confidence: 0.9999 }],
  },
  ...more,
});

describe('renderReport', () => {
  const page = renderReport(report());

  test('escapes what the report says', () => {
    expect(page).toContain('<title>A &#60;title&#62; &#38; more</title>');
    expect(page).not.toContain('<b>Adam');
    expect(page.match(/<script/g)).toHaveLength(3);
    expect(page.match(/<\/script>/g)).toHaveLength(3);
  });

  test('fetches nothing and says so to the browser', () => {
    expect(page).not.toMatch(/\s(src|href)=|@import|url\(/);
    expect(page).toContain("default-src 'none'");
  });

  test('puts the best run first and marks it', () => {
    const rows = [...page.matchAll(/<tr( class="best")?><td class="name"[^>]*>.*?<\/span>([^<]*)/g)];
    expect(rows.map(([, best, name]) => [Boolean(best), name])).toEqual([
      [true, '&#60;/script&#62;&#60;b&#62;Adam'],
      [false, 'SGD'],
    ]);
    expect(page).toContain('99.20 %');
  });

  test('carries the curves as data and the mistakes as pixels', () => {
    const data = JSON.parse(/id="data">(.*?)<\/script>/s.exec(page)![1]!);
    expect(data.lr[0]).toEqual([
      [1, 2, 3],
      [0.1, 0.1, 0],
    ]);
    expect(data.loss[0][1]).toEqual([2, null, 0.5]);
    expect(data.error[1]).toEqual([[3], [0.8]]);
    expect(page).toContain('data-pixels="AP8&#61;"'.replace('&#61;', '='));
    expect(page).toContain('99.9 % sure');
    expect(page).toContain('the 1 it was surest of');
  });

  test('works without runs, accuracies and mistakes', () => {
    expect(renderReport(report({ runs: [], mistakes: null }))).toContain('Results');
    expect(renderReport(report({ runs: [run('SGD', null)], mistakes: null }))).toContain('–');
  });
});

test('The smoothed loss starts without bias and passes over holes.', () => {
  expect(smooth([3, null, 3], 10).map((v) => v && Math.round(v * 1e9) / 1e9)).toEqual([3, null, 3]);
  const [first, second] = smooth([1, 0], 2);
  expect([first, second]).toEqual([1, 1 / 3]);
});

describe('parseReport', () => {
  test('reads back what was saved', () => {
    expect(parseReport('f', JSON.stringify(report()))).toEqual(report());
  });

  test.each([
    ['{', /^f: not JSON: .*; pass the \.json file that a training saved$/],
    ['[]', /^f: not a saved report/],
    [JSON.stringify({ ...report(), version: 2 }), /^f: report version 2 is unknown, this reads version 1/],
    [JSON.stringify({ ...report(), title: 3 }), /^f: "title" must be a string/],
    [JSON.stringify({ ...report(), runs: 3 }), /^f: "runs" must be an array, got 3/],
    [JSON.stringify({ ...report(), runs: [{}] }), /^f: run 0 needs "name", a string/],
    [
      JSON.stringify({ ...report(), runs: [{ ...run('a', 1), result: {} }] }),
      /^f: run 0 steps must be a finite number/,
    ],
    [JSON.stringify({ ...report(), target: 7 }), /^f: target must be a finite number >= 0 and <= 1, got 7/],
  ])('refuses %.40s', (text, message) => {
    expect(() => parseReport('f', text)).toThrow(message);
  });
});
