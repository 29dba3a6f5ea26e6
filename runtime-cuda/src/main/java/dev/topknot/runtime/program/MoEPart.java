package dev.topknot.runtime.program;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Tensor;
import dev.topknot.runtime.Update;
import java.nio.file.Path;
import java.util.List;

/** The mixture-of-experts layer of a model: parameters and balance; the model steps it. */
final class MoEPart implements MoE {
  private final LanguageModel model;
  private final Layer layer;

  MoEPart(LanguageModel model, Layer layer) {
    this.model = model;
    this.layer = layer;
  }

  @Override
  public String name() {
    return layer.name();
  }

  @Override
  public List<Parameter> parameters() {
    return layer.parameters();
  }

  @Override
  public Balance balance() {
    return model.balance(layer.name());
  }

  @Override
  public long step() {
    return model.step();
  }

  @Override
  public void forward(Tensor x, Tensor y) {
    throw stepped("forward");
  }

  @Override
  public void backward(Tensor dy, Tensor dx) {
    throw stepped("backward");
  }

  @Override
  public void accumulate(Tensor dy, Tensor dx) {
    throw stepped("accumulate");
  }

  @Override
  public double update(Update update) {
    throw stepped("update");
  }

  @Override
  public void infer(Tensor x, Tensor y) {
    throw stepped("infer");
  }

  @Override
  public void save(Path path) {
    throw stepped("save");
  }

  @Override
  public void load(Path path) {
    throw stepped("load");
  }

  @Override
  public MoE inference() {
    throw stepped("inference");
  }

  @Override
  public void close() {
    throw stepped("close");
  }

  private IllegalStateException stepped(String operation) {
    return new IllegalStateException(
        operation + " of the layer " + name() + ": its model does that, a layer is not stepped");
  }
}
