// A live line of progress for a terminal, and plain lines every few seconds where there is none. Nothing here computes:
// the text is a function that is called only when it will be shown.
import { checkNumber, checkOptions } from '../tensor/errors.js';

/** Between two redraws of the live line; more often than this nobody can read. */
const REDRAW_MS = 50;

/** What {@link Progress} writes to: `process.stderr`, or anything with a `write`. */
export interface ProgressStream {
  write(text: string): unknown;
  isTTY?: boolean;
  columns?: number;
}

export interface ProgressOptions {
  /** `process.stderr` unless given, so that results on standard output stay clean. */
  stream?: ProgressStream;
  /** Whether to redraw one line; by default only on a terminal with columns, without `CI` and `NO_COLOR`. */
  live?: boolean;
  /** Seconds between two plain lines where there is no live line; Infinity for none. */
  plainSeconds?: number;
  /** Milliseconds, monotonic. */
  now?: () => number;
}

const set = (name: string): boolean => (process.env[name] ?? '') !== '';

/** Whether `stream` can show a line that redraws itself. */
export const canRedraw = (stream: ProgressStream): boolean =>
  stream.isTTY === true && (stream.columns ?? 0) > 0 && !set('CI') && !set('NO_COLOR');

/** One line that tells how far the work is. */
export class Progress {
  readonly live: boolean;
  private readonly stream: ProgressStream;
  private readonly interval: number;
  private readonly now: () => number;
  private last = -Infinity;
  private drawn = false;

  constructor(options: ProgressOptions = {}) {
    checkOptions('Progress', options, ['stream', 'live', 'plainSeconds', 'now']);
    const { stream = process.stderr, live = canRedraw(stream), plainSeconds = 5 } = options;
    this.stream = stream;
    this.live = live;
    this.now = options.now ?? (() => performance.now());
    const seconds =
      plainSeconds === Infinity
        ? Infinity
        : checkNumber('Progress', 'plainSeconds', plainSeconds, { min: 0 });
    this.interval = live ? REDRAW_MS : seconds * 1000;
  }

  /** Shows `text()` if the last one is old enough. */
  update(text: () => string): void {
    const now = this.now();
    if (now - this.last < this.interval) return;
    this.last = now;
    if (!this.live) return void this.stream.write(`${text()}\n`);
    const width = Math.max(1, (this.stream.columns || 80) - 1);
    this.stream.write(`\r${text().slice(0, width)}\x1b[K`);
    this.drawn = true;
  }

  /** Prints lines that stay; the live line is drawn again below them. */
  log(text: string): void {
    this.clear();
    this.stream.write(`${text}\n`);
  }

  /** Takes the live line away. */
  clear(): void {
    if (this.drawn) this.stream.write('\r\x1b[K');
    this.drawn = false;
    if (this.live) this.last = -Infinity;
  }
}

/** `████░░░░`: `fraction` of `width` cells. */
export function bar(fraction: number, width = 20): string {
  const filled = Math.round(Math.min(1, Math.max(0, fraction)) * width);
  return '█'.repeat(filled) + '░'.repeat(width - filled);
}

/** `850 ms`, `12.3 s`, `2:05 min` or `1:02:05 h`. */
export function showDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?';
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 59.95) return `${seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  const two = (n: number): string => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)} h` : `${m}:${two(s)} min`;
}

/** `60,000`: a whole number with its thousands apart, the same on every machine. */
export const showCount = (n: number): string => Math.round(n).toLocaleString('en-US');
