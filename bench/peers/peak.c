// What this machine can do at most, as plain C has it: `peak flops THREADS SECONDS` prints GFLOP/s of multiplications
// and additions in registers, tried for so long; `peak bandwidth THREADS BYTES...` a line of GB/s (read, copy, triad) a working
// set, which the threads share. WIDTH is the floats in a vector; whether a * b + c is one instruction is the
// compiler's flag.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef __SSE2__
#include <immintrin.h>
#endif

typedef float vec __attribute__((vector_size(4 * WIDTH), may_alias));
enum { CHAINS = 12, UNROLL = 4, TRIES = 5 };

// Stores that go past the caches: what large outputs are best written with.
#if defined(__SSE2__) && WIDTH == 16
#define PAST(p, v) _mm512_stream_ps((float*)(p), (__m512)(v))
#elif defined(__SSE2__) && WIDTH == 8
#define PAST(p, v) _mm256_stream_ps((float*)(p), (__m256)(v))
#elif defined(__SSE2__)
#define PAST(p, v) _mm_stream_ps((float*)(p), (__m128)(v))
#else
#define PAST(p, v) (*(p) = (v))
#endif
#define PLAIN(p, v) (*(p) = (v))
#define EACH for (int u = 0; u < UNROLL; u++)
#define KEEP __asm__ volatile("" ::: "memory")

typedef struct {
  vec *a, *b, *c;
  long vectors, rounds;
  void (*body)(vec* a, vec* b, vec* c, long vectors);
} Job;

static volatile float sink;

static void flops(vec* a, vec* b, vec* c, long n) {
  vec sum[CHAINS], x = *b, y = *c;
  for (int k = 0; k < CHAINS; k++) sum[k] = *a + (float)k;
  for (long i = 0; i < n; i++)
#pragma GCC unroll 12
    for (int k = 0; k < CHAINS; k++) sum[k] = sum[k] * x + y;
  for (int k = 1; k < CHAINS; k++) sum[0] += sum[k];
  sink = sum[0][0];
}

static void readAll(vec* a, vec* b, vec* c, long n) {
  vec sum[UNROLL] = {0};
  (void)b, (void)c;
  for (long i = 0; i < n; i += UNROLL)
#pragma GCC unroll 4
    EACH sum[u] += a[i + u];
  sink = (sum[0] + sum[1] + sum[2] + sum[3])[0];
}

static void update(vec* a, vec* b, vec* c, long n) {
  (void)b, (void)c;
  for (long i = 0; i < n; i += UNROLL)
#pragma GCC unroll 4
    EACH a[i + u] += 0.5f;
}

#define WRITERS(name, store)                                                                      \
  static void copy##name(vec* a, vec* b, vec* c, long n) {                                        \
    (void)c;                                                                                      \
    for (long i = 0; i < n; i += UNROLL) _Pragma("GCC unroll 4") EACH store(a + i + u, b[i + u]); \
  }                                                                                               \
  static void triad##name(vec* a, vec* b, vec* c, long n) {                                       \
    for (long i = 0; i < n; i += UNROLL)                                                          \
      _Pragma("GCC unroll 4") EACH store(a + i + u, b[i + u] + 0.5f * c[i + u]);                  \
  }
WRITERS(Plain, PLAIN)
WRITERS(Past, PAST)

static void* work(void* argument) {
  Job* job = argument;
  for (long r = 0; r < job->rounds; r++) {
    job->body(job->a, job->b, job->c, job->vectors);
    KEEP;
  }
  return NULL;
}

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double once(Job* jobs, int threads) {
  pthread_t others[64];
  double began = now();
  for (int k = 1; k < threads; k++) pthread_create(&others[k], NULL, work, &jobs[k]);
  work(&jobs[0]);
  for (int k = 1; k < threads; k++) pthread_join(others[k], NULL);
  return now() - began;
}

// Seconds a round, the least of tries of some milliseconds: short enough that one escapes other programs.
static double least(Job* jobs, int threads, double duration) {
  long rounds = 1;
  double best = 1e9;
  for (;; rounds *= 2) {
    for (int k = 0; k < threads; k++) jobs[k].rounds = rounds;
    if (once(jobs, 1) > 2e-3) break;
  }
  double end = now() + duration;
  for (int t = 0; t < TRIES || now() < end; t++) {
    double seconds = once(jobs, threads) / (double)rounds;
    if (seconds < best) best = seconds;
  }
  return best;
}

// GB/s of `arrays` arrays that fill `bytes` together.
static double rate(void (*body)(vec*, vec*, vec*, long), int arrays, long bytes, int threads, char* memory) {
  long each = bytes / arrays / threads / (long)sizeof(vec) / UNROLL * UNROLL;
  Job jobs[64];
  for (int k = 0; k < threads; k++) {
    vec* start = (vec*)memory + k * arrays * each;
    jobs[k] = (Job){start, start + each, start + 2 * each, each, 1, body};
  }
  return (double)(arrays * each * threads) * (double)sizeof(vec) / least(jobs, threads, 0.1) * 1e-9;
}

static double larger(double a, double b) { return a > b ? a : b; }

int main(int count, char** words) {
  int threads = count > 2 ? atoi(words[2]) : 1;
  if (threads < 1 || threads > 64) return 1;
  if (!strcmp(words[1], "flops")) {
    vec a = {0}, b = a + 0.999f, c = a + 1e-3f;
    Job jobs[64];
    for (int k = 0; k < threads; k++) jobs[k] = (Job){&a, &b, &c, 10000, 1, flops};
    printf("%g\n", 2.0 * CHAINS * WIDTH * 10000 * threads / least(jobs, threads, count > 3 ? atof(words[3]) : 0.1) * 1e-9);
    return 0;
  }
  for (int k = 3; k < count; k++) {
    long bytes = atol(words[k]);
    char* memory = aligned_alloc(4096, (size_t)bytes / 4096 * 4096 + 4096);
    if (!memory) return 1;
    memset(memory, 0, (size_t)bytes);
    double read = rate(readAll, 1, bytes, threads, memory);
    double copy =
        larger(rate(copyPlain, 2, bytes, threads, memory), rate(copyPast, 2, bytes, threads, memory));
    double triad =
        larger(rate(triadPlain, 3, bytes, threads, memory), rate(triadPast, 3, bytes, threads, memory));
    // What is updated is read and written.
    double updated = 2 * rate(update, 1, bytes, threads, memory);
    printf("%g %g %g %g\n", read, copy, triad, updated);
    free(memory);
  }
  return 0;
}
