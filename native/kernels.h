// The kernel sets that a build contains, by instruction set; each is defined by its own copy of kernels.cc.
#pragma once
#include "context.h"

namespace thalweg {

#if defined(__x86_64__)
namespace sse2 {
extern const KernelSet kernels;
}
namespace avx2 {
extern const KernelSet kernels;
}
namespace avx512 {
extern const KernelSet kernels;
}
#elif defined(__aarch64__)
namespace neon {
extern const KernelSet kernels;
}
#endif

}  // namespace thalweg
