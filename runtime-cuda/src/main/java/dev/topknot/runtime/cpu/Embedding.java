package dev.topknot.runtime.cpu;

import java.util.Arrays;

/**
 * Rows of a table, one a token. Backward groups the tokens by id and adds the gradients of a row in
 * the order of its tokens, so that the sum has the same bits for any number of threads.
 */
public final class Embedding {
  /** Tokens that one task copies; rows of the table that one task writes. */
  private static final int CHUNK = 16;

  /** Rows of the table that one task sets to zero. */
  private static final int CLEARED = 256;

  private static final int NONE = -1;

  private final Workers workers;
  private final int vocabulary;
  private final int width;
  private final int[] tokenIds;
  private final float[][] lines;
  private final float[][] sums;

  /** Of each id: its first token in the batch, or NONE. Of each token: the next of the same id. */
  private final int[] firstToken;

  private final int[] nextToken;

  /** The ids in the batch, each once. */
  private final int[] distinct;

  private int distinctCount;

  private final Workers.Task copyRows = this::copyRows;
  private final Workers.Task clearRows = this::clearRows;
  private final Workers.Task addRows = this::addRows;

  // Operands of the running call.
  private Run run;
  private Matrix table;
  private Matrix rows;

  /**
   * An embedding.
   *
   * @param tokens most tokens of a call
   * @param vocabulary rows of the table
   * @param width its columns
   */
  public Embedding(CpuContext context, String layer, int tokens, int vocabulary, int width) {
    workers = context.cpu().workers();
    this.vocabulary = vocabulary;
    this.width = width;
    tokenIds = new int[tokens];
    lines = workers.arrays(width);
    sums = workers.arrays(width);
    firstToken = new int[vocabulary];
    Arrays.fill(firstToken, NONE);
    nextToken = new int[tokens];
    distinct = new int[Math.min(tokens, vocabulary)];
  }

  /**
   * y[t] := weight[ids[t]] for the valid tokens.
   *
   * @param ids at least {@code run.valid()} ids below the vocabulary
   * @param weight [vocabulary, width]
   * @param y [tokens, width]
   */
  public void forward(Run run, Ints ids, Matrix weight, Matrix y) {
    bind(run, ids, weight, y);
    workers.parallel(chunks(run.valid(), CHUNK), copyRows);
  }

  /**
   * dWeight := beta · dWeight, plus dy[t] in row ids[t] for every valid token t.
   *
   * @param dy [tokens, width]
   * @param dWeight [vocabulary, width]
   */
  public void backward(Run run, Ints ids, Matrix dy, Matrix dWeight) {
    bind(run, ids, dWeight, dy);
    if (run.beta() == 0) {
      workers.parallel(chunks(vocabulary, CLEARED), clearRows);
    }
    group(run.valid());
    workers.parallel(chunks(distinctCount, CHUNK), addRows);
    for (int i = 0; i < distinctCount; i++) {
      firstToken[distinct[i]] = NONE;
    }
  }

  private void bind(Run run, Ints ids, Matrix table, Matrix rows) {
    ids.read(0, tokenIds, 0, run.valid());
    this.run = run;
    this.table = table;
    this.rows = rows;
  }

  /** Chains the tokens of each id in their order. */
  private void group(int valid) {
    distinctCount = 0;
    for (int token = valid - 1; token >= 0; token--) {
      int id = tokenIds[token];
      if (firstToken[id] == NONE) {
        distinct[distinctCount++] = id;
      }
      nextToken[token] = firstToken[id];
      firstToken[id] = token;
    }
  }

  private void copyRows(int task, int worker) {
    float[] line = lines[worker];
    for (int token = task * CHUNK; token < Math.min(run.valid(), (task + 1) * CHUNK); token++) {
      table.read((long) tokenIds[token] * width, line, 0, width);
      rows.write((long) token * width, line, 0, width);
    }
  }

  private void clearRows(int task, int worker) {
    long from = (long) task * CLEARED;
    table.zero(from * width, Math.min(CLEARED, vocabulary - from) * width);
  }

  private void addRows(int task, int worker) {
    for (int i = task * CHUNK; i < Math.min(distinctCount, (task + 1) * CHUNK); i++) {
      int id = distinct[i];
      float[] sum = sums[worker];
      float[] line = lines[worker];
      table.read((long) id * width, sum, 0, width);
      for (int token = firstToken[id]; token != NONE; token = nextToken[token]) {
        rows.read((long) token * width, line, 0, width);
        RowSums.add(line, width, sum);
      }
      table.write((long) id * width, sum, 0, width);
    }
  }

  private static int chunks(int size, int chunk) {
    return (size + chunk - 1) / chunk;
  }
}
