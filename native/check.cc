// See check.h.
#include "check.h"

namespace thalweg {

const Row rows[] = {
#define KERNEL(name, sig, extent, marks) {#name, sig, &extents::extent, marks},
#include "kernels.inc"
#undef KERNEL
};
const int ROWS = sizeof rows / sizeof *rows;

bool readNumber(char letter, double value, Arg& arg, Count& count) {
  if (letter == 's') {
    arg.number = value;
    return true;
  }
  if (!(value >= 0 && value <= MOST_EXACT) || value != std::floor(value)) return false;
  arg.integer = static_cast<i64>(value);
  count = Count(arg.integer);
  return true;
}

int overlapping(const Row& row, const Arg* args, const i64* sizes) {
  int firstInput = 0;
  while (row.sig[firstInput] && row.sig[firstInput] != 'i') ++firstInput;
  // All kinds of elements have four bytes.
  const auto from = [&](int k) { return reinterpret_cast<uintptr_t>(args[k].pointer); };
  const auto to = [&](int k) { return from(k) + 4 * static_cast<uintptr_t>(sizes[k]); };
  for (int k = 0; row.sig[k]; ++k) {
    if (!isWritten(row.sig[k]) || sizes[k] == 0) continue;
    for (int other = 0; row.sig[other]; ++other) {
      if (other == k || !isPointer(row.sig[other]) || sizes[other] == 0) continue;
      if (from(k) >= to(other) || from(other) >= to(k)) continue;
      const bool same = k == 0 && other == firstInput && from(k) == from(other) && to(k) == to(other);
      if (!same || !(row.marks & IN_PLACE)) return k;
    }
  }
  return -1;
}

void readCall(int index, const double* values, const Heap& heap, Arg* args) {
  const Row& row = rows[index];
  Count numbers[MOST_ARGUMENTS], e[MOST_POINTERS];
  int n = 0;
  for (int k = 0; row.sig[k]; ++k)
    if (!isPointer(row.sig[k]) && !readNumber(row.sig[k], values[k], args[k], numbers[n++]))
      throw Refusal{index, k, "is not a size"};
  row.extents(numbers, e);
  int p = 0;
  for (int k = 0; row.sig[k]; ++k) {
    if (!isPointer(row.sig[k])) continue;
    const Count extent = extentAt(row, e, k, p++);
    const double offset = values[k];
    if (!(offset >= 0 && offset <= static_cast<double>(heap.bytes)))
      throw Refusal{index, k, "reaches outside the heap"};
    const size_t at = static_cast<size_t>(offset);
    if (static_cast<double>(at) != offset || at % 4 != 0)
      throw Refusal{index, k, "is not a whole element's place"};
    if (at == 0 && (row.marks >> k & 1)) {
      args[k].pointer = nullptr;
      continue;
    }
    if (static_cast<uint64_t>(extent.value) > (heap.bytes - at) / 4 || (at == 0 && extent.value > 0))
      throw Refusal{index, k, "reaches outside the heap"};
    args[k].pointer = heap.base + at;
  }
}

}  // namespace thalweg
