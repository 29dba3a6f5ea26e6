// A long short-term memory over the time steps of a batch, its output projected: as lstm.cuh, but
//
//   h_t = (o tanh(c_t)) Wr^T
//
// Shapes: Wr [projection, units], Wh [4 units, projection], cellOutputs (which is o tanh(c)) [tokens,
// units], h0 [batch, projection], h and dh [tokens, projection]; else those of lstm.cuh.
//
// Every h of a step needs all its cells, so a step is two kernels: gates and cells as in lstm.cuh,
// then the projection. Backward, the first kernel of a step adds dz_(t+1) Wh to dh_t in memory, where
// the gradient of Wr, one product over all steps, finds it; the second multiplies dh_t with Wr and
// goes on to dz_t. All four are in fp32 always.
//
// FLOPs: 2 tokens (4 units (inputs + projection) + units projection) forward, twice that backward.
// Bytes: every step reads Wh and Wr, 20 units projection.
#pragma once

#include "topknot/lstm.cuh"

/** Gates, cells and o tanh(c) of one time step; grid: BATCH / M, 4 UNITS / N, of StepTile. */
template <class S>
TOPKNOT_DEVICE void projectedStep(const Run* run, const float* wh, const float* h0, const float* c0,
                                  float* gates, float* cells, float* cellOutputs, const float* h,
                                  long long step) {
  const int rows = sequences<S>(run, step);
  const int row = static_cast<int>(blockIdx.x) * StepTile::M;
  const int column = static_cast<int>(blockIdx.y) * StepTile::N;
  if (row >= rows) {
    return;
  }
  const long long first = step * S::BATCH;
  const long long before = first - S::BATCH;
  StepTile::Sums sums;
  StepTile::multiply(
      sharedMemory<float>(),
      alongColumns(Rows<S::PROJECTION>{step == 0 ? h0 : h + before * S::PROJECTION}, rows),
      alongColumns(GateRows<S::UNITS, S::PROJECTION>{wh}, 4 * S::UNITS), row, column,
      S::PROJECTION, sums);
  LstmStep<S> epilogue{step == 0 ? c0 : cells + before * S::UNITS,
                       gates + 4 * first * S::UNITS,
                       cells + first * S::UNITS,
                       cellOutputs + first * S::UNITS,
                       row,
                       rows,
                       column};
  StepTile::each(sums, epilogue);
}

/** h of one time step; grid: BATCH / M, PROJECTION / N, of StepTile. */
template <class S>
TOPKNOT_DEVICE void projectOutput(const Run* run, const float* wr, const float* cellOutputs, float* h,
                                  long long step) {
  const long long first = step * S::BATCH;
  multiplyActivate<StepTile, S::UNITS, S::PROJECTION, IDENTITY>(
      cellOutputs + first * S::UNITS, wr, nullptr, nullptr, h + first * S::PROJECTION,
      sequences<S>(run, step));
}

/** dh of one time step += dz of the one after, times Wh; grid: BATCH / M, PROJECTION / N. */
template <class S>
TOPKNOT_DEVICE void projectedOutputBackward(const Run* run, const float* wh, const float* gates,
                                            float* dh, long long step) {
  const int later = step + 1 < S::TIMESTEPS ? sequences<S>(run, step + 1) : 0;
  const int row = static_cast<int>(blockIdx.x) * StepTile::M;
  const int column = static_cast<int>(blockIdx.y) * StepTile::N;
  if (row >= later) {
    return;
  }
  const long long first = step * S::BATCH;
  StepTile::Sums sums;
  StepTile::multiply(
      sharedMemory<float>(),
      alongColumns(Rows<4 * S::UNITS>{gates + 4 * (first + S::BATCH) * S::UNITS}, later),
      alongRows(Rows<S::PROJECTION>{wh}, 4 * S::UNITS), row, column, 4 * S::UNITS, sums);
  StoreEpilogue<S::PROJECTION> epilogue{dh + first * S::PROJECTION, row, later, column, true};
  StepTile::each(sums, epilogue);
}

/** From dh Wr: one time step backward, the last one first; grid: BATCH / M, UNITS / N. */
template <class S>
TOPKNOT_DEVICE void projectedStepBackward(const Run* run, const float* wr, const float* c0,
                                          const float* cells, const float* dh, float* gates,
                                          float* dc, long long step) {
  const int rows = sequences<S>(run, step);
  const int later = step + 1 < S::TIMESTEPS ? sequences<S>(run, step + 1) : 0;
  const int row = static_cast<int>(blockIdx.x) * StepTile::M;
  const int column = static_cast<int>(blockIdx.y) * StepTile::N;
  if (row >= rows) {
    return;
  }
  const long long first = step * S::BATCH;
  StepTile::Sums sums;
  StepTile::multiply(sharedMemory<float>(),
                     alongColumns(Rows<S::PROJECTION>{dh + first * S::PROJECTION}, rows),
                     alongRows(Rows<S::UNITS>{wr}, S::PROJECTION), row, column, S::PROJECTION, sums);
  LstmStepGradient<S, false> epilogue{
      step == 0 ? c0 : cells + (first - S::BATCH) * S::UNITS,
      cells + first * S::UNITS,
      nullptr,
      gates + 4 * first * S::UNITS,
      dc,
      row,
      rows,
      later,
      column};
  StepTile::each(sums, epilogue);
}

/** As lstmCommit, h being narrower than c; the grid is that of c. */
template <class S>
TOPKNOT_DEVICE void projectedCommit(const Run* run, const float* cells, const float* h, float* h0,
                                    float* c0) {
  static_assert(S::PROJECTION < S::UNITS, "a thread for each cell has h too");
  const long long at = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
  const int sequence = static_cast<int>(at / S::UNITS);
  if (sequence >= S::BATCH || sequence >= run->valid || !mayCommit(run)) {
    return;
  }
  const int column = static_cast<int>(at % S::UNITS);
  const long long last = lastToken<S>(run, sequence);
  c0[at] = cells[last * S::UNITS + column];
  if (column < S::PROJECTION) {
    h0[static_cast<long long>(sequence) * S::PROJECTION + column] =
        h[last * S::PROJECTION + column];
  }
}

#define TOPKNOT_PROJECTED_LSTM(prefix, S)                                                         \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_forward_input(const Run* run, const float* x, const float* wx, const float* bias,      \
                         float* gates) {                                                          \
    lstmInput<S>(run, x, wx, bias, gates);                                                        \
  }                                                                                               \
  TOPKNOT_KERNEL(StepTile::THREADS)                                                               \
  prefix##_forward_step(const Run* run, const float* wh, const float* h0, const float* c0,        \
                        float* gates, float* cells, float* cellOutputs, const float* h,           \
                        long long step) {                                                         \
    projectedStep<S>(run, wh, h0, c0, gates, cells, cellOutputs, h, step);                        \
  }                                                                                               \
  TOPKNOT_KERNEL(StepTile::THREADS)                                                               \
  prefix##_forward_projection(const Run* run, const float* wr, const float* cellOutputs, float* h, \
                              long long step) {                                                   \
    projectOutput<S>(run, wr, cellOutputs, h, step);                                              \
  }                                                                                               \
  TOPKNOT_KERNEL(StepTile::THREADS)                                                               \
  prefix##_backward_output(const Run* run, const float* wh, const float* gates, float* dh,        \
                           long long step) {                                                      \
    projectedOutputBackward<S>(run, wh, gates, dh, step);                                         \
  }                                                                                               \
  TOPKNOT_KERNEL(StepTile::THREADS)                                                               \
  prefix##_backward_step(const Run* run, const float* wr, const float* c0, const float* cells,    \
                         const float* dh, float* gates, float* dc, long long step) {              \
    projectedStepBackward<S>(run, wr, c0, cells, dh, gates, dc, step);                            \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_input(const Run* run, const float* dz, const float* wx, float* dx) {          \
    multiplyBack<S::Tile, S::INPUTS, 4 * S::UNITS>(dz, wx, dx, run->valid);                       \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_wx(const Run* run, const float* dz, const float* x, float* dWx) {             \
    multiplyWeight<S::Tile>(Rows<4 * S::UNITS>{dz}, Rows<S::INPUTS>{x}, run->valid, dWx,          \
                            run->add != 0);                                                       \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_wh(const Run* run, const float* dz, const float* h0, const float* h,          \
                       float* dWh) {                                                              \
    multiplyWeight<S::Tile>(Rows<4 * S::UNITS>{dz}, RowsBefore<S::BATCH, S::PROJECTION>{h0, h},   \
                            run->valid, dWh, run->add != 0);                                      \
  }                                                                                               \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_backward_wr(const Run* run, const float* dh, const float* cellOutputs, float* dWr) {   \
    multiplyWeight<S::Tile>(Rows<S::PROJECTION>{dh}, Rows<S::UNITS>{cellOutputs}, run->valid,     \
                            dWr, run->add != 0);                                                  \
  }                                                                                               \
  TOPKNOT_KERNEL(COLUMN_SUMS_THREADS)                                                             \
  prefix##_backward_bias(const Run* run, const float* dz, float* dBias) {                         \
    sumColumns<4 * S::UNITS>(dz, run->valid, dBias, run->add != 0);                               \
  }                                                                                               \
  TOPKNOT_KERNEL(256)                                                                             \
  prefix##_commit_state(const Run* run, const float* cells, const float* h, float* h0,            \
                        float* c0) {                                                              \
    projectedCommit<S>(run, cells, h, h0, c0);                                                    \
  }
