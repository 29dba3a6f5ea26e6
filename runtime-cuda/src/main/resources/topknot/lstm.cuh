// A long short-term memory over the time steps of a batch, gates in the order i, f, g, o:
//
//   z = x_t Wx^T + h_(t-1) Wh^T + bias
//   i, f, o = sigmoid(z_i), sigmoid(z_f), sigmoid(z_o);  g = tanh(z_g)
//   c_t = f c_(t-1) + i g;  h_t = o tanh(c_t)
//
// Shapes: x [tokens, inputs], Wx [4 units, inputs], Wh [4 units, units], bias [4 units]; h0, c0
// [batch, units]; gates [tokens, 4 units], i, f, g, o after their functions, in backward replaced by
// dL/dz; cells, h, dh [tokens, units]. Token t batch + b is step t of sequence b; of the last step
// only the valid sequences are computed, and the others' rows and carried state are left alone.
//
// Only the recurrent product is sequential, so all else is done for all steps at once: the product
// with x with its bias before, the gradients of x and of the weights after. A step is one kernel: the
// rows of Wh are interleaved by gate as they are loaded, so that a thread has all four gates of a
// unit and its epilogue goes on to c and h without memory between. Backward, dh_t gets dz_(t+1) Wh
// in the accumulator, and dL/dc goes from step to step in scratch [batch, units]. The gradient of Wh
// is one product too: row r of h_(t-1) is row r - batch of h, or row r of h0. S::Tile is that of all
// products but the steps', whose errors would add up: they are in fp32 always.
//
// FLOPs: 8 tokens units (inputs + units) forward, twice that backward. Bytes: every step reads Wh,
// 16 units^2, which stays in the L2 cache; else 4 tokens (inputs + 10 units) forward.
#pragma once

#include "topknot/column_sums.cuh"
#include "topknot/gemm.cuh"

/** Row 4 j + gate is row gate UNITS + j of Wh [4 UNITS, COLUMNS]. */
template <int UNITS, int COLUMNS>
struct GateRows {
  using Element = float;
  static constexpr int columns = COLUMNS;
  static constexpr bool listed = false;
  const float* data;

  TOPKNOT_DEVICE int number(int r) const { return r; }
  TOPKNOT_DEVICE const float* row(int r) const {
    return data + (static_cast<long long>(r % 4) * UNITS + r / 4) * COLUMNS;
  }
};

/** Row r is what h [., COLUMNS] was one step before token r. */
template <int BATCH, int COLUMNS>
struct RowsBefore {
  using Element = float;
  static constexpr int columns = COLUMNS;
  static constexpr bool listed = false;
  const float* h0;
  const float* h;

  TOPKNOT_DEVICE int number(int r) const { return r; }
  TOPKNOT_DEVICE const float* row(int r) const {
    return r < BATCH ? h0 + static_cast<long long>(r) * COLUMNS
                     : h + static_cast<long long>(r - BATCH) * COLUMNS;
  }
};

/** Valid sequences of a time step. */
template <class S>
TOPKNOT_DEVICE int sequences(const Run* run, long long step) {
  const long long rows = run->valid - step * S::BATCH;
  return static_cast<int>(rows < 0 ? 0 : rows < S::BATCH ? rows : S::BATCH);
}

/** c + bias; here no activation, so that the step adds to it. */
template <class S>
TOPKNOT_DEVICE void lstmInput(const Run* run, const float* x, const float* wx, const float* bias,
                              float* gates) {
  using Tile = typename S::Tile;
  multiplyActivate<Tile, S::INPUTS, 4 * S::UNITS, IDENTITY>(x, wx, bias, nullptr, gates,
                                                            run->valid);
}

/** From the recurrent product: gates, cells and h of a step. */
template <class S>
struct LstmStep {
  const float* cellsBefore;  // [rows, UNITS], as all of these: of this step
  float *gates, *cells, *h;
  int firstRow, rows, firstColumn;

  TOPKNOT_DEVICE void operator()(int tileRow, int tileColumn, const float (&values)[4]) const {
    const int row = firstRow + tileRow;
    const int unit = (firstColumn + tileColumn) / 4;
    if (row >= rows || unit >= S::UNITS) {
      return;
    }
    float* z = gates + static_cast<long long>(row) * 4 * S::UNITS + unit;
    const long long at = static_cast<long long>(row) * S::UNITS + unit;
    const float i = sigmoid(z[0] + values[0]);
    const float f = sigmoid(z[S::UNITS] + values[1]);
    const float g = tanhf(z[2 * S::UNITS] + values[2]);
    const float o = sigmoid(z[3 * S::UNITS] + values[3]);
    const float c = f * cellsBefore[at] + i * g;
    z[0] = i;
    z[S::UNITS] = f;
    z[2 * S::UNITS] = g;
    z[3 * S::UNITS] = o;
    cells[at] = c;
    h[at] = o * tanhf(c);
  }
};

/** One time step; grid: BATCH / M, 4 UNITS / N, of StepTile. */
template <class S>
TOPKNOT_DEVICE void lstmStep(const Run* run, const float* wh, const float* h0, const float* c0,
                             float* gates, float* cells, float* h, long long step) {
  const int rows = sequences<S>(run, step);
  const int row = static_cast<int>(blockIdx.x) * StepTile::M;
  const int column = static_cast<int>(blockIdx.y) * StepTile::N;
  if (row >= rows) {
    return;
  }
  const long long at = step * S::BATCH * S::UNITS;
  const long long before = at - static_cast<long long>(S::BATCH) * S::UNITS;
  StepTile::Sums sums;
  StepTile::multiply(sharedMemory<float>(),
                     alongColumns(Rows<S::UNITS>{step == 0 ? h0 : h + before}, rows),
                     alongColumns(GateRows<S::UNITS, S::UNITS>{wh}, 4 * S::UNITS), row, column, S::UNITS,
                     sums);
  LstmStep<S> epilogue{
      step == 0 ? c0 : cells + before, gates + 4 * at, cells + at, h + at, row, rows, column};
  StepTile::each(sums, epilogue);
}

/**
 * From dL/d(o tanh(c)), which is the product and, where DIRECT, dh besides: dz of a step in place of
 * its gates, and dL/dc of the step before.
 */
template <class S, bool DIRECT>
struct LstmStepGradient {
  const float *cellsBefore, *cells, *dh;
  float *gates, *dc;
  int firstRow, rows, later, firstColumn;  // later: rows of the step after

  template <int N>
  TOPKNOT_DEVICE void operator()(int tileRow, int tileColumn, const float (&values)[N]) const {
    const int row = firstRow + tileRow;
    if (row >= rows) {
      return;
    }
#pragma unroll
    for (int j = 0; j < N; j++) {
      const int unit = firstColumn + tileColumn + j;
      if (unit < S::UNITS) {
        const long long at = static_cast<long long>(row) * S::UNITS + unit;
        float* z = gates + static_cast<long long>(row) * 4 * S::UNITS + unit;
        const float i = z[0];
        const float f = z[S::UNITS];
        const float g = z[2 * S::UNITS];
        const float o = z[3 * S::UNITS];
        const float t = tanhf(cells[at]);
        const float dH = DIRECT ? dh[at] + values[j] : values[j];
        const float dCell = (row < later ? dc[at] : 0.0f) + dH * o * (1.0f - t * t);
        z[0] = dCell * g * i * (1.0f - i);
        z[S::UNITS] = dCell * cellsBefore[at] * f * (1.0f - f);
        z[2 * S::UNITS] = dCell * i * (1.0f - g * g);
        z[3 * S::UNITS] = dH * t * o * (1.0f - o);
        dc[at] = dCell * f;
      }
    }
  }
};

/** One time step backward, the last one first; grid: BATCH / M, UNITS / N, of StepTile. */
template <class S>
TOPKNOT_DEVICE void lstmStepBackward(const Run* run, const float* wh, const float* c0,
                                     const float* cells, const float* dh, float* gates, float* dc,
                                     long long step) {
  const int rows = sequences<S>(run, step);
  const int later = step + 1 < S::TIMESTEPS ? sequences<S>(run, step + 1) : 0;
  const int row = static_cast<int>(blockIdx.x) * StepTile::M;
  const int column = static_cast<int>(blockIdx.y) * StepTile::N;
  if (row >= rows) {
    return;
  }
  const long long at = step * S::BATCH * S::UNITS;
  const long long all = static_cast<long long>(S::BATCH) * S::UNITS;
  StepTile::Sums sums;
  StepTile::multiply(sharedMemory<float>(),
                     alongColumns(Rows<4 * S::UNITS>{gates + 4 * (at + all)}, later),
                     alongRows(Rows<S::UNITS>{wh}, 4 * S::UNITS), row, column,
                     row < later ? 4 * S::UNITS : 0, sums);
  LstmStepGradient<S, true> epilogue{step == 0 ? c0 : cells + at - all,
                               cells + at,
                               dh + at,
                               gates + 4 * at,
                               dc,
                               row,
                               rows,
                               later,
                               column};
  StepTile::each(sums, epilogue);
}

/** The last valid token of a sequence that has one. */
template <class S>
TOPKNOT_DEVICE int lastToken(const Run* run, int sequence) {
  return (run->valid - 1 - sequence) / S::BATCH * S::BATCH + sequence;
}

/**
 * The last valid h and c of every sequence to the carried state, if the step may commit; grid:
 * BATCH UNITS / 256, rounded up, 256 threads.
 */
template <class S>
TOPKNOT_DEVICE void lstmCommit(const Run* run, const float* cells, const float* h, float* h0,
                               float* c0) {
  const long long at = static_cast<long long>(blockIdx.x) * 256 + threadIdx.x;
  const int sequence = static_cast<int>(at / S::UNITS);
  if (sequence >= S::BATCH || sequence >= run->valid || !mayCommit(run)) {
    return;
  }
  const long long from =
      static_cast<long long>(lastToken<S>(run, sequence)) * S::UNITS + at % S::UNITS;
  h0[at] = h[from];
  c0[at] = cells[from];
}

#define TOPKNOT_LSTM(prefix, S)                                                                   \
  TOPKNOT_KERNEL(S::Tile::THREADS, S::Tile::BLOCKS)                                               \
  prefix##_forward_input(const Run* run, const float* x, const float* wx, const float* bias,      \
                         float* gates) {                                                          \
    lstmInput<S>(run, x, wx, bias, gates);                                                        \
  }                                                                                               \
  TOPKNOT_KERNEL(StepTile::THREADS)                                                               \
  prefix##_forward_step(const Run* run, const float* wh, const float* h0, const float* c0,        \
                        float* gates, float* cells, float* h, long long step) {                   \
    lstmStep<S>(run, wh, h0, c0, gates, cells, h, step);                                          \
  }                                                                                               \
  TOPKNOT_KERNEL(StepTile::THREADS)                                                               \
  prefix##_backward_step(const Run* run, const float* wh, const float* c0, const float* cells,    \
                         const float* dh, float* gates, float* dc, long long step) {              \
    lstmStepBackward<S>(run, wh, c0, cells, dh, gates, dc, step);                                 \
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
    multiplyWeight<S::Tile>(Rows<4 * S::UNITS>{dz}, RowsBefore<S::BATCH, S::UNITS>{h0, h},        \
                            run->valid, dWh, run->add != 0);                                      \
  }                                                                                               \
  TOPKNOT_KERNEL(COLUMN_SUMS_THREADS)                                                             \
  prefix##_backward_bias(const Run* run, const float* dz, float* dBias) {                         \
    sumColumns<4 * S::UNITS>(dz, run->valid, dBias, run->add != 0);                               \
  }                                                                                               \
  TOPKNOT_KERNEL(256)                                                                             \
  prefix##_commit_state(const Run* run, const float* cells, const float* h, float* h0,            \
                        float* c0) {                                                              \
    lstmCommit<S>(run, cells, h, h0, c0);                                                         \
  }
