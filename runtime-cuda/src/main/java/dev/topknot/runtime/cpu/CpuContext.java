package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Options;
import dev.topknot.runtime.program.Layout;
import dev.topknot.runtime.program.Moment;
import java.util.List;
import java.util.Map;

/** What a program and its operations are built from. */
public final class CpuContext {
  private final Cpu cpu;
  private final Options options;
  private final Layout layout;
  private final Arena parameters;
  private final Arena gradients;
  private final Map<Moment, Arena> moments;
  private final Arena workspace;
  private final Arena state;

  CpuContext(
      Cpu cpu,
      Options options,
      Layout layout,
      Arena parameters,
      Arena gradients,
      Map<Moment, Arena> moments,
      Arena workspace,
      Arena state) {
    this.cpu = cpu;
    this.options = options;
    this.layout = layout;
    this.parameters = parameters;
    this.gradients = gradients;
    this.moments = moments;
    this.workspace = workspace;
    this.state = state;
  }

  /** The same for one program, with buffers of its own. */
  CpuContext with(Arena programWorkspace, Arena programState) {
    return new CpuContext(
        cpu, options, layout, parameters, gradients, moments, programWorkspace, programState);
  }

  /** Whether there are gradients. */
  boolean hasGradients() {
    return gradients != null;
  }

  /** The moments that there are. */
  List<Moment> moments() {
    return List.copyOf(moments.keySet());
  }

  /** Threads and matrix products. */
  public Cpu cpu() {
    return cpu;
  }

  /** Overrides of annotated values. */
  public Options options() {
    return options;
  }

  /** Where the parameters lie. */
  public Layout layout() {
    return layout;
  }

  /** The parameters, shared by every program and instance. */
  public Arena parameters() {
    return parameters;
  }

  /**
   * The gradients, at the offsets of the parameters.
   *
   * @throws IllegalStateException in an instance for inference
   */
  public Arena gradients() {
    return present(gradients, "gradients");
  }

  /** Adam's first moments, at the offsets of the parameters; absent as gradients are. */
  public Arena firstMoments() {
    return moment(Moment.FIRST);
  }

  /** Adam's second moments, at the offsets of the parameters; absent as gradients are. */
  public Arena secondMoments() {
    return moment(Moment.SECOND);
  }

  /** Row means of factored second moments; absent as gradients are. */
  public Arena rowMeans() {
    return moment(Moment.ROW_MEANS);
  }

  /** Column means of factored second moments; absent as gradients are. */
  public Arena columnMeans() {
    return moment(Moment.COLUMN_MEANS);
  }

  Arena moment(Moment moment) {
    return present(moments.get(moment), "moments");
  }

  /** Buffers of one program, of its planned size. */
  public Arena workspace() {
    return present(workspace, "workspace");
  }

  /** Carried state of one program, zero at first. */
  public Arena state() {
    return present(state, "state");
  }

  private static Arena present(Arena arena, String what) {
    if (arena == null) {
      throw new IllegalStateException("there is no " + what + " here");
    }
    return arena;
  }
}
