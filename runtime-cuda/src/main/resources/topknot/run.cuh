// What every kernel reads of the running step, and the activation functions with their slopes.
#pragma once

#include "topknot/device.cuh"

/** The run record: what changes from step to step. Mirrored by runtime.cuda.RunRecord. */
struct Run {
  unsigned long long seed;
  int step;
  int valid;       // tokens of the call, a prefix; rows behind them are left alone
  int firstToken;  // global number of token 0
  int training;
  int add;     // gradients: 0 overwritten, 1 added to
  int status;  // written by the device: STATUS_*
  float keepFirst, addFirst, keepSecond, addSecond;  // Adam's moments
  float rate, rootScale, epsilon;                    // Adam's update, bias correction folded in
  float gradientScale;                               // 1 / micro-batches
  double clip;                                       // largest norm; infinite: no clipping
  double loss;                                       // written by the device: sum over valid tokens
  double norm;                                       // written by the device
  int frozen;                                        // 1 if anything is frozen
  int guard;                                         // 1: update and commit only if status is 0
};
static_assert(sizeof(Run) == 96, "RunRecord has this layout");

constexpr int STATUS_FINE = 0, STATUS_LOSS = 1, STATUS_NORM = 2, STATUS_ROOM = 3;

/** What may vary of a layer without a new kernel. */
struct LayerOptions {
  float importanceLoss, loadLoss, noiseFloor, dropout;
  int noise;
  int unused[3];
};
static_assert(sizeof(LayerOptions) == 32, "the runtime writes this layout");

/** Whether the step may change parameters and carried state. */
TOPKNOT_DEVICE bool mayCommit(const Run* run) {
  return run->guard == 0 || run->status == STATUS_FINE;
}

// ---- Activation functions ----------------------------------------------------------------------

enum Activation { IDENTITY, RELU, GELU, SIGMOID, TANH };

/** Whether the slope needs the function's input; otherwise its output is enough. */
TOPKNOT_DEVICE constexpr bool keepsInput(Activation f) { return f == GELU; }

TOPKNOT_DEVICE float sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }

/** f(x); NaN stays NaN. */
template <Activation F>
TOPKNOT_DEVICE float activate(float x) {
  if (F == RELU) {
    return x <= 0.0f ? 0.0f : x;
  } else if (F == GELU) {  // x Phi(x)
    return 0.5f * x * erfcf(-0.70710678118654752f * x);
  } else if (F == SIGMOID) {
    return sigmoid(x);
  } else if (F == TANH) {
    return tanhf(x);
  }
  return x;
}

/** f'(x) from what forward kept: x where keepsInput(F), else f(x). */
template <Activation F>
TOPKNOT_DEVICE float slope(float kept) {
  if (F == RELU) {
    return kept <= 0.0f ? 0.0f : kept > 0.0f ? 1.0f : kept;
  } else if (F == GELU) {  // Phi(x) + x density(x)
    const float below = 0.5f * erfcf(-0.70710678118654752f * kept);
    return below + kept * 0.39894228040143268f * expf(-0.5f * kept * kept);
  } else if (F == SIGMOID) {
    return kept * (1.0f - kept);
  } else if (F == TANH) {
    return 1.0f - kept * kept;
  }
  return 1.0f;
}
