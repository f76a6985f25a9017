// The kernels of one instruction set; CMakeLists.txt compiles this file once for each, with its flags and its
// namespace. The compiler refuses a kernel whose C++ parameters are not what its signature says.
#include "kernels.h"

#include "attention.h"
#include "attentiongrad.h"
#include "binary.h"
#include "conv.h"
#include "convgrad.h"
#include "convinput.h"
#include "crossentropy.h"
#include "extreme.h"
#include "groupnorm.h"
#include "layernorm.h"
#include "matmul.h"
#include "move.h"
#include "norm.h"
#include "pointwise.h"
#include "pool2d.h"
#include "random.h"
#include "recurrent.h"
#include "reduce.h"
#include "softmax.h"
#include "update.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {
namespace {

template <class T>
struct Letter;
template <>
struct Letter<float*> {
  static constexpr bool is(char c) { return c == 'o' || c == 'u'; }
  static float* get(const Arg& a) { return static_cast<float*>(a.pointer); }
};
template <>
struct Letter<const float*> {
  static constexpr bool is(char c) { return c == 'i' || c == 'f'; }
  static const float* get(const Arg& a) { return static_cast<const float*>(a.pointer); }
};
template <>
struct Letter<int32_t*> {
  static constexpr bool is(char c) { return c == 'p'; }
  static int32_t* get(const Arg& a) { return static_cast<int32_t*>(a.pointer); }
};
template <>
struct Letter<const int32_t*> {
  static constexpr bool is(char c) { return c == 'j'; }
  static const int32_t* get(const Arg& a) { return static_cast<const int32_t*>(a.pointer); }
};
template <>
struct Letter<const uint32_t*> {
  static constexpr bool is(char c) { return c == 'r'; }
  static const uint32_t* get(const Arg& a) { return static_cast<const uint32_t*>(a.pointer); }
};
template <>
struct Letter<i64> {
  static constexpr bool is(char c) { return c == 'n'; }
  static i64 get(const Arg& a) { return a.integer; }
};
template <>
struct Letter<double> {
  static constexpr bool is(char c) { return c == 's'; }
  static double get(const Arg& a) { return a.number; }
};

template <int... K>
struct Places {};
template <int N, int... K>
struct UpTo : UpTo<N - 1, N - 1, K...> {};
template <int... K>
struct UpTo<0, K...> {
  using type = Places<K...>;
};

template <class... P, int... K>
INLINE void spread(void (*kernel)(Context&, P...), Context& cx, const Arg* args, Places<K...>) {
  kernel(cx, Letter<P>::get(args[K])...);
}

template <class... P>
constexpr bool matches(void (*)(Context&, P...), const char* sig) {
  const bool letters[] = {Letter<P>::is(*sig++)...};
  for (bool good : letters)
    if (!good) return false;
  return *sig == 0;
}

/** Unpacks the arguments; a function of its own for each kernel. */
template <class... P>
constexpr auto placesOf(void (*)(Context&, P...)) {
  return typename UpTo<sizeof...(P)>::type{};
}

/** Subnormal numbers are 0 meanwhile. Each costs a vector a hundred times its time, and gradients of a net
 * that has learnt its data are full of them. */
class Flushing {
 public:
  Flushing() : before_(flushSubnormals(true)) {}
  ~Flushing() { flushSubnormals(before_); }
  Flushing(const Flushing&) = delete;
  Flushing& operator=(const Flushing&) = delete;

 private:
  bool before_;
};

/** What a row needs about its call. */
struct Nothing {};
#define ROW(name, sig, During)                                                             \
  static_assert(matches(&rows::name, sig), #name ": C++ parameters and signature differ"); \
  void call_##name(Context& cx, const Arg* args) {                                         \
    [[maybe_unused]] const During during{};                                                \
    spread(&rows::name, cx, args, placesOf(&rows::name));                                  \
  }
#define KERNEL(name, sig, extents, marks) ROW(name, sig, Nothing)
#define PRODUCT(name, sig, extents, marks) ROW(name, sig, Flushing)
#include "kernels.inc"
#undef KERNEL
#undef ROW

const Kernel table[] = {
#define KERNEL(name, sig, extents, marks) &call_##name,
#include "kernels.inc"
#undef KERNEL
};

}  // namespace

const KernelSet kernels = {THALWEG_ISA_NAME, table};

}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
