// The register that says whether a thread takes subnormal numbers as 0. Everything here is inlined: a shared
// copy could be that of an instruction set which the CPU lacks.
#pragma once
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace thalweg {

/** The bits of the register that flush. A change orders memory alone: values in registers need settle
 * (ending.h). */
#if defined(__x86_64__)
constexpr uint64_t FLUSHING = 0x8040;
static inline __attribute__((always_inline)) uint64_t floatControl() { return _mm_getcsr(); }
static inline __attribute__((always_inline)) void setFloatControl(uint64_t bits) {
  asm volatile("" ::: "memory");
  _mm_setcsr(static_cast<unsigned>(bits));
  asm volatile("" ::: "memory");
}
#elif defined(__aarch64__)
constexpr uint64_t FLUSHING = 1 << 24;
static inline __attribute__((always_inline)) uint64_t floatControl() {
  uint64_t bits;
  asm volatile("mrs %0, fpcr" : "=r"(bits));
  return bits;
}
static inline __attribute__((always_inline)) void setFloatControl(uint64_t bits) {
  asm volatile("msr fpcr, %0" : : "r"(bits) : "memory");
}
#else
constexpr uint64_t FLUSHING = 0;
static inline uint64_t floatControl() { return 0; }
static inline void setFloatControl(uint64_t) {}
#endif

}  // namespace thalweg
