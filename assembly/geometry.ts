// The sizes of the convolution at hand. A kernel sets them first and the functions below it read them, which spares
// fourteen arguments each; they are the instance's own, like all its globals.
import { Part } from './part';

export class Conv {
  /** Images, channels and size of the input. */
  static n: i32 = 0;
  static c: i32 = 0;
  static h: i32 = 0;
  static w: i32 = 0;
  /** Outputs, and size of the window. */
  static k: i32 = 0;
  static r: i32 = 0;
  static s: i32 = 0;
  /** Steps, padding and dilation. */
  static sh: i32 = 0;
  static sw: i32 = 0;
  static ph: i32 = 0;
  static pw: i32 = 0;
  static dh: i32 = 0;
  static dw: i32 = 0;
  static groups: i32 = 0;
  /** Size of the output. */
  static oh: i32 = 0;
  static ow: i32 = 0;
  /** Channels and outputs of a group. */
  static cg: i32 = 0;
  static kg: i32 = 0;
  /** Groups of the part at hand: all of them, unless a single image is shared by groups. */
  static from: i32 = 0;
  static to: i32 = 0;

  static over(
    n: i32,
    c: i32,
    h: i32,
    w: i32,
    k: i32,
    r: i32,
    s: i32,
    sh: i32,
    sw: i32,
    ph: i32,
    pw: i32,
    dh: i32,
    dw: i32,
    groups: i32,
  ): void {
    Conv.n = n;
    Conv.c = c;
    Conv.h = h;
    Conv.w = w;
    Conv.k = k;
    Conv.r = r;
    Conv.s = s;
    Conv.sh = sh;
    Conv.sw = sw;
    Conv.ph = ph;
    Conv.pw = pw;
    Conv.dh = dh;
    Conv.dw = dw;
    Conv.groups = groups;
    Conv.oh = (h + 2 * ph - dh * (r - 1) - 1) / sh + 1;
    Conv.ow = (w + 2 * pw - dw * (s - 1) - 1) / sw + 1;
    Conv.cg = c / groups;
    Conv.kg = k / groups;
    Conv.from = 0;
    Conv.to = groups;
  }
  /** Takes the part's groups, if there are several. */
  static share(): void {
    if (Conv.groups == 1) return;
    Conv.from = Part.from(Conv.groups, 1);
    Conv.to = Part.to(Conv.groups, 1);
  }

  /** Bytes of a plane of the input, and of the output. */
  @inline static inPlane(): usize {
    return usize(Conv.h * Conv.w) << 2;
  }
  @inline static outPlane(): usize {
    return usize(Conv.oh * Conv.ow) << 2;
  }
  /** Windows of 3 × 3 in steps of 1, padded so that the gradient by the input is padded too, and not cut. */
  @inline static plain3(): bool {
    const steps = Conv.sh == 1 && Conv.sw == 1 && Conv.dh == 1 && Conv.dw == 1;
    return Conv.r == 3 && Conv.s == 3 && steps && Conv.ph <= 2 && Conv.pw <= 2;
  }
}
