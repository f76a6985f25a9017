// The memory of this process that is in main memory, as Linux counts it.
import { readFileSync, writeFileSync } from 'node:fs';

function status(field: string): number {
  const found = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync('/proc/self/status', 'utf8'));
  if (!found) throw new Error(`/proc/self/status does not tell ${field}`);
  return 1024 * Number(found[1]);
}

/** Bytes now. The peak counts from here. */
export function residentMemory(): number {
  writeFileSync('/proc/self/clear_refs', '5');
  return status('VmRSS');
}

/** Bytes at most since {@link residentMemory} was asked. */
export const peakMemory = (): number => status('VmHWM');
