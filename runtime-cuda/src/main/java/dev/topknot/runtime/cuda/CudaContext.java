package dev.topknot.runtime.cuda;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Moment;

/** What a program and its launches are built from: where everything lies. */
public final class CudaContext {
  private final CudaMemory memory;
  private final Layout layout;
  private final LayerOptions options;
  private final FrozenSlices slices;
  private final CudaArena workspace;
  private final CudaArena scratch;
  private final CudaArena state;

  private CudaContext(
      CudaMemory memory,
      Layout layout,
      LayerOptions options,
      FrozenSlices slices,
      CudaArena workspace,
      CudaArena scratch,
      CudaArena state) {
    this.memory = memory;
    this.layout = layout;
    this.options = options;
    this.slices = slices;
    this.workspace = workspace;
    this.scratch = scratch;
    this.state = state;
  }

  /** What all programs of an instance share. */
  CudaContext(CudaMemory memory, Layout layout, Options options, FrozenSlices slices) {
    this(memory, layout, new LayerOptions(memory, options), slices, null, null, null);
  }

  /** The same for one program, with buffers of its own. */
  CudaContext with(CudaArena programWorkspace, CudaArena programScratch, CudaArena programState) {
    return new CudaContext(
        memory, layout, options, slices, programWorkspace, programScratch, programState);
  }

  /** The options of the layers, as uploaded. */
  LayerOptions layerOptions() {
    return options;
  }

  /** Where the parameters lie. */
  public Layout layout() {
    return layout;
  }

  /** The parameters, shared by every program and instance. */
  public CudaArena parameters() {
    return memory.parameters();
  }

  /**
   * The gradients, at the offsets of the parameters.
   *
   * @throws IllegalStateException in an instance for inference
   */
  public CudaArena gradients() {
    return present(memory.gradients(), "gradients");
  }

  /** Adam's first moments, at the offsets of the parameters; absent as gradients are. */
  public CudaArena firstMoments() {
    return moment(Moment.FIRST);
  }

  /** Adam's second moments, at the offsets of the parameters; absent as gradients are. */
  public CudaArena secondMoments() {
    return moment(Moment.SECOND);
  }

  /** Row means of factored second moments; absent as gradients are. */
  public CudaArena rowMeans() {
    return moment(Moment.ROW_MEANS);
  }

  /** Column means of factored second moments; absent as gradients are. */
  public CudaArena columnMeans() {
    return moment(Moment.COLUMN_MEANS);
  }

  CudaArena moment(Moment moment) {
    return present(memory.moments().get(moment), "moments");
  }

  /** Buffers of one program, of its planned size; garbage at first. */
  public CudaArena workspace() {
    return present(workspace, "workspace");
  }

  /** What lives within single calls of one program, of its planned size; garbage at first. */
  public CudaArena scratch() {
    return present(scratch, "scratch memory");
  }

  /** Carried state of one program, zero at first. */
  public CudaArena state() {
    return present(state, "state");
  }

  /**
   * Address of the table of parameter tensors: {@code long long starts[count + 1]}, in floats from
   * the start of the arena, the last its end, then {@code int frozen[count]}.
   */
  public long slices() {
    return slices.address();
  }

  /**
   * Address of a new table of the matrices, by which blocks find their tile: {@code struct
   * Matrices} of adam_factored.cuh, one for each entry of the layout and one behind the last.
   *
   * @param tileRows rows of a tile
   * @param tileColumns columns of a tile
   */
  public long matrices(long tileRows, long tileColumns) {
    return MatrixTable.upload(memory, layout, tileRows, tileColumns);
  }

  /**
   * Address of the {@code struct LayerOptions} of a layer: its annotated values or what an instance
   * sets in their place.
   *
   * @param layer name; empty for a layer that stands alone
   * @param importanceLoss annotated weight of CV²(importance), 0 where there is none
   * @param loadLoss annotated weight of CV²(load), 0 where there is none
   * @param noiseFloor annotated smallest standard deviation of the noise, 0 where there is none
   * @param dropout annotated rate, 0 where there is none
   */
  public long options(
      String layer, double importanceLoss, double loadLoss, double noiseFloor, double dropout) {
    return options.address(layer, importanceLoss, loadLoss, noiseFloor, dropout);
  }

  private static CudaArena present(CudaArena arena, String what) {
    if (arena == null) {
      throw new IllegalStateException("there is no " + what + " here");
    }
    return arena;
  }
}
