// Numbers as types: a function that is generic over them is compiled for each.

@final
@unmanaged
export class One {
  @inline n(): i32 {
    return 1;
  }
}
@final
@unmanaged
export class Two {
  @inline n(): i32 {
    return 2;
  }
}
@final
@unmanaged
export class Three {
  @inline n(): i32 {
    return 3;
  }
}
@final
@unmanaged
export class Four {
  @inline n(): i32 {
    return 4;
  }
}
@final
@unmanaged
export class Five {
  @inline n(): i32 {
    return 5;
  }
}
@final
@unmanaged
export class Six {
  @inline n(): i32 {
    return 6;
  }
}
@final
@unmanaged
export class Seven {
  @inline n(): i32 {
    return 7;
  }
}
@final
@unmanaged
export class Eight {
  @inline n(): i32 {
    return 8;
  }
}
