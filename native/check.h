// The rows of kernels.inc with what is needed to check a call before it touches memory. Kernels trust their
// arguments; everything that comes from JavaScript passes here first.
#pragma once
#include <cmath>
#include <cstddef>

#include "context.h"
#include "extents.h"

namespace thalweg {

constexpr int MOST_ARGUMENTS = 24;
/** Of `Row::marks`, beside the bits of pointers: the first output may be the first input itself. */
constexpr unsigned IN_PLACE = 1u << 31;
constexpr double MOST_EXACT = 9007199254740991.0;

struct Row {
  const char* name;
  const char* sig;
  Extents extents;
  /** Bits of the pointers that may be absent, and IN_PLACE. */
  unsigned marks;
};

/** In the order of kernels.inc. */
extern const Row rows[];
extern const int ROWS;

/** The memory that offsets reach into. */
struct Heap {
  char* base;
  size_t bytes;
};

/** Why a call is refused. */
struct Refusal {
  int row;
  int argument;
  const char* problem;
};

inline bool isPointer(char letter) { return letter != 'n' && letter != 's'; }

/** Reads a number argument into `arg` and, for the extents, into `count`. */
bool readNumber(char letter, double value, Arg& arg, Count& count);

inline bool isWritten(char letter) { return letter == 'o' || letter == 'u' || letter == 'p'; }

/** Elements behind the pointer that is argument `k` and pointer `p` of the row. */
inline Count extentAt(const Row& row, const Count* e, int k, int p) {
  return row.sig[k] == 'f' ? e[row.sig[1] == 'f' ? 1 : MOST_POINTERS - 1] : e[p];
}

/**
 * The argument that is written and shares memory with another, or -1; `sizes` are the elements behind each
 * pointer. Rows that work in place may have their first input as the first output.
 */
int overlapping(const Row& row, const Arg* args, const i64* sizes);

/** Turns the numbers of a call into arguments. Throws Refusal when one reaches outside the heap. */
void readCall(int index, const double* values, const Heap& heap, Arg* args);

}  // namespace thalweg
