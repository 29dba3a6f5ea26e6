package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * The full softmax over a vocabulary and the negative log-likelihood of the targets (natural
 * logarithm), the last layer of a language model: logits = x · Wᵀ + bias.
 *
 * <p>In training the forward pass, which has each row of logits at hand, replaces it by its
 * gradient and adds it to that of the bias: reading the logits back from memory for it would cost
 * more than the exponentials.
 */
public final class SoftmaxLoss {
  /** Most groups that the rows of a call are divided into, one task each. */
  static final int GROUPS = 32;

  /** A larger sum of exponentials could overflow a float, or 1 / sum underflow. */
  private static final double LARGEST_SUM = 1e30;

  private final Cpu cpu;
  private final int width;
  private final int vocabulary;
  private final float[] biases;
  private final int[] targetIds;
  private final double[] tokenLosses;
  private final float[] singleLosses;
  private final float[][] rows;

  /** Of each group of rows, the sum of the gradients of their logits. */
  private final float[][] groupSums;

  private final float[] biasGradient;

  private final Workers.Task lossRows = this::lossRows;
  private final Workers.Task probabilityRows = this::probabilityRows;

  // Operands of the running call.
  private Run run;
  private Matrix logits;

  /** Rows of a group. */
  private int groupRows;

  /**
   * A softmax with its loss.
   *
   * @param tokens most tokens of a call
   * @param width of x
   * @param vocabulary number of classes
   */
  public SoftmaxLoss(CpuContext context, String layer, int tokens, int width, int vocabulary) {
    cpu = context.cpu();
    this.width = width;
    this.vocabulary = vocabulary;
    biases = new float[vocabulary];
    targetIds = new int[tokens];
    tokenLosses = new double[tokens];
    singleLosses = new float[tokens];
    rows = new float[cpu.workers().threads()][vocabulary];
    groupSums = new float[Math.min(GROUPS, tokens)][vocabulary];
    biasGradient = new float[vocabulary];
  }

  /**
   * The loss of every valid token and, in the run, their sum in token order.
   *
   * @param x [tokens, width]
   * @param weight [vocabulary, width]
   * @param bias [1, vocabulary]
   * @param targets the class of each token
   * @param logits [tokens, vocabulary]; in training left as the gradient of the mean loss with
   *     respect to the logits, (softmax − target) / valid; otherwise without a meaning
   * @param losses [1, tokens], negative log-likelihoods
   */
  public void forward(
      Run run, Matrix x, Matrix weight, Matrix bias, Ints targets, Matrix logits, Matrix losses) {
    int valid = run.valid();
    targets.read(0, targetIds, 0, valid);
    multiply(run, x, weight, bias, logits);
    cpu.workers().parallel(groups(), lossRows);
    double sum = 0;
    for (int token = 0; token < valid; token++) {
      sum += tokenLosses[token];
      singleLosses[token] = (float) tokenLosses[token];
    }
    losses.write(0, singleLosses, 0, valid);
    run.setLossSum(sum);
  }

  /**
   * The gradients of the mean loss; follows a forward in training.
   *
   * @param logits as forward left them: their own gradient
   * @param dx [tokens, width], overwritten
   */
  public void backward(
      Run run,
      Matrix x,
      Matrix weight,
      Matrix logits,
      Ints targets,
      Matrix dx,
      Matrix dWeight,
      Matrix dBias) {
    int valid = run.valid();
    float beta = run.beta();
    cpu.multiplyParallel(
        false,
        false,
        valid,
        width,
        vocabulary,
        1,
        logits,
        0,
        vocabulary,
        weight,
        0,
        width,
        0,
        dx,
        0,
        width);
    cpu.multiplyParallel(
        true,
        false,
        vocabulary,
        width,
        valid,
        1,
        logits,
        0,
        vocabulary,
        x,
        0,
        width,
        beta,
        dWeight,
        0,
        width);
    if (beta == 0) {
      Arrays.fill(biasGradient, 0);
    } else {
      dBias.read(0, biasGradient, 0, vocabulary);
    }
    for (int group = 0; group < groups(); group++) {
      RowSums.add(groupSums[group], vocabulary, biasGradient);
    }
    dBias.write(0, biasGradient, 0, vocabulary);
  }

  /**
   * The softmax of every valid row.
   *
   * @param logits [tokens, vocabulary], left as probabilities
   */
  public void probabilities(Run run, Matrix x, Matrix weight, Matrix bias, Matrix logits) {
    multiply(run, x, weight, bias, logits);
    cpu.workers().parallel(groups(), probabilityRows);
  }

  private void multiply(Run run, Matrix x, Matrix weight, Matrix bias, Matrix logits) {
    this.run = run;
    this.logits = logits;
    groupRows = (run.valid() + groupSums.length - 1) / groupSums.length;
    bias.read(0, biases, 0, vocabulary);
    cpu.multiplyParallel(
        false,
        true,
        run.valid(),
        vocabulary,
        width,
        1,
        x,
        0,
        width,
        weight,
        0,
        width,
        0,
        logits,
        0,
        vocabulary);
  }

  private int groups() {
    return groupRows == 0 ? 0 : (run.valid() + groupRows - 1) / groupRows;
  }

  private int end(int group) {
    return Math.min(run.valid(), (group + 1) * groupRows);
  }

  private void lossRows(int group, int worker) {
    float[] row = rows[worker];
    float[] groupSum = groupSums[group];
    float share = 1f / run.valid();
    Arrays.fill(groupSum, 0);
    for (int token = group * groupRows; token < end(group); token++) {
      int target = targetIds[token];
      double sum = exponentials(token, target, row);
      if (run.training()) {
        scaleAndAdd(row, vocabulary, (float) (1 / (sum * run.valid())), groupSum);
        row[target] -= share;
        groupSum[target] -= share;
        logits.write((long) token * vocabulary, row, 0, vocabulary);
      }
    }
  }

  /**
   * Turns the logits of a token into exponentials, notes its loss and returns their sum. Divided by
   * that of the target the sum is at least 1, and its logarithm is the loss.
   */
  private double exponentials(int token, int target, float[] row) {
    logits.read((long) token * vocabulary, row, 0, vocabulary);
    float logit = row[target] + biases[target];
    float shift = logit;
    double sum = exponentials(row, shift);
    if (!(sum < LARGEST_SUM)) { // another class is very much likelier than the target
      logits.read((long) token * vocabulary, row, 0, vocabulary);
      shift = maxWithBias(row);
      sum = exponentials(row, shift);
    }
    tokenLosses[token] = Math.log(sum) + ((double) shift - logit);
    return sum;
  }

  private void probabilityRows(int group, int worker) {
    float[] row = rows[worker];
    for (int token = group * groupRows; token < end(group); token++) {
      long at = (long) token * vocabulary;
      logits.read(at, row, 0, vocabulary);
      double sum = exponentials(row, maxWithBias(row));
      scale(row, (float) (1 / sum));
      logits.write(at, row, 0, vocabulary);
    }
  }

  /** row := exp(row + bias − shift); returns the sum. */
  private double exponentials(float[] row, float shift) {
    float[] bias = biases;
    for (int j = 0; j < row.length; j++) {
      row[j] = row[j] + bias[j] - shift;
    }
    VectorMath.exp(row, 0, row, 0, row.length);
    return sum(row, row.length);
  }

  private float maxWithBias(float[] row) {
    float max = Float.NEGATIVE_INFINITY;
    for (int j = 0; j < row.length; j++) {
      max = Math.max(max, row[j] + biases[j]);
    }
    return max;
  }

  static double sum(float[] row, int count) {
    // four sums: a single one would wait for each addition before the next
    double sum0 = 0;
    double sum1 = 0;
    double sum2 = 0;
    double sum3 = 0;
    int j = 0;
    for (; j + 4 <= count; j += 4) {
      sum0 += row[j];
      sum1 += row[j + 1];
      sum2 += row[j + 2];
      sum3 += row[j + 3];
    }
    for (; j < count; j++) {
      sum0 += row[j];
    }
    return (sum0 + sum1) + (sum2 + sum3);
  }

  private static void scale(float[] row, float factor) {
    for (int j = 0; j < row.length; j++) {
      row[j] *= factor;
    }
  }

  static void scaleAndAdd(float[] row, int count, float factor, float[] sum) {
    for (int j = 0; j < count; j++) {
      float scaled = row[j] * factor;
      row[j] = scaled;
      sum[j] += scaled;
    }
  }
}
