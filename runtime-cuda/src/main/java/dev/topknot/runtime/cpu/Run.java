package dev.topknot.runtime.cpu;

import dev.topknot.runtime.Routing;
import dev.topknot.runtime.Update;
import dev.topknot.runtime.program.Layout;
import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;

/**
 * What varies from one run of a program to the next: the number of valid tokens, the step, the
 * operands of a layer that stands alone, and what comes out: loss and gradient norm. Mutable, one a
 * program, reused; only the runtime sets it up, operations read it.
 */
public final class Run {
  private final int tokens;
  private final Map<String, BitSet> layers = new HashMap<>();
  private final BitSet frozen;
  private final int[] firstSlice;
  private final StepClock clock;

  private int valid;
  private int step;
  private long seed;
  private int firstToken;
  private float beta;
  private boolean training;
  private Matrix x;
  private Matrix y;
  private Matrix dy;
  private Matrix dx;
  private Ints inputs;
  private Ints targets;
  private Update update;
  private double lossSum;
  private double gradientNorm;
  private boolean diagnosing;
  private String firstNonFinite;

  /**
   * A run of a program.
   *
   * @param tokens rows that the program is compiled for
   * @param layout its parameters
   * @param frozen bit s is set when slice s of the layout is frozen; shared with the owner
   */
  Run(int tokens, Layout layout, BitSet frozen) {
    this(tokens, layout, frozen, null);
  }

  /** Likewise, with a clock for its steps; null where they are not timed. */
  Run(int tokens, Layout layout, BitSet frozen, StepClock clock) {
    this.tokens = tokens;
    this.clock = clock;
    this.frozen = frozen;
    this.firstSlice = new int[layout.entries().size()];
    for (int s = layout.slices().size() - 1; s >= 0; s--) {
      Layout.Slice slice = layout.slices().get(s);
      firstSlice[slice.entry()] = s;
      layers.computeIfAbsent(slice.layer(), l -> new BitSet()).set(s);
    }
  }

  /** Sets up a training forward. */
  void train(int validTokens, long updatesDone, long noiseSeed, int firstNoiseToken) {
    valid = validTokens;
    step = Math.toIntExact(updatesDone);
    seed = noiseSeed;
    firstToken = firstNoiseToken;
    training = true;
  }

  /** Sets up a forward without noise. */
  void infer(int validTokens) {
    valid = validTokens;
    training = false;
  }

  /** Sets the operands of a model. */
  void operands(Ints inputIds, Ints targetIds) {
    inputs = inputIds;
    targets = targetIds;
  }

  /** Sets the operands of a layer's forward. */
  void operands(Matrix input, Matrix output) {
    x = input;
    y = output;
  }

  /** Sets the operands of a layer's backward. */
  void gradients(Matrix outputGradient, Matrix inputGradient) {
    dy = outputGradient;
    dx = inputGradient;
  }

  /** Decides whether backward adds to the gradients. */
  void add(boolean add) {
    beta = add ? 1 : 0;
  }

  /** Sets up the optimizer. */
  void update(Update constants, long updatesDone) {
    update = constants;
    step = Math.toIntExact(updatesDone);
  }

  /** Runs a forward again and returns the first tensor it produced that is not finite, or null. */
  String diagnose(CpuProgram program) {
    double loss = lossSum;
    diagnosing = true;
    firstNonFinite = null;
    try {
      program.forward(this);
      return firstNonFinite;
    } finally {
      end();
      diagnosing = false;
      lossSum = loss;
    }
  }

  /** Valid tokens: operations touch only rows below. */
  public int valid() {
    return valid;
  }

  /** Updates done before this run: the step of noise; Adam's bias correction uses one more. */
  public int step() {
    return step;
  }

  /** Seed of every draw. */
  public long seed() {
    return seed;
  }

  /** Global number of token 0, under which noise is drawn. */
  public int firstToken() {
    return firstToken;
  }

  /** 0 when gradients are overwritten, 1 when they are added to. */
  public float beta() {
    return beta;
  }

  /** Whether noise and dropout are on. */
  public boolean training() {
    return training;
  }

  /**
   * What a gate chose for the valid tokens; called by generated code.
   *
   * @param layer name of the layer
   * @param k experts of each token
   * @param chosen [tokens · k], as a gate's forward left them
   * @param gates [tokens, k], likewise
   */
  public Routing routing(String layer, int k, Ints chosen, Matrix gates) {
    int[] experts = new int[valid * k];
    float[] values = new float[experts.length];
    chosen.read(0, experts, 0, experts.length);
    gates.read(0, values, 0, values.length);
    return new Routing(layer, k, experts, values);
  }

  /** Input of a layer that stands alone, [valid, width]. */
  public Matrix x() {
    return x;
  }

  /** Output of a layer that stands alone, [valid, width]. */
  public Matrix y() {
    return y;
  }

  /** Gradient of the output of a layer that stands alone, [valid, width]. */
  public Matrix dy() {
    return dy;
  }

  /** Gradient of the input of a layer that stands alone, [valid, width]. */
  public Matrix dx() {
    return dx;
  }

  /** Token ids that a model reads. */
  public Ints inputs() {
    return inputs;
  }

  /** Token ids that a model is to predict. */
  public Ints targets() {
    return targets;
  }

  /** Constants of the optimizer in this step. */
  public Update update() {
    return update;
  }

  /** Sum of the losses of the valid tokens. */
  public double lossSum() {
    return lossSum;
  }

  /** Called by the loss. */
  public void setLossSum(double sum) {
    this.lossSum = sum;
  }

  /** Global norm of the gradients. */
  public double gradientNorm() {
    return gradientNorm;
  }

  /** Called by the optimizer. */
  public void setGradientNorm(double norm) {
    this.gradientNorm = norm;
  }

  /** Whether one parameter tensor is frozen: copy {@code copy} of an entry of the layout. */
  public boolean frozen(int entry, int copy) {
    return frozen.get(firstSlice[entry] + copy);
  }

  /** Whether nothing is frozen, the usual case. */
  public boolean nothingFrozen() {
    return frozen.isEmpty();
  }

  /** Whether all parameters of a layer are frozen, so that their gradients are of no use. */
  public boolean frozen(String layer) {
    if (frozen.isEmpty()) {
      return false;
    }
    BitSet rest = (BitSet) layers.get(layer).clone();
    rest.andNot(frozen);
    return rest.isEmpty();
  }

  /**
   * Generated code says which step of the program begins, as the report numbers them. Does nothing
   * but when steps are timed: {@link Phases}.
   */
  public void begin(int step) {
    if (clock != null) {
      clock.begin(step);
    }
  }

  /** The steps of a method of the program are done. */
  void end() {
    if (clock != null) {
      clock.end();
    }
  }

  /**
   * Generated code says what it just computed. Does nothing but when a non-finite step is being
   * diagnosed: then the first tensor with a NaN or an infinity in its valid rows is remembered.
   *
   * @param tensor name for the user, such as {@code below.h}
   * @param value its rows are tokens, or k rows a token
   */
  public void produced(String tensor, Matrix value) {
    if (diagnosing && firstNonFinite == null && !value.isFinite(0, meaningful(value))) {
      firstNonFinite = tensor;
    }
  }

  /** Floats of a matrix that belong to valid tokens; all, when its rows are not tokens. */
  private long meaningful(Matrix value) {
    if (value.rows() == 1 && value.columns() == tokens) {
      return valid;
    }
    if (value.rows() % tokens == 0) {
      return value.rows() / tokens * valid * value.columns();
    }
    return value.size();
  }
}
