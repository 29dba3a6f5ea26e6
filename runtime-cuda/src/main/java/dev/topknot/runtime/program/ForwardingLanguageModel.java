package dev.topknot.runtime.program;

import dev.topknot.runtime.Balance;
import dev.topknot.runtime.Batch;
import dev.topknot.runtime.Evaluation;
import dev.topknot.runtime.LanguageModel;
import dev.topknot.runtime.Layer;
import dev.topknot.runtime.MoE;
import dev.topknot.runtime.Parameter;
import dev.topknot.runtime.Routing;
import dev.topknot.runtime.Step;
import dev.topknot.runtime.Update;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;

/** A model that leaves everything to another; generated entry classes add their layers. */
public abstract class ForwardingLanguageModel implements LanguageModel {
  private final LanguageModel delegate;

  /** Forwards to {@code delegate}. */
  protected ForwardingLanguageModel(LanguageModel delegate) {
    this.delegate = Objects.requireNonNull(delegate, "delegate");
  }

  /** Who does the work. */
  protected final LanguageModel delegate() {
    return delegate;
  }

  /** The layer of a name. */
  protected final Layer layer(String name) {
    for (Layer layer : delegate.layers()) {
      if (layer.name().equals(name)) {
        return layer;
      }
    }
    throw new IllegalArgumentException("there is no layer " + name);
  }

  /** The mixture-of-experts layer of a name: a handle that the model steps. */
  protected final MoE moe(String name) {
    return new MoEPart(delegate, layer(name));
  }

  @Override
  public Step train(Batch batch, Update update) {
    return delegate.train(batch, update);
  }

  @Override
  public double accumulate(Batch batch) {
    return delegate.accumulate(batch);
  }

  @Override
  public Step update(Update update) {
    return delegate.update(update);
  }

  @Override
  public Evaluation evaluate(Iterable<Batch> batches) {
    return delegate.evaluate(batches);
  }

  @Override
  public Evaluation evaluate(Iterable<Batch> batches, BiConsumer<Batch, List<Routing>> routed) {
    return delegate.evaluate(batches, routed);
  }

  @Override
  public IntStream generate(int[] prompt, int count, double temperature, long seed) {
    return delegate.generate(prompt, count, temperature, seed);
  }

  @Override
  public void save(Path path, Map<String, String> extra) throws IOException {
    delegate.save(path, extra);
  }

  @Override
  public void load(Path path) throws IOException {
    delegate.load(path);
  }

  @Override
  public LanguageModel inference() {
    return delegate.inference();
  }

  @Override
  public List<Layer> layers() {
    return delegate.layers();
  }

  @Override
  public List<Parameter> parameters() {
    return delegate.parameters();
  }

  @Override
  public Balance balance(String layer) {
    return delegate.balance(layer);
  }

  @Override
  public int batch() {
    return delegate.batch();
  }

  @Override
  public int timesteps() {
    return delegate.timesteps();
  }

  @Override
  public int vocabulary() {
    return delegate.vocabulary();
  }

  @Override
  public long step() {
    return delegate.step();
  }

  @Override
  public long seed() {
    return delegate.seed();
  }

  @Override
  public void resetState() {
    delegate.resetState();
  }

  @Override
  public void close() {
    delegate.close();
  }

  @Override
  public String toString() {
    return delegate.toString();
  }
}
