package dev.topknot.dsl;

/** The arithmetic of the large products. */
public enum Precision {
  /** 32-bit floats throughout. */
  FP32,
  /** bfloat16 operands, 32-bit accumulation and master weights. */
  BF16
}
