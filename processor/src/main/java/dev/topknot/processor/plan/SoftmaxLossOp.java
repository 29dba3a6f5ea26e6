package dev.topknot.processor.plan;

import static dev.topknot.processor.plan.Argument.operand;
import static dev.topknot.processor.plan.Argument.run;
import static dev.topknot.processor.plan.Operand.read;
import static dev.topknot.processor.plan.Operand.update;
import static dev.topknot.processor.plan.Operand.write;

import java.util.List;
import java.util.stream.Stream;

/** softmax(x·Wᵀ + b) and its cross-entropy with the targets. */
record SoftmaxLossOp(String layer, int tokens, int width, int vocabulary, Tile tile)
    implements ProductOp {
  @Override
  public List<Constant> constants() {
    return List.of(
        new Constant("tokens", tokens),
        new Constant("width", width),
        new Constant("vocabulary", vocabulary));
  }

  @Override
  public List<Product> products(String method) {
    return Product.of(method, tokens, 1, width, vocabulary);
  }

  @Override
  public List<Kernel> kernels(String method) {
    Products products = new Products(tile);
    return switch (method) {
      case "forward" ->
          List.of(
              logits(products, operand(4)),
              rows("forward_loss", operand(3), operand(4), operand(5)));
      case "probabilities" ->
          List.of(logits(products, operand(3)), rows("probabilities_softmax", operand(3)));
      default ->
          List.of(
              products.dense(
                  "backward_input", tokens, width, vocabulary, operand(2), operand(1), operand(4)),
              products.weight(
                  "backward_weight", tokens, vocabulary, width, operand(2), operand(0), operand(5)),
              Products.columnSums("backward_bias", tokens, vocabulary, operand(2), operand(6)));
    };
  }

  private Kernel logits(Products products, Argument logits) {
    return products.dense(
        "forward_logits", tokens, vocabulary, width, operand(0), operand(1), operand(2), logits);
  }

  /** A block for each row of logits; eight doubles to add up what its eight warps have. */
  private Kernel rows(String name, Argument... operands) {
    Argument[] arguments =
        Stream.concat(Stream.of(run()), Stream.of(operands)).toArray(Argument[]::new);
    return Kernel.of(name, Grid.of(tokens), 256, 8 * Double.BYTES, arguments)
        .costing(0, 2L * Float.BYTES * tokens * vocabulary);
  }

  Call forward(Buffer x, Buffer weight, Buffer bias, Buffer targets, Buffer logits, Buffer losses) {
    return Call.of(
        this,
        "forward",
        read(x),
        read(weight),
        read(bias),
        read(targets),
        write(logits),
        write(losses));
  }

  Call backward(Buffer x, Buffer weight, Buffer bias, Buffer logits, Buffer targets, Buffer dx) {
    return Call.of(
        this,
        "backward",
        read(x),
        read(weight),
        update(logits),
        read(targets),
        write(dx),
        write(weight.gradient()),
        write(bias.gradient()));
  }

  Call probabilities(Buffer x, Buffer weight, Buffer bias, Buffer logits) {
    return Call.of(this, "probabilities", read(x), read(weight), read(bias), write(logits));
  }
}
