// The heap, its scopes, and storages that move between them.
import { describe, expect, it } from 'vitest';
import { currentScope, openScope } from '../../src/memory/arena.js';
import { ALIGNMENT, heap } from '../../src/memory/heap.js';
import { Storage } from '../../src/memory/storage.js';
import { generator, seedOf, SEED } from '../support/random.js';

describe(`heap (seed ${SEED})`, () => {
  it('keeps blocks apart and gives all memory back, in any order', () => {
    const random = generator(seedOf('heap'));
    const before = heap.used;
    const live = new Map<number, number>();
    let lengthened = 0;
    for (let step = 0; step < 2000; step++) {
      if (live.size > 0 && random() < 0.5) {
        const at = [...live.keys()][Math.floor(random() * live.size)]!;
        if (random() < 0.5) {
          const more = ALIGNMENT * Math.ceil(random() * 50);
          const old = live.get(at)!;
          const end = at + ALIGNMENT * Math.ceil(old / ALIGNMENT);
          if (!heap.lengthen(at, more)) continue;
          lengthened++;
          for (const other of live.keys()) expect(other <= at || other >= end + more).toBe(true);
          live.set(at, end - at + more);
          continue;
        }
        heap.release(at);
        live.delete(at);
      } else {
        const bytes = 1 + Math.floor(random() ** 4 * 300_000);
        const at = heap.allocate(bytes);
        expect(at % ALIGNMENT).toBe(0);
        for (const [other, size] of live) expect(at + bytes <= other || other + size <= at).toBe(true);
        live.set(at, bytes);
      }
    }
    for (const at of live.keys()) heap.release(at);
    expect(heap.used).toBe(before);
    expect(lengthened).toBeGreaterThan(20);
  });

  it('makes the last block longer by growing, and one before another not at all', () => {
    const all = heap.capacity;
    const [first, last] = [heap.allocate(all), heap.allocate(64)];
    heap.f32[last / 4] = 5;
    expect(heap.lengthen(first, 64)).toBe(false);
    expect(heap.lengthen(last, heap.capacity)).toBe(true);
    expect(heap.capacity).toBeGreaterThan(2 * all);
    expect(heap.f32[last / 4]).toBe(5);
    const after = heap.allocate(64);
    expect(after < last || after >= last + 64 + all).toBe(true);
    for (const at of [first, last, after]) heap.release(at);
  });

  it('keeps the bytes of live blocks when it grows', () => {
    const a = heap.allocate(64);
    heap.f32.fill(3.25, a / 4, a / 4 + 16);
    const old = new Float32Array(heap.memory.buffer as unknown as ArrayBuffer, a, 16);
    const b = heap.allocate(heap.capacity + 1);
    expect([...heap.f32.subarray(a / 4, a / 4 + 16)]).toEqual(Array(16).fill(3.25));
    heap.f32[a / 4] = 7;
    expect(old[0]).toBe(7);
    heap.release(a);
    heap.release(b);
  });

  it('refuses what it cannot hold with the bytes wanted and held, and goes on working', () => {
    expect(() => heap.allocate(2 ** 33)).toThrow(
      /heap: cannot grow by \d+ bytes; \d+ bytes of \d+ are in use/,
    );
    const at = heap.allocate(64);
    heap.release(at);
  });

  it('refuses to release what is not a block', () => {
    expect(() => heap.release(12345)).toThrow(/12345 is not the start of a live block/);
  });
});

describe('scopes', () => {
  it('reuse the same memory step after step, whatever order they end in', () => {
    const steps = (n: number): number => {
      for (let k = 0; k < n; k++) {
        const a = openScope();
        Storage.inScope(100_000 + (k % 7) * 1000);
        const b = openScope();
        Storage.inScope(500_000);
        if (k % 2) {
          a.end();
          b.end();
        } else {
          b.end();
          a.end();
        }
      }
      return heap.used;
    };
    const settled = steps(20);
    expect(steps(1000)).toBe(settled);
    expect(currentScope()).toBe(null);
  });

  it('take no more than they hand out where the heap behind them is free', () => {
    const before = heap.used;
    const scope = openScope();
    for (let k = 0; k < 40; k++) Storage.inScope(100_000);
    expect(heap.used - before).toBeLessThan(40 * 400_000 + (1 << 17));
    scope.end();
    expect(heap.used).toBe(before);
  });

  it('kill their tensors when they end, with the fix in the message', () => {
    const scope = openScope();
    const dead = Storage.inScope(4);
    scope.end();
    expect(() => dead.values()).toThrow(
      /used after its scope ended; return it from the scope, or call keep\(\)/,
    );
    expect(() => dead.address()).toThrow(/keep\(\)/);
  });

  it('turn their tensors into ordinary arrays when they are evacuated', () => {
    const scope = openScope();
    const saved = Storage.inScope(3);
    saved.values().set([1, 2, 3]);
    scope.evacuate();
    expect([...saved.values()]).toEqual([1, 2, 3]);
    expect(saved.offset).toBe(-1);
  });

  it('leave alone what moved out of them before they are evacuated', () => {
    const scope = openScope();
    const kept = Storage.inScope(3);
    kept.values().set([4, 5, 6]);
    kept.settle();
    const place = kept.offset;
    scope.evacuate();
    expect(kept.offset).toBe(place);
    expect([...kept.values()]).toEqual([4, 5, 6]);
  });

  it('stage an ordinary array once, and again after it changed', () => {
    const array = Float32Array.of(1, 2);
    const storage = Storage.of(array);
    const scope = openScope();
    const first = storage.address();
    expect(storage.address()).toBe(first);
    array[0] = 5;
    storage.touch();
    const second = storage.address();
    expect(second).not.toBe(first);
    expect(heap.f32[second / 4]).toBe(5);
    scope.end();
  });
});
