// Timing of one function by Benchmark.js, and what a list of samples says.
import Benchmark from 'benchmark';

/** Seconds a call, one figure for each sample that fits in about `seconds`. */
export function measure(fn: () => unknown, seconds: number): number[] {
  const bench = new Benchmark({
    fn,
    maxTime: seconds,
    // A sample lasts at least a hundred times the clock's resolution, and leaves time for ten of them.
    minTime: Math.min(0.05, seconds / 10),
    minSamples: 3,
  });
  bench.run();
  const { error } = bench as { error?: Error };
  if (error) throw error;
  return bench.stats.sample as number[];
}

export interface Summary {
  /** Seconds a call. */
  median: number;
  least: number;
  /** Half the width of the mean's 95 % confidence interval, as a part of the mean. */
  margin: number;
  samples: number;
}

export function median(list: readonly number[]): number {
  const sorted = [...list].sort((a, b) => a - b);
  const n = sorted.length;
  return (sorted[Math.floor((n - 1) / 2)]! + sorted[Math.ceil((n - 1) / 2)]!) / 2;
}

export function summary(list: readonly number[]): Summary {
  const n = list.length;
  const mean = list.reduce((a, b) => a + b, 0) / n;
  const variance = list.reduce((a, b) => a + (b - mean) ** 2, 0) / Math.max(1, n - 1);
  const margin = (1.96 * Math.sqrt(variance / n)) / mean;
  return { median: median(list), least: Math.min(...list), margin, samples: n };
}
