// The line of progress: a live one on terminals, plain lines elsewhere, and the words for numbers.
import { afterEach, describe, expect, test, vi } from 'vitest';
import { bar, canRedraw, Progress, showCount, showDuration } from '../../src/train/index.js';

const sink = (more: object = {}): { text: string; write(t: string): void } => ({
  text: '',
  write(t: string) {
    this.text += t;
  },
  ...more,
});

afterEach(() => vi.unstubAllEnvs());

describe('Progress', () => {
  test('redraws one line at most every 50 ms and computes no text that it does not show', () => {
    const stream = sink({ isTTY: true, columns: 12 });
    let now = 0;
    const progress = new Progress({ stream, live: true, now: () => now });
    const text = vi.fn(() => 'a line that is too long');
    for (now = 0; now < 100; now += 10) progress.update(text);
    expect(text).toHaveBeenCalledTimes(2);
    expect(stream.text).toBe('\ra line that\x1b[K'.repeat(2));
  });

  test('keeps logged lines above the live one, which comes back at once', () => {
    const stream = sink();
    const progress = new Progress({ stream, live: true, now: () => 0 });
    progress.update(() => 'busy');
    progress.log('done');
    progress.update(() => 'busy');
    progress.clear();
    expect(stream.text).toBe('\rbusy\x1b[K\r\x1b[Kdone\n\rbusy\x1b[K\r\x1b[K');
  });

  test('prints plain lines every few seconds without a terminal', () => {
    const stream = sink();
    let now = 0;
    const progress = new Progress({ stream, plainSeconds: 2, now: () => now });
    for (now = 0; now <= 5000; now += 500) progress.update(() => `at ${now}`);
    expect([progress.live, stream.text]).toEqual([false, 'at 0\nat 2000\nat 4000\n']);
  });

  test('takes a terminal for one only if it has columns and nothing asks for plain output', () => {
    vi.stubEnv('CI', '');
    vi.stubEnv('NO_COLOR', '');
    const terminal = { write: () => {}, isTTY: true, columns: 80 };
    expect(canRedraw(terminal)).toBe(true);
    expect(canRedraw({ ...terminal, columns: 0 })).toBe(false);
    expect(canRedraw({ ...terminal, isTTY: false })).toBe(false);
    vi.stubEnv('CI', 'true');
    expect(canRedraw(terminal)).toBe(false);
    vi.stubEnv('CI', '');
    vi.stubEnv('NO_COLOR', '1');
    expect(canRedraw(terminal)).toBe(false);
  });

  test('refuses options that it does not know', () => {
    expect(() => new Progress({ steam: sink() } as object)).toThrow(/did you mean "stream"\?/);
  });
});

test('Numbers in words', () => {
  expect(bar(0.5, 4)).toBe('██░░');
  expect(bar(7, 3)).toBe('███');
  expect([0.0123, 12.34, 59.96, 125, 3725, NaN].map(showDuration)).toEqual([
    '12 ms',
    '12.3 s',
    '1:00 min',
    '2:05 min',
    '1:02:05 h',
    '?',
  ]);
  expect(showCount(59999.6)).toBe('60,000');
});
