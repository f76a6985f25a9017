// The line of the user's program that called into the library, for warnings.
import { fileURLToPath } from 'node:url';

const LIBRARY = fileURLToPath(new URL('..', import.meta.url));

/** ` (at file:line:column)` of the innermost frame outside the library, or nothing where there is none. */
export function userLine(): string {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 60;
  const stack = new Error().stack ?? '';
  Error.stackTraceLimit = limit;
  for (const line of stack.split('\n').slice(1)) {
    const place = /(?:file:\/\/)?(\/[^()]*|[A-Za-z]:\\[^()]*):(\d+):(\d+)\)?$/.exec(line);
    if (!place || line.includes('node:') || decodeURI(place[1]!).startsWith(LIBRARY)) continue;
    return ` (at ${place[1]}:${place[2]}:${place[3]})`;
  }
  return '';
}
