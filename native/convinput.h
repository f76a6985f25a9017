// Gradient of convolution by its input: every phase (y mod sh, x mod sw) of the input is a convolution of g
// by some of the taps, with stride 1. With steps, the phases of a band are summed apart and then joined.
#pragma once
#include "conv.h"

namespace thalweg {
namespace THALWEG_NAMESPACE {

/** Of outputs y = phase + stride i along one axis, a tap reads row i + shift of g; false when it reads none.
 */
INLINE bool tapShift(i64 phase, i64 pad, i64 tap, i64 dilation, i64 stride, i64& shift) {
  const i64 at = phase + pad - tap * dilation;
  shift = at / stride;
  return at % stride == 0;
}

/** How far before and behind its own row of g a phase's output reads, at most, along one axis. */
struct Overhang {
  i64 before = 0, after = 0;

  Overhang(i64 kernel, i64 stride, i64 pad, i64 dilation) {
    for (i64 phase = 0; phase < stride; ++phase)
      for (i64 tap = 0; tap < kernel; ++tap) {
        i64 shift;
        if (!tapShift(phase, pad, tap, dilation, stride, shift)) continue;
        before = most(before, -shift);
        after = most(after, shift);
      }
  }
};

/** Lists the taps that phase (py, px) has and their places in the kernel; returns their number. */
static i64 listTaps(const Conv& q, i64 py, i64 px, Tap* taps, int32_t* places) {
  i64 count = 0, dy, dx;
  for (i64 a = 0; a < q.r; ++a) {
    if (!tapShift(py, q.ph, a, q.dh, q.sh, dy)) continue;
    for (i64 b = 0; b < q.s; ++b)
      if (tapShift(px, q.pw, b, q.dw, q.sw, dx)) {
        taps[count] = {dy, dx};
        places[count++] = static_cast<int32_t>(a * q.s + b);
      }
  }
  return count;
}

/** A phase's product, and the positions of its bands. */
struct Phase {
  i64 taps, terms;
  const int32_t *kernel, *offsets;
  const float* weights;
  BandPlaces places;
};

/** Joins the phases of rows [0, rows) × cols of an image plane: out[i sh + py][j sw + px] is element i, j of
 * phase (py, px). Phases are `step` apart, their rows `pitch`. */
static void joinPhases(float* out, const float* phases, i64 step, i64 pitch, i64 rows, i64 cols, i64 sh,
                       i64 sw) {
  for (i64 y = 0; y < rows; ++y, out += cols) {
    const float* from = phases + y % sh * sw * step;
    const auto phase = [=](i64 px) { return from + px * step + y / sh * pitch; };
    i64 paired = 0;
    if (sw == 2) {
      const float *even = phase(0), *odd = phase(1);
      paired = cols / 2;
      span(0, paired,
           [=](auto how, i64 k) { storePairs(how, out + 2 * k, how.load(even + k), how.load(odd + k)); });
    }
    for (i64 px = 0; px < least(sw, cols - paired * sw); ++px) {
      const float* p = phase(px) + paired;
      for (i64 j = px + paired * sw; j < cols; j += sw) out[j] = *p++;
    }
  }
}

/** Packs the weights of a tile of channels for a phase: for each term (output channel, tap) its channels. */
static void packPhaseTile(float* out, const float* w, const Conv& q, const Phase& phase, i64 c0, i64 c1) {
  const i64 each = q.r * q.s;
  for (i64 k = 0; k < q.kg; ++k, w += q.cg * each)
    for (i64 t = 0; t < phase.taps; ++t) {
      const float* from = w + phase.kernel[t];
      for (i64 c = c0; c < c1; ++c) *out++ = from[c * each];
    }
}

namespace rows {

static void conv2dGradInput(Context& cx, float* gx, const float* g, const float* w, i64 n, i64 c, i64 h,
                            i64 width, i64 k, i64 r, i64 s, i64 sh, i64 sw, i64 ph, i64 pw, i64 dh, i64 dw,
                            i64 groups) {
  const Conv q(n, c, h, width, k, r, s, sh, sw, ph, pw, dh, dw, groups);
  if (n * c * h * width == 0) return;
  if (isDepthwise(q)) return (r == 3 ? depthwiseGradInput<3> : depthwiseGradInput<5>)(cx, gx, g, w, q);
  const int threads = n * k * q.oh * q.ow * q.cg * r * s < 2 * CONV_GRAIN ? 1 : cx.threads;
  if (winogradFits(q) && ph <= 2 && pw <= 2 && winogradPays(OUTPUT_TILES, q.kg, q.cg, h, width)) {
    const i64 taps = r * s;
    winograd(cx,
             {n, groups, q.kg, q.cg, q.oh, q.ow, h, width, 2 - ph, 2 - pw, taps, q.cg * taps, true, g, w,
              nullptr, gx, Epilogue{}},
             threads);
    return;
  }
  const Overhang high(r, sh, ph, dh), wide(s, sw, pw, dw);
  const i64 gridRows = ceilDiv(h, sh), gridCols = ceilDiv(width, sw);
  const i64 phasesX = least(sw, width), phases = least(sh, h) * phasesX;
  const i64 gPlane = q.oh * q.ow, allTerms = q.kg * r * s, plane = h * width;
  const bool strided = sh * sw > 1;
  const Plane image{q.oh, q.ow, 1, 1};
  // A row's right margin is the next one's left where that is as wide.
  Padded copy{
      q.kg,        q.oh,       1, 1, wide.before + most(gridCols + most(0, wide.after - wide.before), q.ow),
      high.before, wide.before};
  const bool gathered = gathers(image, {gridRows, gridCols, copy.pitch}, q.kg, q.cg, r * s);
  if (gathered) copy.pitch = gridCols;
  // What phases are joined from lies as in the copy, and so far apart.
  const auto apart = [&](i64 rows) { return strided ? roundUp(rows * copy.pitch, W) : 0; };
  const i64 rowReals = (gathered ? 0 : q.kg * copy.pitch) + q.cg * phases * (strided ? copy.pitch : 0);
  const Bands cut(n, gridRows, gridCols, rowReals, threads == 1 ? 1 : ceilDiv(4 * threads, groups));
  if (!gathered) copy.rows = high.before + cut.rows + high.after;
  const i64 tiles = ceilDiv(q.cg, CHANNELS), phasePlane = apart(cut.rows),
            joined = phases * q.cg * phasePlane;
  const i64 room = gathered ? 0 : copy.size(),
            each = PANEL_TERMS * PANEL_COLS + cut.together * (room + joined);

  const auto placesOf = [&](i64 f, const Tap* taps, i64 count) {
    const i64 rows = ceilDiv(h - f / phasesX, sh), cols = ceilDiv(width - f % phasesX, sw);
    // Phases are joined from rows of one length.
    return gathered ? BandPlaces(image, taps, count, cut.rows, rows, gridCols)
                    : BandPlaces(strided ? Order::GAPS : Order::FLAT, cut.rows, rows, cols, copy.pitch);
  };
  Divider scratch{static_cast<char*>(
      reserve(cx, Divider::bytes(phases, sizeof(Phase)) + Divider::bytes(r * s, sizeof(Tap)) +
                      Divider::bytes(r * s, 4) + Divider::bytes(allTerms, 4) +
                      phases * placesOf(0, nullptr, 0).room() + placesOf(0, nullptr, r * s).room() +
                      Divider::bytes(c * allTerms, 4) + Divider::bytes(threads * each, 4)))};
  Phase* list = scratch.take<Phase>(phases);
  Tap* taps = scratch.take<Tap>(r * s);
  int32_t* kernel = scratch.take<int32_t>(r * s);
  int32_t* offsets = scratch.take<int32_t>(allTerms);
  float* weights = scratch.take<float>(c * allTerms);
  float* memory = scratch.take<float>(threads * each);

  for (i64 f = 0; f < phases; ++f) {
    const i64 count = listTaps(q, f / phasesX, f % phasesX, taps, kernel), terms = q.kg * count;
    list[f] = Phase{count, terms, kernel, offsets, weights, placesOf(f, taps, count)};
    list[f].places.list(scratch);
    for (i64 o = 0; !gathered && o < q.kg; ++o)
      for (i64 t = 0; t < count; ++t)
        *offsets++ = static_cast<int32_t>(copy.at(o, taps[t].y + copy.top, taps[t].x + copy.left));
    taps += count;
    kernel += count;
    weights += c * terms;
  }
  parallel(threads, phases * groups * tiles, [&](i64 task, int) {
    const i64 t = task % tiles, group = task / tiles % groups;
    const Phase& phase = list[task / tiles / groups];
    const i64 c0 = tileStart(q.cg, tiles, t), c1 = tileStart(q.cg, tiles, t + 1);
    packPhaseTile(const_cast<float*>(phase.weights) + (group * q.cg + c0) * phase.terms,
                  w + group * q.kg * q.cg * r * s, q, phase, c0, c1);
  });

  for (i64 m = 0; !gathered && m < threads * cut.together; ++m)
    copy.clear(memory + m / cut.together * each + PANEL_TERMS * PANEL_COLS + m % cut.together * room);

  parallel(threads, cut.tasks() * groups, [&](i64 task, int worker) {
    const i64 group = task % groups, band = task / groups % cut.bands,
              i = task / groups / cut.bands * cut.together;
    const i64 count = least(cut.together, n - i), top = band * cut.rows;
    float* panel = memory + worker * each;
    float* copies = panel + PANEL_TERMS * PANEL_COLS;
    float* unjoined = copies + cut.together * room;
    const float* source = g + (i * k + group * q.kg) * gPlane;
    float* out = gx + (i * c + group * q.cg) * plane;
    Between at{count, source, k * gPlane, out + top * width, c * plane, plane, source + count * k * gPlane,
               0};
    if (!gathered) {
      for (i64 m = 0; m < count; ++m)
        copy.fill(copies + m * room, source + m * k * gPlane, q.oh, q.ow, top - high.before);
      at.source = copies;
      at.sourceStep = room;
    }
    if (strided) {
      at.outStep = joined;
      at.plane = phases * phasePlane;
    }
    for (i64 f = 0; f < phases; ++f) {
      const Phase& phase = list[f];
      const i64 left = ceilDiv(h - f / phasesX, sh) - top;
      if (left <= 0) continue;
      if (strided) at.out = unjoined + f * phasePlane;
      at.aheadReals = f == 0 && cut.bands * groups == 1 ? least(cut.together, n - i - count) * k * gPlane : 0;
      const Implicit product{q.cg,    phase.terms, phase.offsets, phase.weights + group * q.cg * phase.terms,
                             nullptr, {}};
      panelProduct<WeightTiles>(product, phase.places.at(band), at, panel);
    }
    if (!strided) return;
    const i64 rows = least(cut.rows * sh, h - top * sh);
    for (i64 m = 0; m < count; ++m)
      for (i64 e = 0; e < q.cg; ++e)
        joinPhases(out + (m * c + e) * plane + top * sh * width,
                   unjoined + m * joined + e * phases * phasePlane, phasePlane, copy.pitch, rows, width, sh,
                   phasesX);
  });
}

}  // namespace rows
}  // namespace THALWEG_NAMESPACE
}  // namespace thalweg
