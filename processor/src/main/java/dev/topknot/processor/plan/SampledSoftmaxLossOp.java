package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Argument.scratch;
import static dev.topknot.processor.plan.Grid.blocks;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;

/**
 * The softmax over each token's target and candidates drawn for the batch, and its cross-entropy.
 * The different ids among the candidates and targets are its classes; products are over the rows of
 * W of these alone.
 */
record SampledSoftmaxLossOp(
    String layer, int tokens, int width, int vocabulary, int samples, int streamLayer, Tile tile)
    implements ProductOp {
  // of sampled_softmax_loss.cuh
  private static final int THREADS = 256;
  private static final int CHUNK = 4 * THREADS;
  private static final int SUM_BYTES = 8 * Double.BYTES;

  // of embedding.cuh, whose way of copying rows it is: a warp has a row and 128 columns
  private static final int WARPS = 8;
  private static final int COLUMNS = 128;

  /** The most classes of a batch. */
  int classes() {
    return Math.min(samples + tokens, vocabulary);
  }

  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("vocabulary", vocabulary),
        new Constant("samples", samples),
        new Constant("streamLayer", streamLayer));
  }

  /** With the most classes that a batch can have. */
  @Override
  public List<Product> products(String method) {
    return Product.of(method, tokens, 1, width, classes());
  }

  @Override
  public double touched() {
    return (double) classes() / vocabulary;
  }

  @Override
  public List<Kernel> kernels(String method) {
    return method.equals("forward") ? forwardKernels() : backwardKernels();
  }

  private List<Kernel> forwardKernels() {
    Argument cumulative = scratch("cumulative", (long) Integer.BYTES * vocabulary);
    Argument draws = scratch("draws", (long) Integer.BYTES * vocabulary);
    Argument places = scratch("places", (long) Integer.BYTES * vocabulary);
    Grid chunks = Grid.of(blocks(vocabulary, CHUNK));
    Argument counts = scratch("counts", Integer.BYTES * chunks.blocks());
    Argument offsets = scratch("offsets", (long) Float.BYTES * classes());
    Argument drawn = scratch("drawn", (long) Float.BYTES * classes());
    return List.of(
        Kernel.of(
            "forward_table",
            Grid.of(blocks(vocabulary, THREADS)),
            THREADS,
            0,
            cumulative,
            draws,
            places),
        Kernel.of(
            "forward_draw",
            Grid.of(blocks((long) samples + tokens, THREADS)),
            THREADS,
            0,
            run(),
            operand(3),
            cumulative,
            draws,
            places),
        Kernel.of("forward_counts", chunks, THREADS, SUM_BYTES, draws, places, counts),
        Kernel.of(
            "forward_classes",
            chunks,
            THREADS,
            SUM_BYTES + THREADS * Integer.BYTES,
            operand(2),
            cumulative,
            draws,
            counts,
            places,
            operand(4),
            operand(5),
            offsets,
            drawn),
        Kernel.of(
            "forward_rows",
            Grid.of(blocks(classes(), WARPS), blocks(width, COLUMNS)),
            32 * WARPS,
            0,
            operand(1),
            operand(4),
            operand(5),
            operand(6)),
        new Products(tile)
            .dense(
                "forward_logits",
                tokens,
                classes(),
                width,
                operand(0),
                operand(6),
                operand(5),
                offsets,
                operand(7)),
        Kernel.of(
                "forward_loss",
                Grid.of(tokens),
                THREADS,
                SUM_BYTES,
                run(),
                operand(3),
                operand(5),
                places,
                drawn,
                operand(7),
                operand(8))
            .costing(0, 2L * Float.BYTES * tokens * classes()));
  }

  private List<Kernel> backwardKernels() {
    Products products = new Products(tile);
    long weights = (long) vocabulary * width;
    return List.of(
        Kernel.of(
                "backward_clear",
                Grid.of(blocks(weights, CHUNK)),
                THREADS,
                0,
                run(),
                operand(6),
                operand(7))
            .costing(0, Float.BYTES * (weights + vocabulary)),
        products.dense(
            "backward_input",
            tokens,
            width,
            classes(),
            operand(4),
            operand(3),
            operand(2),
            operand(5)),
        products.weight(
            "backward_weight",
            tokens,
            classes(),
            width,
            operand(4),
            operand(0),
            operand(1),
            operand(2),
            operand(6)),
        Products.columnSums(
            "backward_bias", tokens, classes(), operand(4), operand(1), operand(2), operand(7)));
  }

  Call forward(Buffer x, Buffer weight, Buffer bias, Buffer targets, Kept kept, Buffer losses) {
    return Call.of(
        this,
        "forward",
        read(x),
        read(weight),
        read(bias),
        read(targets),
        write(kept.classes),
        write(kept.classCount),
        write(kept.rows),
        write(kept.logits),
        write(losses));
  }

  Call backward(Buffer x, Buffer weight, Buffer bias, Kept kept, Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(kept.classes),
        read(kept.classCount),
        update(kept.rows),
        read(kept.logits),
        write(dx),
        write(weight.gradient()),
        write(bias.gradient()));
  }

  /**
   * What the forward pass leaves: the ids [C] of the classes and their number [1], their rows of W
   * [C, width], and the gradient of the logits [T, C].
   */
  record Kept(Buffer classes, Buffer classCount, Buffer rows, Buffer logits) {}
}
