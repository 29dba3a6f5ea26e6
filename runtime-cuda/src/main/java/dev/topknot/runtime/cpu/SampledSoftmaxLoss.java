package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * The softmax over each token's target and some candidates, in place of the full one in training,
 * and its negative log-likelihood (natural logarithm). Candidates are drawn for the whole batch,
 * {@link LogUniform} and with replacement, m of them; a logit is x · W_id + bias_id − ln(m ·
 * P(id)), the target's too, so that what is learned are the logits of the full softmax (Jean et
 * al., "On Using Very Large Target Vocabulary for Neural Machine Translation", ACL 2015). A
 * candidate that is the token's own target does not count; one drawn several times counts as often.
 *
 * <p>The different ids among candidates and targets are the classes of the batch, in the order in
 * which they come. Every class has one row of W and one column of logits, an id that was drawn c
 * times with ln(c) added to it, so that neither products nor gradients do anything twice, and each
 * row of the gradient is one sum.
 */
public final class SampledSoftmaxLoss {
  /** Classes that one task copies; rows of W's gradient that one task sets to zero. */
  private static final int CHUNK = 16;

  private static final int CLEARED = 256;

  private static final int NONE = -1;

  private final Cpu cpu;
  private final int width;
  private final int vocabulary;
  private final LogUniform law;
  private final int stream;

  /** The most classes, which is how far apart the rows of logits are. */
  private final int most;

  private final int[] candidates;
  private final int[] targetIds;

  /** Of each id: its class while classes are collected, else NONE. Of each token: its target's. */
  private final int[] classOf;

  private final int[] targetClass;

  /**
   * Of each class: its id, how often it was drawn, and what is added to its logits: as a target,
   * and as a candidate.
   */
  private final int[] ids;

  private final int[] draws;
  private final float[] asTarget;
  private final float[] asCandidate;
  private int count;

  private final double[] tokenLosses;
  private final float[] singleLosses;
  private final float[][] logitLines;
  private final float[][] lines;
  private final float[][] sums;

  /** Of each group of tokens, the sum of the gradients of their logits. */
  private final float[][] groupSums;

  private final float[] classSums;

  private final Workers.Task gatherRows = this::gatherRows;
  private final Workers.Task lossRows = this::lossRows;
  private final Workers.Task clearRows = this::clearRows;
  private final Workers.Task scatterRows = this::scatterRows;

  // Operands of the running call.
  private Run run;
  private Matrix weight;
  private Matrix bias;
  private Matrix rows;
  private Matrix logits;

  /** Tokens of a group. */
  private int groupTokens;

  /**
   * A sampled softmax with its loss.
   *
   * @param tokens most tokens of a call
   * @param width of x
   * @param vocabulary number of ids
   * @param samples candidates of a batch, m
   * @param streamLayer the layer's number, which separates random streams
   */
  public SampledSoftmaxLoss(
      CpuContext context,
      String layer,
      int tokens,
      int width,
      int vocabulary,
      int samples,
      int streamLayer) {
    cpu = context.cpu();
    this.width = width;
    this.vocabulary = vocabulary;
    law = new LogUniform(vocabulary);
    stream = Noise.stream(streamLayer, Noise.Purpose.SAMPLE, 0);
    most = Math.min(samples + tokens, vocabulary);
    candidates = new int[samples];
    targetIds = new int[tokens];
    classOf = new int[vocabulary];
    Arrays.fill(classOf, NONE);
    targetClass = new int[tokens];
    ids = new int[most];
    draws = new int[most];
    asTarget = new float[most];
    asCandidate = new float[most];
    tokenLosses = new double[tokens];
    singleLosses = new float[tokens];
    int threads = cpu.workers().threads();
    logitLines = new float[threads][most];
    lines = new float[threads][width];
    sums = new float[threads][width];
    groupSums = new float[Math.min(SoftmaxLoss.GROUPS, tokens)][most];
    classSums = new float[most];
  }

  /**
   * The loss of every valid token and, in the run, their sum in token order.
   *
   * @param x [tokens, width]
   * @param weight [vocabulary, width]
   * @param bias [1, vocabulary]
   * @param targets the id that each token should predict
   * @param classes [C], C = min(samples + tokens, vocabulary), the ids of the batch's classes
   * @param classCount [1], how many there are
   * @param rows [C, width], their rows of {@code weight}
   * @param logits [tokens, C], left as the gradient of the mean loss with respect to the logits
   * @param losses [1, tokens], negative log-likelihoods
   */
  public void forward(
      Run run,
      Matrix x,
      Matrix weight,
      Matrix bias,
      Ints targets,
      Ints classes,
      Ints classCount,
      Matrix rows,
      Matrix logits,
      Matrix losses) {
    this.run = run;
    this.weight = weight;
    this.bias = bias;
    this.rows = rows;
    this.logits = logits;
    int valid = run.valid();
    targets.read(0, targetIds, 0, valid);
    law.draw(run.seed(), run.step(), run.firstToken(), stream, candidates);
    collect(valid);
    classes.write(0, ids, 0, count);
    classCount.set(0, count);
    cpu.workers().parallel(chunks(count, CHUNK), gatherRows);
    cpu.multiplyParallel(
        false, true, valid, count, width, 1, x, 0, width, rows, 0, width, 0, logits, 0, most);
    groupTokens = (valid + groupSums.length - 1) / groupSums.length;
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
   * The gradients of the mean loss; follows a forward. Rows of ids that are no classes get none.
   *
   * @param classes as forward left them
   * @param rows as forward left them; become the gradients of these rows
   * @param logits as forward left them: their own gradient
   * @param dx [tokens, width], overwritten
   */
  public void backward(
      Run run,
      Matrix x,
      Ints classes,
      Ints classCount,
      Matrix rows,
      Matrix logits,
      Matrix dx,
      Matrix dWeight,
      Matrix dBias) {
    this.run = run;
    this.weight = dWeight;
    this.rows = rows;
    int valid = run.valid();
    count = classCount.get(0);
    classes.read(0, ids, 0, count);
    cpu.multiplyParallel(
        false, false, valid, width, count, 1, logits, 0, most, rows, 0, width, 0, dx, 0, width);
    cpu.multiplyParallel(
        true, false, count, width, valid, 1, logits, 0, most, x, 0, width, 0, rows, 0, width);
    if (run.beta() == 0) {
      cpu.workers().parallel(chunks(vocabulary, CLEARED), clearRows);
      dBias.zero(0, vocabulary);
    }
    cpu.workers().parallel(chunks(count, CHUNK), scatterRows);
    Arrays.fill(classSums, 0, count, 0);
    for (int group = 0; group < groups(); group++) {
      RowSums.add(groupSums[group], count, classSums);
    }
    for (int c = 0; c < count; c++) {
      dBias.set(0, ids[c], dBias.get(0, ids[c]) + classSums[c]);
    }
  }

  /** The classes of the batch: candidates in the order of the draws, then other targets. */
  private void collect(int valid) {
    count = 0;
    for (int id : candidates) {
      draws[enter(id)]++;
    }
    for (int token = 0; token < valid; token++) {
      targetClass[token] = enter(targetIds[token]);
    }
    for (int c = 0; c < count; c++) {
      classOf[ids[c]] = NONE;
    }
  }

  private int enter(int id) {
    if (classOf[id] == NONE) {
      ids[count] = id;
      draws[count] = 0;
      classOf[id] = count++;
    }
    return classOf[id];
  }

  private int groups() {
    return groupTokens == 0 ? 0 : chunks(run.valid(), groupTokens);
  }

  private void gatherRows(int task, int worker) {
    float[] line = lines[worker];
    for (int c = task * CHUNK; c < Math.min(count, (task + 1) * CHUNK); c++) {
      int id = ids[c];
      weight.read((long) id * width, line, 0, width);
      rows.write((long) c * width, line, 0, width);
      double expected = candidates.length * law.probability(id);
      asTarget[c] = (float) (bias.get(0, id) - Math.log(expected));
      asCandidate[c] = (float) (asTarget[c] + Math.log(draws[c])); // never drawn: minus infinity
    }
  }

  private void lossRows(int group, int worker) {
    float[] row = logitLines[worker];
    float[] groupSum = groupSums[group];
    float share = 1f / run.valid();
    Arrays.fill(groupSum, 0, count, 0);
    int end = Math.min(run.valid(), (group + 1) * groupTokens);
    for (int token = group * groupTokens; token < end; token++) {
      int target = targetClass[token];
      logits.read((long) token * most, row, 0, count);
      double sum = exponentials(token, target, row);
      SoftmaxLoss.scaleAndAdd(row, count, (float) (1 / (sum * run.valid())), groupSum);
      row[target] -= share;
      groupSum[target] -= share;
      logits.write((long) token * most, row, 0, count);
    }
  }

  /** Turns the products of a token into exponentials, notes its loss and returns their sum. */
  private double exponentials(int token, int target, float[] row) {
    float logit = row[target] + asTarget[target];
    float shift = logit;
    for (int c = 0; c < count; c++) {
      row[c] += asCandidate[c];
      shift = Math.max(shift, c == target ? logit : row[c]);
    }
    row[target] = logit;
    for (int c = 0; c < count; c++) {
      row[c] -= shift;
    }
    VectorMath.exp(row, 0, row, 0, count);
    double sum = SoftmaxLoss.sum(row, count);
    tokenLosses[token] = Math.log(sum) + ((double) shift - logit);
    return sum;
  }

  private void clearRows(int task, int worker) {
    long from = (long) task * CLEARED;
    weight.zero(from * width, Math.min(CLEARED, vocabulary - from) * width);
  }

  private void scatterRows(int task, int worker) {
    float[] line = lines[worker];
    float[] sum = sums[worker];
    for (int c = task * CHUNK; c < Math.min(count, (task + 1) * CHUNK); c++) {
      long at = (long) ids[c] * width;
      rows.read((long) c * width, line, 0, width);
      if (run.beta() == 0) {
        weight.write(at, line, 0, width);
      } else {
        weight.read(at, sum, 0, width);
        RowSums.add(line, width, sum);
        weight.write(at, sum, 0, width);
      }
    }
  }

  private static int chunks(int size, int chunk) {
    return (size + chunk - 1) / chunk;
  }
}
